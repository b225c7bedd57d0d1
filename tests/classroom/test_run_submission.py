"""Students' code in the sandbox: what it cannot reach, what it cannot forge, and that every notebook gets to its end.

A start of the worker takes seconds, so many attacks stand in one notebook; what is forged comes from a worker that is none.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from package_walk import MODULES

from denoise_lib.classroom.sandbox import bubblewrap as fencing
from denoise_lib.classroom.sandbox import process as processing
from denoise_lib.classroom.sandbox import run_submission as examining
from denoise_lib.classroom.sandbox.bubblewrap import STRONG, WEAK, SandboxMissingError, choose_sandbox, command
from denoise_lib.classroom.sandbox.process import CRASHED, TIMED_OUT, Limits, WorkerError
from denoise_lib.classroom.sandbox.run_submission import MISSING, SubmissionReport, run_submission
from denoise_lib.classroom.sandbox.worker import NUMBERS_LIMIT, TEXT_LIMIT, CappedText, definitions, short_error, shortened
from denoise_lib.exercises.checker import EXERCISES
from denoise_lib.exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG
from denoise_lib.exercises.judging import CallRecord, attempt

pytestmark = pytest.mark.slow
needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None and not os.environ.get("DENOISE_NEED_SANDBOX"), reason="there is no bubblewrap"
)
PATIENT = Limits(cell_seconds=60, function_seconds=30, total_seconds=200)
QUICK = Limits(cell_seconds=60, function_seconds=2, total_seconds=200, memory_gb=2)
RIGHT_BLEND = "def blend(image, noise, mu):\n    return ((1 - mu) * image + mu * noise).clamp(0, 1)"
SEED = 3


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the examination makes its folders; nothing may be left there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.glob("denoise-class-*"))


def examined(cells: list[str], functions: list[str], answers: list[str] | None = None, **options: Any) -> SubmissionReport:
    """Examine, and demand what holds for every notebook: an outcome for each function, all of it fit for a file."""
    options = {"sandbox": STRONG, "limits": PATIENT, **options}
    begin = time.monotonic()
    found = run_submission(cells, functions, answers or [], seed=SEED, **options)
    assert time.monotonic() - begin < options["limits"].total_seconds + 20
    assert list(found.outcomes) == functions
    for outcome in found.outcomes.values():
        assert outcome.status in (NOT_ATTEMPTED, RIGHT, WRONG, MISSING, CRASHED, TIMED_OUT)
        assert outcome.sentence and len(outcome.sentence) < 2000
    json.dumps({**asdict(found), "runs": None}, ensure_ascii=False).encode("utf-8")
    for told in found.cells.values():
        assert len(told["text"]) <= TEXT_LIMIT + 20 and len(told["error"] or "") <= 300
    return found


def notebook(text: str) -> list[str]:
    """Cells, each after a line `# %%`."""
    return [part.strip("\n") for part in text.split("# %%\n")[1:]]


def shown(found: SubmissionReport, place: int) -> Any:
    """What a cell printed, as JSON."""
    told = found.cells[place]
    assert told["error"] is None, told["error"]
    return json.loads(told["text"])


# --- what cannot be forged: a worker that sends what it likes ---------------------------------------------------------


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """`forge(script)`: in place of the worker, this Python script; it has `tell(line)` and `say(**message)`."""

    def put(script: str) -> None:
        path = tmp_path / "worker.py"
        path.write_text(f"{FORGER}{script}\n", encoding="utf-8")
        monkeypatch.setattr(processing, "command", lambda sandbox, job: ([sys.executable, "-I", "-S", str(path)], {}))

    return put


FORGER = """
import json, os, sys, time
def tell(line):
    line = line if isinstance(line, bytes) else line.encode()
    os.write(1, line + b"\\n")
def say(**message):
    tell(json.dumps(message))
