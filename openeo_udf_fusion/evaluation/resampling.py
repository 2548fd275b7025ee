"""Paired bootstrap over pixels: the cells of one pixel are no independent witnesses."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import metrics
from openeo_udf_fusion.evaluation.metrics import Sums

Doubles = NDArray[np.float64]
RESAMPLES = 4000
TAILS = (0.025, 0.975)


class Interval(NamedTuple):
    """An estimate on all pixels, and the ends of its 95 % interval over resampled ones; all of one shape."""

    estimate: Doubles
    low: Doubles
    high: Doubles

    @property
    def half_width(self) -> Doubles:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


def draw_weights(pixels: int, resamples: int, seed: int) -> Doubles:
    """How often each resample (row) holds each pixel: as many as there are, with replacement."""
    rng = np.random.default_rng([seed, pixels])
    return rng.multinomial(pixels, np.full(pixels, 1 / max(pixels, 1)), size=resamples).astype(np.float64)


def percentiles(estimate: Doubles, resampled: Doubles) -> Interval:
    """The interval of an estimate from its values on the resamples, which lie along the first axis.

    NaN where no resample has a value.
    """
    known = np.isfinite(resampled).any(axis=0)
    low, high = np.nanquantile(np.where(known, resampled, 0), TAILS, axis=0)
    return Interval(estimate, np.where(known, low, np.nan), np.where(known, high, np.nan))


def with_cells(*sums: Sums) -> list[Sums]:
    """The same sums without the pixels that have no cell: they are no part of the sample."""
    known = np.flatnonzero(sums[0].cells.sum(axis=-1) > 0)
    return [Sums(*(part.take(known, axis=-2) for part in each)) for each in sums]


def rmse_ratio(
    model: Sums, baseline: Sums, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Interval, Interval]:
    """RMSE of a model over that of a baseline on the same cells, with its 95 % interval.

    Parameters
    ----------
    model, baseline
        Sums per pixel and band, (pixels, bands).
    resamples
        How often the pixels are drawn.
    seed
        Of the draw; the same pixels are drawn for all bands.

    Returns
    -------
    tuple of Interval
        Per band, (bands,), NaN for one without cells, and of the mean over the other bands, ().
    """
    model, baseline = with_cells(model, baseline)
    weights = draw_weights(len(model.cells), resamples, seed)

    def of(one: Sums, other: Sums) -> Doubles:
        return np.asarray(np.sqrt(metrics.ratio(one.squared, other.squared)))

    found = of(metrics.over_pixels(model), metrics.over_pixels(baseline))
    resampled = of(metrics.weigh(model, weights), metrics.weigh(baseline, weights))
    known = np.isfinite(found)
    if not known.any():
        return percentiles(found, resampled), percentiles(np.asarray(np.nan), resampled[:, 0])
    mean = percentiles(found[known].mean(), resampled[:, known].mean(axis=-1))
    return percentiles(found, resampled), mean


def nse_difference(model: Sums, baseline: Sums, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """NSE of a model less that of a baseline on the same cells, per band, with its 95 % interval."""
    model, baseline = with_cells(model, baseline)
    weights = draw_weights(len(model.cells), resamples, seed)

    def of(one: Sums, other: Sums) -> Doubles:
        return metrics.nse(one) - metrics.nse(other)

    resampled = of(metrics.weigh(model, weights), metrics.weigh(baseline, weights))
    return percentiles(of(metrics.over_pixels(model), metrics.over_pixels(baseline)), resampled)


def coverage(sums: Sums, level: float, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Coverage of the central interval of a level per band, with its 95 % interval."""
    (sums,) = with_cells(sums)
    weights = draw_weights(len(sums.cells), resamples, seed)
    found = metrics.coverage(metrics.over_pixels(sums), level)
    return percentiles(found, metrics.coverage(metrics.weigh(sums, weights), level))
