"""How the command line tells an error."""

from __future__ import annotations

import pytest


def line_of_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that an error may print."""
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and error.endswith("\n")
    return error
