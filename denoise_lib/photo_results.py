"""The second paper's numbers: what it prints, and how the numbers measured again are summarised and rendered beside them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

# Table 1: learning rate -> (PSNR in dB, its deviation over five runs, "loss", its deviation).
PAPER_RATES: dict[float, tuple[float, float, float, float]] = {
    1e-4: (25.31, 0.01, 0.70896, 0.00035),
    5e-4: (25.33, 0.02, 0.70859, 0.00056),
    9e-4: (25.32, 0.02, 0.70869, 0.00083),
}
# Table 2: (network, loss) -> (thousands of parameters, PSNR in dB, its deviation over five runs), in the printed order.
PAPER_MODELS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("basenet", "l2"): (167.0, 6.95, 0.32),
    ("unet", "l2"): (991.0, 25.24, 0.08),
    ("tnet", "l2"): (43.0, 25.32, 0.01),
    ("tnet", "l1"): (43.0, 25.29, 0.01),
    ("tnet-bn", "l2"): (43.5, 24.45, 0.05),
}
NAMES = {
    "basenet": "BaseNet",
    "unet": "U-Net of Noise2Noise",
    "unet-separate": "U-Net of Noise2Noise, decoder not shared",
    "tnet": "TNet",
    "tnet-bn": "TNet + BN",
    "tiny-denoiser": "TinyDenoiser",
}
GROUP = ("network", "loss", "lr", "recipe", "noise", "targets", "pairs", "epochs", "amp")


def model_name(network: str, loss: str) -> str:
    """'TNet + L1' for ("tnet", "l1")."""
    return NAMES[network] + ("" if loss == "l2" else f" + {loss.upper()}")


def summarize_photo_runs(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each kind of run: mean and standard deviation of the scores over the seeds.

    A row has the fields in `GROUP`, `seeds`, `parameters`, and for each test set NAME `psnr[NAME]` and
    `ensemble[NAME]` (self-ensemble) as (mean, deviation or None), and `loss` as the paper counts it.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(tuple(run[name] for name in GROUP), []).append(run)
    rows = []
    for key, group in sorted(groups.items(), key=lambda item: str(item[0])):
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        row |= {"seeds": len(group), "parameters": group[0]["parameters"]}
        tests = group[0]["scores"]
        row["psnr"] = {test: mean_and_std(run["scores"][test]["psnr"] for run in group) for test in tests}
        row["ensemble"] = {test: mean_and_std(run["self_ensemble"][test]["psnr"] for run in group) for test in tests}
        row["epoch_loss"] = mean_and_std(run["loss_as_the_paper_counts"] for run in group)
        rows.append(row)
    return rows


def mean_and_std(values: Iterable[float]) -> tuple[float, float | None]:
    """Mean, and standard deviation where there are two values or more."""
    numbers = list(values)
    return statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None


def photo_table(content: dict[str, Any]) -> str:
    """All runs as Markdown: the budget of each, its PSNRs, and the paper's where the paper has it."""
    lines = [
        "| network | parameters | recipe | noise, targets | pairs x epochs | lr | precision | seeds | PSNR dB, test "
        "| PSNR dB, held out | with self-ensemble, held out | paper |",
        "|---|---:|---|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in summarize_photo_runs(content.get("runs", [])):
        like_the_paper = row["recipe"] == "paper" and row["noise"] == "point-sample" and row["targets"] == "noisy"
        paper = PAPER_MODELS.get((row["network"], row["loss"])) if like_the_paper else None
        held_out = row["psnr"].get("held-out"), row["ensemble"].get("held-out")
        lines.append(
            f"| {model_name(row['network'], row['loss'])} | {row['parameters']:,} | {row['recipe']} "
            f"| {row['noise']}, {row['targets']} | {row['pairs']:,} x {row['epochs']} | {row['lr']:g} "
            f"| {'mixed' if row['amp'] else 'float32'} | {row['seeds']} | {format_psnr(row['psnr']['test'])} "
            f"| {format_psnr(held_out[0])} | {format_psnr(held_out[1])} "
            f"| {f'{paper[1]:.2f} ± {paper[2]:.2f}' if paper else '-'} |"
        )
    if content.get("baselines"):
        tests = list(content["baselines"][0]["psnr"])
        lines += ["", f"| filter | strength | {' | '.join(f'PSNR dB, {test}' for test in tests)} |"]
        lines += ["|---|---:|" + "---:|" * len(tests)]
        for row in content["baselines"]:
            scores = " | ".join(f"{row['psnr'][test]:.2f}" for test in tests)
            lines.append(f"| {row['baseline']} | {row['fitted']['strength']:g} | {scores} |")
    return "\n".join(lines) + "\n"


def format_psnr(score: tuple[float, float | None] | None) -> str:
    """'25.32 ± 0.01'; the deviation is left out where there is one seed, and '-' stands for no score."""
    if score is None:
        return "-"
    return f"{score[0]:.2f}" + (f" ± {score[1]:.2f}" if score[1] is not None else "")
