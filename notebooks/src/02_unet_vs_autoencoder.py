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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/02_unet_vs_autoencoder.ipynb)
#
# # 2. U-Net against autoencoder: what do skip connections buy?
#
# **For** those who did notebook 1 and have seen a convolution before. **Time**: about 90 minutes of reading and
# trying; *Run all* takes about a minute on a laptop, and a few minutes more on a GPU, where the same cells train
# in full.
#
# Afterwards you can
#
# - build a small U-Net and an autoencoder layer by layer, and count their parameters;
# - train both to denoise digits, and read a learning curve;
# - reproduce a published table with error bars, and say which of the paper's claims it supports;
# - design the ablation that the paper lacks, find where a model fails, and time a network honestly.
#
# You will also catch a paper in a slip, a comparison that changes two things at once, and a clock that measured
# nothing.

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
import time

import numpy as np
from IPython.display import Markdown, display
from PIL import Image, ImageDraw, ImageFont

from denoise_lib import (
    LEVELS, Autoencoder, Blend, NoisyImages, UNet, as_float_images, checkpoint_folder, count_parameters,
    evaluate, fit, load_pretrained, mnist, mse, mse_per_image, predict, psnr,
)
from denoise_lib.display import (
    denoise_explorer, denoise_filmstrip, heat_map, learning_curves, noisy_copy, panel, paper_show,
    picture, tile,
)
from denoise_lib.exercises import check
from denoise_lib.papers import PAPER_PARAMETERS, PAPER_TABLE_1, format_mse, read_results

# %% [markdown]
# ## 2.1 The task
#
# The input is a noisy digit, the target the clean one. `NoisyImages` pairs them. Its noise can be changed while
# it is in use; the same seed then draws the same random numbers, so that only the level moves.

# %%
train_clean, (test_clean, test_labels) = mnist("train", "small"), mnist("test", "small", labels=True)
test_clean = as_float_images(test_clean)
train_data = NoisyImages(train_clean, Blend(LEVELS["mild"]), seed=SEED)

examples = []
for level in LEVELS.values():
    train_data.noise = Blend(level)
    examples.append(torch.stack([train_data[index][0] for index in range(10)]))
picture(
    panel([tile(batch, 10, scale=2) for batch in examples], [f"{name}, mu {mu:.2f}" for name, mu in LEVELS.items()], columns=1),
    "The first ten training digits at mu 0.10, 0.25 and 0.40: the same noise, growing",
)

# %% [markdown]
# ## 2.2 The U-Net, step by step
#
# A U-Net goes down (convolve, halve the picture) and up again (double the picture, convolve). On the way up, each
# stage also gets a copy of what the way down had at the same size: the **skip connections**, joined by
# concatenating channels.
#
# **Predict** the shape after each line before you run the cell. The input has the shape (1, 1, 28, 28).

# %%
unet = UNet()
x = train_data[0][0][None]  # (1, 1, 28, 28)
down = torch.nn.functional.max_pool2d

a = unet.encode_a(x).relu()
b = unet.encode_b(down(a, 2)).relu()
c = unet.bottom(down(b, 2)).relu()
up_1 = unet.up_1(c).relu()
d = unet.decode_1(torch.cat([b, up_1], dim=1)).relu()  # the first skip
up_2 = unet.up_2(d).relu()
e = unet.decode_2(torch.cat([a, up_2], dim=1)).relu()  # the second skip
y = unet.output(e)

for name, value in {"a": a, "b": b, "c": c, "up_1": up_1, "d": d, "up_2": up_2, "e": e, "y": y}.items():
    print(f"{name:5s} {tuple(value.shape)}")
print("the same as unet(x):", torch.equal(y, unet(x)))

# %% [markdown]
# The autoencoder has the same stages without the copies. Everything that the decoder knows has passed through
# `c`.

# %%
autoencoder = Autoencoder()
networks = {"U-Net": unet, "autoencoder": autoencoder}
print("layer        U-Net   autoencoder")
for name, layer in unet.named_children():
    print(f"{name:10s} {count_parameters(layer):7,}   {count_parameters(getattr(autoencoder, name)):11,}")
