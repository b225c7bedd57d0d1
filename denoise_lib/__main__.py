"""The command line: `python -m denoise_lib --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import __version__
from .classroom.commands import add_parser as add_class_parser

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


DIGIT_NETWORKS, PHOTO_NETWORKS = ("unet", "autoencoder", "unet-no-skips"), ("tiny-denoiser", "tnet")
# What `train` does where an option is not given.
ON_DIGITS = {"network": "unet", "noise": "blend:0.25", "data": "small", "epochs": 10, "lr": 1e-3, "schedule": "constant"}
ON_PHOTOS = {"network": "tiny-denoiser", "noise": "blend:0-0.5", "epochs": 8, "lr": 3e-3, "schedule": "one-cycle"}
ERRORS = (ValueError, TypeError, ArithmeticError, RuntimeError, OSError)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for an error told in one sentence, 130 after Ctrl-C."""
    parser = build_parser()
    options = parser.parse_args(arguments)
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

    reproduce = commands.add_parser("reproduce", help="measure a paper's table again")
    papers = reproduce.add_subparsers(required=True, metavar="PAPER")
    _digits_options(papers.add_parser("unet-vs-autoencoder", help="Casey and Racape, Table 1, on MNIST"))
    _photo_options(papers.add_parser("tnet", help="the second paper's Tables 1 and 2, on photos of 32x32 pixels"))
    _saliency_options(papers.add_parser("smoothgrad", help="the second paper's claims about its Figure 3, with error bars"))

    _train_options(commands.add_parser("train", help="train one network on MNIST or on photos, and keep its weights"))
    _denoise_options(commands.add_parser("denoise", help="denoise your own photos, of any size"))

    speed = commands.add_parser("benchmark", help="measure speed, side by side with the papers' loop")
    speed.add_argument(
        "parts",
        nargs="*",
        help="of training, limits, alternatives, growth, saliency, slider, import, notebooks (the default: all these), grading",
    )
    speed.add_argument("--output", default="results/benchmark.json", help="results file (default %(default)s)")
    speed.set_defaults(run=_benchmark)

    add_class_parser(commands)

    weights = commands.add_parser("weights", help="list the shipped weights, or show a card")
    weights.add_argument("name", nargs="?", help="for example unet-moderate")
    weights.set_defaults(run=_weights)
    return parser


def _train_options(parser: argparse.ArgumentParser) -> None:
    networks = [*DIGIT_NETWORKS, *PHOTO_NETWORKS]
    parser.add_argument("--network", choices=networks, help="the last two are for photos (default unet or tiny-denoiser)")
    parser.add_argument(
        "--noise", help="blend:MU, blend:LOW-HIGH, gaussian:SIGMA, poisson:PEAK, bernoulli:P, impulse:P "
        "(default blend:0.25; on photos blend:0-0.5)"
    )  # fmt: skip
    parser.add_argument("--data", choices=["full", "small"], help="of MNIST (default small)")
    parser.add_argument("--photos", metavar="FOLDER", help="train on colour photos: builtin, imagenette, or a folder")
    parser.add_argument("--held-out", metavar="FOLDER", help="photos on which the scores are measured, too")
    parser.add_argument("--about", help="what the photos are, for the card")
    parser.add_argument("--epochs", type=int, help="passes over the data (default 10; on photos 8)")
    parser.add_argument("--lr", type=float, help="learning rate (default 0.001; on photos 0.003)")
    parser.add_argument(
        "--schedule", choices=["constant", "one-cycle", "cosine"], help="of the rate (default constant; on photos one-cycle)"
    )
    parser.add_argument("--fixed", action="store_true", help="draw the noise once, instead of in every epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--output", default="trained", help="writes OUTPUT.safetensors and OUTPUT.json (default %(default)s)")
    parser.set_defaults(run=_train)


