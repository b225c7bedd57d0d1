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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/assignments/release/ps4_smoothgrad/ps4_smoothgrad.ipynb)
#
# # Problem set 4: SmoothGrad
#
# **For** those who did notebook 4. **Time**: 80 minutes (planned; no class was timed). **Points**: 20.
#
# | part | what | points |
# |---|---|---:|
# | A | five functions, 2 points each | 10 |
# | B | three questions with letters, of 1, 1 and 2 points | 4 |
# | C | two written answers, 3 points each | 6 |
#
# **How to work.** Colab does: open it with the badge, then *File > Save a copy in Drive*. Fill in the functions of
# part A. Each check runs your function on fresh random numbers and says that it is right, or which mistake it makes;
# `check.central_difference.hint()` gives a hint (there are three). *Run all* works while answers are missing, too; a
# wrong answer can stop it in the cell below its check: mend the function, or put `return None` first, and run on.
# Before you hand in, *Runtime > Restart session and run all*; then *File > Download > Download .ipynb*, and hand in
# this file.
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

from denoise_lib import (
    PointSample, add_noise, as_float_images, load_pretrained, loss_gradient, mnist, mse, photos,
    predict, self_sensitivity, smoothgrad, smoothgrad_samples, squared_error,
)
from denoise_lib.display import panel, picture, residual, tile
from denoise_lib.papers import class_score, format_summary, read_results, train_classifier

images, labels = mnist("test", "small", labels=True)
digits = as_float_images(images)  # (1000, 1, 28, 28), from 0 to 1
noise = PointSample(cell=8)
large = photos("test", size=256, crops=3).float() / 255


def generator(seed=0):
    """A source of random numbers that starts at the same place whenever it is asked for."""
    return torch.Generator().manual_seed(seed)


noisy_photos, clean_photos = noise(large, generator()), noise.clean(large)
unet, tnet = load_pretrained("unet-moderate"), load_pretrained("tnet")

# %%
# The numbers of your class: leave them as they are.
MU = 0.33  # class: mu
SIGMA = 0.05  # class: sigma


# %% [markdown]
# ## Part A: functions
#
# ### A1. A derivative by hand
#
# How do you know that a gradient is right? Move the pixel, and look.
#
# Write `central_difference(score, x, row, column, step)`: score(x) with pixel x[0, 0, row, column] alone raised by
# step, minus that with it lowered by step, over their distance, as a float. No clipping. score: (1, 1, H, W) -> (1,).

# %% nbgrader={"grade": false, "grade_id": "central_difference", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL central_difference
def central_difference(score, x, row, column, step):
    ### BEGIN SOLUTION
    above, below = x.clone(), x.clone()
    above[0, 0, row, column] += step
    below[0, 0, row, column] -= step
    return float(score(above) - score(below)) / (2 * step)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "central_difference-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL central_difference-check
check.central_difference(central_difference)

# %% [markdown]
# The U-Net's squared error on one digit, at the pixel with the steepest gradient. Which step is too large, and
# which too small? (float32 has about seven digits.)

# %%
x, clean = add_noise(digits[7:8], MU, generator=generator()), digits[7:8]
gradient = loss_gradient(unet, x, clean)[0, 0]
row, column = divmod(int(gradient.abs().argmax()), 28)
print(f"gradient by backpropagation {gradient[row, column]:.3f}")
for step in (0.3, 0.1, 1e-2, 1e-4, 1e-6, 1e-7):
    with torch.no_grad():
        found = central_difference(lambda images: (unet(images) - clean).square().sum((1, 2, 3)), x, row, column, step)
    if found is not None:
        print(f"step {step:7g}: {found:.3f}")


# %% [markdown]
# ### A2. What does the network pass on?
#
# The Jacobian has millions of entries. Its product with *one* direction answers a question: if the input moved this
# way, how would the output move?
#
# Write `response_to(model, x, direction)`: the Jacobian of model at x times direction: how fast model's outputs
# change when x moves along direction, which is not to be normalised. Exact, with signs, in the shape of x.

