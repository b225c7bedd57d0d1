"""All of `results/` again on a small budget, each number compared with its band: `make results`.

Minutes on a laptop, so that a change of noise, networks, training or saliency that moves a result is seen at once. The bands
in `results/small_bands.json` are measured by the same runs with three seeds (`--measure`): mean plus or minus four standard
deviations; what does not depend on a seed must come back within one per cent.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from denoise_lib.__main__ import main as command
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.internal.devices import machine
from denoise_lib.papers.results import read_results

from .reference_ranges import band

BANDS = Path("results/small_bands.json")
SAME = 0.01


def main(arguments: list[str] | None = None) -> int:
    """Regenerate, then compare or, with --measure, write the bands; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.small_results", description="Regenerate results/ on a small budget.")
    parser.add_argument("--build", type=Path, default=Path("build/small"), help="where the results go")
    parser.add_argument("--bands", type=Path, default=BANDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=int, metavar="SEEDS", help="measure the bands again, over this many seeds")
    options = parser.parse_args(arguments)
    if options.measure is not None and options.measure < 2:
        parser.error("a band needs at least two seeds")
    fixed_folder = options.build / "fixed"
    if status := regenerate(fixed_steps(fixed_folder), fixed_folder):
        return status
    fixed = fixed_numbers(fixed_folder)
    drawn = []
    for seed in range(options.seed, options.seed + (options.measure or 1)):
        folder = options.build / f"seed{seed}"
        if status := regenerate(drawn_steps(folder, seed), folder):
            return status
        drawn.append(drawn_numbers(folder))
    if options.measure is not None:
        content = bands_of(fixed, drawn)
        write_json(options.bands, content)
        print(f"{options.bands}: {len(content['bands'])} bands")
        return 0
    rows = compare(fixed | drawn[0], read_results(options.bands)["bands"])
    print("\n".join(rows))
    failed = sum(row.endswith("OUTSIDE") for row in rows)
    message = f"{failed} of {len(rows)} numbers lie outside of their bands"
    print(message if failed else f"all {len(rows)} numbers lie in their bands")
    return failed > 0


def fixed_steps(folder: Path) -> list[list[str]]:
    """Commands whose results depend on no seed: filters, the shipped networks' saliency."""
    digits = ["reproduce", "unet-vs-autoencoder", "--data", "small", "--baselines"]
    claims = ["reproduce", "smoothgrad", "--photos", "builtin", "--pairs", "20", "--samples", "10"]
    return [
        [*digits, "--output", str(folder / "unet_vs_autoencoder.json")],
        [*claims, "--parts", "groups,self_influence", "--output", str(folder / "smoothgrad.json")],
    ]


def drawn_steps(folder: Path, seed: int) -> list[list[str]]:
    """Commands that train with one seed."""
    digits = ["reproduce", "unet-vs-autoencoder", "--data", "small", "--recipe", "best", "--epochs", "2"]
    photos = ["reproduce", "tnet", "--photos", "builtin"]
    small = ["--seeds", "1", "--first-seed", str(seed), "--device", "cpu", "--output"]
    return [
        [*digits, *small, str(folder / "unet_vs_autoencoder.json")],
        [*photos, "--networks", "tnet,basenet", "--pairs", "2000", "--epochs", "6", *small, str(folder / "tnet.json")],
        [*photos, "--table", "course", "--pairs", "500", "--epochs", "2", *small, str(folder / "tnet.json")],
    ]


def regenerate(steps: list[list[str]], folder: Path) -> int:
    """Run commands into an empty folder; returns the exit status of the first that fails."""
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    shutil.rmtree(folder, ignore_errors=True)  # kept runs would be read, and not measured
    return next((status for step in steps if (status := command(step))), 0)


def fixed_numbers(folder: Path) -> dict[str, float]:
    """What depends on no seed, by name."""
    digits, claims = read_results(folder / "unet_vs_autoencoder.json"), read_results(folder / "smoothgrad.json")
    found = {f"digits {row['baseline']} {row['level']}, MSE": float(row["mse"]) for row in digits["baselines"]}
    for part in ("groups", "self_influence"):
        for row in claims[part]:
            name = ", ".join(str(value) for value in row.values() if isinstance(value, str))
            found |= {f"{part}: {name}, {key}": value["mean"] for key, value in row.items() if isinstance(value, dict)}
    return found


def drawn_numbers(folder: Path) -> dict[str, float]:
    """What was trained, by name."""
    digits, photos = read_results(folder / "unet_vs_autoencoder.json"), read_results(folder / "tnet.json")
    found = {f"digits {run['network']} {run['level']}, MSE": run["test"]["mse"] for run in digits["runs"]}
    found |= {f"photos {run['network']}, dB": run["scores"]["test"]["psnr"] for run in photos["runs"]}
    found |= {f"photos {run['network']}, untrained, dB": run["untrained_psnr"] for run in photos["runs"]}
    return found


def bands_of(fixed: dict[str, float], drawn: list[dict[str, float]]) -> dict[str, Any]:
    """The content of the file of bands."""
    widths = {key: SAME * abs(mean) for key, mean in fixed.items()}
    narrow = {key: {"low": mean - widths[key], "high": mean + widths[key], "mean": mean} for key, mean in fixed.items()}
    return {
        "about": "All results on a small budget; a band is mean +- 4 standard deviations over seeds, or +- 1 % without them.",
        "command": f"python -m tools.small_results --measure {len(drawn)}",
        "machine": machine(torch.device("cpu")),
        "bands": narrow | {key: band([one[key] for one in drawn]) for key in drawn[0]},
    }


def compare(measured: dict[str, float], bands: dict[str, dict[str, float]]) -> list[str]:
    """A line for each number; one that is missing on either side is outside."""
    rows = []
    for key in sorted(measured.keys() | bands.keys()):
        value, known = measured.get(key), bands.get(key)
        inside = value is not None and known is not None and known["low"] <= value <= known["high"]
        shown = "missing" if value is None else f"{value:.5f}"
        limits = f"{known['low']:.5f} .. {known['high']:.5f}" if known else "no band"
        rows.append(f"{key:70s} {shown:>10s}   {limits:24s} {'ok' if inside else 'OUTSIDE'}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
