"""An alias."""

from denoise_lib.losses import corrupted_pixel

__all__ = ["corrupted_pixel"]
