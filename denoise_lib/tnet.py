"""The second paper's networks, layer by layer, and one of the course's own.

`TNet`, `BaseNet` and `Noise2NoiseUNet` are those that the paper compares on 32x32 color photos (N, 3, H, W); `TinyDenoiser` is
the course's answer to them. Each maps noisy images to clean ones of the same shape. Predictions can leave [0, 1]: clip them
before you look or measure PSNR.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d, relu

from .internal.checks import check_flag, check_input_size, check_model, check_output


class TNet(nn.Module):
    """TNet, the thin network of the second paper (Figure 1): 43,064 parameters; 43,486 with batch normalisation.

    | layer | operation, each conv 3x3 with padding 1            | output     | parameters |
    |-------|----------------------------------------------------|------------|-----------:|
    | x1    | conv 3-16 of act(x), act                           | 16 x H     |        448 |
    | x2    | max pool 2 of act(x1); conv 16-32, act             | 32 x H/2   |      4,640 |
    | x3    | max pool 4 of act(x2); conv 32-32, act             | 32 x H/8   |      9,248 |
    | z     | max pool 4 of act(x3), act: the latent             | 32 x H/32  |            |
    | d4    | concatenate [up 4 (z), x3]; act; conv 64-32, act   | 32 x H/8   |     18,464 |
    | d5    | concatenate [up 4 (d4), x2]; act; conv 64-16, act  | 16 x H/2   |      9,232 |
    | x7    | concatenate [up 2 (d5), x1]; conv 32-3, act        | 3 x H      |        867 |
    | out   | concatenate [x7, x]; conv 6-3, act                 | 3 x H      |        165 |

    `act` is the leaky ReLU of slope 0.1. Along the main path it is applied twice in a row, so that negative values
    shrink to 1 %; the figure's legend says "ReLU". The paper's "residual connections" are concatenations, and its
    upsampling repeats pixels. z is the greatest value of each 32x32 block: its place is lost.

    Args:
        batch_norm: normalise x1, x2, x3, both inputs of d4 and d5 after the concatenation, and x7; 422 more parameters.
    """

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        self.batch_norm = check_flag(batch_norm, "batch_norm")
        self.conv_1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv_2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv_3 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv_4 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv_5 = nn.Conv2d(64, 16, 3, padding=1)
        self.conv_6 = nn.Conv2d(32, 3, 3, padding=1)
        self.conv_7 = nn.Conv2d(6, 3, 3, padding=1)
        widths = (16, 32, 32, 64, 64, 3)
        norms = [nn.BatchNorm2d(width) if batch_norm else nn.Identity() for width in widths]
        self.norm_1, self.norm_2, self.norm_3, self.norm_4, self.norm_5, self.norm_6 = norms

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), H and W divisible by 32."""
        check_input_size(x, channels=3, multiple=32, network="TNet", weight=self.conv_1.weight)
        x1 = self.norm_1(_act(self.conv_1(_act(x))))  # (N, 16, H, W)
        x2 = self.norm_2(_act(self.conv_2(max_pool2d(_act(x1), 2))))  # (N, 32, H/2, W/2)
        x3 = self.norm_3(_act(self.conv_3(max_pool2d(_act(x2), 4))))  # (N, 32, H/8, W/8)
        z = _act(max_pool2d(_act(x3), 4))  # (N, 32, H/32, W/32)
        x4 = self.norm_4(torch.cat([_up(z, 4), x3], dim=1))  # (N, 64, H/8, W/8)
        d4 = _act(self.conv_4(_act(x4)))  # (N, 32, H/8, W/8)
        x5 = self.norm_5(torch.cat([_up(d4, 4), x2], dim=1))  # (N, 64, H/2, W/2)
        d5 = _act(self.conv_5(_act(x5)))  # (N, 16, H/2, W/2)
        x6 = torch.cat([_up(d5, 2), x1], dim=1)  # (N, 32, H, W)
        x7 = self.norm_6(_act(self.conv_6(x6)))  # (N, 3, H, W)
        out: Tensor = _act(self.conv_7(torch.cat([x7, x], dim=1)))  # (N, 6, H, W) -> (N, 3, H, W)
        return out

    def extra_repr(self) -> str:
        """What `print` adds to the layers, and a checkpoint compares."""
        return f"batch_norm={self.batch_norm}"


