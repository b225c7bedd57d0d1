"""The command `weights`: what networks come with the library."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `weights` among the commands."""
    weights = commands.add_parser("weights", help="list the shipped weights, or show a card")
    weights.add_argument("name", nargs="?", help="for example unet-moderate")
    weights.set_defaults(run=_weights)


def _weights(options: argparse.Namespace) -> int:
    import json

    from .weights import available_weights, weights_card

    if options.name:
        print(json.dumps(weights_card(options.name), indent=2))
        return 0
    for name in available_weights():
        card = weights_card(name)
        quality = f"MSE {card['mse']:.5f}" if "mse" in card else f"PSNR {card['psnr']:.2f} dB on photos"
        mu = card.get("test_mu", card.get("psnr_mu"))  # the other noise of photos has no level
        quality += f" at mu {mu:.2f}" if mu is not None else ""
        print(f"{name:22s} {card['parameters']:>7,} parameters   test {quality}")
    return 0
