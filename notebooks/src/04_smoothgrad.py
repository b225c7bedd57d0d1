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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/04_smoothgrad.ipynb)
#
# # 4. SmoothGrad: what does a denoiser look at?
#
# **For** those who did notebook 3. **Time**: about 90 minutes of reading and trying; *Run all* takes about a
# minute on a laptop.
#
# Afterwards you can
#
# - compute a saliency map, smooth it, and say how exact it is and what its noise level does;
# - ask a network with 3,072 outputs a *definite* question, and know which gradient answers it;
# - turn a claim read off a picture into a number with an error bar, and test it against a network that does
#   nothing;
# - read a denoiser as a filter that differs from pixel to pixel, and compare it with a Gaussian.
#
# The second paper ends with two coloured maps of one photo (its Figure 3) and a paragraph about them. This
# notebook takes the paragraph seriously: it makes the maps again, for many photos, and counts.

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
from IPython.display import Markdown

from denoise_lib import (
    as_float_images, effective_receptive_field, filters, load_pretrained, loss_gradient, mnist,
    output_sum, predict, radius, self_sensitivity, self_sensitivity_with_error, smoothgrad,
    smoothgrad_with_error, table, windows,
)
from denoise_lib.display import (
    filter_explorer, filter_filmstrip, panel, picture, residual, smoothgrad_explorer,
    smoothgrad_filmstrip, tile,
)
from denoise_lib.exercises import check
from denoise_lib.papers import (
    BINS, GROUPS, SHIFTS, binned_by_error, class_score, classifier_facts, compare_groups,
    digit_versions, format_summary, kernel_facts, loss_map, output_map, photo_pairs, pixel_groups,
    randomize_layers, rank_correlation, read_results, set_pixel, summary, train_classifier,
)

results = read_results("smoothgrad")
measured_pairs = results["settings"]["pairs"]

# %% [markdown]
# ## 4.1 One score, one gradient: a classifier
#
# Saliency began with classifiers. A network reads a digit and gives each of the ten classes a score. The gradient
# of *one* score by the pixels says where a small change would change it most. **Predict**: for a 7, will the map
# be large on the ink, beside it, or where other digits would have ink?

# %%
images, labels = mnist("train", "small", labels=True)
classifier = train_classifier(as_float_images(images), labels, seed=SEED)
versions, truth = digit_versions(200, seed=SEED)
accuracy = float((predict(classifier, versions["clean"]).argmax(1) == truth).double().mean())
headline("share of the clean test digits that the classifier reads", accuracy)

# %%
seven, its_label = versions["clean"][7:8], truth[7:8]
maps = {
    "gradient": smoothgrad(class_score(classifier), seven, context=its_label, n_samples=1, noise_level=0.0),
    "SmoothGrad": smoothgrad(class_score(classifier), seven, context=its_label, generator=torch.Generator().manual_seed(SEED)),
}
for reduce in ("abs", "square"):
    generator = torch.Generator().manual_seed(SEED)
    name = {"abs": "mean of |gradient|", "square": "mean of squares"}[reduce]
    maps[name] = smoothgrad(class_score(classifier), seven, context=its_label, reduce=reduce, generator=generator)
shown = [residual(values / values.abs().max(), scale=5) for values in maps.values()]
picture(
    panel([tile(seven, scale=5), *shown], ["a 7", *maps], columns=5),
    "A 7 and four saliency maps, each on its own symmetric scale: the plain gradient is speckled, SmoothGrad is calmer",
)

