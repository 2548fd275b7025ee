"""Processes that bring two cubes together: mask and merge_cubes."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.local.evaluation import Callback
from openeo_udf_fusion.local.geometry import grid_of
from openeo_udf_fusion.local.resample import resample_cube_spatial


def mask(data: xr.DataArray, mask: xr.DataArray, replacement: float | None = None) -> xr.DataArray:
    """Replace the values of `data` (by nodata) where `mask` is neither 0 nor nodata.

    A mask on other pixels is brought onto those of `data` (nearest). One without t or bands holds for all.
    """
    mask = on_grid_of(mask, data)
    strange = set(mask.dims) - set(data.dims)
    if strange:
        raise InvalidCube(f"mask: the mask has dimensions {sorted(map(str, strange))} that the data lack")
    for dim in mask.dims:
        if dim not in ("y", "x") and not np.array_equal(mask[dim].values, data[dim].values):
            raise InvalidCube(
                f"mask: along {dim!r} the data have labels {_few(data[dim])}, the mask {_few(mask[dim])}; "
                "reduce the mask's dimension, or make the labels alike"
            )
    aligned = mask.drop_vars([name for name in mask.coords if name not in mask.dims])
    aligned = aligned.assign_coords({dim: data[dim] for dim in mask.dims if dim in data.coords})
    keep = (aligned == 0) | aligned.isnull()
    return data.where(keep, np.nan if replacement is None else replacement).transpose(*data.dims)


def merge_cubes(
    cube1: xr.DataArray,
    cube2: xr.DataArray,
    overlap_resolver: Callback | None = None,
    context: JsonValue = None,
) -> xr.DataArray:
    """Join two cubes: all labels of both; values that both have go through `overlap_resolver`.

    Labels that only one cube has are NaN where the other one stands. A date that a cube has twice (Terra
    and Aqua) stays there twice: the first of one cube meets the first of the other, the second the second.
    The pixels are those of `cube1`; `cube2` is brought onto them (nearest) where they differ.
    """
    cube2 = on_grid_of(cube2, cube1)
    if set(cube1.dims) != set(cube2.dims):
        return _merged_by_broadcast(cube1, cube2, overlap_resolver, context)
    cube2 = cube2.transpose(*cube1.dims)
    others = [str(dim) for dim in cube1.dims if dim not in ("y", "x")]
    shared = {dim: _union(cube1, cube2, dim) for dim in others}
    first = cube1.assign_coords({dim: union.first for dim, union in shared.items()})
    second = cube2.assign_coords({dim: union.second for dim, union in shared.items()})
    places = {dim: np.arange(len(union.labels)) for dim, union in shared.items()}
    apart = next((dim for dim in others if not np.isin(first[dim], second[dim]).any()), None)
    if apart is None:
        have = ", ".join(f"{dim} {_few(cube1[dim])}" for dim in others)
        resolver = _needed(overlap_resolver, f"both cubes have {have}")
        merged = _resolved(first, second, places, resolver, context)
    else:
        aligned = [
            cube.reindex({dim: places[dim] for dim in others if dim != apart}) for cube in (first, second)
        ]
        merged = xr.concat(aligned, dim=apart, coords="minimal", compat="override", combine_attrs="override")
        merged = merged.reindex({apart: places[apart]})
    return _with_attrs(
        merged.assign_coords({dim: union.labels for dim, union in shared.items()}), cube1, cube2
    )


def on_grid_of(cube: xr.DataArray, target: xr.DataArray) -> xr.DataArray:
    """The cube on the pixels of `target`: as it is where they agree, else by the nearest pixel."""
    if not {"y", "x"} <= set(cube.dims):
        return cube
    if grid_of(cube).matches(grid_of(target)):
        return cube.assign_coords(y=target["y"], x=target["x"])
    return resample_cube_spatial(cube, target)


def _merged_by_broadcast(
    cube1: xr.DataArray, cube2: xr.DataArray, resolver: Callback | None, context: JsonValue
) -> xr.DataArray:
    larger, smaller = (cube1, cube2) if cube1.ndim > cube2.ndim else (cube2, cube1)
    if not set(smaller.dims) < set(larger.dims):
        raise InvalidCube(f"merge_cubes: the cubes have the dimensions {cube1.dims} and {cube2.dims}")
    resolver = _needed(resolver, f"the cubes have the dimensions {cube1.dims} and {cube2.dims}")
    x, y = (cube.broadcast_like(larger).transpose(*larger.dims) for cube in (cube1, cube2))
    values = resolver(named_parameters={"x": x.data, "y": y.data, "context": context})
    return _with_attrs(larger.copy(data=values), cube1, cube2)


def _resolved(
    cube1: xr.DataArray,
    cube2: xr.DataArray,
    places: dict[str, NDArray[np.intp]],
    resolver: Callback,
    context: JsonValue,
) -> xr.DataArray:
    """Both cubes have values at some labels of every dimension: those go through the resolver."""
    first, second = cube1.reindex(places), cube2.reindex(places)
    both = first.copy(data=resolver(named_parameters={"x": first.data, "y": second.data, "context": context}))
    in_first, in_second = (_has(cube, first) for cube in (cube1, cube2))
    return both.where(in_first & in_second, first.where(in_first, second))


def _has(cube: xr.DataArray, merged: xr.DataArray) -> Any:  # noqa: ANN401 - DataArray, or True without other dims
    has: Any = True
    for dim in merged.dims:
        if dim not in ("y", "x"):
            has = has & merged[dim].isin(cube[dim].values)
    return has


def _needed(resolver: Callback | None, why: str) -> Callback:
    if resolver is None:
        raise InvalidParameter(
            f"merge_cubes: values overlap ({why}) and there is no overlap_resolver; "
            "give one, or give the bands disjoint labels with rename_labels"
        )
    return resolver


class _Union(NamedTuple):
    """The labels of two cubes along one dimension, and the places of each cube's own among them."""

    labels: NDArray[Any]
    first: NDArray[np.intp]
    second: NDArray[np.intp]


def _union(cube1: xr.DataArray, cube2: xr.DataArray, dim: str) -> _Union:
    first, second = _numbered(cube1[dim].values), _numbered(cube2[dim].values)
    new = ~second.isin(first)
    labels = np.concatenate([cube1[dim].values, cube2[dim].values[new]])
    together = first.append(second[new])
    if labels.dtype.kind == "M":
        order = np.argsort(labels, kind="stable")
        labels, together = labels[order], together[order]
    return _Union(labels, together.get_indexer(first), together.get_indexer(second))


def _numbered(labels: NDArray[Any]) -> pd.MultiIndex:
    """Each label with how many of its kind stand before it, which makes every one distinct."""
    return pd.MultiIndex.from_arrays([labels, pd.Series(labels).groupby(labels).cumcount()])


def _with_attrs(merged: xr.DataArray, cube1: xr.DataArray, cube2: xr.DataArray) -> xr.DataArray:
    described = {**cube2.attrs.get("band_attrs", {}), **cube1.attrs.get("band_attrs", {})}
    merged.attrs = {**cube2.attrs, **cube1.attrs, **({"band_attrs": described} if described else {})}
    return merged


def _few(labels: xr.DataArray) -> str:
    values = [str(value)[:10] if labels.dtype.kind == "M" else str(value) for value in labels.values]
    return f"{values[:3]}... ({len(values)})" if len(values) > 3 else str(values)
