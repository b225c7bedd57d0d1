"""Trained networks that come with the library.

What lives here: one file of weights and one card each, what reads and writes them, and the command `weights`. What may not: the
training that made them, which is in `papers` and `own_photos`.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "weights": "load_pretrained available_weights weights_card read_weights write_weights WeightsError",
    },
)
