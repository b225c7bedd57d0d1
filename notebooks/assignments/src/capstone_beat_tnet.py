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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/denoising-course/denoising-course/blob/main/notebooks/assignments/release/capstone_beat_tnet/capstone_beat_tnet.ipynb)
#
# # Capstone: beat TNet
#
# **For** those who did notebook 3. **Time**: 90 minutes with the notebook (planned; no class was timed), and trainings in
# between. **Points**: 20.
#
# | part | what | points |
# |---|---|---:|
# | A | your network on the leader board | 12 |
# | B | what you tried, and what it gave | 4 |
# | C | one of the second paper's claims | 4 |
#
# **The rules of the board**
#
# 1. At most 43,064 parameters, TNet's number; frozen ones count, too.
# 2. Trained on noisy pairs alone: no clean photo (`pairs.clean`) has any part in the training or in a choice. Weights
#    of other networks, the course's own included, have none either.
# 3. Trained for at most ten minutes on a T4, the GPU that Colab lends. `fit` measures it (`history.seconds`), a loop of your
#    own does with `time.perf_counter()`; the rule is a matter of honour.
# 4. Ranked by the mean of the PSNRs of single photos, on pairs whose seed your instructor keeps.
#
# **The points of part A**: 4 for a network that runs and keeps to rule 1; 4 more if it beats the best Gaussian filter; and
# up to 4 more from that filter's PSNR to TNet's. Who beats TNet has all twelve.
#
# **How to work.** Colab does: open it with the badge, then *File > Save a copy in Drive*, and choose a T4 under *Runtime >
# Change runtime type*. Without a GPU the same cells train for a moment, on the five photos that come along. When you
# are done, *run all* once more, so that the last cells show the network that you hand in; then *File > Download >
# Download .ipynb*, and hand in this file: the weights travel inside it.
#
# **Leave as it is**: the first line of every cell that begins with `GRADED CELL` (the grader finds your answer by it). You
# may add cells wherever you like. What help is allowed, from people and from programs, your instructor says.

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

print(f"torch {torch.__version__} on a {'GPU' if torch.cuda.is_available() else 'CPU'}")

# %%
from IPython.display import display
from torch import nn

from denoise_lib import NoisyPairs, checkpoint_folder, evaluate, fit, load_pretrained, mse, predict
from denoise_lib.display import panel, picture, tile
from denoise_lib.exercises import PARAMETER_LIMIT, leader_board_score, submit_network
from denoise_lib.papers import photo_pairs

SEED = 0  # of the first weights and of the order of the pairs: try several
FULL = torch.cuda.is_available()  # train for real, or briefly

# %% [markdown]
# ## The data
#
# Noisy pairs of 32 x 32 photos, as in notebook 3. On a GPU these are 50,000 pairs of Imagenette, which is downloaded. The
# last of them are put aside, to compare your trials on.

# %%
if FULL:
    pairs, kept = photo_pairs("train", "imagenette", count=50_000, cell=5), 2000
else:
    pairs, kept = photo_pairs("train", count=600), 120
first, second = pairs.first[:-kept], pairs.second[:-kept]
trial_input, trial_target = (copy[-kept:].float() / 255 for copy in (pairs.first, pairs.second))
print(f"{len(first):,} pairs to train on, {kept:,} for trials")
shown = [tile(copy[:16].float() / 255, 16, scale=2) for copy in (first, second)]
picture(panel(shown, ["input", "target"], columns=1), "Sixteen small photos, and the same with other noise")


# %% [markdown]
# **Compare trials without a clean photo.** The loss against a noisy target is the error to the clean photo plus the
# variance of the target's noise. And the pairs themselves tell that variance: two copies with independent noise differ by
# twice as much.

# %%
def estimated_error(network):
    """The mean squared error to the clean photos that were never seen, estimated on the pairs for trials."""
    variance = mse(trial_input, trial_target) / 2
    return mse(predict(network, trial_input), trial_target) - variance


print(f"TNet as it comes with the course: {estimated_error(load_pretrained('tnet')):.5f}")


# %% [markdown]
# ## Part A: your network
#
# Write `make_network()`: it returns a new, untrained network (N, 3, 32, 32) -> (N, 3, 32, 32), a `torch.nn.Module`. The
# grader calls it and then loads your trained weights, so it has to build the same network each time, and classes that
# it needs stand inside of it or in a cell above. Ideas of a network that did better are in section 3.10 of notebook 3:
# stay near the pixels, add instead of concatenating, predict the change and not the photo.

# %% nbgrader={"grade": false, "grade_id": "make_network", "locked": false, "schema_version": 3, "solution": true, "task": false}
# GRADED CELL make_network
def make_network():
    ### BEGIN SOLUTION
    class Chain(nn.Module):
        """The noisy photo, plus what five convolutions at full resolution say."""

        def __init__(self, width=24):
            super().__init__()
            layers = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
            for _ in range(3):
                layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
            self.change = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

        def forward(self, x):
            return x + self.change(x)

    return Chain()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "make_network-check", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
# GRADED CELL make_network-check
network = make_network()
if network is None:
    print("make_network: not attempted yet.")
else:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    verdict = "within" if parameters <= PARAMETER_LIMIT else "ABOVE"
    print(f"make_network: {parameters:,} parameters, {verdict} the limit of {PARAMETER_LIMIT:,}.")
    print("output of the right shape:", network(torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32))

