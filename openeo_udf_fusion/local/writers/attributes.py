"""CF attributes of results: axes, grid mapping, time, flags; shared by netCDF and Zarr."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.bandnames import LABEL_ATTR
from openeo_udf_fusion.local.writers.template import Template

GRID_MAPPING = "crs"
_NUMERIC_FLAGS = ("flag_values", "flag_masks")
_STORAGE = ("dtype", "_FillValue")
_LARGEST_BYTE = 127


class Packing(NamedTuple):
    """How a band's numbers are stored: bytes with a scale where its attributes say so, else float32."""

    dtype: np.dtype[np.generic]
    fill: float
    scale: float

    def packed(self, values: NDArray[np.float32]) -> NDArray[np.generic]:
        """The numbers as they are stored.

        Raises
        ------
        InvalidCube
            Bytes were stated, and the numbers are no whole ones from -127 to 127.
        """
        if self.dtype.kind == "f":
            return values
        there = values[~np.isnan(values)]
        wrong = there[(np.abs(there) > _LARGEST_BYTE) | (there != np.rint(there))]
        if wrong.size:
            raise InvalidCube(
                "the attributes of a band say that it is packed into bytes (dtype int8), for which whole "
                f"numbers from -{_LARGEST_BYTE} to {_LARGEST_BYTE} were needed; {wrong.size} of {there.size} "
                f"values are others, such as {wrong[0]:.6g}: let the UDF leave dtype, _FillValue and "
                "scale_factor away, or give whole numbers"
            )
        return np.where(np.isnan(values), self.fill, values).astype(self.dtype)


def packing(template: Template, name: str) -> Packing:
    """How a band is stored; its values are the stored numbers, to which readers apply `scale_factor`."""
    attrs = template.band_attrs.get(name, {})
    scale = float(attrs.get("scale_factor", 1.0))
    if attrs.get("dtype") == "int8" and "_FillValue" in attrs:
        return Packing(np.dtype(np.int8), float(attrs["_FillValue"]), scale)
    return Packing(np.dtype(np.float32), np.nan, scale)


def skeleton(template: Template) -> xr.Dataset:
    """The dataset of a result without its bands: coordinates, grid mapping, attributes."""
    coords: dict[str, tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]], Json]] = {
        "y": ("y", template.y, _axis_attrs(template.crs, "y")),
        "x": ("x", template.x, _axis_attrs(template.crs, "x")),
    }
    if template.t is not None:
        coords["t"] = ("t", template.t, {"standard_name": "time", "long_name": "time", "axis": "T"})
    dataset = xr.Dataset(coords=coords, attrs={**storable(template.attrs), "Conventions": "CF-1.11"})
    if template.crs is not None:
        dataset[GRID_MAPPING] = ((), np.int32(0), _grid_mapping_attrs(template.crs))
    for name in coords:
        dataset[name].encoding["_FillValue"] = None
    if template.t is not None:
        dataset["t"].encoding |= {"units": _time_units(template.t), "dtype": "int64", "calendar": "standard"}
    return dataset


def variable_attrs(template: Template, name: str) -> Json:
    """The attributes of one band's variable."""
    stated = template.band_attrs.get(name, {})
    attrs = storable({key: value for key, value in stated.items() if key not in _STORAGE})
    attrs.setdefault("long_name", name)
    attrs[LABEL_ATTR] = name
    if template.crs is not None:
        attrs["grid_mapping"] = GRID_MAPPING
    return attrs


def storable(attrs: Mapping[str, JsonValue]) -> Json:
    """Attributes as files hold them: texts, numbers and arrays of numbers; anything else as JSON text."""
    return {key: _storable(key, value) for key, value in attrs.items() if value is not None}


def dimensions(template: Template) -> tuple[str, ...]:
    """The dimensions of each variable."""
    return ("y", "x") if template.t is None else ("t", "y", "x")


def chunk_shape(
    template: Template, tile: tuple[int, int], max_px: int = 256, max_bytes: int = 4 << 20
) -> tuple[int, ...]:
    """Chunks that divide a tile, so that writing a tile never reads what is there."""
    sides = [_part(min(size, whole), max_px) for size, whole in zip(tile, template.shape, strict=True)]
    if template.t is None:
        return tuple(sides)
    steps = max_bytes // (4 * sides[0] * sides[1])
    return (max(1, min(len(template.t), steps)), *sides)


def _part(size: int, limit: int) -> int:
    pieces = -(-size // limit)
    return -(-size // pieces)


def _storable(key: str, value: JsonValue) -> JsonValue:
    if key in _NUMERIC_FLAGS:  # CF: of the variable's own type
        return np.asarray(value, np.float32)
    if key in ("flag_meanings", "ancillary_variables") and not isinstance(value, str):
        return " ".join(str(word).replace(" ", "_") for word in value)
    if isinstance(value, str | np.ndarray | np.number) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    ):
        return value
    return json.dumps(value, default=str)


def _axis_attrs(crs: CRS | None, axis: str) -> Json:
    if crs is not None and crs.is_geographic:
        name, units = ("longitude", "degrees_east") if axis == "x" else ("latitude", "degrees_north")
        return {"standard_name": name, "units": units, "axis": axis.upper()}
    return {"standard_name": f"projection_{axis}_coordinate", "units": "m", "axis": axis.upper()}


def _grid_mapping_attrs(crs: CRS) -> Json:
    wkt = crs.to_wkt()
    # `spatial_ref` is what GDAL and rioxarray look for beside CF's `crs_wkt`.
    return {**crs.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt}


def _time_units(dates: np.ndarray[tuple[int, ...], np.dtype[np.datetime64]]) -> str:
    """The coarsest unit in which the dates are whole numbers."""
    for unit, name in (("D", "days"), ("s", "seconds")):
        if (dates.astype(f"datetime64[{unit}]") == dates).all():
            return f"{name} since 1970-01-01"
    return "nanoseconds since 1970-01-01"
