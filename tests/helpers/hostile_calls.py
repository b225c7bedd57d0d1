"""A valid call of every public function: what `test_hostile_input.py` spoils, one argument at a time.

An entry makes its arguments anew for each call, small enough that thousands of calls take seconds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from benchmarks import compile_and_stack, interactive, roofline, timing
from benchmarks import run as benchmark
from benchmarks import tables as speed_tables
from benchmarks import training as training_speed
from denoise_lib import corruptions, data, kernels, losses, metrics, noise, saliency, tnet, training, unet
from denoise_lib.display import assumptions, figures, notebook, sliders, views
from denoise_lib.exercises import capstone, checker, exercise, judging
from denoise_lib.internal import atomic_write, devices, parallel, tables
from denoise_lib.internal import checks as internal_checks
from denoise_lib.internal.checkpoints import History
from denoise_lib.own_photos import files as own_photo_files
from denoise_lib.own_photos import tiling
from denoise_lib.own_photos import training as photo_training
from denoise_lib.papers import (
    baselines,
    clipping,
    digit_classifier,
    noise2noise_tables,
    noise2noise_tnet,
    results,
    saliency_statistics,
    smoothgrad_claims,
    unet_vs_autoencoder,
)
from denoise_lib.papers import pairs as photo_pairs_module
from denoise_lib.pretrained import weights
from denoise_lib.sources import digits, photographs

Arguments = dict[str, Any]
BLEND = noise.Blend(0.25)
NOT_LOOKED_AT = "a look at the values would stall a GPU"


@dataclass(frozen=True)
class Call:
    """How a function is called rightly."""

    function: Callable[..., Any]
    valid: Callable[[], Arguments]
    fixed: tuple[str, ...] = ()
    """Arguments that are left as they are."""
    errors: tuple[type[BaseException], ...] = ()
    """Documented errors besides TypeError, ValueError and the library's own."""
    unknown: str = ""
    """Why NaN or infinity may come out of finite numbers; empty where it may not."""
    changes: tuple[str, ...] = ()
    """Arguments whose change is the purpose."""
    draws: bool = False
    """Whether torch's global generator is meant to be used: layers take their first weights from it."""
    wrong_only: bool = False
    """Whether only what can never be right is tried: the work itself takes minutes, and must not begin."""
    examples: int = 12


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def gray(seed: int = 0, count: int = 2, side: int = 8) -> Tensor:
    return uniform(count, 1, side, side, seed=seed)


def colour(seed: int = 0, count: int = 1, side: int = 10) -> Tensor:
    return uniform(count, 3, side, side, seed=seed)


