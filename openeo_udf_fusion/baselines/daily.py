"""Series of a block of pixels on consecutive days: the layout in which all gap fillers work.

A block is (t, series): every band of every pixel is a series of its own, and whatever runs over time works on
all of them at once. Blocks are small enough to stay in the processor's cache, however large the cube is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.series import Observations, Prediction

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.int64]

BLOCK_CELLS = 1 << 18
"""Days times series of a block: a few arrays of 2 MB each."""
LONGEST_SPAN_DAYS = 36_525
"""A day beyond a century from the others is a fill value that escaped its mask, not an observation."""


class Daily(NamedTuple):
    """A block of series on consecutive days.

    Attributes
    ----------
    values : NDArray[np.float64]
        (t, series), the mean of a day's observations; 0 where there is none.
    seen : NDArray[np.bool_]
        (t, series), whether there is one.
    first_day : int
        Days since 1970-01-01 of the first row.
    """

    values: Floats
    seen: Bools
    first_day: int


class Estimate(NamedTuple):
    """What a method says about a block: mean and standard deviation, both (query, series)."""

    mean: Floats
    sigma: Floats


Method = Callable[[Daily, Places], Estimate]
"""Estimates the rows at the given places; of a series that was never seen it may say anything."""


class Neighbours(NamedTuple):
    """Rows of the last observation on or before a row, and of the next one on or after it.

    Where a series has none on that side, the row is -1, or the number of rows.
    """

    before: NDArray[np.int32]
    after: NDArray[np.int32]


def fill(
    method: Method,
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str,
    quantiles: Sequence[float] = (),
) -> Prediction:
    """Apply a gap filler to every series of one sensor, block by block.

    Parameters
    ----------
    method : callable
        What to do with a block.
    observed : mapping of sensor to Observations
        Only that of `target` is read: any number of bands in any units.
    query_days : (query,) int32
        Days since 1970-01-01, in any order, with repetitions.
    target : str
        The sensor to fill.
    quantiles : sequence of float
        Levels between 0 and 1, of the normal distribution about the mean.

    Returns
    -------
    Prediction
        NaN for a series without a single valid observation.

    Raises
    ------
    InvalidParameter
        A level outside 0..1, or observations of other sensors alone.
    InvalidCube
        Shapes that disagree, or days over a century apart.
    """
    series = checked(observed, target, quantiles)
    query = np.asarray(query_days, dtype=np.int64)
    bands, y, x = series.values.shape[1:]
    mean = np.full((len(query), bands, y * x), np.nan, np.float32)
    sigma = mean.copy()
    window = span(series, query)
    if window is not None and len(query):
        pixels = max(1, BLOCK_CELLS // ((window[1] - window[0] + 1) * bands))
        for columns in blocks(series, pixels):
            daily, known = on_days(series, window, columns)
            estimate = method(daily, query - window[0])
            for out, found in ((mean, estimate.mean), (sigma, estimate.sigma)):
                kept = np.where(known, found, np.nan)
                out[:, :, columns] = kept.reshape(len(query), bands, len(columns))
    whole = (len(query), bands, y, x)
    return normal(mean.reshape(whole), sigma.reshape(whole), quantiles)


def normal(mean: NDArray[np.float32], sigma: NDArray[np.float32], quantiles: Sequence[float]) -> Prediction:
    """Return a prediction whose quantiles are those of a normal distribution."""
    levels = np.full((len(quantiles), *mean.shape), np.nan, np.float32)
    for place, level in enumerate(quantiles):
        levels[place] = mean + np.float32(NormalDist().inv_cdf(level)) * sigma
    return Prediction(mean, sigma, levels)


def without_spread(mean: NDArray[np.float32]) -> Prediction:
    """Return a prediction that says nothing of how sure it is."""
    return normal(mean, np.full_like(mean, np.nan), ())


def checked(observed: Mapping[str, Observations], target: str, quantiles: Sequence[float]) -> Observations:
    """Return the target's observations if they can be read."""
    if target not in observed:
        raise InvalidParameter(f"a gap filler needs observations of {target}, got {sorted(observed)}")
    if not all(0 < level < 1 for level in quantiles):
        raise InvalidParameter(f"quantile levels lie between 0 and 1, got {list(quantiles)}")
    series = observed[target]
    shape, days = series.values.shape, series.days.shape
    fits = len(shape) == 4 and shape == series.valid.shape and days in ((shape[0],), (shape[0], *shape[2:]))
    if not fits:
        raise InvalidCube(
            f"{target} needs values and valid (t, bands, y, x) and days (t,) or (t, y, x); "
            f"got values {shape}, valid {series.valid.shape}, days {days}"
        )
    return series


