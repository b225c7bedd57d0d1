from __future__ import annotations

import copy
import errno
import math
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Subset, TensorDataset

from denoise_lib import metrics, training
from denoise_lib.data import NoisyImages, NoisyPairs
from denoise_lib.internal import devices
from denoise_lib.internal.devices import default_device
from denoise_lib.metrics import evaluate, predict
from denoise_lib.noise import Blend, Gaussian
from denoise_lib.tnet import Noise2NoiseUNet, TNet
from denoise_lib.training import CheckpointError, History, TrainingDiverged, TrainingInterrupted, fit
from denoise_lib.unet import Autoencoder, UNet

pytestmark = pytest.mark.numbers


def network(seed: int = 0, kind: Callable[[], nn.Module] = UNet) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


def small_network(seed: int = 0) -> nn.Module:
    return network(seed, lambda: nn.Conv2d(1, 1, 3, padding=1))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))


def told(history: History) -> dict[str, Any]:
    """All of a history that can be reproduced."""
    return {name: values for name, values in asdict(history).items() if name != "seconds"}


@pytest.fixture
def pairs(digits: Tensor) -> NoisyImages:
    return NoisyImages(digits[:20], Blend(0.25))


def quick(model: nn.Module, dataset: Dataset[Any], **options: Any) -> History:
    return fit(model, dataset, **{"epochs": 2, "batch_size": 8, "device": "cpu", "progress": False} | options)


# --- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [UNet, Autoencoder, lambda: UNet(skips=False)], ids=["unet", "autoencoder", "no skips"])
def test_the_loss_falls(kind: Callable[[], nn.Module], digits: Tensor) -> None:
    pairs, model = NoisyImages(digits, Blend(0.25)), network(0, kind)
    noisy, clean = next(pairs.batches(32))
    before = evaluate(model, noisy, clean).mse
    history = quick(model, pairs, epochs=8, lr=3e-3)
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert evaluate(model, noisy, clean).mse < 0.7 * before
    assert history.epochs == len(history.lr) == len(history.seconds) == 8 and history.validation == []
    assert all(seconds > 0 for seconds in history.seconds)


@pytest.mark.parametrize("fresh", [False, True])
def test_one_seed_gives_one_result_bit_for_bit(fresh: bool, digits: Tensor) -> None:
    def run(seed: int) -> tuple[nn.Module, History]:
        model = network()
        return model, quick(model, NoisyImages(digits[:20], Blend(0.25), fresh=fresh), seed=seed)

    (first, first_history), (again, again_history), (other, _) = run(0), run(0), run(1)
    assert same_weights(first, again) and told(first_history) == told(again_history)
    assert not same_weights(first, other)


def test_the_global_generator_is_untouched(pairs: NoisyImages) -> None:
    model, before = small_network(), torch.random.get_rng_state()
    quick(model, pairs, validation=pairs)
    quick(model, TensorDataset(*next(pairs.batches(20))))
    assert torch.equal(torch.random.get_rng_state(), before)


def huber(output: Tensor, target: Tensor) -> Tensor:
    return torch.nn.functional.huber_loss(output, target, delta=0.1)


@pytest.mark.parametrize(("loss", "oracle"), [("l2", mse_loss), ("l1", l1_loss), (huber, huber)])
def test_losses(loss: Any, oracle: Any, pairs: NoisyImages) -> None:
    model = small_network()
    noisy, clean = next(pairs.batches(20))
    expected = oracle(model(noisy), clean).item()
    # With a vanishing rate the weights stay, and the epoch's loss is that of all 20 images, the short last batch included.
    history = quick(model, pairs, loss=loss, lr=1e-20, epochs=1, validation=pairs)
    assert history.loss == pytest.approx([expected], rel=1e-5)
    assert history.validation == pytest.approx([expected], rel=1e-5)


def test_l1_and_l2_learn_different_things() -> None:
    # Targets are 0, 0, 1 for one black input: the L2 optimum is their mean, the L1 optimum their median.
    inputs, targets = torch.zeros(3, 1, 4, 4), torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    for loss, optimum in (("l2", 1 / 3), ("l1", 0.0)):
        model = small_network()
        quick(model, TensorDataset(inputs, targets), loss=loss, lr=0.02, epochs=150, schedule="cosine")
        assert model(inputs).mean().item() == pytest.approx(optimum, abs=0.02)


