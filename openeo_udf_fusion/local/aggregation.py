"""Aggregation over time. Every period is reduced by itself, its label is its first day."""

from collections.abc import Sequence
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from openeo_processes_dask.process_implementations.cubes import aggregate as opd

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.local.evaluation import Callback
from openeo_udf_fusion.local.replacements import time_dimension

Dates = NDArray[np.datetime64]

_FREQUENCIES = {"hour": "h", "day": "D", "month": "MS", "season": "QS-DEC", "year": "YS"}
# Their edges come from openeo-processes-dask.
_IRREGULAR = ("dekad", "tropical-season", "decade", "decade-ad")


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
    """Reduce each left-closed interval; intervals may overlap."""
    dim = time_dimension(data, dimension)
    starts, ends = (_dates([interval[side] for interval in intervals]) for side in (0, 1))
    names = starts if not labels else np.asarray(list(labels))
    if len(names) != len(starts):
        raise InvalidParameter(f"aggregate_temporal: {len(names)} labels for {len(starts)} intervals")
    if labels:
        try:
            names = _dates(list(labels))
        except InvalidParameter:
            names = np.asarray([str(label) for label in labels])
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
    """Starts of the periods from the first date to the last, and the end of the last."""
    dates = pd.DatetimeIndex(data[dim].values)
    first, last = dates.min(), dates.max()
    if period == "week":  # ISO 8601: weeks begin on Monday
        monday = first.normalize() - pd.Timedelta(days=first.dayofweek)
        return _values(pd.date_range(monday, last + pd.Timedelta(days=7), freq="7D"))
    if period in _FREQUENCIES:
        offset = pd.tseries.frequencies.to_offset(_FREQUENCIES[period])
        begin = first.floor("h" if period == "hour" else "D")
        begin = offset.rollback(begin) if period in ("month", "season", "year") else begin
        edges = pd.date_range(begin, periods=2, freq=offset)
        while edges[-1] <= last:
            edges = pd.date_range(begin, periods=2 * len(edges), freq=offset)
        return _values(edges[: int(edges.searchsorted(last, side="right")) + 1])
    if period in _IRREGULAR:
        matrix, _ = opd.get_intervals(data.rename({dim: "t"}), period)  # type: ignore[no-untyped-call]
        return _dates([*matrix[:, 0], matrix[-1, 1]])
    raise InvalidParameter(f"aggregate_temporal_period: unknown period {period!r}; known are {_known()}")


def _known() -> str:
    return ", ".join(("week", *_FREQUENCIES, *_IRREGULAR))


def _values(index: pd.DatetimeIndex) -> Dates:
    return np.asarray(index.values, "datetime64[ns]")


def _dates(texts: Sequence[Any]) -> Dates:
    try:
        return _values(pd.DatetimeIndex([pd.Timestamp(str(text)).tz_localize(None) for text in texts]))
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"needed are dates, got {list(texts)[:4]}") from error