def span(series: Observations, query: Places) -> tuple[int, int] | None:
    """Return the first and last day that matters; None without any observation."""
    seen: Bools = np.any(series.valid, axis=1)  # (t, y, x)
    used = series.days[seen.any((1, 2))] if series.days.ndim == 1 else series.days[seen]
    if not used.size:
        return None
    first = min(int(used.min()), int(query.min(initial=used.min())))
    last = max(int(used.max()), int(query.max(initial=used.max())))
    if last - first > LONGEST_SPAN_DAYS:
        raise InvalidCube(
            f"days since 1970-01-01 run from {first} to {last}, more than a century; "
            "mask observations without a true date, or query in parts"
        )
    return first, last


def blocks(series: Observations, pixels: int) -> Iterator[Places]:
    """Return the flat positions of pixels in portions; those never seen are left out."""
    known = np.flatnonzero(series.valid.any((0, 1)).reshape(-1))
    for start in range(0, len(known), pixels):
        yield known[start : start + pixels]


def on_days(series: Observations, window: tuple[int, int], columns: Places) -> tuple[Daily, Bools]:
    """Put the observations of some pixels on consecutive days, and say which series were ever seen."""
    steps, bands = series.values.shape[:2]
    valid = series.valid.reshape(steps, bands, -1)[:, :, columns]
    given = series.values.reshape(steps, bands, -1)[:, :, columns]
    values = np.where(valid, given, 0).astype(np.float64)
    shape = (window[1] - window[0] + 1, bands, len(columns))
    # An observation without a valid band may have any day at all; it adds zeros wherever it falls.
    if series.days.ndim == 1:
        place = np.clip(series.days.astype(np.int64) - window[0], 0, shape[0] - 1)
    else:
        own = series.days.reshape(steps, -1)[:, columns].astype(np.int64)
        place = np.clip(own - window[0], 0, shape[0] - 1)
    total, count = np.zeros(shape), np.zeros(shape, np.uint16)
    across = np.arange(len(columns))
    for step in np.flatnonzero(valid.any((1, 2))):
        if place.ndim == 1:
            total[place[step]] += values[step]
            count[place[step]] += valid[step]
        else:
            total[place[step], :, across] += values[step].T
            count[place[step], :, across] += valid[step].T
    if count.max() > 1:
        total /= np.maximum(count, 1)
    seen = (count > 0).reshape(shape[0], -1)
    known: Bools = np.any(seen, axis=0)
    return Daily(total.reshape(seen.shape), seen, window[0]), known


def neighbours(seen: Bools) -> Neighbours:
    """Return the neighbouring observations of every row of a block."""
    before, after = np.empty(seen.shape, np.int32), np.empty(seen.shape, np.int32)
    nearest = np.full(seen.shape[1], -1, np.int32)
    for row, now in enumerate(seen):
        nearest = np.where(now, np.int32(row), nearest)
        before[row] = nearest
    nearest = np.full(seen.shape[1], len(seen), np.int32)
    for row in reversed(range(len(seen))):
        nearest = np.where(seen[row], np.int32(row), nearest)
        after[row] = nearest
    return Neighbours(before, after)
