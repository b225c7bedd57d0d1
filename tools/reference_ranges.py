"""Measure the reference ranges of the notebooks' headline numbers: `python -m tools.reference_ranges`.

Each notebook is executed with several seeds (the environment variable DENOISE_SEED, which its set-up cell reads), on one
thread, and the band of a number is its mean plus or minus four standard deviations over the seeds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

import torch

from denoise_lib.internal.atomic_write import write_json
from denoise_lib.internal.devices import machine

from .run_notebooks import run_one

WIDTH = 4.0


def main(arguments: list[str] | None = None) -> int:
    """Execute all notebooks with all seeds, and write the bands; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.reference_ranges", description="Measure the headline numbers' bands."
    )
    parser.add_argument("--folder", type=Path, default=Path("notebooks"))
    parser.add_argument("--build", type=Path, default=Path("build/bands"), help="where the executed copies go")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("results/bands.json"))
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("a band needs at least two seeds")
    options.build.mkdir(parents=True, exist_ok=True)
    values: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        os.environ["DENOISE_SEED"] = str(seed)
        for path in sorted(options.folder.glob("*.ipynb")):
            report = run_one(path, options.build)
            print(f"seed {seed}  {path.stem}  {report.seconds:.0f} s", flush=True)
            # A number outside the old band is what is measured here; a cell that raised is a real problem.
            if len(report.problems) > sum(line.verdict != "ok" for line in report.headlines):
                print(f"FAILED  {path}, {report.problems[0]}", file=sys.stderr)
                return 1
            for line in report.headlines:
                values.setdefault(line.key, []).append(float(line.value))
    content = {
        "about": "Headline numbers of the notebooks over several seeds; a band is mean +- 4 standard deviations.",
        "command": f"python -m tools.reference_ranges --seeds {options.seeds}",
        "machine": machine(torch.device("cpu")),
        "bands": {key: band(numbers) for key, numbers in values.items()},
    }
    write_json(options.output, content)
    print(f"{options.output}: {len(values)} bands")
    return 0


def band(values: list[float]) -> dict[str, object]:
    """Mean, standard deviation and band of one number."""
    mean, std = statistics.fmean(values), statistics.stdev(values)
    return {"low": mean - WIDTH * std, "high": mean + WIDTH * std, "mean": mean, "std": std, "values": values}


if __name__ == "__main__":
    sys.exit(main())
