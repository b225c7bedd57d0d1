"""An alias."""

from denoise_lib.papers.digit_classifier import class_score, train_classifier

__all__ = ["class_score", "train_classifier"]
