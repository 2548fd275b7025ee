"""The median seasonal cycle of all years, and the anomalies from it, smoothed by Whittaker with lambda 1.

Source: the usual climatology-plus-anomaly filling (Kandasamy et al. 2013, doi 10.5194/bg-10-4055-2013,
"Clim"), with the smoother of Eilers 2003, doi 10.1021/ac034173t. First differences are penalised, so that
anomalies go straight from one edge of a gap to the other; second ones would, at a lambda of 1 and steps of
a day, carry the noise of two neighbouring days across.

The cycle of a single year is that year itself, averaged over 15 days: where it has a gap, the cycle is
bridged from edge to edge (around the turn of the year, too), and what comes out lies between the edges, as
with linear interpolation. Only days of the year that other years saw can do better.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, linear, spread
from openeo_udf_fusion.baselines.daily import Bools, Daily, Estimate, Floats, Places
from openeo_udf_fusion.models.series import Observations, Prediction

LMBDA = 1.0
YEAR_DAYS = 365
HALF_WINDOW_DAYS = 7
"""The cycle's day is an average of so many days on either side and itself."""


def predict(
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str,
    quantiles: Sequence[float] = (),
) -> Prediction:
    """Fill every series of one sensor; parameters, result and errors are those of `daily.fill`.

    Beyond the first and the last observation the cycle goes on and the anomaly stays. sigma is that of a
    bridge between the neighbours' anomalies (`spread`); of the series itself where it has a single year.
    """
    return daily.fill(estimate, observed, query_days, target, quantiles)


def estimate(block: Daily, places: Places) -> Estimate:
    """Estimate the series of a block at some of its days."""
    usual = cycle(block)[day_of_year(block)]
    anomalies = np.where(block.seen, block.values - usual, 0.0)
    smoothed = smooth(anomalies, block.seen, LMBDA)
    near = daily.neighbours(block.seen)
    return Estimate(usual[places] + smoothed[places], _sigma(block, anomalies, near, places))


def day_of_year(block: Daily) -> Places:
    """Return 0..364 for every row of a block; 31 December of a leap year counts as the 30th."""
    days = np.arange(block.first_day, block.first_day + len(block.seen)).astype("datetime64[D]")
    of_year: Places = np.minimum((days - days.astype("datetime64[Y]")).astype(np.int64), YEAR_DAYS - 1)
    return of_year


def cycle(block: Daily) -> Floats:
    """Return the seasonal cycle (365, series): of each day of the year the median over the years, averaged.

    Days of the year around which nothing was ever seen are bridged.
    """
    median, seen = _median_of_years(block)
    count = _around(seen.astype(np.float64))
    averaged = _around(median) / np.maximum(count, 1)
    known = count > 0.5
    gappy = np.flatnonzero(~known.all(0))
    if gappy.size:
        # Three turns of the year, of which the middle one has neighbours on both sides.
        near = daily.neighbours(np.tile(known[:, gappy], (3, 1)))
        thrice = np.tile(averaged[:, gappy], (3, 1))
        averaged[:, gappy] = linear.interpolated(thrice, near, np.arange(YEAR_DAYS, 2 * YEAR_DAYS))
    return averaged


def _median_of_years(block: Daily) -> tuple[Floats, Bools]:
    """Return for each day of the year the median of the years that saw it (0 if none), and if one did."""
    days = np.arange(block.first_day, block.first_day + len(block.seen)).astype("datetime64[D]")
    years = days.astype("datetime64[Y]").astype(np.int64)
    stacked = np.full((int(years[-1] - years[0]) + 1, YEAR_DAYS, block.seen.shape[1]), np.nan)
    stacked[years - years[0], day_of_year(block)] = np.where(block.seen, block.values, np.nan)
    if len(stacked) > 1:
        stacked.sort(axis=0)  # missing years come last
    count = np.isfinite(stacked).sum(0)
    low, high = (
        np.take_along_axis(stacked, place[None], 0)[0]
        for place in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return np.where(count > 0, (low + high) / 2, 0.0), count > 0


def _around(values: Floats) -> Floats:
    """Return the sum over a day of the year and its neighbours, around the turn of the year."""
    window = 2 * HALF_WINDOW_DAYS + 1
    wrapped = np.concatenate([values[-HALF_WINDOW_DAYS:], values, values[:HALF_WINDOW_DAYS]])
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(wrapped, axis=0)])
    sums: Floats = total[window:] - total[:-window]
    return sums


def smooth(values: Floats, seen: Bools, lmbda: float) -> Floats:
    """Return (t, series): minimises sum(seen (values - z)^2) + lmbda sum((z[i] - z[i+1])^2).

    Before the first and after the last observation it is constant.
    """
    days, count = seen.shape
    share, right = np.empty((days, count)), np.where(seen, values, 0.0)
    # An empty series would be 0 / 0; it gets zeros.
    pivot = seen[0] + (lmbda if days > 1 else 0.0) + ~seen.any(0)
    for day in range(days):
        if day:
            pivot = seen[day] + lmbda * (2.0 if day + 1 < days else 1.0) - lmbda * share[day - 1]
            right[day] += lmbda * right[day - 1]
        share[day] = lmbda / pivot
        right[day] /= pivot
    for day in reversed(range(days - 1)):
        right[day] += share[day] * right[day + 1]
    return right


def _sigma(block: Daily, anomalies: Floats, near: daily.Neighbours, places: Places) -> Floats:
    """Return the spread about the cycle where several years make it, else that of the series itself."""
    days = np.arange(block.first_day, block.first_day + len(block.seen)).astype("datetime64[D]")
    starts = np.flatnonzero(np.diff(days.astype("datetime64[Y]"), prepend=days[:1] - 400).astype(np.int64))
    years = np.logical_or.reduceat(block.seen, starts).sum(0)
    own = spread.walk(block)
    if (years < 2).all():
        return spread.bridge(own, near, places)
    about = spread.walk(block._replace(values=anomalies))
    # Residuals from a cycle that the same years made are too small for a year that it has not seen.
    widened = (years + 1) / np.maximum(years - 1, 1)
    mixed = (np.where(years < 2, one, widened * other) for one, other in zip(own, about, strict=True))
    return spread.bridge(spread.Walk(*mixed), near, places)
