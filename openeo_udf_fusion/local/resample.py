"""Resampling in space. Nearest and bilinear are computed pixel by pixel from exact coordinates, so that a
tile gets what the whole gets (GDAL approximates the transformation per window); the other methods are
openeo-processes-dask's, over GDAL.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from openeo_processes_dask.process_implementations.cubes import resample as opd
from pyproj import Transformer

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.geometry import grid_of, placed
from openeo_udf_fusion.local.grids import Grid, parse_crs
from openeo_udf_fusion.local.regions import Box, whole
from openeo_udf_fusion.local.value_limits import require_raster, require_raster_at_once

EXACT = ("near", "bilinear")
METHODS = (*EXACT, "cubic", "cubicspline", "lanczos", "average", "mode", "max", "min", "med", "q1", "q3")
MARGIN_PX = 2
"""Pixels around the needed ones that bilinear interpolation may look at."""

Float = NDArray[np.float64]


def resample_cube_spatial(data: xr.DataArray, target: xr.DataArray, method: str = "near") -> xr.DataArray:
    """Bring `data` onto the pixels of `target`."""
    _check(method)
    if method not in EXACT:
        for grid in (grid_of(data), grid_of(target)):
            grid.require_even("resampling")
        resampled: xr.DataArray = opd.resample_cube_spatial(data, target, method)
        return placed(resampled, grid_of(target))
    return onto(data, grid_of(target), method)


def resample_spatial(
    data: xr.DataArray,
    resolution: Any = 0,  # noqa: ANN401 - a number or a pair of them
    projection: Any = None,  # noqa: ANN401 - EPSG code, WKT2 or PROJ
    method: str = "near",
    align: str = "upper-left",
) -> xr.DataArray:
    """Bring `data` onto pixels of another size or CRS, laid out from a corner of its outline."""
    _check(method)
    target = resampled_grid(grid_of(data), resolution, projection, align)
    if method in EXACT:
        return onto(data, target, method)
    require_raster_at_once(*target.shape)
    frame = placed(xr.DataArray(np.zeros(target.shape, np.float32), dims=("y", "x")), target)
    return resample_cube_spatial(data, frame, method)


def resampled_grid(grid: Grid, resolution: Any, projection: Any, align: str = "upper-left") -> Grid:  # noqa: ANN401
    """The pixels that resample_spatial makes of a grid."""
    crs = grid.crs if projection is None else parse_crs(projection)
    if crs is None:
        raise InvalidParameter(f"resample_spatial: unknown projection {projection!r}")
    west, south, east, north = grid.bounds()
    width, height = _sizes(resolution)
    if crs != grid.crs:
        if not width or not height:
            raise InvalidParameter("resample_spatial needs a resolution where it changes the projection")
        transformer = Transformer.from_crs(grid.crs, crs, always_xy=True)
        west, south, east, north = transformer.transform_bounds(west, south, east, north, densify_pts=21)
    width, height = width or grid.resolution[0], height or grid.resolution[1]
    require_raster((north - south) / height, (east - west) / width)
    columns, rows = _count(east - west, width), _count(north - south, height)
    if "right" in align:
        west = east - columns * width
    if "lower" in align:
        north = south + rows * height
    x: Float = west + (np.arange(columns, dtype=np.float64) + 0.5) * width
    y: Float = north - (np.arange(rows, dtype=np.float64) + 0.5) * height
    return Grid(crs, x, y, cell=(width, height))


def onto(data: xr.DataArray, target: Grid, method: str) -> xr.DataArray:
    """Values of `data` at the pixel centres of `target`; NaN outside of its pixels."""
    require_raster_at_once(*target.shape)
    source = grid_of(data)
    rows, columns = positions(source, target)
    take = _nearest if method == "near" else _bilinear
    ordered = data.transpose(..., "y", "x")
    values = xr.apply_ufunc(
        take,
        ordered.drop_vars(["y", "x"]),
        kwargs={"rows": rows, "columns": columns},
        input_core_dims=[["y", "x"]],
        output_core_dims=[["y", "x"]],
        exclude_dims={"y", "x"},
        dask="parallelized",
        output_dtypes=[data.dtype],
        dask_gufunc_kwargs={
            "allow_rechunk": True,
            "output_sizes": {"y": target.shape[0], "x": target.shape[1]},
        },
        keep_attrs=True,
    )
    return placed(values.transpose(*data.dims), target)


def positions(source: Grid, target: Grid) -> tuple[Float, Float]:
    """Fractional row and column of `source` under each pixel centre of `target`.

    Returns
    -------
    rows, columns : ndarray, float64
        (ny, 1) and (1, nx) within one CRS, else (ny, nx).

    Raises
    ------
    InvalidCube
        The pixels of `source` are not all of one size.
    """
    source.require_even("resampling")
    if source.crs == target.crs:
        return _index(source.y, target.y, source.resolution[1])[:, None], _index(
            source.x, target.x, source.resolution[0]
        )[None, :]
    transformer = Transformer.from_crs(target.crs, source.crs, always_xy=True)
    x, y = transformer.transform(*np.meshgrid(target.x, target.y))
    return _index(source.y, y, source.resolution[1]), _index(source.x, x, source.resolution[0])


def needed(source: Grid, target: Grid) -> Box:
    """The pixels of `source` that the pixels of `target` are computed from (at least one)."""
    rows, columns = positions(source, target)
    height, width = source.shape
    y0, y1 = _range(rows, height)
    x0, x1 = _range(columns, width)
    return Box(y0, y1, x0, x1).clipped(whole(source))


def _range(index: Float, size: int) -> tuple[int, int]:
    finite = index[np.isfinite(index)]
    if not len(finite):
        return 0, 1
    first = int(np.clip(np.floor(finite.min()) - MARGIN_PX, 0, size - 1))
    last = int(np.clip(np.ceil(finite.max()) + MARGIN_PX, 0, size - 1))
    return first, last + 1


def _index(axis: Float, at: Float, size: float) -> Float:
    """Fractional index; of a regular axis, whose step is the size of a pixel, up or down."""
    step = (axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else size
    # Rounded to a millionth of a pixel: the same pixel must come out of a tile's axis and of the whole's.
    index: Float = np.round((at - axis[0]) / step, 6)
    return index


def _nearest(values: NDArray[Any], rows: Float, columns: Float) -> NDArray[Any]:
    height, width = values.shape[-2:]
    # A centre on the edge between two pixels belongs to the right or lower one, everywhere.
    row, column = np.floor(rows + 0.5), np.floor(columns + 0.5)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    picked = values[..., _bounded(row, height), _bounded(column, width)]
    return np.where(inside, picked, np.asarray(np.nan, values.dtype)) if not inside.all() else picked


def _bilinear(values: NDArray[Any], rows: Float, columns: Float) -> NDArray[Any]:
    """Weights of missing neighbours go to the others; missing where the nearest pixel is."""
    height, width = values.shape[-2:]
    top, left = np.floor(rows), np.floor(columns)
    total = np.zeros((*values.shape[:-2], *np.broadcast_shapes(rows.shape, columns.shape)), np.float64)
    weights = np.zeros_like(total)
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = (1 - np.abs(rows - row)) * (1 - np.abs(columns - column))
            corner = values[..., _bounded(row, height), _bounded(column, width)]
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = np.where(inside & ~np.isnan(corner), weight, 0)
            total += weight * np.nan_to_num(corner)
            weights += weight
    nearest = _nearest(values, rows, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isnan(nearest), np.nan, total / weights).astype(values.dtype)


def _bounded(index: Float, size: int) -> NDArray[np.intp]:
    return np.clip(np.nan_to_num(index, posinf=-1, neginf=-1), 0, size - 1).astype(np.intp)


def _check(method: str) -> None:
    if method not in METHODS:
        raise InvalidParameter(f"unknown resampling method {method!r}; known are {', '.join(METHODS)}")


def _sizes(resolution: Any) -> tuple[float, float]:  # noqa: ANN401
    pair = resolution if isinstance(resolution, list | tuple) else (resolution, resolution)
    if len(pair) != 2 or any(not isinstance(size, int | float) or size < 0 for size in pair):
        raise InvalidParameter(f"resample_spatial: the resolution is one size or two, not {resolution!r}")
    return float(pair[0]), float(pair[1])


def _count(length: float, size: float) -> int:
    return max(1, int(np.ceil(round(length / size, 6))))
