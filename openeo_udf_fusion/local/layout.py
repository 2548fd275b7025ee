"""What the first tile of a run tells of all others, and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from pyproj import CRS

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.writers.template import Template


@dataclass(frozen=True, eq=False)
class Layout:
    """What the first tile tells.

    Attributes
    ----------
    template : Template
        Coordinates and labels of the whole result.
    ratios : dict
        By node: pixels of a UDF's result per pixel of its input, where it is not 1.
    tile : (int, int)
        Rows and columns of a tile.
    """

    template: Template
    ratios: Mapping[str, Fraction]
    tile: tuple[int, int]

    def to_json(self) -> Json:
        """As `of_json` reads it."""
        template = self.template
        return {
            "y": _encoded(template.y),
            "x": _encoded(template.x),
            "t": _encoded(template.t),
            "bands": None if template.bands is None else list(template.bands),
            "crs": None if template.crs is None else template.crs.to_wkt(),
            "attrs": _encoded(template.attrs),
            "band_attrs": _encoded(dict(template.band_attrs)),
            "name": template.name,
            "ratios": {name: str(ratio) for name, ratio in self.ratios.items()},
            "tile": list(self.tile),
        }

    @classmethod
    def of_json(cls, stored: Json) -> "Layout":
        """The layout of `to_json`; raises KeyError, TypeError or ValueError where it is none."""
        template = Template(
            y=_decoded(stored["y"]),
            x=_decoded(stored["x"]),
            t=_decoded(stored["t"]),
            bands=None if stored["bands"] is None else tuple(stored["bands"]),
            crs=None if stored["crs"] is None else CRS.from_wkt(stored["crs"]),
            attrs=_decoded(stored["attrs"]),
            band_attrs=_decoded(stored["band_attrs"]),
            name=stored["name"],
        )
        ratios = {name: Fraction(ratio) for name, ratio in stored["ratios"].items()}
        return cls(template, ratios, (int(stored["tile"][0]), int(stored["tile"][1])))


def _encoded(value: Any) -> JsonValue:  # noqa: ANN401 - attributes of any kind
    """JSON that keeps the type of numpy arrays and numbers: files store them by it."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        numbers = array.astype("int64") if array.dtype.kind in "mM" else array
        return {"numpy": str(array.dtype), "values": numbers.tolist()}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encoded(item) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _decoded(value: JsonValue) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and "numpy" in value:
        dtype = np.dtype(value["numpy"])
        array = np.asarray(value["values"], "int64" if dtype.kind in "mM" else dtype).astype(dtype)
        return array if array.ndim else array[()]
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value["mapping"].items()}
    return value