"""
MADE_UP = [
    "hello", "[]", "3", '"x"', "null", "NaN", "", "{", "[" * 100_000, "1" * 5_000, '{"a":' * 50_000,
    '{"cell": "x"}', '{"cell": 99}', '{"cell": NaN}', '{"cell": 1e999}', '{"cell": []}', '{"cell": 0}',
    '{"cell": 0, "text": 3, "error": null, "pictures": []}', '{"cell": 0, "text": "", "error": [], "pictures": []}',
    '{"cell": 0, "text": "", "error": null, "pictures": 3}', '{"cell": 0, "text": "", "error": null, "pictures": [3]}',
    '{"begin": "cell x"}', '{"begin": "cell 99"}', '{"begin": "set-up"}', '{"begin": []}', '{"begin": {"a": 1}}',
    '{"begin": "function nothing"}', '{"begin": "x"}', '{"answers": [1]}', '{"answers": 3}', '{"answers": {"clipped": 3}}',
    '{"answers": null}', '{"function": []}', '{"function": {}}', '{"function": null}', '{"function": "nothing"}',
    '{"finished": true}', '{"finished": 1}',
]  # fmt: skip


@pytest.mark.parametrize("line", [*MADE_UP, b"\xff\xfe", b"\x00", b'{"cell": "\xff"}'], ids=range(len(MADE_UP) + 3))
def test_a_forged_line_ends_the_step_and_nothing_else(line: str | bytes, forge: Callable[[str], None]) -> None:
    forge(f"say(begin='cell 0')\ntell({line!r})\ntime.sleep(30)")
    found = examined(["x"], ["blend"], ["clipped"])
    assert found.outcomes["blend"].status == CRASHED
    assert found.notes[0] == "Code cell 1 wrote on the line to the grader."
    assert found.answers == {} and found.raw == {}


@pytest.mark.parametrize(
    "runs",
    [
        "3", '"right"', "[]", "[[]]", "{}", "true", '[{"status": "right"}]', "[[[[[[]]]]]]",
        json.dumps([{**CallRecord().packed(), "numbers": numbers} for numbers in ([], [[[0], []]], [[[2], [1.0, 2.0]]])]),
        json.dumps([{**CallRecord().packed(), "numbers": [[[-1], [1.0]]], "raised": 3}] * 3),
        json.dumps([{**CallRecord().packed(), "numbers": [[[2**62, 4], []]]}] * 3),
        json.dumps([{**CallRecord().packed(), "numbers": [[[1], [10**400]]]}] * 3),
        json.dumps([{**CallRecord().packed(), "numbers": [[[3, 1, 6, 5], [float("nan")] * 90]], "type": "Tensor"}] * 3),
        json.dumps([{**CallRecord().packed(), "numbers": [[[3, 1, 6, 5], [float("inf")] * 90]], "dtype": "\ud800"}] * 3),
        json.dumps([{**CallRecord().packed(), "raised": "\ud800 \x00 <script>" * 100}] * 3),
        json.dumps([{**CallRecord().packed(), "numbers": [[[0], []]]}] * 100),
    ],
    ids=range(16),
)  # fmt: skip
def test_runs_that_are_made_up_are_not_right(runs: str, forge: Callable[[str], None]) -> None:
    line = f'{{"function": "blend", "runs": {runs}}}'
    forge(f"say(begin='function blend')\ntell({line!r})\nsay(finished=True)")
    outcome = examined([], ["blend"]).outcomes["blend"]
    assert outcome.status in (WRONG, CRASHED), outcome


def test_only_the_right_numbers_are_right(forge: Callable[[str], None]) -> None:
    # Whoever sends the numbers of a right function has written one: they depend on arguments that only a run shows.
    right = attempt(EXERCISES["blend"], EXERCISES["blend"].solution, examining._seed_of_arguments(SEED))
    others = attempt(EXERCISES["blend"], EXERCISES["blend"].solution, SEED)
    for runs, status in ((right, RIGHT), (others, WRONG)):
        packed = [run.packed() for run in runs]
        forge(f"say(begin='function blend')\nsay(function='blend', runs={packed!r})\nsay(finished=True)")
        assert examined([], ["blend"]).outcomes["blend"].status == status


@pytest.mark.parametrize(
    ("flood", "why"),
    [
        ("while True: tell('{}')", "took too long"),
        ("while True: say(begin='cell 0', more=' ' * 60_000)", "took too long"),
        ("while True: os.write(1, b'x' * 2**20)", "wrote on the line to the grader"),
        ("time.sleep(1000)", "took too long"),
        ("os.close(1)\ntime.sleep(1000)", "ended the process"),
        ("os.kill(os.getpid(), 19)", "took too long"),
    ],
)
def test_a_flood_and_a_silence_come_to_an_end(flood: str, why: str, forge: Callable[[str], None]) -> None:
    forge(f"say(begin='cell 0')\n{flood}")
    begin = time.monotonic()
    found = examined(["x"], ["blend"], limits=Limits(1.0, 1.0, 5.0, 3.0))
    assert time.monotonic() - begin < 15
    assert found.outcomes["blend"].status in (TIMED_OUT, CRASHED)
    assert found.notes[0] == f"Code cell 1 {why}."


def test_what_is_kept_of_a_cell_is_fit_for_a_page(forge: Callable[[str], None]) -> None:
    png = "iVBORw0KGgo="
    told = {"cell": 0, "text": "a\ud800b" + "x" * 10**6, "error": "e" * 1000, "pictures": ['"><script>', png + "\n"]}
    forge(
        f"say(begin='cell 0')\nsay(**{told!r})\nsay(**{ {**told, 'cell': 1, 'error': None}!r})\n"
        "say(answers={'clipped': 'B\\ud800', 'nobody': 'asked'})\nsay(finished=True)"
    )
    found = examined(["x", "y"], [], ["clipped"])
    assert found.cells[0]["text"].startswith("a?bxxx") and found.cells[0]["pictures"] == [png]
    assert found.cells[0]["error"] == "e" * 300 and found.cells[1]["error"] is None
    assert found.answers == {"clipped": "B?"}


def test_a_worker_that_does_not_start_is_no_students_fault(forge: Callable[[str], None]) -> None:
    forge("sys.exit('no module named torch')")
    with pytest.raises(WorkerError, match="no module named torch"):
        run_submission(["x"], ["blend"], [], seed=SEED, sandbox=WEAK)
    forge("os.close(2)\ntime.sleep(100)")
    with pytest.raises(WorkerError, match="took too long"):
        run_submission(["x"], ["blend"], [], seed=SEED, sandbox=WEAK, limits=Limits(start_seconds=0.5))


def test_the_time_of_all_is_the_end_of_all(forge: Callable[[str], None]) -> None:
    # Each start dies in another step; without an end of all, fifty cells would take fifty starts.
    forge("time.sleep(0.3)\nstep = int(time.time() * 10) % 50\nsay(begin=f'cell {step}')")
    begin = time.monotonic()
    found = examined([f"x{i}" for i in range(50)], ["blend"], limits=Limits(total_seconds=2.0))
    assert time.monotonic() - begin < 10
    assert found.outcomes["blend"].status in (CRASHED, TIMED_OUT)
    assert "could not be run as far" in found.outcomes["blend"].sentence


# --- parts ---------------------------------------------------------------------------------------------------------------


def test_a_stream_keeps_the_beginning_alone() -> None:
    stream = CappedText()
    for _ in range(100):
        assert stream.write("x" * 10**6) == 10**6
    assert stream.text() == "x" * TEXT_LIMIT + "\n... (cut)"


def test_definitions_are_what_can_be_run_without_the_rest() -> None:
    source = "import math\n%matplotlib inline\nx = [3, 2 * 8]\nf = lambda: g()\ny = f()\n"
    source += "def g():\n    return x\nclass C:\n    pass\nwhile True: pass"
    assert definitions(source).splitlines() == [
        "import math", "x = [3, 2 * 8]", "f = lambda: g()", "", "def g():", "    return x", "", "class C:", "    pass",
    ]  # fmt: skip
    for broken in ("def f(:", "\x00", "(" * 10_000, "\ud800", "-" * 100_000 + "1"):
        assert definitions(broken) == ""


def test_an_error_is_told_whatever_its_words_do() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert short_error(Mute()) == "Mute"
    assert short_error(ValueError("two\nlines")) == "ValueError: two lines"
    assert short_error(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_results_without_an_end_are_not_sent() -> None:
    import torch

    small, large = CallRecord([torch.zeros(10)], shown="s"), CallRecord([torch.zeros(NUMBERS_LIMIT)], shown="l")
    assert shortened([small, small]) == [small, small]
    assert [part.shape for run in shortened([small, large]) for part in run.numbers or []] == [(0,), (0,)]


def test_the_seed_of_the_class_stays_outside(forge: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []

    def look(sandbox: str, job: Path) -> tuple[list[str], dict[str, str]]:
        jobs.append(job.read_text(encoding="utf-8"))
        return [sys.executable, "-I", "-S", "-c", "print('{\"finished\": true}', flush=True)"], {}

    monkeypatch.setattr(processing, "command", look)
    run_submission([], [], [], seed=987_654_321, sandbox=WEAK)
    assert "987654321" not in jobs[0] and json.loads(jobs[0])["seed"] == examining._seed_of_arguments(987_654_321)


@pytest.mark.parametrize("sandbox", [pytest.param(STRONG, marks=needs_sandbox), WEAK])
def test_the_graders_environment_stays_outside(sandbox: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t")
    arguments, environment = command(sandbox, tmp_path / "job.json")
    assert "s3cr3t" not in str(arguments) + str(environment)
    assert not {"SECRET_TOKEN", "DISPLAY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"} & {*environment}


def test_a_sandbox_has_to_be_there_or_waived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fencing, "bubblewrap_works", lambda: False)
    assert choose_sandbox("weak") == WEAK
    for wanted in (None, STRONG):
        with pytest.raises(SandboxMissingError, match="--sandbox weak"):
            choose_sandbox(wanted)
    with pytest.raises(ValueError, match="must be 'bubblewrap' or 'weak'"):
        choose_sandbox("paper")


@needs_sandbox
def test_an_older_bubblewrap_is_not_asked_for_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fencing, "_option", lambda name: False)
    walls = fencing._walls(None)
    assert "--size" not in walls and "--disable-userns" not in walls
    assert subprocess.run([*walls, "true"], check=False, env={}).returncode == 0


@needs_sandbox
def test_the_classroom_is_hidden_by_whatever_path_one_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "real" / "lib" / "denoise_lib"
    shutil.copytree(fencing.package_folder() / "classroom", library / "classroom")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    prefixes = [tmp_path / name for name in ("link", "real")]
    monkeypatch.setattr(fencing, "package_folder", lambda: tmp_path / "link" / "lib" / "denoise_lib")
    monkeypatch.setattr(fencing, "readable_folders", lambda: [prefix / "lib" for prefix in prefixes])
    for prefix in prefixes:
        classroom = prefix / "lib" / "denoise_lib" / "classroom"
        assert (classroom / "verdicts.py").exists()
        listed = subprocess.run([*fencing._walls(None), "ls", str(classroom)], capture_output=True, check=True, env={})
        assert listed.stdout.split() == [b"__init__.py", b"sandbox"]
        inner = subprocess.run(
            [*fencing._walls(None), "ls", str(classroom / "sandbox")], capture_output=True, check=True, env={}
        )
        assert inner.stdout.split() == [b"__init__.py", b"worker.py"]


def test_of_a_prefix_python_alone_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bin", "lib", "etc", "course", ".git"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    inside = {path.relative_to(tmp_path).parts[0] for path in fencing.readable_folders() if path.is_relative_to(tmp_path)}
    assert inside == {"bin", "lib"}


@needs_sandbox
def test_there_is_a_sandbox_where_one_is_needed() -> None:
    assert choose_sandbox() == STRONG


# --- the strong sandbox -------------------------------------------------------------------------------------------------------

SPY_FILES = """
import glob, json, os
def opens(path):
    try:
        open(path, "rb").read(1)
        return True
    except OSError:
        return False
