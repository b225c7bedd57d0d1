"""The instructor's tools: release problem sets, collect and grade what is handed in, and see what a class got wrong.

`python -m denoise_lib class --help` is the door. Nothing else in the library imports this room, and no student needs it.
The gradebook, the manual grading and the feedback pages are nbgrader's. What is added here: broken notebooks are repaired,
students' code runs in a sandbox, and each wrong answer is told by its name.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "course": "Course CourseError",
        "grading": "grade read_rows feedback",
    },
)
