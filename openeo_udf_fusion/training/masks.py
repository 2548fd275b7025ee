"""What a sensor misses: gaps as observed, and the harder cases a network is trained on."""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
# Days of the year, observed on MCD43A4: median 5-7, p75 14, p90 30-60, p99 99.
GAP_QUANTILES = np.array([0.0, 0.5, 0.75, 0.9, 0.99, 1.0])
GAP_DAYS = np.array([1.0, 6.0, 14.0, 45.0, 99.0, 120.0])
VIIRS_IMAGERY = (0, 1)
VIIRS_MODERATE = (2, 3, 4, 5, 6, 7)
MODIS_250M = (0, 1)


def gap_lengths(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Lengths in days of `count` gaps, drawn from the observed law."""
    lengths = np.interp(rng.uniform(size=count), GAP_QUANTILES, GAP_DAYS)
    return np.asarray(lengths.round(), dtype=np.int64)


def block_gaps(rng: np.random.Generator, days: int, share: float) -> Bools:
    """Days (days,) that lie in gaps; gaps are added until they could cover `share` of all days."""
    missing = np.zeros(days, dtype=np.bool_)
    covered = 0
    while covered < share * days:
        length = int(gap_lengths(rng, 1)[0])
        start = int(rng.integers(-length + 1, days))
        missing[max(start, 0) : start + length] = True
        covered += length
    return missing


def sparse_days(rng: np.random.Generator, days: int, period: int = 8) -> Bools:
    """One day out of each period, like the acquisition days of a composite."""
    kept = np.zeros(days, dtype=np.bool_)
    starts = np.arange(int(rng.integers(period)), days, period)
    picked = starts + rng.integers(0, period, size=starts.size)
    kept[picked[picked < days]] = True
    return kept


def few_gaps(rng: np.random.Generator, days: int) -> Bools:
    """Days in one to five gaps of 3 to 120 days, all lengths on a log scale alike."""
    missing = np.zeros(days, dtype=np.bool_)
    for _ in range(int(rng.integers(1, 6))):
        length = round(float(np.exp(rng.uniform(np.log(3), np.log(120)))))
        start = int(rng.integers(-length // 2, days))
        missing[max(start, 0) : start + length] = True
    return missing


def visible_days(rng: np.random.Generator, days: int) -> dict[str, Bools]:
    """Which days of each sensor a network may read, in one of the situations it should master."""
    dense = rng.uniform() < 0.5
    shared = few_gaps(rng, days) if dense else block_gaps(rng, days, rng.uniform(0, 0.6))
    kept = {}
    for sensor in ("modis", "viirs"):
        kept[sensor] = ~shared
        if not dense:
            kept[sensor] &= rng.uniform(size=days) >= rng.uniform(0.1, 0.6)
            kept[sensor] &= ~block_gaps(rng, days, rng.uniform(0, 0.3))
        elif rng.uniform() < 0.3:
            kept[sensor] &= ~few_gaps(rng, days)
        if rng.uniform() < 0.12:
            kept[sensor] = sparse_days(rng, days) & ~shared
    situation = rng.uniform()
    if situation < 0.42:
        kept["viirs"][:] = False
    elif situation < 0.67:
        kept["modis"][:] = False
    elif situation < 0.75:
        kept["modis"][int(rng.integers(0, days)) :] = False
    elif situation < 0.78:
        kept["viirs"][: int(rng.integers(0, days))] = False
    if rng.uniform() < 0.2:  # a short time window
        length = int(rng.integers(40, days))
        start = int(rng.integers(0, days - length + 1))
        for sensor in kept:
            kept[sensor][:start] = False
            kept[sensor][start + length :] = False
    return kept


def visible_bands(rng: np.random.Generator) -> dict[str, Bools]:
    """Which bands of each sensor are in the cube: mostly all, else one of the usual subsets."""
    bands = {"modis": np.ones(7, dtype=np.bool_), "viirs": np.ones(8, dtype=np.bool_)}
    case = rng.uniform()
    if case < 0.06:
        bands["viirs"][list(VIIRS_MODERATE)] = False
    elif case < 0.12:
        bands["viirs"][list(VIIRS_IMAGERY)] = False
    elif case < 0.16:
        bands["modis"][:] = False
        bands["modis"][list(MODIS_250M)] = True
    elif case < 0.24:
        bands["modis"] &= rng.uniform(size=7) < 0.7
        bands["viirs"] &= rng.uniform(size=8) < 0.7
    return bands
