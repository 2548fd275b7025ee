"""Catalogue records of the processes: OGC API Records as the ESA APEx algorithm catalogue wants them.

Only processes for an area of interest have one: a visitor of a catalogue can order those as they are, while a
`_cube` process is a building block that needs a cube from a graph of the caller's own.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.addresses import Addresses


@dataclass(frozen=True)
class History:
    """Since when there is a record, which is what OGC API Records means by created and updated.

    Neither is the date of a release of the package, nor of a publication in a catalogue.

    Attributes
    ----------
    created, updated : str
        The days on which the record was made and last changed.
    digest : str
        Of what it said then, `digest`: so that a test finds a change without a date.
    """

    created: str
    updated: str
    digest: str


HISTORY = {
    "embed_sentinel1_sentinel2": History("2026-11-21", "2026-11-21", "db51621bb368ea9f"),
    "fill_gaps": History("2026-11-21", "2026-11-21", "6bb99f82a5ba459e"),
    "fuse_landsat_sentinel2": History("2026-11-21", "2026-11-21", "f9d6df016b528e8c"),
    "harmonize_modis_viirs": History("2026-11-21", "2026-11-21", "6b84a767a555cff5"),
    "sharpen_landsat_thermal": History("2026-11-21", "2026-11-21", "5cb80c67b410042f"),
    "sharpen_sentinel2": History("2026-11-21", "2026-11-21", "0f9c78835a0cfe4e"),
}

MAINTAINERS = "The openeo-udf-fusion maintainers"
CONFORMS_TO = (
    "https://www.opengis.net/spec/ogcapi-records-1/1.0/req/record-core",
    "https://apex.esa.int/core/openeo-udp",
)
_SCHEME = "https://gcmd.earthdata.nasa.gov/kms/concepts/concept_scheme/sciencekeywords"
_SURFACE = "EARTH SCIENCE > LAND SURFACE"
_CONCEPTS = {
    "reflectance": f"{_SURFACE} > SURFACE RADIATIVE PROPERTIES > REFLECTANCE",
    "temperature": f"{_SURFACE} > SURFACE THERMAL PROPERTIES > LAND SURFACE TEMPERATURE",
}
"""GCMD science keywords by the categories of a process."""
_KEYWORDS = {"temperature": "Land Surface Temperature", "time series": "Statistical Applications"}
"""Terms of the catalogue's own list by the categories of a process."""
FORMATS = (
    {"name": "netCDF", "mediaType": "application/x-netcdf"},
    {"name": "GeoTIFF", "mediaType": "image/tiff; application=geotiff"},
)
"""The catalogue requires formats, while a process ends in a cube that its caller saves: these are the two in
which the backends of `backend_config/` all save one."""
_LANGUAGE = {"code": "en-GB", "name": "English (United Kingdom)"}


def for_area_of_interest(process: Json) -> bool:
    """Whether a process takes an area and a period, so that it runs by itself."""
    names = [parameter["name"] for parameter in process["parameters"]]
    return names[:2] == ["spatial_extent", "temporal_extent"]


def record(process: Json, addresses: Addresses) -> Json:
    """Return the record of a process for an area of interest."""
    return {
        "id": process["id"],
        "type": "Feature",
        "conformsTo": list(CONFORMS_TO),
        "geometry": None,
        "properties": _properties(process),
        "linkTemplates": [],
        "links": _links(process, addresses),
    }


def _properties(process: Json) -> Json:
    history = HISTORY.get(process["id"])
    if history is None:
        raise InvalidGraph(f"publish/records.py does not say since when {process['id']!r} has a record")
    days = {"created": f"{history.created}T00:00:00Z", "updated": f"{history.updated}T00:00:00Z"}
    return days | _content(process)


def digest(process: Json) -> str:
    """Return a digest of what a process's record says, apart from its dates and addresses."""
    return hashlib.sha256(json.dumps(_content(process), sort_keys=True).encode()).hexdigest()[:16]


def _content(process: Json) -> Json:
    categories = process.get("categories", [])
    concepts = [_CONCEPTS[category] for category in categories if category in _CONCEPTS] or [_SURFACE]
    keywords = [_KEYWORDS[category] for category in categories if category in _KEYWORDS]
    return {
        "type": "service",
        "title": process["summary"],
        "description": first_paragraph(process["description"]),
        "keywords": ["Data Analysis and Visualization", *keywords],
        "language": _LANGUAGE,
        "languages": [_LANGUAGE],
        "contacts": [{"name": MAINTAINERS, "roles": ["processor", "point of contact"]}],
        "themes": [{"concepts": [{"id": concept} for concept in concepts], "scheme": _SCHEME}],
        "formats": [dict(file_format) for file_format in FORMATS],
        "license": "Apache-2.0",
    }


def _links(process: Json, addresses: Addresses) -> list[Json]:
    process_id = process["id"]
    # The catalogue's rules want the last two relative to its own tree, four and two folders up.
    links = (
        (
            "application",
            "application/vnd.openeo+json;type=process",
            "openEO process definition",
            addresses.of(f"{process_id}.json"),
        ),
        ("about", "text/markdown", "Documentation", addresses.of(f"{process_id}.md")),
        ("service", "application/json", "openEO backend", addresses.service_url),
        ("provider", "application/json", "Provider", "../../record.json"),
        (
            "platform",
            "application/json",
            "Platform",
            f"../../../../platform_catalog/{addresses.platform}.json",
        ),
    )
    return [dict(zip(("rel", "type", "title", "href"), link, strict=True)) for link in links]


def first_paragraph(commonmark: str) -> str:
    """Return the first paragraph of a description as plain text on one line."""
    paragraph = commonmark.strip().split("\n\n")[0]
    return re.sub(r"\*\*|`", "", " ".join(paragraph.split()))
