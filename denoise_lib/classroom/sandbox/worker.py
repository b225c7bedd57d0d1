"""Runs in the sandbox: a student's cells, then each function on the exercises' arguments. What it finds is judged outside.

The job is a JSON file. What comes of it is told line by line, as JSON, on what was the standard output; there the grader sees
which step is at work when a step takes too long or takes the process down, and starts again without it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ...exercises.judging import CallRecord

TEXT_LIMIT = 4_000
"""Characters of a cell's output that are kept."""
IMAGE_LIMIT = 200_000
"""Bytes of a picture that is kept."""
NUMBERS_LIMIT = 50_000
"""Numbers of a function's results that are sent; no exercise asks for a hundredth of them."""


class CappedText(io.TextIOBase):
    """A stream that keeps the first characters and forgets the rest: 100 MB of output cost nothing."""

    def __init__(self) -> None:
        self.kept = ""
        self.lost = False

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Keep what still fits."""
        if not self.lost:
            free = TEXT_LIMIT - len(self.kept)
            self.kept += text[:free]
            self.lost = len(text) > free
        return len(text)

    def text(self) -> str:
        """What was kept, and whether there was more."""
        return self.kept + ("\n... (cut)" if self.lost else "")


class MessageWriter:
    """The line to the grader. The descriptor is the worker's own; a student's prints go elsewhere."""

    def __init__(self) -> None:
        self._stream: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._process = os.getpid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)

    def tell(self, **message: Any) -> None:
        """One message, at once; a copy of the process that a student's code has made ends here instead."""
        if os.getpid() != self._process:
            os._exit(0)
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


class CellRunner:
    """The IPython shell in which a student's cells run, without a kernel, a history or a display."""

    def __init__(self) -> None:
        from IPython.core.displaypub import CapturingDisplayPublisher
        from IPython.core.interactiveshell import InteractiveShell

        class Shell(InteractiveShell):  # type: ignore[misc]
            def enable_gui(self, gui: str | None = None) -> None:
                """There are no windows; %matplotlib asks for them."""

            def ask_exit(self) -> None:
                """exit() and quit() are an error of the cell, as they are in a script."""
                raise SystemExit

        self.shell: Any = Shell.instance()
        self.shell.history_manager.enabled = False  # type: ignore[union-attr]
        self._display = CapturingDisplayPublisher(parent=self.shell)

    def run(self, source: str) -> dict[str, Any]:
        """Run a cell; returns its text, pictures, and the error that ended it."""
        stream = CappedText()
        self.shell.display_pub = self._display
        self._display.outputs.clear()
        before = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = stream
        try:
            result = self.shell.run_cell(source, store_history=False)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:  # what the shell lets through, such as a KeyboardInterrupt of the student's own
            error = raised
        finally:
            sys.stdout, sys.stderr = before
        pictures = [output.get("data", {}).get("image/png") for output in self._display.outputs]
        return {
            "text": stream.text() if error is None else "",
            "error": None if error is None else short_error(error),
            "pictures": [as_base64(picture) for picture in pictures if picture and len(picture) <= IMAGE_LIMIT][:2],
        }

    def find(self, functions: dict[str, Any], answers: dict[str, str], job: dict[str, Any]) -> None:
        """Note what the cells have defined so far, under the names that the job asks for."""
        from ...exercises.judging import is_stub

        for name in job["functions"]:  # the last one that does something; a later variable of that name does not hide it
            with contextlib.suppress(Exception):  # of an object that does not let itself be looked at
                value = self.shell.user_ns.get(name)
                if callable(value) and (name not in functions or not is_stub(value)):
                    functions[name] = value
        for name in job["answers"]:
            with contextlib.suppress(Exception):
                value = self.shell.user_ns.get(name)
                if isinstance(value, str) and (text := str.strip(value)):
                    answers[name] = text[:40]


def as_base64(picture: str | bytes) -> str:
    """A picture as a notebook stores it."""
    return picture if isinstance(picture, str) else base64.b64encode(picture).decode()


def short_error(error: BaseException) -> str:
    """An error in one line."""
    text = ""
    with contextlib.suppress(BaseException):  # its own words may raise whatever a student has written
        text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__[:300]


