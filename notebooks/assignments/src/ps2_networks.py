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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/assignments/release/ps2_networks/ps2_networks.ipynb)
#
# # Problem set 2: networks
#
# **For** those who did notebook 2. **Time**: 75 minutes (planned; no class was timed). **Points**: 20.
#
# | part | what | points |
# |---|---|---:|
# | A | five functions, 2 points each | 10 |
# | B | three questions with letters, of 1, 1 and 2 points | 4 |
# | C | two written answers, 3 points each | 6 |
#
# **How to work.** Colab does: open it with the badge, then *File > Save a copy in Drive*. Fill in the functions of
# part A. Each check runs your function on fresh random numbers and says that it is right, or which mistake it makes;
# `check.receptive_field.hint()` gives a hint (there are three). *Run all* works while answers are missing, too; a
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

from denoise_lib import LEVELS, BaseNet, add_noise, as_float_images, load_pretrained, mnist, mse, predict, psnr
from denoise_lib.display import panel, picture, tile
from denoise_lib.papers import PAPER_TABLE_1, read_results

images, labels = mnist("test", "small", labels=True)
digits = as_float_images(images)  # (1000, 1, 28, 28), from 0 to 1
blind = load_pretrained("unet-blind")  # the U-Net of notebook 2, trained on all mu from 0 to 0.5


def generator(seed=0):
    """A source of random numbers that starts at the same place whenever it is asked for."""
    return torch.Generator().manual_seed(seed)


# %%
# The numbers of your class: leave them as they are.
MU = 0.33  # class: mu


# %% [markdown]
# ## Part A: functions
#
# ### A1. How far does a network see?
#
# The autoencoder's bottleneck has 7 x 7 places. Each of them knows a part of the digit, and what lies outside of
# it has no influence at all.
#
# Write `receptive_field(layers)`: how many pixels wide the square of the input is that one number of the output sees,
# as an int. layers is a list of pairs (kernel, stride), from the input to the output.

# %% nbgrader={"grade": false, "grade_id": "receptive_field", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL receptive_field
def receptive_field(layers):
    ### BEGIN SOLUTION
    side, jump = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * jump
        jump *= stride
    return side
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "receptive_field-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL receptive_field-check
check.receptive_field(receptive_field)

# %% [markdown]
# On its way down the U-Net convolves with kernels of 3 and pools by 2, twice. The gradient of one number at the
# bottom shows what it sees.

# %%
way_down = [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)]
if (predicted := receptive_field(way_down)) is not None:
    x = digits[:100].clone().requires_grad_()
    a = blind.encode_a(x).relu()
    b = blind.encode_b(torch.nn.functional.max_pool2d(a, 2)).relu()
    c = blind.bottom(torch.nn.functional.max_pool2d(b, 2)).relu()
    (gradient,) = torch.autograd.grad(c[:, :, 3, 3].sum(), x)
    seen = gradient.abs().mean((0, 1))
    print(f"predicted {predicted} pixels; the gradient is not 0 in {int((seen > 0).any(0).sum())} columns")
    shown = panel([tile(digits[7:8], scale=5), tile((seen / seen.max())[None, None], scale=5)], ["a digit", "seen"])
    display(picture(shown, "A digit, and the square of pixels that one place of the bottleneck sees, brightest in its middle"))


# %% [markdown]
# ### A2. How large is what comes out?
#
# A transposed convolution makes images larger. If the sizes do not fit, a skip cannot be joined.
#
# Write `transposed_size(size, kernel, stride, padding)`: the output's side, an int, of a transposed convolution of an
# image of that side, as torch.nn.ConvTranspose2d has it, without output padding or dilation.

# %% nbgrader={"grade": false, "grade_id": "transposed_size", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL transposed_size
def transposed_size(size, kernel, stride, padding):
    ### BEGIN SOLUTION
    return (size - 1) * stride - 2 * padding + kernel
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "transposed_size-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL transposed_size-check
check.transposed_size(transposed_size)

# %% [markdown]
# The decoder of BaseNet, from the second paper, begins with a single pixel. Does it end with a photo of 32?

# %%
if transposed_size(1, 4, 1, 0) is not None:
    sizes = [1]
    for layer in BaseNet().layers:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            sizes.append(transposed_size(sizes[-1], layer.kernel_size[0], layer.stride[0], layer.padding[0]))
    print(" -> ".join(str(size) for size in sizes))


# %% [markdown]
# ### A3. Cut a skip
#
# To learn what a part of a network does, take it away and change nothing else.
#
# Write `ablated_join(x, skip)`: what the decoder gets in place of [x, skip], joined along the channels, when the skip
# is cut off: zeros where the skip was, x and all shapes as before.