wanted = {"gradebook.db", "class.json", "question_bank.py", "verdicts.py", "leaderboard.py", ".git", "shadow", "secret.txt"}
seen = []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/usr", "/proc", "/sys", *PACKAGES)]
    seen += [os.path.join(folder, name) for name in [*folders, *files] if name in wanted]
print(json.dumps({
    "opened": [path for path in PATHS if opens(path) or os.path.exists(path)], "seen": seen,
    "root": sorted(os.listdir("/")), "settings": [*glob.glob("/usr/local/etc/*")],
    "classroom": sorted(os.path.relpath(os.path.join(at, x), CLASSROOM) for at, _, names in os.walk(CLASSROOM) for x in names),
}))
"""
SPY_PROCESSES = """
import json, os, re
told = {"environment": dict(os.environ), "processes": [], "descriptors": []}
for entry in os.listdir("/proc"):
    if entry.isdigit():
        told["processes"].append([open(f"/proc/{entry}/cmdline").read().split("\\0")[0], open(f"/proc/{entry}/environ").read()])
for number in range(100):
    try:
        target = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        continue
    told["descriptors"].append(re.sub(r"\\d+", "", target))
print(json.dumps(told))
"""
SPY_NETWORK = """
import json, socket
reached = []
for family, kind, address in ADDRESSES:
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        try:
            one.connect(tuple(address) if isinstance(address, list) else address)
            one.send(b"x")
            reached.append(address)
        except OSError:
            pass