# %% nbgrader={"grade": false, "grade_id": "response_to", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL response_to
def response_to(model, x, direction):
    ### BEGIN SOLUTION
    response = torch.autograd.functional.jvp(model, x, direction)[1]
    return response
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "response_to-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL response_to-check
check.response_to(response_to)

# %% [markdown]
# Two directions: the noise of the photos, and the photos themselves. A good denoiser passes on the second and not
# the first.

# %%
directions = {"the noise": noisy_photos - clean_photos, "the photo": clean_photos}
if response_to(tnet, noisy_photos, directions["the noise"]) is not None:
    for name, direction in directions.items():
        response = response_to(tnet, noisy_photos, direction).detach()
        print(f"size of the response / size of {name}: {(response.square().mean() / direction.square().mean()).sqrt():.2f}")
        shown = [residual(part.mean(1, keepdim=True), 6, limit=0.5, scale=3) for part in (direction, response)]
        alt = f"Six photos: {name} as a direction, and the network's response to it, on a scale of +-0.5"
        display(picture(panel(shown, [name, "response"], columns=1), alt))


# %% [markdown]
# ### A3. The error, without a clean image
#
# Charles Stein found that the error to the clean image can be estimated from the noisy one, if the noise is Gaussian.
# The price is a divergence: how much each output follows its own input, added up. Notebook 4 does not have the formula:
# look it up, or let `check.sure.hint()` lead you to it in three steps.
#
# Write `sure(noisy, denoised, divergence, sigma)`: Stein's unbiased risk estimate of the mean squared error per
# pixel, a float. Images (1, 1, H, W), noise of deviation sigma; divergence: the sum of d denoised / d noisy over all
# pixels.

# %% nbgrader={"grade": false, "grade_id": "sure", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL sure
def sure(noisy, denoised, divergence, sigma):
    ### BEGIN SOLUTION
    changed = float((denoised - noisy).square().mean())
    return changed - sigma**2 + 2 * sigma**2 * divergence / noisy.numel()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sure-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL sure-check
check.sure(sure)

# %% [markdown]
# Fifty digits with Gaussian noise of your class's sigma = {{sigma}}, and four networks. Which one would you take if you
# had no clean digit? You will need this table in part C.

# %%
some = digits[:50]
noisy = some + SIGMA * torch.randn(some.shape, generator=generator())
print("network         error to the clean digits   SURE      change - sigma^2   divergence / pixels")
for name in ("unet-mild", "unet-moderate", "unet-severe", "unet-blind"):
    network = load_pretrained(name)
    denoised = predict(network, noisy)
    divergence = self_sensitivity(network, noisy, method="probes", probes=8, generator=generator()).sum((1, 2, 3))
    found = [sure(noisy[i : i + 1], denoised[i : i + 1], float(divergence[i]), SIGMA) for i in range(len(some))]
    if found[0] is not None:
        estimate, naive, share = sum(found) / len(found), mse(denoised, noisy) - SIGMA**2, divergence.mean() / 784
        print(f"{name:15s} {mse(denoised, some):25.5f}   {estimate:.5f}   {naive:16.5f}   {share:19.3f}")


# %% [markdown]
# ### A4. Delete what is salient
#
# If a map shows what a network looks at, the network should suffer when these pixels are gone.
#
# Write `delete_salient(x, saliency, count, fill)`: a copy of x (1, 1, H, W) in which the count pixels of the largest
# size of saliency (same shape; its sign does not count) have the value fill; all others stay as they are.

# %% nbgrader={"grade": false, "grade_id": "delete_salient", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL delete_salient
def delete_salient(x, saliency, count, fill):
    ### BEGIN SOLUTION
    salient = saliency.abs().flatten().topk(count).indices
    pixels = x.clone().flatten()
    pixels[salient] = fill
    return pixels.view_as(x)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "delete_salient-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL delete_salient-check
check.delete_salient(delete_salient)

# %% [markdown]
# A small classifier reads 200 noisy digits (your class's mu = {{mu}}). Then 25 or 100 pixels become black: those where
# SmoothGrad is largest, those where the plain gradient is, random ones, and the brightest ones. You will need this
# table in part C.