# %% nbgrader={"grade": false, "grade_id": "ablated_join", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL ablated_join
def ablated_join(x, skip):
    ### BEGIN SOLUTION
    return torch.cat([x, torch.zeros_like(skip)], dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "ablated_join-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL ablated_join-check
check.ablated_join(ablated_join)


# %% [markdown]
# Here the trained U-Net loses its upper skip (at full resolution), its lower one, or both, and is *not* trained
# again. The digits have noise of your class's mu = {{mu}}. You will need these numbers in part C.

# %%
def denoise_with_cut(noisy, cut):
    """The output of the U-Net with zeros in place of the skips that are named in cut."""

    def join(x, skip, name):
        joined = ablated_join(x, skip) if name in cut else torch.cat([x, skip], dim=1)
        return joined.roll(skip.shape[1], dims=1)  # this network was trained with [skip, x]

    a = blind.encode_a(noisy).relu()
    b = blind.encode_b(torch.nn.functional.max_pool2d(a, 2)).relu()
    c = blind.bottom(torch.nn.functional.max_pool2d(b, 2)).relu()
    d = blind.decode_1(join(blind.up_1(c).relu(), b, "lower")).relu()
    return blind.output(blind.decode_2(join(blind.up_2(d).relu(), a, "upper")).relu())


some = digits[:300]
noisy = add_noise(some, MU, generator=generator())
if ablated_join(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)) is not None:
    shown = {"noisy": noisy}
    with torch.no_grad():
        for cut in ((), ("upper",), ("lower",), ("upper", "lower")):
            shown["cut: " + (", ".join(cut) or "none")] = denoise_with_cut(noisy, cut)
    for name, batch in shown.items():
        print(f"{name:18s} MSE {mse(batch, some):.4f}")
    pictures = [tile(batch[:10], 10, scale=2) for batch in shown.values()]
    alt = "Ten noisy digits; denoised; washed out without the upper skip, a little rougher without the lower one"
    display(picture(panel(pictures, list(shown), columns=1), alt))

# %% [markdown]
# And this is what notebook 2 measured at mu = 0.25. `unet-no-skips` is the same network, *trained* with zeros in place
# of both skips.

# %%
for row in read_results("unet_vs_autoencoder")["table"]:
    if (row["level"], row["data"], row["recipe"]) == ("moderate", "full", "paper"):
        print(f"{row['network']:14s} MSE {row['mse']:.4f}")


# %% [markdown]
# ### A4. An error over many batches
#
# Ten thousand photos do not fit into one batch, and the last batch is seldom full.
#
# Write `error_over_batches(model, batches)`: the mean squared error of the model's unclipped outputs over all pixels
# of all images together, as a float, in evaluation mode and without gradients. batches is a list of (noisy, clean),
# of unequal sizes.

# %% nbgrader={"grade": false, "grade_id": "error_over_batches", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL error_over_batches
def error_over_batches(model, batches):
    ### BEGIN SOLUTION
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for noisy, clean in batches:
            total += float((model(noisy) - clean).square().sum())
            count += clean.numel()
    return total / count
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "error_over_batches-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL error_over_batches-check
check.error_over_batches(error_over_batches)

# %% [markdown]
# Sorted by their digit, in batches of 300, the last 100 are nines. What if one averaged the batches' errors?

# %%
noisy = add_noise(digits, MU, generator=generator())
batches = [(noisy[rows], digits[rows]) for rows in labels.argsort(stable=True).split(300)]
if (error := error_over_batches(blind, batches)) is not None:
    means = [mse(predict(blind, one), clean) for one, clean in batches]
    print(f"over all pixels {error:.5f}, mean of the {len(means)} batches' errors {sum(means) / len(means):.5f}")


# %% [markdown]
# ### A5. A level for each image
#
# The blind U-Net was trained with a different mu for each digit of a batch.
#
# Write `blend_each(clean, noise, mus)`: the blend (1 - mu) image + mu noise, clipped to [0, 1], where every image of
# clean (N, C, H, W) has its own mu: mus has the shape (N,).

