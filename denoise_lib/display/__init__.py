"""What a notebook shows.

What lives here: figures, views (pure functions from a slider's value to a picture), sliders, filmstrips, headline numbers. What
may not: arithmetic that a test or a paper needs; a view only shows what the ten files compute.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "figures": "tile panel residual mark png picture learning_curves heat_map paper_show",
        "views": (
            "example_digits own_digit noisy_copy render_noise render_denoised models_for render_estimators render_assumptions "
            "example_pair render_smoothgrad render_filters"
        ),
        "sliders": (
            "noise_explorer noise_filmstrip denoise_explorer denoise_filmstrip estimator_explorer estimator_filmstrip "
            "noise2noise_explorer noise2noise_filmstrip smoothgrad_explorer smoothgrad_filmstrip filter_explorer "
            "filter_filmstrip guess_the_mu course_explorers filmstrip"
        ),
        "assumptions": "Targets",
        "notebook": "headline setup_report",
    },
)
