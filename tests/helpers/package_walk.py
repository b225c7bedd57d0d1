"""All modules of the library, in whatever room, and those of the benchmarks: tests that walk over the library begin here."""

from __future__ import annotations

import ast
from pathlib import Path

import denoise_lib

PACKAGE = Path(denoise_lib.__file__).parent


def name_of(path: Path) -> str:
    """'papers.study' for denoise_lib/papers/study.py, 'papers' for denoise_lib/papers/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ALIASES = PACKAGE / "internal" / "old_names"
FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != ALIASES}
"""Each module's file by its name; the library itself has the name ''. Aliases are tested apart."""
MODULES = [name for name, path in FILES.items() if path.stem != "__init__"]
"""All but the packages."""
BENCHMARKS = {f"benchmarks.{path.stem}": path for path in sorted((PACKAGE.parent / "benchmarks").glob("[!_]*.py"))}


def full_name(module: str) -> str:
    """As Python imports it."""
    return module if module in BENCHMARKS else f"denoise_lib.{module}"


def library_imports(path: Path, name: str) -> set[str]:
    """The modules of the library that a file imports, at its top or inside a function."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("denoise_lib.") for alias in node.names if alias.name.startswith("denoise_lib.")}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                above = package.split(".") if package else []
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])
            elif node.module == "denoise_lib" or (node.module or "").startswith("denoise_lib."):
                base = (node.module or "").removeprefix("denoise_lib").lstrip(".")
            else:
                continue
            for alias in node.names:
                inside = f"{base}.{alias.name}".lstrip(".")
                found.add(inside if inside in FILES else base)
    return found - {""}
