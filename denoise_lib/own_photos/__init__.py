"""A photo of one's own, of any size, denoised.

What lives here: tiling, files before and after, the network that does it, and its training, and the commands
`denoise` and `train`. What may not: how a network is trained in general; that is in `training`.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "tiling": "denoise_image",
        "files": "denoise_photo denoise_file before_after Denoised",
        "training": "PhotoTraining train_on_photos photo_scores",
    },
)