def _denoise_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a JPEG, PNG, WebP, BMP, GIF or TIFF file")
    parser.add_argument("--mu", type=float, help="add noise of this level first, and print the PSNR before and after")
    parser.add_argument("--network", default="photo-blind", help="see `weights`; those of digits turn the photo gray")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    parser.add_argument("--output", help="a folder, or a name that ends in .png (default: beside each photo)")
    parser.add_argument("--force", action="store_true", help="write over older results")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.set_defaults(run=_denoise)


def _digits_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=10, help="passes over the data (default 10, as the paper)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each cell (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first run (default 0)")
    parser.add_argument("--data", choices=["full", "small"], default="full", help="60,000 digits, or 4,000 offline")
    parser.add_argument("--recipe", default="paper", help="of paper, the paper's protocol, and best, a better one")
    parser.add_argument("--networks", default="unet,autoencoder", help="of unet, autoencoder, unet-no-skips")
    parser.add_argument("--levels", default="mild,moderate,severe", help="of mild, moderate, severe, blind")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    _machine_options(parser)
    parser.add_argument("--baselines", action="store_true", help="measure the baselines instead of the networks")
    parser.add_argument("--export", metavar="FOLDER", help="also copy the first seed's weights there, as NETWORK-LEVEL")
    parser.add_argument("--output", default="results/unet_vs_autoencoder.json", help="results file (default %(default)s)")
    parser.set_defaults(run=_reproduce)


def _machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on its share of the cores")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, such as tcp://192.168.0.10:8786: run on its workers")


def _photo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table",
        choices=["1", "2", "course", "targets"],
        default="2",
        help="1: TNet's learning rates; 2: the models; course: TinyDenoiser; targets: noisy against clean (default 2)",
    )
    parser.add_argument("--photos", default="imagenette", help="builtin, imagenette, or a folder (default imagenette)")
    parser.add_argument("--held-out", metavar="FOLDER", help="photos on which the scores are measured too, for new claims")
    parser.add_argument("--cell", type=int, help="side of PointSample's cells (default: 5 for imagenette, else 8)")
    parser.add_argument("--about", default="", help="what the photos are, for the results file")
    parser.add_argument("--networks", help="of table 2: of tnet, tnet-bn, tnet-l1, unet, basenet (default: all)")
    parser.add_argument("--pairs", type=int, default=50_000, help="training pairs (default 50,000, as the paper)")
    parser.add_argument("--epochs", type=int, default=50, help="passes over the pairs (default 50, as the paper)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each row (default 5, as the paper)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first run (default 0)")
    parser.add_argument("--amp", action="store_true", help="mixed precision: about twice as fast, and told in the results")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    _machine_options(parser)
    parser.add_argument("--baselines", action="store_true", help="measure what needs no training on photos instead")
    parser.add_argument("--export", metavar="FOLDER", help="also copy each network's first seed there, as weights with a card")
    parser.add_argument("--output", default="results/tnet.json", help="results file (default %(default)s)")
    parser.set_defaults(run=_reproduce_photos)


def _saliency_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", default="builtin", help="builtin, imagenette, or a folder (default builtin)")
    parser.add_argument("--cell", type=int, help="side of PointSample's cells (default: 5 for imagenette, else 8)")
    parser.add_argument("--about", default="", help="what the photos are, for the results file")
    parser.add_argument("--pairs", type=int, default=240, help="pairs to measure on, at least 20 (default 240)")
    parser.add_argument("--samples", type=int, default=50, help="SmoothGrad's noisy copies of an image (default 50)")
    parser.add_argument("--parts", default="", help="measure these again, such as kernels,classifier (default: the missing)")
    parser.add_argument("--output", default="results/smoothgrad.json", help="results file (default %(default)s)")
    parser.set_defaults(run=_reproduce_saliency)


