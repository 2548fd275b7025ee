"""FluxnetEO's way: the median of a moving window, the smallest window first, then the median seasonal cycle.

Source: Walther et al. 2022, "A view from space on global flux towers by MODIS and Landsat: the FluxnetEO
data set", doi 10.5194/bg-19-2805-2022. The lengths of the windows are ours. The paper takes snow out
beforehand and fills its periods with a baseline; here snow is an observation as any other, for it is what
the ground looked like. Whoever wants the snow-free surface marks snow as not valid: then windows and cycle
fill it as a gap.

The paper's flags are 0 observed, 1 median of a window, 2 snow, 3 seasonal. Here a day is filled by a window
exactly where an observation is within `REACH_DAYS`, else by the cycle.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, seasonal, spread
from openeo_udf_fusion.baselines.daily import Daily, Estimate, Floats, Places
from openeo_udf_fusion.models.series import Observations, Prediction

HALF_WINDOWS_DAYS = (2, 5, 10, 20)
REACH_DAYS = HALF_WINDOWS_DAYS[-1]
_CELLS_AT_ONCE = 1 << 14


def predict(
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str,
    quantiles: Sequence[float] = (),
) -> Prediction:
    """Fill every series of one sensor; parameters, result and errors are those of `daily.fill`.

    What was observed stays as it is. sigma is that of a bridge between the neighbours (`spread`).
    """
    return daily.fill(estimate, observed, query_days, target, quantiles)


def estimate(block: Daily, places: Places) -> Estimate:
    """Estimate the series of a block at some of its days."""
    found = window_medians(block, places)
    missing = np.isnan(found)
    series = np.flatnonzero(missing.any(0))
    if series.size:
        part = Daily(block.values[:, series], block.seen[:, series], block.first_day)
        usual = seasonal.cycle(part)[seasonal.day_of_year(part)[places]]
        found[:, series] = np.where(missing[:, series], usual, found[:, series])
    near = daily.neighbours(block.seen)
    return Estimate(found, spread.between_neighbours(block, near, places))


def window_medians(block: Daily, places: Places) -> Floats:
    """Return what was observed (query, series), else the median of the smallest window with any, else NaN."""
    observed = np.where(block.seen, block.values, np.nan)
    found = observed[places]
    row, column = np.nonzero(np.isnan(found))
    reach = np.full((REACH_DAYS, observed.shape[1]), np.nan)
    padded = np.ascontiguousarray(np.concatenate([reach, observed, reach]).T)
    for half in HALF_WINDOWS_DAYS:
        windows = sliding_window_view(padded, 2 * half + 1, axis=1)
        median = _medians(windows, column, places[row] + REACH_DAYS - half)
        some = np.isfinite(median)
        found[row[some], column[some]] = median[some]
        row, column = row[~some], column[~some]
    return found


def _medians(windows: Floats, series: Places, start: Places) -> Floats:
    """Return the median of what was observed in the windows (series, start, day) that begin there, or NaN."""
    median = np.full(len(series), np.nan)
    for first in range(0, len(series), _CELLS_AT_ONCE):
        part = slice(first, first + _CELLS_AT_ONCE)
        drawn = np.sort(windows[series[part], start[part]], axis=1)  # missing ones come last
        count, each = np.isfinite(drawn).sum(1), np.arange(len(drawn))
        low, high = drawn[each, np.maximum(count - 1, 0) // 2], drawn[each, count // 2]
        median[part] = (low + high) / 2
    return median
