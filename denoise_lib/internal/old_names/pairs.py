"""An alias."""

from denoise_lib.papers.pairs import photo_pairs

__all__ = ["photo_pairs"]
