"""Implementations of all processes that run on values: by openeo-processes-dask, or by this package."""

import logging
import warnings
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import xarray as xr

# It tells everybody, at import, that the processes of its extra "ml" are not there.
_theirs = logging.getLogger("openeo_processes_dask.process_implementations")
_level = _theirs.level
_theirs.setLevel(logging.ERROR)

from openeo_processes_dask.process_implementations.core import process, standard_processes  # noqa: E402

_theirs.setLevel(_level)

from openeo_udf_fusion.local import geometry, resample  # noqa: E402
from openeo_udf_fusion.local.standard import aggregation, combine, replacements, zonal  # noqa: E402

Implementation = Callable[..., Any]

_OWN: tuple[Implementation, ...] = (
    aggregation.aggregate_temporal,
    aggregation.aggregate_temporal_period,
    combine.mask,
    combine.merge_cubes,
    geometry.filter_spatial,
    geometry.mask_polygon,
    replacements.apply,
    replacements.apply_dimension,
    replacements.filter_bands,
    replacements.filter_bbox,
    replacements.filter_labels,
    replacements.filter_temporal,
    replacements.if_,
    replacements.is_nodata,
    replacements.ndvi,
    replacements.reduce_dimension,
    replacements.rename_labels,
    replacements.save_result,
    resample.resample_cube_spatial,
    resample.resample_spatial,
    zonal.aggregate_spatial,
)


_SAME_VALUES = frozenset(
    {
        "add_dimension", "drop_dimension", "filter_bands", "filter_bbox", "filter_labels", "filter_spatial",
        "filter_temporal", "mask_polygon", "rename_dimension", "rename_labels", "save_result",
    }
)  # fmt: skip
"""Processes that change no value; after any other, a band is no longer stored as it was announced."""
PACKED = ("scale_factor", "_FillValue", "dtype")


@cache
def implementations() -> dict[str, Implementation]:
    """By process id; `load_collection`, `load_stac` and UDFs are the executor's."""
    # Pixels without any value are nothing to warn of, tile by tile. For the whole process: catch_warnings is
    # not for threads, and lazy results warn later.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"openeo_processes_dask\.")
    resolving: Callable[[Implementation], Implementation] = process
    theirs = {f.__name__.strip("_"): keeping_labels(resolving(f)) for f in standard_processes}
    own = {f.__name__.strip("_"): resolving(f) for f in _OWN}
    return {name: f if name in _SAME_VALUES else restated(f) for name, f in (theirs | own).items()}


def keeping_labels(function: Implementation) -> Implementation:
    """Give back to a process's result what it lost of the cube: CRS, labels, attributes."""

    @wraps(function)
    def wrapper(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - values of any process
        result = function(*args, **arguments)
        cube = next((value for value in arguments.values() if isinstance(value, xr.DataArray)), None)
        return repaired(result, cube) if isinstance(result, xr.DataArray) and cube is not None else result

    return wrapper


def restated(function: Implementation) -> Implementation:
    """Take from the bands of a process's result how their former values were to be stored."""

    @wraps(function)
    def wrapper(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - values of any process
        result = function(*args, **arguments)
        described = result.attrs.get("band_attrs") if isinstance(result, xr.DataArray) else None
        if described and any(key in about for about in described.values() for key in PACKED):
            plain = {
                band: {key: value for key, value in about.items() if key not in PACKED}
                for band, about in described.items()
            }
            result = result.assign_attrs(band_attrs=plain)
        return result

    return wrapper


def repaired(result: xr.DataArray, cube: xr.DataArray) -> xr.DataArray:
    """`result` with the coordinates of dimensions that kept their size, and CRS and attributes of `cube`."""
    kept = {
        dim: cube[dim]
        for dim in result.dims
        if dim in cube.coords and dim not in result.coords and result.sizes[dim] == cube.sizes[dim]
    }
    result = result.assign_coords(kept)
    if {"x", "y"} <= set(result.dims) and "spatial_ref" in cube.coords and "spatial_ref" not in result.coords:
        result = result.assign_coords(spatial_ref=cube["spatial_ref"])
    result.attrs = {**cube.attrs, **{key: value for key, value in result.attrs.items() if _is_plain(value)}}
    return result


def _is_plain(value: object) -> bool:
    """Whether a file can store an attribute; openeo-processes-dask leaves CRS objects behind, for one."""
    return isinstance(value, str | int | float | list | dict)