for name in ("localhost", "example.com"):
    try:
        socket.getaddrinfo(name, 80, socket.AF_INET)
        reached.append(name)
    except OSError:
        pass
print(json.dumps(reached))
"""
WRITER = """
import json, os
written, sizes = [], {}
for path in PATHS:
    try:
        os.close(os.open(path, os.O_WRONLY | (0 if path.startswith("/proc") else os.O_CREAT)))
        written.append(path)
    except OSError:
        pass
for folder in ("/tmp", "/dev/shm", "/home/student"):
    count = 0
    try:
        while count < 20:
            with open(f"{folder}/{count}", "wb") as stream:
                stream.write(bytes(2**26))
            count += 1
    except OSError:
        pass
    sizes[folder] = count
    for number in range(count + 1):
        os.path.exists(f"{folder}/{number}") and os.remove(f"{folder}/{number}")
print(json.dumps([written, sizes]))
"""
NAMESPACES = """
import ctypes, json, os
library = ctypes.CDLL(None)
if os.fork() == 0:
    inside = library.unshare(0x10000000 | 0x20000) == 0 and library.mount(b"x", b"/tmp", b"tmpfs", 0, b"size=10G") == 0
    os._exit(int(inside))
print(json.dumps(os.waitstatus_to_exitcode(os.wait()[1])))
"""


@needs_sandbox
def test_nothing_outside_can_be_seen_reached_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = tmp_path / "course"
    for name in ("gradebook.db", "class.json", "handed_in/ann/ps1_noise.ipynb", "verdicts/ps1_noise/ann.json", "secret.txt"):
        path = course / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    monkeypatch.chdir(course)
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t")
    library = fencing.package_folder()
    listening = socket.create_server(("127.0.0.1", 0))
    abstract, named = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0denoise-{os.getpid()}")
    named.bind(str(tmp_path / "socket"))
    for one in (abstract, named):
        one.listen()
    hidden = [
        "/etc/shadow", "/etc/passwd", "/proc/kcore", "/sys/kernel", "/run", "/var", "/mnt",
        "/.dockerenv", str(Path.home() / ".bashrc"), str(course), str(course / "class.json"), str(library.parent / ".git"),
        str(library.parent / "tests"), str(library.parent / "notebooks"), str(library / "classroom" / "question_bank.py"),
        str(library / "classroom" / "__pycache__"), "/tmp/.X11-unix", "/var/run/docker.sock",
    ]  # fmt: skip
    elsewhere = [
        "/x", "/home/x", "/etc/x", "/job/x", "/job/job.json", "/dev/x", "/usr/x", f"{sys.prefix}/lib/x",
        str(Path(json.__file__).parent / "x"), str(library / "x"), str(library.parent / "x"), str(library / "classroom" / "x"),
        "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/fs/suid_dumpable", "/proc/sysrq-trigger",
    ]  # fmt: skip
    inet, unix, stream, datagram = map(int, (socket.AF_INET, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM))
    addresses: list[tuple[int, int, Any]] = [
        (inet, stream, listening.getsockname()), (inet, stream, ("1.1.1.1", 53)), (inet, datagram, ("8.8.8.8", 53)),
        (unix, stream, abstract.getsockname().decode()), (unix, stream, str(tmp_path / "socket")),
        (unix, stream, "/run/dbus/system_bus_socket"),
    ]  # fmt: skip
    packages = [str(path) for path in fencing.readable_folders() if path != library]
    modules = [name for name in MODULES if name.startswith("classroom.") and name != "classroom.sandbox.worker"]
    try:
        found = examined(
            [
                f"PATHS = {hidden!r}\nPACKAGES = {packages!r}\nCLASSROOM = {str(library / 'classroom')!r}\n{SPY_FILES}",
                SPY_PROCESSES,
                f"ADDRESSES = {addresses!r}\n{SPY_NETWORK}",
                f"PATHS = {elsewhere!r}\n{WRITER}",
                NAMESPACES,
                *(f"import denoise_lib.{name}" for name in modules),
                "import subprocess\nprint(json.dumps(subprocess.run(['id', '-u'], capture_output=True, text=True).stdout))",
                "print(open('mine.txt', 'w').write('x'))",
            ],
            [],
        )
    finally:
        for one in (listening, abstract, named):
            one.close()
    files = shown(found, 0)
    assert files["opened"] == [] and files["seen"] == [] and files["settings"] == []
    assert files["classroom"] == ["__init__.py", "sandbox/__init__.py", "sandbox/worker.py"]
    known = {"bin", "dev", "etc", "home", "job", "lib", "lib32", "lib64", "proc", "tmp", "usr"}
    assert {*files["root"]} <= known | {path.parts[1] for path in fencing.readable_folders()}
    told = shown(found, 1)
    assert [Path(name).name.startswith(("bwrap", "python")) for name, _ in told["processes"]] == [True, True]
    assert "s3cr3t" not in json.dumps(told) and str(course) not in json.dumps(told)
    history = f"{fencing.HOME}/.ipython/profile_default/history.sqlite"
    assert {*told["descriptors"]} == {"/dev/null", "pipe:[]", history} and told["descriptors"].count("pipe:[]") == 1
    assert shown(found, 2) == []
    written, sizes = shown(found, 3)
    # Where the library itself lies below /tmp, the folder above it is one in the student's memory, and not the machine's.
    assert [path for path in written if not path.startswith("/tmp/")] == []
    assert not [path for path in elsewhere if path.endswith("/x") and Path(path).exists()]
    assert all(0 < size <= 4 for size in sizes.values()), sizes
    assert shown(found, 4) == (0 if fencing._option("--disable-userns") else 1)
    assert "classroom.question_bank" in modules and "classroom.sandbox.run_submission" in modules
    for place, name in enumerate(modules, 5):
        assert found.cells[place]["error"].startswith("ModuleNotFoundError"), name
    assert shown(found, 5 + len(modules)) == "1000\n"
    assert shown(found, 6 + len(modules)) == 1
    assert found.notes == []


ODD_CELLS = notebook(r"""
# %%
def broken(:
# %%
# only a comment
# %%
# %%
if 1:
	x = 1
        y = 2
# %%
print('x' * 10**8)
# %%
1 / 0
# %%
from IPython.display import HTML, Image, display
display(HTML('x' * 10**7))
# %%
import os
os.write(1, b'{"finished": true}\n' * 1000)
os.write(2, b'x')
# %%
%%bash
echo bash
# %%
!echo shell
# %%
%%writefile other.py
z = 4
# %%
%run other.py
# %%
print(z)
# %%
%nonsense
# %%
input('name?')
# %%
import asyncio
await asyncio.sleep(0)
print('awaited')
# %%
class E(Exception):
    def __str__(self): raise RuntimeError
raise E
# %%
class F(Exception):
    def __str__(self): raise SystemExit
raise F
# %%
class B(BaseException): pass
raise B('b')
# %%
raise KeyboardInterrupt
# %%
raise SystemExit('bye')
# %%
exit()
# %%
quit
# %%
import sys
sys.stdout = None
# %%
import sys
sys.stdout.close()
sys.stderr = 3
# %%
print('still here')
# %%
import warnings, logging, sys
warnings.warn('w')
logging.error('l')
sys.stderr.write('e')
# %%
def f(n): return f(n + 1)
f(0)
# %%
import threading, time
threading.Thread(target=lambda: 1 / 0).start()
threading.Thread(target=time.sleep, args=(1000,)).start()
# %%
x = [0] * 10**12
# %%
get_ipython().display_pub = None
# %%
import sys
sys.setrecursionlimit(10**6)
# %%
return 5
# %%
nonlocal x
# %%
del __builtins__
# %%
import torch
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.set_num_threads(4)
# %%
display({'image/png': '"><script>alert(1)</script>'}, raw=True)
display(Image(data=b'no png', format='png'))
# %%
import matplotlib.pyplot as plt
for i in range(3):
    plt.figure()
    plt.plot([i])
    plt.show()
# %%
class Odd:
    def __getattr__(self, name): raise RuntimeError(name)
    def __call__(self): pass
    def __bool__(self): raise ValueError
    def __eq__(self, other): raise ValueError
    __hash__ = None
    __class__ = property(lambda self: str)
to_float = Odd()
odd = Odd()
# %%
class S(str):
    def strip(self, *a): return 7
    def __getitem__(self, i): return 8
subclass = S(' C ')
# %%
number = 4
blank = '  \t '
# %%
import os
if os.fork() == 0:
    raise ValueError('a copy')
# %%
clipped = 'B'
""")
ODD_CELLS += [
    "   \n\t\n", "x = 1\x0c\ny = 2\x0c", "x = 'a\x00b'", "x = '\ud800'", "print('\ud800')\nraise ValueError('\udfff')",
    f"x = '{'a' * 3_000_000}'", RIGHT_BLEND, *(f"x{i} = {i}" for i in range(400)),
]  # fmt: skip


@needs_sandbox
def test_odd_cells_do_no_harm_to_what_follows() -> None:
    letters = ["clipped", "odd", "subclass", "number", "blank", "nowhere"]
    found = examined(ODD_CELLS, ["blend", "to_float", "mean_psnr"], letters)
    assert found.notes == [] and len(found.cells) == len(ODD_CELLS)
    assert found.answers == {"clipped": "B", "subclass": "C"}
    assert [found.outcomes[name].status for name in found.outcomes] == [RIGHT, WRONG, MISSING]
    texts = "".join(told["text"] for told in found.cells.values())
    assert all(word in texts for word in ("bash\n", "shell", "4\n", "awaited", "still here", "... (cut)"))
    errors = [told["error"] or "" for told in found.cells.values()]
    known = ("SyntaxError", "TabError", "UnicodeEncodeError", "EOFError", "E", "B: b", "KeyboardInterrupt", "SystemExit: bye")
    for error in known:
        assert any(one.startswith(error) for one in errors), error
    assert [len(told["pictures"]) for told in found.cells.values() if told["pictures"]] == [2]


# After `#`: the status, and the mistake where it is one of the general ones.
ODD_FUNCTIONS = notebook("""
# %%
# wrong: wrong type
class NAME:
    def __init__(self, *a): pass
# %%
# wrong
import torch
class M(torch.nn.Module):
    def forward(self, *a): return a[0]
NAME = M()
# %%
# wrong
import functools
NAME = functools.partial(lambda *a: 3)
# %%
# wrong: wrong type
def NAME(*a):
    yield 3
# %%
# wrong: wrong type
async def NAME(*a):
    return 3
# %%
# wrong
import time
def NAME(*a):
    time.sleep(0.2)
    return 1
# %%
# wrong
kept = []
def NAME(*a):
    kept.append(1)
    return len(kept)
# %%
# wrong: wrong shape
def NAME(*a):
    return torch.zeros(3000, 3000)
# %%
# wrong: raises
def NAME(*a):
    raise ValueError('\\ud800 half')
# %%
# wrong: raises
def NAME(*a):
    raise KeyboardInterrupt
# %%
# wrong: raises
class E(Exception):
    def __str__(self): raise SystemExit
def NAME(*a):
    raise E
# %%
# wrong: wrong type
def NAME(*a):
    return 10**400
# %%
# wrong: wrong type
def NAME(*a):
    x = []
    x.append(x)
    return x
# %%
# wrong: raises
class O:
    def __len__(self): raise SystemExit
    __class__ = property(lambda s: list)
def NAME(*a):
    return O()
# %%
# wrong: wrong type
def NAME(*a):
    return torch.zeros(3, device='meta')
# %%
# wrong: wrong type
def NAME(*a):
    return torch.zeros(3, 3).to_sparse()
# %%
# wrong: wrong type
import numpy as np
def NAME(*a):
    return np.array([object()])
# %%
# wrong
import sys
def NAME(*a):
    sys.stdout.close()
    sys.stdout = None
    print('x')
    return 'x'
# %%
# wrong: raises
def NAME(*a):
    return NAME(*a)
# %%
# wrong
def NAME(*a):
    print('x' * 10**8)
    return 'y' * 10**8
# %%
# missing
NAME = 3
# %%
# wrong: returns nothing
NAME = print
# %%
# not attempted
def NAME(a, b=3, *c, **d):
    ...
# %%
# not attempted
def NAME(*a):
    raise NotImplementedError
# %%
# wrong: wrong type
import os
def NAME(*a):
    os.fork()
    return 'x'
# %%
# wrong: raises
import signal
def late(*a):
    raise TimeoutError('mine')
def NAME(*a):
    signal.signal(signal.SIGALRM, late)
    signal.alarm(1)
    signal.pause()
# %%
# wrong
def same(function):
    return functools.wraps(function)(lambda *a: function(*a))
@same
def NAME(*a):
    return 'x'
""")


@needs_sandbox
def test_odd_functions_are_wrong_and_the_others_are_judged() -> None:
    names = [name for name in EXERCISES if name not in ("blend", "two_copies")][: len(ODD_FUNCTIONS)]
    cells = [text.replace("NAME", name) for name, text in zip(names, ODD_FUNCTIONS, strict=True)]
    found = examined([*cells, RIGHT_BLEND], [*names, "blend"])
    for name, text in zip(names, ODD_FUNCTIONS, strict=True):
        status, _, mistake = text.split("\n")[0].removeprefix("# ").partition(": ")
        outcome = found.outcomes[name]
        assert outcome.status == status and mistake in ("", outcome.mistake), (text, outcome)
    assert found.outcomes["blend"].status == RIGHT and found.notes == []


FORGES = """for i in range(3, 50):
        try:
            os.write(i, b'{"finished": true}\\n')
        except OSError:
            pass"""
FORKS = """for i in range(200):
        if os.fork() == 0:
            time.sleep(1000)
    time.sleep(100)"""
ENDS = [
    ("os._exit(0)", CRASHED, "ended the process"),
    ("ctypes.string_at(0)", CRASHED, "ended the process"),
    ("os.kill(os.getpid(), 19)", TIMED_OUT, "took too long"),
    (FORGES, CRASHED, "wrote on the line to the grader"),
    (FORKS, CRASHED, "started too many processes"),
]
DAEMONS = """
import ctypes, os, subprocess, time
for i in range(20):
    subprocess.Popen(["bash", "-c", "exec -a MARK sleep 1000"], start_new_session=True)
os.system("nohup setsid bash -c 'exec -a MARK sleep 1000' > /dev/null 2>&1 &")
time.sleep(0.2)
"""


@needs_sandbox
def test_whatever_ends_the_process_costs_one_function_and_leaves_nothing(tmp_path: Path) -> None:
    """The worker is started again after each of them; what it has started must end with it."""
    mark = f"denoise-mark-{os.getpid()}"
    names = list(EXERCISES)[1 : len(ENDS) + 1]
    cells = [f"def {name}(*a):\n    {text}" for name, (text, _, _) in zip(names, ENDS, strict=True)]
    most = []

    def count() -> int:
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return sum(line.startswith(mark) for line in listed.splitlines())

    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.3):
            most.append(count())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        limits = replace(QUICK, function_seconds=15)  # a busy machine takes seconds to start a process again
        cells = [DAEMONS.replace("MARK", mark), *cells, RIGHT_BLEND, "clipped = 'B'"]
        found = examined(cells, [*names, "blend"], ["clipped"], limits=limits)
        left = count()
    finally:
        watching.set()
        thread.join()
    assert max(most) >= 20 and left == 0
    listed = subprocess.run(["ps", "-eo", "ppid,stat,args"], capture_output=True, text=True, check=True).stdout
    children = [line.split(maxsplit=2)[1:] for line in listed.splitlines()[1:] if int(line.split()[0]) == os.getpid()]
    assert not [one for one in children if one[0].startswith("Z") or "bwrap" in one[1]]
    for name, (_, status, why) in zip(names, ENDS, strict=True):
        assert found.outcomes[name].status == status, found.outcomes[name]
        assert f"The function {name} {why}." in found.notes
    assert found.outcomes["blend"].status == RIGHT and found.answers == {"clipped": "B"}


@needs_sandbox
def test_cells_that_do_not_end_cost_what_they_hold() -> None:
    found = examined(
        [
            f"{RIGHT_BLEND}\nclipped = 'B'\nto_float = lambda image: image / 255\nwith_variance = max(iter(int, 1))",
            "import os\ndef mean_psnr(noisy, clean, kept=os._exit(1)):\n    return 3",
            "import mmap, time\nheld = mmap.mmap(-1, 2**33)\nfor i in range(0, 2**33, 4096): held[i] = 1\ntime.sleep(100)",
            "import os, json\nprint(json.dumps(0))\ntry:\n    bytearray(2**32)\nexcept MemoryError:\n    print('no memory')",
        ],
        ["blend", "to_float", "mean_psnr", "with_variance", "two_copies"], ["clipped"],
        limits=Limits(cell_seconds=6, function_seconds=5, total_seconds=120, memory_gb=1),
    )  # fmt: skip
    status = {name: outcome.status for name, outcome in found.outcomes.items()}
    assert status == {
        "blend": RIGHT, "to_float": RIGHT, "mean_psnr": CRASHED, "with_variance": TIMED_OUT, "two_copies": MISSING,
    }  # fmt: skip
    assert "the cell with the function mean_psnr ended the process" in found.outcomes["mean_psnr"].sentence
    assert found.answers == {"clipped": "B"} and "no memory" in found.cells[3]["text"]
    assert found.notes == [
        "Code cell 1 took too long.", "Code cell 2 ended the process.",
        "Code cell 2 (its definitions alone) ended the process.", "Code cell 3 took too much memory.",
    ]  # fmt: skip


@needs_sandbox
def test_the_judge_outside_is_not_fooled() -> None:
    easier = """
import torch, json
from dataclasses import replace
import denoise_lib.exercises.exercise as exercise, denoise_lib.exercises.checker as checks
import denoise_lib.exercises.judging as judging
known = checks.EXERCISES
known["blend"] = replace(known["blend"], arguments=lambda g: (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), 0.0))
object.__setattr__(known["to_float"], "observe", lambda a, o: torch.zeros(2, 3))
object.__setattr__(known["mean_psnr"], "tolerance", 1e9)
object.__setattr__(known["with_variance"], "cases", 0)
object.__setattr__(known["two_copies"], "solution", lambda *a: 1)
del known["exchange"]
torch.allclose = torch.equal = lambda *a, **k: True
judging._alike = lambda *a: True
judging.compare = judging.judge = lambda *a: exercise.Outcome("x", "right", None, "right.")
judging.attempt = lambda *a: [judging.CallRecord()] * 3
def blend(image, noise, mu): return image * 0
def to_float(image): return image
def mean_psnr(a, b): return 1.0
def with_variance(*a): return 1
def two_copies(*a): return 1
def exchange(*a): return 1
"""
    names = ["blend", "to_float", "mean_psnr", "with_variance", "two_copies", "exchange"]
    found = examined([easier], names)
    assert {outcome.status for outcome in found.outcomes.values()} <= {WRONG, CRASHED}
    assert found.notes == [] and set(found.outcomes) == {*names}


# --- both sandboxes-----------------------------------------------------------------------------------------------------------

COURSE_WORK = notebook("""
# %%
%matplotlib inline
import json, math, tempfile
from pathlib import Path
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from denoise_lib import TNet, load_pretrained, mnist, photos, psnr
from denoise_lib.exercises import check
# %%
digits = mnist('test', 'small')
print(json.dumps([list(digits.shape), list(photos('test').shape), type(load_pretrained('unet-moderate')).__name__]))
# %%
plt.imshow(digits[0, 0])
plt.title(r'$\\alpha$')
plt.show()
# %%
def blend(image, noise, mu):
    return ((1 - mu) * image + mu * noise).clamp(0, 1)