@cache
def _made(network: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network()


def network(kind: Callable[[], nn.Module] = unet.UNet) -> nn.Module:
    """A network of which some layers evaluate while others train, as in fine-tuning: no function may change that."""
    model = copy.deepcopy(_made(kind)).train()
    next(iter(model.children()), model).eval()
    return model


def total(images: Tensor, *rows: Tensor) -> Tensor:
    """A score: one number an image."""
    return images.square().flatten(1).sum(1)


def maps() -> Tensor:
    return uniform(2, 1, 8, 8)


def masks() -> dict[str, Tensor]:
    noisy = uniform(2, 1, 8, 8, seed=1) > 0.5
    return {"noisy": noisy, "neighbours": ~noisy, "elsewhere": ~noisy}


def squares(seed: int = 0, count: int = 3) -> Tensor:
    return uniform(count, 5, 5, seed=seed)


def picture() -> np.ndarray:
    return np.arange(24 * 24, dtype=np.uint8).reshape(24, 24)


@cache
def _weights() -> bytes:
    return (Path(weights.__file__).parent / "tnet.safetensors").read_bytes()


@cache
def _packed() -> str:
    return capstone.pack_weights(_made(tnet.TinyDenoiser))


@cache
def _stored(name: str) -> str:
    return json.dumps(results.read_results(name))


def stored(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_stored(name))
    return content


def _double(x: Tensor) -> Tensor:
    return 2 * x


def _triple(x: Tensor) -> Tensor:
    return 3 * x


def an_exercise() -> exercise.Exercise:
    return exercise.Exercise(
        name="double",
        prompt="Double x.",
        arguments=lambda generator: (torch.rand(3, generator=generator),),
        solution=_double,
        mistakes=[exercise.Mistake("triple", "your function triples.", _triple)],
        hints=("one", "two", "three"),
    )


def packed_run() -> dict[str, Any]:
    return json.loads(json.dumps(judging.attempt(an_exercise(), _double, 0)[0].packed()))  # type: ignore[no-any-return]


def answers() -> checker.Answers:
    return checker.Answers(Path("answers.json"))


def photo_run() -> noise2noise_tnet.PhotoRun:
    return noise2noise_tnet.PhotoRun("tnet", epochs=1, pairs=4)


def pair_set(side: int = 8) -> photo_pairs_module.PhotoPairs:
    first, second, clean = ((255 * colour(seed, 4, side)).to(torch.uint8) for seed in range(3))
    return photo_pairs_module.PhotoPairs(first, second, clean)


def denoised() -> own_photo_files.Denoised:
    return own_photo_files.Denoised(colour(0), colour(1), colour(2))


def photo_on_disk() -> Path:
    Image.new("RGB", (12, 9)).save("photo.png")
    return Path("photo.png")


def shown() -> Figure:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return figure


def train_once(**arguments: Any) -> training.History:
    return training.fit(**arguments)


def noises() -> dict[str, tuple[noise.Noise, Tensor]]:
    """Each noise model, and an image for it."""
    return {
        "Noise": (noise.Gaussian(0.1), gray()),
        "Blend": (noise.Blend(0.25), gray()),
        "Gaussian": (noise.Gaussian(0.1, clip=True), gray()),
        "Poisson": (corruptions.Poisson(30), gray()),
        "Bernoulli": (corruptions.Bernoulli(0.5), gray()),
        "Impulse": (corruptions.Impulse(0.3), gray()),
        "PointSample": (corruptions.PointSample(2), gray()),
    }


def _image_of(image: Tensor, drawn: bool = False) -> Arguments:
    return {"image": image.clone()} | ({"generator": source()} if drawn else {})


def noise_calls() -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for name, (model, image) in noises().items():
        module = noise if name in vars(noise) else corruptions
        stem = module.__name__.removeprefix("denoise_lib.")
        calls[f"{stem}.{name}.__call__"] = Call(model, partial(_image_of, image, True))
        for method in ("clean", "mean", "variance", "expected_mse"):
            if method in vars(getattr(module, name)):
                calls[f"{stem}.{name}.{method}"] = Call(getattr(model, method), partial(_image_of, image))
    return calls


def _forward(kind: Callable[[], nn.Module], x: Tensor) -> Any:
    return _made(kind)(x)


def _input_of(channels: int, side: int) -> Arguments:
    return {"x": uniform(1, channels, side, side)}


def forward_calls() -> dict[str, Call]:
    sizes: dict[type[nn.Module], tuple[int, int]] = {
        unet.UNet: (1, 8), unet.Autoencoder: (1, 8), tnet.TNet: (3, 32), tnet.BaseNet: (3, 32),
        tnet.Noise2NoiseUNet: (3, 32), tnet.TinyDenoiser: (3, 8),
    }  # fmt: skip
    return {
        f"{kind.__module__.removeprefix('denoise_lib.')}.{kind.__name__}.forward": Call(
            partial(_forward, kind), partial(_input_of, channels, side)
        )
        for kind, (channels, side) in sizes.items()
    }


def target_calls() -> dict[str, Call]:
    clean = assumptions.Targets(0.2, offset=0.1, shared=0.5, clip=True)
    return {
        "display.assumptions.Targets.draw": Call(clean.draw, lambda: {"image": gray(), "generator": source()}),
        **{
            f"display.assumptions.Targets.{method}": Call(getattr(clean, method), lambda: {"image": gray()})
            for method in ("mean", "kept", "bias")
        },
    }


def long_calls() -> dict[str, Call]:
    """What trains or measures for minutes: spoilt alone."""
    run, photos = unet_vs_autoencoder.Run("unet", "mild", data="small"), photo_pairs_module.Photos("builtin", cell=2)
    pair = {"noisy": colour(), "clean": colour(1)}
    batches, step = uniform(1, 1, 1, 4, 4), {"precision": devices.Precision(torch.device("cpu"), False)}
    functions: list[tuple[Callable[..., Any], Arguments]] = [
        (unet_vs_autoencoder.execute, {"run": run, "folder": "runs", "device": "cpu", "threads": 1}),
        (
            unet_vs_autoencoder.reproduce,
            {"runs": [run], "output": "a.json", "device": "cpu", "jobs": 1, "scheduler": None},
        ),
        (unet_vs_autoencoder.export_weights, {"runs": [run], "output": "a.json", "folder": "weights"}),
        (unet_vs_autoencoder.measure_baselines, {"output": "a.json", "size": "small", "tuning_images": 1}),
        (notebook.setup_report, {"device": "cpu"}),
        (noise2noise_tnet.training_set, {"run": photo_run(), "photos": photos}),
        (
            noise2noise_tnet.execute,
            {"run": photo_run(), "photos": photos, "folder": "runs", "device": "cpu", "threads": 1},
        ),
        (
            noise2noise_tnet.reproduce,
            {"runs": [photo_run()], "photos": photos, "output": "a.json", "device": "cpu", "jobs": 1, "scheduler": None},
        ),
        (noise2noise_tnet.describe_photos, {"photos": photos}),
        (noise2noise_tnet.measure_untrained, {"photos": photos, "output": "a.json", "seeds": 1}),
        (noise2noise_tnet.measure_baselines, {"photos": photos, "output": "a.json", "tuning_images": 1}),
        (clipping.clipping_run, {"clip": True, "seed": 0, "mu": 0.25, "epochs": 1}),
        (noise2noise_tnet.measure_clipping, {"output": "a.json", "seeds": 1}),
        (
            noise2noise_tnet.export_weights,
            {"runs": [photo_run()], "photos": photos, "output": "a.json", "folder": "weights"},
        ),
        (
            smoothgrad_claims.reproduce,
            {
                "source": "builtin",
                "output": "a.json",
                "cell": 8,
                "about": "",
                "count": 20,
                "n_samples": 1,
                "parts": (),
                "progress": False,
            },
        ),
        (smoothgrad_claims.measure_groups, {**pair, "n_samples": 1}),
        (smoothgrad_claims.measure_self_influence, {**pair, "probes": 1}),
        (smoothgrad_claims.measure_intervention, {**pair, "draws": 1}),
        (smoothgrad_claims.measure_kernels, pair),
        (smoothgrad_claims.measure_randomised, {**pair, "seeds": 1}),
        (smoothgrad_claims.measure_smoothgrad_noise, pair),
        (smoothgrad_claims.measure_classifier, {"count": 1, "seeds": 1}),
        (photo_training.training_patches, {"source": "builtin"}),
        (photo_training.test_patches, {"source": "builtin"}),
        (photo_training.train_on_photos, {"training": photo_training.PhotoTraining("builtin"), "output": "a", "device": "cpu"}),
        (
            photo_training.photo_card,
            {
                "model": tnet.TinyDenoiser(),
                "training": photo_training.PhotoTraining("builtin"),
                "seconds": 1.0,
                "device": torch.device("cpu"),
            },
        ),
        (interactive.benchmark_saliency, {"repeats": 1}),
        (interactive.benchmark_slider, {"repeats": 1}),
        (interactive.benchmark_import, {"repeats": 1}),
        (interactive.benchmark_notebooks, {"folder": "a"}),
        (training_speed.benchmark_training, {"repeats": 1, "device": "cpu"}),
        (training_speed.benchmark_growth, {"repeats": 1, "device": "cpu"}),
        (training_speed.peak_memory, {"what": "images", "factor": 1, "device": "cpu"}),
        (training_speed.print_peak, {"what": "images", "factor": 1}),
        (
            training_speed.training_step,
            {**step, "setting": training_speed.SETTINGS["tnet"], "device": torch.device("cpu"), "compile_mode": "default"},
        ),
        (roofline.benchmark_limits, {"repeats": 1, "device": "cpu"}),
        (compile_and_stack.benchmark_alternatives, {"repeats": 1, "device": "cpu"}),
        (
            compile_and_stack.vmapped_step,
            {**step, "models": [nn.Conv2d(1, 1, 1)], "noisy": batches, "target": batches, "lr": 1e-3},
        ),
        (compile_and_stack.break_even, {"first": 3.0, "compiled": 1.0, "plain": 2.0}),
    ]
    return {
        f"{function.__module__.removeprefix('denoise_lib.')}.{function.__name__}": Call(
            function, partial(dict, arguments), wrong_only=True
        )
        for function, arguments in functions
    }


CALLS: dict[str, Call] = {
    # --- floor 0
    "internal.checks.check_tensor": Call(internal_checks.check_tensor, lambda: {"value": gray(), "name": "x"}, fixed=("name",)),
    "internal.checks.check_images": Call(internal_checks.check_images, lambda: {"image": gray()}),
    "internal.checks.check_same_shape": Call(
        internal_checks.check_same_shape,
        lambda: {"a": gray(), "b": gray(1), "name_a": "a", "name_b": "b"},
        fixed=("name_a", "name_b"),
    ),
    "internal.checks.check_pair": Call(internal_checks.check_pair, lambda: {"a": gray(), "b": gray(1)}),
    "internal.checks.check_model": Call(internal_checks.check_model, lambda: {"model": network()}),
    "internal.checks.check_output": Call(internal_checks.check_output, lambda: {"output": gray(), "other": gray(1)}),
    "internal.checks.check_list": Call(
        internal_checks.check_list, lambda: {"values": [1], "name": "x", "example": [1]}, fixed=("name", "example")
    ),
    "internal.checks.check_number": Call(
        internal_checks.check_number,
        lambda: {"value": 0.5, "name": "x", "low": 0, "example": 1},
        fixed=("name", "low", "example"),
    ),
    "internal.checks.check_count": Call(
        internal_checks.check_count, lambda: {"value": 3, "name": "x", "example": 1}, fixed=("name", "example")
    ),
    "internal.checks.check_choice": Call(
        internal_checks.check_choice, lambda: {"value": "a", "name": "x", "choices": ("a", "b")}, fixed=("name", "choices")
    ),
    "internal.checks.check_generator": Call(
        internal_checks.check_generator, lambda: {"generator": source(), "device": torch.device("cpu")}, fixed=("device",)
    ),
    "internal.checks.check_flag": Call(internal_checks.check_flag, lambda: {"value": True, "name": "x"}, fixed=("name",)),
    "internal.checks.check_real": Call(
        internal_checks.check_real, lambda: {"value": 1.0, "name": "x"}, fixed=("name",), unknown="NaN is a number here"
    ),
    "internal.checks.check_function": Call(
        lambda value: internal_checks.check_function(value, "f", "x"), lambda: {"value": _double}
    ),
    "internal.checks.check_instance": Call(
        lambda value: internal_checks.check_instance(value, "x", str, "'a'"), lambda: {"value": "a"}
    ),
    "internal.checks.check_keys": Call(
        internal_checks.check_keys,
        lambda: {"content": {"a": 1, "b": 2}, "name": "x", "keys": ("a", "b")},
        fixed=("name", "keys"),
    ),
    "internal.checks.check_device": Call(internal_checks.check_device, lambda: {"device": "cpu"}),
    "internal.checks.check_path": Call(internal_checks.check_path, lambda: {"path": "a/b"}),
    "internal.checks.describe": Call(internal_checks.describe, lambda: {"value": 1}),
    # --- floor 1
    "noise.add_noise": Call(noise.add_noise, lambda: {"image": gray(), "mu": 0.25, "generator": source(), "clip": True}),
    "noise.Blend": Call(noise.Blend, lambda: {"mu": 0.25, "clip": True}),
    "noise.Gaussian": Call(noise.Gaussian, lambda: {"sigma": 0.1, "clip": False}),
    "corruptions.Poisson": Call(corruptions.Poisson, lambda: {"peak": 30}),
    "corruptions.Bernoulli": Call(corruptions.Bernoulli, lambda: {"p": 0.5, "missing": 0.0}),
    "corruptions.Impulse": Call(corruptions.Impulse, lambda: {"p": 0.3, "salt_and_pepper": False}),
    "corruptions.PointSample": Call(corruptions.PointSample, lambda: {"cell": 2}),
    **noise_calls(),
    "noise.clipped_normal_moments": Call(noise.clipped_normal_moments, lambda: {"centre": gray(), "sigma": 0.1}),
    "corruptions.parse_noise": Call(corruptions.parse_noise, lambda: {"text": "blend:0.25"}),
    "unet.UNet": Call(unet.UNet, lambda: {"skips": True}, draws=True),
    "tnet.TNet": Call(tnet.TNet, lambda: {"batch_norm": False}, draws=True),
    "tnet.Noise2NoiseUNet": Call(tnet.Noise2NoiseUNet, lambda: {"shared_decoder": True}, draws=True),
    **forward_calls(),
    "tnet.SelfEnsemble": Call(tnet.SelfEnsemble, lambda: {"model": network(tnet.TinyDenoiser)}),
    "tnet.SelfEnsemble.forward": Call(
        lambda model, x: tnet.SelfEnsemble(model)(x), lambda: {"model": network(tnet.TinyDenoiser), "x": colour()}
    ),
    "unet.count_parameters": Call(unet.count_parameters, lambda: {"module": network()}),
    "internal.checks.check_input_size": Call(
        internal_checks.check_input_size,
        lambda: {"x": gray(), "channels": 1, "multiple": 4, "network": "UNet", "weight": unet.UNet().output.weight},
        fixed=("channels", "multiple", "network", "weight"),
        draws=True,
    ),
    "metrics.mse": Call(metrics.mse, lambda: {"a": gray(), "b": gray(1)}),
    "metrics.mse_per_image": Call(metrics.mse_per_image, lambda: {"a": gray(), "b": gray(1)}),
    "metrics.psnr": Call(
        metrics.psnr,
        lambda: {"a": gray(), "b": gray(1), "per_image": True, "data_range": 1.0},
        unknown="equal images have no error",
    ),
    "metrics.ssim": Call(metrics.ssim, lambda: {"a": gray(side=12), "b": gray(1, side=12), "data_range": 1.0}),
    "losses.l2_loss": Call(losses.l2_loss, lambda: {"output": gray(), "target": gray(1)}, unknown=NOT_LOOKED_AT),
    "losses.l1_loss": Call(losses.l1_loss, lambda: {"output": gray(), "target": gray(1)}, unknown=NOT_LOOKED_AT),
    "losses.hdr_loss": Call(losses.hdr_loss, lambda: {"output": gray(), "target": gray(1)}, unknown=NOT_LOOKED_AT),
    "losses.masked_l2_loss": Call(losses.masked_l2_loss, lambda: {"output": gray(), "target": gray(1)}, unknown=NOT_LOOKED_AT),
    "losses.AnnealedL0.__call__": Call(
        losses.AnnealedL0(), lambda: {"output": gray(), "target": gray(1)}, unknown=NOT_LOOKED_AT
    ),
    "sources.digits.mnist": Call(
        digits.mnist, lambda: {"split": "test", "size": "small", "root": "no-such-folder", "labels": True}, examples=6
    ),
    "sources.digits.exclude_images": Call(
        digits.exclude_images,
        lambda: {name: (255 * gray(seed)).to(torch.uint8) for seed, name in enumerate(("images", "unwanted"))},
    ),
    "sources.photographs.photos": Call(
        photographs.photos,
        lambda: {"split": "test", "source": "builtin", "size": 8, "crops": 1, "seed": 0, "root": None},
        fixed=("size", "crops"),
        examples=8,
    ),
    "sources.photographs.photo_files": Call(
        photographs.photo_files, lambda: {"split": "test", "source": "builtin", "root": None}
    ),
    "sources.photographs.square_crops": Call(
        lambda **arguments: list(photographs.square_crops(**arguments)),
        lambda: {"files": photographs.photo_files("test")[:1], "size": 8, "crops": 1, "seed": 0},
        fixed=("files", "size", "crops"),
        examples=8,
    ),
    "sources.photographs.read_photo": Call(photographs.read_photo, lambda: {"file": figures.png(picture())}),
    "sources.photographs.square": Call(
        photographs.square,
        lambda: {"image": Image.new("RGB", (12, 9)), "size": 8, "share": 1.0, "left": 0.5, "top": 0.5},
        fixed=("size",),
    ),
    "sources.photographs.photo_tensor": Call(photographs.photo_tensor, lambda: {"photo": Image.new("RGB", (12, 9))}),
    "sources.photographs.patches": Call(
        photographs.patches, lambda: {"images": (255 * colour(count=2)).to(torch.uint8), "side": 4}
    ),
    "exercises.judging.judge": Call(judging.judge, lambda: {"exercise": an_exercise(), "function": _triple, "seed": 0}),
    "exercises.judging.attempt": Call(judging.attempt, lambda: {"exercise": an_exercise(), "function": _triple, "seed": 0}),
    "exercises.judging.compare": Call(
        judging.compare,
        lambda: {"exercise": an_exercise(), "mine": judging.attempt(an_exercise(), _triple, 0), "seed": 0},
    ),
    "exercises.judging.is_stub": Call(judging.is_stub, lambda: {"function": _double}),
    "exercises.exercise.noise_facts": Call(
        exercise.noise_facts,
        lambda: {"copies": [gray(), gray(1)], "means": gray(2), "generator": source()},
    ),
    "exercises.judging.CallRecord.unpacked": Call(judging.CallRecord.unpacked, lambda: {"content": packed_run()}),
    # --- floor 2
    "data.NoisyImages": Call(data.NoisyImages, lambda: {"clean": gray(), "noise": noise.Blend(0.25), "fresh": True, "seed": 0}),
    "data.NoisyImages.noise": Call(
        lambda noise: setattr(data.NoisyImages(gray(), BLEND), "noise", noise), lambda: {"noise": noise.Blend(0.25)}
    ),
    "data.NoisyImages.__getitem__": Call(
        lambda index: data.NoisyImages(gray(), BLEND)[index], lambda: {"index": 0}, errors=(IndexError,)
    ),
    "data.NoisyImages.batches": Call(
        lambda **arguments: list(data.NoisyImages(gray(), BLEND).batches(**arguments)),
        lambda: {"size": 2, "device": "cpu", "generator": source(), "shuffle": True},
    ),
    "data.NoisyPairs": Call(
        data.NoisyPairs,
        lambda: {
            "clean": gray(),
            "noise": noise.Blend(0.25),
            "target_noise": noise.Blend(0.25),
            "fresh": False,
            "exchange": True,
            "flips": True,
            "seed": 0,
        },
    ),
    "data.NoisyPairs.from_copies": Call(
        data.NoisyPairs.from_copies, lambda: {"first": gray(), "second": gray(1), "exchange": True, "flips": True, "seed": 0}
    ),
    "data.NoisyPairs.__getitem__": Call(
        lambda index: data.NoisyPairs(gray(), BLEND)[index], lambda: {"index": 0}, errors=(IndexError,)
    ),
    "data.NoisyPairs.batches": Call(
        lambda **arguments: list(data.NoisyPairs(gray(), BLEND, fresh=True).batches(**arguments)),
        lambda: {"size": 2, "device": "cpu", "generator": source(), "shuffle": True},
    ),
    "data.exchange_pixels": Call(data.exchange_pixels, lambda: {"first": gray(), "second": gray(1), "generator": source()}),
    "data.random_symmetry": Call(data.random_symmetry, lambda: {"first": gray(), "second": gray(1), "generator": source()}),
    "data.training_noise_seed": Call(data.training_noise_seed, lambda: {"seed": 0}),
    "data.clean_is_float": Call(data.clean_is_float, lambda: {"clean": gray(), "name": "clean"}, fixed=("name",)),
    "data.as_float_images": Call(data.as_float_images, lambda: {"images": gray(), "name": "images"}, fixed=("name",)),
    "papers.pairs.photo_pairs": Call(
        photo_pairs_module.photo_pairs,
        lambda: {
            "split": "test",
            "source": "builtin",
            "count": 2,
            "cell": 2,
            "side": 4,
            "seed": 0,
            "root": None,
            "cache": False,
            "progress": False,
        },
        examples=8,
    ),
    "papers.pairs.distinct_photos": Call(
        photo_pairs_module.distinct_photos, lambda: {"split": "test", "source": "builtin", "count": 10, "first": 3, "seed": 0}
    ),
    "losses.corrupted_pixel": Call(
        losses.corrupted_pixel, lambda: {"value": 0.3, "corruption": "Gaussian", "level": 0.2, "count": 10, "seed": 0}
    ),
    "losses.risk": Call(
        losses.risk,
        lambda: {"candidates": uniform(5), "targets": uniform(7, seed=1), "loss": "L1"},
    ),
    "losses.best_prediction": Call(losses.best_prediction, lambda: {"targets": uniform(7), "loss": "L0"}),
    "display.assumptions.Targets": Call(
        assumptions.Targets, lambda: {"sigma": 0.2, "offset": 0.0, "shared": 0.0, "clip": False, "eight_bit": False}
    ),
    **target_calls(),
    "saliency.smoothgrad": Call(
        saliency.smoothgrad,
        lambda: {
            "score": total,
            "x": gray(),
            "n_samples": 3,
            "noise_level": 0.1,
            "reduce": "mean",
            "context": gray(1),
            "generator": source(),
            "batch_size": 2,
        },
    ),
    "saliency.smoothgrad_with_error": Call(
        saliency.smoothgrad_with_error,
        lambda: {
            "score": total,
            "x": gray(),
            "n_samples": 3,
            "noise_level": 0.1,
            "reduce": "square",
            "context": gray(1),
            "generator": source(),
            "batch_size": 2,
        },
        unknown="one sample says nothing of the error",
    ),
    "saliency.smoothgrad_samples": Call(
        saliency.smoothgrad_samples,
        lambda: {
            "score": total,
            "x": gray(count=1),
            "n_samples": 3,
            "noise_level": 0.1,
            "context": gray(1, 1),
            "generator": source(),
            "batch_size": 2,
        },
    ),
    "saliency.squared_error": Call(
        lambda model, images, clean: saliency.squared_error(model)(images, clean),
        lambda: {"model": network(), "images": gray(), "clean": gray(1)},
        unknown=NOT_LOOKED_AT,
    ),
    "saliency.output_sum": Call(
        lambda model, pixel, images: saliency.output_sum(model, pixel)(images),
        lambda: {"model": network(), "pixel": (1, 2), "images": gray()},
    ),
    "saliency.loss_gradient": Call(saliency.loss_gradient, lambda: {"model": network(), "x": gray(), "target": gray(1)}),
    "saliency.output_gradient": Call(saliency.output_gradient, lambda: {"model": network(), "x": gray(), "pixel": (1, 2)}),
    "saliency.self_sensitivity": Call(
        saliency.self_sensitivity,
        lambda: {
            "model": network(),
            "x": gray(count=1),
            "method": "exact",
            "colors": "per_channel",
            "probes": 2,
            "generator": source(),
            "batch_size": 64,
        },
    ),
    "saliency.self_sensitivity_with_error": Call(
        saliency.self_sensitivity_with_error,
        lambda: {"model": network(), "x": gray(), "colors": "joint", "probes": 2, "generator": source()},
        unknown="one probe says nothing of the error",
    ),
    "saliency.check_pixel": Call(saliency.check_pixel, lambda: {"pixel": (1, 2), "x": gray()}),
    "internal.devices.evaluating": Call(lambda model: devices.evaluating(model).__enter__(), lambda: {"model": network()}),
    "pretrained.weights.weights_card": Call(weights.weights_card, lambda: {"name": "tnet"}),
    "pretrained.weights.load_pretrained": Call(weights.load_pretrained, lambda: {"name": "tnet", "device": "cpu"}),
    "pretrained.weights.read_weights": Call(
        weights.read_weights, lambda: {"content": _weights(), "card": weights.weights_card("tnet")}
    ),
    "pretrained.weights.write_weights": Call(
        weights.write_weights, lambda: {"model": network(), "path": "folder/unet", "card": {"seed": 0}}
    ),
    "papers.baselines.fit_baseline": Call(
        baselines.fit_baseline, lambda: {"name": "median filter", "noisy": gray(), "clean": gray(1)}
    ),
    "papers.baselines.best_affine": Call(baselines.best_affine, lambda: {"noisy": gray(), "clean": gray(1)}),
    "papers.baselines.best_pixel_rule": Call(
        lambda noisy, clean, bins, y: baselines.best_pixel_rule(noisy, clean, bins)(y),
        lambda: {"noisy": gray(), "clean": gray(1), "bins": 16, "y": gray()},
    ),
    "papers.baselines.tune_color_filter": Call(
        baselines.tune_color_filter, lambda: {"name": "mean filter", "noisy": colour(), "clean": colour(1)}
    ),
    "papers.results.read_results": Call(results.read_results, lambda: {"name_or_path": "bands"}),
    "papers.results.results_file": Call(results.results_file, lambda: {"output": "folder/file.json"}),
    "internal.atomic_write.write_json": Call(
        atomic_write.write_json, lambda: {"path": Path("folder/file.json"), "content": {"a": 1}}
    ),
    "internal.devices.machine": Call(devices.machine, lambda: {"device": torch.device("cpu")}),
    "papers.results.summarize": Call(results.summarize, lambda: {"results": stored("unet_vs_autoencoder")["runs"][:2]}),
    "papers.results.markdown_table": Call(results.markdown_table, lambda: {"content": stored("unet_vs_autoencoder")}),
    "papers.results.readme_table": Call(results.readme_table, lambda: {"content": stored("unet_vs_autoencoder")}),
    "display.notebook.headline": Call(notebook.headline, lambda: {"key": "MSE of the shipped U-Net, mild", "value": 0.001}),
    "internal.tables.table": Call(tables.table, lambda: {"columns": ["a", "b"], "rows": [["x", 1]]}),
    "papers.results.format_mse": Call(results.format_mse, lambda: {"mean": 0.1, "std": 0.01}),
    "papers.noise2noise_tables.model_name": Call(noise2noise_tables.model_name, lambda: {"network": "tnet", "loss": "l1"}),
    "papers.noise2noise_tables.summarize_photo_runs": Call(
        noise2noise_tables.summarize_photo_runs, lambda: {"runs": stored("tnet")["runs"][:2]}
    ),
    "papers.noise2noise_tables.mean_and_std": Call(noise2noise_tables.mean_and_std, lambda: {"values": [1.0, 2.0]}),
    "papers.noise2noise_tables.photo_table": Call(noise2noise_tables.photo_table, lambda: {"content": stored("tnet")}),
    "papers.noise2noise_tables.paper_row": Call(
        noise2noise_tables.paper_row,
        lambda: {"rows": noise2noise_tables.summarize_photo_runs(stored("tnet")["runs"]), "network": "tnet", "loss": "l2"},
    ),
    "papers.noise2noise_tables.readme_photo_table": Call(
        noise2noise_tables.readme_photo_table, lambda: {"content": stored("tnet")}
    ),
    "papers.noise2noise_tables.format_psnr": Call(noise2noise_tables.format_psnr, lambda: {"score": (25.0, 0.1)}),
    # --- floor 3
    "training.fit": Call(
        train_once,
        lambda: {
            "model": network(),
            "dataset": data.NoisyImages(gray(), BLEND),
            "epochs": 1,
            "lr": 1e-3,
            "batch_size": 2,
            "loss": "l2",
            "schedule": None,
            "shuffle": True,
            "seed": 0,
            "device": "cpu",
            "amp": None,
            "checkpoint": None,
            "validation": data.NoisyImages(gray(1), BLEND),
            "progress": False,
        },
        changes=("model",),
        examples=30,
    ),
    "metrics.predict": Call(metrics.predict, lambda: {"model": network(), "noisy": gray(), "batch_size": 2}),
    "metrics.evaluate": Call(
        metrics.evaluate,
        lambda: {"model": network(), "noisy": gray(side=12), "clean": gray(1, side=12), "batch_size": 2},
        unknown="a network that returns the clean images has no error",
    ),
    "internal.devices.default_device": Call(devices.default_device, lambda: {"device": "cpu"}),
    "internal.devices.synchronize": Call(devices.synchronize, lambda: {"device": torch.device("cpu")}),
    "internal.devices.Precision": Call(devices.Precision, lambda: {"device": torch.device("cpu"), "amp": False}),
    "display.figures.tile": Call(figures.tile, lambda: {"images": gray(), "columns": 2, "pad": 1, "scale": 2}),
    "display.figures.panel": Call(figures.panel, lambda: {"pictures": [picture()], "titles": ["one"], "columns": 1, "gap": 3}),
    "display.figures.residual": Call(
        figures.residual, lambda: {"difference": gray() - 0.5, "columns": 2, "limit": 1.0, "pad": 1, "scale": 2}
    ),
    "display.figures.mark": Call(
        figures.mark, lambda: {"picture": picture(), "pixel": (1, 2), "scale": 4, "colour": (0, 255, 0)}
    ),
    "display.figures.png": Call(figures.png, lambda: {"pixels": picture(), "compress_level": 3}),
    "display.figures.picture": Call(figures.picture, lambda: {"content": picture(), "alt": "a ramp from black to white"}),
    "display.figures.learning_curves": Call(
        figures.learning_curves, lambda: {"histories": {"unet": History([0.1, 0.05], [0.2, 0.1])}}, examples=6
    ),
    "display.figures.heat_map": Call(
        figures.heat_map,
        lambda: {
            "values": np.array([[0.1, 0.2]]),
            "rows": ["a"],
            "columns": ["b", "c"],
            "xlabel": "x",
            "ylabel": "y",
            "title": "t",
        },
        examples=10,
    ),
    "display.figures.paper_show": Call(figures.paper_show, lambda: {"pictures": [picture()], "titles": ["one"]}, examples=4),
    "display.figures.pixels": Call(figures.pixels, lambda: {"figure": shown()}),
    "kernels.filters": Call(kernels.filters, lambda: {"model": network(), "x": gray(count=1), "pixels": [(1, 2)]}),
    "kernels.effective_receptive_field": Call(
        kernels.effective_receptive_field, lambda: {"model": network(), "x": gray(), "pixel": (1, 2)}
    ),
    "kernels.radius": Call(kernels.radius, lambda: {"weights": uniform(8, 8), "pixel": (3, 4), "share": 0.9}),
    "kernels.edges": Call(kernels.edges, lambda: {"images": gray()}),
    "kernels.windows": Call(kernels.windows, lambda: {"maps": uniform(2, 8, 8), "pixels": [(3, 3), (4, 4)], "margin": 2}),
    "kernels.mean_distance": Call(kernels.mean_distance, lambda: {"kernels": squares()}),
    "kernels.matched_gaussian": Call(kernels.matched_gaussian, lambda: {"kernels": squares()}),
    "kernels.center_contrast": Call(kernels.center_contrast, lambda: {"kernels": squares(), "patches": squares(1)}),
    "kernels.elongation": Call(
        kernels.elongation, lambda: {"kernels": squares(), "angle": uniform(3)}, unknown="a single pixel reaches nowhere"
    ),
    "papers.saliency_statistics.kernel_facts": Call(
        saliency_statistics.kernel_facts,
        lambda: {
            "model": network(tnet.TinyDenoiser),
            "noisy": colour(),
            "clean": colour(1),
            "kinds": ("edge",),
            "pixels": 1,
            "share": 0.2,
            "seed": 0,
        },
        unknown="one image has no other kernels",
        examples=20,
    ),
    "kernels.kernel_windows": Call(
        kernels.kernel_windows, lambda: {"model": network(tnet.TinyDenoiser), "noisy": colour(), "place": (4, 5)}
    ),
    "papers.saliency_statistics.summary": Call(saliency_statistics.summary, lambda: {"values": uniform(5)}),
    "papers.saliency_statistics.format_summary": Call(
        saliency_statistics.format_summary, lambda: {"value": {"mean": 0.1, "error": 0.01, "count": 5}, "digits": 3}
    ),
    "papers.saliency_statistics.pixel_groups": Call(
        saliency_statistics.pixel_groups, lambda: {"noisy": gray(), "clean": gray(1), "threshold": 0.2}
    ),
    "papers.saliency_statistics.group_mean": Call(
        saliency_statistics.group_mean, lambda: {"maps": maps(), "mask": masks()["noisy"]}, unknown="an empty mask has no mean"
    ),
    "papers.saliency_statistics.compare_groups": Call(
        saliency_statistics.compare_groups, lambda: {"maps": maps(), "groups": masks()}
    ),
    "papers.saliency_statistics.loss_map": Call(
        saliency_statistics.loss_map,
        lambda: {"model": network(), "noisy": gray(), "clean": gray(1), "noise_level": 0.1, "n_samples": 2, "seed": 0},
    ),
    "papers.saliency_statistics.output_map": Call(
        saliency_statistics.output_map,
        lambda: {"model": network(), "noisy": gray(), "noise_level": 0.1, "n_samples": 2, "seed": 0},
    ),
    "papers.saliency_statistics.binned_by_error": Call(
        saliency_statistics.binned_by_error,
        lambda: {"influence": maps(), "noisy": gray(), "clean": gray(1)},
        unknown="a bin may have no pixels",
    ),
    "papers.saliency_statistics.set_pixel": Call(
        saliency_statistics.set_pixel,
        lambda: {
            "model": network(),
            "noisy": gray(),
            "clean": gray(1),
            "shifts": (0.0, 0.1),
            "colors": "per_channel",
            "seed": 0,
        },
        unknown="a value that leaves [0, 1] belongs to no photo",
    ),
    "papers.saliency_statistics.randomize_layers": Call(
        saliency_statistics.randomize_layers, lambda: {"model": network(), "layers": 1, "seed": 0}
    ),
    "papers.saliency_statistics.rank_correlation": Call(
        saliency_statistics.rank_correlation,
        lambda: {"a": uniform(2, 5), "b": uniform(2, 5, seed=1)},
        unknown="a constant map has no order",
    ),
    # --- floor 4
    "display.views.example_digits": Call(views.example_digits, lambda: {"count": 2}, examples=4),
    "display.views.own_digit": Call(views.own_digit, lambda: {"photo": figures.png(picture())}),
    "display.views.noisy_copy": Call(views.noisy_copy, lambda: {"images": gray(), "mu": 0.25, "seed": 0, "clip": True}),
    "display.views.render_noise": Call(
        views.render_noise, lambda: {"mu": 0.25, "images": gray(side=12), "seed": 0, "scale": 2}
    ),
    "display.views.render_denoised": Call(
        views.render_denoised,
        lambda: {"mu": 0.25, "images": gray(side=12), "models": {"U-Net": network()}, "seed": 0, "scale": 1},
    ),
    "display.views.models_for": Call(views.models_for, lambda: {"mu": 0.25, "choice": "blind"}),
    "display.views.render_estimators": Call(
        views.render_estimators, lambda: {"level": 0.3, "corruption": "white overlay", "value": 0.3, "seed": 0}, examples=6
    ),
    "display.views.render_assumptions": Call(
        views.render_assumptions, lambda: {"sigma": 0.2, "broken": ("clipped",), "draws": 10, "seed": 0}, examples=6
    ),
    "display.views.example_pair": Call(views.example_pair, lambda: {"index": 0, "seed": 0}, examples=4),
    "display.views.saliency_samples": Call(
        views.saliency_samples,
        lambda: {
            "which": views.SALIENCY_MAPS[0],
            "model": network(tnet.TinyDenoiser),
            "noisy": colour(),
            "clean": colour(1),
            "pixel": (4, 5),
            "noise_level": 0.1,
            "count": 2,
            "seed": 0,
        },
    ),
    "display.views.render_smoothgrad": Call(
        views.render_smoothgrad,
        lambda: {
            "samples": colour(2, 3),
            "noisy": colour(),
            "clean": colour(1),
            "pixel": (4, 5),
            "noise_level": 0.1,
            "which": views.SALIENCY_MAPS[0],
        },
        examples=8,
    ),
    "display.views.render_filters": Call(
        views.render_filters,
        lambda: {"pixel": (5, 5), "models": {"tiny": network(tnet.TinyDenoiser)}, "noisy": colour(), "clean": colour(1)},
    ),
    "papers.unet_vs_autoencoder.Run": Call(
        unet_vs_autoencoder.Run,
        lambda: {"network": "unet", "level": "mild", "recipe": "paper", "data": "small", "epochs": 1, "seed": 0},
    ),
    "papers.unet_vs_autoencoder.training_images": Call(
        unet_vs_autoencoder.training_images, lambda: {"run": unet_vs_autoencoder.Run("unet", "mild", data="small")}, examples=4
    ),
    "papers.unet_vs_autoencoder.test_pairs": Call(
        unet_vs_autoencoder.test_pairs, lambda: {"size": "small", "mu": 0.25}, examples=4
    ),
    "papers.pairs.Photos": Call(
        photo_pairs_module.Photos, lambda: {"train": "builtin", "held_out": None, "cell": 2, "about": "photos"}
    ),
    "papers.pairs.Photos.training_pairs": Call(
        photo_pairs_module.Photos("builtin", cell=2).training_pairs, lambda: {"count": 2}, wrong_only=True
    ),
    "papers.noise2noise_tnet.PhotoRun": Call(noise2noise_tnet.PhotoRun, lambda: dict(vars(photo_run()))),
    "papers.noise2noise_tnet.test_images": Call(
        noise2noise_tnet.test_images, lambda: {"run_noise": "gaussian:0.1", "pairs": pair_set()}
    ),
    "papers.noise2noise_tnet.table_runs": Call(
        noise2noise_tnet.table_runs, lambda: {"table": "2", "base": photo_run(), "seeds": [0, 1], "networks": ["tnet"]}
    ),
    "papers.digit_classifier.train_classifier": Call(
        digit_classifier.train_classifier,
        lambda: {"images": uniform(2, 1, 28, 28), "labels": torch.tensor([0, 1]), "epochs": 1, "seed": 0},
    ),
    "papers.digit_classifier.class_score": Call(
        lambda classifier, images, labels: digit_classifier.class_score(classifier)(images, labels),
        lambda: {"classifier": nn.Flatten(), "images": gray(), "labels": torch.tensor([0, 1])},
    ),
    "papers.digit_classifier.classifier_facts": Call(
        digit_classifier.classifier_facts,
        lambda: {"classifier": nn.Flatten(), "images": {"clean": gray()}, "labels": torch.tensor([0, 1]), "seed": 0},
    ),
    "papers.digit_classifier.digit_versions": Call(
        digit_classifier.digit_versions, lambda: {"count": 2, "mu": 0.25, "seed": 0}, examples=4
    ),
    "papers.smoothgrad_claims.claims_table": Call(smoothgrad_claims.claims_table, lambda: {"content": stored("smoothgrad")}),
    "papers.smoothgrad_claims.readme_claims_table": Call(
        smoothgrad_claims.readme_claims_table, lambda: {"content": stored("smoothgrad")}
    ),
    "exercises.capstone.leader_board_score": Call(
        capstone.leader_board_score, lambda: {"model": network(tnet.TinyDenoiser), "seed": 0}, wrong_only=True
    ),
    "papers.noise2noise_tnet.builtin_psnr": Call(
        noise2noise_tnet.builtin_psnr, lambda: {"model": network(tnet.TinyDenoiser), "seed": 0}, wrong_only=True
    ),
    **long_calls(),
    "own_photos.tiling.denoise_image": Call(
        tiling.denoise_image,
        lambda: {"model": network(tnet.TinyDenoiser), "image": colour(side=9), "tile": 8, "overlap": 2, "progress": False},
    ),
    "own_photos.files.denoise_photo": Call(
        own_photo_files.denoise_photo,
        lambda: {"model": network(tnet.TinyDenoiser), "photo": colour(side=9), "mu": 0.1, "seed": 0},
    ),
    "own_photos.files.before_after": Call(
        own_photo_files.before_after, lambda: {"result": denoised()}, unknown="an equal photo has no error"
    ),
    "own_photos.files.denoise_file": Call(
        own_photo_files.denoise_file,
        lambda: {
            "model": network(tnet.TinyDenoiser),
            "file": photo_on_disk(),
            "output": "a.png",
            "mu": 0.1,
            "seed": 0,
            "force": True,
            "keep": ["b.png"],
        },
        errors=(FileExistsError,),
    ),
    # --- floor 5
    "own_photos.training.PhotoTraining": Call(
        photo_training.PhotoTraining,
        lambda: {
            "photos": "builtin",
            "network": "tnet",
            "noise": "blend:0.25",
            "fresh": True,
            "epochs": 1,
            "lr": 1e-3,
            "schedule": None,
            "seed": 0,
            "held_out": None,
            "about": "",
        },
    ),
    "own_photos.training.photo_scores": Call(
        photo_training.photo_scores,
        lambda: {"model": network(tnet.TinyDenoiser), "images": [colour(side=12)], "levels": [0.25], "seed": 0},
        unknown="an equal photo has no error",
    ),
    "display.sliders.filmstrip": Call(
        sliders.filmstrip, lambda: {"render": lambda level: (picture(), f"level {level:.2f}"), "levels": (0.1, 0.2)}
    ),
    "display.sliders.noise_filmstrip": Call(sliders.noise_filmstrip, lambda: {"images": gray(side=12), "seed": 0}, examples=6),
    "display.sliders.denoise_filmstrip": Call(
        sliders.denoise_filmstrip, lambda: {"images": gray(side=12), "seed": 0}, examples=6
    ),
    "display.sliders.noise_explorer": Call(
        sliders.noise_explorer, lambda: {"images": gray(side=12), "mu": 0.2, "seed": 0}, examples=6
    ),
    "display.sliders.denoise_explorer": Call(
        sliders.denoise_explorer, lambda: {"images": gray(side=12), "mu": 0.2, "seed": 0}, examples=4
    ),
    "display.sliders.course_explorers": Call(sliders.course_explorers, lambda: {"seed": 0}, wrong_only=True),
    "display.sliders.estimator_explorer": Call(
        sliders.estimator_explorer, lambda: {"corruption": "white overlay", "level": 0.4, "seed": 0}, examples=4
    ),
    "display.sliders.estimator_filmstrip": Call(sliders.estimator_filmstrip, lambda: {"seed": 0}, wrong_only=True),
    "display.sliders.noise2noise_explorer": Call(sliders.noise2noise_explorer, lambda: {"sigma": 0.2, "seed": 0}, examples=4),
    "display.sliders.noise2noise_filmstrip": Call(
        sliders.noise2noise_filmstrip, lambda: {"sigma": 0.2, "seed": 0}, wrong_only=True
    ),
    "display.sliders.smoothgrad_explorer": Call(
        sliders.smoothgrad_explorer,
        lambda: {"model": network(tnet.TinyDenoiser), "index": 0, "noise_level": 0.15, "samples": 2, "seed": 0},
        examples=4,
    ),
    "display.sliders.smoothgrad_filmstrip": Call(
        sliders.smoothgrad_filmstrip, lambda: {"index": 0, "seed": 0}, wrong_only=True
    ),
    "display.sliders.filter_explorer": Call(sliders.filter_explorer, lambda: {"index": 0, "seed": 0}, examples=2),
    "display.sliders.filter_filmstrip": Call(
        sliders.filter_filmstrip, lambda: {"pixels": [(16, 16)], "index": 0, "seed": 0}, examples=4
    ),
    "display.sliders.guess_the_mu": Call(sliders.guess_the_mu, lambda: {"images": gray(side=12), "seed": 0}),
    "exercises.checker.Checker": Call(checker.Checker, lambda: {"exercise": an_exercise(), "answers": answers()}),
    "exercises.checker.Checker.__call__": Call(
        lambda **arguments: checker.Checker(an_exercise(), answers())(**arguments), lambda: {"function": _triple, "seed": 0}
    ),
    "exercises.checker.Checker.hint": Call(
        lambda level: checker.Checker(an_exercise(), answers()).hint(level), lambda: {"level": 1}
    ),
    "exercises.checker.Answers": Call(checker.Answers, lambda: {"path": Path("answers.json")}),
    "exercises.checker.Answers.of": Call(lambda name: answers().of(name), lambda: {"name": "double"}),
    "exercises.checker.Answers.record": Call(
        lambda outcome: answers().record(outcome), lambda: {"outcome": judging.judge(an_exercise(), _triple, 0)}
    ),
    "exercises.checker.Answers.update": Call(lambda name: answers().update(name, hints=1), lambda: {"name": "double"}),
    "exercises.checker.Checks": Call(checker.Checks, lambda: {"exercises": [an_exercise()], "answers": answers()}),
    "exercises.checker.Checks.report": Call(
        lambda name: checker.Checks([an_exercise()], answers()).report(name), lambda: {"name": "double"}
    ),
    "exercises.checker.Checks.export": Call(
        lambda path: checker.Checks([an_exercise()], answers()).export(path), lambda: {"path": "mine.csv"}
    ),
    "benchmarks.timing.time_interleaved": Call(
        timing.time_interleaved, lambda: {"candidates": {"ours": lambda: None}, "repeats": 2}
    ),
    "benchmarks.run.benchmark": Call(
        benchmark.benchmark,
        lambda: {"parts": ["a"], "output": "measured.json", "known": {"a": lambda: [{"name": "ours", "seconds": 1.0}]}},
    ),
    "benchmarks.tables.benchmark_table": Call(speed_tables.benchmark_table, lambda: {"content": stored("benchmark")}),
    "benchmarks.tables.readme_speed_table": Call(speed_tables.readme_speed_table, lambda: {"content": stored("benchmark")}),
    "benchmarks.tables.limits_table": Call(speed_tables.limits_table, lambda: {"content": stored("benchmark")}),
    "benchmarks.tables.alternatives_table": Call(speed_tables.alternatives_table, lambda: {"content": stored("benchmark")}),
    "benchmarks.tables.growth_table": Call(speed_tables.growth_table, lambda: {"content": stored("benchmark")}),
    "benchmarks.timing.rows_of": Call(timing.rows_of, lambda: {"seconds": {"ours": 1.0, "theirs": 2.0}}),
    "internal.parallel.run_jobs": Call(
        lambda work, jobs_, processes, scheduler: list(
            parallel.run_jobs(work, jobs_, processes=processes, scheduler=scheduler)
        ),
        lambda: {"work": abs, "jobs_": [1, 2], "processes": 1, "scheduler": None},
    ),
    "internal.parallel.check_scheduler": Call(parallel.check_scheduler, lambda: {"scheduler": None}),
    "exercises.capstone.pack_weights": Call(capstone.pack_weights, lambda: {"network": network(tnet.TinyDenoiser)}),
    "exercises.capstone.check_parameter_count": Call(capstone.check_parameter_count, lambda: {"weights": {"a": uniform(3)}}),
    "exercises.capstone.unpack_weights": Call(capstone.unpack_weights, lambda: {"text": _packed()}),
    "exercises.capstone.submit_network": Call(capstone.submit_network, lambda: {"network": network(tnet.TinyDenoiser)}),
}

EXERCISES = "solutions and wrong answers, written as students write them"
RECORD = "a record that the library fills in"
INSIDE = "called by the library alone, with what it has checked"
LEFT_OUT: dict[str, str] = {
    **{f"exercises.{bank}": EXERCISES for bank in (
        "notebook1_noise", "notebook2_networks", "notebook3_noise2noise", "notebook4_smoothgrad",
        "ps1_noise", "ps2_networks", "ps3_noise2noise", "ps4_smoothgrad",
    )},
    **dict.fromkeys(
        (
            "internal.checkpoints.History", "exercises.exercise.Mistake", "exercises.exercise.Exercise",
            "exercises.exercise.Exercise.observe", "exercises.exercise.Outcome", "exercises.judging.CallRecord",
            "papers.unet_vs_autoencoder.Recipe", "papers.noise2noise_tnet.PhotoRecipe", "papers.pairs.PhotoPairs",
            "own_photos.files.Denoised", "own_photos.tiling.Geometry", "saliency.Estimate", "metrics.Scores",
            "internal.batches.BatchPlan", "benchmarks.roofline.Cost", "benchmarks.training.Setting",
        ),
        RECORD,
    ),
    **dict.fromkeys(
        (
            "internal.checkpoints.CheckpointFolder", "internal.checkpoints.CheckpointFolder.file",
            "internal.checkpoints.code_of", "internal.checkpoints.TrainingState", "internal.checkpoints.TrainingState.load",
            "internal.checkpoints.TrainingState.try_to_save", "internal.distributed", "internal.seeding", "internal.lazy",
            "internal.atomic_write", "internal.devices.half_precision", "internal.devices.device_of",
            "internal.batches.serve_batches", "internal.batches.count_pairs", "internal.checks.reading",
            "corruptions.draw_per_pixel", "papers.study",
            "benchmarks.roofline.OpProfiler", "benchmarks.roofline.product_speed", "benchmarks.roofline.convolution_speed",
            "benchmarks.roofline.copy_speed", "benchmarks.training.Setting.pairs", "benchmarks.training.OnePairAtATime",
            "benchmarks.training.OnePairAtATime.__getitem__", "benchmarks.training.papers_loop",
        ),
        INSIDE,
    ),
    **dict.fromkeys(
        ("papers.commands", "own_photos.commands", "pretrained.commands", "classroom"),
        "reached by the command line, tested there",
    ),
    "saliency.self_influence": "an alias",
    "benchmarks.grading": "grades for minutes",
    "sources.http": "asks servers",
    "sources.download": "asks servers, and looks at what came",
}  # fmt: skip
"""Functions, or whole modules, that are not tried, and why."""