def test_one_adam_step_agrees_with_adams_formula(pairs: NoisyImages) -> None:
    model, lr = small_network().double(), 1e-3
    reference = copy.deepcopy(model)
    noisy, clean = next(pairs.batches(20))
    dataset = TensorDataset(noisy.double(), clean.double())
    mse_loss(reference(noisy.double()), clean.double().float()).backward()
    quick(model, dataset, lr=lr, epochs=1, batch_size=20)
    for new, old in zip(model.parameters(), reference.parameters(), strict=True):
        assert old.grad is not None
        # After one step both moments are corrected to the gradient and its square: a step of lr along its sign.
        expected = old - lr * old.grad / (old.grad.abs() + 1e-8)
        assert torch.allclose(new, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("schedule", [None, "one-cycle", "cosine", lambda opt, steps: LambdaLR(opt, lambda step: 0.5**step)])
def test_the_learning_rate_of_each_epochs_last_step(schedule: Any, pairs: NoisyImages) -> None:
    lr, steps = 0.01, 3  # three batches an epoch
    rates = quick(small_network(), pairs, lr=lr, schedule=schedule, epochs=4).lr
    if schedule is None:
        assert rates == [lr] * 4
    elif schedule == "cosine":
        expected = [lr * (1 + math.cos(math.pi * (steps * epoch - 1) / (4 * steps))) / 2 for epoch in range(1, 5)]
        assert rates == pytest.approx(expected)
    elif schedule == "one-cycle":
        assert max(rates) <= lr and rates[-1] < 0.1 * lr and rates[0] > rates[-1]
    else:
        assert rates == pytest.approx([lr * 0.5 ** (steps * epoch - 1) for epoch in range(1, 5)])


def test_a_schedule_is_told_all_steps(pairs: NoisyImages) -> None:
    seen: list[int] = []

    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        seen.append(steps)
        return LambdaLR(optimizer, lambda step: 1.0)

    quick(small_network(), pairs, schedule=schedule, epochs=5)
    assert seen == [5 * 3]


def test_any_dataset_is_served_by_a_data_loader(pairs: NoisyImages) -> None:
    plain, model = TensorDataset(*next(pairs.batches(20))), network()
    history = quick(model, plain, epochs=3, validation=Subset(plain, range(5)))
    assert history.loss[-1] < history.loss[0] and len(history.validation) == 3
    again = network()
    assert told(quick(again, plain, epochs=3, validation=Subset(plain, range(5)))) == told(history)
    assert same_weights(model, again)


def test_every_pair_is_seen_once_an_epoch_in_a_new_order() -> None:
    seen: list[float] = []

    def recording(output: Tensor, target: Tensor) -> Tensor:
        seen.extend(target[:, 0, 0, 0].tolist())
        return mse_loss(output, target)

    images = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 4, 4) / 20
    quick(small_network(), TensorDataset(images, images), loss=recording)
    first, second = seen[:20], seen[20:]
    assert sorted(first) == sorted(second) == images[:, 0, 0, 0].tolist()
    assert first != second and first != sorted(first)


def test_validation_does_not_change_the_training(pairs: NoisyImages, digits: Tensor) -> None:
    plain, watched = network(), network()
    quick(plain, pairs)
    validation = NoisyImages(digits[20:], Blend(0.25))
    history = quick(watched, pairs, validation=validation)
    assert same_weights(plain, watched)
    noisy, clean = next(validation.batches(12))
    assert history.validation[-1] == pytest.approx(evaluate(watched, noisy, clean).mse, rel=1e-5)


def test_validation_by_a_function_is_recorded_once_an_epoch(pairs: NoisyImages, capsys: pytest.CaptureFixture[str]) -> None:
    model, plain = small_network(), small_network()
    seen: list[dict[str, Tensor]] = []

    def measure(candidate: nn.Module) -> float:
        assert candidate is model
        seen.append(weights(candidate.eval()))  # fit goes on in train mode all the same
        return len(seen) / 4

    history = quick(model, pairs, epochs=3, validation=measure, progress=True)
    assert history.validation == [0.25, 0.5, 0.75]
    assert [line.split()[6:8] for line in capsys.readouterr().out.splitlines()] == [
        ["validation", "0.25000"], ["validation", "0.50000"], ["validation", "0.75000"],
    ]  # fmt: skip
    # It saw the network after each epoch, and changed nothing.
    assert told(quick(plain, pairs, epochs=3)) == told(history) | {"validation": []}
    assert same_weights(model, plain) and model.training
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in weights(model).items())
    assert not torch.equal(seen[0]["weight"], seen[1]["weight"])


def test_validation_by_a_function_is_measured_on_the_trained_network(pairs: NoisyImages, digits: Tensor) -> None:
    noisy, clean = next(NoisyImages(digits[20:], Blend(0.25)).batches(12))
    model = network()
    history = quick(model, pairs, validation=lambda candidate: evaluate(candidate, noisy, clean).psnr)
    assert len(history.validation) == 2 and history.validation[-1] == evaluate(model, noisy, clean).psnr