def definitions(source: str) -> str:
    """Of a cell that is not to be run as a whole: its imports, functions, classes, and assignments without a call."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        tree = ast.parse(TransformerManager().transform_cell(source))
    except Exception:
        return ""
    kept: list[ast.stmt] = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Assign) and (isinstance(node.value, ast.Lambda) or not calls(node.value)))
    ]
    return ast.unparse(ast.Module(kept, []))


def calls(expression: ast.expr) -> bool:
    """Whether an expression calls something, which may take any time."""
    return any(isinstance(part, ast.Call) for part in ast.walk(expression))


def seed_everything() -> None:
    """The global generators as at the start, so that a student's unseeded noise is the same each time it is graded."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def limit_memory(gigabytes: float) -> None:
    """A hard limit, where the system has one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (("DATA", int(gigabytes * 2**30)), ("FSIZE", 2**26), ("CORE", 0)):
        number = getattr(resource, f"RLIMIT_{kind}")
        set_already = resource.getrlimit(number)[1]
        least = most if set_already == resource.RLIM_INFINITY else min(most, set_already)
        resource.setrlimit(number, (least, least))


def work(job: dict[str, Any], tell: Callable[..., None]) -> None:
    """All steps of a job that are not to be skipped."""
    import torch

    from ...exercises.checker import EXERCISES
    from ...exercises.judging import CallRecord, attempt

    torch.set_num_threads(1)
    runner = CellRunner()
    if job["weak"]:
        install_audit_hook([Path(folder) for folder in job["readable"]])
    limit_memory(job["memory_gb"] + 2)  # near this limit Python itself fails in odd ways; the grader ends it before
    seed_everything()
    functions: dict[str, Any] = {}
    answers: dict[str, str] = {}
    for index, source in enumerate(job["cells"]):
        step = f"cell {index}"
        if whole := step not in job["skip"] and not job["definitions_alone"]:
            tell(begin=step)
        else:
            step = f"cell {index}, definitions"
            if step in job["skip"]:
                continue
            tell(begin=step)
        result = runner.run(source if whole else definitions(source))
        runner.find(functions, answers, job)
        tell(end=step, cell=index, **result)
        stop_without_memory(result["error"], job["memory_gb"], tell)
    tell(answers=answers)
    for name in job["functions"]:
        step = f"function {name}"
        if step in job["skip"]:
            continue
        tell(begin=step)
        if name not in functions:
            tell(function=name, runs=None)
        elif name in EXERCISES:
            seed_everything()
            sys.stdout = sys.stderr = CappedText()
            try:
                runs = shortened(attempt(EXERCISES[name], functions[name], job["seed"]))
            except BaseException as error:  # what no judge catches, such as a KeyboardInterrupt of the student's own
                runs = [CallRecord(raised=short_error(error))] * EXERCISES[name].cases
            stop_without_memory(next((run.raised for run in runs if run.raised), None), job["memory_gb"], tell)
            tell(function=name, runs=[run.packed() for run in runs])
        else:  # the capstone's network
            sys.stdout = sys.stderr = CappedText()
            tell(function=name, **outputs_of(functions[name], job))
    tell(finished=True)


def stop_without_memory(error: str | None, gigabytes: float, tell: Callable[..., None]) -> None:
    """End a process that ran out of memory bit by bit: what is left of it cannot be relied on, and another does the rest."""
    if error is None or not error.startswith("MemoryError"):
        return
    import resource

    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 > gigabytes:  # not a single wish for too much
        tell(memory=True)
        os._exit(1)


def shortened(runs: list[CallRecord]) -> list[CallRecord]:
    """The runs; where they hold more numbers than anybody asks for, none, which is a wrong shape as well."""
    import torch

    count = sum(part.numel() for run in runs for part in run.numbers or [])
    return runs if count <= NUMBERS_LIMIT else [replace(run, numbers=[torch.zeros(0)]) for run in runs]


def outputs_of(make_network: Callable[[], Any], job: dict[str, Any]) -> dict[str, Any]:
    """Build the student's network, load its weights, and denoise the hidden pictures; these lie beside the job."""
    from safetensors.torch import load_file, save

    from ...metrics import predict

    folder = Path(job["folder"])
    try:
        if (network := make_network()) is None:
            return {}  # a stub
        network.load_state_dict({name: value.float() for name, value in load_file(folder / "weights.safetensors").items()})
        noisy = load_file(folder / "noisy.safetensors")["noisy"]
        denoised = predict(network, noisy.float() / 255).clamp(0, 1)
        if denoised.shape != noisy.shape:
            return {"error": f"the network makes images of shape {tuple(denoised.shape)} from {tuple(noisy.shape)}"}
        packed = save({"denoised": (denoised * 255).round().to(noisy.dtype)})
        return {"denoised": base64.b64encode(packed).decode()}
    except BaseException as error:
        return {"error": short_error(error)}


def install_audit_hook(readable: list[Path]) -> None:
    """Where the system has no sandbox: refuse what Python can see. It cannot be taken down, but machine code gets through."""
    here = Path.cwd().resolve()
    roots = [*(folder.resolve() for folder in readable), here]
    denied = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.kill", "ctypes.",
              "os.startfile", "pty.", "webbrowser.", "ftplib.", "smtplib.", "urllib.")  # fmt: skip
    harmless = ("socket.__new__", "socket.gethostname")  # `await` needs a pair of sockets that leads nowhere
    writing = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
               "os.utime", "shutil.")  # fmt: skip
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def inside(path: object, folders: list[Path]) -> bool:
        if isinstance(path, int):
            return True
        found = Path(os.fsdecode(path)).resolve()  # type: ignore[arg-type]
        return any(found.is_relative_to(folder) for folder in folders)

    def paths(arguments: tuple[Any, ...]) -> list[Any]:
        return [one for one in arguments if isinstance(one, str | bytes | os.PathLike)]

    def of_a_package(event: str, arguments: tuple[Any, ...]) -> bool:
        """torchvision and others reach their own machine code through ctypes."""
        if event not in ("ctypes.dlopen", "ctypes.dlsym"):
            return False
        name = getattr(arguments[0], "_name", arguments[0])
        return isinstance(name, str) and inside(name, roots)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(denied) and event not in harmless and not of_a_package(event, arguments):
            raise PermissionError(f"{event} is not allowed while grading")
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                isinstance(flags, int) and flags & changing
            )
            if path != os.devnull and not inside(path, [here] if writes else roots):
                raise PermissionError("files elsewhere are not open while grading")
        elif event in ("os.listdir", "os.scandir") and arguments[0] is not None and not inside(arguments[0], roots):
            raise PermissionError("folders elsewhere are not open while grading")
        elif event.startswith(writing) and not all(inside(path, [here]) for path in paths(arguments)):
            raise PermissionError("files elsewhere are not open while grading")

    sys.addaudithook(watch)


def main() -> None:
    """Do the job that the first argument names."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    writer = MessageWriter()
    work(job, writer.tell)
    os._exit(0)  # whatever threads and exit handlers a student's code has left


if __name__ == "__main__":
    main()
