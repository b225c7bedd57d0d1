"""Release the problem sets as everybody gets them, or check what is committed: `python -m tools.assignments make | check`.

notebooks/assignments/src/*.py is the truth; source/ and release/ beside it are made from it with seed 0, so that nbgrader's
commands work there, and so that badges open the release. An instructor's own class has a folder and a seed of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from denoise_lib.classroom.course import Course
from denoise_lib.classroom.release import release

FOLDER = Path("notebooks/assignments")
SEED = 0


def make(folder: Path) -> None:
    """Write source/, release/, class.json and nbgrader_config.py."""
    release([], folder / "src", folder, SEED)


def check(folder: Path) -> list[str]:
    """What is out of step with src/, a line each."""
    names = {path.stem for path in (folder / "src").glob("*.py")}
    extra = {path.parent.name for kind in ("source", "release") for path in folder.glob(f"{kind}/*/*.ipynb")} - names
    problems = [f"{folder}/source or release has {name}, which has no source in src/" for name in sorted(extra)]
    with tempfile.TemporaryDirectory() as scratch:
        fresh = release([], folder / "src", Path(scratch), SEED)
        stored = Course(folder)
        for name in sorted(names):
            for new in (fresh.source(name), fresh.released(name)):
                old = folder / new.relative_to(scratch)
                if not old.exists() or old.read_text(encoding="utf-8") != new.read_text(encoding="utf-8"):
                    problems.append(f"{old} differs from src/{name}.py: run `make assignments`")
        for new in (fresh.root / "class.json", fresh.root / "nbgrader_config.py"):
            old = stored.root / new.name
            if not old.exists() or old.read_text(encoding="utf-8") != new.read_text(encoding="utf-8"):
                problems.append(f"{old} is not as released: run `make assignments`")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.assignments", description="Release the problem sets, and check it.")
    parser.add_argument("command", choices=["make", "check"])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    if options.command == "make":
        make(options.folder)
        return 0
    problems = check(options.folder)
    print("\n".join(problems) or "every problem set is released as its source says")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