def test_validation_by_a_function_after_a_resume(pairs: NoisyImages, tmp_path: Path) -> None:
    def mean_weight(model: nn.Module) -> Tensor:  # a tensor of one number will do
        return model.weight.detach().mean()  # type: ignore[union-attr,operator]

    straight = quick(small_network(), pairs, epochs=4, validation=mean_weight)
    quick(small_network(), pairs, epochs=1, validation=mean_weight, checkpoint=tmp_path / "run.pt")
    resumed = quick(small_network(), pairs, epochs=4, validation=mean_weight, checkpoint=tmp_path / "run.pt")
    assert resumed.validation == straight.validation and all(isinstance(value, float) for value in resumed.validation)


def test_without_shuffling_the_seed_changes_nothing(pairs: NoisyImages) -> None:
    def run(**options: Any) -> nn.Module:
        model = network()
        quick(model, pairs, **options)
        return model

    in_order = run(shuffle=False)
    assert same_weights(in_order, run(shuffle=False, seed=1))
    assert not same_weights(in_order, run()) and same_weights(run(), run(shuffle=True))


def test_large_seeds_differ_too(pairs: NoisyImages) -> None:
    models = []
    for seed in (0, 4096):
        models.append(small_network())
        quick(models[-1], pairs, seed=seed)
    assert not same_weights(*models)


def test_mixed_precision_trains_on_a_cpu(pairs: NoisyImages) -> None:
    model, exact = network(), network()
    history = quick(model, pairs, amp=True, epochs=4, lr=3e-3)
    quick(exact, pairs, amp=False, epochs=4, lr=3e-3)
    assert history.loss[-1] < history.loss[0]
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not same_weights(model, exact)  # or amp did nothing


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)])
def test_a_t4_computes_in_float16(capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)  # what a T4 says, counting emulation
    assert devices.half_precision(torch.device("cuda")) == dtype


def test_float16_trains_with_a_scaled_loss_and_resumes_exactly(
    pairs: NoisyImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "half_precision", lambda device: torch.float16)  # as on a T4
    assert devices.Precision(torch.device("cpu"), True).scaler.is_enabled()
    exact, straight, halves = network(), network(), network()
    options = {"amp": True, "lr": 3e-3, "schedule": "one-cycle", "epochs": 4}
    history = quick(straight, pairs, **options)
    assert history.loss[-1] < history.loss[0]
    quick(exact, pairs, **options | {"amp": False})
    assert not same_weights(straight, exact)

    def stop_after_two(model: nn.Module) -> float:
        stop_after_two.calls += 1
        if stop_after_two.calls == 3:
            raise KeyboardInterrupt
        return 0.0

    stop_after_two.calls = 0
    with pytest.raises(TrainingInterrupted):
        quick(halves, pairs, checkpoint=tmp_path / "run.pt", validation=stop_after_two, **options)
    scale = torch.load(tmp_path / "run.pt", weights_only=True)["scaler"]
    assert scale["scale"] > 1 and scale["_growth_tracker"] > 0
    halves = network()
    quick(halves, pairs, checkpoint=tmp_path / "run.pt", validation=lambda model: 0.0, **options)
    assert same_weights(straight, halves)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("amp", [None, False])
def test_training_and_resume_on_a_gpu(amp: bool | None, digits: Tensor, tmp_path: Path) -> None:
    pairs, model = NoisyImages(digits, Blend(0.25), fresh=True), network()
    options = {"device": None, "amp": amp, "lr": 3e-3, "checkpoint": tmp_path / "run.pt"}
    quick(model, pairs, epochs=4, **options)
    history = quick(model, pairs, epochs=8, **options)
    assert next(model.parameters()).is_cuda and history.epochs == 8 and history.loss[-1] < history.loss[0]
    scores = evaluate(model, *next(pairs.batches(32)))
    assert scores.seconds_per_image > 0
    assert predict(model, torch.rand(2, 1, 28, 28)).device.type == "cpu"


def test_a_frozen_layer_stays(pairs: NoisyImages) -> None:
    model = network()
    model.output.requires_grad_(False)  # type: ignore[union-attr]
    before = weights(model)
    quick(model, pairs)
    changed = {name for name, tensor in weights(model).items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if not name.startswith("output")}


