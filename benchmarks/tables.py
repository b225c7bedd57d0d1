"""Measured speed as Markdown: one table of all parts, and those of README and CONTRIBUTING."""

from __future__ import annotations

from typing import Any

from benchmarks.timing import Row
from denoise_lib.internal.checks import reading
from denoise_lib.internal.tables import table

BESIDES = {
    "images_per_second": "{:,.0f} images/s", "loss": "loss {:.5f}", "table_1_minutes": "Table 1 in {:.1f} min",
    "work": "{} times the work", "peak_megabytes": "{:,.0f} MB", "flops_per_second": "{:.3g} FLOP/s",
    "bytes_per_second": "{:.3g} bytes/s", "times_the_limit": "{:.1f} times its limit", "start_seconds": "start {:.1f} s",
    "steps_to_pay_back": "paid back after {:,} steps", "not_measured": "not measured: {}",
}  # fmt: skip
"""What else a row may tell, and how."""


@reading("content", "read_results('benchmark')")
def benchmark_table(content: dict[str, Any]) -> str:
    """All parts of a results file as a Markdown table."""
    rows = [
        [
            name, row["name"], _cell(row, "seconds", "{:.1f}", 1000), _cell(row, "times_the_first", "{:.2f}"),
            "; ".join(_cell(row, key, form) for key, form in BESIDES.items() if row.get(key) is not None),
        ]
        for name, part in content["parts"].items()
        for row in part["rows"]
    ]  # fmt: skip
    return table(["part", "what", "median, ms", "times the first", "besides"], rows)


def _cell(row: Row, key: str, form: str, unit: float = 1) -> str:
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
        [row["name"], str(row["work"]), f"{row['times_the_first']:.2f}", _cell(row, "peak_megabytes", "{:.0f}") or "-"]
        for row in part["rows"]
    ]
    return table(["what grows", "times the work", "times the time", "peak memory, MB"], rows) + _where(part)


@reading("content", "read_results('benchmark')")
def alternatives_table(content: dict[str, Any]) -> str:
    """For maintainers: a training step as it is, compiled, and of three networks at once."""
    part = content["parts"]["alternatives"]
    rows = [
        [
            row["name"], _cell(row, "seconds", "{:.1f}", 1000), _cell(row, "times_the_first", "{:.2f}"),
            _cell(row, "start_seconds", "{:.1f}"), row.get("not_measured", "") or _paid_back(row),
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
