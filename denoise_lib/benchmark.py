"""Speed, side by side: `python -m denoise_lib benchmark`.

Contestants for the same work take turns in one process, after one round that is not counted; their medians are compared. A
ratio of medians from one run means something on any machine; seconds by themselves do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from .figures import panel, png, residual, tile
from .noise import MODERATE
from .renders import example_digits, models_for, noisy_copy, render_denoised
from .results import machine, read_results, results_file, table, write_json
from .saliency import output_sum, smoothgrad
from .training import predict
from .validation import check_choice, check_count, check_function, check_keys, check_list, check_number, kind, reading
from .weights import load_pretrained

IMAGES, SAMPLES, NOISE_LEVEL = 16, 50, 0.15
MOST_REPEATS = 10_000
Row = dict[str, Any]


def take_turns(contestants: dict[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Median seconds of each contestant; they alternate, so that a slow moment of the machine hits all alike."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    for name, work in check_keys(contestants, "contestants", ()).items():
        check_function(work, f"the contestant {kind(name)}")
    if not contestants:
        raise ValueError("take_turns needs at least one contestant, for example {'ours': function}.")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(repeats + 1):
        for name, work in contestants.items():
            begin = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_number:
                seconds[name].append(time.perf_counter() - begin)
    return {name: median(values) for name, values in seconds.items()}


def benchmark_saliency(repeats: int = 9) -> list[Row]:
    """SmoothGrad of TNet, 50 samples for each of 16 images of 32x32, beside captum's NoiseTunnel on the same work.

    Where captum is not installed, ours stands alone.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    model = load_pretrained("tnet")
    x = torch.rand(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 0.0, 1.0  # so that captum's one absolute sigma is the same fraction of each range
    score = output_sum(model)

    def ours() -> Tensor:
        return smoothgrad(score, x, n_samples=SAMPLES, noise_level=NOISE_LEVEL, generator=torch.Generator().manual_seed(0))

    contestants: dict[str, Callable[[], object]] = {"ours": ours}
    difference = None
    if find_spec("captum") is not None:
        from captum.attr import NoiseTunnel, Saliency

        tunnel = NoiseTunnel(Saliency(score))

        def captum(at_once: int | None) -> Tensor:
            attributed: Tensor = tunnel.attribute(
                x, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=at_once, stdevs=NOISE_LEVEL, abs=False
            )
            return attributed

        contestants["captum, as it comes (all samples at once)"] = lambda: captum(None)
        contestants["captum, 4 samples at once"] = lambda: captum(4)
        generator = torch.Generator().manual_seed(0)
        noise = torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(IMAGES * SAMPLES)]) * NOISE_LEVEL
        with patch.object(torch, "normal", lambda mean, std: noise):
            difference = float((captum(None) - ours()).abs().max())
    rows: list[Row] = rows_of(take_turns(contestants, repeats))
    rows[0]["largest_difference_to_captum_on_the_same_noise"] = difference
    return rows


def benchmark_slider(repeats: int = 31) -> list[Row]:
    """From a new mu to PNG bytes: 24 digits through the U-Net, in all and by stage."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=31)
    digits, models = example_digits(24), {"U-Net": models_for(MODERATE)["U-Net"]}
    noisy = noisy_copy(digits, MODERATE)
    output = predict(models["U-Net"], noisy).clamp(0, 1)

    def tiling() -> Any:
        pictures = [*(tile(batch, scale=2) for batch in (noisy, output, digits)), residual(output - digits, scale=2)]
        return panel(pictures, ["noisy", "U-Net", "clean", "residual"], columns=2)

    shown = tiling()
    stages: dict[str, Callable[[], object]] = {
        "all: from mu to PNG": lambda: png(render_denoised(MODERATE, digits, models, scale=2)[0]),
        "noise": lambda: noisy_copy(digits, MODERATE),
        "network": lambda: predict(models["U-Net"], noisy),
        "tiling": tiling,
        "encoding": lambda: png(shown),
    }
    return rows_of(take_turns(stages, repeats))


PARTS: dict[str, Callable[[], list[Row]]] = {"saliency": benchmark_saliency, "slider": benchmark_slider}


def benchmark(
    parts: Sequence[str], output: str | Path, known: Mapping[str, Callable[[], list[Row]]] | None = None
) -> dict[str, Any]:
    """Measure some of `PARTS` and write them as JSON; parts that are not measured now keep what the file has.

    Args:
        parts: names in `known`.
        output: the results file.
        known: what can be measured; by default `PARTS`.

    Returns:
        What was written: {"parts": {name: {"rows", "machine"}}}.
    """
    known = PARTS if known is None else known
    if not isinstance(known, Mapping):
        raise TypeError(f"known must hold functions by their names, but is {kind(known)}; for example PARTS.")
    for name in check_list(parts, "parts", [*PARTS]):
        check_function(known[check_choice(name, "part", tuple(known))], f"the part {name}")
    path = results_file(output)
    content: dict[str, Any] = read_results(path) if path.exists() else {}
    content.setdefault("about", "Median seconds; contestants take turns in one process.")
    content.setdefault("command", "python -m denoise_lib benchmark")
    measured = content.setdefault("parts", {})
    for name in parts:
        measured[name] = {"rows": known[name](), "machine": machine(torch.device("cpu"))}
        write_json(path, content)
    return content


@reading("content", "read_results('benchmark')")
def benchmark_table(content: dict[str, Any]) -> str:
    """All parts of a results file as a Markdown table."""
    rows = [
        [name, row["name"], f"{1000 * row['seconds']:.1f}", f"{row['times_the_first']:.2f}"]
        for name, part in content["parts"].items()
        for row in part["rows"]
    ]
    return table(["part", "what", "median, ms", "times the first"], rows)


def rows_of(seconds: dict[str, float]) -> list[Row]:
    """Each contestant's seconds, and how many times the first one's these are."""
    for value in check_keys(seconds, "seconds", ()).values():
        check_number(value, "seconds", 0, open_low=True, example=0.1)
    if not seconds:
        raise ValueError("seconds must hold at least one contestant, for example {'ours': 0.1}.")
    first = next(iter(seconds.values()))
    return [{"name": name, "seconds": value, "times_the_first": value / first} for name, value in seconds.items()]
