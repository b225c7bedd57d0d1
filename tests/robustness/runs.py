"""The runs: which notebook is put through what. A run serves several tests, since each takes its minute."""

from __future__ import annotations

from collections.abc import Callable

from nbformat import NotebookNode

from tools.pairing import read_source

from . import helpers
from .helpers import FILL, KILL, READ_ONLY, WRITABLE, Outcome, before, code_cell, course, in_the_sandbox, notebook_of, twice

TRAINING = "fit(trained[name]"
"""Stands in the cell that trains; the notebooks without one train for a moment in their set-up cell."""
STEP = {"02_unet_vs_autoencoder": 200, "03_noise2noise_tnet": 200}


def alone(name: str) -> list[Outcome]:
    """Twice in one kernel, without network, in a read-only checkout, with an empty home."""
    return in_the_sandbox([twice(course(name))], folder=READ_ONLY)


def full_disk(name: str) -> list[Outcome]:
    """On a disk on which there is no byte left."""
    return in_the_sandbox([before(course(name), 0, FILL)], folder=WRITABLE, size=helpers.TIGHT)


def killed(name: str) -> list[Outcome]:
    """Killed at an early step of a training, then run again from the top in a new kernel, where the first one stopped."""
    notebook = course(name)
    training = code_cell(notebook, TRAINING if name in STEP else "")
    deadly = before(notebook, training, KILL.format(step=STEP.get(name, 2)))
    return in_the_sandbox([deadly, notebook], folder=WRITABLE)


# --- the long trainings, on tiny data ------------------------------------------------------------------------------------

TINY = {
    "02_unet_vs_autoencoder": "digits = mnist\ndef mnist(split, size):\n    return digits(split, 'small')[:130]\n",
    "03_noise2noise_tnet": "photos = photo_pairs\ndef photo_pairs(split, *_, **__):\n    return photos(split, count=40)\n",
    "capstone_beat_tnet": "first, second = first[:40], second[:40]\n",
}
"""Two steps an epoch."""
WEIGHTS = """
models = trained.values() if "trained" in globals() else [network]
print("weights", *(float(sum(value.double().abs().sum() for value in model.parameters())).hex() for model in models))
"""


def disconnected(name: str) -> list[Outcome]:
    """The training cell as on a GPU: straight through; killed; and run again."""
    if name == helpers.CAPSTONE.stem:
        notebook = read_source(helpers.CAPSTONE)
        cells = notebook.cells[: code_cell(notebook, "fit(network") + 1]
    else:
        notebook = course(name)
        training = code_cell(notebook, TRAINING)
        head = [cell for cell in notebook.cells[:training] if cell.cell_type == "code"][:2]  # set-up and imports
        cells = [*head, notebook.cells[training]]
    *head, last = [cell.source for cell in cells if cell.cell_type == "code"]

    def full(folder: str, *hidden: str) -> NotebookNode:
        place = f"import os\nos.environ['DENOISE_CHECKPOINTS'] = {str(WRITABLE / folder)!r}\nFULL = True\n"
        return notebook_of(*head, place + TINY[name], *hidden, last, WEIGHTS)

    deadly = KILL.format(step=DEADLY_STEP[name])
    return in_the_sandbox([full("straight"), full("killed", deadly), full("killed")], folder=WRITABLE)


DEADLY_STEP = {"02_unet_vs_autoencoder": 2 * 13 + 1, "03_noise2noise_tnet": 2 * 23 + 1, "capstone_beat_tnet": 2 * 3 + 1}
"""In the fourth epoch of the notebook's last training."""
RUNS: dict[str, Callable[[str], list[Outcome]]] = {
    "alone": alone, "full disk": full_disk, "killed": killed, "disconnected": disconnected,
}  # fmt: skip
