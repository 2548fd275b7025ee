"""The grid of a cube, and polygons on it."""

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio.features
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from affine import Affine
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.grids import WGS84, Grid, parse_crs
from openeo_udf_fusion.local.regions import Box


def grid_of(cube: xr.DataArray) -> Grid:
    """Where the pixels of a cube lie; a cube of one row or column tells their size by its GeoTransform."""
    if not {"x", "y"} <= set(cube.coords):
        raise InvalidCube(f"needed are coordinates x and y, the cube has {list(cube.coords)}")
    return Grid(crs_of(cube), np.asarray(cube["x"].values), np.asarray(cube["y"].values), _stated_cell(cube))


def crs_of(cube: xr.DataArray) -> CRS:
    """The CRS of a cube; raises InvalidCube where it has none.

    Read without the accessor `rio`: xarray keeps an accessor with its cube, in a cycle of references that
    holds the pixels until Python happens to look for such cycles.
    """
    stated = cube.coords["spatial_ref"].attrs if "spatial_ref" in cube.coords else {}
    crs = parse_crs(stated.get("crs_wkt") or stated.get("spatial_ref"))
    if crs is None:
        raise InvalidCube(f"the cube has no CRS (coordinate spatial_ref: {stated})")
    return crs


def placed(cube: xr.DataArray, grid: Grid) -> xr.DataArray:
    """The cube with the coordinates and the CRS of `grid`."""
    empty = xr.DataArray().rio.write_crs(grid.crs.to_wkt())
    transform = transform_of(grid)
    if not np.isnan(transform.a):
        empty = empty.rio.write_transform(transform)
    return cube.assign_coords(y=grid.y, x=grid.x, spatial_ref=empty["spatial_ref"])


def _stated_cell(cube: xr.DataArray) -> tuple[float, float] | None:
    stated = cube.coords["spatial_ref"].attrs.get("GeoTransform") if "spatial_ref" in cube.coords else None
    if stated is None:
        return None
    numbers = [float(number) for number in stated.split()]
    return abs(numbers[1]), abs(numbers[5])


def transform_of(grid: Grid) -> Affine:
    """From (column, row) to the coordinates of a pixel's corner."""
    width, height = grid.resolution
    height = height if len(grid.y) > 1 and grid.y[1] > grid.y[0] else -height
    return Affine(width, 0, grid.x[0] - width / 2, 0, height, grid.y[0] - height / 2)


POLYGONS = ("Polygon", "MultiPolygon")


def geometries(geojson: Json, kinds: Sequence[str] = POLYGONS) -> gpd.GeoSeries:
    """The polygons (or other kinds) of a GeoJSON object; EPSG:4326 unless it says otherwise.

    Raises
    ------
    InvalidParameter
        It holds none, or others too.
    """
    if geojson.get("type") == "FeatureCollection":
        features: list[Json] = geojson.get("features", [])
    elif geojson.get("type") == "Feature":
        features = [geojson]
    else:
        features = [{"type": "Feature", "geometry": geojson, "properties": {}}]
    stated = geojson.get("crs")
    name = stated.get("properties", {}).get("name") if isinstance(stated, dict) else stated
    try:
        shapes = gpd.GeoDataFrame.from_features(features, crs=name or WGS84).geometry
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidParameter(f"no GeoJSON with {_plural(kinds)}: {str(geojson)[:200]}") from error
    if shapes.empty or not shapes.geom_type.isin(kinds).all():
        raise InvalidParameter(f"needed are {_plural(kinds)}, got {sorted(set(shapes.geom_type))}")
    return shapes


def _plural(kinds: Sequence[str]) -> str:
    return " or ".join(f"{kind.lower()}s" for kind in kinds if not kind.startswith("Multi"))


def bounding_box(geojson: Json, crs: CRS) -> Json:
    """The smallest box around polygons, in `crs`, as a spatial_extent."""
    west, south, east, north = (float(edge) for edge in geometries(geojson).to_crs(crs).total_bounds)
    return {"west": west, "south": south, "east": east, "north": north, "crs": crs.to_wkt()}


def mask_polygon(
    data: xr.DataArray, mask: Json, replacement: float | None = None, inside: bool = False
) -> xr.DataArray:
    """Replace the pixels whose centre is outside all polygons (or inside any, if `inside`)."""
    grid = grid_of(data)
    grid.require_even("mask_polygon")
    shapes = list(geometries(mask).to_crs(grid.crs))
    hit = rasterio.features.geometry_mask(shapes, grid.shape, transform_of(grid), invert=True)
    keep = xr.DataArray(~hit if inside else hit, dims=("y", "x"))
    return data.where(keep, np.nan if replacement is None else replacement)


def filter_spatial(data: xr.DataArray, geometries: Any) -> xr.DataArray:  # noqa: ANN401 - JSON
    """Keep the box around polygons, and in it the pixels inside them."""
    rows, columns = grid_of(data).window(bounding_box(geometries, crs_of(data)))
    return mask_polygon(data.isel(y=rows, x=columns), geometries)


def polygon_box(grid: Grid, geojson: Json) -> Box:
    """The box of pixels around polygons."""
    rows, columns = grid.window(bounding_box(geojson, grid.crs))
    return Box(rows.start, rows.stop, columns.start, columns.stop)
