"""The commands `train` and `denoise`: a network of one's own, and photos of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..internal.errors import ERRORS

DIGIT_NETWORKS, PHOTO_NETWORKS = ("unet", "autoencoder", "unet-no-skips"), ("tiny-denoiser", "tnet")
# What `train` does where an option is not given.
ON_DIGITS = {"network": "unet", "noise": "blend:0.25", "data": "small", "epochs": 10, "lr": 1e-3, "schedule": "constant"}
ON_PHOTOS = {"network": "tiny-denoiser", "noise": "blend:0-0.5", "epochs": 8, "lr": 3e-3, "schedule": "one-cycle"}


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `train` and `denoise` among the commands."""
    _train_options(commands.add_parser("train", help="train one network on MNIST or on photos, and keep its weights"))
    _denoise_options(commands.add_parser("denoise", help="denoise your own photos, of any size"))


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
    parser.set_defaults(run=_train, with_torchrun=True)


def _denoise_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a JPEG, PNG, WebP, BMP, GIF or TIFF file")
    parser.add_argument("--mu", type=float, help="add noise of this level first, and print the PSNR before and after")
    parser.add_argument("--network", default="photo-blind", help="see `weights`; those of digits turn the photo gray")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    parser.add_argument("--output", help="a folder, or a name that ends in .png (default: beside each photo)")
    parser.add_argument("--force", action="store_true", help="write over older results")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.set_defaults(run=_denoise)


def _train(options: argparse.Namespace) -> int:
    from ..internal.distributed import leave

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
    try:
        return _train_on_photos(chosen) if on_photos else _train_on_digits(chosen)
    finally:
        leave()


def _train_on_digits(options: argparse.Namespace) -> int:
    from ..corruptions import parse_noise
    from ..data import TEST_NOISE_SEED, NoisyImages, mnist, training_noise_seed
    from ..internal.distributed import world
    from ..internal.seeding import build_seeded
    from ..metrics import evaluate
    from ..papers import unet_vs_autoencoder
    from ..pretrained.weights import write_weights
    from ..training import fit

    noise = parse_noise(options.noise)
    model = build_seeded(unet_vs_autoencoder.TABLE_1_NETWORKS[options.network], options.seed)
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
    checkpoint.unlink(missing_ok=True)  # the training is over; the next one under this name starts from scratch
    print(f"test MSE {scores.mse:.5f}, PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.3f}")
    print(f"weights: {options.output}.safetensors")
    return 0


def _train_on_photos(options: argparse.Namespace) -> int:
    from .training import PhotoTraining, train_on_photos

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
    from ..internal.checks import check_count, check_number
    from ..internal.devices import default_device
    from ..pretrained.weights import load_pretrained
    from .files import denoise_file

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
