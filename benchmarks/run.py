"""All parts of the benchmark, and the file in which what they measure is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compile_and_stack import benchmark_alternatives
from benchmarks.interactive import benchmark_import, benchmark_notebooks, benchmark_saliency, benchmark_slider
from benchmarks.roofline import benchmark_limits
from benchmarks.timing import Row
from benchmarks.training import benchmark_growth, benchmark_training
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.internal.checks import check_choice, check_function, check_list, describe
from denoise_lib.internal.devices import default_device, machine
from denoise_lib.papers.results import read_results, results_file

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
        raise TypeError(f"known must hold functions by their names, but is {describe(known)}; for example PARTS.")
    for name in check_list(parts, "parts", [*PARTS]):
        check_function(known[check_choice(name, "part", tuple(known))], f"the part {name}")
    path = results_file(output)
    content: dict[str, Any] = read_results(path) if path.exists() else {}
    content.setdefault("about", "Median seconds; contestants take turns in one process.")
    content["command"] = "python -m benchmarks"
    measured = content.setdefault("parts", {})
    for name in parts:
        measured[name] = {"rows": known[name](), "machine": machine(default_device())}
        write_json(path, content)
    return content