@pytest.mark.parametrize("mode", [True, False])
def test_fit_trains_in_train_mode_and_restores_the_mode(mode: bool, pairs: NoisyImages) -> None:
    modes: list[bool] = []
    model = small_network().train(mode)

    def watching(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:  # not in validation
            modes.append(model.training)
        return mse_loss(output, target)

    quick(model, pairs, loss=watching, validation=pairs)
    assert modes == [True] * 6 and model.training is mode


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_is_one_plain_line_an_epoch(pairs: NoisyImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"progress": True, "validation": pairs, "checkpoint": tmp_path / "run.pt"}
    history = quick(small_network(), pairs, epochs=2, **options)
    lines = capsys.readouterr().out.splitlines()
    for epoch, line in enumerate(lines):
        loss, validation = history.loss[epoch], history.validation[epoch]
        assert line.startswith(f"epoch  {epoch + 1} of 2   loss {loss:.5f}   validation {validation:.5f}   ")
        assert line.endswith(" s")
    assert len(lines) == 2
    quick(small_network(), pairs, epochs=3, **options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "going on after epoch 2 from run.pt" and lines[1].startswith("epoch  3 of 3") and len(lines) == 2


def test_long_trainings_tell_what_is_left() -> None:
    line = training._progress_line(History(loss=[0.1, 0.05], lr=[1e-3] * 2, seconds=[90.0, 30.0]), 10)
    assert line == "epoch  2 of 10   loss 0.05000   30.0 s   about 8.0 min left"


def test_without_progress_nothing_is_printed(pairs: NoisyImages, capsys: pytest.CaptureFixture[str]) -> None:
    quick(small_network(), pairs)
    assert capsys.readouterr().out == ""


# --- interruption and resume -------------------------------------------------------------------------------------------


class Interrupting:
    """The mean squared error, during whose nth call somebody presses Ctrl-C."""

    def __init__(self, call: int | None = None) -> None:
        self.call, self.calls = call, 0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.call:
            raise KeyboardInterrupt
        return mse_loss(output, target)


@pytest.mark.parametrize("schedule", [None, "one-cycle", "cosine"])
@pytest.mark.parametrize("kind", ["fixed", "fresh", "data loader"])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    schedule: str | None, kind: str, digits: Tensor, tmp_path: Path
) -> None:
    def dataset() -> Dataset[Any]:
        pairs = NoisyImages(digits[:20], Blend(0.25), fresh=kind == "fresh")
        return TensorDataset(*next(pairs.batches(20))) if kind == "data loader" else pairs

    options: dict[str, Any] = {
        "epochs": 3, "schedule": schedule, "lr": 3e-3, "validation": NoisyImages(digits[20:], Blend(0.25)),
    }  # fmt: skip
    straight = network()
    expected = quick(straight, dataset(), loss=Interrupting(), **options)

    path = tmp_path / "run.pt"
    with pytest.raises(TrainingInterrupted):  # in the second batch of epoch 3
        quick(network(), dataset(), loss=Interrupting(2 * (3 + 2) + 2), checkpoint=path, **options)
    resumed = network(99)  # a new process would start from other weights
    history = quick(resumed, dataset(), loss=Interrupting(), checkpoint=path, **options)
    assert same_weights(resumed, straight)
    assert told(history) == told(expected)
    assert len(history.seconds) == 3


def test_a_training_is_prolonged_exactly(pairs: NoisyImages, tmp_path: Path) -> None:
    straight, resumed = network(), network()
    expected = quick(straight, pairs, epochs=3)
    quick(resumed, pairs, epochs=1, checkpoint=tmp_path / "run.pt")
    assert told(quick(resumed, pairs, epochs=3, checkpoint=tmp_path / "run.pt")) == told(expected)
    assert same_weights(straight, resumed)


def test_a_finished_training_is_only_loaded(pairs: NoisyImages, tmp_path: Path) -> None:
    first, second = network(0), network(1)
    history = quick(first, pairs, checkpoint=tmp_path / "run.pt")
    assert quick(second, pairs, checkpoint=tmp_path / "run.pt") == history
    assert same_weights(first, second)


def test_what_an_interruption_says(pairs: NoisyImages, tmp_path: Path, refused: Any) -> None:
    model = network()
    before = weights(model)
    with refused(TrainingInterrupted, "epoch 2 of 5", "checkpoint='run.pt'", "keeps what it has learnt"):
        quick(model, pairs, epochs=5, loss=Interrupting(4))
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(model).items())
    path = tmp_path / "new" / "run.pt"
    with refused(TrainingInterrupted, "epoch 1 of 5", "keeps what it has learnt"):  # before there is a checkpoint
        quick(network(), pairs, epochs=5, loss=Interrupting(2), checkpoint=path)
    with refused(TrainingInterrupted, "epoch 3 of 5", repr(str(path)), "call fit again"):
        quick(network(), pairs, epochs=5, loss=Interrupting(8), checkpoint=path)
    assert issubclass(TrainingInterrupted, KeyboardInterrupt)


