"""The command `reproduce`: measure a paper's tables and claims again."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `reproduce` among the commands."""
    reproduce = commands.add_parser("reproduce", help="measure a paper's table again")
    papers = reproduce.add_subparsers(required=True, metavar="PAPER")
    _digits_options(papers.add_parser("unet-vs-autoencoder", help="Casey and Racape, Table 1, on MNIST"))
    _photo_options(papers.add_parser("tnet", help="the second paper's Tables 1 and 2, on photos of 32x32 pixels"))
    _saliency_options(papers.add_parser("smoothgrad", help="the second paper's claims about its Figure 3, with error bars"))


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
    from ..internal.checks import check_count
    from . import unet_vs_autoencoder
    from .results import markdown_table

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
    from ..internal.checks import check_count
    from . import noise2noise_tnet
    from . import pairs as photo_pairs_module
    from .noise2noise_tables import photo_table

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
    from . import smoothgrad_claims

    content = smoothgrad_claims.reproduce(
        options.photos, options.output, cell=_cell(options), about=options.about, count=options.pairs,
        n_samples=options.samples, parts=[part for part in options.parts.split(",") if part],
    )  # fmt: skip
    if {"groups", "self_influence"} <= content.keys():
        print(smoothgrad_claims.claims_table(content))
    print(f"results: {options.output}")
    return 0
