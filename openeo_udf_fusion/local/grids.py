"""Where pixels lie: coordinate vectors, coordinate reference systems, and the windows an extent selects."""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from openeo_udf_fusion.errors import InvalidCollection, InvalidCube, InvalidParameter, NoDataAvailable
from openeo_udf_fusion.jsontypes import Json

MODIS_SINUSOIDAL = CRS.from_proj4("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs")
"""The grid of MODIS and VIIRS land products: a sphere of 6371007.181 m (MODIS Land, "MODIS Grids")."""

WGS84 = CRS.from_epsg(4326)

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixel centres of a raster.

    Attributes
    ----------
    crs : pyproj.CRS
    x, y : ndarray, float64, (nx,) and (ny,)
        Pixel centres in units of the CRS, in the file's order (y may ascend or descend).
    cell : (float, float), optional
        Width and height of a pixel, where the file states them; a single row or column has no other measure.
    """

    crs: CRS
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cell: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y), len(self.x)

    @property
    def resolution(self) -> tuple[float, float]:
        """Width and height of a pixel, positive; NaN for a single column or row of unknown size."""
        stated = self.cell or (np.nan, np.nan)
        return _spacing(self.x, stated[0]), _spacing(self.y, stated[1])

    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north edge in the grid's own CRS."""
        half_x, half_y = (0.0 if np.isnan(size) else size / 2 for size in self.resolution)
        west, east = float(self.x.min()) - half_x, float(self.x.max()) + half_x
        return west, float(self.y.min()) - half_y, east, float(self.y.max()) + half_y

    def bbox(self) -> tuple[float, float, float, float]:
        """West, south, east and north in EPSG:4326 (the envelope of the grid's outline)."""
        west, south, east, north = _transform_bounds(self.crs, WGS84, self.bounds())
        # The outline of a grid of the whole Earth may lie beside the Earth.
        return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)

    def window(self, extent: Json) -> Window:
        """Rows and columns whose centre lies inside `extent`.

        The box is brought into the grid's CRS as the envelope of its densified outline, since a cube is a
        rectangle there: in a sheared projection (sinusoidal, away from its central meridian) the corners of
        that envelope lie outside the box, and their pixels are kept.

        Parameters
        ----------
        extent : dict
            `west`, `south`, `east`, `north` and optionally `crs` (default EPSG:4326).

        Raises
        ------
        InvalidParameter
            A side is missing, the sides are in the wrong order, or the CRS is unknown.
        NoDataAvailable
            No pixel centre lies inside.
        """
        box, crs = _parse_extent(extent)
        west, south, east, north = box if crs == self.crs else _transform_bounds(crs, self.crs, box)
        columns = np.flatnonzero((self.x >= west) & (self.x <= east))
        rows = np.flatnonzero((self.y >= south) & (self.y <= north))
        if not len(rows) or not len(columns):
            covered = ", ".join(f"{edge:.5f}" for edge in self.bbox())
            raise NoDataAvailable(
                f"no pixel centre lies inside spatial_extent {extent}; "
                f"the data cover west, south, east, north = {covered} (EPSG:4326)"
            )
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def require_even(self, process: str) -> None:
        """Check that all pixels have one size, to a hundredth of it (or as well as float32 can tell).

        Raises
        ------
        InvalidCube
            Rows or columns are unevenly spaced.
        """
        for axis, values in (("x", self.x), ("y", self.y)):
            steps = max(len(values) - 1, 1)
            step = (values[-1] - values[0]) / steps
            even = values[0] + step * np.arange(len(values))
            tolerance = max(0.01 * abs(step), float(np.spacing(np.float32(np.abs(values).max()))))
            if np.abs(values - even).max() > tolerance:
                narrow, wide = np.sort(np.abs(np.diff(values)))[[0, -1]]
                raise InvalidCube(
                    f"{process} needs evenly spaced {axis} coordinates, their steps are {narrow:g} to "
                    f"{wide:g}; bring the files onto an even grid first (xarray's interp, say)"
                )

    def matches(self, other: "Grid") -> bool:
        """Whether both grids have the same pixels, to a hundredth of a pixel."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        tolerance_x, tolerance_y = (0.01 * (1.0 if np.isnan(size) else size) for size in self.resolution)
        return np.allclose(self.x, other.x, rtol=0, atol=tolerance_x) and np.allclose(
            self.y, other.y, rtol=0, atol=tolerance_y
        )


def nearest_index(coarse: Grid, fine: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Row and column of `coarse` under each row and column of `fine`, or None where it does not cover `fine`.

    Whole multiples are not asked for: files that were cut from a product to one common outline have
    pixels of a slightly different size (57 columns over 29, say).
    """
    if coarse.crs != fine.crs:
        return None
    rows = _nearest(coarse.y, fine.y, coarse.resolution[1])
    columns = _nearest(coarse.x, fine.x, coarse.resolution[0])
    return None if rows is None or columns is None else (rows, columns)


