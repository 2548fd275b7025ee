"""Layers of netCDF files and Zarr stores, by way of xarray."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from openeo_udf_fusion.errors import ForbiddenPath, InvalidCollection
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.grids import WGS84, Grid, parse_crs, regular_axis
from openeo_udf_fusion.local.hdf5 import HDF5
from openeo_udf_fusion.local.readers.bandnames import (
    LABEL_ATTR,
    Context,
    Stated,
    cf_attrs,
    decoding_of,
    label_of,
    not_offered,
    sensor_of,
)
from openeo_udf_fusion.local.readers.dates import as_dates, date_in_path
from openeo_udf_fusion.local.readers.folders import is_zarr, reason_of
from openeo_udf_fusion.local.readers.layers import Indices, Layer
from openeo_udf_fusion.local.readers.references import require_self_contained

_TIME = ("t", "time", "timestamp", "datetime", "date")
_Y = ("y", "lat", "latitude", "northing", "ydim")
_X = ("x", "lon", "longitude", "easting", "xdim")
# What xarray calls a variable that nobody named: no prefix for its bands.
_NAMELESS = frozenset({"__xarray_dataarray_variable__", "__xarray_dataarray_name__"})
_AS_STORED: Mapping[str, Any] = {"mask_and_scale": False, "decode_timedelta": False, "cache": False}


@dataclass(frozen=True)
class Axes:
    """Which dimensions of a variable are time (None: it has none), rows and columns."""

    time: str | None
    y: str
    x: str


@dataclass(frozen=True)
class VariableReader:
    """Reads windows of one variable at one place of its inner dimensions; it can be pickled."""

    path: Path
    variable: str
    axes: Axes
    inner: Mapping[str, int] = field(default_factory=dict)
    unsigned: bool = False

    def __call__(self, steps: Indices, rows: slice, columns: slice) -> NDArray[np.generic]:
        """Raw values (t, y, x)."""
        variable = open_dataset(self.path).variables[self.variable]
        time = self.axes.time
        key: dict[Hashable, int | slice | Indices] = {self.axes.y: rows, self.axes.x: columns}
        key.update(self.inner)
        if time is not None:
            contiguous = len(steps) == steps[-1] - steps[0] + 1
            key[time] = slice(int(steps[0]), int(steps[-1]) + 1) if contiguous else steps
        order = [name for name in (time, self.axes.y, self.axes.x) if name is not None]
        try:
            values: NDArray[np.generic] = variable.isel(key).transpose(*order).values
        except (OSError, RuntimeError, ValueError) as error:  # a damaged chunk
            reason = reason_of(error, self.path)
            raise InvalidCollection(f"{self.path.name} cannot be read: {reason}; is it complete?") from error
        if self.unsigned:
            values = values.view(f"u{values.dtype.itemsize}")
        return values if time is not None else np.broadcast_to(values, (len(steps), *values.shape))


def open_dataset(path: Path) -> xr.Dataset:
    """The dataset, not decoded except for time; open files are shared, and reads of them are locked.

    Raises
    ------
    InvalidCollection
        The file cannot be read.
    ForbiddenPath
        It has values in another file.
    """
    try:
        changed_ns = path.stat().st_mtime_ns
        if is_zarr(path):
            return _open(path, changed_ns)
        # Locked out here, the second who asks for a file finds it open.
        with HDF5:
            return _open(path, changed_ns)
    except ForbiddenPath:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise InvalidCollection(
            f"{path.name} cannot be read: {reason_of(error, path)}; repair it or take it out of the folder"
        ) from error


def dataset_layers(path: Path, context: Context) -> list[Layer]:
    """The layers of one netCDF file or Zarr store.

    Raises
    ------
    InvalidCollection
        The file cannot be read, has no variable with rows and columns, or its coordinates make no grid.
    """
    dataset = open_dataset(path)
    names = [str(name) for name in dataset.data_vars]
    spatial = {name: axes for name in names if (axes := _axes(dataset[name])) is not None}
    if not spatial:
        raise InvalidCollection(
            f"{path.name} has no variable with rows and columns; it has {names or 'none'}"
        )
    context.notes.extend(
        f"{name}: it has no rows and columns" for name in names if name not in spatial and dataset[name].ndim
    )
    layers = [
        layer
        for name, axes in spatial.items()
        for layer in _variable_layers(path, dataset, name, axes, context)
    ]
    return layers


@lru_cache(maxsize=64)
def _open(path: Path, changed_ns: int) -> xr.Dataset:
    """`changed_ns` makes a rewritten file another key."""
    if is_zarr(path):
        return xr.open_dataset(path, engine="zarr", **_AS_STORED)
    require_self_contained(path)
    return xr.open_dataset(path, engine="netcdf4", lock=HDF5, **_AS_STORED)


def _variable_layers(
    path: Path, dataset: xr.Dataset, name: str, axes: Axes, context: Context
) -> Iterator[Layer]:
    variable = dataset[name]
    grid, dates = _grid(path, dataset, variable, axes, context), _dates(path, dataset, axes, context)
    sensor = sensor_of((path.stem, context.hint, path.parent.name, context.folder.name, _texts(dataset)))
    stated = _stated(variable)
    for inner, labels in _inner_places(variable, axes):
        spelled = _spelled(name, labels)
        label = label_of(spelled, stated, sensor, context.override, inner="_".join(labels))
        if reason := not_offered(spelled, label, stated):
            context.notes.append(reason)
            continue
        reader = VariableReader(path, name, axes, inner, _is_unsigned(variable))
        decoding = decoding_of(spelled, label, stated, context.override)
        yield Layer(
            path, spelled, label, grid, dates, decoding, reader, cf_attrs(label, dict(variable.attrs))
        )


def _axes(variable: xr.DataArray) -> Axes | None:
    y, x = _dimension(variable, _Y), _dimension(variable, _X)
    if y is None or x is None:
        return None
    time = _dimension(variable, _TIME)
    if time is None:
        timed = (str(d) for d in variable.dims if d in variable.coords and variable[d].dtype.kind == "M")
        time = next(timed, None)
    return Axes(time, y, x)


def _dimension(variable: xr.DataArray, names: tuple[str, ...]) -> str | None:
    lowered = {str(dimension).lower(): str(dimension) for dimension in variable.dims}
    return next((lowered[name] for name in names if name in lowered), None)


def _inner_places(variable: xr.DataArray, axes: Axes) -> Iterator[tuple[dict[str, int], list[str]]]:
    """Each place in the inner dimensions (bands, say), and what it is called there."""
    inner = [str(name) for name in variable.dims if name not in (axes.time, axes.y, axes.x)]
    labels = [_labels(variable, name) for name in inner]
    for place in product(*(range(len(names)) for names in labels)):
        called = [names[index] for names, index in zip(labels, place, strict=True)]
        yield dict(zip(inner, place, strict=True)), called


def _labels(variable: xr.DataArray, dimension: str) -> list[str]:
    if dimension not in variable.coords:
        return [str(index + 1) for index in range(variable.sizes[dimension])]
    return [
        str(label.decode() if isinstance(label, bytes) else label) for label in variable[dimension].values
    ]


def _spelled(name: str, labels: list[str]) -> str:
    return "_".join(labels) if labels and name in _NAMELESS else "_".join([name, *labels])


def _stated(variable: xr.DataArray) -> Stated:
    attrs = variable.attrs
    dtype = variable.dtype
    if _is_unsigned(variable):
        dtype = np.dtype(f"u{dtype.itemsize}")
    fills = [attrs[key] for key in ("_FillValue", "missing_value", "nodata", "NoData") if key in attrs]
    flat = np.concatenate([np.ravel(fill) for fill in fills]) if fills else None
    if flat is not None and _is_unsigned(variable):
        flat = flat.astype(np.int64) % (1 << 8 * dtype.itemsize)
    try:
        nodata = None if flat is None else tuple({float(value) for value in flat})
        scale, offset = (
            None if attrs.get(key) is None else float(np.ravel(attrs[key])[0])
            for key in ("scale_factor", "add_offset")
        )
    except (TypeError, ValueError) as error:
        raise InvalidCollection(
            f"variable {variable.name}: _FillValue, scale_factor and add_offset must be numbers: {error}"
        ) from error
    return Stated(dtype, attrs.get(LABEL_ATTR), scale, offset, nodata)


def _is_unsigned(variable: xr.DataArray) -> bool:
    return variable.dtype.kind == "i" and str(variable.attrs.get("_Unsigned", "")).lower() == "true"


def _dates(path: Path, dataset: xr.Dataset, axes: Axes, context: Context) -> NDArray[np.datetime64] | None:
    """The variable's dates; else those of a scalar time, of the STAC item, of the name."""
    if axes.time is not None:
        if axes.time not in dataset.variables:
            raise InvalidCollection(f"{path.name}: dimension {axes.time} has no coordinates, so no dates")
        return as_dates(dataset[axes.time].values, f"{path.name}: {axes.time}")
    for name in _TIME:
        if name in dataset.variables and dataset[name].ndim == 0 and dataset[name].dtype.kind == "M":
            return as_dates(dataset[name].values.reshape(1), f"{path.name}: {name}")
    date = context.date or date_in_path(path, context.folder)
    return None if date is None else np.array([date], "datetime64[ns]")


