"""An alias."""

from denoise_lib.papers.saliency_statistics import format_summary

__all__ = ["format_summary"]