def parse_crs(text: object) -> CRS | None:
    """The CRS that a code, WKT, PROJ string or free text means; None when it means none.

    Any spelling of an EPSG code, or of the MODIS sinusoidal grid, becomes the same CRS, so that files which
    differ in the names inside their WKT alone are on one.
    """
    return _parse_crs(text.to_wkt() if isinstance(text, CRS) else str(text).strip())


@lru_cache(maxsize=256)
def _parse_crs(spelled: str) -> CRS | None:
    """One text stands in thousands of files, and PROJ takes its time to recognise it."""
    if "sinusoidal" in spelled.lower() and "6371007.181" in spelled and "[" not in spelled:
        return MODIS_SINUSOIDAL
    spelled = re.sub(r"^\+init=", "", spelled, flags=re.IGNORECASE)
    try:
        crs = CRS.from_user_input(int(spelled) if spelled.isdigit() else spelled)
    except CRSError:
        return None
    if crs.is_bound and crs.source_crs is not None:  # WKT with TOWGS84: the CRS proper is inside
        crs = crs.source_crs
    if _is_modis_sinusoidal(crs):
        return MODIS_SINUSOIDAL
    code = _epsg(crs)
    return crs if code is None else CRS.from_epsg(code)


def regular_axis(values: NDArray[np.float64], file: str, axis: str) -> NDArray[np.float64]:
    """Coordinates as float64, checked: one dimension, finite and strictly monotonic."""
    steps = np.diff(values)
    if values.ndim != 1 or not np.isfinite(values).all() or not ((steps > 0).all() or (steps < 0).all()):
        raise InvalidCollection(
            f"{file}: the {axis} coordinates must be one-dimensional, finite and strictly monotonic; "
            "regrid swath or curvilinear data first"
        )
    return values.astype(np.float64)


def _epsg(crs: CRS) -> int | None:
    """The code that the text states; else what PROJ recognises, which may be another authority's."""
    stated = crs.to_json_dict().get("id", {})
    if stated.get("authority") == "EPSG":
        return int(stated["code"])
    found: int | None = crs.to_epsg()
    return found


def _is_modis_sinusoidal(crs: CRS) -> bool:
    operation, ellipsoid = crs.coordinate_operation, crs.ellipsoid
    return (
        operation is not None
        and operation.method_name == "Sinusoidal"
        and ellipsoid is not None
        and abs(ellipsoid.semi_major_metre - 6371007.181) < 1e-3
        and all(float(parameter.value) == 0.0 for parameter in operation.params)
    )


def _spacing(values: NDArray[np.float64], stated: float) -> float:
    return float(np.median(np.abs(np.diff(values)))) if len(values) > 1 else abs(stated)


def _nearest(coarse: NDArray[np.float64], fine: NDArray[np.float64], size: float) -> NDArray[np.intp] | None:
    if len(coarse) == 1 and np.isnan(size):
        # A lone pixel of unknown size is taken to cover a grid that it lies in.
        inside = fine.min() <= coarse[0] <= fine.max()
        return np.zeros(len(fine), np.intp) if inside else None
    order = np.argsort(coarse)
    edges = (coarse[order][1:] + coarse[order][:-1]) / 2
    index = order[np.searchsorted(edges, fine)]
    covered = np.abs(coarse[index] - fine) <= size * 0.5001
    return index if bool(covered.all()) else None


def _parse_extent(extent: Json) -> tuple[tuple[float, float, float, float], CRS]:
    missing = [side for side in ("west", "south", "east", "north") if side not in extent]
    if missing:
        raise InvalidParameter(
            f"spatial_extent needs west, south, east and north; it lacks {', '.join(missing)}"
        )
    try:
        west, south, east, north = (float(extent[side]) for side in ("west", "south", "east", "north"))
    except (TypeError, ValueError) as error:
        raise InvalidParameter(
            f"spatial_extent needs numbers for west, south, east and north: {extent}"
        ) from error
    if not (west <= east and south <= north):
        raise InvalidParameter(
            f"spatial_extent needs west <= east and south <= north, got {extent}; "
            "split a box that crosses the antimeridian"
        )
    crs = parse_crs(extent.get("crs") or 4326)
    if crs is None:
        raise InvalidParameter(
            f"spatial_extent: unknown crs {extent['crs']!r}; give an EPSG code, WKT2 or PROJ string"
        )
    return (west, south, east, north), crs


def _transform_bounds(
    source: CRS, target: CRS, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    transformer = Transformer.from_crs(source, target, always_xy=True)
    try:
        west, south, east, north = transformer.transform_bounds(*box, densify_pts=21)
    except ProjError as error:
        raise InvalidParameter(f"box {box} cannot be brought from {source.name} to {target.name}") from error
    return west, south, east, north
