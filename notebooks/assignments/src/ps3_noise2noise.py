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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/assignments/release/ps3_noise2noise/ps3_noise2noise.ipynb)
#
# # Problem set 3: Noise2Noise
#
# **For** those who did notebook 3. **Time**: 80 minutes (planned; no class was timed). **Points**: 20.
#
# | part | what | points |
# |---|---|---:|
# | A | five functions, 2 points each | 10 |
# | B | four questions with letters, 1 point each | 4 |
# | C | two written answers, 3 points each | 6 |
#
# **How to work.** Colab does: open it with the badge, then *File > Save a copy in Drive*. Fill in the functions of
# part A. Each check runs your function on fresh random numbers and says that it is right, or which mistake it makes;
# `check.input_and_target.hint()` gives a hint (there are three). *Run all* works while answers are missing, too; a
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
from IPython.display import display

from denoise_lib import PointSample, corrupted_pixel, load_pretrained, mse, photos, predict, psnr
from denoise_lib.display import panel, picture, tile

noise = PointSample(cell=8)  # the second paper's noise: a random pixel of each cell
large = photos("all", size=256, crops=4).float() / 255
clean = noise.clean(large)  # (28, 3, 32, 32): four crops of each of seven photos


def generator(seed=0):
    """A source of random numbers that starts at the same place whenever it is asked for."""
    return torch.Generator().manual_seed(seed)


# %%
# The numbers of your class: leave them as they are.
SIGMA = 0.05  # class: sigma
COPIES = 9  # class: copies


# %% [markdown]
# ## Part A: functions
#
# ### A1. More than two copies
#
# Noise2Noise needs two noisy copies of each image. What if there are more? A target with less noise makes the
# gradients less noisy, as long
# as it shares no noise with the input.
#
# Write `input_and_target(copies)`: copies (K, N, C, H, W) holds K independent noisy copies of each image. Return the
# tuple (input, target): the first copy, and the mean of all the others, (N, C, H, W) each. No clipping.

