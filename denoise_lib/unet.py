"""The first paper's networks, layer by layer (Casey and Racape, 2023, appendix), for digits (N, 1, H, W).

Each maps noisy images to clean ones of the same shape. Predictions can leave [0, 1]: clip them before you look or measure PSNR.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from .internal.checks import check_flag, check_input_size


class UNet(nn.Module):
    """The small U-Net of Casey and Racape: 88,461 parameters.

    | layer | operation                                        | output     | parameters |
    |-------|--------------------------------------------------|------------|-----------:|
    | a     | conv 3x3, 1-20, ReLU                             | 20 x H     |        200 |
    | b     | max pool 2; conv 3x3, 20-40, ReLU                | 40 x H/2   |      7,240 |
    | c     | max pool 2; conv 3x3, 40-80, ReLU                | 80 x H/4   |     28,880 |
    | up1   | transposed conv 2x2 stride 2, 80-40, ReLU        | 40 x H/2   |     12,840 |
    | d     | concatenate [b, up1]; conv 3x3, 80-40, ReLU      | 40 x H/2   |     28,840 |
    | up2   | transposed conv 2x2 stride 2, 40-20, ReLU        | 20 x H     |      3,220 |
    | e     | concatenate [a, up2]; conv 3x3, 40-20, ReLU      | 20 x H     |      7,220 |
    | out   | conv 1x1, 20-1                                   | 1 x H      |         21 |

    The paper prints 88,641 parameters: two digits are swapped. Its own code, and this class, have 88,461.

    Args:
        skips: False feeds zeros where `a` and `b` would be concatenated: the same layers and the same count, but no
            information over the skips. That is the controlled ablation that the paper lacks, whose autoencoder also
            differs in its transposed convolutions.
    """

    def __init__(self, skips: bool = True) -> None:
        super().__init__()
        self.skips = check_flag(skips, "skips")
        self.encode_a = nn.Conv2d(1, 20, 3, padding=1)
        self.encode_b = nn.Conv2d(20, 40, 3, padding=1)
        self.bottom = nn.Conv2d(40, 80, 3, padding=1)
        self.up_1 = nn.ConvTranspose2d(80, 40, 2, stride=2)
        self.decode_1 = nn.Conv2d(80, 40, 3, padding=1)
        self.up_2 = nn.ConvTranspose2d(40, 20, 2, stride=2)
        self.decode_2 = nn.Conv2d(40, 20, 3, padding=1)
        self.output = nn.Conv2d(20, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, H, W)."""
        check_input_size(x, channels=1, multiple=4, network="UNet", weight=self.output.weight)
        a = relu(self.encode_a(x))  # (N, 20, H, W)
        b = relu(self.encode_b(max_pool2d(a, 2)))  # (N, 40, H/2, W/2)
        c = relu(self.bottom(max_pool2d(b, 2)))  # (N, 80, H/4, W/4)
        if not self.skips:
            a, b = torch.zeros_like(a), torch.zeros_like(b)
        d = relu(self.up_1(c))  # (N, 40, H/2, W/2)
        d = relu(self.decode_1(torch.cat([b, d], dim=1)))  # (N, 80, ...) -> (N, 40, H/2, W/2)
        e = relu(self.up_2(d))  # (N, 20, H, W)
        e = relu(self.decode_2(torch.cat([a, e], dim=1)))  # (N, 40, ...) -> (N, 20, H, W)
        out: Tensor = self.output(e)  # (N, 1, H, W)
        return out

    def extra_repr(self) -> str:
        """What `print` adds to the layers, and a checkpoint compares: skips or not, the weights have the same shapes."""
        return f"skips={self.skips}"


class Autoencoder(nn.Module):
    """The autoencoder of Casey and Racape: 104,521 parameters, the U-Net's layers without its skips.

    | layer | operation                                        | output     | parameters |
    |-------|--------------------------------------------------|------------|-----------:|
    | a     | conv 3x3, 1-20, ReLU                             | 20 x H     |        200 |
    | b     | max pool 2; conv 3x3, 20-40, ReLU                | 40 x H/2   |      7,240 |
    | c     | max pool 2; conv 3x3, 40-80, ReLU                | 80 x H/4   |     28,880 |
    | up1   | transposed conv 2x2 stride 2, 80-80, ReLU        | 80 x H/2   |     25,680 |
    | d     | conv 3x3, 80-40, ReLU                            | 40 x H/2   |     28,840 |
    | up2   | transposed conv 2x2 stride 2, 40-40, ReLU        | 40 x H     |      6,440 |
    | e     | conv 3x3, 40-20, ReLU                            | 20 x H     |      7,220 |
    | out   | conv 1x1, 20-1                                   | 1 x H      |         21 |

    The transposed convolutions are wider than the U-Net's (80-80 for 80-40, 40-40 for 40-20): with nothing to
    concatenate, they alone must fill the 80 and 40 channels that the next layer reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encode_a = nn.Conv2d(1, 20, 3, padding=1)
        self.encode_b = nn.Conv2d(20, 40, 3, padding=1)
        self.bottom = nn.Conv2d(40, 80, 3, padding=1)
        self.up_1 = nn.ConvTranspose2d(80, 80, 2, stride=2)
        self.decode_1 = nn.Conv2d(80, 40, 3, padding=1)
        self.up_2 = nn.ConvTranspose2d(40, 40, 2, stride=2)
        self.decode_2 = nn.Conv2d(40, 20, 3, padding=1)
        self.output = nn.Conv2d(20, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, H, W)."""
        check_input_size(x, channels=1, multiple=4, network="Autoencoder", weight=self.output.weight)
        a = relu(self.encode_a(x))  # (N, 20, H, W)
        b = relu(self.encode_b(max_pool2d(a, 2)))  # (N, 40, H/2, W/2)
        c = relu(self.bottom(max_pool2d(b, 2)))  # (N, 80, H/4, W/4): all that the decoder sees
        d = relu(self.up_1(c))  # (N, 80, H/2, W/2)
        d = relu(self.decode_1(d))  # (N, 40, H/2, W/2)
        e = relu(self.up_2(d))  # (N, 40, H, W)
        e = relu(self.decode_2(e))  # (N, 20, H, W)
        out: Tensor = self.output(e)  # (N, 1, H, W)
        return out


def count_parameters(module: nn.Module) -> int:
    """Number of distinct trainable numbers: a tensor that two layers share counts once.

    Example:
        >>> count_parameters(UNet()), count_parameters(Autoencoder())
        (88461, 104521)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module such as UNet(), but is a {type(module).__name__}.")
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
