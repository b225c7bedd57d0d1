"""Point badges, links and set-up cells at the repository's address: `make badges REPO=org/name` in a fork.

The address stands in `pyproject.toml`, as `Repository`; everything else is written from it.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

NAME = re.compile(r"[\w.-]+/[\w.-]+")
# Where a reader or Colab meets the address. Text alone is exchanged, so that stored outputs stay as they are.
PLACES = ("pyproject.toml", "*.md", "notebooks/*.ipynb", "notebooks/src/*.py", "notebooks/assignments/**/*.py",
          "notebooks/assignments/**/*.ipynb")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Exchange the address; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.badges", description="Point all badges at a repository.")
    parser.add_argument("repository", help="on GitHub, such as org/name")
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args(arguments)
    if not NAME.fullmatch(options.repository):
        message = f"REPO must read org/name, but is {options.repository!r}; for example REPO=my-school/denoising."
        print(f"error: {message}", file=sys.stderr)
        return 1
    changed = exchange(options.root, options.repository)
    print(f"{len(changed)} files now name {options.repository}")
    return 0


def repository_of(root: Path) -> str:
    """The repository's name on GitHub, org/name, from pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"]).removeprefix("https://github.com/")


def exchange(root: Path, new: str) -> list[Path]:
    """Write the new name wherever the old one stands in an address of GitHub or Colab; returns the changed files."""
    old = re.escape(repository_of(root))
    ends = r"(?![\w-]|\.(?!git\b)\w)"  # not the beginning of a longer name
    address = re.compile(rf"(?:(?<=github\.com/)|(?<=colab\.research\.google\.com/github/)){old}{ends}")
    changed = []
    for path in sorted({path for place in PLACES for path in root.glob(place)}):
        text = path.read_text(encoding="utf-8")
        written = address.sub(new, text)
        if written != text:
            path.write_text(written, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


if __name__ == "__main__":
    sys.exit(main())
