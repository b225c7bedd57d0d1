"""Hand a trained network in: its weights travel as text inside the notebook, so that one file is all there is to hand in."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..internal.checks import check_model, describe
from ..papers.noise2noise_tnet import builtin_psnr

PARAMETER_LIMIT = 43_064
"""TNet's parameters: what a network on the leader board may have."""
MARK = "denoise-weights:"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_PACKED = re.compile(MARK + r"([A-Za-z0-9+/=]+)")


def pack_weights(network: nn.Module) -> str:
    """A network's weights and buffers as one line of text, about 230 kB for TNet.

    Raises:
        ValueError: the network has more parameters than the leader board allows.
    """
    check_model(network)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    check_parameter_count(weights)
    return MARK + base64.b64encode(save(weights)).decode()


def check_parameter_count(weights: Mapping[str, Tensor]) -> int:
    """How many parameters the weights of a network hold; a ValueError if these are more than the leader board allows.

    All numbers count, also frozen ones, but for the running statistics of batch normalisation.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise TypeError(f"weights must be tensors by their names, such as network.state_dict(), but are {describe(weights)}.")
    parameters = sum(value.numel() for name, value in weights.items() if not str(name).endswith(STATISTICS))
    if parameters > PARAMETER_LIMIT:
        raise ValueError(f"the network has {parameters:,} parameters, but the leader board allows {PARAMETER_LIMIT:,}.")
    return parameters


def unpack_weights(text: str) -> dict[str, Tensor]:
    """The weights in a text that contains a line of `pack_weights`, the last one if there are several.

    Raises:
        ValueError: there are none, or they are damaged.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be what submit_network shows, but is {describe(text)}.")
    found = _PACKED.findall(text)
    if not found:
        raise ValueError(
            "there are no weights in this text; expected denoise-weights: and what follows, as submit_network shows it."
        )
    try:
        return load(base64.b64decode(found[-1], validate=True))
    except (ValueError, TypeError, KeyError, RuntimeError, AssertionError, SafetensorError) as error:  # made up by hand
        raise ValueError(f"the weights in this text are damaged ({error}); run submit_network again.") from None


def submit_network(network: nn.Module) -> None:
    """Show a network's weights packed, folded away, in the output of this cell; they are handed in with the notebook."""
    from IPython.display import HTML, display

    try:
        packed = pack_weights(network)
    except (TypeError, ValueError) as error:
        print(error)
        return
    parameters = check_parameter_count(network.state_dict())
    print(f"ready: {parameters:,} parameters. Save the notebook with this output, and hand it in.")
    display(HTML(f"<details><summary>the weights, packed</summary><code>{packed}</code></details>"))


def leader_board_score(model: nn.Module, *, seed: int = 0) -> float:
    """PSNR in dB of a network on the leader board: 200 fixed pairs of the built-in test photos.

    Args:
        model: a network (N, 3, 32, 32) -> (N, 3, 32, 32) of at most 43,064 parameters, trained on noisy pairs alone.
        seed: of the squares and the noise; an instructor may choose another for the final ranking.

    Raises:
        ValueError: the network has too many parameters, or its outputs have another shape or are no numbers.
    """
    parameters = sum(parameter.numel() for parameter in check_model(model).parameters())  # frozen ones too
    if parameters > PARAMETER_LIMIT:
        raise ValueError(f"the network has {parameters:,} parameters, but the leader board allows {PARAMETER_LIMIT:,}.")
    return builtin_psnr(model, seed=seed)
