"""Faces of packages: their names are there at once, and the modules behind them are imported when first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_face(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Args:
        package: the package's `__name__`.
        modules: the public names of each module, such as {"noise": "add_noise Blend"}.
    """
    where = {name: module for module, names in modules.items() for name in names.split()}

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{where[name]}"), name)

    return load, lambda: sorted({*vars(sys.modules[package]), *where}), [*where]
