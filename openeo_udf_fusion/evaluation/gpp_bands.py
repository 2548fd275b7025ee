"""What MODIS and VIIRS would have seen at the towers: semi-real, from HLS and spectra like it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from openeo_udf_fusion.baselines import ridge
from openeo_udf_fusion.evaluation.gpp_towers import Towers
from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training import pairs
from openeo_udf_fusion.training.noise import Noise, disturb_viirs
from openeo_udf_fusion.training.spectra import PLATFORM_PREFIX, Platform, integrate, mix, part_of, surfaces

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
OLI_BANDS = tuple(f"L8_OLI_B{number}" for number in range(2, 8))
"""HLS adjusts Sentinel-2's bands to Landsat 8's, doi:10.1016/j.rse.2018.09.002: one response for all rows."""
MIXTURES = 20_000
NEIGHBOURS = 16
TASTE = 2.0
"""Spread of the logarithm of a tower's preference for a spectrum, that of the training pairs."""


@dataclass(frozen=True)
class Spectra:
    """The same mixtures as each instrument sees them: hls (m, 6), modis (m, 7), viirs per platform (m, 8)."""

    hls: Doubles
    modis: Doubles
    viirs: dict[Platform, Doubles]


@dataclass(frozen=True)
class Likeness:
    """Which spectra look like each row: index and kernel (n, k), and the RMSE of the nearest one (n,)."""

    index: Integers
    kernel: Doubles
    nearest: Doubles


def read_spectra(data: Path, platforms: Sequence[Platform], seed: int) -> Spectra:
    """Mix spectra that took no part in training, and integrate them over a data folder's response functions.

    Raises
    ------
    InvalidParameter
        The folder has no table of response functions.
    """
    table = pd.read_csv(pairs.responses(data))
    members = {name: part_of(rows, "test") for name, rows in surfaces().items()}
    mixed = mix(members, MIXTURES, np.random.default_rng(seed))
    config = Config()
    return Spectra(
        integrate(mixed, table, list(OLI_BANDS)),
        integrate(mixed, table, [f"MODIS_Terra_{band}" for band in config.modis]),
        {
            platform: integrate(
                mixed,
                table,
                [f"{PLATFORM_PREFIX[platform]}{band[0]}{int(band[1:]):02d}" for band in config.viirs],
            )
            for platform in platforms
        },
    )


def alike(hls: Doubles, spectra: Spectra) -> Likeness:
    """The spectra nearest to each row's six bands, in the square root of reflectance."""
    distance, index = cKDTree(np.sqrt(spectra.hls)).query(np.sqrt(np.clip(hls, 0, None)), k=NEIGHBOURS)
    weight = np.exp(-((distance / np.median(distance, axis=-1, keepdims=True)) ** 2))
    nearest = np.sqrt(((spectra.hls[index[:, 0]] - hls) ** 2).mean(axis=-1))
    return Likeness(index, weight, nearest)


def see(
    towers: Towers, spectra: Spectra, likeness: Likeness, platform: Platform, rng: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """MODIS (n, 7) and VIIRS (n, 8) of one and the same surfaces that HLS saw, without noise.

    The linear part of the translation from six bands to fifteen is common; what it leaves over is a mean of
    the like spectra's own leftovers, weighted by the tower's taste: at one tower the same spectra are
    preferred all the time, and by both sensors.
    """
    target = np.concatenate([spectra.modis, spectra.viirs[platform]], axis=1)
    line = ridge.fit(spectra.hls, target)
    brightness = np.linalg.norm(spectra.hls, axis=1, keepdims=True)
    leftover = (target - spectra.hls @ line.weight - line.bias) / brightness
    taste = np.exp(rng.normal(0, TASTE, size=(len(towers.names), len(target))))
    share = taste[towers.site[:, None], likeness.index] * likeness.kernel
    share /= share.sum(axis=-1, keepdims=True)
    own = np.einsum("nk,nkb->nb", share, leftover[likeness.index])
    own *= np.linalg.norm(towers.hls, axis=-1, keepdims=True)
    seen = np.clip(towers.hls @ line.weight + line.bias + own, 0.0, 1.5)
    modis, viirs = np.split(seen, [spectra.modis.shape[1]], axis=1)
    return modis, viirs


def disturb(towers: Towers, viirs: Doubles, noise: Noise, rng: np.random.Generator) -> Doubles:
    """VIIRS (n, 8) with the noise of the training pairs: footprint, drift, angles and the day's own error.

    The noise has a memory, so it is laid over every tower's daily series, interpolated between its rows.
    """
    first, last = int(towers.day.min()), int(towers.day.max())
    days = np.arange(first, last + 1)
    daily = np.empty((len(towers.names), len(days), viirs.shape[1]), np.float32)
    for site in range(len(towers.names)):
        rows = np.flatnonzero(towers.site == site)
        rows = rows[np.argsort(towers.day[rows])]
        for band in range(viirs.shape[1]):
            daily[site, :, band] = np.interp(days, towers.day[rows], viirs[rows, band])
    seen = disturb_viirs(daily, noise, rng)
    return seen[towers.site, towers.day - first].astype(np.float64)
