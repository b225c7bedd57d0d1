"""Checkpoints that nobody's training has written; those of other trainings are in test_training.py."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from denoise_lib.data import NoisyImages
from denoise_lib.internal.atomic_write import partial_file
from denoise_lib.internal.checkpoints import CheckpointError, History
from denoise_lib.noise import Blend
from denoise_lib.training import fit

Content = dict[str, Any]


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Conv2d(1, 1, 3, padding=1)


def train(model: nn.Module, small_test: Tensor, path: Path | None, epochs: int = 2) -> History:
    return fit(
        model, NoisyImages(small_test[:8], Blend(0.25)), epochs=epochs, batch_size=4, device="cpu", progress=False,
        schedule=halving, checkpoint=path,
    )  # fmt: skip


def halving(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)


@pytest.fixture
def checkpoint(small_test: Tensor, tmp_path: Path) -> Path:
    """After one of two epochs."""
    stop = [None, KeyboardInterrupt]

    def interrupted(model: nn.Module) -> float:
        error = stop.pop(0)
        if error is not None:
            raise error
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        fit(
            network(1), NoisyImages(small_test[:8], Blend(0.25)), epochs=2, batch_size=4, device="cpu", progress=False,
            schedule=halving, checkpoint=tmp_path / "run.pt", validation=interrupted,
        )  # fmt: skip
    return tmp_path / "run.pt"


def change(checkpoint: Path, how: Callable[[Content], Any]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    how(content)
    torch.save(content, checkpoint)


CHANGES: dict[str, Callable[[Content], Any]] = {
    "a number for the weights": lambda content: content.update(model=3),
    "weights without a tensor": lambda content: content["model"].pop("bias"),
    "weights with one more": lambda content: content["model"].update(more=torch.zeros(1)),
    "weights of another shape": lambda content: content["model"].update(bias=torch.zeros(2)),
    "text for a weight": lambda content: content["model"].update(bias="text"),
    "no optimizer": lambda content: content.pop("optimizer"),
    "a number for the optimizer": lambda content: content.update(optimizer=3),
    "an optimizer of nothing": lambda content: content.update(optimizer={}),
    "an optimizer of other parameters": lambda content: content["optimizer"]["param_groups"][0].update(params=[0, 1, 2]),
    "a number for its groups": lambda content: content["optimizer"].update(param_groups=3),
    "a number for the schedule": lambda content: content.update(scheduler=3),
    "no schedule": lambda content: content.update(scheduler=None),
    "a number for the history": lambda content: content["history"].update(loss=3),
    "text in the history": lambda content: content["history"].update(loss=["text"]),
    "a text for the history": lambda content: content["history"].update(loss="x"),
    "a longer history": lambda content: content["history"]["loss"].append(0.1),
    "a tensor in the settings": lambda content: content["settings"].update(lr=torch.ones(2)),
    "another setting, at length": lambda content: content["settings"].update(lr="x\n" * 100_000),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_checkpoint_that_was_tampered_with_changes_nothing(
    kind: str, checkpoint: Path, small_test: Tensor, refused: Any
) -> None:
    change(checkpoint, CHANGES[kind])
    model = network(7)
    with refused(CheckpointError, "run.pt", "delete it to start again"):
        train(model, small_test, checkpoint)
    for name, tensor in network(7).state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)  # not even the parts that were right


def test_a_long_text_in_a_checkpoint_is_not_told_at_length(checkpoint: Path, small_test: Tensor) -> None:
    change(checkpoint, CHANGES["another setting, at length"])
    with pytest.raises(CheckpointError) as caught:
        train(network(7), small_test, checkpoint)
    assert len(str(caught.value)) < 600


def test_a_checkpoint_cannot_replace_the_methods_of_a_schedule(checkpoint: Path, small_test: Tensor) -> None:
    straight, model = network(1), network(7)
    expected = train(straight, small_test, None)
    change(checkpoint, lambda content: content["scheduler"].update(step=3, get_lr=3, optimizer=None))
    history = train(model, small_test, checkpoint)
    assert history.loss == expected.loss and history.lr == expected.lr
    assert torch.equal(model.state_dict()["weight"], straight.state_dict()["weight"])


class Payload:
    """A pickle of it makes a file when it is loaded, by any loader of pickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def saved(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


HOSTILE: dict[str, Callable[[Content, Payload], bytes]] = {
    "in place of all": lambda _, payload: saved(payload),
    "among the settings": lambda content, payload: saved(content | {"settings": {"lr": payload}}),
    "among the weights": lambda content, payload: saved(content | {"model": {"weight": payload}}),
    "as one entry more": lambda content, payload: saved(content | {"another": [payload]}),
    "in torch's older format": lambda content, payload: saved(content | {"a": payload}, _use_new_zipfile_serialization=False),
    "by another protocol": lambda content, payload: saved(content | {"another": payload}, pickle_protocol=5),
    "as a plain pickle": lambda _, payload: pickle.dumps(payload),
    "as a pickle of text": lambda _, payload: pickle.dumps(payload, protocol=0),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_payload_in_a_checkpoint_is_not_run(
    kind: str, checkpoint: Path, small_test: Tensor, tmp_path: Path, refused: Any
) -> None:
    executed = tmp_path / "executed"
    content = torch.load(checkpoint, weights_only=True)
    checkpoint.write_bytes(HOSTILE[kind](content, Payload(executed)))
    with warnings.catch_warnings(action="error"), refused(CheckpointError, "run.pt is no checkpoint of fit", "delete it"):
        train(network(7), small_test, checkpoint)
    assert not executed.exists()
    torch.load(checkpoint, weights_only=False) if "pickle" not in kind else pickle.loads(checkpoint.read_bytes())
    assert executed.exists()  # the payload is a real one


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of files that Python knows")
def test_another_that_saves_the_same_training_is_left_alone(small_test: Tensor, tmp_path: Path) -> None:
    """A cluster that lost touch with a machine begins its job again elsewhere: then two write one checkpoint."""
    path = tmp_path / "run.pt"
    with partial_file(path) as others:
        others.write_bytes(b"half")
        train(network(1), small_test, path)
        assert others.read_bytes() == b"half"
        assert sorted(file.name for file in tmp_path.iterdir()) == ["run.pt", others.name]
    assert train(network(2), small_test, path, epochs=2).epochs == 2