# %% [markdown]
# The plain gradient is speckled. **SmoothGrad** (Smilkov et al., 2017) averages it over noisy copies of the
# image,
#
# $$\hat M(x) = \frac1n \sum_{k=1}^n \frac{\partial S}{\partial x}\bigl(x + \varepsilon_k\bigr),
# \qquad \varepsilon_k \sim \mathcal N(0, \sigma^2),$$
#
# with sigma given as a fraction of the image's range, max - min. Three details differ between programs, and each
# changes the picture. Averaging the *sizes* of the gradients, or their *squares* (Google's reference program does
# that unless told otherwise), loses the sign: it adds up what cancels. And captum's `NoiseTunnel` takes sigma in
# absolute units, 1 unless told otherwise, which drowns an image in [0, 1].
#
# ### A classifier on clean, noisy and denoised digits
#
# Denoise first, and then classify? **Predict**: how many digits of a hundred does the noise cost, and how many
# does denoising bring back? Does the classifier look at the same places again once the noise is gone?

# %%
facts = classifier_facts(classifier, versions, truth, SEED)
likeness = {name: values["likeness"]["mean"] for name, values in facts.items()}
print(f"likeness of the clean digits' saliency to itself: {likeness['clean']:.1f}")
headline("likeness of the saliency on noisy digits", likeness["noisy"])
headline("likeness of the saliency on digits denoised by the U-Net", likeness["unet-moderate"])
headline("likeness of the saliency on digits denoised by the autoencoder", likeness["autoencoder-moderate"])
closer = min(likeness["unet-moderate"], likeness["autoencoder-moderate"]) > likeness["noisy"]
print("both denoisers bring the saliency closer to the clean digit's:", closer)

# %%
rows = []
for name in versions:
    group = [row for row in results["classifier"] if row["version"] == name]
    accuracies = 100 * np.array([row["accuracy"] for row in group])
    stroke, likeness = (np.mean([row[key]["mean"] for row in group]) for key in ("stroke", "likeness"))
    rows.append([name, f"{accuracies.mean():.1f} ± {accuracies.std(ddof=1):.1f}", f"{stroke:.2f}", f"{likeness:.2f}"])
columns = ["digits", "accuracy, %", "saliency on the stroke, share", "likeness to the clean digit's map"]
Markdown(f"{len(group)} classifiers, the same 200 test digits, mu = 0.25 (± is over classifiers):\n\n{table(columns, rows)}")

# %% [markdown]
# Noise moves the gaze off the stroke, and both denoisers move it back. To the classifier the two are nearly
# alike, though notebook 2 could tell them apart by their errors. "Better" depends on the question.
#
# ## 4.2 SmoothGrad's two knobs
#
# Now a denoiser: TNet, and the gradient of its error dL/dX, where L is the sum of squared errors of its output.
# Move the noise level (0 to 0.3) and the number of samples n (1 to 200). The curve of the standard error says how
# far the map still is from that of infinitely many samples. **Predict**: how many times as many samples halve it?
# And what happens to the map itself when the noise level grows, however many samples you take?

# %% tags=["nbval-ignore-output"]
smoothgrad_explorer(seed=SEED)

# %%
smoothgrad_filmstrip(seed=SEED)

# %%
tnet = load_pretrained("tnet")
pairs = photo_pairs("test", count=24, seed=SEED)
noisy, clean = pairs.first.float() / 255, pairs.clean.float() / 255
print("samples n   standard error of d sum f/dX, x sqrt(n), mean over the pixels of 8 photos")
for count in (5, 20, 80):
    generator = torch.Generator().manual_seed(SEED)
    error = smoothgrad_with_error(output_sum(tnet), noisy[:8], n_samples=count, generator=generator).standard_error
    print(f"{count:9d}   {float(error.mean()) * count**0.5:.2f}")

