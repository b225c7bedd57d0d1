"""An alias."""

from denoise_lib.internal.checkpoints import checkpoint_folder

__all__ = ["checkpoint_folder"]
