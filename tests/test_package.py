from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import denoise_lib

PACKAGE = Path(denoise_lib.__file__).parent
# A module imports only from floors below its own. A new module needs a floor here, and in the design.
FLOORS = {
    "validation": 0, "connections": 0, "partial_files": 0,
    "noise": 1, "models": 1, "metrics": 1, "losses": 1, "downloads": 1, "distributed": 1, "timing": 1, "jobs": 1,
    "digits": 2, "photographs": 2, "targets": 2, "saliency": 2, "weights": 2, "baselines": 2, "checkpoints": 2, "results": 2,
    "photo_results": 2, "checkpoint_folders": 2,
    "data": 3, "pairs": 3, "training": 3, "figures": 3, "kernels": 3, "claims": 3, "sweeps": 3,
    "exercise": 1,
    "noise_exercises": 2, "network_exercises": 2, "noise2noise_exercises": 2, "saliency_exercises": 2,
    "noise_assignment": 2, "network_assignment": 2, "noise2noise_assignment": 2, "saliency_assignment": 2,
    "renders": 4, "experiments": 4, "photo_experiments": 4, "saliency_experiments": 4,
    "own_photos": 4, "training_speed": 4, "photo_training": 5, "limits": 5, "alternatives": 5,
    "explorers": 5, "checks": 5, "benchmark": 6, "handing_in": 5,
    "classroom": 6,
    "__main__": 7,
}  # fmt: skip
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def library_imports(path: Path) -> set[str]:
    """The modules of the library that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 1 or module == "denoise_lib" or module.startswith("denoise_lib."):
                inside = module.removeprefix("denoise_lib").lstrip(".")
                found |= {inside.split(".")[0]} if inside else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("denoise_lib.")}
    return found - {"__version__"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_floors_below_its_own(module: str) -> None:
    assert module in FLOORS, f"{module}.py stands on no floor"
    for imported in library_imports(PACKAGE / f"{module}.py"):
        assert imported in FLOORS, f"{module}.py imports {imported}, which stands on no floor"
        assert FLOORS[imported] < FLOORS[module], f"{module}.py imports {imported}, which is not on a floor below"


CLASSROOM = sorted((PACKAGE / "classroom").glob("*.py"))


def test_the_classroom_has_a_door_of_its_own() -> None:
    for module in MODULES:
        assert module == "__main__" or "classroom" not in library_imports(PACKAGE / f"{module}.py")
    lines = [line for path in CLASSROOM for line in path.read_text(encoding="utf-8").splitlines()]
    outside = {line.split()[1].removeprefix("..") for line in lines if line.startswith("from ..")}
    assert outside and outside <= {name for name in FLOORS if FLOORS[name] < FLOORS["classroom"]}


def test_the_check_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from . import a, __version__\nfrom .b import c\nimport denoise_lib.d\nfrom denoise_lib.e.f import g\n"
        "from denoise_lib import h\nimport torch\nfrom torch import nn\n\ndef later():\n    from .i import j\n"
    )
    assert library_imports(source) == {"a", "b", "d", "e", "h", "i"}


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


@pytest.mark.parametrize("module", [name for name in MODULES if ">>> " in (PACKAGE / f"{name}.py").read_text(encoding="utf-8")])
def test_examples_in_docstrings_are_true(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"denoise_lib.{module}"), extraglobs={"torch": torch})
    assert results.attempted > 0 and results.failed == 0