# %% nbgrader={"grade": false, "grade_id": "input_and_target", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL input_and_target
def input_and_target(copies):
    ### BEGIN SOLUTION
    return copies[0], copies[1:].mean(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "input_and_target-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL input_and_target-check
check.input_and_target(input_and_target)

# %%
source = generator()
copies = torch.stack([noise(large, source) for _ in range(COPIES)])  # (COPIES, 28, 3, 32, 32)
if (both := input_and_target(copies)) is not None:
    errors = [mse(batch, clean) for batch in both]
    print(f"error of the input / error of the target, from {COPIES} copies: {errors[0] / errors[1]:.1f}")
    shown = [tile(batch[::4], 7, scale=3) for batch in (*both, clean)]
    alt = "Seven photos: one noisy copy, the mean of the others, which is calmer, and the clean photos"
    display(picture(panel(shown, ["input", "target", "clean"], columns=1), alt))


# %% [markdown]
# ### A2. A loss for bright pixels
#
# A renderer that shoots few rays leaves some pixels far too bright. Under the plain squared error these few rule the
# whole training; a *relative* error tames them. But training must still end at the mean.
#
# Write `hdr_loss(output, target)`: the mean of ((output - target) / (output + 0.01))^2, one number, which can be
# differentiated by output; the denominator counts in the value, and as a constant in the gradient. All outputs are >= 0.

# %% nbgrader={"grade": false, "grade_id": "hdr_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL hdr_loss
def hdr_loss(output, target):
    ### BEGIN SOLUTION
    scale = output.detach() + 0.01
    return ((output - target) / scale).square().mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "hdr_loss-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL hdr_loss-check
check.hdr_loss(hdr_loss)

# %% [markdown]
# 4,000 noisy targets of one pixel, whose noise is skewed. Gradient steps on your loss start at 1. Where they end is
# what a network would learn.

# %%
targets = corrupted_pixel(0.3, "skewed", 0.3).float()
guess = torch.tensor(1.0, requires_grad=True)
if hdr_loss(guess.expand_as(targets), targets) is not None:
    for _ in range(300):
        (gradient,) = torch.autograd.grad(hdr_loss(guess.expand_as(targets), targets), guess)
        guess = (guess - 0.02 * gradient).detach().requires_grad_()
    print(f"your loss ends at {guess.item():.3f}")
    print(f"the targets' mean is {targets.mean():.3f}, their median {targets.median():.3f}")


# %% [markdown]
# ### A3. Lost pixels
#
# Pixels that are lost at random make an image darker on average. A target must not be darker than the clean image.
#
# Write `kept_pixels(clean, mask, p)`: mask (N, 1, H, W) is 1.0 where a pixel is kept, with probability p, else 0.0.
# Return clean (N, C, H, W), 0 where lost, and so scaled with p that its mean over all masks is clean; no clipping.

# %% nbgrader={"grade": false, "grade_id": "kept_pixels", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL kept_pixels
def kept_pixels(clean, mask, p):
    ### BEGIN SOLUTION
    return clean * mask / p
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "kept_pixels-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL kept_pixels-check
check.kept_pixels(kept_pixels)

# %%
masks = (torch.rand(300, 1, 32, 32, generator=generator()) < 0.5).float()
astronaut = clean[:1].expand(300, -1, -1, -1)
if (kept := kept_pixels(astronaut, masks, 0.5)) is not None:
    means = {f"mean of {count}": kept[:count].mean(0, keepdim=True) for count in (1, 10, 300)}
    for name, mean in means.items():
        print(f"{name:11s} brightness {mean.mean():.3f} (clean {clean[:1].mean():.3f}), {psnr(mean, clean[:1]):.1f} dB")
    shown = panel([tile(mean, scale=4) for mean in means.values()], list(means))
    display(picture(shown, "A portrait with half of its pixels lost, the mean of ten such, and of 300, which is nearly clean"))


# %% [markdown]
# ### A4. Turn both
#
# A photo that is turned or mirrored is a photo, and costs nothing. A pair has to stay a pair.
#
# Write `turn_pair(first, second, quarters, flip)`: both images (N, C, H, H) turned by that many quarter turns, as
# torch.rot90 does in dimensions (2, 3); then, if flip, mirrored left-right (dimension 3); as a tuple (first, second).

# %% nbgrader={"grade": false, "grade_id": "turn_pair", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL turn_pair
def turn_pair(first, second, quarters, flip):
    ### BEGIN SOLUTION
    first, second = torch.rot90(first, quarters, (2, 3)), torch.rot90(second, quarters, (2, 3))
    if flip:
        first, second = first.flip(3), second.flip(3)
    return first, second
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "turn_pair-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL turn_pair-check
check.turn_pair(turn_pair)

# %% [markdown]
# If the pixels still belong together, the two copies differ by no more than before.

# %%
first, second = copies[:2]
if turn_pair(first, second, 1, True) is not None:
    print(f"mean squared difference of the two copies: {mse(first, second):.4f}")
    for quarters, flip in ((1, False), (2, True), (3, True)):
        turned = turn_pair(first, second, quarters, flip)
        print(f"turned by {quarters} quarters, {'mirrored' if flip else 'not mirrored'}: {mse(*turned):.4f}")


# %% [markdown]
# ### A5. Eight opinions
#
# A network has learnt some directions better than others. At test time one can ask it eight times.
#
# Write `self_ensemble(model, x)`: turn x (N, C, H, H) in all eight ways (by 0 to 3 quarters, each with and without a
# mirror), let model denoise each, undo the turn on each output, and return the mean of the eight, in the shape of x.

# %% nbgrader={"grade": false, "grade_id": "self_ensemble", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL self_ensemble
def self_ensemble(model, x):
    ### BEGIN SOLUTION
    outputs = []
    for quarters in range(4):
        turned = torch.rot90(x, quarters, (2, 3))
        outputs.append(torch.rot90(model(turned), -quarters, (2, 3)))
        outputs.append(torch.rot90(model(turned.flip(3)).flip(3), -quarters, (2, 3)))
    return torch.stack(outputs).mean(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "self_ensemble-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL self_ensemble-check
check.self_ensemble(self_ensemble)

# %%
for name in ("tnet", "tiny-denoiser", "noise2noise-unet"):
    model = load_pretrained(name)
    with torch.no_grad():
        if (mean := self_ensemble(model, copies[0])) is not None:
            once = psnr(model(copies[0]).clamp(0, 1), clean)
            print(f"{name:17s} once {once:.2f} dB, eight times {psnr(mean.clamp(0, 1), clean):.2f} dB")

# %% [markdown]
# ### Three ways to measure one network
#
# For part C: TNet denoises 140 photos with Gaussian noise of your class's sigma = {{sigma}}. Its output is compared
# with the clean photo, with *another* noisy copy, and with the noisy copy that it got.

# %%
more = noise.clean(photos("all", size=256, crops=20).float() / 255)
source = generator()
noisy, other = (more + SIGMA * torch.randn(more.shape, generator=source) for _ in range(2))
output = predict(load_pretrained("tnet"), noisy)
print(f"sigma squared           {SIGMA**2:.5f}")
for name, target in {"the clean photo": more, "another noisy copy": other, "its own input": noisy}.items():
    print(f"against {name:18s} {mse(output, target):.5f}")

# %% [markdown]
# ## Part B: letters
#
# Write one letter between the quotation marks, as in `"A"`. Whether it is right you learn when the set is graded.
#
# **B1** (1 point). A pixel's clean value is 0.30. In each target it is painted over in white (1.00) with probability
# {{mu}}. Which values does a network learn for it, with L2 and with L1?
#
# {{options overlay_losses}}

# %% nbgrader={"grade": false, "grade_id": "overlay_losses", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL overlay_losses
overlay_losses = ""  # one letter
### BEGIN SOLUTION
overlay_losses = "{{letter overlay_losses}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "overlay_losses-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL overlay_losses-check
print("overlay_losses:", overlay_losses or "no answer yet")

# %% [markdown]
# **B2** (1 point). Each target is the mean of {{copies}} noisy copies, none of which is the input; the noise of a copy
# is Gaussian, not clipped, with sigma = {{sigma}}. The mean squared error of the network's output to the *clean* images
# is 0.00400. What is it against these targets?
#
# {{options loss_of_mean_target}}

# %% nbgrader={"grade": false, "grade_id": "loss_of_mean_target", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL loss_of_mean_target
loss_of_mean_target = ""  # one letter
### BEGIN SOLUTION
loss_of_mean_target = "{{letter loss_of_mean_target}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "loss_of_mean_target-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL loss_of_mean_target-check
print("loss_of_mean_target:", loss_of_mean_target or "no answer yet")

# %% [markdown]
# **B3** (1 point). The second paper prints 25.32 dB for TNet, 25.29 dB with L1 loss, and 24.45 dB with batch
# normalisation. Which argument makes you suspect, before any training, that the last two are exchanged?
#
# {{options swapped_rows}}

# %% nbgrader={"grade": false, "grade_id": "swapped_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL swapped_rows
swapped_rows = ""  # one letter
### BEGIN SOLUTION
swapped_rows = "{{letter swapped_rows}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "swapped_rows-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL swapped_rows-check
print("swapped_rows:", swapped_rows or "no answer yet")

# %% [markdown]
# **B4** (1 point). Two noisy copies of an image exchange their pixels at random places. For which noise is the result
# as good as a new pair?
#
# {{options pixel_exchange}}

# %% nbgrader={"grade": false, "grade_id": "pixel_exchange", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL pixel_exchange
pixel_exchange = ""  # one letter
### BEGIN SOLUTION
pixel_exchange = "{{letter pixel_exchange}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "pixel_exchange-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL pixel_exchange-check
print("pixel_exchange:", pixel_exchange or "no answer yet")

# %% [markdown]
# ## Part C: in your own words
#
# Answer in the cell below each question (a double click opens it): some sentences, with the numbers that *you*
# measured above.
#
# **C1** (3 points). The last numbers of part A, at sigma = {{sigma}}. Quote them, and explain the difference between the
# first two errors. A fellow student trained one network on targets with this sigma, another on targets with half of
# it; the second has the smaller training loss. Is it the better network? And why is the third error so different from
# the second: what would a network learn from pairs whose input and target share their noise?

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-loss", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-loss -->
# ### BEGIN SOLUTION
# Against another noisy copy the error is larger by sigma squared, to within the chance of these photos: the noise of
# the target is independent of the output, so that its variance is simply added, and no network can remove it. With
# half the sigma the loss is lower by three quarters of sigma squared whatever the network does; to compare the two,
# subtract each one's variance, or measure both on the same pairs. The input's own noise is partly still in the output,
# which follows its input; what the two share cancels in the difference. Trained on such pairs a network would do
# nothing: f(x) = x has the loss 0.
#
# - 1 point: quotes the numbers; the difference is sigma squared, because the target's noise is independent.
# - 1 point: no, not from the loss; subtract the variances or use one test set.
# - 1 point: shared noise cancels in part, and such pairs teach the identity. Half a point for one of the two.
# ### END SOLUTION

# %% [markdown]
# **C2** (3 points). The paper's BaseNet, without skips, has 6.95 ± 0.32 dB, and an all-black picture 6.42 dB. The paper
# concludes that skips are needed. What do these two numbers suggest instead? Write a check of a line or two, in code
# or in words, that would have shown it, and say when you would run it. Now suppose that BaseNet, trained well, still
# stays far behind TNet: name two other differences between the two networks, and the experiment that would tell
# whether it is the skips.

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-basenet", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-basenet -->
# ### BEGIN SOLUTION
# The network scores what a black picture does, give or take the luck of its first weights: it was not trained, or has
# collapsed. The
# check: keep a copy of the parameters, do one step, and assert that each of them has moved, before every long
# training; or compare with a trivial baseline before anything is concluded. BaseNet also squeezes the photo into eight
# numbers, has nearly four times as many parameters, kernels of other sizes, no padding, another activation. The
# experiment: TNet with zeros in place of its skips, trained with the same data, epochs and several seeds.
#
# - 1 point: it was not trained, or its training has collapsed, since its score is about that of black (or of an
#   untrained network).
# - 1 point: a check that works, and when to run it. Half a point for "look at the loss" (the loss of such a network
#   is a number, too; it has to be seen not to fall).
# - 1 point: two other differences, and an experiment that changes the skips alone.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# - *Runtime > Restart session and run all*. Are all checks as you want them?
# - Each question of part B has a letter, and both texts of part C are written.
# - *File > Download > Download .ipynb*, and hand in this file. (No link to Colab: a link can change, or be closed.)

# %%
check.report("input_and_target", "hdr_loss", "kept_pixels", "turn_pair", "self_ensemble")
