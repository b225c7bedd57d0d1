"""Run nbval and the tests as other processors compute: `python -m tools.processors [SET ...] [--parts PART ...]`.

torch and its libraries choose their routines by the processor's instruction set, and another routine adds in another order:
the last digits differ. Environment variables make them choose as an older processor would. What must not differ is run here
under each set that this processor has, and what differed is printed at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import torch

# ATEN_CPU_CAPABILITY is torch's, ONEDNN_MAX_CPU_ISA the convolutions', MKL_CBWR the matrix products'.
SETS = {
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
}
PARTS = ("nbval", "fast")
CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
"""As torch names them, each with all that those before it have."""

FAILED = re.compile(r"^(?:FAILED|ERROR) \S.*$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[\d;]*m")

Runner = Callable[[str, Mapping[str, str]], tuple[int, str]]


def main(arguments: list[str] | None = None, runner: Runner | None = None) -> int:
    """Run the parts under each set, and print what differed; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.processors", description="Test as other processors compute.")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"any of {', '.join(SETS)} (default: all)")
    parser.add_argument("--parts", nargs="+", default=PARTS, metavar="PART", help="make's targets (default: nbval fast)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.sets if name not in SETS]:
        parser.error(f"there is no set {unknown[0]}; there are {', '.join(SETS)}")
    run, summary, status = runner or run_part, [], 0
    for name in options.sets or SETS:
        if not has(name):
            summary.append(f"{name:8s} skipped: this processor, or this torch, does not have it")
            continue
        for part in options.parts:
            print(f"=== make {part}, as on {name}", flush=True)
            begin = time.perf_counter()
            failed, printed = run(part, SETS[name])
            took = f"{time.perf_counter() - begin:5.0f} s"
            summary.append(f"{name:8s} {part:8s} {took}  {'DIFFERED' if failed else 'ok'}")
            summary += [f"    {line}" for line in what_differed(printed)] if failed else []
            status = 1 if failed else status
    print("\n=== make processors", *summary, sep="\n")
    return status


def has(name: str, capability: str | None = None) -> bool:
    """Whether this processor can compute as the named set's: by torch's own name for what it uses here."""
    found = capability or torch.backends.cpu.get_cpu_capability()
    best = CAPABILITIES.index(found) if found in CAPABILITIES else 0
    return CAPABILITIES.index(SETS[name]["ATEN_CPU_CAPABILITY"].upper()) <= best


def run_part(part: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Make one target under these variables; returns its exit status and what it printed, which is shown meanwhile."""
    command = [os.environ.get("MAKE", "make"), "--no-print-directory", part]
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def what_differed(printed: str) -> list[str]:
    """The tests and cells that pytest names as failed, or the last line where it names none."""
    text = COLOUR.sub("", printed)
    return FAILED.findall(text) or text.strip().splitlines()[-1:]


if __name__ == "__main__":
    sys.exit(main())
