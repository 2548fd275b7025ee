"""Scores of normal predictions, as sums per pixel and band that any resampling can add up again."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
LEVELS = (0.5, 0.8, 0.95)
"""Nominal coverage of the central intervals that are scored."""


class Sums(NamedTuple):
    """Sums over cells, all float64 and of one shape (..., bands); every score is a ratio of them.

    Attributes
    ----------
    cells
        How many.
    error, squared
        Of prediction minus truth, and of its square.
    crps
        Of the continuous ranked probability score.
    truth, truth_squared
        Of the observed reflectance, and of its square.
    inside
        (levels, ..., bands), how many observations lie in the central interval of each of `LEVELS`.
    """

    cells: Doubles
    error: Doubles
    squared: Doubles
    crps: Doubles
    truth: Doubles
    truth_squared: Doubles
    inside: Doubles


def half_width(level: float) -> float:
    """Half the width of the central interval of a standard normal distribution."""
    return NormalDist().inv_cdf((1 + level) / 2)


def crps_normal(truth: Floats, mean: Floats, sigma: Floats) -> Doubles:
    """Continuous ranked probability score of a normal distribution, elementwise; lower is better.

    With z = (truth - mean) / sigma it is sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),
    doi:10.1198/016214506000001437; where sigma is 0, the absolute error. NaN where an input is NaN.
    """
    error, spread = np.subtract(truth, mean, dtype=np.float64), np.asarray(sigma, np.float64)
    z = np.divide(error, spread, out=np.zeros_like(error), where=spread > 0)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    score = spread * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(spread == 0, np.abs(error), score)


def add_up(
    truth: Floats,
    mean: Floats,
    sigma: Floats,
    pixel: NDArray[np.integer],
    band: NDArray[np.integer],
    shape: tuple[int, int],
) -> Sums:
    """Sums per pixel and band over cells, all arguments (cells,); `shape` is (pixels, bands).

    A method that states no sigma (NaN) has neither CRPS nor coverage.
    """
    at = np.ravel_multi_index((pixel, band), shape)
    observed = np.asarray(truth, np.float64)
    error, spread = np.asarray(mean, np.float64) - observed, np.asarray(sigma, np.float64)

    def total(values: NDArray[np.floating | np.bool_] | None = None) -> Doubles:
        return np.bincount(at, values, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)

    return Sums(
        cells=total(),
        error=total(error),
        squared=total(error**2),
        crps=total(crps_normal(observed, mean, sigma)),
        truth=total(observed),
        truth_squared=total(observed**2),
        inside=np.stack([total(within(error, spread, level)) for level in LEVELS]),
    )


def within(error: Doubles, sigma: Doubles, level: float) -> Doubles:
    """1 where an error lies in the central interval of a level, else 0; NaN where there is no sigma."""
    return np.where(np.isnan(sigma), np.nan, np.abs(error) <= half_width(level) * sigma)


def weigh(sums: Sums, weights: Doubles) -> Sums:
    """Sums of samples of pixels: (..., pixels, bands), weights (samples, pixels) -> (..., samples, bands)."""
    return Sums(*(weights @ part for part in sums))


def over_pixels(sums: Sums) -> Sums:
    """Sums of all pixels together: (pixels, bands) -> (bands,)."""
    return Sums(*(part.sum(axis=-2) for part in sums))


def over_bands(sums: Sums) -> Sums:
    """Sums of all bands together: (..., bands) -> (..., 1)."""
    return Sums(*(part.sum(axis=-1, keepdims=True) for part in sums))


def ratio(above: Doubles, below: Doubles) -> Doubles:
    """A quotient that is NaN where there is nothing to divide by."""
    quotient: Doubles = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=quotient, where=below > 0))


def rmse(sums: Sums) -> Doubles:
    """Root mean squared error, in reflectance."""
    return np.asarray(np.sqrt(ratio(sums.squared, sums.cells)))


def bias(sums: Sums) -> Doubles:
    """Mean of prediction minus truth, in reflectance."""
    return ratio(sums.error, sums.cells)


def crps(sums: Sums) -> Doubles:
    """Mean continuous ranked probability score, in reflectance."""
    return ratio(sums.crps, sums.cells)


def nse(sums: Sums) -> Doubles:
    """Nash-Sutcliffe efficiency: 1 less the squared error over that of the truth's own mean."""
    about_mean = sums.truth_squared - ratio(sums.truth**2, sums.cells)
    return 1 - ratio(sums.squared, np.where(about_mean > 0, about_mean, 0))


def coverage(sums: Sums, level: float) -> Doubles:
    """Share of observations inside the central interval of one of `LEVELS`."""
    return ratio(sums.inside[LEVELS.index(level)], sums.cells)


def pit_histogram(truth: Floats, mean: Floats, sigma: Floats, bins: int = 20) -> Doubles:
    """Shares of the probability integral transform Phi((truth - mean) / sigma) in equal bins of 0..1."""
    levels = ndtr(standardise(truth, mean, sigma))
    counts = np.bincount(np.minimum((levels * bins).astype(np.int64), bins - 1), minlength=bins)
    return np.asarray(counts / max(1, len(levels)), np.float64)


def reliability(truth: Floats, mean: Floats, sigma: Floats, levels: Sequence[float]) -> Doubles:
    """Share of observations inside the central interval of each nominal level."""
    distance = np.sort(np.abs(standardise(truth, mean, sigma)))
    found = np.searchsorted(distance, [half_width(level) for level in levels], side="right")
    return np.asarray(found / max(1, len(distance)), np.float64)


def standardise(truth: Floats, mean: Floats, sigma: Floats) -> Doubles:
    """(truth - mean) / sigma; infinite where sigma is 0 and the truth missed."""
    error = np.subtract(truth, mean, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, 0.0, error / np.asarray(sigma, np.float64))


def spread_error(truth: Floats, mean: Floats, sigma: Floats, bins: int = 12) -> tuple[Doubles, Doubles]:
    """Root mean squared sigma and error (bins,) of cells sorted by sigma into bins of equal size."""
    order = np.array_split(np.argsort(sigma, kind="stable"), bins)
    squared = np.subtract(truth, mean, dtype=np.float64) ** 2
    variance = np.asarray(sigma, np.float64) ** 2
    parts = [part for part in order if len(part)]
    spread = np.array([np.sqrt(variance[part].mean()) for part in parts])
    return spread, np.array([np.sqrt(squared[part].mean()) for part in parts])
