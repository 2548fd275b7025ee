"""What a result will look like, known before its first pixel is."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.jsontypes import Json

_DIMENSIONS = ("t", "bands", "y", "x")
SINGLE_BAND = "result"
"""What the one variable is called when a cube has no band dimension and no name."""


@dataclass(frozen=True, eq=False)
class Template:
    """Coordinates and attributes of a whole result.

    Attributes
    ----------
    y, x : ndarray, float64, (ny,) and (nx,)
    t : ndarray, datetime64[ns], (nt,), or None
        None where the result has no time.
    bands : tuple of str, or None
        None where the result has no band dimension; it is then one variable, `name`.
    crs : pyproj.CRS or None
    attrs : dict
        Attributes of the whole.
    band_attrs : dict of str to dict
        CF attributes of each band: `long_name`, `units`, `flag_values`, ...
    name : str
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    t: NDArray[np.datetime64] | None = None
    bands: tuple[str, ...] | None = None
    crs: CRS | None = None
    attrs: Json = field(default_factory=dict)
    band_attrs: Mapping[str, Json] = field(default_factory=dict)
    name: str = SINGLE_BAND

    @classmethod
    def of(cls, cube: xr.DataArray) -> "Template":
        """The template of a cube that is at hand (its values may be lazy).

        Raises
        ------
        InvalidCube
            It has no y or x with coordinates, or a dimension that is not t, bands, y or x.
        """
        unknown = [str(name) for name in cube.dims if name not in _DIMENSIONS]
        missing = [name for name in ("y", "x") if name not in cube.dims or name not in cube.coords]
        if unknown or missing:
            raise InvalidCube(
                f"files hold raster cubes with dims out of {_DIMENSIONS} and coordinates for y and x; "
                f"this cube has dims {cube.dims} and lacks {missing or 'none'}"
            )
        attrs = {str(key): value for key, value in cube.attrs.items() if key != "band_attrs"}
        bands = tuple(str(label) for label in cube["bands"].values) if "bands" in cube.dims else None
        return cls(
            y=cube["y"].values.astype(np.float64),
            x=cube["x"].values.astype(np.float64),
            t=cube["t"].values.astype("datetime64[ns]") if "t" in cube.dims else None,
            bands=bands,
            crs=None if cube.rio.crs is None else CRS.from_user_input(cube.rio.crs.to_wkt()),
            attrs=attrs,
            band_attrs=cube.attrs.get("band_attrs", {}),
            name=str(cube.name or SINGLE_BAND),
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """What the bands are called in a file."""
        return self.bands if self.bands is not None else (self.name,)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y), len(self.x)

    def tile_values(self, tile: xr.DataArray, y: slice, x: slice) -> NDArray[np.float32]:
        """The values of a tile as (t or 1, variables, rows, columns), computed.

        Raises
        ------
        InvalidCube
            Its dimensions or sizes are not those of the place it is written to.
        """
        rows, columns = len(range(*y.indices(len(self.y)))), len(range(*x.indices(len(self.x))))
        sizes: dict[Hashable, int] = {"y": rows, "x": columns}
        if self.t is not None:
            sizes["t"] = len(self.t)
        if self.bands is not None:
            sizes["bands"] = len(self.bands)
        if dict(tile.sizes) != sizes:
            raise InvalidCube(
                f"a tile at rows {y}, columns {x} must have sizes {sizes}, got {dict(tile.sizes)}"
            )
        order = [name for name in _DIMENSIONS if name in sizes]
        values = tile.transpose(*order).values.astype(np.float32, copy=False)
        shape = (1 if self.t is None else len(self.t), len(self.variables), rows, columns)
        return values.reshape(shape)
