"""What a coarser instrument would see of a finer image: its point spread function, then its grid.

A Gaussian whose response at half the sampling frequency is the instrument's modulation transfer function
(MTF); as Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def spread(mtf: float, ratio: float) -> float:
    """Standard deviation in pixels of a Gaussian whose samples are `ratio` pixels apart."""
    return math.sqrt(-math.log(mtf) / 2) / (math.pi * 0.5 / ratio)


def blurred(images: Tensor, mtf: Sequence[float], ratio: Sequence[int]) -> Tensor:
    """Images as instruments of other point spread functions see them, on the grid that they are on.

    Parameters
    ----------
    images
        (n, b, y, x), more than `max(ratio)` pixels high and wide.
    mtf
        Of each band, at half its sampling frequency; in 0-1, where 1 leaves the band as it is.
    ratio
        Of each band the size of a sample in pixels of the images.

    Returns
    -------
    Tensor
        (n, b, y, x); beyond their borders images are taken to be mirrored.
    """
    radius = max(ratio)
    if all(each == 1 for each in mtf):
        return images
    kernels = torch.stack([kernel(each, size, radius) for each, size in zip(mtf, ratio, strict=True)])
    kernels = kernels.to(images)[:, None]  # (b 1 k k)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    return F.conv2d(padded, kernels, groups=images.shape[1])


def blurred_known(images: Tensor, mtf: float, ratio: int) -> Tensor:
    """Images (n, b, y, x) of any size as one instrument sees all bands; NaN has no weight, and stays.

    Nothing is known beyond their borders.
    """
    known = torch.isfinite(images)
    both = [F.pad(part, (ratio,) * 4) for part in (images.nan_to_num(0.0), known.to(images))]
    inner = (..., slice(ratio, -ratio), slice(ratio, -ratio))
    count = images.shape[1]
    total, share = (blurred(part, [mtf] * count, [ratio] * count)[inner] for part in both)
    return torch.where(known, total / share, torch.nan)


def kernel(mtf: float, ratio: int, radius: int) -> Tensor:
    """The weights (2 radius + 1, 2 radius + 1) of one band, of sum 1."""
    away = torch.arange(-radius, radius + 1, dtype=torch.float64)
    along = (away == 0).double() if mtf == 1 else torch.exp(-0.5 * (away / spread(mtf, ratio)) ** 2)
    both = along[:, None] * along
    return (both / both.sum()).float()


def coarser(images: Tensor, factor: int) -> Tensor:
    """Images (n, b, y, x) on a grid of pixels `factor` times as large, bicubic: what `blurred` prepares."""
    return F.interpolate(images, scale_factor=1 / factor, mode="bicubic", align_corners=False)