# %%
check.blend(blend)
check.blend.hint()
check.report('blend')
check.export('mine.csv')
# %%
with tempfile.TemporaryDirectory() as folder:
    Path(folder, 'x').write_text('kept')
    print(json.dumps(Path(folder, 'x').read_text()))
# %%
torch.save({'x': digits}, 'x.pt')
np.save('x.npy', np.zeros(3))
plt.plot([1])
plt.savefig('x.png')
plt.close()
print(json.dumps([len(torch.load('x.pt')), len(np.load('x.npy')), Path('x.png').exists()]))
# %%
from denoise_lib.handing_in import hand_in
hand_in(TNet())
# %%
import asyncio
async def slowly():
    await asyncio.sleep(0.01)
    return 3
print(json.dumps(await slowly()))
# %%
from torch.utils.data import DataLoader
print(json.dumps(len(list(DataLoader(digits, batch_size=500)))))
# %%
x = torch.rand(2, 3, 32, 32, requires_grad=True)
TNet()(x).sum().backward()
print(json.dumps(list(x.grad.shape)))
# %%
import torchvision
from skimage.restoration import denoise_tv_chambolle
print(json.dumps(list(denoise_tv_chambolle(np.zeros((8, 8))).shape)))
""")
OUTSIDE = """
import json, os, shutil, socket, subprocess
from pathlib import Path
done = []
def can(what):
    try:
        what()
        done.append(what.__name__)
    except (PermissionError, OSError):
        pass
