"""From what a file says about a band to its label in the cube and to the decoding of its numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.layers import Decoding
from openeo_udf_fusion.sensors import SENSORS, Band, band_of, canonical_label

# Product names of LP DAAC, ESA and USGS, and the plain names that people give to files.
_SENSOR_PATTERNS = {
    "modis": r"M[OYC]D(09|43|13|11)|modis",
    "viirs": r"V(NP|J1|J2)\d\d|viirs",
    "s2": r"(?<![a-z0-9])(S2[ABC]?|HLSS30)(?![a-z0-9])|sentinel[-_ ]?2",
    "l8": r"(?<![a-z0-9])(L8|LC08|HLSL30)(?![a-z0-9])|landsat(?![-_ ]?9)",
    "l9": r"(?<![a-z0-9])(L9|LC09)(?![a-z0-9])|landsat[-_ ]?9",
    "s1": r"(?<![a-z0-9])S1[ABC]?(?![a-z0-9])|sentinel[-_ ]?1",
}

# GDAL's names for the subdatasets of HDF-EOS files: MODIS_Grid_500m_2D_sur_refl_b01_1.
_HDF_EOS = re.compile(r"^(?:MODIS|VIIRS|VNP|VJ\d)_Grid_[A-Za-z0-9]+_2D_(?P<name>.+?)(?:_1)?$")

# Integers of Sentinel-2 carry the offset since processing baseline 04.00 (Products Specification 14.9).
_OFFSET_SINCE = {"s2": np.datetime64("2022-01-25", "ns")}

LABEL_ATTR = "band_label"
"""The attribute in which our own files keep a band's label; nothing is guessed about such a band."""

_FLAGS = re.compile(r"(^|[_-])(qc|qa|quality|flags?|state)([_-]|$)", re.IGNORECASE)

_CF_KEYS = (
    "long_name",
    "standard_name",
    "units",
    "flag_values",
    "flag_masks",
    "flag_meanings",
    "ancillary_variables",
)


@dataclass(frozen=True)
class Override:
    """What `collection.json` says beside the files; None and empty mean: nothing.

    `bands` maps a band's name in the files to `{"name", "scale", "offset", "nodata"}`, each optional.
    """

    title: str | None = None
    description: str | None = None
    license: str | None = None
    crs: str | None = None
    date: str | None = None
    sensor: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | list[float] | None = None
    bands: Json = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Json, file: Path) -> "Override":
        """The override in a JSON object.

        Raises
        ------
        InvalidCollection
            It has a key that nothing reads, which would go unnoticed otherwise, or an unknown sensor.
        """
        where = f"{file.parent.name}/{file.name}"
        unknown = set(content) - set(cls.__dataclass_fields__) - {"id"}
        if unknown:
            raise InvalidCollection(
                f"{where}: unknown keys {sorted(unknown)}; known are {sorted(cls.__dataclass_fields__)}"
            )
        if content.get("sensor", "modis") not in SENSORS:
            raise InvalidCollection(
                f"{where}: unknown sensor {content['sensor']!r}; known are {sorted(SENSORS)}"
            )
        return cls(**{key: value for key, value in content.items() if key != "id"})


@dataclass(frozen=True)
class Context:
    """What a reader knows beside the file: the collection's folder, its override, and the STAC item.

    `notes` receives what is left out of the collection, and why.
    """

    folder: Path
    override: Override = field(default_factory=Override)
    notes: list[str] = field(default_factory=list)
    date: np.datetime64 | None = None
    crs: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Stated:
    """What a file itself says about the numbers of a band; None: nothing."""

    dtype: np.dtype[np.generic]
    label: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: tuple[float, ...] | None = None


def sensor_of(hints: Iterable[str]) -> str | None:
    """The id of the sensor that the first telling hint names; a hint that names two sensors tells nothing."""
    for hint in hints:
        named = [id for id, pattern in _SENSOR_PATTERNS.items() if re.search(pattern, hint, re.IGNORECASE)]
        if len(named) == 1 and named[0] in SENSORS:
            return named[0]
    return None