print(f"{'sum':10s} {count_parameters(unet):7,}   {count_parameters(autoencoder):11,}")
print(f"{'paper':10s} {PAPER_PARAMETERS['unet']:7,}   {PAPER_PARAMETERS['autoencoder']:11,}")

# %% [markdown]
# Look at the last two lines. The autoencoder agrees with the paper. The U-Net does not: the paper prints
# 88,**64**1, and its own code has 88,**46**1. Two digits changed places. Harmless here; but a count that a
# program prints should never be typed by hand.
#
# Now look at the layers `up_1` and `up_2`. They differ: with nothing to concatenate, the autoencoder widens them
# to fill the channels. So the paper's comparison changes **two** things at once, the skips and the widths. Keep
# that for section 2.6.
#
# **Predict**: the input has 784 numbers. How many numbers does the "bottleneck" `c` have?

# %%
print("numbers in the input:", x.numel(), "   in c:", c.numel())

# %% [markdown]
# Five times *more*. Nothing is compressed: what the autoencoder loses is not capacity but **place**. Max pooling
# keeps the strongest of four values and forgets where it stood, twice.
#
# ## 2.3 Train
#
# On a GPU (or with the environment variable `DENOISE_FULL=1`) this trains as the paper did: 60,000 digits, ten
# epochs. Without one it takes three epochs over the 4,000 digits at hand, which is enough to see what happens;
# the *shipped* networks of the next sections were trained in full.
#
# The long training keeps a checkpoint after each epoch: if the connection is lost, run the notebook again, and it
# goes on after the last whole epoch. In Colab, mount your Google Drive before you start (the folder on the left,
# then *Mount Drive*), and again before you go on; else the checkpoints are lost with the machine.
#
# **Predict**: which network will have the lower loss after the first epoch?

# %%
if FULL:
    settings = {"epochs": 10, "batch_size": 128}
    train_clean = mnist("train", "full")
else:
    settings = {"epochs": 3, "batch_size": 32, "lr": 2e-3, "schedule": "one-cycle"}
train_data = NoisyImages(train_clean, Blend(LEVELS["moderate"]), seed=SEED)
validation = NoisyImages(mnist("test", "small"), Blend(LEVELS["moderate"]), seed=SEED + 1)

settings["checkpoint"] = checkpoint_folder() if FULL else None

histories, trained = {}, {}
for name, network in (("U-Net", UNet), ("autoencoder", Autoencoder)):
    torch.manual_seed(SEED)  # the initial weights
    trained[name] = network()
    histories[name] = fit(trained[name], train_data, validation=validation, seed=SEED, progress=FULL, **settings)

# %%
picture(
    learning_curves(histories),
    "Training and validation loss of both networks fall over the epochs; the U-Net's lie below the autoencoder's",
)

# %%
noisy, clean = next(validation.batches(len(validation)))
scores = {name: evaluate(model, noisy, clean) for name, model in trained.items()}
for name, score in scores.items():
    if FULL:
        print(f"{name:12s} PSNR {score.psnr:.1f} dB")
    else:
        headline(f"PSNR of the briefly trained {name}, dB", score.psnr)
        headline(f"MSE of the briefly trained {name}", score.mse)
print("the U-Net is ahead:", scores["U-Net"].mse < scores["autoencoder"].mse)

# %% [markdown]
# Training and validation lie close together: in three epochs over thousands of digits there is little to
# memorise. The noisy digits themselves had an MSE of 0.042 (notebook 1), so most of the noise is gone already.
#
# ## 2.4 Look at the results
#
# From here on we use the networks that come with the course, trained in full for each level (see
# `weights_card("unet-moderate")`). None of them has seen the 1,000 digits that we test on. Move the slider. The
# menu switches to a *blind* U-Net that was trained on all levels at once, and the button takes a digit of your
# own: a photo of your handwriting will do.

# %% tags=["nbval-ignore-output"]
denoise_explorer(seed=SEED)

# %% [markdown]
# The same at six levels, for readers on paper or on GitHub. Above: noisy; below: the U-Net that was trained for
# the nearest level.

