"""Semi-real pairs: measured MODIS series, and VIIRS series made from them.

MODIS is MCD43A4 as it was measured, with its weather and gaps. VIIRS is what mixtures of measured and
simulated spectra with nearly the same MODIS bands look like through the VIIRS response functions: which of
them differs from pixel to pixel, so that no one formula leads back. There is a VIIRS value only where MODIS
has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training.spectra import BandLibrary, Platform

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
SERIES_PIXELS = 300
SPLIT_SEED = 43
SPLIT_SIZES = {"train": 200, "validation": 40, "test": 60}
NEIGHBOURS = 16


@dataclass(frozen=True)
class Pairs:
    """Series of both sensors for the same pixels, before any noise or mask.

    modis (p, t, 7) with modis_valid; viirs (variant, p, t, 8) with viirs_valid (p, t, 8); zero where invalid.
    """

    modis: Floats
    modis_valid: Bools
    viirs: Floats
    viirs_valid: Bools


def read_series(file: Path) -> tuple[Floats, Bools]:
    """Reflectance (p, t, 7) of an archive with `refl`, `scale` and `fill`, and what of it is valid."""
    with np.load(file) as archive:
        stored, scale, fill = archive["refl"], float(archive["scale"]), int(archive["fill"])
    valid = stored != fill
    return np.where(valid, stored * np.float32(scale), np.float32(0)).astype(np.float32), valid


def split_pixels(count: int) -> dict[str, NDArray[np.int64]]:
    """Disjoint pixels to train, validate and test on; the same in every run."""
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    ends = np.cumsum(list(SPLIT_SIZES.values()))
    parts = np.split(order, ends)
    return {name: np.sort(part) for name, part in zip(SPLIT_SIZES, parts, strict=False)}


def make_pairs(
    modis: Floats, valid: Bools, library: BandLibrary, platforms: Sequence[Platform], variants: int, seed: int
) -> Pairs:
    """Make `variants` VIIRS series of every MODIS series, by turns as each of the platforms sees it.

    Each variant weighs the spectra of the library anew for each pixel: along one pixel's year the same
    spectra are preferred, so that its spectral peculiarity lasts.
    """
    rng = np.random.default_rng(seed)
    filled = fill_bands(modis, valid)
    distance, index = cKDTree(np.sqrt(library.modis)).query(np.sqrt(np.clip(filled, 0, None)), k=NEIGHBOURS)
    kernel = np.exp(-((distance / np.median(distance, axis=-1, keepdims=True)) ** 2))
    series = np.stack(
        [
            see(filled, library, platforms[variant % len(platforms)], index, kernel, rng)
            for variant in range(variants)
        ]
    )
    partner = list(Config().viirs_partner)
    known = valid[..., partner] & (valid.sum(-1, keepdims=True) >= valid.shape[-1] - 1)
    return Pairs(modis, valid, np.where(known, np.clip(series, 0.0, 1.5), 0).astype(np.float32), known)


def see(
    modis: NDArray[np.float64],
    library: BandLibrary,
    platform: Platform,
    index: NDArray[np.int64],
    kernel: NDArray[np.float64],
    rng: np.random.Generator,
) -> Floats:
    """VIIRS (p, t, 8) of spectra like the given MODIS (p, t, 7): `index` (p, t, k) of the library.

    The linear part of the translation is common; what it leaves over is a mean of the spectra's own
    leftovers, weighted by likeness (`kernel`) and by the pixel's taste.
    """
    source, target = library.modis, library.viirs[platform]
    weight, bias = ridge(source, target)
    leftover = (target - source @ weight - bias) / np.linalg.norm(source, axis=1, keepdims=True)
    series = (modis @ weight + bias).astype(np.float32)
    for pixel in range(len(modis)):
        taste = np.exp(rng.normal(0, 2, size=len(source)))[index[pixel]] * kernel[pixel]
        taste /= taste.sum(-1, keepdims=True)
        own = np.einsum("tk,tkb->tb", taste, leftover[index[pixel]])
        series[pixel] += own * np.linalg.norm(modis[pixel], axis=-1, keepdims=True)
    return series


def ridge(
    source: NDArray[np.floating], target: NDArray[np.floating], penalty: float = 1e-6
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least squares target = source @ weight + bias, with a light ridge on the weight."""
    mean_source, mean_target = source.mean(0, dtype=np.float64), target.mean(0, dtype=np.float64)
    x, y = source - mean_source, target - mean_target
    weight = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ y)
    return weight, mean_target - mean_source @ weight


def fill_bands(values: Floats, valid: Bools) -> NDArray[np.float64]:
    """Every band interpolated in time, so that a spectrum with one band missing can still be looked up."""
    filled = np.full(values.shape, 0.1)
    days = np.arange(values.shape[1])
    for pixel, band in np.ndindex(values.shape[0], values.shape[2]):
        known = valid[pixel, :, band]
        if known.any():
            filled[pixel, :, band] = np.interp(days, days[known], values[pixel, known, band])
    return filled
