"""The two papers measured again.

What lives here: their tables and claims as data, the runs that re-measure them, baselines, and how results are rendered. What
may not: anything that a student calls on images of their own; that is in the ten files.
"""

from __future__ import annotations

from ..internal.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "results": "read_results PAPER_TABLE_1 PAPER_PARAMETERS format_mse",
        "noise2noise_tables": "PAPER_MODELS PAPER_RATES model_name summarize_photo_runs format_psnr",
        "pairs": "PhotoPairs Photos photo_pairs",
        "clipping": "clipping_run",
        "baselines": "best_affine best_pixel_rule fit_baseline tune_color_filter",
        "saliency_statistics": (
            "BINS GROUPS SHIFTS summary format_summary pixel_groups group_mean compare_groups loss_map output_map "
            "binned_by_error set_pixel randomize_layers rank_correlation kernel_facts"
        ),
        "digit_classifier": "train_classifier class_score classifier_facts digit_versions",
    },
)
