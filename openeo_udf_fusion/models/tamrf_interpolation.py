"""What TAMRF corrects and compares with: a series interpolated to any day, and on the other sensor's grid.

Axes as in `tamrf_network`.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from openeo_udf_fusion.models.linear_in_time import linear_in_time
from openeo_udf_fusion.models.tamrf_config import BICUBIC_PX, SensorId
from openeo_udf_fusion.models.tamrf_series import Series


def line_of(series: Series, places: list[int], days: Tensor, other_days: bool = False) -> Tensor:
    """Some bands of a series, interpolated to days on its own grid; NaN where there is nothing to go by."""
    images = series.images[:, places].float()
    valid = torch.ones_like(images, dtype=torch.bool) if series.valid is None else series.valid[:, places]
    nothing = images.new_full((len(places),), torch.nan)
    return linear_in_time(images, series.days, valid, days, nothing, other_days)


def finer(images: Tensor, times: int, mode: str = "bicubic") -> Tensor:
    """Images (n, b, y, x) on a grid of pixels a few times as small, "bicubic" or "nearest"."""
    return F.interpolate(
        images, scale_factor=times, mode=mode, align_corners=None if mode == "nearest" else False
    )


def filled_around(images: Tensor, seen: Tensor) -> Tensor:
    """Images (n, b, y, x) in which what was never `seen` (b, y, x) takes after what was beside it.

    Else what stands there instead would reach into pixels that were seen as they are made finer.
    """
    if bool(seen.all()):
        return images
    known, side = seen.to(images), 2 * BICUBIC_PX + 1
    share = F.avg_pool2d(known[None], side, 1, BICUBIC_PX)
    near = F.avg_pool2d(images * known, side, 1, BICUBIC_PX) / share.clamp(min=1e-6)
    return torch.where(seen | (share == 0), images, near)


def on_grid_of(sensor: SensorId, images: Tensor, upscaling: int, mode: str = "bicubic") -> Tensor:
    """The other sensor's images on a sensor's grid: the mean over its pixels, or finer; NaN spreads."""
    return F.avg_pool2d(images, upscaling) if sensor == "lr" else finer(images, upscaling, mode)