class BaseNet(nn.Module):
    """BaseNet, the second paper's autoencoder without skips: 166,923 parameters. It takes 32x32 images alone.

    No padding, a ReLU after every layer, the last included:

    | encoder, conv         | output  | parameters | decoder, transposed conv | output  | parameters |
    |-----------------------|---------|-----------:|--------------------------|---------|-----------:|
    | 5x5, 3-32             | 32 x 28 |      2,432 | 4x4, 8-32                | 32 x 4  |      4,128 |
    | 5x5, 32-32            | 32 x 24 |     25,632 | 3x3 stride 2, 32-32      | 32 x 9  |      9,248 |
    | 5x5, 32-32            | 32 x 20 |     25,632 | 4x4 stride 2, 32-32      | 32 x 20 |     16,416 |
    | 4x4 stride 2, 32-32   | 32 x 9  |     16,416 | 5x5, 32-32               | 32 x 24 |     25,632 |
    | 3x3 stride 2, 32-32   | 32 x 4  |      9,248 | 5x5, 32-32               | 32 x 28 |     25,632 |
    | 4x4, 32-8: the latent | 8 x 1   |      4,104 | 5x5, 32-3                | 3 x 32  |      2,403 |

    The paper's 6.95 dB for it is what the untrained network scores; trained, it passes 12 dB in a few minutes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3, 32, 5),
                nn.Conv2d(32, 32, 5),
                nn.Conv2d(32, 32, 5),
                nn.Conv2d(32, 32, 4, stride=2),
                nn.Conv2d(32, 32, 3, stride=2),
                nn.Conv2d(32, 8, 4),
                nn.ConvTranspose2d(8, 32, 4),
                nn.ConvTranspose2d(32, 32, 3, stride=2),
                nn.ConvTranspose2d(32, 32, 4, stride=2),
                nn.ConvTranspose2d(32, 32, 5),
                nn.ConvTranspose2d(32, 32, 5),
                nn.ConvTranspose2d(32, 3, 5),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, 3, 32, 32)."""
        if isinstance(x, Tensor) and x.is_floating_point() and (x.dim() != 4 or x.shape[1:] != (3, 32, 32)):
            raise ValueError(f"BaseNet got images of shape {tuple(x.shape)}, but takes (N, 3, 32, 32) alone.")
        check_input_size(x, channels=3, multiple=32, network="BaseNet", weight=next(self.parameters()))
        for layer in self.layers:
            x = relu(layer(x))
        return x


