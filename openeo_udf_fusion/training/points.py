"""The places to sample: read from a CSV or GeoJSON file, ordered so that neighbours are sampled together."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue

_LONGITUDES = ("longitude", "lon", "lng", "x")
_LATITUDES = ("latitude", "lat", "y")
_NUMBERS = ("pixel", "id")
_LAND_COVERS = ("land_cover", "landcover", "igbp")
_CELL_DEGREES = 5.0
_MARGIN_DEGREES = 0.02
"""Around points, so that the pixels they are in (1 km at most) have their centre inside."""


@dataclass(frozen=True)
class Point:
    """A place: its number, degrees in EPSG:4326, and its land cover ("" where unknown)."""

    pixel: int
    longitude: float
    latitude: float
    land_cover: str = ""


def read_points(file: Path) -> list[Point]:
    """Read the points of a CSV or GeoJSON file.

    Parameters
    ----------
    file : Path
        CSV with columns `longitude` and `latitude` (or lon, lat, x, y), or a GeoJSON FeatureCollection of
        points. A column or property `pixel` (or id) numbers the places, by default they are counted;
        `land_cover` may tell their class. Degrees in EPSG:4326.

    Raises
    ------
    InvalidParameter
        The file holds something else, a coordinate is none, or two points have one number.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        found = _rows(json.loads(text)) if file.suffix.lower() in (".json", ".geojson") else _table(text)
        rows = list(found)
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"{file} cannot be read as points: {error}") from error
    points = [_point(row, count, file) for count, row in enumerate(rows)]
    if not points:
        raise InvalidParameter(f"{file} holds no points")
    if len({point.pixel for point in points}) < len(points):
        raise InvalidParameter(f"{file}: each point needs a number of its own in the column 'pixel'")
    return points


def chunks(points: list[Point], size: int) -> list[list[Point]]:
    """Group points of the same 5 degrees, at most `size` of them: one job loads what is between them."""
    cells: dict[tuple[int, int], list[Point]] = {}
    for point in points:
        cell = math.floor(point.latitude / _CELL_DEGREES), math.floor(point.longitude / _CELL_DEGREES)
        cells.setdefault(cell, []).append(point)
    return [cell[i : i + size] for _, cell in sorted(cells.items()) for i in range(0, len(cell), size)]


def geojson(points: list[Point]) -> Json:
    """Return a FeatureCollection of points, in their order."""
    features = [
        {
            "type": "Feature",
            "properties": {"pixel": point.pixel},
            "geometry": {"type": "Point", "coordinates": [point.longitude, point.latitude]},
        }
        for point in points
    ]
    return {"type": "FeatureCollection", "features": features}


def extent(points: list[Point]) -> Json:
    """Return the box around points and the pixels they are in, as a spatial_extent."""
    steepest = max(abs(point.latitude) for point in points)
    wide = _MARGIN_DEGREES / max(math.cos(math.radians(steepest)), 0.01)
    return {
        "west": max(min(point.longitude for point in points) - wide, -180.0),
        "south": max(min(point.latitude for point in points) - _MARGIN_DEGREES, -90.0),
        "east": min(max(point.longitude for point in points) + wide, 180.0),
        "north": min(max(point.latitude for point in points) + _MARGIN_DEGREES, 90.0),
    }


def _table(text: str) -> Iterator[Mapping[str, JsonValue]]:
    for row in csv.DictReader(text.splitlines()):
        yield {(name or "").strip().lower(): value for name, value in row.items()}


def _rows(document: JsonValue) -> Iterator[Mapping[str, JsonValue]]:
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise ValueError("needed is a GeoJSON FeatureCollection")
    for feature in document.get("features", []):
        geometry = feature.get("geometry") or {}
        if geometry.get("type") != "Point":
            raise ValueError(f"needed are Point geometries, got {geometry.get('type')}")
        longitude, latitude = geometry["coordinates"][:2]
        known = {name.lower(): value for name, value in (feature.get("properties") or {}).items()}
        yield {"id": feature.get("id"), **known, "longitude": longitude, "latitude": latitude}


def _point(row: Mapping[str, JsonValue], count: int, file: Path) -> Point:
    try:
        longitude, latitude = (float(_first(row, names)) for names in (_LONGITUDES, _LATITUDES))
    except (TypeError, ValueError):
        raise InvalidParameter(
            f"{file}: point {count} needs numbers in 'longitude' and 'latitude', it has {dict(row)}"
        ) from None
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise InvalidParameter(
            f"{file}: point {count} is at longitude {longitude}, latitude {latitude}; "
            "needed are degrees in EPSG:4326"
        )
    number = str(_first(row, _NUMBERS) or "").strip()
    pixel = int(number) if number.isdecimal() else count
    return Point(pixel, longitude, latitude, str(_first(row, _LAND_COVERS) or ""))


def _first(row: Mapping[str, JsonValue], names: tuple[str, ...]) -> JsonValue:
    return next((row[name] for name in names if row.get(name) is not None), None)
