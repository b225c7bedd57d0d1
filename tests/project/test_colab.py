"""Colab: the set-up cell installs the library alone, its requirements are met there, and badges can be pointed at a fork."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.request import urlopen

import jupytext
import pytest
from packaging.requirements import Requirement

from tools import badges, colab

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
STAND_IN = {
    requirement.name: str(requirement.specifier).removeprefix("==")
    for line in (ROOT / "tools" / "colab_requirements.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for requirement in [Requirement(line)]
}
SOURCES = sorted(path for folder in ("src", "assignments/src") for path in (ROOT / "notebooks" / folder).glob("*.py"))


def set_up_cell(path: Path) -> str:
    return str(next(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"))


def until_imports(cell: str) -> str:
    """The part that installs."""
    return cell.split("\nimport torch\n")[0]


CELLS = {until_imports(set_up_cell(path)).replace("import os\n", "") for path in SOURCES}


# --- what the library asks of Colab ---


@pytest.mark.parametrize("text", PROJECT["dependencies"])
def test_each_dependency_is_met_by_colab(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.name in STAND_IN, f"Colab's image has no {requirement.name}, and the set-up cell installs with --no-deps"
    assert {specifier.operator for specifier in requirement.specifier} == {">="}, f"{text}: lower bounds only"
    there = STAND_IN[requirement.name]
    assert requirement.specifier.contains(there), f"Colab has {requirement.name} {there}, older than {text}"


def test_colab_has_what_builds_the_library() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    for requirement in map(Requirement, build["requires"]):
        assert requirement.specifier.contains(STAND_IN[requirement.name])


# --- the set-up cell ---


def test_the_cell_is_one_and_the_same_in_notebooks_and_problem_sets() -> None:
    assert len(SOURCES) == 9 and len(CELLS) == 1


@pytest.mark.parametrize(("in_colab", "installed"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("status", [0, 1])
def test_set_up_cell_installs_this_library_alone_and_only_in_colab(
    monkeypatch: pytest.MonkeyPatch, in_colab: bool, installed: bool, status: int
) -> None:
    (cell,) = CELLS
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    if in_colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    told = ""
    try:
        exec(cell, {})
    except SystemExit as stop:
        told = str(stop)
    if installed:
        assert not commands and not told
    elif not in_colab:
        assert not commands and "not installed here" in told and "make install" in told and f"pip install {REPOSITORY}" in told
    else:
        (command,) = commands
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        assert {"--no-deps", "--no-build-isolation", "--disable-pip-version-check"} <= set(command)
        assert [word for word in command[4:] if not word.startswith("-")] == [f"{REPOSITORY}/archive/main.zip"]
        assert ("check the network" in told) == (status == 1)


# --- the check of the set-up cell finds what it is there for ---


def test_the_archive_is_served_and_every_request_is_noted() -> None:
    server = colab.ArchiveServer(b"content")
    try:
        with urlopen(f"{server.address}/archive/main.zip") as response:
            assert response.read() == b"content"
        with pytest.raises(OSError, match="404"):
            urlopen(f"{server.address}/simple/torch/")
        assert server.requests == ["/archive/main.zip", "/simple/torch/"]
        assert f'REPOSITORY = "{server.address}"' in server.instead_of_github(f'import sys\nREPOSITORY = "{REPOSITORY}"\n')
        assert server.environment()["PIP_INDEX_URL"].startswith(server.address)
    finally:
        server.close()


def test_the_archive_holds_the_project_in_one_folder(tmp_path: Path) -> None:
    colab.zip_repository(tmp_path / "main.zip")
    with zipfile.ZipFile(tmp_path / "main.zip") as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"denoising-course-main"}
    assert {"denoising-course-main/pyproject.toml", "denoising-course-main/denoise_lib/pretrained/tnet.json"} <= set(names)
    assert not [name for name in names if "/.venv/" in name or "/build/" in name]


@pytest.mark.parametrize(
    ("after", "requests", "words"),
    [
        ({"torch==2", "denoise-lib @ x"}, ["/archive/main.zip"], None),
        ({"torch==3", "denoise-lib @ x"}, ["/archive/main.zip"], "torch==3"),
        ({"denoise-lib @ x"}, ["/archive/main.zip"], "no longer there as it was: torch==2"),
        ({"torch==2", "denoise-lib @ x", "hatchling==1"}, ["/archive/main.zip"], "hatchling==1"),
        ({"torch==2"}, ["/archive/main.zip"], "not among the packages"),
        ({"torch==2", "denoise-lib @ x"}, ["/archive/main.zip", "/simple/setuptools/"], "one request was expected"),
    ],
)
def test_what_a_cell_changes_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: set[str], requests: list[str], words: str | None
) -> None:
    states = iter([{"torch==2"}, after])
    monkeypatch.setattr(colab, "frozen", lambda: next(states))
    monkeypatch.setattr(colab, "zip_repository", lambda path: path.write_bytes(b"zip"))
    cell = "from urllib.request import urlopen\n" + 'REPOSITORY = "https://github.com/x/y"\n'
    for path in requests:
        cell += f"try:\n    urlopen(REPOSITORY + {path!r})\nexcept OSError:\n    pass\n"
    monkeypatch.setattr(colab, "first_code_cell", lambda path: cell)
    problems = colab.try_set_up_cell(tmp_path)
    assert (not problems) if words is None else any(words in problem for problem in problems)


def test_a_cell_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(colab, "frozen", lambda: {"denoise-lib @ x"})
    monkeypatch.setattr(colab, "zip_repository", lambda path: path.write_bytes(b"zip"))
    monkeypatch.setattr(colab, "first_code_cell", lambda path: "import sys\nassert 'google.colab' in sys.modules\nsys.exit(3)")
    assert any("status 3" in problem for problem in colab.try_set_up_cell(tmp_path))


# --- badges for a fork ---


def fork_of_the_project(folder: Path) -> None:
    for place in badges.PLACES:
        for path in ROOT.glob(place):
            (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(ROOT))


def test_a_fork_names_itself_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = badges.repository_of(ROOT)
    fork_of_the_project(tmp_path)
    links = re.compile(r"(?:github\.com|google\.com/github)/" + re.escape(old))
    before = {path: len(links.findall(path.read_text(encoding="utf-8"))) for path in tmp_path.rglob("*") if path.is_file()}
    assert badges.main(["my-school/noise.2026", "--root", str(tmp_path)]) == 0
    assert "my-school/noise.2026" in capsys.readouterr().out
    assert badges.repository_of(tmp_path) == "my-school/noise.2026"
    for path, count in before.items():
        text = path.read_text(encoding="utf-8")
        assert old not in text, path.name
        assert text.count("/my-school/noise.2026") == count, path.name
    assert sum(before.values()) > 40
    assert badges.main([old, "--root", str(tmp_path)]) == 0  # and back, byte for byte
    for path in before:
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("name", ["", "school", "a/b/c", "https://github.com/a/b", "a b/c"])
def test_a_name_that_is_none_changes_nothing(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert badges.main([name, "--root", str(tmp_path)]) == 1
    assert "REPO must read org/name" in capsys.readouterr().err
    assert (tmp_path / "pyproject.toml").read_bytes() == (ROOT / "pyproject.toml").read_bytes()


def test_another_repository_whose_name_begins_alike_is_left_alone(tmp_path: Path) -> None:
    old = badges.repository_of(ROOT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "README.md").write_text(
        f"https://github.com/{old}-solutions https://example.org/{old} https://github.com/{old}.\n"
    )
    badges.exchange(tmp_path, "a/b")
    assert (tmp_path / "README.md").read_text() == (
        f"https://github.com/{old}-solutions https://example.org/{old} https://github.com/a/b.\n"
    )
