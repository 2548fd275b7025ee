"""Aggregation over time. Every period is reduced by itself, its label is its first day."""

from collections.abc import Callable, Sequence
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.local.evaluation import Callback
from openeo_udf_fusion.local.standard.replacements import time_dimension
from openeo_udf_fusion.local.value_limits import require_periods, require_values

Dates = NDArray[np.datetime64]

_REGULAR = {"hour": pd.Timedelta(hours=1), "day": pd.Timedelta(days=1), "week": pd.Timedelta(days=7)}

# The months and days on which periods of a year begin.
_CALENDAR: dict[str, Callable[[int], list[tuple[int, int]]]] = {
    "dekad": lambda year: [(month, day) for month in range(1, 13) for day in (1, 11, 21)],
    "month": lambda year: [(month, 1) for month in range(1, 13)],
    "season": lambda year: [(month, 1) for month in (3, 6, 9, 12)],
    "tropical-season": lambda year: [(5, 1), (11, 1)],
    "year": lambda year: [(1, 1)],
    "decade": lambda year: [(1, 1)] if year % 10 == 0 else [],
    "decade-ad": lambda year: [(1, 1)] if year % 10 == 1 else [],
}


def aggregate_temporal_period(
    data: xr.DataArray,
    period: str,
    reducer: Callback,
    dimension: str | None = None,
    context: JsonValue = None,
) -> xr.DataArray:
    """Reduce each calendar period; one without dates gets NaN."""
    dim = time_dimension(data, dimension)
    edges = _edges(data, dim, period)
    return _aggregated(data, dim, edges[:-1], edges[1:], edges[:-1], reducer, context)


def aggregate_temporal(
    data: xr.DataArray,
    intervals: Sequence[Any],
    reducer: Callback,
    labels: Sequence[Any] | None = None,
    dimension: str | None = None,
    context: JsonValue = None,
) -> xr.DataArray:
    """Reduce each left-closed interval; intervals may overlap. Labels, if given, are dates."""
    dim = time_dimension(data, dimension)
    starts, ends = (_dates([interval[side] for interval in intervals]) for side in (0, 1))
    names = _dates(labels) if labels else starts
    if len(names) != len(starts):
        raise InvalidParameter(f"aggregate_temporal: {len(names)} labels for {len(starts)} intervals")
    return _aggregated(data, dim, starts, ends, names, reducer, context)


def _aggregated(
    data: xr.DataArray,
    dim: str,
    starts: Dates,
    ends: Dates,
    labels: NDArray[Any],
    reducer: Callback,
    context: JsonValue,
) -> xr.DataArray:
    if data.chunks is None:
        require_values("aggregating time", data.size / max(1, data.sizes[dim]) * len(starts), data.size)
    dates, axis = data[dim].values, data.get_axis_num(dim)
    reduced = []
    for start, end in zip(starts, ends, strict=True):
        inside = np.flatnonzero((dates >= start) & (dates < end))
        reduced.append(
            _reduced(data.isel({dim: inside}), dim, axis, reducer, context) if len(inside) else None
        )
    shape = tuple(size for name, size in data.sizes.items() if name != dim)
    empty = np.full(shape, np.nan, np.float32)
    lazy = data.chunks is not None
    stack = dask.array.stack if lazy else np.stack
    values = stack([empty if part is None else part for part in reduced], axis=axis)
    coords = {name: coord for name, coord in data.coords.items() if dim not in coord.dims}
    return xr.DataArray(
        values, dims=data.dims, coords={**coords, dim: labels}, attrs=data.attrs, name=data.name
    )


def _reduced(part: xr.DataArray, dim: str, axis: int, reducer: Callback, context: JsonValue) -> Any:  # noqa: ANN401
    return reducer(
        part.data,
        positional_parameters={"data": 0},
        axis=axis,
        keepdims=False,
        dim_labels=part[dim].values,
        context=context,
    )


def _edges(data: xr.DataArray, dim: str, period: str) -> Dates:
    """Starts of the periods from the one of the first date to that of the last, and the end of the last."""
    dates = pd.DatetimeIndex(data[dim].values)
    first, last = dates.min(), dates.max()
    if period in _REGULAR:
        require_periods((last - first) / _REGULAR[period])
        starts = pd.date_range(_start(first, period), last + _REGULAR[period], freq=_REGULAR[period])
    elif period in _CALENDAR:
        starts = pd.DatetimeIndex(
            [
                f"{year:04d}-{month:02d}-{day:02d}"
                for year in range(first.year - 10, last.year + 11)
                for month, day in _CALENDAR[period](year)
            ]
        )
    else:
        known = ", ".join((*_REGULAR, *_CALENDAR))
        raise InvalidParameter(f"aggregate_temporal_period: unknown period {period!r}; known are {known}")
    begin = int(starts.searchsorted(first, side="right")) - 1
    end = int(starts.searchsorted(last, side="right"))
    return _values(starts[begin : end + 1])


def _start(date: pd.Timestamp, period: str) -> pd.Timestamp:
    if period == "week":  # ISO 8601: weeks begin on Monday
        return date.normalize() - pd.Timedelta(days=date.dayofweek)
    return date.floor(_REGULAR[period])


def _values(index: pd.DatetimeIndex) -> Dates:
    return np.asarray(index.values, "datetime64[ns]")


def _dates(texts: Sequence[Any]) -> Dates:
    try:
        return _values(pd.DatetimeIndex([pd.Timestamp(str(text)).tz_localize(None) for text in texts]))
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"needed are dates, got {list(texts)[:4]}") from error