# %%
denoise_filmstrip(seed=SEED)

# %% [markdown]
# The paper's Figures 2 to 4 show 64 digits at each level. Here they are on the fixed range 0..1:

# %%
shipped = {level: {n: load_pretrained(f"{n}-{level}") for n in ("unet", "autoencoder")} for level in LEVELS}
for level, mu in LEVELS.items():
    noisy = noisy_copy(test_clean[:64], mu, SEED)
    outputs = [predict(model, noisy) for model in shipped[level].values()]
    grids = [tile(batch, 8) for batch in (noisy, *outputs, test_clean[:64])]
    alt = f"Sixty-four digits at mu {mu:.2f}: noisy, denoised by U-Net and autoencoder, and clean"
    display(picture(panel(grids, [f"{level}: input", "U-Net", "autoencoder", "clean"]), alt))

# %% [markdown]
# ### How the paper drew it
#
# The paper's figures were drawn with `show` of the package torch-snippets, which **stretches every picture to its
# own minimum and maximum**. Compare three noise levels drawn in that way (above) and on the fixed range (below).
# The unclipped input reaches far below 0 and above 1; the stretch makes room for that.

# %% tags=["nbval-ignore-output"]
unclipped = [noisy_copy(test_clean[:16], mu, SEED, clip=False) for mu in LEVELS.values()]
sheets = [batch.view(4, 4, 28, 28).transpose(1, 2).reshape(112, 112).numpy() for batch in unclipped]
stretched = paper_show(sheets, [f"stretched: mu {mu:.2f}" for mu in LEVELS.values()])
if stretched:
    display(picture(stretched, "Three noise levels, each stretched to its own range: the background is gray"))
else:
    print("torch-snippets is not installed (pip install torch-snippets): this picture is left out, all else runs.")

# %%
picture(
    panel([tile(batch, 4, pad=0, scale=2) for batch in unclipped], [f"fixed range: mu {mu:.2f}" for mu in LEVELS.values()]),
    "The same three levels on the fixed range from 0 to 1: the background stays black, and the noise grows visibly",
)

# %% [markdown]
# Stretching made the *digits* fade and left the noise looking alike. Two pictures that are stretched differently
# cannot be compared. (The paper's inputs were clipped to 0..1 before, which saved them from the worst. Its
# networks' outputs were not, and each of its grids has a range of its own.)
#
# ## 2.5 Table 1, measured again
#
# The table below comes from `results/unet_vs_autoencoder.json`, which `python -m denoise_lib reproduce
# unet-vs-autoencoder` writes: the paper's protocol (60,000 digits, noise drawn once, batches of 128, Adam at
# 0.001, ten epochs), tested on the 10,000 test digits. **Predict**: how close will it come?

# %%
results = read_results("unet_vs_autoencoder")
rows = {(r["network"], r["level"], r["recipe"]): r for r in results["table"] if r["data"] == "full" and r["epochs"] == 10}
table = "| network | noise | paper | its protocol again | seeds | better recipe |\n|---|---|---:|---:|---:|---:|\n"
for (network, level), paper in PAPER_TABLE_1.items():
    again, best = rows[network, level, "paper"], rows[network, level, "best"]
    table += f"| {network} | {level} | {paper['mse']} | {format_mse(again['mse'], again['mse_std'])} | {again['seeds']} "
    table += f"| {format_mse(best['mse'])} |\n"
Markdown(table)

# %%
for network in ("unet", "autoencoder"):
    for level in LEVELS:
        ratio = rows[network, level, "paper"]["ratio_to_paper"]
        print(f"{network:12s} {level:9s} measured / paper = {ratio:.2f}")
better = all(rows[*cell, "best"]["mse"] < paper["mse"] for cell, paper in PAPER_TABLE_1.items())
print("the better recipe is below the paper's MSE in all six cells:", better)

# %% [markdown]
# ### How much of this is luck?
#
# The paper trains each network once, and one run is one draw of a lottery: initial weights, order of the digits,
# and noise. Here is the same protocol on the 4,000 digits at hand, with several seeds. (Fewer digits, so larger
# errors; it is the *spread* that we want.) **Predict**: is the U-Net's lead larger than the spread?

