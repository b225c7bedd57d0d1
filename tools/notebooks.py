"""Make notebooks/*.ipynb from their sources: `python -m tools.notebooks pair | execute | check | run | adopt`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat

from .execution import execute, is_stale
from .pairing import adopt, check, pair, read_source, write
from .run_notebooks import run_all

SUMMARY = "Make the notebooks from their sources, execute and check them."


def update(folder: Path, names: list[str], *, run: bool, force: bool = False) -> int:
    """Pair the named notebooks (none: all), and with `run` execute those that are stale; returns the exit status."""
    known = {path.stem: path for path in sorted((folder / "src").glob("*.py"))}
    if unknown := [name for name in names if name not in known]:
        choices = ", ".join(known) or "no sources"
        print(f"error: there is no {folder / 'src' / unknown[0]}.py; there are {choices}.", file=sys.stderr)
        return 1
    status = 0
    for name in names or known:
        path = folder / f"{name}.ipynb"
        stored = nbformat.read(path, as_version=4) if path.exists() else None
        notebook = pair(read_source(known[name]), stored, name)
        if run and (force or is_stale(notebook)):
            print(f"{path}: executing", flush=True)
            if problem := execute(notebook, folder):
                print(f"FAILED  {path}, {problem}\n        the stored notebook was left as it was", file=sys.stderr)
                status = 1
                continue
        print(f"{path}: {'written' if write(notebook, path) else 'up to date'}", flush=True)
    return status


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=SUMMARY)
    parser.add_argument("--folder", type=Path, default=Path("notebooks"), help="where the notebooks are (default %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (("pair", "carry the sources' cells over"), ("execute", "pair, and execute what is stale")):
        one = commands.add_parser(command, help=text)
        one.add_argument("names", nargs="*", metavar="NAME", help="such as 01_noise_injection (default: all)")
        if command == "execute":
            one.add_argument("--force", action="store_true", help="execute what is up to date, too")
    commands.add_parser("check", help="compare the notebooks with their sources")
    one = commands.add_parser("run", help="execute copies, render them, and compare headline numbers with their bands")
    one.add_argument("--build", type=Path, default=Path("build"), help="where the copies go (default %(default)s)")
    one = commands.add_parser("adopt", help="write a source from a notebook that was edited elsewhere")
    one.add_argument("notebook", type=Path)
    one.add_argument("name", metavar="NAME", help="the source to write, such as 01_noise_injection")
    options = parser.parse_args(arguments)

    if options.command == "check":
        problems = check(options.folder)
        print("\n".join(problems) or "every notebook equals its source")
        return 1 if problems else 0
    if options.command == "run":
        return run_all(options.folder, options.build)
    if options.command == "adopt":
        adopt(options.notebook, options.folder, options.name)
        print(f"{options.folder / 'src' / options.name}.py: written; see its difference, then run `make notebooks`")
        return 0
    return update(options.folder, options.names, run=options.command == "execute", force=getattr(options, "force", False))


if __name__ == "__main__":
    sys.exit(main())
