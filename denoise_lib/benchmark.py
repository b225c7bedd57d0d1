"""Speed, side by side: `python -m denoise_lib benchmark`. How time is taken stands in `timing`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from .alternatives import benchmark_alternatives
from .display.figures import panel, png, residual, tile
from .display.views import example_digits, models_for, noisy_copy, render_denoised
from .internal.atomic_write import write_json
from .internal.checks import check_choice, check_count, check_function, check_list, check_path, kind, reading
from .internal.devices import default_device, machine
from .internal.tables import table
from .limits import benchmark_limits
from .metrics import predict
from .noise import MODERATE
from .papers.results import read_results, results_file
from .pretrained.weights import load_pretrained
from .saliency import output_sum, smoothgrad
from .timing import MOST_REPEATS, Row, rows_of, take_turns
from .training_speed import benchmark_growth, benchmark_training

IMAGES, SAMPLES, NOISE_LEVEL = 16, 50, 0.15
BESIDES = {
    "images_per_second": "{:,.0f} images/s", "loss": "loss {:.5f}", "table_1_minutes": "Table 1 in {:.1f} min",
    "work": "{} times the work", "peak_megabytes": "{:,.0f} MB", "flops_per_second": "{:.3g} FLOP/s",
    "bytes_per_second": "{:.3g} bytes/s", "times_the_limit": "{:.1f} times its limit", "start_seconds": "start {:.1f} s",
    "steps_to_pay_back": "paid back after {:,} steps", "not_measured": "not measured: {}",
}  # fmt: skip
"""What else a row may tell, and how."""


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


def benchmark_import(repeats: int = 9) -> list[Row]:
    """A new Python: starting alone, with torch, and with torch and this library."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    programs = {"torch": "import torch", "torch and denoise_lib": "import torch, denoise_lib", "Python alone": "pass"}
    return rows_of(take_turns({name: partial(_python, program) for name, program in programs.items()}, repeats))


