"""`python -m denoise_lib class ...`: release, collect, grade, report."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..internal.checks import check_count, check_number
from .course import SOURCES

if TYPE_CHECKING:
    from .grading import Row

TEXT = """\
Release problem sets for a class, collect what is handed in, and grade it. A course is a folder that nbgrader understands:

  python -m denoise_lib class release --seed 480251937 --course course
  python -m denoise_lib class collect ps1_noise moodle.zip --roster class.csv --course course
  python -m denoise_lib class grade ps1_noise --course course
  (cd course && jupyter lab)        # formgrader: read the written answers
  python -m denoise_lib class report ps1_noise --roster class.csv --course course
"""


def add_parser(commands: Any) -> None:
    """Add `class` to the command line."""
    parser = commands.add_parser(
        "class",
        help="release, collect and grade problem sets",
        description=TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", required=True)

    one = _step(steps, "release", "make what students get, with the numbers of this class", _release)
    one.add_argument("names", nargs="*", metavar="NAME", help="such as ps1_noise (default: all)")
    one.add_argument("--seed", type=int, required=True, help="of the class: its numbers, and the arguments of the grading")
    one.add_argument("--source", type=Path, default=SOURCES, help="problem sets (default %(default)s)")

    one = _step(steps, "collect", "take a folder or an LMS's zip", _collect)
    one.add_argument("name", metavar="NAME", help="such as ps1_noise")
    one.add_argument("handed_in", type=Path, metavar="FOLDER_OR_ZIP")
    _roster_options(one)

    one = _step(steps, "grade", "grade what was collected; what has not changed is not run again", _grade)
    one.add_argument("name", metavar="NAME")
    one.add_argument("--jobs", type=int, default=2, help="students at a time (default %(default)s)")
    one.add_argument(
        "--scheduler", metavar="ADDRESS", help="of Dask, such as tcp://192.168.0.10:8786: students' code runs on its workers, "
        "behind their bubblewrap; the course's folder stays here"
    )  # fmt: skip
    one.add_argument(
        "--sandbox", "--fence", choices=["bubblewrap", "weak"], help="how students' code is kept in (default: bubblewrap)"
    )
    one.add_argument(
        "--seconds", type=float, default=10.0, help="for each function; a cell has twice as long (default %(default)g)"
    )
    one.add_argument("--memory", type=float, default=3.0, help="GB for each student (default %(default)g)")
    _roster_options(one)

    one = _step(steps, "report", "tables and pages again, with the points that a person has given", _report)
    one.add_argument("name", metavar="NAME")
    _roster_options(one)


def _step(steps: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = steps.add_parser(name, help=text, description=text)
    one.add_argument("--course", type=Path, default=Path("course"), help="the course's folder (default %(default)s)")
    one.set_defaults(run=lambda options: _with_nbgrader(run, options))
    return one


def _with_nbgrader(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    if find_spec("nbgrader") is None:
        raise RuntimeError("grading needs nbgrader; install it with: pip install 'denoise-lib[class]', or make install.")
    return run(options)


def _roster_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roster", type=Path, metavar="CSV", help="the class, as the LMS exports it")
    parser.add_argument("--id-column", help="its column of ids, which are the LMS's numbers or the folders' names")
    parser.add_argument("--column", help="the column for the points in the LMS's table (default: the problem set's name)")


def _roster(options: argparse.Namespace) -> Any:
    from .collect import read_roster

    return read_roster(options.roster, options.id_column) if options.roster else None


def _release(options: argparse.Namespace) -> int:
    from .release import release

    course = release(options.names, options.source, options.course, options.seed)
    for name in course.assignments():
        print(course.released(name))
    return 0


def _collect(options: argparse.Namespace) -> int:
    from .collect import collect
    from .course import Course

    found = collect(options.handed_in, Course(options.course), options.name, _roster(options))
    there = sum(about["file"] is not None for about in found.values())
    print(f"{there} of {len(found)} handed in")
    for student, about in found.items():
        for note in about["notes"]:  # type: ignore[attr-defined]
            print(f"  {student}: {note}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from .course import Course
    from .grading import grade
    from .sandbox.bubblewrap import WEAK, choose_sandbox
    from .sandbox.process import Limits

    check_count(options.jobs, "--jobs", example=2)
    sandbox = (
        options.sandbox if options.scheduler else choose_sandbox(options.sandbox)
    )  # the workers have sandboxes of their own
    if sandbox == WEAK:
        print("the sandbox is weak: it stops accidents, and nobody who means harm.")
    seconds = check_number(options.seconds, "--seconds", 0, 3600, open_low=True, example=10)
    memory = check_number(options.memory, "--memory", 1, 1000, example=3)
    limits = Limits(seconds * 2, seconds, total_seconds=max(240.0, 24 * seconds), memory_gb=memory)
    rows = grade(
        Course(options.course), options.name, jobs=options.jobs, scheduler=options.scheduler, sandbox=sandbox, limits=limits
    )
    print(", ".join(f"{count} {status}" for status, count in Counter(row.status for row in rows).most_common()))
    return _tell(options, rows)


def _report(options: argparse.Namespace) -> int:
    from .course import Course
    from .grading import read_rows

    return _tell(options, read_rows(Course(options.course), options.name))


def _tell(options: argparse.Namespace, rows: list[Row]) -> int:
    """Write all tables and pages, and say what matters most."""
    from .course import Course
    from .grading import feedback
    from .pages import misconceptions
    from .reports import write_reports

    course = Course(options.course)
    pages = feedback(course, options.name)
    for name, mistake, count, _ in misconceptions(rows)[:5]:
        print(f"  {count} of {len(rows)}: {name}: {mistake}")
    for path in write_reports(rows, course, options.name, _roster(options), options.column):
        print(path)
    waiting = sum(row.waiting for row in rows)
    print(f"{pages} feedback pages in {course.root / 'feedback'}; {waiting} written answers to be read in formgrader")
    return 0