def test_an_interruption_while_the_checkpoint_is_written(
    pairs: NoisyImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    quick(network(), pairs, epochs=1, checkpoint=path)
    before = path.read_bytes()

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(TrainingInterrupted):
        quick(network(), pairs, epochs=3, checkpoint=path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.pt"]


def test_the_mode_is_restored_after_an_interruption(pairs: NoisyImages) -> None:
    model = small_network().eval()
    with pytest.raises(TrainingInterrupted):
        quick(model, pairs, loss=Interrupting(2))
    assert not model.training


# --- checkpoints of other trainings, and damaged ones ------------------------------------------------------------------


OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "lr": {"lr": 0.5},
    "batch_size": {"batch_size": 5},
    "seed": {"seed": 1},
    "loss": {"loss": "l1"},
    "schedule": {"schedule": None},
    "epochs": {"epochs": 4},
    "shuffle": {"shuffle": False},
    "amp": {"amp": True},
}


@pytest.mark.parametrize("setting", OTHER_SETTINGS)
def test_a_checkpoint_of_other_settings_is_refused(setting: str, pairs: NoisyImages, tmp_path: Path, refused: Any) -> None:
    options: dict[str, Any] = {"schedule": "cosine", "checkpoint": tmp_path / "run.pt"}
    quick(network(), pairs, **options)
    model = network(1)
    before = weights(model)
    with refused(CheckpointError, "run.pt", f"{setting} was", "delete it"):
        quick(model, pairs, **options | OTHER_SETTINGS[setting])
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())


def test_a_checkpoint_of_another_network_or_data_is_refused(
    pairs: NoisyImages, digits: Tensor, tmp_path: Path, refused: Any
) -> None:
    path = tmp_path / "run.pt"
    quick(network(), pairs, checkpoint=path)
    with refused(CheckpointError, "network was 'UNet' and is now 'Autoencoder'"):
        quick(network(0, Autoencoder), pairs, checkpoint=path)
    with refused(CheckpointError, "skips=True", "skips=False"):  # the weights have the same names and shapes
        quick(network(0, lambda: UNet(skips=False)), pairs, checkpoint=path)
    with refused(CheckpointError, "pairs was 20 and is now 32"):
        quick(network(), NoisyImages(digits, Blend(0.25)), checkpoint=path)
    # The same cell run again with another level must not hand back the network of the old level.
    with refused(CheckpointError, "noise was 'Blend(mu=0.25, clip=True)' and is now 'Blend(mu=0.4, clip=True)'"):
        quick(network(), NoisyImages(digits[:20], Blend(0.4)), checkpoint=path)
    with refused(CheckpointError, "fresh was False and is now True"):
        quick(network(), NoisyImages(digits[:20], Blend(0.25), fresh=True), checkpoint=path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exchange": True}, "augmentation was 'none' and is now 'exchange'"),
        ({"flips": True}, "augmentation was 'none' and is now 'flips'"), ({"target_noise": Gaussian(0.2)}, "sigma=0.2"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_pairs_is_refused(
    changes: dict[str, Any], words: str, digits: Tensor, tmp_path: Path, refused: Any
) -> None:
    quick(small_network(), NoisyPairs(digits, Gaussian(0.1)), checkpoint=tmp_path / "run.pt")
    with refused(CheckpointError, words):
        quick(small_network(), NoisyPairs(digits, Gaussian(0.1), **changes), checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (lambda: TNet(batch_norm=True), "batch_norm=True"),
        (lambda: Noise2NoiseUNet(shared_decoder=True), "shared_decoder=True"),
    ],
)
def test_a_checkpoint_of_a_variant_of_the_network_is_refused(
    kind: Callable[[], nn.Module], words: str, tmp_path: Path, refused: Any
) -> None:
    photos = NoisyPairs(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), Gaussian(0.1))
    model = kind()
    quick(model, photos, epochs=1, checkpoint=tmp_path / "run.pt")
    with refused(CheckpointError, words, words.replace("True", "False")):
        quick(type(model)(), photos, epochs=2, checkpoint=tmp_path / "run.pt")


