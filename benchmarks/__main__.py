"""The command line: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys

from benchmarks.run import PARTS, benchmark
from benchmarks.tables import benchmark_table
from denoise_lib.internal.errors import ERRORS


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit status: 0, 1 for an error told in one sentence, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure speed, side by side with the papers' loop and with other libraries."
    )
    known = f"of {', '.join(PARTS)} (the default: all these), grading"
    parser.add_argument("parts", nargs="*", help=known)
    parser.add_argument("--output", default="results/benchmark.json", help="results file (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        print(benchmark_table(benchmark(options.parts or list(PARTS), options.output, {**PARTS, "grading": _grading})))
    except KeyboardInterrupt:
        print("stopped; the parts that were measured are kept.", file=sys.stderr)
        return 130
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"results: {options.output}")
    return 0


def _grading() -> list[dict[str, object]]:
    from benchmarks.grading import benchmark_grading  # needs nbgrader

    return benchmark_grading()


if __name__ == "__main__":
    sys.exit(main())