# %%
train_images, train_labels = mnist("train", "small", labels=True)
classifier = train_classifier(as_float_images(train_images), train_labels, epochs=2)
noisy = add_noise(digits[:200], MU, generator=generator())
says = predict(classifier, noisy).argmax(1)
print(f"right without any deletion: {(says == labels[:200]).float().mean():.0%}")

# %%
score, random = class_score(classifier), torch.rand(noisy.shape, generator=generator())
maps = {
    "SmoothGrad": smoothgrad(score, noisy, context=says, n_samples=25, generator=generator()),
    "gradient": smoothgrad(score, noisy, context=says, n_samples=1, noise_level=0.0),
    "random pixels": random,
    "brightest pixels": noisy,
}
if delete_salient(noisy[:1], random[:1], 1, 0.0) is not None:
    print("the classifier still says the same after deleting    25 pixels   100 pixels")
    for name, values in maps.items():
        kept = []
        for count in (25, 100):
            deleted = [delete_salient(noisy[i : i + 1], values[i : i + 1], count, 0.0) for i in range(len(noisy))]
            kept.append((predict(classifier, torch.cat(deleted)).argmax(1) == says).float().mean())
        print(f"{name:50s} {kept[0]:11.0%}   {kept[1]:10.0%}")


# %% [markdown]
# ### A5. How sure is a map?
#
# A map is a mean of samples. What is small beside its own error may be anything.
#
# Write `in_standard_errors(gradients)`: gradients (K, C, H, W) of K noisy samples. Return, for each pixel and with
# its sign, their mean over the standard error of that mean (standard deviation with K - 1, over root K), (C, H, W).

# %% nbgrader={"grade": false, "grade_id": "in_standard_errors", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL in_standard_errors
def in_standard_errors(gradients):
    ### BEGIN SOLUTION
    error = gradients.std(dim=0) / math.sqrt(len(gradients))
    return gradients.mean(dim=0) / error
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "in_standard_errors-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL in_standard_errors-check
check.in_standard_errors(in_standard_errors)

# %%
x, clean = noisy_photos[:1], clean_photos[:1]
shown, titles = [tile(x, scale=5)], ["noisy"]
settings = {"context": clean, "noise_level": 0.05}
for count in (5, 20, 80):
    samples = smoothgrad_samples(squared_error(tnet), x, n_samples=count, generator=generator(), **settings)
    if (certain := in_standard_errors(samples)) is not None:
        share = (certain.abs() > 2).float().mean()
        print(f"{count:2d} samples: {share:.0%} of the map is more than two standard errors from 0")
        shown.append(residual(certain.mean(0)[None, None], limit=10, scale=5))
        titles.append(f"{count} samples, +-10")
if len(shown) > 1:
    alt = "A noisy photo, and dL/dX in standard errors: with more samples more of it is certain"
    display(picture(panel(shown, titles), alt))

# %% [markdown]
# ## Part B: letters
#
# Write one letter between the quotation marks, as in `"A"`. Whether it is right you learn when the set is graded.
#
# **B1** (1 point). A network does nothing: f(x) = x. One pixel of its input is brighter than the clean one by {{sigma}}.
# L is the sum of squared errors of the output. How large is dL/dX at this pixel?
#
# {{options identity_gradient}}

# %% nbgrader={"grade": false, "grade_id": "identity_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL identity_gradient
identity_gradient = ""  # one letter
### BEGIN SOLUTION
identity_gradient = "{{letter identity_gradient}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "identity_gradient-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL identity_gradient-check
print("identity_gradient:", identity_gradient or "no answer yet")

# %% [markdown]
# **B2** (1 point). A SmoothGrad map was made with {{peak}} samples. At the same noise level, how many samples make its
# standard error a third as large?
#
# {{options samples_for_a_third}}

# %% nbgrader={"grade": false, "grade_id": "samples_for_a_third", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL samples_for_a_third
samples_for_a_third = ""  # one letter
### BEGIN SOLUTION
samples_for_a_third = "{{letter samples_for_a_third}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "samples_for_a_third-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL samples_for_a_third-check
print("samples_for_a_third:", samples_for_a_third or "no answer yet")