# %% [markdown]
# Four times the samples halve the error, as for any mean. Beyond some fifty there is little left to see (Smilkov
# et al. say so, too). But the noise level is no knob for exactness: it decides *which* map one converges to. Each
# level asks about other images. That is why the level belongs to every saliency map that you show.
#
# ## 4.3 A network with 3,072 outputs
#
# A denoiser has no "score". It has 3 x 32 x 32 outputs, and each has a gradient by 3 x 32 x 32 inputs: the
# Jacobian is a table of 3,072 x 3,072 numbers. A map shows 1,024. So each map is a *question*:
#
# | question | function | what it is in the Jacobian J |
# |---|---|---|
# | where would a change of the input change the *error*? | `loss_gradient` | 2 J^T (f(x) - clean) |
# | where would it change the *sum of all outputs*? | `output_gradient(model, x)` | column sums of J |
# | where does output pixel p look? | `output_gradient(model, x, p)` | rows of J, summed over the colours of p |
# | how much does each output follow *its own* input? | `self_sensitivity` | diagonal of J |
#
# The paper's Figure 3 shows the first ("dL/dX") and something called df/dX, which can only be the second if it is
# made with one backward pass. The paper does not say so, nor does it give n, sigma and the target of L. Here it
# is again, for two photos.

# %%
def figure_3(index):
    """The noisy photo, its noise, and the paper's two maps."""
    x, target = noisy[index : index + 1], clean[index : index + 1]
    generator = torch.Generator().manual_seed(SEED)
    error = loss_map(tnet, x, target, noise_level=0.05, seed=SEED)
    total = smoothgrad(output_sum(tnet), x, noise_level=0.05, generator=generator).mean(1, keepdim=True)
    return [
        tile(x, scale=5), residual((x - target).mean(1, keepdim=True), limit=0.5, scale=5),
        residual(error, limit=0.3, scale=5), residual(total - 1, limit=0.5, scale=5),
    ]  # fmt: skip


titles = ["noisy", "noise, +-0.5", "size of dL/dX, 0 to 0.3", "d sum f/dX less 1, +-0.5"]
picture(
    panel([*figure_3(0), *figure_3(1)], titles * 2, columns=4),
    "Two photos: noisy; their noise, at edges; dL/dX, large at the same places; d sum f/dX less 1, scattered at the objects "
    "and evenly below 0 in dark smooth regions",
)

# %% [markdown]
# What the paper reads off its version of this picture comes to four claims. Write down for each whether you
# believe it:
#
# - **Claim 1**: dL/dX is high at noisy pixels.
# - **Claim 2**: df/dX is low there, so that they have little influence on the output.
# - **Claim 3**: df/dX is high at the pixels *around* them.
# - **Claim 4**: the network is aware of the content, as a mean or a Gaussian filter is not.
#
# ## 4.4 Claim 1: dL/dX is high at noisy pixels
#
# Call a pixel *noisy* if a channel is more than 0.2 off, its eight *neighbours* those around it, and the rest
# *elsewhere*. The 24 pairs here are crops of only two photos; the table below has the same from many more.

# %%
groups = pixel_groups(noisy, clean)
found = compare_groups(loss_map(tnet, noisy, clean, n_samples=1), groups)
print("size of dL/dX, TNet:  " + "   ".join(f"{name} {found[name]['mean']:.2f}" for name in GROUPS))
headline("dL/dX at noisy pixels, times that elsewhere", found["noisy"]["mean"] / found["elsewhere"]["mean"])

# %% [markdown]
# It holds, by a factor. Before you conclude that TNet "sees" noise: what would a network show that does
# *nothing*, f(x) = x? **Predict**, with the formula in the table of 4.3.

# %%
nothing = torch.nn.Identity()
found = compare_groups(loss_map(nothing, noisy, clean, n_samples=1), groups)
print("does nothing:         " + "   ".join(f"{name} {found[name]['mean']:.2f}" for name in GROUPS))
same = torch.allclose(loss_gradient(nothing, noisy, clean), 2 * (noisy - clean))
print("its dL/dX is twice the noise, exactly:", same)

# %%
def claim_table(kind):
    """Rows of the results for one map: mean ± standard error over the pairs."""
    rows = [
        [row["network"], f"{row['noise_level']:.0%}", *(format_summary(row[name]) for name in (*GROUPS, "difference"))]
        for row in results["groups"] if row["map"] == kind
    ]  # fmt: skip
    lines = table(["network", "noise level", *GROUPS, "noisy - elsewhere"], rows)
    photos = results["distinct_photos"]
    return Markdown(f"{measured_pairs} pairs, crops of {photos} photos that no network here was trained on:\n\n{lines}")


