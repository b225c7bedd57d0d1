"""nbgrader's settings of this course: its own commands grade as `python -m denoise_lib class grade` does."""

from pathlib import Path

from denoise_lib.classroom.nbgrader_steps import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821