# %%
small = {(r["network"], r["level"]): r for r in results["table"] if (r["data"], r["recipe"]) == ("small", "paper")}
table = "| noise | seeds | U-Net | autoencoder | lead / spread |\n|---|---:|---:|---:|---:|\n"
for level in LEVELS:
    ours, theirs = small["unet", level], small["autoencoder", level]
    spread = np.hypot(ours["mse_std"], theirs["mse_std"])
    cells = [format_mse(row["mse"], row["mse_std"]) for row in (ours, theirs)]
    table += f"| {level} | {ours['seeds']} | {cells[0]} | {cells[1]} | {(theirs['mse'] - ours['mse']) / spread:.1f} |\n"
Markdown(table)

# %% [markdown]
# The last column divides the difference of the means by the standard deviation of such a difference. From about 3
# on, one run of each would have sufficed to see who leads; below that, the paper's single run could have gone
# either way.
#
# ### A better recipe
#
# The better recipe has the same networks and the same number of epochs, with *fresh noise* in every epoch, small
# batches, and a learning rate that rises and falls ("one-cycle"). Fresh noise is data for nothing: the network
# never sees the same noisy digit twice.
#
# **Predict**: what would a method without any network reach?

# %%
baselines = {(r["baseline"], r["level"]): r["mse"] for r in results["baselines"] if r["data"] == "full"}
names = list(dict.fromkeys(name for name, _ in baselines))
lines = "| method | mild | moderate | severe |\n|---|---:|---:|---:|\n"
for name in names:
    lines += f"| {name} | " + " | ".join(f"{baselines[name, level]:.5f}" for level in LEVELS) + " |\n"
for network in ("autoencoder", "unet"):
    lines += f"| **{network}** | " + " | ".join(f"**{rows[network, level, 'paper']['mse']:.5f}**" for level in LEVELS) + " |\n"
Markdown(lines)

# %%
for level in LEVELS:
    name = min(names, key=lambda name: baselines[name, level])
    ratios = [f"{baselines[name, level] / rows[network, level, 'paper']['mse']:.1f}" for network in ("autoencoder", "unet")]
    print(f"{level:9s} best without a network: {name}; its error / autoencoder's {ratios[0]}, / U-Net's {ratios[1]}")

# %% [markdown]
# Each filter was tuned on training digits and then brightened by the best straight line. The paper has no such
# rows, and without them nobody can tell whether its numbers are good. At moderate and severe noise they are: no
# filter comes near. At mild noise look again at the autoencoder's line in the paper's table, and at non-local
# means: a filter of 2005, without any training to speak of, does as well.
#
# Does the U-Net win because it *overfits* less, as the paper supposes? Overfitting would show as a test error
# well above the training loss:

# %%
for run in results["runs"]:
    if (run["recipe"], run["data"], run["seed"]) == ("paper", "full", 0) and run["network"] != "unet-no-skips":
        gap = run["test"]["mse"] / run["loss"][-1]
        print(f"{run['network']:12s} {run['level']:9s} test error / training loss of the last epoch = {gap:.2f}")

# %% [markdown]
# No gap to speak of, for either network: 100,000 parameters cannot memorise 60,000 noisy digits in ten epochs.
# The explanation has to be another one. Here is a hint. **Predict**: is the U-Net's lead over the autoencoder
# larger at mild or at severe noise? (Shipped weights, digits that they have never seen.)

# %%
for level, mu in LEVELS.items():
    noisy = noisy_copy(test_clean, mu, SEED)
    errors = {name: mse(predict(model, noisy), test_clean) for name, model in shipped[level].items()}
    print(f"{level:9s} autoencoder / U-Net = {errors['autoencoder'] / errors['unet']:.2f}")
    headline(f"MSE of the shipped U-Net, {level}", errors["unet"])

