"""Exercises of problem set 3, and the wrong answers that people give: pairs, losses and self-ensembles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .exercise import Exercise, Mistake

Way = tuple[int, bool]
WAYS: tuple[Way, ...] = tuple((quarters, flip) for flip in (False, True) for quarters in range(4))


def input_and_target(copies: Tensor) -> tuple[Tensor, Tensor]:
    return copies[0], copies[1:].mean(dim=0)


def hdr_loss(output: Tensor, target: Tensor) -> Tensor:
    scale = output.detach() + 0.01
    return ((output - target) / scale).square().mean()


def kept_pixels(clean: Tensor, mask: Tensor, p: float) -> Tensor:
    return clean * mask / p


def turn_pair(first: Tensor, second: Tensor, quarters: int, flip: bool) -> tuple[Tensor, Tensor]:
    first, second = torch.rot90(first, quarters, (2, 3)), torch.rot90(second, quarters, (2, 3))
    if flip:
        first, second = first.flip(3), second.flip(3)
    return first, second


def self_ensemble(model: nn.Module, x: Tensor) -> Tensor:
    outputs = []
    for quarters in range(4):
        turned = torch.rot90(x, quarters, (2, 3))
        outputs.append(torch.rot90(model(turned), -quarters, (2, 3)))
        outputs.append(torch.rot90(model(turned.flip(3)).flip(3), -quarters, (2, 3)))
    return torch.stack(outputs).mean(dim=0)


def _copies(generator: Generator) -> tuple[Any, ...]:
    clean = torch.rand(1, 2, 3, 6, 5, generator=generator)
    count = 4 + generator.initial_seed() % 3
    return (clean + 0.3 * torch.randn(count, 2, 3, 6, 5, generator=generator),)


def _bright_pair(generator: Generator) -> tuple[Any, ...]:
    output = 0.1 + 1.4 * torch.rand(2, 3, 4, 3, generator=generator)
    return output.requires_grad_(), 2 * torch.rand(2, 3, 4, 3, generator=generator)


def _value_and_gradient(arguments: tuple[Any, ...], loss: Any) -> tuple[Any, Tensor]:
    """The loss, and its gradient by the output: 0 where no graph leads there."""
    output = arguments[0]
    if isinstance(loss, tuple | list):
        return loss, torch.zeros(0)  # not the one number that is asked for, whatever it holds
    try:
        gradient = torch.autograd.grad(loss.sum(), output, allow_unused=True)[0]
    except (AttributeError, TypeError, RuntimeError):  # no tensor, or no graph
        gradient = None
    return loss, torch.zeros_like(output) if gradient is None else gradient


def _image_and_mask(generator: Generator) -> tuple[Any, ...]:
    kept = int(torch.randint(12, 18, (), generator=generator))
    order = torch.randperm(60, generator=generator).view(2, 1, 6, 5)
    p = kept / 60 + 0.03 + 0.03 * float(torch.rand((), generator=generator))  # not the share that is kept this time
    return torch.rand(2, 3, 6, 5, generator=generator), (order < kept).float(), p


def _pair_and_turn(generator: Generator) -> tuple[Any, ...]:
    # Six seeds in a row have each number of quarters with and without a flip: some wrong turns agree on some of them.
    seed = generator.initial_seed()
    first, second = (torch.rand(2, 3, 5, 5, generator=generator) for _ in range(2))
    return first, second, 1 + seed % 3, seed % 2 == 0


def _network_and_image(generator: Generator) -> tuple[Any, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 1, 3, padding=1)).requires_grad_(False)
        for weights in model.parameters():
            weights.mul_(3)  # the eight outputs differ the more
    return model, torch.rand(2, 1, 6, 6, generator=generator)


def _relative(error: Tensor, scale: Tensor) -> Tensor:
    return (error / scale).square().mean()


def _turned(image: Tensor, quarters: int, flip: bool) -> Tensor:
    return turn_pair(image, image, quarters, flip)[0]


def _turned_back(image: Tensor, quarters: int, flip: bool) -> Tensor:
    return torch.rot90(image.flip(3) if flip else image, -quarters, (2, 3))


def _turned_on(image: Tensor, quarters: int, flip: bool) -> Tensor:
    return torch.rot90(image.flip(3) if flip else image, quarters, (2, 3))


def _turned_back_first(image: Tensor, quarters: int, flip: bool) -> Tensor:
    image = torch.rot90(image, -quarters, (2, 3))
    return image.flip(3) if flip else image


def _outputs(model: nn.Module, x: Tensor, undo: Callable[[Tensor, int, bool], Tensor], ways: Sequence[Way] = WAYS) -> Tensor:
    turned = model(torch.cat([_turned(x, *way) for way in ways])).split(len(x))
    return torch.stack([undo(output, *way) for output, way in zip(turned, ways, strict=True)])


def _mean_of_turns(
    model: nn.Module, x: Tensor, undo: Callable[[Tensor, int, bool], Tensor], ways: Sequence[Way] = WAYS
) -> Tensor:
    return _outputs(model, x, undo, ways).mean(dim=0)


NOISE2NOISE_ASSIGNMENT = (
    Exercise(
        "input_and_target",
        "Write input_and_target(copies): copies (K, N, C, H, W) holds K independent noisy copies of each image. Return the "
        "tuple (input, target): the first copy, and the mean of all the others, (N, C, H, W) each. No clipping.",
        _copies,
        input_and_target,
        (
            Mistake(
                "the target contains the input",
                "your target's mean includes the first copy, and so its noise: the network learns to keep a part of it.",
                lambda copies: (copies[0], copies.mean(0)),
            ),
            Mistake(
                "sum for mean",
                "your target is the sum of the other copies; take their mean.",
                lambda copies: (copies[0], copies[1:].sum(0)),
            ),
            Mistake(
                "divides by all copies",
                "you divide by the number of all copies, but one of them is not in your sum: the target is too dark.",
                lambda copies: (copies[0], copies[1:].sum(0) / len(copies)),
            ),
            Mistake(
                "median for mean",
                "your target is the median of the copies; asked is their mean.",
                lambda copies: (copies[0], copies[1:].median(0).values),
            ),
            Mistake(
                "the second copy alone",
                "your target is the second copy alone; the mean of all that are left is less noisy.",
                lambda copies: (copies[0], copies[1]),
            ),
            Mistake(
                "the last copy alone",
                "your target is the last copy alone; the mean of all that are left is less noisy.",
                lambda copies: (copies[0], copies[-1]),
            ),
            Mistake(
                "exchanged",
                "you exchange the two: the input is one noisy copy.",
                lambda copies: (copies[1:].mean(0), copies[0]),
            ),
            Mistake(
                "an average for input",
                "your input is an average, too, and shares the noise of your target; it has to be the first copy alone.",
                lambda copies: (copies.mean(0), copies[1:].mean(0)),
            ),
            Mistake(
                "the last copy for input",
                "your input is the last copy and your target the mean of those before it; asked is the first as input.",
                lambda copies: (copies[-1], copies[:-1].mean(0)),
            ),
            Mistake(
                "mean over the images",
                "you take the first image for input and the mean over the other images; the copies are dimension 0.",
                lambda copies: (copies[:, 0], copies[:, 1:].mean(1)),
            ),
            Mistake(
                "clips",
                "you clip; a clipped target no longer has the clean image for its mean.",
                lambda copies: (copies[0].clamp(0, 1), copies[1:].mean(0).clamp(0, 1)),
            ),
            Mistake(
                "clips the target",
                "you clip the target: its mean is then no longer the clean image, and the network learns that.",
                lambda copies: (copies[0], copies[1:].mean(0).clamp(0, 1)),
            ),
        ),
        (
            "Which noise may be in both, input and target? How can the target be less noisy all the same?",
            "None may. The first copy is the input, so the target is made of copies[1:].",
            "copies[0], and the mean over dimension 0 of copies[1:]",
        ),
        graded=True,
    ),
    Exercise(
        "hdr_loss",
        "Write hdr_loss(output, target): the mean of ((output - target) / (output + 0.01))^2, one number, which can be "
        "differentiated by output; the denominator counts in the value, and as a constant in the gradient. All outputs are "
        ">= 0.",
        _bright_pair,
        hdr_loss,
        (
            Mistake(
                "gradient through the denominator",
                "the value is right, but the gradient flows through your denominator, too: a network could lower this loss by "
                "predicting too bright.",
                lambda output, target: _relative(output - target, output + 0.01),
            ),
            Mistake(
                "gradient through the denominator alone",
                "the value is right, but the gradient flows through your denominator and not through the difference: it is the "
                "other way round.",
                lambda output, target: _relative(output.detach() - target, output + 0.01),
            ),
            Mistake(
                "no gradient",
                "the value is right, but no gradient comes back from your loss to the output: nothing can be learnt from it.",
                lambda output, target: _relative(output.detach() - target, output.detach() + 0.01),
            ),
            Mistake(
                "divides by the target",
                "you divide by the target; it is noisy, and asked is the output.",
                lambda output, target: _relative(output - target, target + 0.01),
            ),
            Mistake(
                "forgets 0.01",
                "your denominator lacks the 0.01, without which black outputs divide by 0.",
                lambda output, target: _relative(output - target, output.detach()),
            ),
            Mistake(
                "0.01 added to the square",
                "you add 0.01 to the square of the output; add it before you square.",
                lambda output, target: ((output - target).square() / (output.detach().square() + 0.01)).mean(),
            ),
            Mistake(
                "denominator not squared",
                "you square the difference alone; the denominator is squared, too.",
                lambda output, target: ((output - target).square() / (output.detach() + 0.01)).mean(),
            ),
            Mistake(
                "no denominator",
                "yours is the plain squared error; asked is the error relative to the output.",
                lambda output, target: (output - target).square().mean(),
            ),
            Mistake(
                "sum for mean",
                "you add up the relative errors; take their mean.",
                lambda output, target: ((output - target) / (output.detach() + 0.01)).square().sum(),
            ),
            Mistake(
                "absolute error",
                "you take the size of the relative error; asked is its square.",
                lambda output, target: ((output - target) / (output.detach() + 0.01)).abs().mean(),
            ),
            Mistake(
                "no mean",
                "you return one number for each pixel; return their mean.",
                lambda output, target: ((output - target) / (output.detach() + 0.01)).square(),
            ),
        ),
        (
            "A constant adds nothing to a gradient. What makes a constant of a tensor that has a graph?",
            "output.detach() has the same values and no graph: use it in the denominator alone.",
            "((output - target) / (output.detach() + 0.01)).square().mean()",
        ),
        observe=_value_and_gradient,
        graded=True,
    ),
    Exercise(
        "kept_pixels",
        "Write kept_pixels(clean, mask, p): mask (N, 1, H, W) is 1.0 where a pixel is kept, with probability p, else 0.0. "
        "Return clean (N, C, H, W), 0 where lost, and so scaled with p that its mean over all masks is clean; no clipping.",
        _image_and_mask,
        kept_pixels,
        (
            Mistake(
                "no division",
                "you do not make up for the lost pixels: the mean over many masks is p times the clean image.",
                lambda clean, mask, p: clean * mask,
            ),
            Mistake(
                "divides by 1 - p",
                "you divide by the probability that a pixel is lost; p is the probability that it is kept.",
                lambda clean, mask, p: clean * mask / (1 - p),
            ),
            Mistake(
                "mask inverted",
                "you keep the pixels that are lost; the mask is 1 where a pixel is kept.",
                lambda clean, mask, p: clean * (1 - mask) / p,
            ),
            Mistake(
                "kept and lost exchanged",
                "you exchange kept and lost, in the mask and in the probability.",
                lambda clean, mask, p: clean * (1 - mask) / (1 - p),
            ),
            Mistake(
                "clips",
                "you clip: where that cuts something off, the mean is no longer the clean image.",
                lambda clean, mask, p: (clean * mask / p).clamp(0, 1),
            ),
            Mistake(
                "multiplies by p",
                "you make the pixels darker by p; they have to make up for those that are lost.",
                lambda clean, mask, p: clean * mask * p,
            ),
            Mistake(
                "divides by the share of this mask",
                "you divide by the share that this mask keeps; asked is the probability p, which is the same for all masks.",
                lambda clean, mask, p: clean * mask / mask.mean(),
            ),
            Mistake(
                "divides twice",
                "you divide by p squared: the mean over many masks is too bright.",
                lambda clean, mask, p: clean * mask / p**2,
            ),
            Mistake(
                "divides by the root of p",
                "you divide by the root of p: that keeps the mean of the squares, and not the mean.",
                lambda clean, mask, p: clean * mask / p**0.5,
            ),
            Mistake(
                "loses nothing",
                "your result has no lost pixels: the mask plays no part in it.",
                lambda clean, mask, p: clean / p,
            ),
        ),
        (
            "A pixel has the value a with probability p, and else 0. What is its mean?",
            "p a. What must a be, so that this is the clean pixel?",
            "clean / p where the mask is 1, and 0 elsewhere: multiply by the mask.",
        ),
        graded=True,
    ),
    Exercise(
        "turn_pair",
        "Write turn_pair(first, second, quarters, flip): both images (N, C, H, H) turned by that many quarter turns, as "
        "torch.rot90 does in dimensions (2, 3); then, if flip, mirrored left-right (dimension 3); as a tuple (first, second).",
        _pair_and_turn,
        turn_pair,
        (
            Mistake(
                "the first alone",
                "you change the first image alone: the pixels of a pair have to stay together.",
                lambda first, second, quarters, flip: (_turned(first, quarters, flip), second),
            ),
            Mistake(
                "mirrors the first alone",
                "you turn both images, but mirror the first alone.",
                lambda first, second, quarters, flip: (_turned(first, quarters, flip), _turned(second, quarters, False)),
            ),
            Mistake(
                "turns the first alone",
                "you mirror both images, but turn the first alone.",
                lambda first, second, quarters, flip: (_turned(first, quarters, flip), _turned(second, 0, flip)),
            ),
            Mistake(
                "the second against the first",
                "you turn the second image the other way than the first.",
                lambda first, second, quarters, flip: (_turned(first, quarters, flip), _turned(second, -quarters, flip)),
            ),
            Mistake(
                "turns the other way",
                "you turn clockwise; torch.rot90 turns counter-clockwise.",
                lambda first, second, quarters, flip: turn_pair(first, second, -quarters, flip),
            ),
            Mistake(
                "mirrors top-bottom",
                "you mirror top-bottom; left-right is dimension 3.",
                lambda first, second, quarters, flip: turn_pair(first, second, quarters + 2 * flip, flip),
            ),
            Mistake(
                "mirrors before turning",
                "you mirror before you turn; turn first, for the order matters.",
                lambda first, second, quarters, flip: turn_pair(first, second, -quarters if flip else quarters, flip),
            ),
            Mistake(
                "always mirrors",
                "you mirror whether flip is true or not.",
                lambda first, second, quarters, flip: turn_pair(first, second, quarters, True),
            ),
            Mistake(
                "never mirrors",
                "you turn, but never mirror.",
                lambda first, second, quarters, flip: turn_pair(first, second, quarters, False),
            ),
            Mistake(
                "never turns",
                "you mirror, but never turn.",
                lambda first, second, quarters, flip: turn_pair(first, second, 0, flip),
            ),
            Mistake(
                "always one quarter",
                "you turn by one quarter, whatever quarters says.",
                lambda first, second, quarters, flip: turn_pair(first, second, 1, flip),
            ),
            Mistake(
                "turns or mirrors",
                "where flip is true you mirror and do not turn; asked are both.",
                lambda first, second, quarters, flip: turn_pair(first, second, 0 if flip else quarters, flip),
            ),
            Mistake(
                "turns images into channels",
                "you turn dimensions (0, 1), images and channels, as torch.rot90 does if it is told no dimensions.",
                lambda first, second, quarters, flip: tuple(
                    torch.rot90(image, quarters).flip(3) if flip else torch.rot90(image, quarters) for image in (first, second)
                ),
            ),
            Mistake(
                "exchanged",
                "your two results are exchanged.",
                lambda first, second, quarters, flip: turn_pair(second, first, quarters, flip),
            ),
        ),
        (
            "Whatever is done to the one image is done to the other, in the same order.",
            "torch.rot90(image, quarters, (2, 3)) turns, .flip(3) mirrors.",
            "For each of the two: image = torch.rot90(image, quarters, (2, 3)); then image.flip(3) if flip else image.",
        ),
        cases=6,
        evidence=False,  # a turned image has the same mean and range
        graded=True,
    ),
    Exercise(
        "self_ensemble",
        "Write self_ensemble(model, x): turn x (N, C, H, H) in all eight ways (by 0 to 3 quarters, each with and without a "
        "mirror), let model denoise each, undo the turn on each output, and return the mean of the eight, in the shape of x.",
        _network_and_image,
        self_ensemble,
        (
            Mistake(
                "does not turn back",
                "you do not undo the turns, and so average images that lie in different ways.",
                lambda model, x: _mean_of_turns(model, x, lambda output, quarters, flip: output),
            ),
            Mistake(
                "turns back the wrong way",
                "to turn back you turn once more in the same direction; a turn by one quarter is undone by minus one.",
                lambda model, x: _mean_of_turns(model, x, _turned_on),
            ),
            Mistake(
                "undoes in the wrong order",
                "you undo turn and mirror in the order in which you did them; what was done last is undone first.",
                lambda model, x: _mean_of_turns(model, x, _turned_back_first),
            ),
            Mistake(
                "does not mirror back",
                "you undo the turns, but leave the mirrored outputs mirrored.",
                lambda model, x: _mean_of_turns(model, x, lambda output, quarters, flip: _turned_back(output, quarters, False)),
            ),
            Mistake(
                "sum for mean",
                "you add up the eight outputs; take their mean.",
                lambda model, x: _outputs(model, x, _turned_back).sum(dim=0),
            ),
            Mistake(
                "median for mean",
                "you take the median of the eight outputs; asked is their mean.",
                lambda model, x: _outputs(model, x, _turned_back).median(dim=0).values,
            ),
            Mistake(
                "all eight outputs",
                "you return all eight outputs; return their mean.",
                lambda model, x: _outputs(model, x, _turned_back),
            ),
            Mistake(
                "four turns alone",
                "you take the four turns without their mirror images; there are eight.",
                lambda model, x: _mean_of_turns(model, x, _turned_back, WAYS[:4]),
            ),
            Mistake(
                "mirrored turns alone",
                "you mirror each of the four turns, and leave out those without a mirror; there are eight.",
                lambda model, x: _mean_of_turns(model, x, _turned_back, WAYS[4:]),
            ),
            Mistake(
                "one mirror alone",
                "you take the image and its mirror image, without the quarter turns.",
                lambda model, x: _mean_of_turns(model, x, _turned_back, WAYS[::4]),
            ),
            Mistake(
                "mirrors without quarter turns",
                "you mirror left-right and top-bottom; images turned by one and three quarters are missing.",
                lambda model, x: _mean_of_turns(model, x, _turned_back, WAYS[::2]),
            ),
            Mistake(
                "forgets the image as it is",
                "the output for the image as it is has no part in your mean.",
                lambda model, x: _mean_of_turns(model, x, _turned_back, WAYS[1:]),
            ),
            Mistake(
                "averages the inputs",
                "you average the turned images before the network sees them; average its outputs.",
                lambda model, x: model(_mean_of_turns(nn.Identity(), x, lambda image, quarters, flip: image)),
            ),
            Mistake(
                "turns the outputs alone",
                "the network sees the image as it is each time, and you turn its outputs; turn what it sees, too.",
                lambda model, x: _mean_of_turns(nn.Identity(), model(x), lambda image, quarters, flip: image),
            ),
            Mistake(
                "the plain output",
                "your result is model(x): all that the network sees is the image as it is.",
                lambda model, x: model(x),
            ),
        ),
        (
            "Eight times: turn, denoise, turn back. Then one mean.",
            "What was done last is undone first: turn and mirror; the network; mirror and turn by minus as many quarters.",
            "torch.rot90(model(turned.flip(3)).flip(3), -quarters, (2, 3)) for turned = torch.rot90(x, quarters, (2, 3)), and "
            "the same without both flips.",
        ),
        cases=2,
        graded=True,
    ),
)
