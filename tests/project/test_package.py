from __future__ import annotations

import doctest
import importlib
import inspect
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import torch
from package_walk import FILES, MODULES, PACKAGE, library_imports

import denoise_lib

GRAPH = {name: library_imports(path, name) for name, path in FILES.items()}


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter({name: imported - {name} for name, imported in GRAPH.items()}).prepare()  # CycleError names the circle


def test_the_check_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from . import data, __version__\nfrom .noise import c\nimport denoise_lib.metrics\nfrom denoise_lib import losses\n"
        "from denoise_lib.classroom import course\nimport torch\n\ndef later():\n    from .saliency import j\n"
    )
    assert library_imports(source, "module") == {"data", "noise", "metrics", "losses", "classroom.course", "saliency"}
    source.write_text("from .course import Course\nfrom ..data import mnist\nfrom .. import noise\n")
    assert library_imports(source, "classroom.module") == {"classroom.course", "data", "noise"}


def test_the_import_is_lazy() -> None:
    heavy = ("matplotlib", "ipywidgets", "skimage", "torchvision", "mlxtend", "pandas", "IPython")
    program = f"import sys, denoise_lib\nprint([name for name in {heavy} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("from denoise_lib.checks import check; check.shot_noise(lambda *given: given[0])", "torch._dynamo torch._inductor"),
        ("from denoise_lib.data import photos; photos('all', size=32)", "sklearn skimage scipy"),
        ("from denoise_lib.data import mnist; mnist('test', 'small')", "pandas scipy mlxtend.plotting"),
    ],
)
def test_what_a_student_does_first_loads_no_package_that_it_does_not_need(program: str, heavy: str) -> None:
    program = f"import sys\n{program}\nprint([name for name in {heavy.split()} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", denoise_lib.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(denoise_lib, name)
    assert name in dir(denoise_lib)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value) and value.__name__ == name


def test_public_names_are_unique_and_lazy_ones_come_from_their_module() -> None:
    assert len(set(denoise_lib.__all__)) == len(denoise_lib.__all__)
    for name, module in denoise_lib._LAZY.items():
        assert getattr(denoise_lib, name) is getattr(importlib.import_module(f"denoise_lib.{module}"), name)


def test_an_unknown_name_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match=r"module 'denoise_lib' has no attribute 'unet'"):
        denoise_lib.unet  # noqa: B018
    with pytest.raises(ImportError):
        from denoise_lib import unet  # noqa: F401


@pytest.mark.parametrize("module", [name for name in MODULES if ">>> " in FILES[name].read_text(encoding="utf-8")])
def test_examples_in_docstrings_are_true(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"denoise_lib.{module}"), extraglobs={"torch": torch})
    assert results.attempted > 0 and results.failed == 0