def label_of(name: str, stated: Stated, sensor: str | None, override: Override, inner: str = "") -> str:
    """The label of a band called `name` in its file: `collection.json`, the file, the alias table, the name.

    `inner` is what the band dimension alone calls it: `refl` at `band=1` has the name `refl_1`, inner `1`.
    """
    entry = override.bands.get(name, {})
    if "name" in entry:
        return str(entry["name"])
    if stated.label is not None:
        return stated.label
    stripped = _HDF_EOS.sub(r"\g<name>", name)
    for candidate in (name, stripped, stripped.replace("-", "_")):
        if label := canonical_label(candidate, override.sensor or sensor):
            return label
    return inner if band_of(inner) is not None else stripped


def decoding_of(name: str, label: str, stated: Stated, override: Override) -> Decoding:
    """Scale, offset and nodata of a band: `collection.json` beats the file, the file beats the sensor.

    The sensor's constants apply to integers of measured bands alone; flags stay as they are.
    """
    entry = override.bands.get(name) or override.bands.get(label) or {}
    scale: float | None = _first(entry.get("scale"), override.scale, stated.scale)
    offset: float | None = _first(entry.get("offset"), override.offset, stated.offset)
    nodata = _numbers(_first(entry.get("nodata"), override.nodata, stated.nodata))
    known = band_of(label)
    if known is None or stated.label is not None:
        return Decoding(1.0 if scale is None else scale, offset or 0.0, nodata or ())
    since = _OFFSET_SINCE.get(known[0].id) if offset is None and scale is None else None
    return replace(_measured(known[1], scale, offset, nodata, stated.dtype.kind in "iu"), offset_since=since)


def not_offered(name: str, label: str, stated: Stated) -> str | None:
    """Why a band cannot be in a float32 cube, or None where it can."""
    if stated.dtype.kind not in "iuf":
        return f"{name}: values of type {stated.dtype} are not numbers"
    if stated.dtype.kind == "f" or stated.dtype.itemsize < 4 or stated.scale not in (None, 1.0):
        return None
    known = band_of(label)
    if stated.dtype.kind == "u" or _FLAGS.search(name) or (known is not None and known[1].kind == "qa"):
        return (
            f"{name}: {8 * stated.dtype.itemsize}-bit flags do not survive float32, which holds 24 bits; "
            "use a quality band of 16 or 8 bits, or mask beforehand"
        )
    return None


def cf_attrs(label: str, attrs: Json) -> Json:
    """Those attributes of a variable that describe its values, not its storage; units of known bands."""
    plain = {key: _plain(attrs[key]) for key in _CF_KEYS if key in attrs}
    known = band_of(label)
    if known is not None and known[1].kind in ("reflectance", "temperature"):
        plain.setdefault("units", known[1].units)
    for key in ("flag_values", "flag_masks"):
        if key in plain:
            plain[key] = _whole_numbers(plain[key])
    return plain


def _measured(
    band: Band, scale: float | None, offset: float | None, nodata: tuple[float, ...] | None, integers: bool
) -> Decoding:
    """The decoding of a band that the sensor table knows, from what is stated about it."""
    if scale is None and offset is None and integers:
        scale, offset = band.scale, band.offset
    elif band.kind == "reflectance" and scale is not None and scale > 1:
        # MOD09's HDF files state the divisor, 10000, under the name scale_factor.
        scale, offset = 1 / scale, -(offset or 0.0) / scale
    elif band.kind == "temperature" and scale == 1.0 and not offset:
        # Kelvin that were decoded without a look at the fill value: 0 has become 149 K.
        nodata = (*(nodata or ()), *(fill * band.scale + band.offset for fill in band.nodata))
    if nodata is None and integers:
        nodata = tuple(float(fill) for fill in band.nodata)
    return Decoding(1.0 if scale is None else scale, offset or 0.0, nodata or ())


def _plain(value: JsonValue) -> JsonValue:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _whole_numbers(value: JsonValue) -> list[int]:
    """Flags as they are in CF arrays, and in the text of a GeoTIFF's tag (`0 1 2`)."""
    return [int(float(number)) for number in (value.split() if isinstance(value, str) else np.ravel(value))]


def _numbers(value: float | Iterable[float] | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    return tuple(float(number) for number in value) if isinstance(value, Iterable) else (float(value),)


def _first(*values: JsonValue) -> JsonValue:
    return next((value for value in values if value is not None), None)
