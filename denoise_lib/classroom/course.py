"""A course's folder, as nbgrader lays it out: source, release, submitted, autograded, feedback, and the gradebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..internal.checks import check_count

SOURCES = Path("notebooks/assignments/src")
"""The problem sets, in a clone of the course."""
CONFIG = '''"""nbgrader's settings of this course: its own commands grade as `python -m denoise_lib class grade` does."""

from pathlib import Path

from denoise_lib.classroom.nbgrader_steps import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821
'''


class CourseError(RuntimeError):
    """A course's folder is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Course:
    """One class's folder."""

    root: Path

    @property
    def seed(self) -> int:
        """Of the class: its numbers, and the arguments on which functions are graded."""
        return int(self._settings()["seed"])

    @property
    def gradebook(self) -> str:
        """The database's address."""
        return f"sqlite:///{self.root.resolve()}/gradebook.db"

    def assignments(self) -> list[str]:
        """What has been released."""
        return sorted(path.parent.name for path in self.root.glob("release/*/*.ipynb") if path.stem == path.parent.name)

    def students(self, assignment: str) -> list[str]:
        """Who has a notebook in `submitted`."""
        return sorted(path.parent.parent.name for path in self.root.glob(f"submitted/*/{assignment}/{assignment}.ipynb"))

    def source(self, assignment: str) -> Path:
        """With solutions."""
        return self.root / "source" / assignment / f"{assignment}.ipynb"

    def released(self, assignment: str) -> Path:
        """As students get it."""
        path = self.root / "release" / assignment / f"{assignment}.ipynb"
        if not path.exists():
            known = ", ".join(self.assignments()) or "none"
            raise CourseError(
                f"{assignment!r} has not been released in {self.root} (there: {known}); run `class release` first."
            )
        return path

    def original(self, assignment: str, student: str) -> Path:
        """What one student has handed in, as it came, whatever it is."""
        return self.root / "handed_in" / student / f"{assignment}.ipynb"

    def submitted(self, assignment: str, student: str) -> Path:
        """The same, repaired, where nbgrader looks for it."""
        return self.root / "submitted" / student / assignment / f"{assignment}.ipynb"

    def verdict(self, assignment: str, student: str) -> Path:
        """What came of it."""
        return self.root / "verdicts" / assignment / f"{student}.json"

    def collected(self, assignment: str) -> Path:
        """Who handed in what, and the names on the roster."""
        return self.root / "collected" / f"{assignment}.json"

    def reports(self, assignment: str) -> Path:
        """The folder of tables and pages."""
        return self.root / "reports" / assignment

    def _settings(self) -> dict[str, Any]:
        path = self.root / "class.json"
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            check_count(settings["seed"], "seed", 0, example=2027)
            return settings
        except FileNotFoundError:
            raise CourseError(f"{self.root} is no course: run `class release --course {self.root}` first.") from None
        except (ValueError, TypeError, KeyError) as error:
            raise CourseError(f'{path} is damaged ({error}); expected a seed, for example {{"seed": 2027}}.') from None