claim_table("loss")

# %% [markdown]
# **Claim 1 holds, and says little.** For a network that does nothing, dL/dX is the noise itself: it passes by
# construction, and most clearly. The trained networks have *less* of it, since they removed most of the error.
# (An untrained network is wrong everywhere, and shows little difference.) Keep the habit: show each test of an
# explanation a network that cannot have what you look for.
#
# What ± means here: the standard error over the pairs. Crops of one photo are alike, so an honest error is
# somewhat larger; and each row is one trained network (the untrained one: the mean of five), so ± says how photos
# differ, and not how another training would.
#
# ## 4.5 Claims 2 and 3: d sum f/dX is low there, and high around
#
# The sum of all outputs changes by how much when one pixel becomes brighter by 1? If the network passes
# brightness on, by 1: spread over many output pixels, but 1 in all. **Predict** the number at noisy pixels, and
# at their neighbours.

# %%
found = compare_groups(output_map(tnet, noisy, n_samples=1), groups)
print("d sum f/dX, TNet:  " + "   ".join(f"{name} {found[name]['mean']:.1f}" for name in GROUPS))
headline("d sum f/dX at noisy pixels", found["noisy"]["mean"])

# %%
claim_table("output")

# %% [markdown]
# **Claims 2 and 3 do not hold as they are written.** A pixel has almost the same weight in the whole picture,
# noisy or not: what the network takes from one output it gives to others. The differences at noisy pixels go the
# way the paper says, and they are certain (many standard errors), but they come to 2 to 4 %; at SmoothGrad's
# usual noise level they are smaller still or gone. The neighbours are within about 1 % of the rest. "Very little
# influence" is something else, and no reader could see this in a coloured map. Certain and large are two things.
#
# ## 4.6 The question behind them: does a pixel that is further off matter less?
#
# *To its own output*: that is the diagonal of the Jacobian, `self_sensitivity`. One backward pass for each output;
# or random probes (Hutchinson's trick: for random signs v, the mean of v * (J^T v) is the diagonal), with an
# error bar.

# %%
exact = self_sensitivity(tnet, noisy[:1], colors="joint")
generator = torch.Generator().manual_seed(SEED)
print("probes   error of the estimate   its own error bar")
for probes in (16, 64, 256):
    found = self_sensitivity_with_error(tnet, noisy[:1], colors="joint", probes=probes, generator=generator)
    error = (found.mean - exact).square().mean().sqrt()
    print(f"{probes:6d}   {float(error):21.2f}   {float(found.standard_error.square().mean().sqrt()):17.2f}")

# %% [markdown]
# "Colours together" moves red, green and blue of a pixel by the same amount, as this noise nearly does (notebook
# 3). **Predict** the curve: self-influence against how far the pixel is off.

# %%
influence = self_sensitivity(tnet, noisy[:12], colors="joint")
found = binned_by_error(influence, noisy[:12], clean[:12])
print("|noisy - clean| from   " + "  ".join(f"{low:5.2f}" for low in BINS))
print("self-influence         " + "  ".join(f"{values['mean']:5.2f}" for values in found["bins"]))
headline("self-influence of the noisiest pixels, less that of the cleanest", found["difference"]["mean"])

# %% [markdown]
# It falls. But careful: noisy pixels lie at edges, and a filter at an edge is another one anyway. Is it the
# noise, or the place? An *experiment* tells: take a random pixel of each photo, **set** it to its clean value
# plus a shift, and change nothing else. (Where that would leave [0, 1] it is not done, since no photo has such a
# pixel.)