def test_a_checkpoint_keeps_the_statistics_of_batch_norm(tmp_path: Path) -> None:
    photos = NoisyPairs(torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)), Gaussian(0.1))
    straight, resumed = (network(0, lambda: TNet(batch_norm=True)) for _ in range(2))
    quick(straight, photos, epochs=2, batch_size=3)
    quick(resumed, photos, epochs=1, batch_size=3, checkpoint=tmp_path / "run.pt")
    resumed = network(5, lambda: TNet(batch_norm=True))
    quick(resumed, photos, epochs=2, batch_size=3, checkpoint=tmp_path / "run.pt")
    assert same_weights(straight, resumed)
    assert "norm_1.running_mean" in weights(resumed) and (weights(resumed)["norm_1.running_mean"] != 0).all()


def test_a_checkpoint_that_fits_in_all_but_its_tensors(pairs: NoisyImages, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "run.pt"
    quick(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), pairs, checkpoint=path)
    with refused(CheckpointError, "run.pt", "does not fit"):
        quick(nn.Sequential(nn.Conv2d(1, 1, 5, padding=2)), pairs, checkpoint=path)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def damage(kind: str, path: Path, folder: Path) -> None:
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        path.write_text("epoch 3\n")
    elif kind == "a tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "other fields":
        torch.save({"model": {}, "history": {"loss": []}}, path)
    elif kind == "settings of another kind":
        torch.save({"settings": 3, "history": {}}, path)
    elif kind == "unknown history":
        torch.save({"settings": {}, "history": {"accuracy": []}}, path)
    elif kind == "no weights":
        torch.save({"settings": {}, "history": {}}, path)
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "hostile torch file":
        torch.save({"settings": Hostile(folder / "executed")}, path)
    elif kind == "hostile pickle":
        path.write_bytes(pickle.dumps(Hostile(folder / "executed")))


DAMAGES = [
    "empty", "truncated", "text", "a tensor", "other fields", "settings of another kind", "unknown history", "no weights",
    "folder", "hostile torch file", "hostile pickle",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_and_hostile_checkpoints_are_refused(kind: str, pairs: NoisyImages, tmp_path: Path, refused: Any) -> None:
    path, model = tmp_path / "run.pt", network()
    quick(network(1), pairs, epochs=1, checkpoint=path)
    damage(kind, path, tmp_path)
    before = weights(model)
    with refused(CheckpointError, "run.pt", "delete it"):
        quick(model, pairs, checkpoint=path)
    assert not (tmp_path / "executed").exists()  # no code of the file was run
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())


