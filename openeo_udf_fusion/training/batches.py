"""Batches of pairs: varied, masked, on the network's grid."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training.masks import visible_bands, visible_days
from openeo_udf_fusion.training.pairs import Pairs

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Series = dict[str, tuple[Floats, Bools]]
"""Per sensor values and what of them is valid, both (p, t, b)."""
BIN_DAYS = 4
MARGIN_DAYS = 4
"""Empty days that the grid has on either side of a year, so that a query has a latent to either side."""


class Batch(NamedTuple):
    """Inputs to read, truth to predict on the same grid, and each pixel's first day since 1970-01-01 (p,)."""

    inputs: dict[str, Grid]
    truth: dict[str, Grid]
    first_day: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        inputs, truth = (
            {s: Grid(*(array.to(device) for array in grid)) for s, grid in side.items()}
            for side in (self.inputs, self.truth)
        )
        return Batch(inputs, truth, self.first_day.to(device))


def draw(pairs: Pairs, size: int, rng: np.random.Generator, *, vary: bool = True) -> Batch:
    """A batch of `size` years; with `vary` places are mixed, seasons bent and scenes dimmed on top."""
    chosen = rng.integers(len(pairs), size=size)
    truth = series_of(pairs, chosen)
    if vary:
        truth = dim(bend(mix(truth, pairs, chosen, rng), rng), rng)
    days = pairs.modis.shape[1]
    shift = rng.integers(0, days, size)  # the year is rolled: any season may be the window's first
    truth = at_days(truth, (np.arange(days) - shift[:, None]) % days)
    kept = [visible_days(rng, days) for _ in range(size)]
    bands = [visible_bands(rng) for _ in range(size)]
    inputs = {}
    for sensor, (values, valid) in truth.items():
        visible = (
            np.stack([k[sensor] for k in kept])[..., None] & np.stack([b[sensor] for b in bands])[:, None]
        )
        inputs[sensor] = (blemish(values, rng), valid & visible)
    start = pairs.first_day[chosen] - shift
    return on_grid(inputs, truth, start // BIN_DAYS * BIN_DAYS)


def series_of(pairs: Pairs, samples: NDArray[np.int64]) -> Series:
    """Both sensors' series of some samples."""
    return {
        "modis": (pairs.modis[samples], pairs.modis_valid[samples]),
        "viirs": (pairs.viirs[samples], pairs.viirs_valid[samples]),
    }


def at_days(series: Series, index: NDArray[np.int64]) -> Series:
    """The series on other days: index (p, t) into their own."""
    return {
        sensor: (
            np.take_along_axis(values, index[..., None], 1),
            np.take_along_axis(valid, index[..., None], 1),
        )
        for sensor, (values, valid) in series.items()
    }


def mix(series: Series, pairs: Pairs, chosen: NDArray[np.int64], rng: np.random.Generator) -> Series:
    """Some pixels become mixtures of two places of one product, as a coarse pixel may well be."""
    size = len(chosen)
    partner = chosen.copy()
    for product in np.unique(pairs.product[chosen]):
        here = np.flatnonzero(pairs.product[chosen] == product)
        partner[here] = rng.choice(np.flatnonzero(pairs.product == product), len(here))
    share = np.where(rng.uniform(size=size) < 0.6, rng.beta(0.5, 0.5, size) / 2, 0.0)
    weight = share[:, None, None].astype(np.float32)
    mixed: Series = {}
    for sensor, (other, other_valid) in series_of(pairs, partner).items():
        values, valid = series[sensor]
        both = valid & ((weight == 0) | other_valid)
        mixed[sensor] = np.where(both, values + weight * (other - values), np.float32(0)), both
    return mixed


def bend(series: Series, rng: np.random.Generator) -> Series:
    """Seasons a little earlier or later, faster or slower: days along a smooth closed curve."""
    size, days = series["modis"][0].shape[:2]
    turns = np.arange(days) * (2 * np.pi / days)
    moved = np.zeros((size, days))
    for order in (1, 2):
        size_days = rng.normal(0, 0.03, (size, 1)) * days / order
        moved += size_days * np.sin(order * turns + rng.uniform(0, 2 * np.pi, (size, 1)))
    return at_days(series, np.round(np.arange(days) + moved).astype(np.int64) % days)


def dim(series: Series, rng: np.random.Generator) -> Series:
    """Brighter and darker scenes of slightly other colours, for both sensors alike."""
    size, bands = len(series["modis"][0]), series["modis"][0].shape[-1]
    factor = np.exp(rng.normal(0, 0.08, (size, 1, 1)) + rng.normal(0, 0.05, (size, 1, bands)))
    factors = {"modis": factor, "viirs": factor[..., list(Config().viirs_partner)]}
    return {
        sensor: (np.clip(values * factors[sensor], 0, 1.4).astype(np.float32), valid)
        for sensor, (values, valid) in series.items()
    }


def blemish(values: Floats, rng: np.random.Generator) -> Floats:
    """Some inputs are noisier than the truth: angles, haze, a cloud that no mask found."""
    pixels, days, bands = values.shape
    level = np.where(rng.uniform(size=(pixels, 1, 1)) < 0.2, rng.uniform(0.005, 0.03, (pixels, 1, 1)), 0)
    noisy = values * (
        1 + level * rng.normal(size=(pixels, days, 1)) + 0.3 * level * rng.normal(size=values.shape)
    )
    rate = np.where(rng.uniform(size=(pixels, 1, 1)) < 0.15, 0.015, 0.0)
    cloudy = rng.uniform(size=(pixels, days, 1)) < rate
    cloud = rng.exponential(0.12, (pixels, days, 1)) * np.ones(bands)
    return np.clip(np.where(cloudy, noisy + cloud, noisy), 0, 1.5).astype(np.float32)


def on_grid(inputs: Series, truth: Series, start: NDArray[np.integer]) -> Batch:
    """Put series of days on a grid of whole bins with a margin; `start` (p,) is a bin's first day."""
    return Batch(
        {s: to_grid(*pair) for s, pair in inputs.items()},
        {s: to_grid(*pair) for s, pair in truth.items()},
        torch.from_numpy(np.asarray(start, dtype=np.int64) - MARGIN_DAYS),
    )


def to_grid(values: Floats, valid: Bools) -> Grid:
    """Pad (p, t, b) by the margin in front and at least as much behind, up to whole bins."""
    days = values.shape[1]
    behind = -days % BIN_DAYS + MARGIN_DAYS
    pad = ((0, 0), (MARGIN_DAYS, behind), (0, 0))
    return Grid(
        torch.from_numpy(np.pad(np.where(valid, values, 0), pad).astype(np.float32)),
        torch.from_numpy(np.pad(valid, pad)),
    )


def query_positions(days: int) -> Tensor:
    """Positions of a series of days on the grid that `to_grid` makes."""
    return torch.arange(MARGIN_DAYS, MARGIN_DAYS + days)
