"""The second paper's numbers: what it prints, and how the numbers measured again are summarised and rendered beside them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from ..internal.checks import LARGEST, check_choice, check_list, check_number, check_real, describe, reading
from ..losses import LOSSES

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
    check_choice(network, "network", tuple(NAMES))
    return NAMES[network] + ("" if check_choice(loss, "loss", tuple(LOSSES)) == "l2" else f" + {loss.upper()}")


@reading("runs", "the runs of read_results('tnet')")
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
        for part, name in (("scores", "psnr"), ("self_ensemble", "ensemble")):
            tests = dict.fromkeys(test for run in group for test in run[part])  # some runs may lack the held-out set
            row[name] = {t: mean_and_std(run[part][t]["psnr"] for run in group if t in run[part]) for t in tests}
        row["epoch_loss"] = mean_and_std(run["loss_as_the_paper_counts"] for run in group)
        rows.append(row)
    return rows


def mean_and_std(values: Iterable[float]) -> tuple[float, float | None]:
    """Mean, and standard deviation where there are two values or more."""
    if not isinstance(values, (list, tuple, Iterator)):
        raise TypeError(f"values must be a list of numbers, but are {describe(values)}; for example [25.3, 25.1].")
    numbers = check_list([check_number(value, "each value", -LARGEST) for value in values], "values", [25.3, 25.1])
    return statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None


@reading("content", "read_results('tnet')")
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
        printed = f"{paper[1]:.2f} ± {paper[2]:.2f}" if paper else "-"
        if paper and (row["network"], row["loss"]) == ("tnet", "l2") and row["lr"] != 5e-4:
            rate = PAPER_RATES.get(row["lr"])
            printed = f"{rate[0]:.2f} ± {rate[1]:.2f}" if rate else "-"
        held_out = row["psnr"].get("held-out"), row["ensemble"].get("held-out")
        lines.append(
            f"| {model_name(row['network'], row['loss'])} | {row['parameters']:,} | {row['recipe']} "
            f"| {row['noise']}, {row['targets']} | {row['pairs']:,} x {row['epochs']} | {row['lr']:g} "
            f"| {'mixed' if row['amp'] else 'float32'} | {row['seeds']} | {format_psnr(row['psnr']['test'])} "
            f"| {format_psnr(held_out[0])} | {format_psnr(held_out[1])} "
            f"| {printed} |"
        )
    if content.get("baselines"):
        tests = [test for test in content["baselines"][0]["psnr"] if all(test in row["psnr"] for row in content["baselines"])]
        lines += ["", f"| filter | strength | {' | '.join(f'PSNR dB, {test}' for test in tests)} |"]
        lines += ["|---|---:|" + "---:|" * len(tests)]
        for row in content["baselines"]:
            scores = " | ".join(f"{row['psnr'][test]:.2f}" for test in tests)
            lines.append(f"| {row['baseline']} | {row['fitted']['strength']:g} | {scores} |")
    return "\n".join(lines) + "\n"


@reading("rows", "summarize_photo_runs()")
def paper_row(rows: list[dict[str, Any]], network: str, loss: str) -> dict[str, Any] | None:
    """The row of one of the paper's models, by its protocol and with the most epochs."""
    rate = 1e-3 if network == "unet" else 5e-4
    wanted = {"network": network, "loss": loss, "lr": rate, "recipe": "paper", "noise": "point-sample", "targets": "noisy"}
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return max(found, key=lambda row: (row["pairs"], row["epochs"]), default=None)


@reading("content", "read_results('tnet')")
def readme_photo_table(content: dict[str, Any]) -> str:
    """The README's table, in Markdown: the paper's models, the best filter and the course's network."""
    rows = summarize_photo_runs(content["runs"])
    lines = [
        "| model | parameters | paper, dB | measured again, dB | on Kodak, dB | budget |",
        "|---|---:|---:|---:|---:|---|",
    ]
    if content.get("baselines"):
        best = max(content["baselines"], key=lambda row: row["psnr"]["test"])
        scores = " | ".join(f"{best['psnr'][test]:.2f}" for test in ("test", "held-out"))
        lines.append(f"| {best['baseline']}, the best of {len(content['baselines']) - 1} | 0 | - | {scores} | |")
    for (network, loss), (_, score, spread) in PAPER_MODELS.items():
        row = paper_row(rows, network, loss)
        if row is not None:
            printed = f"{score:.2f} ± {spread:.2f}"
            lines.append(_readme_row(model_name(network, loss), row, printed, "psnr"))
    for row in rows:
        if row["recipe"] == "course":
            lines.append(_readme_row(f"**{model_name(row['network'], row['loss'])}**", row, "-", "psnr"))
            lines.append(_readme_row("the same, mean of eight turns", row, "-", "ensemble"))
    return "\n".join(lines) + "\n"


def _readme_row(name: str, row: dict[str, Any], paper: str, scores: str) -> str:
    measured = " | ".join(format_psnr(row[scores].get(test)) for test in ("test", "held-out"))
    budget = f"{row['epochs']} epochs, {row['seeds']} seed" + ("s" if row["seeds"] > 1 else "")
    return f"| {name} | {row['parameters']:,} | {paper} | {measured} | {budget} |"


def format_psnr(score: tuple[float, float | None] | None) -> str:
    """'25.32 ± 0.01'; the deviation is left out where there is one seed, and '-' stands for no score."""
    if score is None:
        return "-"
    if not isinstance(score, (tuple, list)) or len(score) != 2:
        raise TypeError(f"score must be (mean, deviation or None), but is {describe(score)}; for example (25.32, 0.01).")
    mean, deviation = check_real(score[0], "the mean"), score[1]
    return f"{mean:.2f}" + (f" ± {check_real(deviation, 'the deviation'):.2f}" if deviation is not None else "")
