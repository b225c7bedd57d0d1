"""The checks of robustness are strict: small notebooks that break each rule are caught."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import inside
from .helpers import (
    FILL,
    GIGABYTES_3,
    HOME,
    IGNORED,
    KILL,
    READ_ONLY,
    TIGHT,
    WRITABLE,
    Outcome,
    before,
    complaints,
    differences,
    halves,
    headlines,
    in_the_sandbox,
    notebook_of,
    shown,
    twice,
)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_there_is_no_network_behind_the_sandbox(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    (inside,) = in_the_sandbox([notebook_of(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=10)")])
    (complaint,) = complaints(inside)
    assert complaint.startswith("cell 1 [import socket]: ConnectionRefusedError")


def test_the_checkout_cannot_be_written_to_and_the_home_can() -> None:
    writes = "from pathlib import Path\nPath.home().joinpath('mine').write_text('a')\nprint(*Path.home().iterdir())"
    nothing, something = in_the_sandbox([notebook_of(writes), notebook_of("open('mine', 'w')")], folder=READ_ONLY)
    assert complaints(nothing) == [] and f"{HOME}/mine" in shown(nothing.notebook.cells[0])[0]
    (complaint,) = complaints(something)
    assert "Read-only file system" in complaint


def test_the_home_is_empty() -> None:
    (outcome,) = in_the_sandbox([notebook_of("import os\nprint(sorted(os.listdir(os.path.expanduser('~'))))")])
    assert set(eval(shown(outcome.notebook.cells[0])[0])) <= {"course", ".ipython", ".local", ".cache"}


def test_a_disk_is_really_full() -> None:
    first, second = (notebook_of(f"with open('{name}', 'w') as file:\n    file.write('a' * 5000)") for name in ("one", "two"))
    roomy, tight = in_the_sandbox([first, before(second, 0, FILL)], folder=WRITABLE, size=TIGHT)
    assert complaints(roomy) == []
    (complaint,) = complaints(tight)
    assert complaint.startswith("cell 2") and "No space left on device" in complaint


def test_a_disk_that_does_not_fill_up_is_an_error() -> None:
    (outcome,) = in_the_sandbox([notebook_of(FILL)], folder=WRITABLE, size=2**27)
    (complaint,) = complaints(outcome)
    assert "does not fill up" in complaint


def test_memory_is_measured_also_of_children_and_of_what_was_given_back() -> None:
    held = "values = bytearray(b'a') * {size}\ndel values"
    child = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {program!r}], check=True)"
    cells = [notebook_of(held.format(size=3_100_000_000)), notebook_of(held.format(size=500_000_000))]
    cells.append(notebook_of(child.format(program=held.format(size=800_000_000) + "\nimport time\ntime.sleep(0.3)")))
    greedy, modest, parent = in_the_sandbox(cells)
    assert greedy.problem is modest.problem is parent.problem is None
    assert greedy.peak > GIGABYTES_3
    assert 500_000_000 < modest.peak < 800_000_000 < parent.peak < GIGABYTES_3


def test_what_the_last_cell_took_is_measured_before_the_kernel_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "PAUSE", 600.0)
    cells = notebook_of("1", "values = bytearray(b'a') * 500_000_000\ndel values")
    found = inside.report(cells, tmp_path)
    assert found["problem"] is None and 500_000_000 < found["peak"] < 800_000_000


def test_memory_that_processes_share_is_counted_once_and_the_rest_is_added() -> None:
    fork = """
import os, time
values = bytearray(b'a') * 600_000_000
if not (child := os.fork()):
    {does}
    time.sleep(1)
    os._exit(0)
os.waitpid(child, 0)
"""
    cells = [notebook_of(fork.format(does=does)) for does in ("pass", "values[:] = bytes(b'b') * 600_000_000")]
    sharing, apart = in_the_sandbox(cells)
    assert sharing.problem is apart.problem is None
    assert 600_000_000 < sharing.peak < 900_000_000 < 1_200_000_000 < apart.peak


LEAKS = {
    "state": "seen = globals().get('seen', 0) + 1\nprint(seen)",
    "generator": "import random\nif 'seeded' not in globals():\n    seeded = random.seed(0)\nprint(random.random())",
    "value": "seen = globals().get('seen', 0) + 1\nseen",
    "picture": """
from IPython.display import Image
from denoise_lib.display import png
import numpy as np
level = globals().get('level', 0) + 1
Image(png(np.full((4, 4), level, np.uint8)))
""",
}


@pytest.fixture(scope="module")
def leaking() -> dict[str, Outcome]:
    quiet = notebook_of(LEAKS["state"], "import time\nprint(f'{time.time() % 60:.3f} s')", "print('always')")
    quiet.cells[0].metadata["tags"] = [IGNORED]
    notebooks = {name: notebook_of(source, "print('always')") for name, source in LEAKS.items()} | {"quiet": quiet}
    notebooks["stops"] = notebook_of("assert 'seen' not in globals()\nseen = True")
    return dict(zip(notebooks, in_the_sandbox([twice(notebook) for notebook in notebooks.values()]), strict=True))


@pytest.mark.parametrize("name", LEAKS)
def test_what_leaks_from_one_pass_to_the_next_is_seen(name: str, leaking: dict[str, Outcome]) -> None:
    assert complaints(leaking[name]) == []
    (difference,) = differences(*halves(leaking[name]))
    assert difference.startswith(LEAKS[name].splitlines()[0])


def test_what_may_differ_is_no_leak(leaking: dict[str, Outcome]) -> None:
    assert complaints(leaking["quiet"]) == [] and differences(*halves(leaking["quiet"])) == []
    first, second = halves(leaking["quiet"])
    assert [cell.outputs[0].text for cell in first.cells[:1]] != [cell.outputs[0].text for cell in second.cells[:1]]


def test_a_second_pass_that_stops_is_seen(leaking: dict[str, Outcome]) -> None:
    (complaint,) = complaints(leaking["stops"])
    assert complaint.startswith("cell 2")


def test_a_killed_kernel_and_what_it_leaves_are_seen() -> None:
    trains = notebook_of(
        "from pathlib import Path\nPath('mine').touch()\nPath.home().joinpath('.cache').mkdir(exist_ok=True)\n"
        "Path.home().joinpath('.cache', 'run.part').touch(exist_ok=False)",
        "import torch\nweight = torch.nn.Parameter(torch.zeros(1))\noptimizer = torch.optim.SGD([weight])\n"
        "for _ in range(5):\n    weight.grad = torch.ones(1)\n    optimizer.step()\n    print('step')",
    )
    dead, again = in_the_sandbox([before(trains, 1, KILL.format(step=3)), trains], folder=WRITABLE)
    assert dead.problem is not None and dead.problem.startswith("cell 3 [import torch]: DeadKernelError")
    assert dead.left == again.left == [".cache/run.part", "course/mine"]
    (complaint,) = complaints(again)
    assert "FileExistsError" in complaint


def test_a_headline_outside_of_its_band_and_a_traceback_are_complaints() -> None:
    line = "headline  {}: 1.9 dB   band 2.0 .. 3.0   {}"
    (outcome,) = in_the_sandbox([notebook_of(
        f"print({line.format('good', 'ok')!r})",
        f"print({line.format('bad', 'OUTSIDE')!r})",
        "import sys, traceback\ntry:\n    1 / 0\nexcept ArithmeticError:\n    traceback.print_exc(file=sys.stderr)",
    )])  # fmt: skip
    outside, shown_error = complaints(outcome)
    assert "bad is 1.9 dB" in outside and "ZeroDivisionError" in shown_error
    assert headlines(outcome.notebook) == ["good"]