def _grid(path: Path, dataset: xr.Dataset, variable: xr.DataArray, axes: Axes, context: Context) -> Grid:
    for name in (axes.y, axes.x):
        if name not in dataset.variables:
            raise InvalidCollection(f"{path.name}: dimension {name} has no coordinates; add them to the file")
    x = regular_axis(dataset[axes.x].values, path.name, axes.x)
    y = regular_axis(dataset[axes.y].values, path.name, axes.y)
    crs = _crs(dataset, variable, axes, context)
    if crs is None:
        raise InvalidCollection(
            f"{path.name}: no coordinate reference system in its grid_mapping or its attributes; "
            'give one in collection.json, e.g. {"crs": "EPSG:32631"}'
        )
    return Grid(crs, x, y)


def _texts(dataset: xr.Dataset) -> str:
    return " ".join(value for value in dataset.attrs.values() if isinstance(value, str))


def _cf_crs(attrs: Json) -> CRS | None:
    if "grid_mapping_name" not in attrs:
        return None
    try:
        return CRS.from_cf(attrs)
    except (CRSError, KeyError):
        return None


def _crs(dataset: xr.Dataset, variable: xr.DataArray, axes: Axes, context: Context) -> CRS | None:
    if context.override.crs is not None:
        return parse_crs(context.override.crs)
    mapping = str(variable.attrs.get("grid_mapping", variable.encoding.get("grid_mapping", "spatial_ref")))
    texts: list[object] = []
    for name in (mapping.split(":")[0], "spatial_ref", "crs"):
        if name in dataset.variables:
            texts += [
                dataset[name].attrs.get(key) for key in ("crs_wkt", "spatial_ref", "proj4", "epsg_code")
            ]
            texts.append(_cf_crs(dict(dataset[name].attrs)))
    for attrs in (variable.attrs, dataset.attrs):
        texts += [
            attrs.get(key) for key in ("crs", "crs_wkt", "spatial_ref", "proj:code", "epsg", "projection")
        ]
    texts.append(context.crs)
    found = (parse_crs(text) for text in texts if text is not None)
    crs = next((crs for crs in found if crs is not None), None)
    geographic = axes.y.lower().startswith("lat") and axes.x.lower().startswith("lon")
    return WGS84 if crs is None and geographic else crs