# %% [markdown]
# **B3** (2 points). Run the next cell first. The second paper reads off its Figure 3 that noisy pixels have very little
# influence on the output. What do these numbers say about that?
#
# {{options certain_or_large}}

# %%
for row in read_results("smoothgrad")["groups"]:
    if row["map"] == "output" and row["noise_level"] == 0 and row["network"] in ("tnet", "does nothing"):
        off, others = (format_summary(row[group]) for group in ("noisy", "elsewhere"))
        print(f"d sum f / dX, {row['network']:13s} noisy pixels {off}   elsewhere {others}")

# %% nbgrader={"grade": false, "grade_id": "certain_or_large", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL certain_or_large
certain_or_large = ""  # one letter
### BEGIN SOLUTION
certain_or_large = "{{letter certain_or_large}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "certain_or_large-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL certain_or_large-check
print("certain_or_large:", certain_or_large or "no answer yet")

# %% [markdown]
# ## Part C: in your own words
#
# Answer in the cell below each question (a double click opens it): some sentences, with the numbers that *you*
# measured above.
#
# **C1** (3 points). The table under A3, at sigma = {{sigma}}. Quote it: which network would SURE choose, and which one is
# the best in truth? "How much the network changed the image, less sigma squared" looks like an estimate of the error,
# too; where does it go wrong, and what has the divergence to do with it? (Try a network that does nothing, and one
# that always returns gray.) Name a condition of SURE that photos from a camera break.

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-sure", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-sure -->
# ### BEGIN SOLUTION
# SURE comes close to the true error for all four networks and chooses the best one, or one as good. The change of the
# image contains the noise only if the network took all of the noise away. A network that does nothing changes nothing:
# the change less sigma squared is negative, -sigma squared, and its true error is plus sigma squared. Its divergence
# is one for each pixel, and 2 sigma squared makes up for it. One that always returns gray has the divergence 0, and
# there the change less sigma squared is right. So the divergence counts how much of the input's noise is still in the
# output. A camera clips, its noise depends on the brightness, and nobody says sigma.
#
# - 1 point: quotes true errors and SURE, and names both choices.
# - 1 point: the noise that stays in the output; f(x) = x or the gray network worked out. Half a point for "it has to be
#   corrected by the divergence".
# - 1 point: a condition that is broken (Gaussian, known sigma, the same everywhere, not clipped), with what follows.
# ### END SOLUTION

# %% [markdown]
# **C2** (3 points). The table under A4, at mu = {{mu}}. Quote it. A report says: "Deleting SmoothGrad's pixels hurts far more
# than deleting random ones, so the map shows what the classifier looks at." What does the row of the brightest pixels
# add to this? Why is black an unlucky choice to fill in, for digits? Describe a fairer experiment.

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-deletion", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-deletion -->
# ### BEGIN SOLUTION
# Random pixels mostly lie in the background, where little is lost: that is an easy control. A map that knows nothing
# of the network, the brightness of the image, does a similar amount of harm (compare the two rows), so
# the test alone does not show that a map tells of *this* network. Black is the background: to delete a dark pixel
# changes little, and to delete a bright one makes another digit, an image that the classifier was not trained on. A
# fairer experiment: fill in values from the neighbourhood or random ones, and compare with controls that delete as
# much brightness (random pixels of the stroke; the map of another network, or of one with random weights), over many
# digits, with standard errors.
#
# - 1 point: quotes the table, and says that random pixels are an easy control.
# - 1 point: a map without any network does comparable harm, so the conclusion does not follow.
# - 1 point: black is the background, or the images are no digits any more; and a better fill or control.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# - *Runtime > Restart session and run all*. Are all checks as you want them?
# - Each question of part B has a letter, and both texts of part C are written.
# - *File > Download > Download .ipynb*, and hand in this file. (No link to Colab: a link can change, or be closed.)

# %%
check.report("central_difference", "response_to", "sure", "delete_salient", "in_standard_errors")
