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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/assignments/release/ps1_noise/ps1_noise.ipynb)
#
# # Problem set 1: noise
#
# **For** those who did notebook 1. **Time**: 75 minutes (planned; no class was timed). **Points**: 20.
#
# | part | what | points |
# |---|---|---:|
# | A | five functions, 2 points each | 10 |
# | B | four questions with letters, 1 point each | 4 |
# | C | two written answers, 3 points each | 6 |
#
# **How to work.** Colab does: open it with the badge, then *File > Save a copy in Drive*. Fill in the functions of
# part A. Each check runs your function on fresh random numbers and says that it is right, or which mistake it makes;
# `check.impulse_noise.hint()` gives a hint (there are three). *Run all* works while answers are missing, too; a
# wrong answer can stop it in the cell below its check: mend the function, or put `return None` first, and run on. Before
# you hand in, *Runtime > Restart session and run all*; then *File > Download > Download .ipynb*, and hand in this
# file.
#
# **Leave as they are**: the first line of every cell that begins with `GRADED CELL` (the grader finds your answer by
# it), and the names of the functions. You may add cells wherever you like. What help is allowed, from people and from
# programs, your instructor says.

# %%
# Set-up. In Colab this installs the course's small library and nothing else; elsewhere it only imports.
import importlib.util
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

from denoise_lib.exercises import check

print(f"torch {torch.__version__} on a {'GPU' if torch.cuda.is_available() else 'CPU'}")

# %%
import math

from IPython.display import display

from denoise_lib import Gaussian, Impulse, Poisson, as_float_images, mnist, mse, photos, psnr
from denoise_lib.display import panel, picture, tile

digits = as_float_images(mnist("test", "small"))  # (1000, 1, 28, 28), from 0 to 1


def generator(seed=0):
    """A source of random numbers that starts at the same place whenever it is asked for."""
    return torch.Generator().manual_seed(seed)


# %%
# The numbers of your class: leave them as they are.
MU = 0.33  # class: mu
SIGMA = 0.05  # class: sigma
PEAK = 53  # class: peak
COPIES = 9  # class: copies


# %% [markdown]
# ## Part A: functions
#
# ### A1. Salt and pepper
#
# A dead pixel of a camera is black or white, whatever it looks at. In contrast to the blend, most pixels stay as they
# were.
#
# Write `impulse_noise(image, u, p)`: salt and pepper on images (N, C, H, W); u is uniform in [0, 1), (N, 1, H, W). A
# pixel becomes 0 in all channels where u < p / 2, 1 where u >= 1 - p / 2, and stays elsewhere.

# %% nbgrader={"grade": false, "grade_id": "impulse_noise", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL impulse_noise
def impulse_noise(image, u, p):
    ### BEGIN SOLUTION
    with_black = torch.where(u < p / 2, 0.0, image)
    return torch.where(u >= 1 - p / 2, 1.0, with_black)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "impulse_noise-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL impulse_noise-check
check.impulse_noise(impulse_noise)

# %%
u = torch.rand(len(digits), 1, 28, 28, generator=generator())
if (speckled := impulse_noise(digits, u, MU)) is not None:
    print(f"MSE {mse(speckled, digits):.3f}, in theory {Impulse(MU, salt_and_pepper=True).expected_mse(digits):.3f}")
    display(picture(tile(speckled[:16], 8, scale=3), "Sixteen digits, speckled with black and white pixels"))


# %% [markdown]
# ### A2. Photons
#
# Light comes in grains. Where many arrive, their number varies by more; relative to the light itself it varies by less.
#
# Write `shot_noise(image, noise, peak)`: image + noise of the variance image / peak at each pixel, as photons have it
# where white is `peak` photons. The given noise has standard deviation 1. No clipping.

# %% nbgrader={"grade": false, "grade_id": "shot_noise", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL shot_noise
def shot_noise(image, noise, peak):
    ### BEGIN SOLUTION
    return image + (image / peak).sqrt() * noise
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "shot_noise-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL shot_noise-check
check.shot_noise(shot_noise)

# %%
photo = photos("test", size=128).float() / 255
standard_normal = torch.randn(photo.shape, generator=generator())
if (noisy := shot_noise(photo, standard_normal, PEAK)) is not None:
    for name, low, high in (("dark", 0.0, 0.1), ("gray", 0.4, 0.6), ("bright", 0.9, 1.1)):
        there = (photo >= low) & (photo < high)
        theory = Poisson(PEAK).variance(photo)[there].mean().sqrt()
        print(f"{name:6s} pixels: deviation of the noise {(noisy - photo)[there].std():.3f}, in theory {theory:.3f}")
    shown = panel([tile(photo, 2, scale=2), tile(noisy, 2, scale=2)], ["photos", f"at {PEAK} photons"], columns=1)
    display(picture(shown, "Two photos, clean and with the noise of photons, which is strongest where they are bright"))


