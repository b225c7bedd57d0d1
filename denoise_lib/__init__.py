"""denoise_lib: the small library under the denoising course's notebooks.

Ten files make the course; read them in this order:

    noise, corruptions      what makes a clean image noisy
    metrics, losses         how far off an image is, and what a loss makes a network learn
    data                    pairs of images, noisy and clean or twice noisy
    unet, tnet              the two papers' networks
    training                `fit`, the training loop
    saliency, kernels       what a denoiser looks at

Around them are rooms: `sources` (digits, photos, downloads), `pretrained` (networks that come with the library), `papers`
(two papers measured again), `display` (figures, sliders), `exercises`, `own_photos`, `classroom` (an instructor's), `internal`.
No other file belongs here: what a student need not read has its room. A room imports only from rooms before it.

Images are float32 in [0, 1] of shape (N, C, H, W) unless a name says uint8. Randomness comes from a `torch.Generator`.
"""

from __future__ import annotations

from .internal.lazy import lazy_face

__version__ = "0.1.0"
__path__.append(f"{__path__[0]}/internal/old_names")  # what problem sets of a running term still import
__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "noise": "MILD MODERATE SEVERE LEVELS add_noise Noise Blend Gaussian clipped_normal_moments",
        "corruptions": "Poisson Bernoulli Impulse PointSample parse_noise",
        "metrics": "mse mse_per_image psnr ssim predict evaluate Scores",
        "losses": "l2_loss l1_loss hdr_loss masked_l2_loss AnnealedL0 CORRUPTIONS corrupted_pixel risk best_prediction",
        "data": "mnist photos exclude_images NoisyImages NoisyPairs as_float_images",
        "unet": "UNet Autoencoder count_parameters",
        "tnet": "TNet BaseNet Noise2NoiseUNet TinyDenoiser SelfEnsemble",
        "training": "fit TrainingInterrupted TrainingDiverged",
        "saliency": "smoothgrad smoothgrad_with_error smoothgrad_samples loss_gradient output_gradient squared_error "
        "output_sum self_sensitivity self_sensitivity_with_error self_influence",
        "kernels": "filters effective_receptive_field radius edges windows mean_distance matched_gaussian center_contrast "
        "elongation kernel_windows",
        "pretrained.weights": "load_pretrained available_weights weights_card",
        "display.figures": "tile",
        "display.sliders": "noise_explorer denoise_explorer noise2noise_explorer smoothgrad_explorer",
        "internal.checkpoints": "History CheckpointError checkpoint_folder",
        "internal.tables": "table",
    },
)
