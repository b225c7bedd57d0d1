"""nbgrader's interface to a course: its gradebook, and its own commands."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from .course import Course
from .nbgrader_steps import configure


@contextmanager
def open_api(course: Course, *, plain: bool = False) -> Iterator[Any]:
    """nbgrader's interface to a course.

    Args:
        course: whose gradebook it opens.
        plain: with nbgrader's own settings, which execute students' code outside the sandbox.
    """
    settings = Config()
    configure(settings, course.root)
    if plain:
        del settings["Autograde"]
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"  # nbgrader calls alembic by its bare name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader and its database have much to say, and nothing that helps here
            yield NbGraderAPI(coursedir=CourseDirectory(config=settings), config=settings)
    finally:
        os.environ["PATH"] = path
