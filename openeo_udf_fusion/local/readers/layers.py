"""Layers, the bands of single files, and the cube that they make up when it is read window by window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.grids import Grid

Indices = NDArray[np.intp]
Read = Callable[[Indices, slice, slice], NDArray[np.generic]]
"""(steps, rows, columns) -> raw values (steps, rows, columns); the steps ascend and have no duplicates."""


@dataclass(frozen=True)
class Decoding:
    """How raw numbers become physical ones: `raw * scale + offset`, NaN where raw is one of `nodata`.

    `offset_since` limits the offset to dates from then on (Sentinel-2's processing baseline 04.00).
    """

    scale: float = 1.0
    offset: float = 0.0
    nodata: tuple[float, ...] = ()
    offset_since: np.datetime64 | None = None

    def apply(self, raw: NDArray[np.generic], dates: NDArray[np.datetime64]) -> NDArray[np.float32]:
        """Physical values, float32, of raw values (t, y, x) at `dates` (t,)."""
        values = raw.astype(np.float32)
        if self.scale != 1.0 or self.offset != 0.0:
            # In float64, so that 1e-4 steps come out as the nearest float32.
            offset = np.full(len(dates), self.offset)
            if self.offset_since is not None:
                offset[dates < self.offset_since] = 0.0
            values = (raw.astype(np.float64) * self.scale + offset[:, None, None]).astype(np.float32)
        for fill in self.nodata:
            values[_equals(raw, fill)] = np.nan
        return values


@dataclass(frozen=True, eq=False)
class Layer:
    """One band of one file.

    Attributes
    ----------
    file : Path
    name : str
        The band's name in the file.
    label : str
        The band's label in the cube.
    grid : Grid
    dates : ndarray, datetime64[ns], (t,), or None
        None for a layer that holds at all times.
    decoding : Decoding
    read : callable
        Reads raw values.
    attrs : dict
        CF attributes that describe the values (`long_name`, `units`, `flag_values`, ...).
    """

    file: Path
    name: str
    label: str
    grid: Grid
    dates: NDArray[np.datetime64] | None
    decoding: Decoding
    read: Read
    attrs: Json = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Placed:
    """A layer, and the rows and columns of it that lie under the cube's (None: they are the same)."""

    layer: Layer
    rows: Indices | None
    columns: Indices | None


class LayerCube:
    """An array-like (t, bands, y, x), float32, that reads no more than is asked of it.

    Parameters
    ----------
    placed : sequence of Placed
    dates : ndarray, datetime64[ns], (t,)
    source : ndarray, int, (bands, t)
        Which of `placed` fills a band at a step; -1: none, all NaN.
    step : ndarray, int, (bands, t)
        The step inside that layer.
    shape : (int, int)
        Rows and columns.
    """

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(
        self,
        placed: Sequence[Placed],
        dates: NDArray[np.datetime64],
        source: Indices,
        step: Indices,
        shape: tuple[int, int],
    ) -> None:
        self._placed = tuple(placed)
        self._dates = dates
        self._source = source
        self._step = step
        self.shape = (len(dates), len(source), *shape)

    def __getitem__(self, key: tuple[slice | int | Indices, ...]) -> NDArray[np.float32]:
        padded = (*key, *[slice(None)] * (self.ndim - len(key)))
        wanted = [np.arange(size)[part] for size, part in zip(self.shape, padded, strict=True)]
        steps, bands, rows, columns = (np.atleast_1d(index) for index in wanted)
        values = np.full([len(steps), len(bands), len(rows), len(columns)], np.nan, np.float32)
        for position, band in enumerate(bands):
            self._fill(values[:, position], self._source[band, steps], self._step[band, steps], rows, columns)
        squeezed = tuple(axis for axis, index in enumerate(wanted) if index.ndim == 0)
        return values.squeeze(squeezed)

    def _fill(
        self, values: NDArray[np.float32], source: Indices, step: Indices, rows: Indices, columns: Indices
    ) -> None:
        for number in np.unique(source[source >= 0]):
            placed, here = self._placed[number], np.flatnonzero(source == number)
            raw = _read(placed, step[here], rows, columns)
            dates = np.zeros(len(here), "datetime64[ns]")
            if placed.layer.dates is not None:
                dates = placed.layer.dates[step[here]]
            values[here] = placed.layer.decoding.apply(raw, dates)


def _read(placed: Placed, steps: Indices, rows: Indices, columns: Indices) -> NDArray[np.generic]:
    rows = rows if placed.rows is None else placed.rows[rows]
    columns = columns if placed.columns is None else placed.columns[columns]
    distinct, back = np.unique(steps, return_inverse=True)
    raw = placed.layer.read(distinct, _hull(rows), _hull(columns))
    window: NDArray[np.generic] = raw[np.ix_(back, rows - rows.min(), columns - columns.min())]
    return window


def _hull(index: Indices) -> slice:
    return slice(int(index.min()), int(index.max()) + 1)


def _equals(raw: NDArray[np.generic], fill: float) -> NDArray[np.bool_]:
    if np.isnan(fill):
        return np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, bool)
    # A fill value of -3.4e38 is that of its own float type; one out of an integer's range equals nothing.
    same: NDArray[np.bool_] = raw == (raw.dtype.type(fill) if raw.dtype.kind == "f" else fill)
    return same
