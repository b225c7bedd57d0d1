"""The command line: `python -m denoise_lib --help`. Each room registers its own commands."""

from __future__ import annotations

import argparse
import sys

from . import __version__
from .classroom.commands import add_parser as add_class
from .internal.errors import ERRORS
from .own_photos.commands import add_parsers as add_train_and_denoise
from .papers.commands import add_parser as add_reproduce
from .pretrained.commands import add_parser as add_weights

EPILOG = """examples:
  python -m denoise_lib reproduce unet-vs-autoencoder --data small --epochs 2 --seeds 1
  python -m denoise_lib reproduce unet-vs-autoencoder --seeds 5 --recipe best --jobs 2
  python -m denoise_lib reproduce unet-vs-autoencoder --recipe paper,best --scheduler tcp://192.168.0.10:8786
  python -m denoise_lib reproduce tnet --table 2 --seeds 3 --photos my/photos
  python -m denoise_lib reproduce smoothgrad --pairs 240 --photos my/photos
  python -m denoise_lib train --network unet --noise blend:0.25 --epochs 5 --output my-unet
  python -m denoise_lib train --photos my/photos --held-out other/photos --output photo-blind
  python -m denoise_lib denoise photo.jpg --mu 0.25
  python -m denoise_lib weights unet-moderate
  python -m denoise_lib class grade ps1_noise --course course
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for an error told in one sentence, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    try:
        _check_alone(options)
        status: int = options.run(options)
        return status
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped; run the same command again to go on.", file=sys.stderr)
        return 130
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m denoise_lib",
        description="Image denoising, as taught in the course's notebooks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_reproduce(commands)
    add_train_and_denoise(commands)
    add_class(commands)
    add_weights(commands)
    moved = commands.add_parser("benchmark", help="has moved: run `python -m benchmarks` in a clone of the course")
    moved.add_argument("parts", nargs="*")
    moved.add_argument("--output", help=argparse.SUPPRESS)
    moved.set_defaults(run=_benchmark)
    return parser


def _check_alone(options: argparse.Namespace) -> None:
    from .internal.distributed import world

    if world().size > 1 and not getattr(options, "with_torchrun", False):
        raise ValueError("torchrun is for `train` alone, where several processes train one network; run this without it.")


def _benchmark(options: argparse.Namespace) -> int:
    command = " ".join(["python -m benchmarks", *options.parts])
    raise ValueError(f"the benchmarks are no longer part of the library; in a clone of the course, run `{command}`.")


if __name__ == "__main__":
    sys.exit(main())
