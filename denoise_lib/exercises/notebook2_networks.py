"""Exercises of notebook 2, and the wrong answers that people give: networks and training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, relu

from .exercise import Exercise, Mistake


def _seeded(generator: Generator, make: Any) -> Any:
    """Make something whose weights torch's global generator draws, from this generator."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return make()


def conv_parameters(channels_in: int, channels_out: int, kernel: int) -> int:
    return (kernel * kernel * channels_in + 1) * channels_out


def encoder_step(x: Tensor, conv: nn.Module) -> tuple[Tensor, Tensor]:
    saved = relu(conv(x))
    return max_pool2d(saved, 2), saved


def decoder_step(x: Tensor, skip: Tensor) -> Tensor:
    larger = interpolate(x, scale_factor=2, mode="nearest")
    return torch.cat([larger, skip], dim=1)


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, noisy: Tensor, clean: Tensor) -> float:
    optimizer.zero_grad()
    loss = (model(noisy) - clean).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_error(model: nn.Module, noisy: Tensor, clean: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        output = model(noisy)
    return float((output - clean).square().mean())


def _saved_late(x: Tensor, conv: nn.Module) -> tuple[Tensor, Tensor]:
    pooled = max_pool2d(relu(conv(x)), 2)
    return pooled, pooled


def _pool_first(x: Tensor, conv: nn.Module) -> tuple[Tensor, Tensor]:
    saved = relu(conv(max_pool2d(x, 2)))
    return saved, relu(conv(x))


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, *, zero: bool = True) -> float:
    if zero:
        optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _step_and_graph(model: nn.Module, optimizer: torch.optim.Optimizer, noisy: Tensor, clean: Tensor) -> Tensor:
    loss: Tensor = (model(noisy) - clean).square().mean()
    _step(model, optimizer, loss)
    return loss


def _step_first(model: nn.Module, optimizer: torch.optim.Optimizer, noisy: Tensor, clean: Tensor) -> float:
    loss = (model(noisy) - clean).square().mean()
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return float(loss.detach())


def _no_step(model: nn.Module, optimizer: torch.optim.Optimizer, noisy: Tensor, clean: Tensor) -> float:
    optimizer.zero_grad()
    loss = (model(noisy) - clean).square().mean()
    loss.backward()
    return float(loss.detach())


def _training_arguments(generator: Generator) -> tuple[Any, ...]:
    model = _seeded(generator, lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=1)))
    noisy, clean = (1.5 * torch.randn(4, 1, 6, 5, generator=generator) for _ in range(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (model(clean) - noisy).square().mean().backward()  # gradients that an earlier step has left behind
    return model, optimizer, noisy, clean


def _as_float(value: Any) -> Any:
    """One number as a float; anything else as it is, and so is a string, which float() would read."""
    try:
        return value if isinstance(value, str) else float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        return value


def _after_training(arguments: tuple[Any, ...], output: Any) -> list[Any]:
    return [
        _as_float(output),
        float(isinstance(output, Tensor) and output.requires_grad),
        *(weight.detach().clone() for weight in arguments[0].parameters()),
    ]


def _test_arguments(generator: Generator) -> tuple[Any, ...]:
    model = _seeded(
        generator, lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 3, padding=1))
    )
    model.register_forward_hook(lambda m, given, output: setattr(m, "kept", float(output.requires_grad)))
    return model.train(), torch.rand(4, 1, 6, 5, generator=generator), torch.rand(4, 1, 6, 5, generator=generator)


def _after_test(arguments: tuple[Any, ...], output: Any) -> list[Any]:
    model = arguments[0]
    return [_as_float(output), getattr(model, "kept", 0.0), model[1].running_mean.clone()]


def _in_mode(model: nn.Module, noisy: Tensor, clean: Tensor, training: bool, how: str = "mean") -> float:
    model.train(training)
    with torch.no_grad():
        error = (model(noisy) - clean).square()
    return float(error.sum() if how == "sum" else error.mean() if how == "mean" else error.mean().sqrt())


def _with_graph(model: nn.Module, noisy: Tensor, clean: Tensor, training: bool = False) -> Tensor:
    model.train(training)
    error: Tensor = (model(noisy) - clean).square().mean()
    return error


def _features(generator: Generator) -> tuple[Any, ...]:
    conv = _seeded(generator, lambda: nn.Conv2d(3, 5, 3, padding=1).requires_grad_(False))
    return torch.randn(2, 3, 8, 6, generator=generator), conv


def _two_levels(generator: Generator) -> tuple[Any, ...]:
    return torch.rand(2, 3, 4, 3, generator=generator), torch.rand(2, 3, 8, 6, generator=generator)