@can
def read(): open(COURSE / "class.json").read()
@can
def listed(): os.listdir(COURSE)
@can
def written(): open(COURSE / "new", "w")
@can
def appended(): (COURSE / "class.json").open("a")
@can
def emptied(): os.open(COURSE / "class.json", os.O_TRUNC)
@can
def created(): os.close(os.open(str(COURSE / "new"), os.O_CREAT))
@can
def removed(): (COURSE / "class.json").unlink()
@can
def renamed(): (COURSE / "class.json").rename("mine.json")
@can
def moved(): shutil.move(COURSE / "class.json", "mine.json")
@can
def made(): (COURSE / "folder").mkdir()
@can
def deleted(): shutil.rmtree(COURSE)
@can
def touched(): os.utime(COURSE / "class.json")
@can
def linked(): os.symlink("/etc/passwd", COURSE / "link")
@can
def secret(): open("/etc/passwd")
@can
def connected(): socket.create_connection(("127.0.0.1", PORT), timeout=1)
@can
def looked_up(): socket.getaddrinfo("localhost", 80)
@can
def started(): subprocess.run(["true"])
@can
def shell(): os.system("true")
@can
def forked(): os.fork() or os._exit(0)
@can
def killed(): os.kill(os.getppid(), 0)
print(json.dumps(done))
"""


def check_course_work(found: SubmissionReport) -> None:
    assert [told["error"] for told in list(found.cells.values())[: len(COURSE_WORK)]] == [None] * len(COURSE_WORK)
    assert shown(found, 1) == [[1000, 1, 28, 28], [2, 3, 256, 256], "UNet"]
    assert len(found.cells[2]["pictures"]) == 1
    assert "blend: right." in found.cells[4]["text"] and "written: mine.csv" in found.cells[4]["text"]
    assert [shown(found, place) for place in (5, 6, 8, 9, 10, 11)] == ["kept", [1, 3, True], 3, 2, [2, 3, 32, 32], [8, 8]]
    assert found.cells[7]["text"].startswith("ready: ")
    assert found.outcomes["blend"].status == RIGHT


@needs_sandbox
def test_course_work_runs_behind_the_strong_sandbox() -> None:
    found = examined(COURSE_WORK, ["blend"])
    check_course_work(found)
    assert found.notes == []


@pytest.mark.skipif(sys.platform == "win32", reason="the worker's line needs a system of the Unix kind")
def test_the_weak_sandbox_stops_accidents_and_lets_course_work_through(tmp_path: Path) -> None:
    course = tmp_path / "course"
    course.mkdir()
    (course / "class.json").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        outside = OUTSIDE.replace("COURSE", f"Path({str(course)!r})").replace("PORT", str(listening.getsockname()[1]))
        accident = "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nos.path.exists('job.json') and 1 / 0"
        found = examined(
            [*COURSE_WORK, outside, accident, "def to_float(image):\n    __import__('os')._exit(1)"],
            ["to_float", "blend"], sandbox=WEAK,
        )  # fmt: skip
    check_course_work(found)
    assert shown(found, len(COURSE_WORK)) == []
    assert [path.name for path in course.iterdir()] == ["class.json"] and (course / "class.json").read_text() == "secret"
    assert found.cells[len(COURSE_WORK) + 1]["error"] is None
    assert found.outcomes["to_float"].status == CRASHED  # and the process after it found a folder of its own
