"""From images to features at 10 m: the dense blocks of ESRGAN, and each sensor's encoder.

The blocks are those of Wang et al. 2018, arXiv:1809.00219. Axes as in `tamrf_network`.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from openeo_udf_fusion.models.tamrf_config import CONVS_OF_A_BLOCK, Config

SLOPE = 0.2
"""Of the leaky rectifiers within the encoders."""


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each of which reads the block's input and what the ones before it made."""

    scale: Tensor

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * (CONVS_OF_A_BLOCK - 1) + [features]
        self.convs = nn.ModuleList(conv(features + i * growth, width) for i, width in enumerate(widths))
        self.register_buffer("scale", torch.tensor(0.2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, y, x) -> the same shape."""
        known, made = x, x
        for number, layer in enumerate(self.convs):
            made = F.leaky_relu(layer(known), SLOPE, inplace=True)
            if number < len(self.convs) - 1:
                known = torch.cat([known, made], 1)
        return x + self.scale * made


class Encoder(nn.Module):
    """One sensor's image -> its features at 10 m."""

    scale: Tensor

    def __init__(self, bands: int, upscaling: int, config: Config) -> None:
        super().__init__()
        self.upscaling = upscaling
        self.first = conv(bands, config.features)
        self.blocks = nn.Sequential(
            *(DenseBlock(config.features, config.growth) for _ in range(config.dense_blocks))
        )
        self.register_buffer("scale", torch.tensor(0.2))
        self.last = conv(config.features, config.features)
        self.finer = conv(config.features, config.features) if upscaling > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (n, b, y, x) -> (n, features, upscaling y, upscaling x)."""
        start = self.first(images)
        z: Tensor = start + self.last(start + self.scale * self.blocks(start))
        if self.finer is None:
            return z
        finer = F.interpolate(z, scale_factor=self.upscaling, mode="bicubic", align_corners=False)
        return F.leaky_relu(self.finer(finer), SLOPE, inplace=True)