NETWORK_EXERCISES = (
    Exercise(
        "conv_parameters",
        "Write conv_parameters(channels_in, channels_out, kernel): the parameters of a convolution with a square "
        "kernel and a bias.",
        lambda generator: tuple(int(torch.randint(low, low + 20, (), generator=generator)) for low in (3, 30, 2)),
        conv_parameters,
        (
            Mistake("no bias", "you forgot the bias: one number for each output channel.", lambda i, o, k: k * k * i * o),
            Mistake(
                "kernel not squared", "the kernel has kernel x kernel weights, not kernel.", lambda i, o, k: (k * i + 1) * o
            ),
            Mistake(
                "one bias in all",
                "there is one bias for each output channel, and not one in all.",
                lambda i, o, k: k * k * i * o + 1,
            ),
            Mistake(
                "bias for each input",
                "you count one bias for each input channel; it belongs to the output.",
                lambda i, o, k: k * k * i * o + i,
            ),
            Mistake(
                "ignores the input channels",
                "each output channel looks at all input channels.",
                lambda i, o, k: (k * k + 1) * o,
            ),
            Mistake("bias for each pair", "you count a bias for each pair of channels.", lambda i, o, k: (k * k + 1) * i * o),
        ),
        (
            "How many numbers does one output channel need?",
            "One kernel for each input channel, and one bias.",
            "(kernel * kernel * channels_in + 1) numbers, channels_out times.",
        ),
        tolerance=1e-9,
    ),
    Exercise(
        "encoder_step",
        "Write encoder_step(x, conv): convolve, ReLU, then return (max-pooled by 2, what the skip saves).",
        _features,
        encoder_step,
        (
            Mistake(
                "saves after pooling",
                "you save what is left after pooling; a skip has to carry what pooling throws away.",
                _saved_late,
            ),
            Mistake(
                "wrong order of results",
                "you return (saved, pooled); asked is (pooled, saved).",
                lambda x, conv: encoder_step(x, conv)[::-1],
            ),
            Mistake("pools first", "you pool before the convolution; convolve first.", _pool_first),
            Mistake("no ReLU", "there is no ReLU after the convolution.", lambda x, conv: (max_pool2d(conv(x), 2), conv(x))),
            Mistake(
                "mean pooling",
                "you pool by the mean; asked is the maximum.",
                lambda x, conv: (avg_pool2d(relu(conv(x)), 2), relu(conv(x))),
            ),
            Mistake(
                "saves before the ReLU",
                "you save what comes before the ReLU.",
                lambda x, conv: (max_pool2d(relu(conv(x)), 2), conv(x)),
            ),
            Mistake(
                "pools before the ReLU",
                "you pool what comes before the ReLU, so that what goes on has had none; what you save has.",
                lambda x, conv: (max_pool2d(conv(x), 2), relu(conv(x))),
            ),
            Mistake(
                "ReLU before the convolution",
                "your ReLU comes before the convolution; it belongs behind it.",
                lambda x, conv: (max_pool2d(conv(relu(x)), 2), conv(relu(x))),
            ),
            Mistake(
                "saves the input",
                "you save the input; the skip carries the features of this level.",
                lambda x, conv: (max_pool2d(relu(conv(x)), 2), x),
            ),
        ),
        (
            "Three steps and two results: what does the decoder need at this size?",
            "Save before max_pool2d makes it smaller.",
            "saved = relu(conv(x)); then return max_pool2d(saved, 2), saved",
        ),
    ),
    Exercise(
        "decoder_step",
        "Write decoder_step(x, skip): double the size of x by repeating pixels, then concatenate [x, skip] along the channels.",
        _two_levels,
        decoder_step,
        (
            Mistake(
                "adds the skip",
                "you add the skip; a U-Net concatenates it.",
                lambda x, skip: interpolate(x, scale_factor=2, mode="nearest") + skip,
            ),
            Mistake(
                "order of concatenation",
                "you concatenate [skip, x]; asked is [x, skip].",
                lambda x, skip: torch.cat([skip, interpolate(x, scale_factor=2, mode="nearest")], dim=1),
            ),
            Mistake(
                "no upsampling",
                "x is still half as large as the skip; double its size before you concatenate.",
                lambda x, skip: torch.cat([x, skip], dim=1),
            ),
            Mistake(
                "shrinks the skip",
                "you make the skip smaller; make x larger, or the detail is lost.",
                lambda x, skip: torch.cat([x, max_pool2d(skip, 2)], dim=1),
            ),
            Mistake(
                "blurs",
                "you interpolate between pixels; asked is repeating them (mode='nearest').",
                lambda x, skip: torch.cat([interpolate(x, scale_factor=2, mode="bilinear"), skip], dim=1),
            ),
            Mistake(
                "repeats the whole image",
                "you lay copies of the whole of x beside each other; repeat each of its pixels in place.",
                lambda x, skip: torch.cat([x.repeat(1, 1, 2, 2), skip], dim=1),
            ),
            Mistake(
                "concatenates images",
                "you concatenate along the batch (dim=0); channels are dim=1.",
                lambda x, skip: torch.cat([interpolate(x, scale_factor=2, mode="nearest"), skip], dim=0),
            ),
            Mistake(
                "drops the skip",
                "your result does not contain the skip.",
                lambda x, skip: interpolate(x, scale_factor=2, mode="nearest"),
            ),
        ),
        (
            "The two have different sizes: which one has to change?",
            "torch.nn.functional.interpolate(..., scale_factor=2, mode='nearest') repeats pixels.",
            "Then torch.cat([x, skip], dim=1).",
        ),
    ),
    Exercise(
        "training_step",
        "Write training_step(model, optimizer, noisy, clean): one step on the mean squared error; return the loss as a float.",
        _training_arguments,
        training_step,
        (
            Mistake(
                "forgets zero_grad",
                "gradients of earlier steps add up; call optimizer.zero_grad() first.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy) - clean).square().mean(), zero=False),
            ),
            Mistake("steps before backward", "you call optimizer.step() before loss.backward().", _step_first),
            Mistake(
                "the weights do not move",
                "the weights do not move: loss.backward() or optimizer.step() is missing, or stands in the wrong place.",
                _no_step,
            ),
            Mistake(
                "learns the noisy image",
                "your target is the noisy image: the network learns to do nothing.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy) - noisy).square().mean()),
            ),
            Mistake(
                "clips the target",
                "you clip the target; a clipped target is a biased one.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy) - clean.clamp(0, 1)).square().mean()),
            ),
            Mistake(
                "clips the output",
                "you clip the output in training: where it is clipped, the gradient is zero.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy).clamp(0, 1) - clean).square().mean()),
            ),
            Mistake(
                "sum for mean",
                "you add up the squared errors; the step grows with the batch. Take their mean.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy) - clean).square().sum()),
            ),
            Mistake(
                "absolute error",
                "you take the absolute error; asked is the squared one.",
                lambda m, o, noisy, clean: _step(m, o, (m(noisy) - clean).abs().mean()),
            ),
            Mistake(
                "returns the loss with its graph",
                "the step is right, but the loss that you return still carries its graph, and keeps it in memory; "
                "return a float.",
                _step_and_graph,
            ),
            Mistake(
                "input and target exchanged",
                "you denoise the clean image towards the noisy one.",
                lambda m, o, noisy, clean: _step(m, o, (m(clean) - noisy).square().mean()),
            ),
        ),
        (
            "Four calls: clear, compute, back, step.",
            "The old gradients have to go before backward() adds new ones.",
            "optimizer.zero_grad(); loss = ...; loss.backward(); optimizer.step(); return loss.item()",
        ),
        observe=_after_training,
        pure=False,
        evidence=False,
    ),
    Exercise(
        "test_error",
        "Write test_error(model, noisy, clean): the mean squared error as a float, in evaluation mode and without gradients.",
        _test_arguments,
        test_error,
        (
            Mistake(
                "forgets eval",
                "the network is still in training mode: batch normalisation mixes the test images; call model.eval().",
                lambda m, noisy, clean: _in_mode(m, noisy, clean, training=True),
            ),
            Mistake(
                "forgets no_grad",
                "your network records a graph for gradients that nobody needs here; use torch.no_grad().",
                _with_graph,
            ),
            Mistake(
                "neither eval nor no_grad",
                "two things are missing: the network is still in training mode, and it records a graph for gradients.",
                lambda m, noisy, clean: _with_graph(m, noisy, clean, training=True),
            ),
            Mistake(
                "compares with the input",
                "you compare the output with the noisy image.",
                lambda m, noisy, clean: _in_mode(m, noisy, noisy, training=False),
            ),
            Mistake(
                "does not denoise",
                "you compare the noisy image with the clean one; the network had no part in it.",
                lambda m, noisy, clean: float((noisy - clean).square().mean()),
            ),
            Mistake(
                "sum for mean",
                "you add up the squared errors; take their mean.",
                lambda m, noisy, clean: _in_mode(m, noisy, clean, False, "sum"),
            ),
            Mistake(
                "root of the error",
                "you take the root; asked is the mean squared error itself.",
                lambda m, noisy, clean: _in_mode(m, noisy, clean, False, "root"),
            ),
        ),
        (
            "Two things differ between training and testing: a mode of the network, and the gradients.",
            "model.eval() for the one, torch.no_grad() for the other.",
            "model.eval(); with torch.no_grad(): output = model(noisy); then the mean squared error as a float.",
        ),
        observe=_after_test,
        pure=False,
    ),
)