def _python(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def benchmark_notebooks(folder: str | os.PathLike[str] = "notebooks") -> list[Row]:
    """Each notebook of a clone, run from top to bottom once in a kernel of its own, on the CPU.

    Args:
        folder: that holds the notebooks.

    Returns:
        Rows of `seconds`, the start of Jupyter and the kernel included, and of `peak_megabytes`, the most memory that one of
        their processes had.

    Raises:
        ValueError: the folder has no notebooks.
        RuntimeError: a notebook did not run through.
    """
    notebooks = sorted(Path(check_path(folder, "folder")).glob("*.ipynb"))
    if not notebooks:
        raise ValueError(f"{folder} has no notebooks; run this part in a clone of the course, which has the folder notebooks.")
    rows: list[Row] = []
    for notebook in notebooks:
        seconds, peak = _run_all(notebook)
        rows.append({"name": notebook.stem, "seconds": seconds, "peak_megabytes": peak})
    return rows


# A small process in between: the system counts a process's first memory as what its parent has, and ours holds torch.
IN_BETWEEN = """
import subprocess, sys, time
begin = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(time.perf_counter() - begin)
try:
    from resource import RUSAGE_CHILDREN, getrusage
    print(getrusage(RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
except ImportError:
    pass
sys.exit(status)
"""


def _run_all(notebook: Path) -> tuple[float, float | None]:
    """Seconds, and megabytes where the system counts them."""
    execute = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", str(notebook)]
    environment = {name: value for name, value in os.environ.items() if name != "DENOISE_FULL"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run([sys.executable, "-c", IN_BETWEEN, *execute], capture_output=True, text=True, env=environment)
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise RuntimeError(f"{notebook.name} did not run through: {words[-1] if words else 'no reason was given'}")
    seconds, *peak = map(float, done.stdout.split())
    return seconds, peak[0] if peak else None


PARTS: dict[str, Callable[[], list[Row]]] = {
    "training": benchmark_training, "limits": benchmark_limits, "alternatives": benchmark_alternatives,
    "growth": benchmark_growth, "saliency": benchmark_saliency, "slider": benchmark_slider, "import": benchmark_import,
    "notebooks": benchmark_notebooks,
}  # fmt: skip


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
        measured[name] = {"rows": known[name](), "machine": machine(default_device())}
        write_json(path, content)
    return content


@reading("content", "read_results('benchmark')")
def benchmark_table(content: dict[str, Any]) -> str:
    """All parts of a results file as a Markdown table."""
    rows = [
        [
            name, row["name"], _told(row, "seconds", "{:.1f}", 1000), _told(row, "times_the_first", "{:.2f}"),
            "; ".join(_told(row, key, form) for key, form in BESIDES.items() if row.get(key) is not None),
        ]
        for name, part in content["parts"].items()
        for row in part["rows"]
    ]  # fmt: skip
    return table(["part", "what", "median, ms", "times the first", "besides"], rows)


def _told(row: Row, key: str, form: str, unit: float = 1) -> str:
    return form.format(unit * row[key]) if row.get(key) is not None else ""


@reading("content", "read_results('benchmark')")
def readme_speed_table(content: dict[str, Any]) -> str:
    """The README's table: images a second in training, and how many times those of the papers' loop these are."""
    part = content["parts"]["training"]
    rates: dict[str, dict[str, float]] = {}
    for row in part["rows"]:
        network, loop = row["name"].split(": ")
        rates.setdefault(network, {})[loop] = row["images_per_second"]
    loops = ["the papers' loop", *(loop for loop in next(iter(rates.values())) if loop != "the papers' loop")]
    rows = [
        [network, *(f"{found[loop]:,.0f} ({found[loop] / found[loops[0]]:.2f})" for loop in loops)]
        for network, found in rates.items()
    ]
    return table(["images a second (times the papers' loop)", *loops], rows) + _where(part)


@reading("content", "read_results('benchmark')")
def limits_table(content: dict[str, Any]) -> str:
    """For maintainers: a training step of each network beside what this machine can do at most."""
    part = content["parts"]["limits"]
    speeds = [
        f"{row['name']}: {row[key] / 1e9:.0f} {unit}"
        for key, unit in (("flops_per_second", "GFLOP/s"), ("bytes_per_second", "GB/s"))
        for row in part["rows"]
        if key in row
    ]
    rows = [
        [
            row["name"], f"{1000 * row['seconds']:.2f}", f"{row['flops'] / row['seconds'] / 1e9:.0f}",
            f"{row['bytes'] / row['seconds'] / 1e9:.1f}", f"{row['times_the_limit']:.1f}",
        ]
        for row in part["rows"]
        if "times_the_limit" in row
    ]  # fmt: skip
    shown = table(["step, and its operations", "ms", "GFLOP/s", "GB/s", "times its limit"], rows)
    return f"{'; '.join(speeds)}.\n\n{shown}{_where(part)}"


@reading("content", "read_results('benchmark')")
def growth_table(content: dict[str, Any]) -> str:
    """For maintainers: time and memory of a training that has 1, 2, 4 and 8 times as much to do."""
    part = content["parts"]["growth"]
    rows = [
        [row["name"], str(row["work"]), f"{row['times_the_first']:.2f}", _told(row, "peak_megabytes", "{:.0f}") or "-"]
        for row in part["rows"]
    ]
    return table(["what grows", "times the work", "times the time", "peak memory, MB"], rows) + _where(part)


@reading("content", "read_results('benchmark')")
def alternatives_table(content: dict[str, Any]) -> str:
    """For maintainers: a training step as it is, compiled, and of three networks at once."""
    part = content["parts"]["alternatives"]
    rows = [
        [
            row["name"], _told(row, "seconds", "{:.1f}", 1000), _told(row, "times_the_first", "{:.2f}"),
            _told(row, "start_seconds", "{:.1f}"), row.get("not_measured", "") or _paid_back(row),
        ]
        for row in part["rows"]
    ]  # fmt: skip
    return table(["way", "ms", "times the first way", "start, s", "paid back after"], rows) + _where(part)


def _paid_back(row: Row) -> str:
    if "start_seconds" not in row:
        return ""
    return "never" if row["steps_to_pay_back"] is None else f"{row['steps_to_pay_back']:,} steps"


def _where(part: dict[str, Any]) -> str:
    found = part["machine"]
    return f"\n\nMeasured on {found['device']}, {found['threads']} threads, torch {found['torch']}.\n"
