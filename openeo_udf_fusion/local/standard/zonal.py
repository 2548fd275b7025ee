"""Values at points and within polygons: `aggregate_spatial`, whose result is a vector cube.

A vector cube is a DataArray with the dimension `geometry` in place of y and x, numbered as they came.
"""

from collections.abc import Iterator

import dask.array
import geopandas as gpd
import numpy as np
import rasterio.features
import xarray as xr

from openeo_udf_fusion.errors import NoDataAvailable
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.evaluation import Callback
from openeo_udf_fusion.local.geometry import geometries as shapes_of
from openeo_udf_fusion.local.geometry import grid_of, transform_of
from openeo_udf_fusion.local.grids import WGS84, Grid
from openeo_udf_fusion.local.regions import Box, cut

GEOMETRY = "geometry"
KINDS = ("Point", "Polygon", "MultiPolygon")


def aggregate_spatial(
    data: xr.DataArray,
    geometries: Json,
    reducer: Callback,
    target_dimension: str | None = None,
    context: JsonValue = None,
) -> xr.DataArray:
    """Reduce the pixels of each geometry: the one a point is in, or those with their centre in a polygon.

    Returns
    -------
    DataArray
        A vector cube, lazy if the data are; NaN where a geometry holds no pixel. The coordinates `longitude`
        and `latitude` are those of the points, or of a point within each polygon.
    """
    grid = grid_of(data)
    shapes = shapes_of(geometries, KINDS)
    projected = shapes.to_crs(grid.crs)
    cube = data.transpose(..., "y", "x")
    if (shapes.geom_type == "Point").all():
        values = _at_points(cube, grid, projected, reducer, context)
    else:
        parts = [_within(cube, *pixels, reducer, context) for pixels in _pixels(grid, projected)]
        values = (dask.array.stack if cube.chunks else np.stack)(parts, axis=-1)
    dims = [dim for dim in cube.dims if dim not in ("y", "x")]
    inside = shapes.to_crs(WGS84).representative_point()
    coords = {
        **{dim: cube[dim] for dim in dims if dim in cube.coords},
        GEOMETRY: np.arange(len(shapes)),
        "longitude": (GEOMETRY, inside.x.to_numpy()),
        "latitude": (GEOMETRY, inside.y.to_numpy()),
    }
    return xr.DataArray(values, dims=[*dims, GEOMETRY], coords=coords, attrs=data.attrs, name=data.name)


def is_vector_cube(result: object) -> bool:
    """Tell a vector cube from other results."""
    return isinstance(result, xr.DataArray) and GEOMETRY in result.dims


def _at_points(
    cube: xr.DataArray, grid: Grid, points: gpd.GeoSeries, reducer: Callback, context: JsonValue
) -> np.ndarray:
    """All points at once; a pixel that several share is read once."""
    column, row = ~transform_of(grid) * (points.x.to_numpy(), points.y.to_numpy())
    finite = np.isfinite(column) & np.isfinite(row)
    place = np.floor(np.where(finite, (row, column), -1)).astype(np.int64)
    rows, columns = grid.shape
    inside = finite & (place[0] >= 0) & (place[0] < rows) & (place[1] >= 0) & (place[1] < columns)
    if not inside.any():
        raise NoDataAvailable(
            f"aggregate_spatial: none of the {len(points)} points is on the cube, which covers west, south, "
            f"east, north {', '.join(f'{edge:.3f}' for edge in grid.bbox())}"
        )
    y, x = (xr.DataArray(np.where(inside, index, 0), dims=GEOMETRY) for index in place)
    seen = cube.isel(y=y, x=x).transpose(..., GEOMETRY).where(xr.DataArray(inside, dims=GEOMETRY))
    return _reduced(seen.data[..., None], reducer, context)


def _pixels(grid: Grid, shapes: gpd.GeoSeries) -> Iterator[tuple[Box, np.ndarray]]:
    """Of each geometry: a box of pixels, and which of them belong to it."""
    grid.require_even("aggregate_spatial")
    for shape in shapes:
        box = _box(grid, *shape.bounds)
        if box is None:
            yield Box(0, 1, 0, 1), np.zeros((1, 1), np.bool_)
        elif shape.geom_type == "Point":
            yield box, np.ones((1, 1), np.bool_)
        else:
            part = cut(grid, box)
            yield box, rasterio.features.geometry_mask([shape], part.shape, transform_of(part), invert=True)


def _box(grid: Grid, west: float, south: float, east: float, north: float) -> Box | None:
    """The pixels that the outline of a geometry touches; None where it is off the grid."""
    corners = [~transform_of(grid) * corner for corner in ((west, south), (east, north))]
    (x0, x1), (y0, y1) = (sorted(edges) for edges in zip(*corners, strict=True))
    rows, columns = grid.shape
    if not (x1 >= 0 and x0 < columns and y1 >= 0 and y0 < rows):
        return None
    first = max(int(np.floor(y0)), 0), max(int(np.floor(x0)), 0)
    last = min(int(np.floor(y1)), rows - 1), min(int(np.floor(x1)), columns - 1)
    return Box(first[0], last[0] + 1, first[1], last[1] + 1)


def _within(
    cube: xr.DataArray, box: Box, mask: np.ndarray, reducer: Callback, context: JsonValue
) -> np.ndarray:
    part = cube.isel(y=box.rows, x=box.columns).data
    if not mask.any():
        return np.full(part.shape[:-2], np.nan, np.float32)
    return _reduced(part.reshape(*part.shape[:-2], -1)[..., np.flatnonzero(mask)], reducer, context)


def _reduced(values: np.ndarray, reducer: Callback, context: JsonValue) -> np.ndarray:
    """One value of those along the last axis."""
    reduced: np.ndarray = reducer(
        values,
        positional_parameters={"data": 0},
        axis=values.ndim - 1,
        keepdims=False,
        dim_labels=np.arange(values.shape[-1]),
        context=context,
    )
    return reduced