# %% [markdown]
# ### Train it
#
# Change what you like: epochs, learning rate, batch size, loss, schedule. The clock runs around the training alone.
#
# The long training keeps a checkpoint after each epoch: if the connection is lost, run the notebook again, and it goes on
# after the last whole epoch. In Colab, mount your Google Drive before you start (the folder on the left, then *Mount Drive*),
# and again before you go on; else the checkpoints are lost with the machine. Whatever you change (the network, the data, a
# setting) starts a training of its own.

# %%
torch.manual_seed(SEED)
network = make_network()
if network is not None:
    data = NoisyPairs.from_copies(first, second, exchange=True, flips=True, seed=SEED)
    size = {"epochs": 12, "batch_size": 32} if FULL else {"epochs": 6, "batch_size": 8}
    checkpoint = checkpoint_folder() if FULL else None
    history = fit(network, data, **size, lr=5e-3, schedule="one-cycle", seed=SEED, progress=FULL, checkpoint=checkpoint)
    print(f"trained for {sum(history.seconds) / 60:.1f} of 10 minutes")
    print(f"estimated error on the pairs for trials: {estimated_error(network):.5f}")

# %% [markdown]
# ### An honest comparison
#
# - **The same pairs**: two networks are compared on the same photos with the same noise, and with the same budget.
# - **Several seeds**: one training is one draw of a lottery. Run the cell above with three values of `SEED` at least, and
#   compare a difference with the spread, before you say that a change has helped.
# - **The test photos once**: choose by `estimated_error`, on the pairs for trials. If you look at the test score after
#   each change and keep what raises it, you have trained on the test photos yourself. (The pairs for trials are other
#   crops of the training photos; that is good enough to choose by, and flatters the number.)
#
# So run the next cell when all is decided.

# %%
if network is not None:
    print(f"leader board, public pairs: {leader_board_score(network):.2f} dB")
    print(f"TNet, which had 50 epochs:  {leader_board_score(load_pretrained('tnet')):.2f} dB")

# %%
if network is not None:
    test = photo_pairs("test", count=14)
    noisy, clean = test.first.float() / 255, test.clean.float() / 255
    denoised = predict(network, noisy).clamp(0, 1)
    shown = panel([tile(batch, 14, scale=2) for batch in (noisy, denoised, clean)], ["noisy", "yours", "clean"], columns=1)
    display(picture(shown, "Fourteen test photos: noisy, denoised by the network of this notebook, and clean"))
    print(f"{1e6 * evaluate(network, noisy, clean).seconds_per_image:.0f} microseconds a photo on this machine")

# %% [markdown]
# ### Hand in
#
# The output of this cell is your network: it has to be there when you download the notebook.

# %%
if network is not None:
    submit_network(network)

# %% [markdown]
# ## Part B: what you tried
#
# **Tried** (4 points). A table of your trials, at least four rows, the failures among them: what you changed, parameters,
# minutes, the estimated error (with its spread over seeds where you have it). Below it, in a few sentences: what helped, what
# did not, and what you believe the reason is. What would you try next?

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-tried", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-tried -->
# ### BEGIN SOLUTION
# | trial | parameters | minutes | estimated error | seeds |
# |---|---:|---:|---|---:|
# | five convolutions, width 24 | ... | ... | ... ± ... | 3 |
# | the same without `x +` | ... | ... | ... | 1 |
# | the same, constant learning rate | ... | ... | ... | 1 |
# | half resolution, width 32 | ... | ... | ... ± ... | 3 |
#
# The numbers are the student's own. A good text names one change at a time, compares it with the spread over seeds, and
# says of each reason whether it was tested.
#
# - 1 point: at least four trials with parameters, minutes and errors; failures are among them.
# - 1 point: one thing is changed at a time, on the same pairs and with the same budget, or it is said where not.
# - 1 point: several seeds where a small difference matters; no claim within the spread.
# - 1 point: reasons that fit the numbers, marked as tested or guessed, and a next step that follows.
# ### END SOLUTION

# %% [markdown]
# ## Part C: a claim of the paper
#
# **Claim** (4 points). Choose one thing that the second paper says (skips are needed; batch normalisation and an L1
# loss do not improve
# the network; the difference between learning rates is small; a small network is comparable to a large one; more
# powerful than mean or Gaussian filters).
# Quote it, say what result would speak against it, run the experiment with your network, and say whether your numbers
# support the claim, and how far.

# %% [markdown] nbgrader={"grade": true, "grade_id": "why-claim", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- GRADED CELL why-claim -->
# ### BEGIN SOLUTION
# For example Table 2: TNet has 25.29 dB with L1 loss and 25.32 dB with L2, so L1 costs next to nothing. Against it
# would speak a loss of
# several tenths of a decibel with L1, beyond the spread over seeds. The same network trained with `loss="l1"` and with
# `loss="l2"`, three seeds each, on the same pairs. It falls short by far more than the spread: L1 learns the median,
# and this noise is skewed at edges. So the row of the table is not supported; for other networks and other noises this
# experiment says nothing.
#
# - 1 point: quotes a claim, and says beforehand what would speak against it.
# - 1 point: an experiment that changes this one thing, with a control and the same budget.
# - 1 point: numbers with a spread, and a conclusion that goes as far as they do.
# - 1 point: says what the experiment cannot tell (other data, other budgets, one network).
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# - *Runtime > Run all* once more, unless the cells above show the network that you want to hand in.
# - The cell under "Hand in" has an output.
# - Both texts are written, and the minutes and seeds are true.
# - *File > Download > Download .ipynb*, and hand in this file. (No link to Colab: a link has no weights.)
