"""Exercises that name the mistake.

What lives here: one bank of exercises for each notebook and each problem set, the `check` that a student calls, the judging
behind it, and the capstone's hand-in. What may not: anything that grades a class; that is in `classroom`.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "checker": "check",
        "capstone": "PARAMETER_LIMIT leader_board_score submit_network",
        "exercise": "Exercise Mistake Outcome",
    },
)