# %% [markdown]
# The lead is large where the noise is mild, and nearly gone where it is severe. That makes sense: a skip carries
# fine detail *of the noisy input*. At mild noise this is nearly the answer. At severe noise it is mostly noise,
# and both networks must invent the digit from its coarse shape.
#
# ## 2.6 Are the skips the cause?
#
# The paper compares two networks that differ in skips *and* widths. The controlled experiment changes one thing:
# the same U-Net, with zeros fed in where the skips would be. It has the same layers and the same count.

# %%
ablation = "| noise | U-Net | the same, skips zeroed | autoencoder |\n|---|---:|---:|---:|\n"
for level in LEVELS:
    cells = [rows[name, level, "paper"] for name in ("unet", "unet-no-skips", "autoencoder")]
    ablation += f"| {level} | " + " | ".join(format_mse(cell["mse"], cell["mse_std"]) for cell in cells) + " |\n"
Markdown(ablation)

# %%
for level in LEVELS:
    with_skips, without, wide = (rows[name, level, "paper"]["mse"] for name in ("unet", "unet-no-skips", "autoencoder"))
    ratios = f"without skips / with skips {without / with_skips:.2f}, autoencoder / U-Net {wide / with_skips:.2f}"
    print(f"{level:9s} {ratios}")

# %% [markdown]
# Without its skips the U-Net falls back to about the autoencoder's error. So the skips *are* the cause, and the
# paper was right for a reason that it did not test. The wider layers of the autoencoder matter little beside
# them. (Without a ± it is one seed: do not read anything into small differences between the last two columns.)
#
# ## 2.7 Trained at one level, tested at another
#
# **Predict** the picture: each network is trained at one mu (rows) and tested at others (columns). Where is it
# dark (good)? What about the blind one?

# %%
test_mus = (0.0, 0.05, 0.10, 0.15, 0.25, 0.32, 0.40, 0.50)
models = {f"{name} {level}, {mu:.2f}": shipped[level][name] for name in ("unet", "autoencoder") for level, mu in LEVELS.items()}
models["unet blind, 0 to 0.5"] = load_pretrained("unet-blind")
some = test_clean[:200]
errors = np.array([[mse(predict(model, noisy_copy(some, mu, SEED)), some) for mu in test_mus] for model in models.values()])
columns = [f"{mu:.2f}" for mu in test_mus]
picture(
    heat_map(errors, list(models), columns, xlabel="tested at mu", ylabel="trained at", title="MSE on 200 digits"),
    "Heat map of error, training level by test level: networks are best near their own, the blind one is good at all",
)

# %%
own = [errors[row, test_mus.index(mu)] for row, mu in enumerate(LEVELS.values())]
blind = [errors[-1, test_mus.index(mu)] for mu in LEVELS.values()]
winners = [int(errors[:3, test_mus.index(mu)].argmin()) for mu in LEVELS.values()]
print("each U-Net is the best of the three at its own level:", winners == [0, 1, 2])
for level, x, y in zip(LEVELS, blind, own, strict=True):
    print(f"{level:9s} error of the blind U-Net / of the specialist: {x / y:.1f}")

# %% [markdown]
# A specialist that meets *less* noise than it knows does harm, too: it dims and smooths what was clean. The blind
# network pays little for knowing all levels, since one noisy image tells its own level, as you saw in notebook 1.
#
# ## 2.8 Where does each model fail worst?
#
# The paper notes a 6 that the autoencoder turned into "a pretzel". Averages hide such cases. Here are the eight
# digits at severe noise that each network gets most wrong.

# %%
noisy = noisy_copy(test_clean, LEVELS["severe"], SEED)
outputs = {name: predict(model, noisy) for name, model in shipped["severe"].items()}
per_image = {name: mse_per_image(output, test_clean) for name, output in outputs.items()}
shown, titles = [], []
for name, error in per_image.items():
    worst = error.argsort(descending=True)[:8]
    for batch, title in ((noisy, "noisy"), (outputs[name], name), (test_clean, "clean")):
        shown.append(tile(batch[worst], 8, scale=2))
        titles.append(f"{name}'s worst: {title}" if title != name else "its output")
picture(panel(shown, titles, columns=3), "Each network's eight worst digits at severe noise: broken strokes, other digits")