# %% [markdown]
# ### A3. As much noise as you like
#
# To compare two noises fairly one gives them the same PSNR first.
#
# Write `sigma_for_psnr(psnr)`: the standard deviation of unclipped Gaussian noise which gives images in [0, 1] this
# PSNR in dB, as a float.

# %% nbgrader={"grade": false, "grade_id": "sigma_for_psnr", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL sigma_for_psnr
def sigma_for_psnr(psnr):
    ### BEGIN SOLUTION
    return float(10 ** (-psnr / 20))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sigma_for_psnr-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL sigma_for_psnr-check
check.sigma_for_psnr(sigma_for_psnr)

# %%
for wanted in (14, 20, 26):
    if (sigma := sigma_for_psnr(wanted)) is not None:
        noisy = digits + sigma * torch.randn(digits.shape, generator=generator())
        print(f"{wanted} dB: sigma {sigma:.3f}, measured {psnr(noisy, digits):.1f} dB")


# %% [markdown]
# ### A4. How noisy is this picture?
#
# Nobody hands you sigma with a photo. But neighbouring pixels are nearly alike, and their noise is not.
#
# Write `noise_of_differences(noisy)`: sigma of the noise, estimated from one image (1, 1, H, W): the standard
# deviation (.std() in torch) of all differences of horizontal neighbours, columns j and j + 1, divided by the root of
# 2.

