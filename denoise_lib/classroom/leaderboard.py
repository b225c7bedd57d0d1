"""The leader board of the capstone: networks scored on pairs whose seed the instructor keeps.

The network runs in the sandbox and sees the noisy pictures alone; the clean ones stay here, where the score is made.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..exercises.capstone import check_parameter_count, unpack_weights
from ..exercises.exercise import RIGHT, WRONG, Outcome
from ..metrics import predict, psnr
from ..papers.baselines import tune_color_filter
from ..papers.pairs import photo_pairs
from ..pretrained.weights import load_pretrained
from .sandbox.process import decoded
from .sandbox.run_submission import SubmissionReport

NETWORK = "make_network"
"""The function that a student hands in."""
PAIRS = 200


@dataclass(frozen=True)
class Hidden:
    """The pictures of a class, and what is known of them: PSNRs in dB of a Gaussian filter and of TNet."""

    noisy: Tensor
    clean: Tensor
    gaussian: float
    tnet: float


@functools.lru_cache(maxsize=2)
def hidden_pictures(seed: int) -> Hidden:
    """Noisy and clean built-in test photos, uint8 (N, 3, 32, 32), drawn from a class's seed."""
    pairs = photo_pairs("test", count=PAIRS, seed=1_000_003 + seed, cache=False, progress=False)
    noisy, clean = pairs.first.float() / 255, pairs.clean.float() / 255
    filtered = psnr(tune_color_filter("Gaussian filter", noisy, clean)[0](noisy).clamp(0, 1), clean)
    return Hidden(pairs.first, pairs.clean, filtered, psnr(predict(load_pretrained("tnet"), noisy).clamp(0, 1), clean))


def files_for(shown: str, seed: int) -> tuple[dict[str, bytes], str | None]:
    """What the worker needs to run a network, and what is wrong with the weights in a notebook's outputs."""
    try:
        weights = unpack_weights(shown)
        check_parameter_count(weights)
    except ValueError as error:
        return {}, str(error)
    return {"weights.safetensors": save(weights), "noisy.safetensors": save({"noisy": hidden_pictures(seed).noisy})}, None


def score(found: SubmissionReport, problem: str | None, seed: int) -> tuple[Outcome, float, float | None]:
    """What a network is worth: the outcome, the share of the points, and its PSNR in dB.

    A third of the points is for a network that runs within the limit, a third for beating the best Gaussian filter, and
    the last third grows from that filter's score to TNet's.
    """
    outcome = found.outcomes[NETWORK]
    message = found.raw.get(NETWORK, {})
    if "denoised" not in message:
        error = message.get("error")
        if error is None or "NotImplementedError" in str(error):
            return outcome, 0.0, None
        return Outcome(NETWORK, WRONG, "does not run", f"not yet: {problem or str(error)[:300]}"), 0.0, None
    hidden = hidden_pictures(seed)
    try:
        denoised = load(decoded(str(message["denoised"])))["denoised"]
        if denoised.dtype != torch.uint8:
            raise ValueError("pictures come as uint8.")
        found_psnr = psnr(denoised.float() / 255, hidden.clean.float() / 255)
        if not math.isfinite(found_psnr):
            raise ValueError("these are the clean pictures.")
    except Exception:  # whatever was made up in place of pictures
        return Outcome(NETWORK, WRONG, "does not run", "not yet: the network's pictures cannot be read."), 0.0, None
    share = 1 / 3
    if found_psnr > hidden.gaussian:
        share += 1 / 3 + min(1.0, (found_psnr - hidden.gaussian) / (hidden.tnet - hidden.gaussian)) / 3
    scores = f"{found_psnr:.2f} dB on the hidden pairs; a Gaussian filter {hidden.gaussian:.2f}, TNet {hidden.tnet:.2f} dB."
    if found_psnr >= hidden.tnet:
        return Outcome(NETWORK, RIGHT, None, f"beats TNet: {scores}"), 1.0, found_psnr
    name = "below TNet" if found_psnr > hidden.gaussian else "below a Gaussian filter"
    return Outcome(NETWORK, WRONG, name, f"{name}: {scores}"), share, found_psnr
