"""An alias."""

from denoise_lib.noise import LEVELS
from denoise_lib.papers.results import PAPER_TABLE_1, read_results

__all__ = ["LEVELS", "PAPER_TABLE_1", "read_results"]
