"""Batches of semi-real pairs: augmented, noisy, masked."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from openeo_udf_fusion.models.satfusenet import Grid
from openeo_udf_fusion.training.masks import visible_bands, visible_days
from openeo_udf_fusion.training.pairs import Pairs

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
VIIRS_CENTRES_NM = np.array([640.0, 865, 488, 555, 672, 1240, 1610, 2250])
MARGIN_DAYS = 4
"""Empty days that the grid has on either side of a year, so that a query has a latent to either side."""


@dataclass(frozen=True)
class Noise:
    """How VIIRS differs from MODIS beyond its response functions; standard deviations, relative unless named.

    Attributes
    ----------
    footprint, footprint_band
        Of a pixel's whole series, common to all bands and per band.
    drift
        Largest calibration error of a band, either sign.
    slow, slow_days
        Angles and footprint drifting with a memory of `slow_days`.
    daily, daily_band, absolute
        Day to day: common, per band, and in reflectance.
    response_nm
        Shift of a band's centre: the platforms' responses differ.
    """

    footprint: float = 0.012
    footprint_band: float = 0.006
    drift: float = 0.02
    slow: float = 0.012
    slow_days: float = 8.0
    daily: float = 0.015
    daily_band: float = 0.005
    absolute: float = 0.001
    response_nm: float = 3.0


class Batch(NamedTuple):
    """Inputs to read, truth to predict on the same grid, and each pixel's first day since 1970-01-01 (p,)."""

    inputs: dict[str, Grid]
    truth: dict[str, Grid]
    first_day: Tensor


def disturb_viirs(viirs: Floats, noise: Noise, rng: np.random.Generator) -> Floats:
    """VIIRS (p, t, b) as a real instrument might have seen it from its own orbit."""
    pixels, days, bands = viirs.shape
    order = np.argsort(VIIRS_CENTRES_NM)
    slope = np.empty_like(viirs)
    slope[..., order] = np.gradient(viirs[..., order], VIIRS_CENTRES_NM[order], axis=-1)
    shifted = viirs + slope * rng.normal(0, noise.response_nm, (pixels, 1, bands))
    decay = np.exp(-1 / noise.slow_days)
    innovations = rng.normal(0, noise.slow * np.sqrt(1 - decay**2), (pixels, days + 40, 1))
    slow = lfilter([1.0], [1.0, -decay], innovations, axis=1)[:, 40:]
    factor = (
        1
        + rng.normal(0, noise.footprint, (pixels, 1, 1))
        + rng.normal(0, noise.footprint_band, (pixels, 1, bands))
        + rng.uniform(-noise.drift, noise.drift, (pixels, 1, bands))
        + slow
        + rng.normal(0, noise.daily, (pixels, days, 1))
        + rng.normal(0, noise.daily_band, (pixels, days, bands))
    )
    seen = shifted * factor + rng.normal(0, noise.absolute, viirs.shape)
    return np.asarray(np.clip(seen, 0, 1.5), dtype=np.float32)


def draw(pairs: Pairs, pixels: NDArray[np.int64], size: int, noise: Noise, rng: np.random.Generator) -> Batch:
    """A training batch of `size` years of the given pixels."""
    chosen = rng.choice(pixels, size)
    variant = rng.integers(len(pairs.viirs), size=size)
    brightness = np.exp(rng.normal(0, 0.08, (size, 1, 1)))
    modis = (pairs.modis[chosen] * brightness).clip(0, 1.3).astype(np.float32)
    viirs = disturb_viirs((pairs.viirs[variant, chosen] * brightness).astype(np.float32), noise, rng)
    days = modis.shape[1]
    shift = rng.integers(0, days, size)  # the year is rolled: any season may be the window's first
    index = ((np.arange(days) - shift[:, None]) % days)[..., None]
    pair = {"modis": (modis, pairs.modis_valid[chosen]), "viirs": (viirs, pairs.viirs_valid[chosen])}
    truth = {
        sensor: (np.take_along_axis(values, index, 1), np.take_along_axis(valid, index, 1))
        for sensor, (values, valid) in pair.items()
    }
    kept = [visible_days(rng, days) for _ in range(size)]
    bands = [visible_bands(rng) for _ in range(size)]
    inputs = {}
    for sensor, (values, valid) in truth.items():
        visible = (
            np.stack([k[sensor] for k in kept])[..., None] & np.stack([b[sensor] for b in bands])[:, None]
        )
        inputs[sensor] = (blemish(values, rng), valid & visible)
    # Half of the years are moved by half a year: the other hemisphere.
    start = rng.integers(10_000, 20_000, size) // 1461 * 1461 - shift + rng.integers(0, 2, size) * 182
    return on_grid(inputs, truth, start)


def blemish(values: Floats, rng: np.random.Generator) -> Floats:
    """Some inputs are noisier than the truth: angles, haze, a cloud that no mask found."""
    pixels, days, bands = values.shape
    level = np.where(rng.uniform(size=(pixels, 1, 1)) < 0.35, rng.uniform(0.005, 0.05, (pixels, 1, 1)), 0)
    noisy = values * (
        1 + level * rng.normal(size=(pixels, days, 1)) + 0.3 * level * rng.normal(size=values.shape)
    )
    rate = np.where(rng.uniform(size=(pixels, 1, 1)) < 0.25, 0.015, 0.0)
    cloudy = rng.uniform(size=(pixels, days, 1)) < rate
    cloud = rng.exponential(0.12, (pixels, days, 1)) * np.ones(bands)
    return np.clip(np.where(cloudy, noisy + cloud, noisy), 0, 1.5).astype(np.float32)


def on_grid(
    inputs: dict[str, tuple[Floats, Bools]], truth: dict[str, tuple[Floats, Bools]], start: NDArray[np.int64]
) -> Batch:
    """Put series of days on a grid of whole bins with a margin; `start` (p,) is each series' first day."""
    first_day = start // MARGIN_DAYS * MARGIN_DAYS - MARGIN_DAYS
    return Batch(
        {s: to_grid(*pair) for s, pair in inputs.items()},
        {s: to_grid(*pair) for s, pair in truth.items()},
        torch.from_numpy(first_day),
    )


def to_grid(values: Floats, valid: Bools) -> Grid:
    """Pad (p, t, b) by the margin in front and at least as much behind, up to whole bins."""
    days = values.shape[1]
    behind = -days % MARGIN_DAYS + MARGIN_DAYS
    pad = ((0, 0), (MARGIN_DAYS, behind), (0, 0))
    return Grid(
        torch.from_numpy(np.pad(np.where(valid, values, 0), pad).astype(np.float32)),
        torch.from_numpy(np.pad(valid, pad)),
    )


def query_positions(days: int) -> Tensor:
    """Positions of a series of days on the grid that `to_grid` makes."""
    return torch.arange(MARGIN_DAYS, MARGIN_DAYS + days)