# %% nbgrader={"grade": false, "grade_id": "blend_each", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL blend_each
def blend_each(clean, noise, mus):
    ### BEGIN SOLUTION
    mu = mus[:, None, None, None]
    return ((1 - mu) * clean + mu * noise).clamp(0, 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "blend_each-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL blend_each-check
check.blend_each(blend_each)

# %%
mus = torch.linspace(0.05, 0.6, 10)
same = digits[7:8].expand(10, -1, -1, -1)
standard_normal = torch.randn(1, 1, 28, 28, generator=generator()).expand_as(same)
if (noisy := blend_each(same, standard_normal, mus)) is not None:
    denoised = predict(blind, noisy).clamp(0, 1)
    print("mu      " + "".join(f"{float(mu):7.2f}" for mu in mus))
    for name, batch in (("noisy", noisy), ("denoised", denoised)):
        print(f"{name:8s}" + "".join(f"{psnr(batch[index], same[index]):7.1f}" for index in range(10)) + " dB")
    shown = panel([tile(noisy, 10, scale=2), tile(denoised, 10, scale=2)], ["noisy", "by the blind U-Net"], columns=1)
    display(picture(shown, "One digit at ten levels of noise, and denoised: it is lost at the last ones"))

# %% [markdown]
# ## Part B: letters
#
# Write one letter between the quotation marks, as in `"A"`. Whether it is right you learn when the set is graded.
#
# **B1** (1 point). A digit has 784 numbers, and the autoencoder's bottleneck has 80 x 7 x 7. Why does the autoencoder
# lose against the U-Net, as far as notebook 2 can tell?
#
# {{options bottleneck}}

# %% nbgrader={"grade": false, "grade_id": "bottleneck", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL bottleneck
bottleneck = ""  # one letter
### BEGIN SOLUTION
bottleneck = "{{letter bottleneck}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "bottleneck-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL bottleneck-check
print("bottleneck:", bottleneck or "no answer yet")

# %% [markdown]
# **B2** (1 point). Run the next cell first: it divides the autoencoder's error by the U-Net's, in the paper's
# Table 1. Together with the ablation of notebook 2, what do these three numbers suggest?
#
# {{options skips_by_level}}

# %%
for level, mu in LEVELS.items():
    print(f"mu {mu:.2f}: {PAPER_TABLE_1['autoencoder', level]['mse'] / PAPER_TABLE_1['unet', level]['mse']:.1f}")

# %% nbgrader={"grade": false, "grade_id": "skips_by_level", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL skips_by_level
skips_by_level = ""  # one letter
### BEGIN SOLUTION
skips_by_level = "{{letter skips_by_level}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "skips_by_level-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL skips_by_level-check
print("skips_by_level:", skips_by_level or "no answer yet")

# %% [markdown]
# **B3** (2 points). The U-Net needs 15.5 million multiply-adds for a digit, of two operations each. A T4 does at most
# 8.1 trillion operations a second. How long does it take, at the very least, for {{copies}},000 digits?
#
# {{options seconds_of_work}}

# %% nbgrader={"grade": false, "grade_id": "seconds_of_work", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL seconds_of_work
seconds_of_work = ""  # one letter
### BEGIN SOLUTION
seconds_of_work = "{{letter seconds_of_work}}"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "seconds_of_work-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL seconds_of_work-check
print("seconds_of_work:", seconds_of_work or "no answer yet")

# %% [markdown]
# ## Part C: in your own words
#
# Answer in the cell below each question (a double click opens it): some sentences, with the numbers that *you*
# measured above.
#
# **C1** (3 points). The numbers under A3, at mu = {{mu}}. Quote your errors: on which skip does the trained U-Net
# depend more, and why that one? The network that was *trained* without skips has a far smaller error than yours with
# both cut. Why do the two answer different questions? And which of them do you need for the claim "the skips are the
# cause of the U-Net's lead over the autoencoder"?

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-cut", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-cut -->
# ### BEGIN SOLUTION
# By far the most is lost with the upper skip: the digits become pale. It carries the features at full resolution, next to
# the output, while what comes from below has 14 x 14 places or fewer. A network that was trained with skips leans on
# them: its decoder has never met zeros there, so cutting them takes it out of all that it was trained for. That tells
# how much *this* network relies on a skip. A network that is trained without them can adapt, and tells how
# much can be reached without one. For the claim one needs the second: the same layers, trained in the same way, with
# several seeds; the paper's autoencoder differs in its widths, too. (The two numbers also differ in mu, and one network is
# blind; an error that is so many times as large cannot come from that.)
#
# - 1 point: quotes the errors, names the upper skip, with its place (full resolution, next to the output) as the reason.
# - 1 point: the trained decoder has never seen zeros there (what it relies on is not what is needed); half a point for
#   "it was not trained again" alone.
# - 1 point: chooses the network that was trained without skips, and says what has to be equal (layers, data, epochs,
#   seeds).
# ### END SOLUTION

# %% [markdown]
# **C2** (3 points). The first paper says that the U-Net is faster than the autoencoder, "likely due to its fewer
# parameters", and prints 1.3 ms for the U-Net; in its code these are 10,000 digits. Why do parameters say little
# about the time that a convolution
# takes? Name two faults of the measurement (notebook 2, section 2.10). Then describe a measurement that could show
# that one of two networks is faster.

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-faster", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-faster -->
# ### BEGIN SOLUTION
# Each weight of a convolution is used once for every place of its output, so that a layer at full resolution costs
# sixteen times what the same layer costs at a quarter of the side. The work is counted in multiply-adds, and those
# differ by 8 % here. The clock was stopped when the work had been launched and not when it was done; it ran once; the
# first call, with all its setting up, was part of it. Better: warm up with some calls; wait for the device before each
# look at the clock; repeat many times, the two networks in turn, on the same machine, at the same batch size; report
# the median and the spread, and call one faster only if the difference is large beside the spread.
#
# - 1 point: weights are used again at every place; multiply-adds (or the sizes of the images) count.
# - 1 point: two faults: no waiting for the GPU, no warm-up, one run, no spread. Half a point for one.
# - 1 point: a plan with warm-up, waiting, repetition, equal conditions, and a comparison with the spread.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# - *Runtime > Restart session and run all*. Are all checks as you want them?
# - Each question of part B has a letter, and both texts of part C are written.
# - *File > Download > Download .ipynb*, and hand in this file. (No link to Colab: a link can change, or be closed.)

# %%
check.report("receptive_field", "transposed_size", "ablated_join", "error_over_batches", "blend_each")