# %%
response = torch.stack([set_pixel(tnet, noisy, clean, seed=draw) for draw in range(8)])
changes = {shift: response[..., SHIFTS.index(shift)] - response[..., SHIFTS.index(0.0)] for shift in (-0.3, 0.3)}
for shift, change in changes.items():
    print(f"TNet's self-influence at a shift of {shift:+.1f}, less that at the clean value: {float(change.nanmean()):.2f}")
headline("change of the self-influence at a shift of 0.3", summary(changes[0.3].nanmean(0))["mean"])


# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for row in results["self_influence"]:
    if row["colours"] == "together" and row["noise_level"] == 0:
        means, errors = zip(*[(values["mean"], values["error"]) for values in row["bins"]], strict=True)
        left.errorbar(range(len(BINS)), means, errors, marker="o", capsize=3, label=row["network"])
left.set_xticks(range(len(BINS)), [f"{low:g}" for low in BINS])
left.set(xlabel="|noisy - clean|, from", ylabel="self-influence", title="observed")
for row in results["intervention"]:
    if row["colours"] == "together":
        means, errors = (np.array([values[key] for values in row["influence"]]) for key in ("mean", "error"))
        right.errorbar(row["shifts"], means, errors, marker=".", label=row["network"])
right.set(xlabel="shift of one pixel from its clean value, within [0, 1]", title="experiment")
right.legend(fontsize=8)
picture(
    figure,
    "Self-influence of three networks falls with the observed deviation; when single pixels are shifted, it is highest near "
    "a shift of 0 and falls to both sides",
)

# %%
observed = {(row["network"], row["colours"]): row for row in results["self_influence"] if row["noise_level"] == 0}
rows = []
for row in results["intervention"]:
    changes = [row["change"][SHIFTS.index(shift)] for shift in (-0.5, -0.3, 0.3, 0.5)]
    seen = observed[row["network"], row["colours"]]["difference"]
    rows.append([row["network"], row["colours"], *(format_summary(value) for value in (seen, *changes))])
columns = ["network", "colours", "observed: last - first bin", "shift -0.5", "shift -0.3", "shift +0.3", "shift +0.5"]
lines = table(columns, rows)
Markdown(f"Change of the self-influence, {measured_pairs} pairs (in each column those that have such pixels):\n\n{lines}")


# %% [markdown]
# **In this form the story holds.** All three networks follow a pixel less the further it is off, and it is the
# noise that does it: a pixel that is *set* off is followed less, too. That is what a *robust* filter does, and no
# linear one can. Two exceptions keep us honest. The U-Net hardly reacts to pixels that are much too dark. And for
# a single channel, which this noise seldom moves alone, little is left, or it goes the other way.
#
# Claim 1 needed a control, and claim 2 another question: what the paper wanted to see is on the diagonal of the
# Jacobian, and not in its column sums.
#
# ## 4.7 Claim 4: a denoiser is a filter that changes from pixel to pixel
#
# Row p of the Jacobian is the kernel that the network applies at pixel p, for this photo. Step along an edge, and
# across it. **Predict**: which way will the kernel lie? How much of its weight is on the pixel itself?

# %% tags=["nbval-ignore-output"]
filter_explorer(seed=SEED)

# %%
filter_filmstrip([(16, 16), (10, 9), (24, 24), (6, 22)], seed=SEED)

# %% [markdown]
# A Gaussian filter has one kernel for all pixels. Three numbers tell how a network's kernels differ. *Unlike*:
# how much the clean gray levels of the pixels it looks at differ from the centre's. That needs a control: a
# Gaussian of the same mean distance, and, since a network's kernels have a sharper peak than any Gaussian, the
# same network's kernels *from another photo*. *Elongation*: how far the kernel reaches along an edge, against
# across it; 1 for a Gaussian. And the *sum* of the weights: 1 keeps the brightness.

# %%
facts = kernel_facts(tnet, noisy[:12], clean[:12], pixels=8, seed=SEED)
for kind, values in facts.items():
    against = summary(values["unlikeness"] / values["gaussian"])["mean"]
    print(f"TNet, {kind}: sum {float(values['sum'].mean()):.1f}   unlike, against a Gaussian {against:.1f}   "
          f"elongation {float(values['elongation'].mean()):.1f}")
