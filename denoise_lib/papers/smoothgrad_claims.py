"""What the second paper says of its Figure 3, as numbers with error bars, and the checks that it lacks.

The paper shows two saliency maps of one photo. Each of its claims is measured here on many pairs: a mean over the pixels of
a kind, image by image, then mean and standard error over the images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import as_float_images, mnist
from ..internal.atomic_write import write_json
from ..internal.checks import check_choice, check_count, check_flag, check_instance, check_pair, reading
from ..internal.devices import machine
from ..internal.seeding import build_seeded
from ..internal.tables import table
from ..kernels import effective_receptive_field, kernel_windows, radius
from ..metrics import predict, psnr
from ..pretrained.weights import load_pretrained
from ..saliency import MOST_SAMPLES, self_sensitivity
from ..tnet import TNet
from .digit_classifier import DIGIT_NETWORKS, classifier_facts, digit_versions, train_classifier
from .pairs import TEST_PAIRS, distinct_photos, photo_pairs
from .results import read_results, results_file
from .saliency_statistics import (
    BINS,
    GROUPS,
    SHIFTS,
    binned_by_error,
    compare_groups,
    format_summary,
    kernel_facts,
    loss_map,
    output_map,
    pixel_groups,
    randomize_layers,
    rank_correlation,
    set_pixel,
    summary,
)

PARTS = ("groups", "self_influence", "intervention", "kernels", "randomised", "smoothgrad_noise", "classifier")
NOISE_LEVELS = (0.0, 0.05, 0.15)
"""SmoothGrad's: fractions of the image's range."""
STORED_COLORS = {"per_channel": "each", "joint": "together"}
"""How `colors` stands in results that were measured, whose words stay."""
PHOTO_NETWORKS = ("tnet", "tiny-denoiser", "noise2noise-unet")


def reproduce(
    source: str, output: str | Path, *, cell: int = 8, about: str = "", count: int = 240, n_samples: int = 50,
    parts: Sequence[str] = (), progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Measure everything that the results file does not have yet; it is written after each part, so a stop loses one part.

    Args:
        source: of the photos, as for `photo_pairs`; the first of its test pairs are taken.
        output: the results file.
        cell: of `PointSample`.
        about: what the photos are, for the file.
        count: pairs for the claims; kernels and the cascade take a quarter of them, at least 20.
        n_samples: of SmoothGrad.
        parts: names in `PARTS` to measure in any case, and no others.
        progress: print each part as it is done.

    Returns:
        The content of the file.

    Raises:
        ValueError: a bad argument, or a file that holds results of other photos or settings.
    """
    if check_count(count, "count", 20, example=240) > TEST_PAIRS:
        raise ValueError(f"count must be at most {TEST_PAIRS}, the number of test pairs, but is {count}.")
    check_count(n_samples, "n_samples", example=50)
    check_flag(progress, "progress")
    check_instance(about, "about", str, "'my photos'")
    if not isinstance(parts, (list, tuple)):
        raise TypeError(f"parts must be a list of names, but is a {type(parts).__name__}; for example ['groups'].")
    for part in parts:
        check_choice(part, "part", PARTS)
    path = results_file(output)
    pairs = photo_pairs("test", source, count=TEST_PAIRS, cell=cell)
    noisy, clean = (images[:count].float() / 255 for images in (pairs.first, pairs.clean))
    few = max(20, count // 4)
    content: dict[str, Any] = {
        "about": "What the second paper says of its Figure 3: means over images, with standard errors.",
        "command": "python -m denoise_lib reproduce smoothgrad --photos ...",
        "settings": {"photos": pairs.fingerprint(), "cell": cell, "pairs": count, "samples": n_samples},
        "photos": about,
    }
    if path.exists():
        kept = read_results(path)
        if kept.get("settings") != content["settings"]:
            raise ValueError(f"{path.name} has results of other photos or settings; choose another file with --output.")
        content = kept
    measures: dict[str, Callable[[], Any]] = {
        "groups": lambda: measure_groups(noisy, clean, n_samples),
        "self_influence": lambda: measure_self_influence(noisy, clean),
        "intervention": lambda: measure_intervention(noisy, clean),
        "kernels": lambda: measure_kernels(noisy[:few], clean[:few]),
        "randomised": lambda: measure_randomised(noisy[:few], clean[:few]),
        "smoothgrad_noise": lambda: measure_smoothgrad_noise(noisy, clean),
        "classifier": lambda: measure_classifier(),
    }
    for name in parts or [part for part in PARTS if part not in content]:
        content[name] = measures[name]()
        content["distinct_photos"] = distinct_photos("test", source, TEST_PAIRS, count)
        content["machine"] = machine(torch.device("cpu"))
        write_json(path, content)
        if {"groups", "self_influence"} <= content.keys():
            path.with_suffix(".md").write_text(claims_table(content), encoding="utf-8")
        if progress:
            print(f"{name}: done", flush=True)
    return content


@reading("content", "read_results('smoothgrad')")
def claims_table(content: dict[str, Any]) -> str:
    """What the maps show of each network, as Markdown tables, from a results file."""
    names = {"loss": "size of dL/dX", "output": "d sum f / dX"}
    maps = [
        [names[row["map"]], row["network"], f"{row['noise_level']:.0%}"]
        + [format_summary(row[group]) for group in (*GROUPS, "difference")]
        for row in sorted(content["groups"], key=lambda row: str(row["map"]))
    ]
    influence = [
        [row["network"], row["colours"], f"{row['noise_level']:.0%}"]
        + [f"{found['mean']:.3f}" for found in row["bins"]]
        + [format_summary(row["difference"])]
        for row in content["self_influence"]
    ]
    bins = [f"from {low:g}" for low in BINS]
    return (
        table(["map", "network", "noise level", *GROUPS, "noisy - elsewhere"], maps)
        + "\n\n"
        + table(["self-influence", "colours", "noise level", *bins, "last - first"], influence)
        + "\n"
    )


@reading("content", "read_results('smoothgrad')")
def readme_claims_table(content: dict[str, Any]) -> str:
    """The README's table: what the maps show of TNet, and beside it a network that does nothing."""

    def group(kind: str, network: str) -> list[str]:
        (row,) = [row for row in content["groups"] if (row["map"], row["network"], row["noise_level"]) == (kind, network, 0)]
        return [format_summary(row[name]) for name in ("noisy", "elsewhere")]

    (seen,) = [
        row
        for row in content["self_influence"]
        if (row["network"], row["colours"], row["noise_level"]) == ("tnet", "together", 0)
    ]
    (shifted,) = [row for row in content["intervention"] if (row["network"], row["colours"]) == ("tnet", "together")]
    clean, far = (shifted["influence"][SHIFTS.index(shift)] for shift in (0.0, 0.3))
    rows = [
        ["size of dL/dX", "TNet", *group("loss", "tnet")],
        ["", "a network that does nothing", *group("loss", "does nothing")],
        ["d sum f / dX", "TNet", *group("output", "tnet")],
        ["self-influence, observed", "TNet", format_summary(seen["bins"][-1]), format_summary(seen["bins"][0])],
        ["self-influence of a pixel that is set 0.3 too bright", "TNet", format_summary(far), format_summary(clean)],
    ]
    return table(["what is shown", "network", "at noisy pixels", "at the others"], rows) + "\n"


def measure_groups(noisy: Tensor, clean: Tensor, n_samples: int) -> list[dict[str, Any]]:
    """Claims 1 and 2: both maps by group of pixels, for trained networks, untrained ones, and one that does nothing."""
    check_count(n_samples, "n_samples", high=MOST_SAMPLES, example=50)
    groups = pixel_groups(noisy, clean)
    untrained = [build_seeded(TNet, seed).eval() for seed in range(5)]
    networks: dict[str, list[nn.Module]] = {name: [load_pretrained(name)] for name in PHOTO_NETWORKS}
    networks |= {"tnet, untrained": untrained, "does nothing": [nn.Identity()]}
    rows = []
    for name, models in networks.items():
        for level in NOISE_LEVELS if name in PHOTO_NETWORKS else (0.0,):
            samples = n_samples if level else 1
            loss = torch.stack([loss_map(model, noisy, clean, level, samples) for model in models]).mean(0)
            total = torch.stack([output_map(model, noisy, level, samples) for model in models]).mean(0)
            for kind, maps in (("loss", loss), ("output", total)):
                rows.append(
                    {"map": kind, "network": name, "noise_level": level, "n_samples": samples, **compare_groups(maps, groups)}
                )
    return rows


def measure_self_influence(noisy: Tensor, clean: Tensor, probes: int = 64) -> list[dict[str, Any]]:
    """Claim 3 as observed: exactly for TNet, at each of SmoothGrad's levels (one noisy copy an image); by probes for others."""
    check_pair(noisy, clean)
    check_count(probes, "probes", high=MOST_SAMPLES, example=64)
    generator = torch.Generator().manual_seed(0)
    spread = noisy.amax((1, 2, 3), keepdim=True) - noisy.amin((1, 2, 3), keepdim=True)
    rows = []
    for name in PHOTO_NETWORKS:
        model, method = load_pretrained(name), "exact" if name == "tnet" else "probes"
        for colors in STORED_COLORS:
            for level in NOISE_LEVELS if (method, colors) == ("exact", "joint") else (0.0,):
                x = noisy + level * spread * torch.randn(noisy.shape, generator=generator)
                batches = [
                    self_sensitivity(model, part, method=method, colors=colors, probes=probes, generator=generator)  # type: ignore[arg-type]
                    for part in x.split(16)
                ]
                facts = binned_by_error(torch.cat(batches), noisy, clean)
                rows.append(
                    {"network": name, "colours": STORED_COLORS[colors], "noise_level": level, "method": method, **facts}
                )
    return rows


def measure_intervention(noisy: Tensor, clean: Tensor, draws: int = 4) -> list[dict[str, Any]]:
    """Claim 3 as an experiment: self-influence after a pixel was set to its clean value plus a shift."""
    check_pair(noisy, clean)
    check_count(draws, "draws", high=1000, example=4)
    rows = []
    for name in PHOTO_NETWORKS:
        model = load_pretrained(name)
        for colors in STORED_COLORS:
            # draws x images x shifts; a difference is one of the same pixel
            values = torch.stack([set_pixel(model, noisy, clean, colors=colors, seed=seed) for seed in range(draws)])
            change = (values - values[..., [SHIFTS.index(0.0)]]).nanmean(0)
            rows.append({
                "network": name,
                "colours": STORED_COLORS[colors],
                "shifts": list(SHIFTS),
                "influence": [summary(column) for column in values.nanmean(0).unbind(1)],
                "change": [summary(column) for column in change.unbind(1)],
            })  # fmt: skip
    return rows


def measure_kernels(noisy: Tensor, clean: Tensor) -> list[dict[str, Any]]:
    """Kernels at edges and in flat regions, and effective receptive fields, of colour networks and of the digits' networks."""
    check_pair(noisy, clean)
    digits, _ = digit_versions(len(noisy))
    rows = []
    for name in (*PHOTO_NETWORKS, *DIGIT_NETWORKS):
        model = load_pretrained(name)
        photographs = name in PHOTO_NETWORKS
        pair = (noisy, clean) if photographs else (digits["noisy"], digits["clean"])
        # The flat regions of a digit are black: all weights are alike there, and most are zero.
        found = kernel_facts(model, *pair, kinds=("edge", "flat") if photographs else ("edge",))
        middle = (pair[0].shape[-2] // 2, pair[0].shape[-1] // 2)
        fields = [effective_receptive_field(model, image, middle) for image in pair[0].split(1)]
        # A digit's network that sees black all around has gradients of zero there: no disc to measure.
        radii = {
            f"radius_{round(100 * share)}": summary(torch.tensor([radius(f, middle, share) for f in fields if float(f.sum())]))
            for share in (0.5, 0.9)
        }
        rows.append({"network": name, "where": "middle pixel", **radii})
        for kind, facts in found.items():
            statistics = {fact: summary(values) for fact, values in facts.items()}
            ratios: dict[str, Any] = {
                "against_gaussian": summary(facts["unlikeness"] / facts["gaussian"]),
                "against_other": summary(facts["unlikeness"] / facts["other"]),
                "own_share": statistics["own"]["mean"] / statistics["sum"]["mean"],
            }
            rows.append({"network": name, "where": kind, **statistics, **ratios})
    return rows


def measure_randomised(noisy: Tensor, clean: Tensor, seeds: int = 3) -> list[dict[str, Any]]:
    """The cascade: what becomes of TNet's maps as its layers are drawn anew, from the last to the first."""
    check_pair(noisy, clean)
    check_count(seeds, "seeds", high=1000, example=3)
    model = load_pretrained("tnet")
    maps: dict[str, Callable[[nn.Module], Tensor]] = {
        "loss": lambda network: loss_map(network, noisy, clean, n_samples=1),
        "output": lambda network: output_map(network, noisy, n_samples=1),
        "kernel": lambda network: kernel_windows(network, noisy),
    }
    original = {name: measure(model) for name, measure in maps.items()}
    names = [name for name, layer in model.named_modules() if hasattr(layer, "reset_parameters")]
    rows = []
    for layers in range(len(names) + 1):
        row: dict[str, Any] = {"layers": layers, "last": names[-layers] if layers else "none"}
        for name, measure in maps.items():
            likeness = [
                rank_correlation(measure(randomize_layers(model, layers, seed)), original[name]) for seed in range(seeds)
            ]
            row[name] = summary(torch.stack(likeness).mean(0))
        rows.append(row)
    # What a network that does nothing gets: its dL/dX is twice the noise.
    nothing = rank_correlation((noisy - clean).abs().mean(1, keepdim=True), original["loss"])
    return [*rows, {"layers": None, "last": "the noise itself", "loss": summary(nothing)}]


def measure_smoothgrad_noise(noisy: Tensor, clean: Tensor) -> list[dict[str, Any]]:
    """What SmoothGrad's own noise does to a denoiser: PSNR of its input and output at each level."""
    check_pair(noisy, clean)
    spread = noisy.amax((1, 2, 3), keepdim=True) - noisy.amin((1, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for level in (0.0, 0.05, 0.10, 0.15, 0.20, 0.30):
        x = noisy + level * spread * torch.randn(noisy.shape, generator=generator)
        row: dict[str, Any] = {"noise_level": level, "input": psnr(x.clamp(0, 1), clean)}
        row |= {name: psnr(predict(load_pretrained(name), x).clamp(0, 1), clean) for name in PHOTO_NETWORKS}
        rows.append(row)
    return rows


def measure_classifier(count: int = 200, seeds: int = 5) -> list[dict[str, Any]]:
    """A classifier's accuracy and saliency on clean, noisy and denoised digits, for several classifiers."""
    check_count(count, "count", example=200)
    check_count(seeds, "seeds", high=1000, example=5)
    images, labels = mnist("train", "small", labels=True)
    versions, truth = digit_versions(count)
    rows = []
    for seed in range(seeds):
        facts = classifier_facts(train_classifier(as_float_images(images), labels, seed=seed), versions, truth, seed)
        rows += [{"seed": seed, "version": name, **values} for name, values in facts.items()]
    return rows
