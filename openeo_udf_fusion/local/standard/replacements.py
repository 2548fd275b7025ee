"""Cube processes of this package, for those that openeo-processes-dask lacks, or whose results lose labels.

Each takes arguments named as in its openEO specification; cubes are xarray.DataArray with dims out of t,
bands, y, x, in memory or on dask.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openeo_processes_dask.process_implementations.cubes._xr_interop  # noqa: F401 - the accessor `openeo`
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.evaluation import Callback
from openeo_udf_fusion.local.geometry import grid_of
from openeo_udf_fusion.local.readers.dates import in_interval
from openeo_udf_fusion.sensors import band_of


def filter_temporal(
    data: xr.DataArray, extent: Sequence[str | None], dimension: str | None = None
) -> xr.DataArray:
    """Keep the dates in the left-closed interval `extent`."""
    dim = time_dimension(data, dimension)
    inside = in_interval(data[dim].values, extent)
    if not inside.any():
        first, last = (str(date)[:10] for date in data[dim].values[[0, -1]])
        raise NoDataAvailable(f"filter_temporal: no date in {list(extent)}; the cube has {first} to {last}")
    return data.isel({dim: np.flatnonzero(inside)})


def filter_bands(
    data: xr.DataArray, bands: Sequence[str] | None = None, wavelengths: JsonValue = None
) -> xr.DataArray:
    """Keep the bands of these labels or common names, in this order."""
    if not bands or wavelengths:
        raise InvalidParameter("filter_bands needs 'bands'; a choice by wavelength is not supported")
    dim = band_dimension(data)
    return data.sel({dim: [find_band(data, dim, band, "filter_bands") for band in bands]})


def filter_bbox(data: xr.DataArray, extent: Json) -> xr.DataArray:
    """Keep the pixels whose centre is inside `extent` (default CRS EPSG:4326)."""
    rows, columns = grid_of(data).window(extent)
    return data.isel(y=rows, x=columns)


def filter_labels(
    data: xr.DataArray, condition: Callback, dimension: str, context: JsonValue = None
) -> xr.DataArray:
    """Keep the labels for which `condition` holds."""
    require_dimension(data, dimension, "filter_labels")
    labels = data[dimension].values
    texts = (
        [f"{label:.19}Z" for label in np.datetime_as_string(labels)] if labels.dtype.kind == "M" else labels
    )
    kept = [bool(condition(named_parameters={"value": label, "context": context})) for label in texts]
    return data.isel({dimension: np.flatnonzero(kept)})


def rename_labels(
    data: xr.DataArray, dimension: str, target: Sequence[Any], source: Sequence[Any] | None = None
) -> xr.DataArray:
    """Give labels other names; their attributes go with them."""
    require_dimension(data, dimension, "rename_labels")
    labels = data[dimension].values
    known = list(labels) if labels.dtype.kind == "M" else labels.tolist()
    before, after = (
        list(np.array(list(names), labels.dtype)) if labels.dtype.kind == "M" else list(names)
        for names in (source or [], target)
    )
    names = dict(zip(before or known, after, strict=False))
    missing = [name for name in names if name not in known]
    if missing:
        raise InvalidParameter(f"rename_labels: {missing} are no labels of {dimension!r}; it has {known}")
    if len(after) != len(before or known):
        raise InvalidParameter(
            f"rename_labels: {len(after)} new names for {len(before or known)} labels; give one for each"
        )
    renamed = [names.get(label, label) for label in known]
    if len(set(renamed)) != len(renamed):
        raise InvalidParameter(f"rename_labels: some labels would be there twice: {renamed}")
    result = data.assign_coords({dimension: np.array(renamed)})
    described: Json = data.attrs.get("band_attrs", {})
    if described:
        attrs = {names.get(label, label): attributes for label, attributes in described.items()}
        result.attrs = {**data.attrs, "band_attrs": attrs}
    return result


def ndvi(
    data: xr.DataArray, nir: str = "nir", red: str = "red", target_band: str | None = None
) -> xr.DataArray:
    """(nir - red) / (nir + red): in place of the bands, or as one more band `target_band`."""
    dim = band_dimension(data)
    near_infrared, visible_red = (
        data.sel({dim: find_band(data, dim, band, "ndvi")}).drop_vars(dim) for band in (nir, red)
    )
    index = (near_infrared - visible_red) / (near_infrared + visible_red)
    index.attrs = {key: value for key, value in data.attrs.items() if key != "band_attrs"}
    if target_band is None:
        return index
    if target_band in data[dim].values:
        raise InvalidParameter(f"ndvi: the cube has a band {target_band!r} already")
    added = index.expand_dims({dim: [target_band]})
    result = xr.concat([data, added], dim=dim, coords="minimal", compat="override").transpose(*data.dims)
    result.attrs = data.attrs
    return result


def apply(data: xr.DataArray, process: Callback, context: JsonValue = None) -> xr.DataArray:
    """Run `process` on all values."""
    values = process(named_parameters={"x": data.data, "context": context})
    if np.shape(values) != data.shape:
        values = np.broadcast_to(values, data.shape)
    return data.copy(data=values)


def reduce_dimension(
    data: xr.DataArray, reducer: Callback, dimension: str, context: JsonValue = None
) -> xr.DataArray:
    """Replace a dimension by one value, made of all its values by `reducer`."""
    require_dimension(data, dimension, "reduce_dimension")
    axis = data.get_axis_num(dimension)
    labels = data[dimension].values if dimension in data.coords else np.arange(data.sizes[dimension])
    values = reducer(
        data.data,
        positional_parameters={"data": 0},
        axis=axis,
        keepdims=False,
        dim_labels=labels,
        context=context,
    )
    shape = tuple(size for name, size in data.sizes.items() if name != dimension)
    if np.shape(values) not in (shape, ()):
        raise InvalidCube(
            f"reduce_dimension: the reducer must make one value of the {data.sizes[dimension]} along "
            f"{dimension!r}; of {data.shape} it made {np.shape(values)}"
        )
    reduced = data.isel({dimension: 0}, drop=True)
    values = values if np.shape(values) == shape else np.broadcast_to(values, shape)
    return without_band_attrs(reduced.copy(data=values), dimension == "bands")


def apply_dimension(
    data: xr.DataArray,
    process: Callback,
    dimension: str,
    target_dimension: str | None = None,
    context: JsonValue = None,
) -> xr.DataArray:
    """Run `process` on the values along a dimension; labels stay where their number stays."""
    require_dimension(data, dimension, "apply_dimension")
    ordered = data.transpose(..., dimension)
    axis = ordered.ndim - 1
    labels = data[dimension].values if dimension in data.coords else np.arange(data.sizes[dimension])
    values = process(
        ordered.data,
        positional_parameters={"data": 0},
        axis=axis,
        keepdims=True,
        source_transposed_axis=data.get_axis_num(dimension),
        dim_labels=labels,
        context=context,
    )
    if np.ndim(values) == axis:
        values = values[..., None]
    count = np.shape(values)[-1]
    coords = {name: coord for name, coord in ordered.coords.items() if dimension not in coord.dims}
    result = xr.DataArray(values, dims=ordered.dims, coords=coords, attrs=data.attrs, name=data.name)
    result = result.assign_coords({dimension: labels if count == len(labels) else np.arange(count)})
    result = result.transpose(*data.dims)
    if target_dimension in (None, dimension):
        return result
    if target_dimension in result.dims:
        raise InvalidParameter(f"apply_dimension: the cube has a dimension {target_dimension!r} already")
    return result.rename({dimension: target_dimension}).assign_coords({target_dimension: np.arange(count)})


def if_(value: Any, accept: Any, reject: Any = np.nan) -> Any:  # noqa: ANN401 - arrays or numbers
    """`accept` where `value` is true; nodata is not."""
    return np.where(is_nodata(value) | (value == 0), reject, accept)


def is_nodata(x: Any) -> Any:  # noqa: ANN401 - an array, a number or None
    """Whether values are missing: NaN, in cubes."""
    return x is None if x is None or isinstance(x, str) else np.isnan(x)


def save_result(data: xr.DataArray, format: str, options: Json | None = None) -> xr.DataArray:
    """Hand the cube on: the executor writes the result of the graph."""
    return data


def time_dimension(data: xr.DataArray, dimension: str | None = None) -> str:
    """The dimension of time: the one named, or the only one there is."""
    if dimension is not None:
        require_dimension(data, dimension, "a temporal process")
        return dimension
    found = _without_pixels(data).openeo.temporal_dims
    if len(found) != 1:
        raise InvalidCube(f"needed is one dimension of time, the cube has {list(found)} among {data.dims}")
    return str(found[0])


def band_dimension(data: xr.DataArray) -> str:
    """The dimension of bands."""
    found = _without_pixels(data).openeo.band_dims
    if not found:
        raise InvalidCube(f"needed is a dimension 'bands', the cube has {data.dims}")
    return str(found[0])


def _without_pixels(data: xr.DataArray) -> xr.DataArray:
    """A cube with the same dims, for an accessor: xarray would keep the pixels as long as the accessor."""
    return xr.DataArray(np.empty((0,) * data.ndim), dims=data.dims)


def find_band(data: xr.DataArray, dim: str, name: str, process: str) -> str:
    """The label that is, or whose band has the common name, `name`."""
    labels = [str(label) for label in data[dim].values]
    if name in labels:
        return name
    common = [label for label in labels if _common_name(data, label) == name]
    if len(common) == 1:
        return common[0]
    if common:
        raise MissingBands(f"{process}: {name!r} may be any of {common}; name the band itself")
    raise MissingBands(f"{process} needs the band {name!r}, the cube has {labels}")


def require_dimension(data: xr.DataArray, dimension: str, process: str) -> None:
    """Raise InvalidCube where the cube lacks a dimension."""
    if dimension not in data.dims:
        raise InvalidCube(f"{process} needs the dimension {dimension!r}, the cube has {data.dims}")


def without_band_attrs(data: xr.DataArray, gone: bool) -> xr.DataArray:
    """Forget the attributes of bands where the bands are gone."""
    if gone:
        data.attrs = {key: value for key, value in data.attrs.items() if key != "band_attrs"}
    return data


def _common_name(data: xr.DataArray, label: str) -> str | None:
    stated = data.attrs.get("band_attrs", {}).get(label, {}).get("common_name")
    known = band_of(label)
    return stated or (known[1].common_name if known else None)