def _reproduce(options: argparse.Namespace) -> int:
    from .internal.checks import check_count
    from .papers import unet_vs_autoencoder
    from .papers.results import markdown_table

    if options.baselines:
        unet_vs_autoencoder.measure_baselines(options.output, options.data)
        return 0
    check_count(options.seeds, "--seeds", example=5)
    runs = [
        unet_vs_autoencoder.Run(network, level, recipe, options.data, options.epochs, seed)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for recipe in options.recipe.split(",")
        for level in options.levels.split(",")
        for network in options.networks.split(",")
    ]
    content = unet_vs_autoencoder.reproduce(
        runs, options.output, device=options.device, jobs=options.jobs, scheduler=options.scheduler
    )
    if options.export:
        unet_vs_autoencoder.export_weights(runs, options.output, options.export)
    print(markdown_table(content))
    print(f"results: {options.output}")
    return 0


def _cell(options: argparse.Namespace) -> int:
    """Imagenette's photos have 160 pixels, and 32 cells of 5."""
    cell: int = options.cell if options.cell is not None else 5 if options.photos == "imagenette" else 8
    return cell


def _reproduce_photos(options: argparse.Namespace) -> int:
    from .internal.checks import check_count
    from .papers import noise2noise_tnet
    from .papers import photo_pairs as photo_pairs_module
    from .papers.noise2noise_tables import photo_table

    photos = photo_pairs_module.Photos(options.photos, options.held_out, _cell(options), options.about)
    if options.baselines:
        noise2noise_tnet.measure_baselines(photos, options.output)
        noise2noise_tnet.measure_untrained(photos, options.output)
        noise2noise_tnet.measure_clipping(options.output)
        return 0
    check_count(options.seeds, "--seeds", example=5)
    base = noise2noise_tnet.PhotoRun("tnet", epochs=options.epochs, pairs=options.pairs, amp=options.amp)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    networks = options.networks.split(",") if options.networks is not None else None
    runs = noise2noise_tnet.table_runs(options.table, base, seeds, networks)
    content = noise2noise_tnet.reproduce(
        runs, photos, options.output, device=options.device, jobs=options.jobs, scheduler=options.scheduler
    )
    if options.export:
        noise2noise_tnet.export_weights(runs, photos, options.output, options.export)
    print(photo_table(content))
    print(f"results: {options.output}")
    return 0


def _reproduce_saliency(options: argparse.Namespace) -> int:
    from .papers import smoothgrad_claims

    content = smoothgrad_claims.reproduce(
        options.photos, options.output, cell=_cell(options), about=options.about, count=options.pairs,
        n_samples=options.samples, parts=[part for part in options.parts.split(",") if part],
    )  # fmt: skip
    if {"groups", "self_influence"} <= content.keys():
        print(smoothgrad_claims.claims_table(content))
    print(f"results: {options.output}")
    return 0


def _check_alone(options: argparse.Namespace) -> None:
    from .internal.distributed import world

    if world().size > 1 and options.run is not _train:
        raise ValueError("torchrun is for `train` alone, where several processes train one network; run this without it.")


def _train(options: argparse.Namespace) -> int:
    on_photos = options.photos is not None
    if options.network in (DIGIT_NETWORKS if on_photos else PHOTO_NETWORKS):
        known = ", ".join(PHOTO_NETWORKS if on_photos else DIGIT_NETWORKS)
        raise ValueError(
            f"--network must be one of {known} {'with' if on_photos else 'without'} --photos, but is {options.network}."
        )
    if on_photos and options.data is not None:
        raise ValueError(f"--data is for digits, but --photos {options.photos} is given; leave one of the two out.")
    if not on_photos and (options.held_out is not None or options.about is not None):
        raise ValueError("--held-out and --about are for photos; add --photos FOLDER.")
    defaults = ON_PHOTOS if on_photos else ON_DIGITS
    given = {name: value for name, value in vars(options).items() if value is not None}
    chosen = argparse.Namespace(**(vars(options) | defaults | given))
    chosen.schedule = None if chosen.schedule == "constant" else chosen.schedule
    return _train_on_photos(chosen) if on_photos else _train_on_digits(chosen)


