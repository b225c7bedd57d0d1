from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import denoise_lib
from denoise_lib.data import NoisyImages, mnist, photos
from denoise_lib.noise import Blend
from denoise_lib.papers.pairs import photo_pairs
from denoise_lib.pretrained.weights import available_weights, load_pretrained
from denoise_lib.training import fit
from denoise_lib.unet import UNet

LIBRARY = Path(denoise_lib.__file__).parent
SOURCES = sorted([*LIBRARY.rglob("*.py"), *(LIBRARY.parent / "tools").rglob("*.py")])
RUNNERS = {"pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "runpy"}
LOADERS = {
    "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "torch.serialization.load", "joblib.load", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "numpy.lib.format.read_array", "builtins.eval", "builtins.exec",
}  # fmt: skip


def code_runners(source: str) -> list[str]:
    """The places in a program where a file could come to run code: imports and calls, under whatever name."""
    tree, names, found = ast.parse(source), {"eval": "builtins.eval", "exec": "builtins.exec"}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                names[alias.asname or package] = alias.name if alias.asname else package
                found += [alias.name] * (package in RUNNERS)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found += [str(node.module)] * (str(node.module).split(".")[0] in RUNNERS)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            first, _, rest = ast.unparse(node).partition(".")
            name = ".".join(filter(None, (names.get(first), rest))) if first in names else ""
            unsafe = name in ("torch.load", "numpy.load") and not is_safe_call(tree, node, name)
            if name in LOADERS or unsafe:
                found.append(name)
    return found


def is_safe_call(tree: ast.AST, function: ast.AST, name: str) -> bool:
    """Whether a function that can load pickles is called in its safe form, and not handed on."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.func is function]
    options = {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}
    if not calls or None in options:
        return False
    return options.get("weights_only") == "True" if name == "torch.load" else options.get("allow_pickle", "False") == "False"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(LIBRARY.parent).as_posix())
def test_no_module_runs_what_a_file_says(path: Path) -> None:
    assert code_runners(path.read_text(encoding="utf-8")) == []


def test_the_check_of_modules_sees_every_form() -> None:
    bad = [
        "import pickle", "import os, marshal", "from pickle import loads", "from dill.source import getsource",
        "import torch; torch.load(f)", "import torch as t; t.load(f, weights_only=False)", "from torch import load; load(f)",
        "import torch; torch.load(f, weights_only=flag)", "import torch; torch.load(f, **options)",
        "import torch; loader = torch.load", "import torch; torch.jit.load(f)", "import torch.hub; torch.hub.load(f)",
        "import numpy as np; np.load(f, allow_pickle=True)", "from numpy import load as read; read(f, allow_pickle=x)",
        "import joblib; joblib.load(f)", "from joblib import load; load(f)", "import yaml; yaml.load(f, Loader=l)",
        "def later():\n    import joblib\n    return joblib.load(f)", "eval(text)", "exec(text)", "map(eval, lines)",
    ]  # fmt: skip
    good = [
        "from safetensors.torch import load; load(f)", "import torch; torch.load(f, weights_only=True)",
        "import numpy; numpy.load(f)", "import numpy as np; np.load(f, allow_pickle=False)", "import numpy; numpy.loadtxt(f)",
        "import json; json.load(f)", "import yaml; yaml.safe_load(f)", "import re; re.compile(p)", "model.eval()",
        "from .weights import load; load(f)",
    ]  # fmt: skip
    assert [source for source in bad if not code_runners(source)] == []
    assert [source for source in good if code_runners(source)] == []


def test_nothing_is_unpickled_where_data_and_weights_are_read(
    small_test: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fatal(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was loaded")

    pairs = NoisyImages(small_test[:4], Blend(0.25))
    options: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 4,
        "device": "cpu",
        "progress": False,
        "checkpoint": tmp_path / "run.pt",
    }
    fit(UNet(), pairs, **options)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    photo_pairs("test", count=4, progress=False)
    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, fatal)
    assert load_pretrained(available_weights()[0])
    assert fit(UNet(), pairs, **options).epochs == 1  # from its checkpoint
    assert len(photo_pairs("test", count=4, progress=False)) == 4  # from the cache
    assert len(mnist("test")) == 1000 and len(photos("test", size=8)) == 2
