"""The openEO (and STAC) description of a collection, made from its index."""

import numpy as np

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.dates import iso
from openeo_udf_fusion.local.readers.index import Index
from openeo_udf_fusion.sensors import band_of


def collection_metadata(
    id: str, index: Index, title: str | None, description: str | None, license: str | None
) -> Json:
    """The collection object of openEO API 1.2 (`GET /collections/{id}`)."""
    bbox = [round(float(edge), 7) for edge in index.grid.bbox()]
    interval = [iso(index.dates[0]), iso(index.dates[-1])]
    return {
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "type": "Collection",
        "id": id,
        "title": title or id,
        "description": _description(index, description),
        "license": license or "proprietary",
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}},
        "links": [],
        "cube:dimensions": _dimensions(index, interval),
        "summaries": {"eo:bands": [_band(label) for label in index.bands]},
    }


def _description(index: Index, description: str | None) -> str:
    files = {placed.layer.file for group in index.bands.values() for placed in group}
    text = (
        description or f"{len(index.dates)} dates, {len(index.bands)} bands, from {len(files)} local file(s)."
    )
    notes = "".join(f"\n- {note}" for note in index.notes)
    return f"{text}\n\nNot offered:\n{notes}" if notes else text


def _dimensions(index: Index, interval: list[str]) -> Json:
    west, south, east, north = index.grid.bounds()
    width, height = index.grid.resolution
    return {
        "x": _axis("x", west, east, width, index),
        "y": _axis("y", south, north, height, index),
        "t": {"type": "temporal", "extent": interval, "values": [iso(date) for date in index.dates]},
        "bands": {"type": "bands", "values": list(index.bands)},
    }


def _axis(axis: str, low: float, high: float, step: float, index: Index) -> Json:
    epsg = index.grid.crs.to_epsg()
    system: JsonValue = epsg if epsg is not None else index.grid.crs.to_wkt()
    size: Json = {} if np.isnan(step) else {"step": step}
    return {"type": "spatial", "axis": axis, "extent": [low, high], **size, "reference_system": system}


def _band(label: str) -> Json:
    known = band_of(label)
    if known is None:
        return {"name": label}
    band = known[1]
    described: Json = {"name": label}
    if band.common_name:
        described["common_name"] = band.common_name
    if band.center_wavelength_nm:
        described["center_wavelength"] = band.center_wavelength_nm / 1000
    if band.gsd_m:
        described["gsd"] = band.gsd_m
    return described
