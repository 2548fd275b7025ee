"""DSen2: Sentinel-2's bands of 20 m with the detail of its bands of 10 m, each date by itself.

Lanaras et al. 2018, doi:10.1016/j.isprsjprs.2018.09.018, whose published network is the default Config;
written from the paper. A convolution, residual blocks and a convolution make what the interpolated bands
lack; it is added to them. Beyond the paper: a missing value enters as the band's mean in training, so a
band may be missing altogether.

Axes: n images, b bands, y and x pixels, f features.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor, nn

from openeo_udf_fusion.errors import InvalidCube


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    bands
        Of an image, in order.
    coarse
        Those of 20 m, which are sharpened; all others are of 10 m.
    features, blocks
        Width of the network and how many residual blocks there are.
    divisor
        Reflectance that counts as 1 inside.
    fill
        Reflectance that stands for a missing value, one number per band.
    """

    bands: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    coarse: tuple[str, ...] = ("B05", "B06", "B07", "B8A", "B11", "B12")
    features: int = 128
    blocks: int = 6
    divisor: float = 0.2
    fill: tuple[float, ...] = (0.0,) * 10

    @property
    def places_of_coarse(self) -> list[int]:
        """Where the bands of 20 m are among all."""
        return [self.bands.index(band) for band in self.coarse]

    @property
    def places_of_fine(self) -> list[int]:
        """Where the bands of 10 m are among all."""
        return [place for place, band in enumerate(self.bands) if band not in self.coarse]

    @property
    def margin_px(self) -> int:
        """How far around a pixel the network looks."""
        return 2 * self.blocks + 2


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class ResidualBlock(nn.Module):
    """Two convolutions, a tenth of which is added to what came in."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.second = conv(features, features), conv(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """(n, f, y, x) -> the same shape."""
        out: Tensor = x + 0.1 * self.second(F.relu(self.first(x)))
        return out


class DSen2(nn.Module):
    """The whole network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.first = conv(len(config.bands), config.features)
        self.blocks = nn.Sequential(*(ResidualBlock(config.features) for _ in range(config.blocks)))
        self.last = conv(config.features, len(config.coarse))

    def forward(self, images: Tensor) -> Tensor:
        """Sharpen.

        Parameters
        ----------
        images
            (n, bands, y, x), reflectance, all finite; the bands of 20 m interpolated to 10 m.

        Returns
        -------
        Tensor
            The bands of 20 m at 10 m, (n, coarse, y, x).
        """
        scaled = images / self.config.divisor
        lacking = self.last(self.blocks(F.relu(self.first(scaled))))
        out: Tensor = (scaled[:, self.config.places_of_coarse] + lacking) * self.config.divisor
        return out


def sharpened(model: DSen2, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """All bands of some images at 10 m.

    Parameters
    ----------
    model
        A trained network.
    images
        (t, bands, y, x), reflectance, NaN where missing; the bands of 20 m interpolated to 10 m.

    Returns
    -------
    NDArray[np.float32]
        The same shape: bands of 10 m as they came, those of 20 m sharpened, NaN where they or one of those
        of 10 m are missing.

    Raises
    ------
    InvalidCube
        The images have other bands than the network.
    """
    config = model.config
    if images.ndim != 4 or images.shape[1] != len(config.bands):
        raise InvalidCube(f"DSen2 needs images (t, {len(config.bands)}, y, x), got {images.shape}")
    valid = np.isfinite(images)
    complete = np.logical_and.reduce(valid[:, config.places_of_fine], axis=1)  # (t y x)
    result = images.copy()
    with torch.inference_mode():
        for date in range(len(images)):
            made = model(filled(config, images[date : date + 1]))[0].numpy()
            for place, band in zip(config.places_of_coarse, made, strict=True):
                seen = valid[date, place] & complete[date]
                result[date, place] = np.where(seen, band, np.float32(np.nan))
    return result


def filled(config: Config, images: NDArray[np.float32]) -> Tensor:
    """Images (n, b, y, x) with nothing missing, as the network takes them."""
    instead = np.array(config.fill, np.float32)[:, None, None]
    return torch.from_numpy(np.where(np.isfinite(images), images, instead))