ratio = facts["edge"]["unlikeness"] / facts["edge"]["gaussian"]
headline("TNet's kernels at edges, unlike against a Gaussian", summary(ratio)["mean"])

# %%
photo_networks = ("tnet", "tiny-denoiser", "noise2noise-unet")
of_photos = [row for row in results["kernels"] if row["network"] in photo_networks and row["where"] in ("edge", "flat")]
keys = {"sum": "sum", "own": "own weight", "against_gaussian": "unlike, against a Gaussian",
        "against_other": "against another photo's kernels", "elongation": "elongation"}  # fmt: skip
rows = [[row["network"], row["where"], *(format_summary(row[key], 2) for key in keys)] for row in of_photos]
Markdown(
    f"{of_photos[0]['sum']['count']} pairs, 8 pixels of each kind (1 means no difference; elongation 1 is round):\n\n"
    + table(["network", "where", *keys.values()], rows)
)

# %% [markdown]
# At edges the kernels *lean* to their own side, and reach a little further along the edge than across. Most of
# what the Gaussian seems to show is not content, as the column beside it tells: another photo's kernels do nearly
# as well. What remains is small and certain. In flat regions, where there is nothing to follow, the kernels are
# nearly round. So claim 4 holds, and by less than a picture of one kernel would make one believe.
#
# ## 4.8 How far does it look?
#
# TNet pools its input down to a single pixel, so by its architecture each output sees the whole photo.
# **Predict** the radius within which half of the weight lies. The *effective* receptive field (after Luo et al.,
# 2016) is here the mean size of the gradient of one output over many photos.

# %%
fields = {name: effective_receptive_field(load_pretrained(name), noisy, (16, 16)) for name in photo_networks}
shown = [residual((field / field.max()).sqrt()[None, None], scale=5) for field in fields.values()]
picture(
    panel(shown, list(fields), columns=3),
    "Effective receptive fields, the root of each weight: TinyDenoiser's is round; TNet's is a narrow peak on a weak floor "
    "that covers the whole photo; the U-Net's is a narrow peak with a faint halo",
)

# %%
for name, field in fields.items():
    print(f"{name:18s} 90 % of the weight lies within {radius(field, (16, 16)):.0f} pixels")
rows = [[row["network"], format_summary(row["radius_50"], 1), format_summary(row["radius_90"], 1)]
        for row in results["kernels"] if row["network"] in photo_networks and row["where"] == "middle pixel"]  # fmt: skip
Markdown(table(["network", "radius of 50 % of the weight, pixels", "of 90 %"], rows))

# %% [markdown]
# (The numbers above are of the mean map; the table has the mean over single photos.) TNet is a narrow peak on a
# weak floor: its coarse levels, which see an eighth of the resolution and less, add a little of everything.
# TinyDenoiser looks at a much smaller area and denoises better. Seeing far is no merit in itself.
#
# ## 4.9 Would the map look the same if the network were another?
#
# A map can look convincing and have nothing to do with what the network learnt (Adebayo et al., 2018). The test:
# draw the layers anew, from the last to the first, and compare the map with the trained network's by rank
# correlation; 1 means the same order of all pixels, 0 no relation. **Predict** how many layers it takes.

# %%
trained_map = loss_map(tnet, noisy, clean, n_samples=1)
for layers in (0, 1, 7):
    shuffled = loss_map(randomize_layers(tnet, layers, SEED), noisy, clean, n_samples=1)
    print(f"{layers} layers drawn anew: {float(rank_correlation(shuffled, trained_map).mean()):.1f}")
noise_itself = (noisy - clean).abs().mean(1, keepdim=True)
print(f"the noise itself:     {float(rank_correlation(noise_itself, trained_map).mean()):.1f}")