def _train_on_digits(options: argparse.Namespace) -> int:
    import torch

    from .corruptions import parse_noise
    from .data import TEST_NOISE_SEED, NoisyImages, mnist, training_noise_seed
    from .internal.distributed import world
    from .metrics import evaluate
    from .papers import unet_vs_autoencoder
    from .pretrained.weights import write_weights
    from .training import fit

    noise = parse_noise(options.noise)
    torch.manual_seed(options.seed)
    model = unet_vs_autoencoder.NETWORKS[options.network]()
    dataset = NoisyImages(mnist("train", options.data), noise, fresh=not options.fixed, seed=training_noise_seed(options.seed))
    checkpoint = Path(f"{options.output}.checkpoint")
    fit(
        model, dataset, epochs=options.epochs, lr=options.lr, schedule=options.schedule, seed=options.seed,
        device=options.device, checkpoint=checkpoint,
    )  # fmt: skip
    if not world().first:
        return 0
    test = NoisyImages(mnist("test", options.data), noise, seed=TEST_NOISE_SEED)
    scores = evaluate(model, *next(test.batches(len(test))))
    card = {"data": options.data, "noise": options.noise, "epochs": options.epochs, "mse": scores.mse}
    write_weights(model, options.output, card)
    checkpoint.unlink(missing_ok=True)  # the training is over; the next one under this name starts anew
    print(f"test MSE {scores.mse:.5f}, PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.3f}")
    print(f"weights: {options.output}.safetensors")
    return 0


def _train_on_photos(options: argparse.Namespace) -> int:
    from .own_photos.training import PhotoTraining, train_on_photos

    training = PhotoTraining(
        options.photos, options.network, options.noise, not options.fixed, options.epochs, options.lr, options.schedule,
        options.seed, options.held_out, options.about or "",
    )  # fmt: skip
    card = train_on_photos(training, options.output, device=options.device)
    if not card:  # one of several processes, and not the first: it writes and prints
        return 0
    print(f"{'photos':10s}   mu   PSNR noisy   denoised   SSIM noisy   denoised")
    for photos, rows in card["scores"].items():
        for level, row in rows.items():
            decibels = f"{row['psnr_noisy']:7.2f} dB {row['psnr']:7.2f} dB"
            print(f"{photos:10s} {level}   {decibels}   {row['ssim_noisy']:10.3f} {row['ssim']:10.3f}")
    print(f"weights: {options.output}.safetensors")
    return 0


def _denoise(options: argparse.Namespace) -> int:
    from .internal.checks import check_count, check_number
    from .internal.devices import default_device
    from .own_photos.files import denoise_file
    from .pretrained.weights import load_pretrained

    if options.mu is not None:
        check_number(options.mu, "--mu", 0, 1, example=0.25)
    check_count(options.seed, "--seed", 0, example=0)
    model = load_pretrained(options.network, default_device(options.device))
    keep, status = [*options.photos], 0
    for photo in options.photos:
        try:
            keep += denoise_file(model, photo, options.output, mu=options.mu, seed=options.seed, force=options.force, keep=keep)
        except ERRORS as error:  # the other photos are denoised all the same
            print(f"error: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped: nothing was written for {photo}.") from None
    return status


def _benchmark(options: argparse.Namespace) -> int:
    from .benchmark import PARTS, benchmark, benchmark_table
    from .classroom.timing import benchmark_grading

    print(benchmark_table(benchmark(options.parts or list(PARTS), options.output, {**PARTS, "grading": benchmark_grading})))
    print(f"results: {options.output}")
    return 0


def _weights(options: argparse.Namespace) -> int:
    import json

    from .pretrained.weights import available_weights, weights_card

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


if __name__ == "__main__":
    sys.exit(main())
