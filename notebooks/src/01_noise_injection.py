# ---
# jupyter:
#   accelerator: GPU
#   colab:
#     gpuType: T4
#     provenance: []
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/01_noise_injection.ipynb)
#
# # 1. Noise injection: what does mu do to a digit?
#
# **For** anyone who has seen a NumPy array; no deep learning yet. **Time**: about 45 minutes of reading and
# trying; *Run all* takes less than half a minute.
#
# Afterwards you can
#
# - say what the noise level mu is, and what it is not;
# - predict MSE, PSNR and SNR of a noisy image before you measure them;
# - explain why clipping an image to [0, 1] makes its noise *biased*, and why that matters for training;
# - tell six kinds of noise apart by eye and by their moments.
#
# Before each result there is a line **Predict**. Commit to an answer, then run the cell: being surprised is how
# this works.

# %% tags=["nbval-ignore-output"]
# Set-up. In Colab this installs the course's small library and nothing else; elsewhere it only imports.
import importlib.util
import os
import subprocess
import sys

REPOSITORY = "https://github.com/denoising-course/denoising-course"
if importlib.util.find_spec("denoise_lib") is None:
    archive = f"{REPOSITORY}/archive/main.zip"
    if "google.colab" not in sys.modules:
        sys.exit(f"The course's library is not installed here: run `make install` in its folder, or pip install {archive}")
    # Colab has all that the library needs: nothing else is fetched, and torch, numpy and ipywidgets stay as they are.
    options = ["-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    if subprocess.run([sys.executable, "-m", "pip", "install", *options, archive]).returncode:
        sys.exit("The library could not be fetched (pip says why above): check the network, then run this cell again.")

import torch

from denoise_lib.display import headline, setup_report

SEED = int(os.environ.get("DENOISE_SEED", "0"))  # try another one: which numbers change, and by how much?
FULL = torch.cuda.is_available() or bool(os.environ.get("DENOISE_FULL"))  # train for real, or briefly
print(setup_report())

# %%
import matplotlib.pyplot as plt
import numpy as np

from denoise_lib import (
    MILD, MODERATE, SEVERE, Bernoulli, Blend, Gaussian, Impulse, PointSample, Poisson, add_noise,
    as_float_images, clipped_normal_moments, mnist, mse, psnr, ssim, tile,
)
from denoise_lib.display import guess_the_mu, noise_explorer, noise_filmstrip, panel, picture
from denoise_lib.exercises import check


def generator(offset=0):
    """A source of random numbers that starts at the same place whenever it is asked for."""
    return torch.Generator().manual_seed(SEED + offset)


# %% [markdown]
# ## 1.1 The clean images
#
# The course comes with 5,000 of MNIST's handwritten digits, so that nothing has to be downloaded. We look at
# 1,000 of them that no network of this course was trained on. Values run from 0 (black) to 1 (white); a batch has
# the shape (number, channels, height, width).

# %%
digits = as_float_images(mnist("test", "small"))
print("shape", tuple(digits.shape), "from", digits.min().item(), "to", digits.max().item())
print(f"mean {digits.mean():.4f}, share of pixels that are exactly black: {(digits == 0).float().mean():.1%}")
picture(tile(digits[:24], 12, scale=2), "Twenty-four clean white digits on black, 0 to 9 in turn")

# %% [markdown]
# Remember that four pixels in five are exactly black. It will matter twice: for the metrics, and for the bias in
# section 1.5.
#
# ## 1.2 The equation
#
# The first paper of this course (Casey and Racape, 2023) mixes the image *I* with noise *N*, one standard normal
# number a pixel:
#
# $$Y = (1 - \mu)\, I + \mu\, N, \qquad N \sim \mathcal{N}(0, 1), \qquad \text{then clip } Y \text{ to } [0, 1].$$
#
# **Predict**: at mu = 0.25, how large is the standard deviation of the noise? How bright is a pixel that was
# white, on average, before clipping?

# %%
mu = 0.25
standard_normal = torch.randn(digits.shape, generator=generator())
by_hand = ((1 - mu) * digits + mu * standard_normal).clamp(0, 1)
print("the library does the same:", torch.equal(by_hand, add_noise(digits, mu, generator=generator())))

unclipped = add_noise(digits, mu, generator=generator(), clip=False)
noise_only = unclipped - (1 - mu) * digits
print(f"standard deviation of the noise: {noise_only.std():.2f}")
print(f"a white pixel becomes, on average: {unclipped[digits == 1].mean():.2f}")

# %% [markdown]
# So mu is not "the percentage of the image that is noise", as one could think. It is a **mixing weight**, and two
# things happen at once: the noise has the standard deviation mu, *and* the image is dimmed by 1 - mu. The paper
# names three levels:

# %%
levels = {"mild": MILD, "moderate": MODERATE, "severe": SEVERE}
shown = [digits[:8]] + [add_noise(digits[:8], level, generator=generator()) for level in levels.values()]
titles = ["clean"] + [f"{name}, mu = {level:.2f}" for name, level in levels.items()]
picture(
    panel([tile(batch, 8, scale=3) for batch in shown], titles, columns=1),
    "Eight digits, clean and at three levels: at mu 0.10 slightly grainy, at 0.25 noisy, at 0.40 hard to read",
)

# %% [markdown]
# ## 1.3 Move it yourself
#
# The slider keeps one draw of N and changes only its weight: that is why the grains stay where they are while
# they grow. It works with the arrow keys, too. **Predict**: from which mu on can *you* no longer read the digits?

# %% tags=["nbval-ignore-output"]
noise_explorer(seed=SEED)

# %% [markdown]
# The same at six levels, for readers on paper or on GitHub, where nothing slides:

# %%
noise_filmstrip(seed=SEED)

# %% [markdown]
# ## 1.4 Numbers for noise: SNR, MSE, PSNR, SSIM
#
# The **signal-to-noise ratio** compares the variance of the dimmed image with that of the noise:
#
# $$\text{SNR} = 10 \log_{10} \frac{(1-\mu)^2\, \text{var}(I)}{\mu^2} \text{ dB}.$$
#
# The **mean squared error** compares Y with the clean I. Without clipping it follows from the equation in one
# line, since Y - I = mu (N - I):
#
# $$\text{MSE} = \mu^2 \left(1 + \text{mean}(I^2)\right), \qquad \text{PSNR} = 10 \log_{10} \frac{1}{\text{MSE}} \text{ dB}.$$
#
# **Predict**: does clipping to [0, 1] make the MSE larger or smaller?

# %%
print("  mu     SNR dB   MSE unclipped (theory)   MSE clipped (theory)   PSNR dB   SSIM")
for level in (0.05, 0.10, 0.25, 0.40, 0.60):
    clipped = add_noise(digits, level, generator=generator())
    free = add_noise(digits, level, generator=generator(), clip=False)
    snr = 10 * np.log10((1 - level) ** 2 * digits.var().item() / level**2)
    print(
        f"{level:5.2f}   {snr:6.1f}        {mse(free, digits):.4f} ({Blend(level, clip=False).expected_mse(digits):.4f})"
        f"         {mse(clipped, digits):.4f} ({Blend(level).expected_mse(digits):.4f})    {psnr(clipped, digits):6.2f}"
        f"    {ssim(clipped, digits):.2f}"
    )

# %% [markdown]
# Clipping *helps* the MSE, for it cuts off noise that no clean image could have. The measured values agree with
# theory in all the digits that 784,000 pixels can tell. (The clipped case has a closed form, too: the moments of
# a normal distribution that is cut at 0 and at 1; see `clipped_normal_moments`.)

# %%
mus = np.linspace(0.02, 1, 50)
measured_at = np.array([0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
measured = [psnr(add_noise(digits, m, generator=generator()), digits, per_image=False) for m in measured_at]
figure, axes = plt.subplots(figsize=(7, 3.5))
axes.plot(mus, [-10 * np.log10(Blend(m).expected_mse(digits)) for m in mus], label="theory, clipped")
axes.plot(mus, [-10 * np.log10(Blend(m, clip=False).expected_mse(digits)) for m in mus], "--", label="theory, not clipped")
axes.plot(measured_at, measured, "ko", label="measured on 1,000 digits, clipped")
axes.set(xlabel="mu", ylabel="pooled PSNR in dB")
axes.legend()
picture(figure, "PSNR falls from over 30 dB near mu 0 to 5 dB at mu 1; measured points lie on the clipped curve")

# %%
worst = max(abs(m + 10 * np.log10(Blend(x).expected_mse(digits))) for x, m in zip(measured_at, measured, strict=True))
print(f"largest distance between measurement and theory below 0.05 dB: {worst < 0.05}")
headline("PSNR at mu 0.25, dB", psnr(add_noise(digits, 0.25, generator=generator()), digits))
headline("SSIM at mu 0.25", ssim(add_noise(digits, 0.25, generator=generator()), digits))

# %% [markdown]
# **Which PSNR?** Two are in use. *Mean of the images' PSNRs* takes the logarithm image by image; *pooled*
# averages the squared errors first. They are different numbers, and papers rarely say which one they print.

# %%
noisy = add_noise(digits, 0.25, generator=generator())
print(f"mean of per-image PSNRs {psnr(noisy, digits):.3f} dB, pooled {psnr(noisy, digits, per_image=False):.3f} dB")
print("the mean of the PSNRs is never the smaller one:", psnr(noisy, digits) >= psnr(noisy, digits, per_image=False))

# %% [markdown]
# Here they nearly agree, since all digits get nearly the same noise. On photographs, where the noise depends on
# the picture, they differ much more, and a paper that does not name its PSNR cannot be compared.
#
# ## 1.5 Clipping makes the noise biased
#
# Take a pixel that is black: I = 0. Its noise mu N is negative half of the time, and clipping turns each of these
# values into 0. Nothing balances the positive half any more.
#
# **Predict**: the mean of a black pixel at mu = 0.25. Is it 0?

# %%
black = digits == 0
for level in levels.values():
    mean_of_black = add_noise(digits, level, generator=generator())[black].mean().item()
    zeros = (add_noise(digits, level, generator=generator())[black] == 0).float().mean().item()
    closed_form = level / np.sqrt(2 * np.pi)
    print(f"mu {level:.2f}: mean {mean_of_black:.3f}, mu / sqrt(2 pi) = {closed_form:.3f}, exactly zero {zeros:.0%}")
headline("mean of a black pixel at mu 0.40", mean_of_black)

# %%
original = torch.linspace(0, 1, 101)
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
for index, (name, level) in enumerate(levels.items()):
    axes[0].plot(original, clipped_normal_moments((1 - level) * original, level)[0], color=f"C{index}", label=name)
    axes[0].plot(original, (1 - level) * original, ":", color=f"C{index}")
    values = add_noise(digits, level, generator=generator())[black]
    axes[1].hist(values.numpy(), bins=50, range=(0, 1), density=True, histtype="step", color=f"C{index}", label=name)
axes[0].plot([0, 1], [0, 1], color="gray", linewidth=0.8)
axes[0].set(xlabel="clean value I", ylabel="mean of noisy value", title="solid: clipped, dotted: not clipped")
axes[1].set(xlabel="noisy value", title="black pixels: a spike at 0, and half a bell", yscale="log")
axes[0].legend()
axes[1].legend()
picture(figure, "Left: mean noisy against clean value, raised in the dark. Right: histogram of noisy black pixels")

# %% [markdown]
# The solid curves leave the dotted ones at both ends: dark pixels come out too bright, and at severe noise the
# brightest ones a little darker still. Why care? A network that is trained with *clean* targets learns to undo
# this. But in notebook 3 you will train with **noisy targets only**, and such a network learns the *mean* of what
# it sees. With clipped noise that mean is wrong by what you have just measured, and no amount of data will mend
# it. Keep the picture in mind.
#
# ### How much of the damage is mere dimming?
#
# The best straight line a Y + b (one number to brighten, one to shift) undoes the dimming and the raised
# background, but no noise.

# %%
from denoise_lib.papers import best_affine

for name, level in levels.items():
    noisy = add_noise(digits, level, generator=generator())
    a, b = best_affine(noisy, digits)
    print(f"{name:9s} MSE {mse(noisy, digits):.4f}   after {a:.2f} Y {b:+.2f}: {mse(a * noisy + b, digits):.4f}")

# %% [markdown]
# At severe noise a quarter of the error needs no denoiser at all. A fair comparison gives this much to every
# method; notebook 2 does.
#
# ## 1.6 Six other ways to spoil an image
#
# All models are called in the same way, `noise(image, generator)`, and each knows its own mean and variance,
# exactly. The levels below were chosen so that all have about the same MSE. **Predict**: which one looks worst to
# you, at equal MSE?

# %%
noises = {
    "blend, mu 0.25": Blend(0.25),
    "Gaussian, sigma 0.2": Gaussian(0.2),
    "Poisson, peak 3": Poisson(3),
    "missing pixels, p 0.4": Bernoulli(0.4),
    "random values, p 0.13": Impulse(0.13),
    "salt and pepper, p 0.09": Impulse(0.09, salt_and_pepper=True),
}
shown = [tile(noise(digits[:8], generator()), 8, scale=2) for noise in noises.values()]
picture(
    panel(shown, list(noises), columns=2),
    "Eight digits under six noises of about the same MSE: grainy background, or specks, or holes in the strokes",
)

# %%
print("noise                      MSE (theory)        bias of the mean   unbiased")
for name, noise in noises.items():
    noisy = noise(digits, generator())
    bias = (noise.mean(digits) - digits).mean().item()
    both = f"{mse(noisy, digits):.4f} ({noise.expected_mse(digits):.4f})"
    print(f"{name:25s}  {both}    {bias:+.3f}              {noise.unbiased}")

# %% [markdown]
# Equal MSE, very different pictures: that is one reason to look, and to report more than one number. The last
# column decides who may train on noisy targets alone in notebook 3. Only Gaussian noise that is *not* clipped,
# and Poisson noise, keep the mean.
#
# ### One more: a noise that knows where the edges are
#
# The second paper's photos are 32 x 32 pixels, and each noisy pixel is *one random pixel* of an 8 x 8 cell of a
# larger photo; the clean pixel is the mean of the cell. In flat areas nothing happens. At edges nearly anything
# can.

# %%
from skimage import data as photos

photo = torch.from_numpy(photos.astronaut()).permute(2, 0, 1)[None].float() / 255
photo = torch.nn.functional.avg_pool2d(photo[..., :512, :512], 2)  # 256 x 256
sample = PointSample(cell=8)
noisy, clean = sample(photo, generator()), sample.clean(photo)
picture(
    panel(
        [tile(photo), tile(noisy, scale=8), tile(clean, scale=8)],
        ["photo, 256 px", "one random pixel a cell", "clean: mean of the cell"],
    ),
    "A portrait of 256 pixels, its 32-pixel version by point sampling with ragged edges, and the smooth cell means",
)

# %%
spread = sample.variance(photo).mean(dim=1).sqrt().flatten()
print(f"noise of the flattest quarter of the picture {spread.quantile(0.125):.3f}, of the busiest {spread.quantile(0.875):.3f}")
print("unbiased:", sample.unbiased)

# %% [markdown]
# ## 1.7 A game: guess the mu
#
# Eight digits at a hidden level: move the slider to your guess and press the button. How far off are you, on
# average, after ten rounds?

# %% tags=["nbval-ignore-output"]
guess_the_mu(seed=SEED)

# %% [markdown]
# Can a program do better? **Predict** how, before you read on: which pixels give mu away?
#
# A black pixel has the mean mu / sqrt(2 pi), so the background alone tells mu. The border of these images is
# nearly always black, and a program can use it:

# %%
border = torch.ones(28, 28, dtype=torch.bool)
border[3:-3, 3:-3] = False
print(f"share of black pixels in the border: {(digits[..., border] == 0).float().mean():.1%}")


def estimate_mu(noisy_image):
    """mu from the mean of the border pixels, which are black in nearly every clean digit."""
    return noisy_image[..., border].mean(-1) * np.sqrt(2 * np.pi)


hidden = 0.05 + 0.55 * torch.rand(len(digits), generator=generator(1))
errors = (estimate_mu(add_noise(digits, hidden, generator=generator())).squeeze(1) - hidden).abs()
print(f"typical error of the program: {errors.mean():.3f}")
headline("error of the program that guesses mu", errors.mean().item())

# %% [markdown]
# That is the first lesson on *blind* denoising: one noisy image is enough to tell its own noise level. Notebook 2
# has a network that does so.
#
# ## 1.8 Exercises
#
# Fill in the body and run the cell. The check runs your function on fresh random numbers and says whether it is
# right, or *which* mistake it makes. `check.to_float.hint()` gives a hint (there are three), and
# `check.to_float.solution()` the solution. Nothing here blocks *Run all*. What you tried is kept in
# `answers.json` beside the notebook: `check.report()` shows it, and `check.export("mine.csv")` writes it down.
#
# **Exercise 1.** Before any noise: write `to_float(image)`, which turns a uint8 image in 0..255 into float32 in
# [0, 1].


# %%
def to_float(image):
    ...  # your code


check.to_float(to_float)

# %% [markdown]
# **Exercise 2.** The papers' noise: write `blend(image, noise, mu)`, which returns (1 - mu) image + mu noise,
# clipped to [0, 1].


# %%
def blend(image, noise, mu):
    ...  # your code


check.blend(blend)

# %% [markdown]
# **Exercise 3.** Noise whose *variance* is given: write `with_variance(image, noise, variance)`, which adds noise
# of that variance to the image. The given noise has variance 1; no dimming, no clipping. The slip that everybody
# makes once is in the bank.


# %%
def with_variance(image, noise, variance):
    ...  # your code


check.with_variance(with_variance)

# %% [markdown]
# **Exercise 4.** Two noisy copies of one image, as Noise2Noise needs them: write `two_copies(image, mu,
# generator)`, which returns two unclipped copies (1 - mu) image + mu N with *independent* noise, as a tuple.


# %%
def two_copies(image, mu, generator):
    ...  # your code


check.two_copies(two_copies)

# %% [markdown]
# **Exercise 5.** Write `mean_psnr(noisy, clean)`: the mean over the images (N, C, H, W) of each image's PSNR in
# dB, for values in [0, 1]. Two PSNRs go by this name; section 1.4 says which one is asked for.


# %%
def mean_psnr(noisy, clean):
    ...  # your code


check.mean_psnr(mean_psnr)

# %% [markdown]
# **Exercise 6** (on paper). At which mu has the *unclipped* blend an MSE equal to that of an all-black picture,
# mean(I^2) = 0.10? What does that say about "do nothing" as a denoiser at severe noise?
#
# ## What to remember
#
# - mu mixes: the noise gets the standard deviation mu, and the image is dimmed by 1 - mu.
# - MSE and PSNR of the noisy image follow from mu in one line. Measure *and* predict: if they differ, one of them
#   is wrong.
# - Clipping lowers the MSE and biases the mean. A black pixel becomes mu / sqrt(2 pi) on average.
# - Always say which PSNR; always show pictures on the fixed range 0..1; equal MSE does not mean equally bad.
#
# **Next**: [notebook 2](02_unet_vs_autoencoder.ipynb) trains two networks to take this noise away.
#
# ### References
#
# - A. Casey and A. Racape (2023). *Image Denoising with the UNet and Autoencoders.* The blend, the three levels,
#   Figure 1.
# - J. Lehtinen et al. (2018). *Noise2Noise: Learning Image Restoration without Clean Data.* ICML. The other noise
#   models.
# - Z. Wang et al. (2004). *Image Quality Assessment: From Error Visibility to Structural Similarity.* IEEE TIP
#   13(4). SSIM.
# - Y. LeCun, C. Cortes, C. Burges. *The MNIST database of handwritten digits.*