# %%
sixes = (test_labels == 6).nonzero().squeeze(1)
gap = per_image["autoencoder"][sixes] - per_image["unet"][sixes]
pretzels = sixes[gap.argsort(descending=True)[:6]]
batches = [noisy[pretzels], outputs["unet"][pretzels], outputs["autoencoder"][pretzels], test_clean[pretzels]]
print(f"the autoencoder is the worse one on {(gap > 0).float().mean():.0%} of the sixes")
picture(
    panel([tile(b, 6, scale=2) for b in batches], ["noisy sixes", "U-Net", "autoencoder: pretzels?", "clean"], columns=2),
    "Six sixes on which the autoencoder loses most against the U-Net: its loops are closed wrongly or filled",
)

# %% [markdown]
# Which digits are hard? **Predict** the order before you look.

# %%
by_digit = [per_image["unet"][test_labels == digit].mean().item() for digit in range(10)]
order = np.argsort(by_digit)
print("from easy to hard:", " ".join(str(digit) for digit in order))
print(f"the hardest has {by_digit[order[-1]] / by_digit[order[0]]:.1f} times the error of the easiest")

# %% [markdown]
# ## 2.9 What a digit network does with things that are no digits
#
# We draw letters, and shapes like clothes, and add severe noise. **Predict**: will the network return the letter?


# %%
def drawn(shape):
    """A letter, or a polygon, as a 28 x 28 image in [0, 1]."""
    canvas = Image.new("L", (112, 112))
    draw = ImageDraw.Draw(canvas)
    if isinstance(shape, str):
        draw.text((56, 56), shape, fill=255, font=ImageFont.load_default(88), anchor="mm")
    else:
        draw.polygon([(4 * x, 4 * y) for x, y in shape], fill=200)
    return torch.from_numpy(np.asarray(canvas.resize((28, 28), Image.Resampling.BOX)).copy()).float()[None] / 255


shirt = [(4, 7), (10, 4), (18, 4), (24, 7), (22, 13), (19, 11), (19, 24), (9, 24), (9, 11), (6, 13)]
trousers = [(9, 3), (19, 3), (20, 25), (16, 25), (14, 9), (12, 25), (8, 25)]
strange = torch.stack([drawn(shape) for shape in ("A", "E", "H", "K", "R", "W", "X", "&", shirt, trousers)])
noisy = noisy_copy(strange, LEVELS["severe"], SEED)
outputs = [predict(model, noisy) for model in shipped["severe"].values()]
picture(
    panel(
        [tile(batch, 10, scale=2) for batch in (strange, noisy, *outputs)],
        ["clean", "severe noise", "U-Net", "autoencoder"],
        columns=1,
    ),
    "Letters and clothes under severe noise come back as digit-like strokes; filled areas come back hollow or torn",
)

# %%
ten_digits = noisy_copy(test_clean[:200], LEVELS["severe"], SEED)
on_digits = psnr(predict(shipped["severe"]["unet"], ten_digits).clamp(0, 1), test_clean[:200])
on_strange = psnr(outputs[0].clamp(0, 1), strange)
print(f"U-Net at severe noise: {on_digits:.1f} dB on digits, {on_strange:.1f} dB on letters and clothes")

# %% [markdown]
# It **hallucinates**: it returns what training made likely, which is pen strokes. With a microscope or a
# telescope in place of the digits this is no joke. A denoiser knows only its training set, and the more noise
# there is, the more of the picture is its own invention.
#
# ## 2.10 How long does it take? A clock that measured nothing
#
# Table 1 also reports 1.3 ms to denoise 10,000 digits on a T4. Do the arithmetic: the U-Net needs 15.5 million
# multiply-adds a digit, so 10,000 digits are 0.31 trillion operations, and a T4 does at most 8.1 trillion a
# second: **38 ms at the very least**. The clock was stopped when the work had been *launched* and not when it was
# done, because a GPU works asynchronously. It also ran only once, with everything that a first call has to set
# up.
#
# An honest clock warms up, waits for the device, repeats, and says *per image* and *at which batch size*.

