"""Measured numbers: what the paper prints, what was measured, and how the two are read, compared and rendered.

Numbers live in `results/*.json`, with seeds, hardware and versions; every table in a notebook or the README is rendered
from there.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ..internal.checks import check_path, check_real, describe, reading
from ..noise import LEVELS

# Casey and Racape, Table 1: mean squared error, seconds to train, milliseconds to infer (one untimed-warm-up forward pass).
PAPER_TABLE_1: dict[tuple[str, str], dict[str, float]] = {
    ("unet", "mild"): {"mse": 0.00095, "train_s": 64, "inference_ms": 1.3},
    ("unet", "moderate"): {"mse": 0.0047, "train_s": 68, "inference_ms": 1.3},
    ("unet", "severe"): {"mse": 0.014, "train_s": 64, "inference_ms": 1.4},
    ("autoencoder", "mild"): {"mse": 0.0020, "train_s": 67, "inference_ms": 2.6},
    ("autoencoder", "moderate"): {"mse": 0.0055, "train_s": 71, "inference_ms": 1.4},
    ("autoencoder", "severe"): {"mse": 0.015, "train_s": 66, "inference_ms": 2.0},
}
PAPER_PARAMETERS = {"unet": 88_641, "autoencoder": 104_521}


def read_results(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Measured results: of a file, or those that ship with the library, by name: `read_results("unet_vs_autoencoder")`."""
    path = Path(check_path(name_or_path, "name_or_path"))
    if path.suffix != ".json":
        # In a checkout the folder stands beside the package; in an installed library, inside it.
        package = Path(str(resources.files("denoise_lib")))
        choices = [folder / f"{name_or_path}.json" for folder in (package.parent / "results", package / "results")]
        path = next((choice for choice in choices if choice.exists()), choices[0])
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there are no results {str(name_or_path)!r}; for example 'unet_vs_autoencoder'.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"the results file {path.name} is damaged ({error}); restore it from the repository.") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"the results file {path.name} is damaged (it holds {describe(content)}); restore it from the repository."
        )
    return content


def results_file(output: str | os.PathLike[str]) -> Path:
    """The path of a results file, whose name ends in .json."""
    path = Path(check_path(output, "output"))
    if path.suffix != ".json":
        raise ValueError(
            f"output must be a file name that ends in .json, but is {str(output)!r:.60}; for example results/mine.json."
        )
    return path


@reading("results", "the runs of read_results('unet_vs_autoencoder')")
def summarize(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each (network, level, recipe, data, epochs): mean and standard deviation over the seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        key = tuple(result[name] for name in ("network", "level", "recipe", "data", "epochs"))
        groups.setdefault(key, []).append(result)
    rows = []
    for (network, level, recipe, data, epochs), group in sorted(groups.items()):
        paper = PAPER_TABLE_1.get((network, level), {}).get("mse") if data == "full" else None
        errors = [result["test"]["mse"] for result in group]
        rows.append({
            "network": network, "level": level, "recipe": recipe, "data": data, "epochs": epochs, "seeds": len(group),
            "mse": statistics.fmean(errors),
            "mse_std": statistics.stdev(errors) if len(errors) > 1 else None,
            "mse_clipped": statistics.fmean(result["test"]["mse_clipped"] for result in group),
            "psnr": statistics.fmean(result["test"]["psnr"] for result in group),
            "ssim": statistics.fmean(result["test"]["ssim"] for result in group),
            "paper_mse": paper,
            "ratio_to_paper": statistics.fmean(errors) / paper if paper else None,
        })  # fmt: skip
    return rows


@reading("content", "read_results('unet_vs_autoencoder')")
def markdown_table(content: dict[str, Any]) -> str:
    """The results as Markdown: networks beside the paper's numbers, then the baselines."""
    lines = [
        "| network | noise | recipe | digits | epochs | seeds | MSE (mean ± std) | paper | ratio | PSNR dB | SSIM |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    order = {level: index for index, level in enumerate((*LEVELS, "blind"))}
    key = ("data", "recipe", "network")
    for row in sorted(content["table"], key=lambda row: (*(row[name] for name in key), order[row["level"]])):
        paper = f"{row['paper_mse']:.5f} | {row['ratio_to_paper']:.2f}" if row["paper_mse"] else "- | -"
        lines.append(
            f"| {row['network']} | {row['level']} | {row['recipe']} | {row['data']} | {row['epochs']} | {row['seeds']} "
            f"| {format_mse(row['mse'], row['mse_std'])} | {paper} | {row['psnr']:.2f} | {row['ssim']:.3f} |"
        )
    if content.get("baselines"):
        lines += ["", "| baseline | digits | " + " | ".join(f"{n} (mu {mu:.2f})" for n, mu in LEVELS.items()) + " |"]
        lines += ["|---|---|---:|---:|---:|"]
        names = dict.fromkeys((row["baseline"], row["data"]) for row in content["baselines"])
        for name, data in names:
            of_level = {r["level"]: r["mse"] for r in content["baselines"] if (r["baseline"], r["data"]) == (name, data)}
            lines.append(f"| {name} | {data} | " + " | ".join(f"{of_level[level]:.5f}" for level in LEVELS) + " |")
    return "\n".join(lines) + "\n"


@reading("content", "read_results('unet_vs_autoencoder')")
def readme_table(content: dict[str, Any]) -> str:
    """The README's table, in Markdown: the full MNIST, both recipes beside the paper, one row a network and level."""
    names = {"unet": "U-Net", "autoencoder": "autoencoder", "unet-no-skips": "U-Net, skips zeroed"}
    rows = {(r["network"], r["level"], r["recipe"]): r for r in content["table"] if r["data"] == "full" and r["epochs"] == 10}
    lines = [
        "| network | noise | paper's MSE | its protocol, measured again | better recipe |",
        "|---|---|---:|---:|---:|",
    ]
    for network, level in [(n, lev) for n in names for lev in LEVELS]:
        paper = PAPER_TABLE_1.get((network, level))
        cells = []
        for recipe in ("paper", "best"):
            row = rows.get((network, level, recipe))
            seeds = f" ({row['seeds']} seeds)" if row and row["seeds"] > 1 else ""
            cells.append(format_mse(row["mse"], row["mse_std"]) + seeds if row else "-")
        if any(cell != "-" for cell in cells):
            printed = f"{paper['mse']:.5f}".rstrip("0") if paper else "-"
            lines.append(f"| {names[network]} | {level}, mu {LEVELS[level]:.2f} | {printed} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def format_mse(mean: float, std: float | None = None) -> str:
    """'0.00487 ± 0.00003'; the deviation is left out where there is one seed."""
    return f"{check_real(mean, 'mean'):.5f}" + (f" ± {check_real(std, 'std'):.5f}" if std is not None else "")