class Noise2NoiseUNet(nn.Module):
    """The U-Net of Noise2Noise (Lehtinen et al., 2018, Table 2) as the second paper trained it: 991,203 parameters.

    | layer          | operation, each conv 3x3 with padding 1                  | output      |
    |----------------|----------------------------------------------------------|-------------|
    | p1             | conv 3-48, conv 48-48, max pool 2                        | 48 x H/2    |
    | p2, ..., p5    | conv 48-48, max pool 2, each with weights of its own     | 48 x H/32   |
    | d5             | conv 48-48, up 2                                         | 48 x H/16   |
    | d4             | concatenate [d5, p4]; conv 96-96, conv 96-96, up 2       | 96 x H/8    |
    | d3, d2, d1     | concatenate [d, p]; conv 144-96, conv 96-96, up 2        | 96 x H      |
    | out            | concatenate [d1, x]; conv 99-64, conv 64-32, conv 32-3   | 3 x H       |

    A leaky ReLU of slope 0.01 follows every convolution, the last included (in Lehtinen et al.: slope 0.1, linear output).

    Args:
        shared_decoder: one pair of convolutions serves d3, d2 and d1, as in the code behind the paper's numbers: 576,099
            distinct parameters. A tool that counts a layer each time it is used reports 991,203 for it all the same, and so
            does the paper.
    """

    def __init__(self, shared_decoder: bool = False) -> None:
        super().__init__()
        self.shared_decoder = check_flag(shared_decoder, "shared_decoder")
        self.encode_1 = _conv_chain(3, 48, 48)
        self.encode = nn.ModuleList([_conv_chain(48, 48) for _ in range(4)])
        self.bottom = _conv_chain(48, 48)
        self.decode_4 = _conv_chain(96, 96, 96)
        self.decode = nn.ModuleList([_conv_chain(144, 96, 96) for _ in range(1 if shared_decoder else 3)])
        self.output = _conv_chain(99, 64, 32, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), H and W divisible by 32."""
        check_input_size(x, channels=3, multiple=32, network="Noise2NoiseUNet", weight=next(self.parameters()))
        pooled = [max_pool2d(self.encode_1(x), 2)]  # (N, 48, H/2, W/2)
        for encode in self.encode:
            pooled.append(max_pool2d(encode(pooled[-1]), 2))  # (N, 48, H/4, W/4) ... (N, 48, H/32, W/32)
        p1, p2, p3, p4, p5 = pooled
        d = _up(self.bottom(p5), 2)  # (N, 48, H/16, W/16)
        d = _up(self.decode_4(torch.cat([d, p4], dim=1)), 2)  # (N, 96, H/8, W/8)
        for level, skip in enumerate((p3, p2, p1)):
            decode = self.decode[0 if self.shared_decoder else level]
            d = _up(decode(torch.cat([d, skip], dim=1)), 2)  # (N, 144, ...) -> (N, 96, H/4, W/4) ... (N, 96, H, W)
        out: Tensor = self.output(torch.cat([d, x], dim=1))  # (N, 99, H, W) -> (N, 3, H, W)
        return out

    def extra_repr(self) -> str:
        """What `print` adds to the layers, and a checkpoint compares."""
        return f"shared_decoder={self.shared_decoder}"


class TinyDenoiser(nn.Module):
    """The course's own network within TNet's budget: a small U-Net at full resolution, used twice; 41,802 parameters.

    | layer | operation, each conv 3x3 with padding 1                      | output     | parameters |
    |-------|--------------------------------------------------------------|------------|-----------:|
    | h     | conv 3-24, ReLU                                              | 24 x H     |        672 |
    | a     | conv 24-24, ReLU                                             | 24 x H     |      5,208 |
    | b     | max pool 2; conv 24-31, conv 31-31, conv 31-31, ReLU each    | 31 x H/2   |     24,087 |
    | c     | a + up 2 (conv 1x1, 31-24, of b)                             | 24 x H     |        768 |
    | h     | h + (conv 24-24, ReLU, conv 24-24) of c; again from a        | 24 x H     |     10,416 |
    | out   | x + conv 3x3, 24-3, of ReLU(h)                               | 3 x H      |        651 |

    Three choices save parameters. It stays near the pixels, where TNet pools by 32 and rebuilds the image. It adds where
    TNet concatenates. And it runs the layers a to h a second time with the same weights: depth that costs time and no
    parameters. Like DnCNN (Zhang et al., 2017) it predicts what to add to the noisy image, and not the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 24, 3, padding=1)
        self.encode = nn.Conv2d(24, 24, 3, padding=1)
        self.down = nn.Conv2d(24, 31, 3, padding=1)
        self.middle_1 = nn.Conv2d(31, 31, 3, padding=1)
        self.middle_2 = nn.Conv2d(31, 31, 3, padding=1)
        self.up = nn.Conv2d(31, 24, 1)
        self.decode_1 = nn.Conv2d(24, 24, 3, padding=1)
        self.decode_2 = nn.Conv2d(24, 24, 3, padding=1)
        self.output = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), H and W even."""
        check_input_size(x, channels=3, multiple=2, network="TinyDenoiser", weight=self.output.weight)
        h = relu(self.enter(x))  # (N, 24, H, W)
        for _ in range(2):
            a = relu(self.encode(h))  # (N, 24, H, W)
            b = relu(self.down(max_pool2d(a, 2)))  # (N, 31, H/2, W/2)
            b = relu(self.middle_2(relu(self.middle_1(b))))  # (N, 31, H/2, W/2)
            c = a + _up(self.up(b), 2)  # (N, 24, H, W)
            h = h + self.decode_2(relu(self.decode_1(c)))  # (N, 24, H, W)
        out: Tensor = x + self.output(relu(h))  # (N, 3, H, W)
        return out


class SelfEnsemble(nn.Module):
    """Denoise the eight mirrored and turned copies of an image, undo the turns, and average: no parameters of its own.

    Averaging evens out what a network learnt of one direction alone; eight times the work. Images must be square.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = check_model(model)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, H) -> (N, C, H, H)."""
        if not isinstance(x, Tensor) or x.dim() != 4 or x.shape[-1] != x.shape[-2]:
            shape = tuple(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ValueError(f"SelfEnsemble takes square images of shape (N, C, H, H), but got {shape}.")
        check_model(self.model, x)
        outputs = []
        for turns in range(4):
            for mirror in (False, True):
                turned = torch.rot90(x.flip(-1) if mirror else x, turns, (-2, -1))
                output = check_output(self.model(turned), turned)
                output = torch.rot90(output, -turns, (-2, -1))
                outputs.append(output.flip(-1) if mirror else output)
        return torch.stack(outputs).mean(dim=0)


def _act(x: Tensor) -> Tensor:
    return leaky_relu(x, 0.1)


def _up(x: Tensor, factor: int) -> Tensor:
    """Nearest-neighbour upsampling: (N, C, H, W) -> (N, C, factor*H, factor*W)."""
    return interpolate(x, scale_factor=factor, mode="nearest")


def _conv_chain(*widths: int) -> nn.Sequential:
    """3x3 convolutions through the given widths, each followed by a leaky ReLU of slope 0.01."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Conv2d(width_in, width_out, 3, padding=1), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)