def test_the_hostile_pickle_is_a_real_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Hostile(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


# --- a disk that is full ------------------------------------------------------------------------------------------------


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["torch.save", "os.fsync", "os.replace", "zip writer"])
def test_a_full_disk_does_not_stop_the_training(
    where: str, pairs: NoisyImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model, straight = tmp_path / "run.pt", network(), network()
    quick(straight, pairs, epochs=3)
    quick(model, pairs, epochs=1, checkpoint=path)
    good = path.read_bytes()

    def broken_zip(*_: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    owner, name = {"torch.save": (torch, "save"), "os.fsync": (os, "fsync"), "os.replace": (os, "replace")}.get(
        where, (torch, "save")
    )
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken_zip if where == "zip writer" else full_disk)
        with pytest.warns(RuntimeWarning) as caught:
            history = quick(model, pairs, epochs=3, checkpoint=path)
    messages = [str(warning.message) for warning in caught]
    assert [f"after epoch {epoch}" in message for epoch, message in zip((2, 3), messages, strict=True)] == [True, True]
    assert all("disk full" in message or "No space left" in message for message in messages)
    assert all(str(path) in message and "\n" not in message for message in messages)
    assert history.epochs == 3 and same_weights(model, straight)
    assert path.read_bytes() == good and os.listdir(tmp_path) == ["run.pt"]
    # With room again, the last good checkpoint goes on to the same end.
    resumed = network(5)
    quick(resumed, pairs, epochs=3, checkpoint=path)
    assert same_weights(resumed, straight)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full(pairs: NoisyImages, tmp_path: Path) -> None:
    path, model = tmp_path / "run.pt", network()
    quick(model, pairs, epochs=1, checkpoint=path)
    good = path.read_bytes()
    (tmp_path / "run.pt.part").symlink_to("/dev/full")
    with pytest.warns(RuntimeWarning, match="after epoch 2"):
        quick(model, pairs, epochs=2, checkpoint=path)
    assert path.read_bytes() == good and os.listdir(tmp_path) == ["run.pt"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(model, pairs, epochs=2, checkpoint=path)
    assert path.read_bytes() != good


def test_a_folder_that_cannot_be_made(pairs: NoisyImages, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="could not write the checkpoint"):
        assert quick(small_network(), pairs, epochs=1, checkpoint=tmp_path / "file" / "run.pt").epochs == 1


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number(bad: float, pairs: NoisyImages, tmp_path: Path, refused: Any) -> None:
    calls = []

    def diverging(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return mse_loss(output, target) * (bad if len(calls) == 5 else 1)

    model = small_network().eval()
    with refused(TrainingDiverged, "epoch 2", "lr=0.0001"):
        quick(model, pairs, loss=diverging, lr=1e-3, checkpoint=tmp_path / "run.pt")
    assert not model.training
    kept = torch.load(tmp_path / "run.pt", weights_only=True)  # the checkpoint is that of the last good epoch
    assert len(kept["history"]["loss"]) == 1 and all(tensor.isfinite().all() for tensor in kept["model"].values())


def test_a_huge_learning_rate_diverges(pairs: NoisyImages) -> None:
    with pytest.raises(TrainingDiverged, match="smaller learning rate"):
        quick(network(), pairs, lr=1e30, epochs=3)


# --- predict and evaluate ----------------------------------------------------------------------------------------------


class Stretch(nn.Module):
    """2 x - 0.5, which leaves [0, 1]; counts its calls and notes its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((len(x), self.training, torch.is_grad_enabled()))
        return 2 * x - 0.5


@pytest.mark.parametrize("mode", [True, False])
def test_predict(mode: bool, digits: Tensor) -> None:
    model, noisy = Stretch().train(mode), digits / 255
    output = predict(model, noisy, batch_size=10)
    assert torch.equal(output, 2 * noisy - 0.5)  # raw: nothing is clipped
    assert model.calls == [(10, False, False)] * 3 + [(2, False, False)]
    assert model.training is mode
    output.requires_grad_()  # an ordinary tensor, not one of inference mode


def test_predict_does_not_depend_on_the_batch_size(digits: Tensor) -> None:
    model = network().double()
    noisy = digits[:7].double() / 255
    assert torch.allclose(predict(model, noisy, batch_size=2), predict(model, noisy), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_against_numbers_by_hand(mode: bool, digits: Tensor) -> None:
    clean = digits / 255
    noisy = Blend(0.25)(clean, torch.Generator().manual_seed(0))
    model = Stretch().train(mode)
    scores = evaluate(model, noisy, clean, batch_size=10)
    raw = 2 * noisy.double().numpy() - 0.5
    clipped, truth = raw.clip(0, 1), clean.double().numpy()
    assert scores.mse == pytest.approx(((raw - truth) ** 2).mean(), rel=1e-5)
    assert scores.mse_clipped == pytest.approx(((clipped - truth) ** 2).mean(), rel=1e-5)
    by_image = [peak_signal_noise_ratio(t, c, data_range=1) for t, c in zip(truth, clipped, strict=True)]
    assert scores.psnr == pytest.approx(np.mean(by_image), rel=1e-5)
    assert scores.psnr_pooled == pytest.approx(peak_signal_noise_ratio(truth, clipped, data_range=1), rel=1e-5)
    similar = [
        structural_similarity(
            t[0], c[0], data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for t, c in zip(truth, clipped, strict=True)
    ]  # fmt: skip
    assert scores.ssim == pytest.approx(np.mean(similar), abs=1e-5)
    assert scores.images == 32 and scores.seconds_per_image > 0
    assert [size for size, _, _ in model.calls] == [10, 10, 10, 10, 2]  # one pass to warm up
    assert not any(training or grad for _, training, grad in model.calls) and model.training is mode


def test_the_time_is_that_of_the_forward_passes_after_the_warm_up(monkeypatch: pytest.MonkeyPatch, digits: Tensor) -> None:
    events: list[str] = []

    class Clock:
        def perf_counter(self) -> float:
            events.append("clock")
            return 8.0 * events.count("clock")

    class Noting(Stretch):
        def forward(self, x: Tensor) -> Tensor:
            events.append("forward")
            return super().forward(x)

    monkeypatch.setattr(metrics, "time", Clock())
    monkeypatch.setattr(metrics, "synchronize", lambda device: events.append("synchronize"))
    scores = evaluate(Noting(), digits / 255, digits / 255, batch_size=16)
    assert events == ["forward", "synchronize", "clock", "forward", "forward", "synchronize", "clock"]
    assert scores.seconds_per_image == 8 / 32


@pytest.mark.parametrize("function", [predict, lambda model, x: evaluate(model, x, x)], ids=["predict", "evaluate"])
def test_a_failing_model_gets_its_mode_back(function: Any) -> None:
    model = UNet()
    with pytest.raises(ValueError, match="divide by 4"):
        function(model, torch.rand(2, 1, 30, 30))
    assert model.training


# --- bad arguments -----------------------------------------------------------------------------------------------------

BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"epochs": 0}, ValueError, "epochs"), ({"epochs": 1.5}, TypeError, "epochs"), ({"epochs": "3"}, TypeError, "epochs"),
    ({"epochs": True}, TypeError, "epochs"),
    ({"lr": 0}, ValueError, "lr"), ({"lr": -1}, ValueError, "lr"), ({"lr": math.nan}, ValueError, "lr"),
    ({"lr": "fast"}, TypeError, "lr"), ({"lr": True}, TypeError, "lr"),
    ({"batch_size": 0}, ValueError, "batch_size"), ({"batch_size": 8.0}, TypeError, "batch_size"),
    ({"seed": -1}, ValueError, "seed"), ({"seed": None}, TypeError, "seed"), ({"seed": 0.5}, TypeError, "seed"),
    ({"loss": "l3"}, ValueError, "loss"), ({"loss": None}, ValueError, "loss"), ({"loss": 2}, ValueError, "loss"),
    ({"schedule": "step"}, ValueError, "schedule"), ({"schedule": 3}, ValueError, "schedule"),
    ({"device": "gpu"}, ValueError, "device"), ({"device": ""}, ValueError, "device"),
    ({"device": 1.5}, ValueError, "device"),
    ({"amp": "yes"}, TypeError, "amp"), ({"amp": 1}, TypeError, "amp"),
    ({"checkpoint": ""}, ValueError, "checkpoint"), ({"checkpoint": 3}, TypeError, "checkpoint"),
    ({"checkpoint": True}, TypeError, "checkpoint"),
    ({"validation": torch.zeros(1)}, TypeError, "validation"), ({"validation": 0.1}, TypeError, "validation"),
    ({"validation": TensorDataset(torch.rand(0, 1))}, ValueError, "validation"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "word"), BAD_OPTIONS)
def test_bad_options_are_refused_before_training(
    options: dict[str, Any], error: type[Exception], word: str, pairs: NoisyImages, refused: Any
) -> None:
    model = small_network()
    before = weights(model)
    with refused(error, word):
        quick(model, pairs, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())


def test_bad_models_and_data_sets(pairs: NoisyImages, refused: Any) -> None:
    for model in (None, UNet, lambda x: x):
        with refused(TypeError, "model"):
            quick(model, pairs)  # type: ignore[arg-type]
        with refused(TypeError, "model"):
            predict(model, torch.rand(1, 1, 8, 8))  # type: ignore[arg-type]
        with refused(TypeError, "model"):
            evaluate(model, torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))  # type: ignore[arg-type]
    for dataset in (None, torch.rand(4, 1, 8, 8), iter([1]), 5):
        with refused(TypeError, "dataset"):
            quick(small_network(), dataset)  # type: ignore[arg-type]
    with refused(ValueError, "dataset", "empty"):
        quick(small_network(), TensorDataset(torch.rand(0, 1)))
    for frozen in (Stretch(), small_network().requires_grad_(False)):
        with refused(ValueError, "no trainable parameters"):
            quick(frozen, pairs)


def test_bad_images_for_predict_and_evaluate(refused: Any) -> None:
    good, model = torch.rand(2, 1, 12, 12), small_network()
    for bad, error in (
        (None, TypeError), (good.numpy(), TypeError), (good.byte(), TypeError), (good[0], ValueError), (good[:0], ValueError),
        (good * torch.nan, ValueError),
    ):  # fmt: skip
        with refused(error, "noisy"):
            predict(model, bad)  # type: ignore[arg-type]
        with refused(error, "noisy"):
            evaluate(model, bad, good)  # type: ignore[arg-type]
        with refused(error, "clean"):
            evaluate(model, good, bad)  # type: ignore[arg-type]
    with refused(ValueError, "clean", "[0, 1]"):
        evaluate(model, good, 2 * good + 1)
    with refused(ValueError, "noisy and clean", "same shape"):
        evaluate(model, good, good[:1])
    for size, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError), ("8", TypeError)):
        with refused(error, "batch_size"):
            predict(model, good, batch_size=size)  # type: ignore[arg-type]
        with refused(error, "batch_size"):
            evaluate(model, good, good, batch_size=size)  # type: ignore[arg-type]


def test_default_device(refused: Any) -> None:
    assert default_device() == torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert default_device("cpu") == default_device(torch.device("cpu")) == torch.device("cpu")
    if not torch.cuda.is_available():
        with refused(ValueError, "device='cuda'", "device='cpu'"):
            default_device("cuda")
