"""Where clean images come from.

What lives here: MNIST's digits, photos from packages, archives and folders, and careful downloads. What may not: noise, pairs
and anything else that is made of the images; that is in `data`.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "digits": "mnist exclude_images",
        "photographs": "photos photo_files read_photo photo_tensor square patches",
        "download": "DataError",
    },
)