# %%
rows = [
    [row["last"], *(format_summary(row[key], 2) if key in row else "-" for key in ("loss", "output", "kernel"))]
    for row in results["randomised"]
]
columns = ["drawn anew, from the last layer to", "dL/dX", "d sum f/dX", "kernel of the middle pixel"]
Markdown(f"Means of three draws of the weights (± is over pairs):\n\n{table(columns, rows)}")

# %% [markdown]
# One layer is enough, for every map: these maps do depend on the weights. (On the crops of two photos above, an
# untrained network can still agree a little; over many photos little is left.) And the last row shows
# the other half: the noise itself, without any network, is more like TNet's dL/dX than the mean untrained
# network's. A map can pass one sanity check and fail the next.
#
# ## 4.10 SmoothGrad's noise is noise to a denoiser
#
# For a classifier, a little noise is a nuisance. A denoiser *reacts* to it: at a level of 15 % it is asked about
# an image that it was never made for, and SmoothGrad's map tells about that image. **Predict** the PSNR of the
# noisy copies.

# %%
rows = [
    [f"{row['noise_level']:.0%}", *(f"{row[key]:.1f}" for key in ("input", *photo_networks))]
    for row in results["smoothgrad_noise"]
]
columns = ["SmoothGrad's noise level", "PSNR of a copy (clipped), dB", "after TNet", "after TinyDenoiser", "after the U-Net"]
Markdown(table(columns, rows))

# %%
rows = [
    [f"{row['noise_level']:.0%}", *(format_summary(values) for values in (row["bins"][0], row["bins"][-1], row["difference"]))]
    for row in results["self_influence"] if (row["network"], row["colours"]) == ("tnet", "together")
]  # fmt: skip
columns = ["SmoothGrad's noise level", "self-influence, cleanest pixels", "noisiest", "difference"]
Markdown(f"TNet, one noisy copy of each photo:\n\n{table(columns, rows)}")

# %% [markdown]
# The usual 15 % is more noise than the photos have themselves. It makes *every* pixel noisy, and so the very
# contrast between clean and noisy pixels that one wants to see fades. For a denoiser, use little noise or none,
# and say how much.
#
# ## 4.11 What the skip connection changes
#
# Back to the digits of notebook 2: the U-Net has skips from its input's resolution to its output's, the
# autoencoder has none. **Predict**: whose kernels are narrower? Who has more weight on the pixel itself?

# %%
digit_facts = {name: kernel_facts(load_pretrained(name), versions["noisy"][:20], versions["clean"][:20], ("edge",), seed=SEED)
               for name in ("unet-moderate", "autoencoder-moderate")}
for name, values in digit_facts.items():
    print(f"{name:22s} weight on the pixel itself about {float(values['edge']['own'].mean()):.1f}")
gap = digit_facts["unet-moderate"]["edge"]["own"] - digit_facts["autoencoder-moderate"]["edge"]["own"]
headline("weight on the pixel itself, U-Net less autoencoder", summary(gap)["mean"])

# %%
digit = versions["noisy"][7:8]
places = [(row, int(seven[0, 0, row].argmax())) for row in (8, 14, 19)]  # the brightest pixel of three rows
shown, titles = [tile(digit, scale=6)], ["noisy 7"]
for name in ("unet-moderate", "autoencoder-moderate"):
    rows = filters(load_pretrained(name), digit, places).sum(1)
    shown += [residual(window[None, None], limit=0.5, scale=14) for window in windows(rows, places)]
    titles += [f"{name.split('-')[0]}, row {row}" for row, _ in places]
picture(
    panel(shown, titles, columns=7),
    "Kernels at three pixels of a noisy 7, +-0.5, for both networks: they differ much from pixel to pixel, so that three "
    "do not show which network has more weight in the middle",
)

