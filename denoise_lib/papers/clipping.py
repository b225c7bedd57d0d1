"""What clipping does to noisy targets, as the closed form predicts and a network confirms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import max_pool2d

from ..data import TEST_NOISE_SEED, NoisyImages, NoisyPairs, mnist, training_noise_seed
from ..internal.checks import check_count
from ..internal.seeding import build_seeded
from ..metrics import mse, predict
from ..noise import MODERATE, Blend
from ..training import fit
from ..unet import UNet


def clipping_run(clip: bool, seed: int, *, mu: float = MODERATE, epochs: int = 10) -> dict[str, Any]:
    """Train the first paper's U-Net on *noisy* digits as targets, clipped as in that paper or not, and ask what it learnt.

    The closed form says what an L2 network must return for a clean pixel I: the mean m(I) of the noisy pixel. Unclipped
    that is (1 - mu) I; clipped it is more in the dark and less in the bright (`noise.clipped_normal_moments`).

    Returns:
        Means over the small test set of predictions and of m(I), over all pixels and over the background (where no ink is
        within four pixels), and the mean squared errors to the clean digits: as predicted, and with m undone.
    """
    noise = Blend(mu, clip=clip)
    check_count(seed, "seed", 0, example=0)
    model = build_seeded(UNet, seed)
    pairs = NoisyPairs(mnist("train", "small"), noise, seed=training_noise_seed(seed))
    fit(model, pairs, epochs=epochs, lr=2e-3, batch_size=32, schedule="one-cycle", seed=seed, progress=False)
    images = NoisyImages(mnist("test", "small"), noise, seed=TEST_NOISE_SEED)
    noisy, clean = next(images.batches(len(images)))
    output = predict(model, noisy)
    background = max_pool2d(clean, 9, stride=1, padding=4) == 0
    grid = torch.linspace(0, 1, 1001)
    undone = torch.from_numpy(np.interp(output.numpy(), noise.mean(grid.view(1, -1))[0].numpy(), grid.numpy())).float()
    return {
        "clip": clip, "seed": seed, "mu": mu, "epochs": epochs,
        "background_predicted": float(noise.mean(torch.zeros(1, 1))), "background_measured": float(output[background].mean()),
        "mean_predicted": float(noise.mean(clean).mean()), "mean_measured": float(output.mean()),
        "mse": mse(output, clean), "mse_undone": mse(undone, clean),
    }  # fmt: skip
