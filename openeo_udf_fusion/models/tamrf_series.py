"""What comes into TAMRF: each sensor's series of images, checked, and which of their dates are tokens where.

Axes as in `tamrf_network`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models.tamrf_config import SENSORS, Config, SensorId

Given = tuple[Tensor | None, Tensor | None, Tensor | None]
"""A sensor's images, days and what is valid, as the caller has them."""


class Series(NamedTuple):
    """One sensor's images (t, b, y, x) in DN/1e4, days (t,), and what is valid (t, b, y, x); None: all."""

    images: Tensor
    days: Tensor
    valid: Tensor | None = None

    def on(self, date: int) -> "Series":
        """One date alone."""
        one = slice(date, date + 1)
        return Series(self.images[one], self.days[one], None if self.valid is None else self.valid[one])


def checked(config: Config, *, lr: Given, hr: Given) -> dict[SensorId, Series]:
    """The series by sensor; InvalidCube unless they fit the network and one another."""
    given: dict[SensorId, Series] = {}
    for sensor, (images, days, valid) in zip(SENSORS, (lr, hr), strict=True):
        if images is None or not len(images):
            continue
        bands = len(config.bands(sensor))
        if images.ndim != 4 or images.shape[1] != bands:
            raise InvalidCube(f"{sensor} must be (t, {bands}, y, x), it is {tuple(images.shape)}")
        days = torch.as_tensor([] if days is None else days, device=images.device)
        if len(images) != len(days):
            raise InvalidCube(f"{sensor} has {len(images)} images and {len(days)} days; each needs its day")
        given[sensor] = Series(images, days, in_bands(valid, images, sensor))
    if not given:
        raise InvalidCube("predict needs images of at least one sensor, hr or lr; neither came")
    size_at_10_m(config, given)
    return given


def in_bands(valid: Tensor | None, images: Tensor, sensor: SensorId) -> Tensor | None:
    """What is valid (t, y, x) or (t, b, y, x) for each band; InvalidCube where it does not fit the images."""
    if valid is None:
        return None
    each = valid[:, None].expand(-1, images.shape[1], -1, -1) if valid.ndim == 3 else valid
    if each.shape != images.shape or each.dtype != torch.bool:
        raise InvalidCube(
            f"{sensor}_valid must be bool, (t, y, x) or (t, b, y, x) as the images {tuple(images.shape)}; it "
            f"is {valid.dtype}, {tuple(valid.shape)}"
        )
    return each


def size_at_10_m(config: Config, given: Mapping[SensorId, Series]) -> tuple[int, int]:
    """Rows and columns of the result; InvalidCube where the sensors differ."""
    sizes = {}
    for sensor, series in given.items():
        rows, columns = (size * config.scale(sensor) for size in series.images.shape[-2:])
        sizes[sensor] = rows, columns
    if len(set(sizes.values())) > 1:
        raise InvalidCube(
            f"an image of lr must cover that of hr, {config.upscaling} pixels of hr to one of lr: lr covers "
            f"{sizes['lr']} pixels of hr, hr has {sizes['hr']}"
        )
    return next(iter(sizes.values()))


def dates_with_tokens(given: Mapping[SensorId, Series]) -> dict[SensorId, Series]:
    """The series without dates on which nothing is valid, and without a mask where all is."""
    useful: dict[SensorId, Series] = {}
    for sensor, series in given.items():
        if series.valid is None or bool(series.valid.all()):
            useful[sensor] = series._replace(valid=None)
            continue
        some = series.valid.flatten(1).any(1)
        if bool(some.all()):
            useful[sensor] = series
        elif bool(some.any()):
            useful[sensor] = Series(series.images[some], series.days[some], series.valid[some])
    return useful


def tokens_seen(config: Config, given: Mapping[SensorId, Series]) -> Tensor | None:
    """Which dates are tokens of a pixel, those of `lr` first (y, x, t); None where all are."""
    parts = []
    for sensor, (images, _, valid) in given.items():
        any_band = torch.ones_like(images[:, 0], dtype=torch.bool) if valid is None else valid.any(1)
        scale = config.scale(sensor)
        parts.append(any_band.repeat_interleave(scale, 1).repeat_interleave(scale, 2))
    seen = torch.cat(parts).permute(1, 2, 0)
    return None if bool(seen.all()) else seen.contiguous()


def unseen(
    config: Config, given: Mapping[SensorId, Series], queries: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """The result where no pixel has any token."""
    rows, columns = size_at_10_m(config, given)
    lr, hr = (
        torch.full((queries, len(config.bands(sensor)), rows, columns), torch.nan, device=device)
        for sensor in SENSORS
    )
    return lr, hr
