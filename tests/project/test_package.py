"""The house: which room may import from which, what each face shows, and that the wheel holds all of it."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nbformat
import pytest
import torch
from package_walk import ALIASES, BENCHMARKS, FILES, MODULES, PACKAGE, full_name, library_imports

import denoise_lib

ROOT = PACKAGE.parent
TEN = ("noise", "losses", "unet", "tnet", "metrics", "saliency", "corruptions", "data", "training", "kernels")
"""The files that a student reads; each imports only from those before it."""
STORIES = (
    ("internal",), ("sources",), ("the ten files",), ("pretrained",), ("papers",), ("exercises", "display"),
    ("own_photos", "classroom"), ("__main__",),
)  # fmt: skip
"""The rooms; a room imports only from rooms of earlier stories."""
STORY = {room: story for story, rooms in enumerate(STORIES) for room in rooms}
GRAPH = {name: library_imports(path, name) for name, path in FILES.items()}


def room_of(module: str) -> str:
    first = module.split(".")[0]
    return "the ten files" if first in TEN else first


def complaint(module: str, imported: str) -> str:
    """What is wrong with an import; empty where nothing is."""
    here, there = room_of(module), room_of(imported)
    if there not in STORY:
        return f"{imported} is in no room"
    if here == there == "the ten files":
        return "" if TEN.index(imported) < TEN.index(module) else f"{module}.py is read before {imported}.py"
    if here == "the ten files" and there == "sources":
        return "" if module == "data" else "of the ten files only data touches sources"
    allowed = here == there or STORY[there] < STORY[here]
    return "" if allowed else f"{there} is not a room before {here}"


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_from_rooms_before_it(module: str) -> None:
    assert room_of(module) in STORY, f"{module} is in no room"
    found = {imported: complaint(module, imported) for imported in GRAPH[module]}
    assert not any(found.values()), {imported: words for imported, words in found.items() if words}


@pytest.mark.parametrize(
    ("module", "imported", "words"),
    [
        ("internal.checks", "noise", "not a room before"), ("noise", "papers.study", "not a room before"),
        ("noise", "training", "read before"), ("noise", "sources.digits", "only data"),
        ("display.views", "exercises.checker", "not"),
        ("papers.study", "nowhere.module", "no room"), ("papers.study", "noise", ""), ("data", "sources.digits", ""),
        ("training", "noise", ""), ("display.sliders", "display.views", ""), ("classroom.grading", "exercises.checker", ""),
    ],
)  # fmt: skip
def test_the_rule_between_rooms(module: str, imported: str, words: str) -> None:
    found = complaint(module, imported)
    assert words in found and bool(found) == bool(words)


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter({name: imported - {name} for name, imported in GRAPH.items()}).prepare()  # CycleError names the circle
    with pytest.raises(CycleError):
        TopologicalSorter(GRAPH | {"internal.checks": {"papers.study"}}).prepare()


def test_the_library_imports_no_benchmark_and_no_tool() -> None:
    for name, path in FILES.items():
        outside = re.findall(r"^\s*(?:from|import) (benchmarks|tools|tests)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert not outside, f"{name} imports {outside}"


def test_the_check_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from . import data, __version__\nfrom .noise import c\nimport denoise_lib.metrics\nfrom denoise_lib import losses\n"
        "from denoise_lib.classroom import course\nimport torch\n\ndef later():\n    from .saliency import j\n"
    )
    assert library_imports(source, "module") == {"data", "noise", "metrics", "losses", "classroom.course", "saliency"}
    source.write_text("from .course import Course\nfrom ..data import mnist\nfrom .. import noise\n")
    assert library_imports(source, "classroom.module") == {"classroom.course", "data", "noise"}


def test_a_student_can_read_the_ten_files_and_finds_nothing_else_beside_them() -> None:
    beside = {path.stem for path in PACKAGE.glob("*.py")}
    assert beside == {*TEN, "__init__", "__main__"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        room for rooms in STORIES for room in rooms
    } - {"the ten files", "__main__"}  # fmt: skip
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name for name in TEN if lines[name] > 400} == set()
    banks = {name for name in MODULES if re.match(r"exercises\.(?:notebook|ps)\d", name)}
    assert {name for name in {*lines} - banks if lines[name] > 430} == set()


# --- faces ---

FACES = {room: importlib.import_module(f"denoise_lib.{room}") for rooms in STORIES for room in rooms if room in FILES}
PUBLIC = [(face, name) for face in (denoise_lib, *FACES.values()) for name in getattr(face, "__all__", [])]


@pytest.mark.parametrize(("face", "name"), PUBLIC, ids=lambda value: getattr(value, "__name__", value))
def test_every_public_name_is_there(face: object, name: str) -> None:
    value = getattr(face, name)
    assert name in dir(face)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value) and value.__name__ == {"self_influence": "self_sensitivity"}.get(name, name)


def test_public_names_are_unique_and_no_modules() -> None:
    for face in (denoise_lib, *FACES.values()):
        names = getattr(face, "__all__", [])
        assert len(set(names)) == len(names)
        # A name that is also a module's would be the module as soon as anything imports that.
        prefix = face.__name__.removeprefix("denoise_lib").lstrip(".")
        assert not {f"{prefix}.{name}".lstrip(".") for name in names} & FILES.keys()


def test_an_unknown_name_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match=r"module 'denoise_lib' has no attribute 'unknown'"):
        denoise_lib.unknown  # noqa: B018
    with pytest.raises(ImportError):
        from denoise_lib.papers import unknown  # noqa: F401


@pytest.mark.parametrize("folder", ["notebooks/src", "notebooks/assignments/src"])
def test_notebooks_and_problem_sets_import_from_faces_alone(folder: str) -> None:
    faces = {"denoise_lib", *(f"denoise_lib.{room}" for room in FACES if room != "internal")}
    for path in sorted((ROOT / folder).glob("*.py")):
        imported = re.findall(r"^\s*from (denoise_lib[\w.]*) import", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert imported and {*imported} <= faces, path.name


def test_the_readme_imports_from_faces_alone() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    imported = re.findall(r"from (denoise_lib[\w.]*) import", text)
    assert imported and {*imported} <= {"denoise_lib", *(f"denoise_lib.{room}" for room in FACES)}


# --- what an import costs ---


def program(text: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, check=True).stdout


def test_the_import_is_lazy() -> None:
    heavy = ("torch", "matplotlib", "ipywidgets", "skimage", "torchvision", "mlxtend", "pandas", "IPython")
    assert program(f"import sys, denoise_lib\nprint([name for name in {heavy} if name in sys.modules])").strip() == "[]"
    loaded = program(
        "import sys\nfrom denoise_lib import UNet\nprint(*(name for name in sys.modules if 'denoise_lib' in name))"
    )
    assert "denoise_lib.unet" in loaded and "papers" not in loaded and "display" not in loaded


@pytest.mark.parametrize(
    ("text", "heavy"),
    [
        ("from denoise_lib.exercises import check; check.shot_noise(lambda *given: given[0])", "torch._dynamo torch._inductor"),
        ("from denoise_lib import photos; photos('all', size=32)", "sklearn skimage scipy"),
        ("from denoise_lib import mnist; mnist('test', 'small')", "pandas scipy mlxtend.plotting"),
    ],
)
def test_what_a_student_does_first_loads_no_package_that_it_does_not_need(text: str, heavy: str) -> None:
    text = f"import sys\n{text}\nprint([name for name in {heavy.split()} if name in sys.modules])"
    assert program(text).splitlines()[-1] == "[]"


# --- what was released before the house was built ---


RELEASED = sorted((ROOT / "tests" / "released").glob("*.ipynb"))
"""The five problem sets as students got them in autumn 2026."""


def cells_of(path: Path) -> list[str]:
    """The code, without notebook magic."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return ["\n".join(line for line in cell.splitlines() if not line.startswith("%")) for cell in cells]


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_a_problem_set_that_was_handed_out_finds_all_that_it_imports(path: Path, tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(path) if re.search(r"^\s*from denoise_lib", cell, re.MULTILINE)]
    wanted = "\n".join(re.findall(r"^from denoise_lib[^\n]*", "\n".join(cells), re.MULTILINE))
    assert len(RELEASED) == 5 and wanted.count("import") >= 4
    done = run(wanted, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_problem_set_that_was_handed_out_runs_from_top_to_bottom(tmp_path: Path) -> None:
    (path,) = (path for path in RELEASED if path.stem == "ps1_noise")
    done = run("\n\n".join(cells_of(path)), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("not attempted yet") == 5


def test_no_alias_is_left_that_nothing_needs() -> None:
    imported = {name for path in RELEASED for name in re.findall(r"from denoise_lib\.(\w+) import", "\n".join(cells_of(path)))}
    assert {path.stem for path in ALIASES.glob("[!_]*.py")} == imported - {*TEN}


# --- the wheel ---


def test_the_wheel_holds_every_module(tmp_path: Path) -> None:
    """An editable installation hides a package that the wheel lacks: here it is installed where there is no other."""
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "denoise_lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "results", source / "results", ignore=shutil.ignore_patterns("runs", "*.gif", "*.png"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    python = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
    place = Path(subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], capture_output=True, text=True, check=True
    ).stdout.strip())  # fmt: skip
    install = [*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", str(place), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    # The other packages, by their folder: a .pth file there, such as the editable installation's, is not read.
    (place / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    names = [*map(full_name, MODULES), *(f"denoise_lib.{path.stem}" for path in ALIASES.glob("[!_]*.py"))]
    listing = "; ".join(f"importlib.import_module({name!r})" for name in names)
    check = f"import importlib, denoise_lib; {listing}; print(denoise_lib.__file__, len(denoise_lib.available_weights()))"
    check += "; from denoise_lib.papers import read_results; read_results('tnet'); print(denoise_lib.mnist('test').shape)"
    done = subprocess.run([python, "-I", "-c", check], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(place) in done.stdout and " 11" in done.stdout


@pytest.mark.parametrize(
    "module",
    [name for name in (*MODULES, *BENCHMARKS) if ">>> " in ({**FILES, **BENCHMARKS})[name].read_text(encoding="utf-8")],
)
def test_examples_in_docstrings_are_true(module: str) -> None:
    names = {"torch": torch, **{name: getattr(denoise_lib, name) for name in denoise_lib.__all__}}
    results = doctest.testmod(importlib.import_module(full_name(module)), extraglobs=names)
    assert results.attempted > 0 and results.failed == 0