# %% nbgrader={"grade": false, "grade_id": "noise_of_differences", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL noise_of_differences
def noise_of_differences(noisy):
    ### BEGIN SOLUTION
    differences = noisy[:, :, :, 1:] - noisy[:, :, :, :-1]
    return differences.std() / math.sqrt(2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "noise_of_differences-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL noise_of_differences-check
check.noise_of_differences(noise_of_differences)

# %% [markdown]
# Three pictures, each without noise and with Gaussian noise of your class's sigma = {{sigma}}. You will need these
# numbers in part C.

# %%
cup, flower = (photos("test", size=256).float() / 255).mean(1, keepdim=True).split(1)  # gray
pictures = {"a gray wall": torch.full_like(cup, 0.5), "a cup of coffee": cup, "a flower": flower}
standard_normal = torch.randn(cup.shape, generator=generator())
if noise_of_differences(cup) is not None:
    print(f"estimated sigma    without noise   with noise of {SIGMA:.2f}")
    for name, image in pictures.items():
        without, found = (float(noise_of_differences(image + sigma * standard_normal)) for sigma in (0.0, SIGMA))
        print(f"{name:18s} {without:13.4f}   {found:18.4f}")


# %% [markdown]
# ### A5. Many copies
#
# Astronomers take the same picture many times, and average.
#
# Write `psnr_of_average(psnr, copies)`: the PSNR in dB, a float, of the mean of `copies` unclipped copies of one
# image with independent noise, each of which has this psnr.

# %% nbgrader={"grade": false, "grade_id": "psnr_of_average", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL psnr_of_average
def psnr_of_average(psnr, copies):
    ### BEGIN SOLUTION
    return psnr + 10 * math.log10(copies)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "psnr_of_average-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL psnr_of_average-check
check.psnr_of_average(psnr_of_average)


# %% [markdown]
# Does it hold? Here the noise is Gaussian with sigma = {{sigma}}, once not clipped and once clipped to [0, 1]. Each
# prediction starts from the PSNR of one copy. You will need this table in part C.

# %%
def mean_of_copies(noise, copies):
    """The mean of so many noisy copies of 200 digits."""
    source = generator()
    return sum(noise(digits[:200], source) for _ in range(copies)) / copies


if psnr_of_average(20.0, 4) is not None:
    print("copies   noise         predicted dB   measured dB")
    for name, noise in {"not clipped": Gaussian(SIGMA), "clipped": Gaussian(SIGMA, clip=True)}.items():
        one = psnr(mean_of_copies(noise, 1), digits[:200])
        for copies in (1, COPIES, 100):
            measured = psnr(mean_of_copies(noise, copies), digits[:200])
            print(f"{copies:6d}   {name:11s}   {psnr_of_average(one, copies):12.2f}   {measured:11.2f}")

# %% [markdown]
# ## Part B: letters
#
# Write one letter between the quotation marks, as in `"A"`. Whether it is right you learn when the set is graded.
#
# **B1** (1 point). The mean of I² over some digits is 0.10. They are blended with noise at mu = {{mu}}, and *not*
# clipped. What is the mean squared error of the noisy digits?
#
# {{options mse_of_blend}}

# %% nbgrader={"grade": false, "grade_id": "mse_of_blend", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL mse_of_blend
mse_of_blend = ""  # one letter
### BEGIN SOLUTION
mse_of_blend = "{{letter mse_of_blend}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "mse_of_blend-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL mse_of_blend-check
print("mse_of_blend:", mse_of_blend or "no answer yet")

# %% [markdown]
# **B2** (1 point). A black image is blended with noise at mu = {{mu}}, and clipped to [0, 1]. Which share of its
# pixels is then exactly 0, on average?
#
# {{options zeros_of_black}}

# %% nbgrader={"grade": false, "grade_id": "zeros_of_black", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL zeros_of_black
zeros_of_black = ""  # one letter
### BEGIN SOLUTION
zeros_of_black = "{{letter zeros_of_black}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "zeros_of_black-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL zeros_of_black-check
print("zeros_of_black:", zeros_of_black or "no answer yet")

# %% [markdown]
# **B3** (1 point). Which of these noises leaves the mean of every pixel as it was, whatever the image? (The table
# in section 1.6 of notebook 1 helps.)
#
# {{options unbiased_noise}}

# %% nbgrader={"grade": false, "grade_id": "unbiased_noise", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL unbiased_noise
unbiased_noise = ""  # one letter
### BEGIN SOLUTION
unbiased_noise = "{{letter unbiased_noise}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "unbiased_noise-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL unbiased_noise-check
print("unbiased_noise:", unbiased_noise or "no answer yet")

# %% [markdown]
# **B4** (1 point). One noisy image has a PSNR of 20 dB. Another, of the same size, has 2 x {{copies}} dB more.
# What is their *pooled* PSNR?
#
# {{options pooled_psnr}}

# %% nbgrader={"grade": false, "grade_id": "pooled_psnr", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL pooled_psnr
pooled_psnr = ""  # one letter
### BEGIN SOLUTION
pooled_psnr = "{{letter pooled_psnr}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "pooled_psnr-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL pooled_psnr-check
print("pooled_psnr:", pooled_psnr or "no answer yet")

# %% [markdown]
# ## Part C: in your own words
#
# Answer in the cell below each question (a double click opens it): some sentences, with the numbers that *you*
# measured above.
#
# **C1** (3 points). The table under A5. Quote your two rows for {{copies}} copies: how far off is the prediction in
# each? Why is it off in one of them? And what do the rows for 100 copies say to somebody whose camera clips?

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-average", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-average -->
# ### BEGIN SOLUTION
# With {{copies}} copies the unclipped mean is as good as predicted, to some hundredths of a decibel. The clipped one
# falls short, by
# the more decibels, the more copies there are. Averaging divides the *variance* of the noise by the number of
# copies. It does nothing
# to a bias, and clipping makes one: a black pixel has the mean sigma / sqrt(2 pi) and not 0, and four pixels in five
# are black. So with more and more copies the error does not go to 0 but to the mean squared bias: from {{copies}} to
# 100 copies the clipped mean gains
# far less than the unclipped one. Whose camera
# clips should keep values below black (add an offset before clipping), or correct the known bias afterwards.
#
# - 1 point: quotes the measured rows, and says that the prediction holds without clipping alone.
# - 1 point: names the bias of clipped dark pixels, and that averaging reduces the variance and not the bias.
# - 1 point: says that the clipped mean comes to a stop (its error tends to the squared bias), with the rows for 100
#   copies as evidence. Half a point for "more copies do not help" without a reason.
# ### END SOLUTION

# %% [markdown]
# **C2** (3 points). The table under A4. On which pictures is your estimate of sigma = {{sigma}} off, and what does the
# function take for noise there? Show with your numbers that the two columns fit together (do deviations add, or
# variances?), and say why the mistake would matter less at a larger sigma. Then: how would you change the function
# so that it comes closer on photos?

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-differences", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-differences -->
# ### BEGIN SOLUTION
# On the wall the estimate is right. On the photos it is too large, because the photo's own edges and textures make
# neighbours differ. Variances add: the square of the second column is the square of the first plus sigma squared (and
# not the column plus sigma). So the photo's share is fixed, and beside a larger sigma it hardly counts. Better: the
# median of the absolute differences, divided by 0.6745, in place of their standard
# deviation (still divided by the root of 2), since few neighbours
# lie at an edge; or second differences, which a smooth slope does not change; or flat parts of the picture alone.
#
# - 1 point: names the photos, with numbers, and edges or texture as the cause.
# - 1 point: shows that the variances add, and concludes that a larger sigma hides the photo's share. Half a point for
#   one of the two.
# - 1 point: a change that helps, with the reason.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# - *Runtime > Restart session and run all*. Are all checks as you want them?
# - Each question of part B has a letter, and both texts of part C are written.
# - *File > Download > Download .ipynb*, and hand in this file. (No link to Colab: a link can change, or be closed.)

# %%
check.report("impulse_noise", "shot_noise", "sigma_for_psnr", "noise_of_differences", "psnr_of_average")
