"""From the bands of 10 m to those of 20 m: the detail that a single image of Sentinel-2 adds to them.

Axes as in `tamrf_network`.
"""

from dataclasses import replace

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from openeo_udf_fusion.models.tamrf_config import Config
from openeo_udf_fusion.models.tamrf_encoder import SLOPE, Encoder, conv

DETAIL_BLOCKS, DETAIL_GROWTH = 2, 16


class Detail(nn.Module):
    """What a single image of `hr` shows at 10 m that its interpolated bands of 20 m lack."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = replace(config, dense_blocks=DETAIL_BLOCKS, growth=DETAIL_GROWTH)
        self.encoder = Encoder(len(config.hr), 1, shape)
        self.last = conv(config.features, len(config.coarse))

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (n, b, y, x), 0 where unknown -> what bands of 20 m lack (n, coarse, y, x)."""
        found: Tensor = self.last(F.leaky_relu(self.encoder(images), SLOPE, inplace=True))
        return found