# %% tags=["nbval-ignore-output"]
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = UNet().to(device).eval()
print("batch   first call ms   median ms   us an image")
for size in (1, 16, 256):
    batch, seconds = torch.rand(size, 1, 28, 28, device=device), []
    with torch.inference_mode():
        for _ in range(12):
            start = time.perf_counter()
            model(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()  # wait until the work is done
            seconds.append(time.perf_counter() - start)
    median = np.median(seconds[2:])
    print(f"{size:5d}   {1e3 * seconds[0]:13.2f}   {1e3 * median:9.2f}   {1e6 * median / size:11.0f}")

# %% [markdown]
# The paper concludes that the U-Net is faster "due to its fewer parameters". The multiply-adds, not the
# parameters, cost time, and those differ by 8 % (15.5 against 16.8 million a digit). Its training times mostly
# measured how long it takes to move 60,000 images to the GPU one by one.
#
# ## 2.11 Exercises
#
# Fill in the body and run the cell. The check runs your function on fresh random numbers and says whether it is
# right, or *which* mistake it makes. `check.conv_parameters.hint()` gives a hint (there are three), and
# `check.conv_parameters.solution()` the solution. Nothing here blocks *Run all*. What you tried is kept in
# `answers.json` beside the notebook: `check.report()` shows it, and `check.export("mine.csv")` writes it down.
#
# **Exercise 1.** Without running it: how many parameters has a convolution with a square kernel and a bias? Write
# `conv_parameters(channels_in, channels_out, kernel)`.


# %%
def conv_parameters(channels_in, channels_out, kernel):
    ...  # your code


check.conv_parameters(conv_parameters)

# %% [markdown]
# **Exercise 2.** One step down the U-Net: write `encoder_step(x, conv)`, which convolves, applies the ReLU, and
# returns (x max-pooled by 2, what the skip saves).


# %%
def encoder_step(x, conv):
    ...  # your code


check.encoder_step(encoder_step)

# %% [markdown]
# **Exercise 3.** One step up: write `decoder_step(x, skip)`, which doubles the size of x by repeating pixels, and
# concatenates [x, skip] along the channels.


# %%
def decoder_step(x, skip):
    ...  # your code


check.decoder_step(decoder_step)

# %% [markdown]
# **Exercise 4.** Write `training_step(model, optimizer, noisy, clean)`: one step on the mean squared error;
# return the loss as a float.


# %%
def training_step(model, optimizer, noisy, clean):
    ...  # your code


check.training_step(training_step)

# %% [markdown]
# **Exercise 5.** Write `test_error(model, noisy, clean)`: the mean squared error as a float, in evaluation mode
# and without gradients.


# %%
def test_error(model, noisy, clean):
    ...  # your code


check.test_error(test_error)

# %% [markdown]
# **Exercise 6** (a project). Make the ablation finer: zero only the *upper* skip, or only the *lower* one. Which
# of the two carries the gain at mild noise? Copy `UNet` from `denoise_lib/unet.py`, change one line, and train
# with `fit`. Or: average what the U-Net says about a digit and about its mirror image. Digits are not symmetric,
# so predict first whether that helps.
#
# ## What to remember
#
# - A skip connection hands the decoder the detail that pooling has thrown away. It pays most where the noise is
#   mild.
# - Compare one change at a time, with several seeds, and with simple baselines. The paper had none of the three,
#   and its main claim still holds.
# - Look at the worst cases and at inputs that are not like the training set: a denoiser fills in what it expects.
# - Fix the display range; warm up and synchronise before you time; let programs print counts.
#
# **Next**: notebook 3 trains without any clean image at all.
#
# ### References
#
# - A. Casey and A. Racape (2023). *Image Denoising with the UNet and Autoencoders.* Networks, protocol, Table 1,
#   Figures 2 to 4.
# - O. Ronneberger, P. Fischer, T. Brox (2015). *U-Net: Convolutional Networks for Biomedical Image Segmentation.*
#   MICCAI.
# - L. Smith, N. Topin (2018). *Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
#   Rates.* The one-cycle schedule.