# %%
rows = [
    [row["network"], format_summary(row["own"], 2), format_summary(row["sum"], 2), f"{row['own_share']:.2f}"]
    for row in results["kernels"] if row["network"] in digit_facts and row["where"] == "edge"
]  # fmt: skip
Markdown(table(["network", "own weight", "sum of the weights", "own share of the sum"], rows))

# %% [markdown]
# Three kernels of one digit do not show it; the mean over many digits does. The autoencoder has to rebuild each
# pixel from 80 channels of 7 x 7, where places are coarse; the U-Net can look the pixel up, and it has more
# weight there, also as a share of the sum. That fits the skip connection; the ablation of notebook 2, with
# kernels, would prove it. (Undoing the blend's dimming takes a sum of 1 / 0.75 = 1.33. Beyond that the networks
# raise the contrast of the strokes.)
#
# ## 4.12 Exercises
#
# Fill in the body and run the cell. The check runs your function on fresh random numbers and says whether it is
# right, or *which* mistake it makes. `check.smoothgrad_of.hint()` gives a hint (there are three), and
# `check.smoothgrad_of.solution()` the solution. Nothing here blocks *Run all*. What you tried is kept in
# `answers.json` beside the notebook: `check.report()` shows it, and `check.export("mine.csv")` writes it down.
#
# **Exercise 1.** Write `smoothgrad_of(score, x, noise, level)`: the mean gradient of score(x + sigma * sample)
# over the samples in noise, where sigma is level times the range of x.


# %%
def smoothgrad_of(score, x, noise, level):
    ...  # your code


check.smoothgrad_of(smoothgrad_of)

# %% [markdown]
# **Exercise 2.** Write `error_gradient(model, x, clean)`: the gradient, by x, of the sum of squared errors of
# model(x) to clean.


# %%
def error_gradient(model, x, clean):
    ...  # your code


check.error_gradient(error_gradient)

# %% [markdown]
# **Exercise 3.** Write `kernel_at(model, x, row, column)`: the filter that a denoiser applies at one pixel of a
# gray image (1, 1, H, W).


# %%
def kernel_at(model, x, row, column):
    ...  # your code


check.kernel_at(kernel_at)

# %% [markdown]
# **Exercise 4.** Write `own_influence(model, x, row, column)`: how much the output at a pixel follows the input
# at that pixel, one number. Predict it first for a denoiser that returns the mean of each 3 x 3 block, and what
# the sum of all outputs does there.


# %%
def own_influence(model, x, row, column):
    ...  # your code


check.own_influence(own_influence)

# %% [markdown]
# **Exercise 5** (a project). Take a claim from a paper of your choice that is read off a saliency map. Say which
# row, column or diagonal of which Jacobian would show it, and test it on a network that does nothing.
#
# ## What to remember
#
# - A saliency map answers one question: a score, a noise level, a reduction. Say which.
# - SmoothGrad's samples reduce its error like 1 / sqrt(n). Its noise level changes the question.
# - The gradient of the error is large where the error is, even for a network that does nothing.
# - What a denoiser trusts is on the diagonal of its Jacobian, and in its rows: kernels that lean along edges and
#   discount outliers.
# - One photo is an anecdote. Count over many, with an error bar, and with a control that cannot have what you
#   look for.
#
# ### References
#
# - D. Smilkov, N. Thorat, B. Kim, F. Viégas, M. Wattenberg (2017). *SmoothGrad: removing noise by adding noise.*
# - J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim (2018). *Sanity Checks for Saliency Maps.*
#   NeurIPS.
# - W. Luo, Y. Li, R. Urtasun, R. Zemel (2016). *Understanding the Effective Receptive Field in Deep Convolutional
#   Neural Networks.* NeurIPS.
# - P. Milanfar (2013). *A Tour of Modern Image Filtering.* IEEE Signal Processing Magazine.
# - F. Salvi, L. Van Den Heuvel, J. Lhotka (2022). *Training a Noise2Noise Denoising Autoencoder with PyTorch.*
#   Report of a project, EPFL. Figure 3.
