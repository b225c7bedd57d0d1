"""An alias."""

from denoise_lib.display.figures import panel, picture, residual, tile

__all__ = ["panel", "picture", "residual", "tile"]
