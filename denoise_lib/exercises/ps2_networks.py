"""Exercises of problem set 2, and the wrong answers that people give: sizes, skips, and errors over batches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .exercise import Exercise, Mistake


def receptive_field(layers: list[tuple[int, int]]) -> int:
    side, jump = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * jump
        jump *= stride
    return side


def transposed_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size - 1) * stride - 2 * padding + kernel


def ablated_join(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros_like(skip)], dim=1)


def error_over_batches(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for noisy, clean in batches:
            total += float((model(noisy) - clean).square().sum())
            count += clean.numel()
    return total / count


def blend_each(clean: Tensor, noise: Tensor, mus: Tensor) -> Tensor:
    mu = mus[:, None, None, None]
    return ((1 - mu) * clean + mu * noise).clamp(0, 1)


def _layers(generator: Generator) -> tuple[Any, ...]:
    """Strides of 1, 2, 2 and 3 in any order, and kernels that are no smaller than a stride, so that no pixel is left out."""
    strides = torch.tensor([1, 2, 2, 3])[torch.randperm(4, generator=generator)].tolist()
    kernels = torch.randint(3, 12, (4,), generator=generator).tolist()
    return (list(zip(kernels, strides, strict=True)),)


def _one_number_sees(
    layers: list[tuple[int, int]], first: int = 1, less: int = 1, *, wide: bool = True, late: bool = False, how: str = "product"
) -> int:
    """A receptive field, counted in one of the wrong ways."""
    side, jump = first, 1
    for kernel, stride in layers:
        after = {"product": jump * stride, "sum": jump + stride, "last": stride, "none": 1}[how]
        side += (kernel - less if wide else kernel // 2) * (after if late else jump)
        jump = after
    return side


def _size_and_layer(generator: Generator) -> tuple[Any, ...]:
    """For each of these kernels, strides and paddings all the wrong formulas give different sizes."""
    layers = ((4, 7, 1), (5, 6, 4), (6, 3, 2), (7, 2, 3), (8, 4, 3), (8, 5, 2), (9, 3, 4), (9, 5, 1))
    size = int(torch.randint(16, 40, (), generator=generator))
    return size, *layers[int(torch.randint(len(layers), (), generator=generator))]


def _features_and_skip(generator: Generator) -> tuple[Any, ...]:
    x, skip = torch.randn(2, 3, 4, 5, generator=generator), torch.rand(2, 4, 4, 5, generator=generator)
    return x, 0.2 + skip


def _without(x: Tensor, skip: Tensor, dims: tuple[int, ...]) -> Tensor:
    return torch.cat([x, skip.mean(dims, keepdim=True).expand_as(skip)], dim=1)


def _model_and_batches(generator: Generator) -> tuple[Any, ...]:
    """Batches of 5, 2 and 1 images in any order, small ones with larger errors; the model notes whether it keeps a graph."""
    model = nn.Sequential(nn.BatchNorm2d(1), nn.AvgPool2d(3, stride=1, padding=1))
    model.register_forward_hook(lambda m, given, output: setattr(m, "kept", getattr(m, "kept", False) or output.requires_grad))
    batches = []
    for place in torch.randperm(3, generator=generator).tolist():
        images, contrast = ((5, 0.2), (2, 0.6), (1, 1.0))[place]
        clean = contrast * (0.5 + 0.5 * torch.rand(images, 1, 6, 5, generator=generator))
        batches.append((clean + contrast * torch.randn(images, 1, 6, 5, generator=generator), clean))
    return model.train(), batches


def _after_batches(arguments: tuple[Any, ...], output: Any) -> list[Any]:
    model = arguments[0]
    return [torch.as_tensor(output), float(getattr(model, "kept", False)), float(model[0].running_mean)]


def _errors(model: nn.Module, batches: list[tuple[Tensor, Tensor]], training: bool = False) -> list[Tensor]:
    """The squared errors of each batch."""
    model.train(training)
    with torch.no_grad():
        return [(model(noisy) - clean).square() for noisy, clean in batches]


def _pooled(parts: list[Tensor]) -> float:
    return float(torch.cat(parts).mean())


def _with_graph(model: nn.Module, batches: list[tuple[Tensor, Tensor]], training: bool = False) -> float:
    model.train(training)
    return _pooled([(model(noisy) - clean).square().detach() for noisy, clean in batches])


def _absolute(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    return _pooled([part.sqrt() for part in _errors(model, batches)])


def _clipped(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    with torch.no_grad():
        return _pooled([(model(noisy).clamp(0, 1) - clean).square() for noisy, clean in batches])


def _to_noisy(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    return _pooled(_errors(model, [(noisy, noisy) for noisy, _ in batches]))


def _images_and_mus(generator: Generator) -> tuple[Any, ...]:
    """Three images with 3 channels, 3 rows and 3 columns: three mus fit everywhere."""
    mus = torch.tensor([0.15, 0.3, 0.75])[torch.randperm(3, generator=generator)] + 0.1 * torch.rand(3, generator=generator)
    return torch.rand(3, 3, 3, 3, generator=generator), torch.randn(3, 3, 3, 3, generator=generator), mus


def _blend(clean: Tensor, noise: Tensor, mu: Tensor) -> Tensor:
    return ((1 - mu) * clean + mu * noise).clamp(0, 1)


def _each(mus: Tensor) -> Tensor:
    return mus.reshape(-1, 1, 1, 1)


NETWORK_ASSIGNMENT = (
    Exercise(
        "receptive_field",
        "Write receptive_field(layers): how many pixels wide the square of the input is that one number of the output sees, as "
        "an int. layers is a list of pairs (kernel, stride), from the input to the output.",
        _layers,
        receptive_field,
        (
            Mistake(
                "ignores the strides",
                "you ignore the strides: after a stride of 2, one step is two pixels of the input.",
                lambda layers: _one_number_sees(layers, how="none"),
            ),
            Mistake(
                "counts the stride too early",
                "you count a layer's stride before its kernel; it counts for the layers that follow.",
                lambda layers: _one_number_sees(layers, late=True),
            ),
            Mistake(
                "whole kernels",
                "you add the whole kernel; one of its places was there before.",
                lambda layers: _one_number_sees(layers, less=0),
            ),
            Mistake(
                "whole kernels from 0",
                "you start at 0 and add whole kernels, so that places between neighbouring kernels count twice.",
                lambda layers: _one_number_sees(layers, first=0, less=0),
            ),
            Mistake(
                "starts at 0",
                "you start at 0; without any layer, a number sees itself.",
                lambda layers: _one_number_sees(layers, first=0),
            ),
            Mistake(
                "product of the kernels",
                "you multiply the kernels; each adds to what is seen.",
                lambda layers: math.prod(kernel for kernel, _ in layers),
            ),
            Mistake(
                "sum of the kernels",
                "you add up the kernels; they overlap, and strides stretch the later ones.",
                lambda layers: sum(kernel for kernel, _ in layers),
            ),
            Mistake(
                "adds the strides",
                "you add up the strides; two strides of 2 make steps of four pixels, and three of eight.",
                lambda layers: _one_number_sees(layers, how="sum"),
            ),
            Mistake(
                "the last stride alone",
                "you count the stride of the layer before alone; all earlier ones count together.",
                lambda layers: _one_number_sees(layers, how="last"),
            ),
            Mistake(
                "from the output to the input",
                "you take the layers in the wrong order; the input's come first.",
                lambda layers: receptive_field(layers[::-1]),
            ),
            Mistake(
                "one side alone",
                "you count one side of each kernel; it reaches to both.",
                lambda layers: _one_number_sees(layers, wide=False),
            ),
            Mistake(
                "area",
                "you return the number of pixels in the square; asked is its side.",
                lambda layers: receptive_field(layers) ** 2,
            ),
        ),
        (
            "Draw it in one dimension: a kernel of 3, a stride of 2, another kernel of 3. Which pixels does one output see?",
            "How many pixels of the input lie between two neighbours of the present layer? That number grows with each stride.",
            "Keep two numbers in a loop: the width so far, and the step in pixels of the input. Both begin with 1.",
        ),
        tolerance=1e-9,
        cases=6,
        graded=True,
    ),
    Exercise(
        "transposed_size",
        "Write transposed_size(size, kernel, stride, padding): the output's side, an int, of a transposed convolution of an "
        "image of that side, as torch.nn.ConvTranspose2d has it, without output padding or dilation.",
        _size_and_layer,
        transposed_size,
        (
            Mistake(
                "the ordinary convolution",
                "that is the size after an ordinary convolution; a transposed one makes images larger.",
                lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride + 1,
            ),
            Mistake(
                "forgets the padding",
                "you forget the padding, which is cut off here.",
                lambda size, kernel, stride, padding: (size - 1) * stride + kernel,
            ),
            Mistake(
                "padding on one side",
                "you count the padding once; there are two sides.",
                lambda size, kernel, stride, padding: (size - 1) * stride - padding + kernel,
            ),
            Mistake(
                "adds the padding",
                "you add the padding; a transposed convolution cuts it off.",
                lambda size, kernel, stride, padding: (size - 1) * stride + 2 * padding + kernel,
            ),
            Mistake(
                "adds the padding of one side",
                "you add the padding, and once; a transposed convolution cuts it off, on two sides.",
                lambda size, kernel, stride, padding: (size - 1) * stride + padding + kernel,
            ),
            Mistake(
                "one step too many",
                "you count as many steps as pixels; between the first and the last there is one less.",
                lambda size, kernel, stride, padding: size * stride - 2 * padding + kernel,
            ),
            Mistake(
                "size times stride",
                "that is true for some kernels and paddings alone; count them.",
                lambda size, kernel, stride, padding: size * stride,
            ),
            Mistake(
                "forgets the kernel",
                "you forget the kernel: each pixel becomes a whole patch of its size.",
                lambda size, kernel, stride, padding: (size - 1) * stride - 2 * padding,
            ),
            Mistake(
                "kernel less 1",
                "your result is one pixel too small.",
                lambda size, kernel, stride, padding: (size - 1) * stride - 2 * padding + kernel - 1,
            ),
            Mistake(
                "ignores the stride",
                "you ignore the stride, that is, how far apart the pixels are put.",
                lambda size, kernel, stride, padding: size - 1 - 2 * padding + kernel,
            ),
        ),
        (
            "Each pixel of the input becomes a patch of the kernel's size; neighbouring patches begin `stride` apart.",
            "Where does the last patch begin, and where does it end?",
            "Solve the formula of the ordinary convolution for the size of its input: `padding` goes off at both ends.",
        ),
        tolerance=1e-9,
        cases=6,
        graded=True,
    ),
    Exercise(
        "ablated_join",
        "Write ablated_join(x, skip): what the decoder gets in place of [x, skip], joined along the channels, when the skip is "
        "cut off: zeros where the skip was, x and all shapes as before.",
        _features_and_skip,
        ablated_join,
        (
            Mistake(
                "keeps the skip",
                "the skip is still there.",
                lambda x, skip: torch.cat([x, skip], dim=1),
            ),
            Mistake(
                "drops the skip",
                "your result has x's channels alone, and the next layer does not fit; keep the shape.",
                lambda x, skip: x,
            ),
            Mistake(
                "cuts off x",
                "you cut off x and keep the skip; it is the other way round.",
                lambda x, skip: torch.cat([torch.zeros_like(x), skip], dim=1),
            ),
            Mistake(
                "cuts off both",
                "you cut off x, too; the decoder goes on with it.",
                lambda x, skip: torch.cat([torch.zeros_like(x), torch.zeros_like(skip)], dim=1),
            ),
            Mistake(
                "ones",
                "there are ones in place of the skip; a layer makes something of these.",
                lambda x, skip: torch.cat([x, torch.ones_like(skip)], dim=1),
            ),
            Mistake(
                "order",
                "your zeros come before x; the skip's place is behind it.",
                lambda x, skip: torch.cat([torch.zeros_like(skip), x], dim=1),
            ),
            Mistake(
                "joins the images",
                "you join along the batch (dim=0), where the numbers of channels do not fit; channels are dim=1.",
                lambda x, skip: torch.cat([x, torch.zeros_like(skip)], dim=0),
            ),
            Mistake(
                "number by number",
                "you add or multiply number by number, and the numbers of channels do not fit; join the channels.",
                lambda x, skip: x + torch.zeros_like(skip),
            ),
            Mistake(
                "mean of the skip",
                "you leave the mean of the whole skip in its place; that still tells the brightness.",
                lambda x, skip: _without(x, skip, (0, 1, 2, 3)),
            ),
            Mistake(
                "mean of each channel",
                "you leave each channel's mean in the skip's place; that still tells something of the image.",
                lambda x, skip: _without(x, skip, (2, 3)),
            ),
            Mistake(
                "zeros in x's shape",
                "your zeros have the shape of x; they take the skip's place, and it has another number of channels.",
                lambda x, skip: torch.cat([x, torch.zeros_like(x)], dim=1),
            ),
            Mistake(
                "the first image alone",
                "you cut off the skip of the first image alone.",
                lambda x, skip: torch.cat([x, torch.cat([torch.zeros_like(skip[:1]), skip[1:]])], dim=1),
            ),
        ),
        (
            "The next layer expects as many channels as before. What carries no information?",
            "Zeros in the skip's shape; the skip itself stays as it is, because others may need it.",
            "torch.zeros_like makes them, and torch.cat joins along the channels, which are dimension 1.",
        ),
        graded=True,
    ),
    Exercise(
        "error_over_batches",
        "Write error_over_batches(model, batches): the mean squared error of the model's unclipped outputs over all pixels of "
        "all images together, as a float, in evaluation mode and without gradients. batches is a list of (noisy, clean), of "
        "unequal sizes.",
        _model_and_batches,
        error_over_batches,
        (
            Mistake(
                "mean of means",
                "you average the batches' means: an image in a small batch counts more than one in a large batch.",
                lambda model, batches: sum(float(part.mean()) for part in _errors(model, batches)) / len(batches),
            ),
            Mistake(
                "sum of means",
                "you add up the batches' means; that grows with the number of batches.",
                lambda model, batches: sum(float(part.mean()) for part in _errors(model, batches)),
            ),
            Mistake(
                "sum",
                "you add up the squared errors; take their mean.",
                lambda model, batches: float(torch.cat(_errors(model, batches)).sum()),
            ),
            Mistake(
                "divides by the images",
                "you divide by the number of images; divide by that of the pixels.",
                lambda model, batches: float(torch.cat(_errors(model, batches)).sum(dim=(1, 2, 3)).mean()),
            ),
            Mistake(
                "divides by the batches",
                "you divide by the number of batches; divide by that of the pixels.",
                lambda model, batches: float(torch.cat(_errors(model, batches)).sum()) / len(batches),
            ),
            Mistake(
                "last batch alone",
                "your result is that of the last batch alone.",
                lambda model, batches: float(_errors(model, batches)[-1].mean()),
            ),
            Mistake(
                "first batch alone",
                "your result is that of the first batch alone.",
                lambda model, batches: float(_errors(model, batches[:1])[0].mean()),
            ),
            Mistake(
                "forgets eval",
                "the network is still in training mode: batch normalisation mixes the images of a batch, and learns from them.",
                lambda model, batches: _pooled(_errors(model, batches, training=True)),
            ),
            Mistake(
                "forgets eval, and mean of means",
                "the network is still in training mode; and you average the batches' means, though the batches are unequal.",
                lambda model, batches: sum(float(part.mean()) for part in _errors(model, batches, True)) / len(batches),
            ),
            Mistake(
                "forgets no_grad",
                "the number is right, but the network keeps a graph for gradients that nobody needs.",
                _with_graph,
            ),
            Mistake(
                "neither eval nor no_grad",
                "two things are missing: the network is still in training mode, and it keeps a graph for gradients.",
                lambda model, batches: _with_graph(model, batches, training=True),
            ),
            Mistake(
                "clips the output",
                "you clip the output; asked is the error of what the network returns.",
                _clipped,
            ),
            Mistake("compares with the input", "you compare the output with the noisy image.", _to_noisy),
            Mistake(
                "does not denoise",
                "you compare the noisy image with the clean one; the network had no part in it.",
                lambda model, batches: _pooled([(noisy - clean).square() for noisy, clean in batches]),
            ),
            Mistake(
                "root of the error",
                "you take the root; asked is the mean squared error itself.",
                lambda model, batches: math.sqrt(_pooled(_errors(model, batches))),
            ),
            Mistake("absolute error", "you take the absolute error; asked is the squared one.", _absolute),
        ),
        (
            "Three images in two batches, two in one and one in the other: how much has each image to weigh?",
            "Add up the squared errors over the batches, count the pixels as well, and divide once, at the end.",
            "A mode of the network and a context of torch have to be set, too: see `test_error` of notebook 2.",
        ),
        observe=_after_batches,
        tolerance=1e-5,
        evidence=False,
        graded=True,
    ),
    Exercise(
        "blend_each",
        "Write blend_each(clean, noise, mus): the blend (1 - mu) image + mu noise, clipped to [0, 1], where every image of "
        "clean (N, C, H, W) has its own mu: mus has the shape (N,).",
        _images_and_mus,
        blend_each,
        (
            Mistake(
                "a mu for each column",
                "each column has its own mu: torch aligns shapes from the right, and finds the width first.",
                lambda clean, noise, mus: _blend(clean, noise, mus),
            ),
            Mistake(
                "a mu for each row",
                "each row has its own mu; the batch is the first dimension of four.",
                lambda clean, noise, mus: _blend(clean, noise, mus[:, None]),
            ),
            Mistake(
                "a mu for each channel",
                "each channel has its own mu; the batch is the first dimension of four.",
                lambda clean, noise, mus: _blend(clean, noise, mus[:, None, None]),
            ),
            Mistake(
                "the mean mu",
                "all images have the same mu, the mean of the given ones.",
                lambda clean, noise, mus: _blend(clean, noise, mus.mean()),
            ),
            Mistake(
                "the first mu",
                "all images have the first one's mu.",
                lambda clean, noise, mus: _blend(clean, noise, mus[0]),
            ),
            Mistake(
                "the last mu",
                "all images have the last one's mu.",
                lambda clean, noise, mus: _blend(clean, noise, mus[-1]),
            ),
            Mistake(
                "does not dim the image",
                "you add the noise to the full image; the blend dims it.",
                lambda clean, noise, mus: (clean + _each(mus) * noise).clamp(0, 1),
            ),
            Mistake(
                "does not clip",
                "your values leave [0, 1]; clip them.",
                lambda clean, noise, mus: (1 - _each(mus)) * clean + _each(mus) * noise,
            ),
            Mistake(
                "neither dims nor clips",
                "you add the noise to the full image, and let values leave [0, 1]; the blend dims the image and clips the sum.",
                lambda clean, noise, mus: clean + _each(mus) * noise,
            ),
            Mistake(
                "mu on the wrong side",
                "you weigh the image with mu and the noise with 1 - mu; it is the other way round.",
                lambda clean, noise, mus: _blend(clean, noise, 1 - _each(mus)),
            ),
            Mistake(
                "mu as a variance",
                "you scale the noise with the root of mu; mu is its standard deviation.",
                lambda clean, noise, mus: ((1 - _each(mus)) * clean + _each(mus).sqrt() * noise).clamp(0, 1),
            ),
            Mistake(
                "clips the noise",
                "you clip the noise before it is added; clip the sum.",
                lambda clean, noise, mus: (1 - _each(mus)) * clean + _each(mus) * noise.clamp(0, 1),
            ),
            Mistake(
                "noise of its own",
                "you draw noise of your own; mix in the noise that is given.",
                lambda clean, noise, mus: _blend(clean, torch.randn_like(clean), _each(mus)),
            ),
            Mistake(
                "columns, and no clipping",
                "each column has its own mu, because torch aligns shapes from the right; and your values leave [0, 1].",
                lambda clean, noise, mus: (1 - mus) * clean + mus * noise,
            ),
        ),
        (
            "Which shape must the mus have so that they fit (N, C, H, W) with one number for each image?",
            "Torch aligns shapes from the right: (N,) meets the columns. Where should N stand, and what behind it?",
            "Make a tensor of four dimensions of the mus, with view, reshape or None as an index; the rest is the blend.",
        ),
        cases=8,
        graded=True,
    ),
)
