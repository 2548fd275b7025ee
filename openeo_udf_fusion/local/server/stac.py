"""A result as a STAC Collection, from what the executor says about it."""

from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.result_files import media_type

STAC_VERSION = "1.0.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
)


def collection(
    job_id: str, title: str | None, description: str | None, metadata: Json, assets: Json, links: list[Json]
) -> Json:
    """The Collection of one job's results.

    Parameters
    ----------
    metadata
        `RunResult.metadata`: `bbox` (EPSG:4326), `epsg`, `wkt2`, `dates`, `bands`, `band_attrs`; each may be
        missing.
    assets, links
        By name; ready made.
    """
    document: Json = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": job_id,
        "description": description or "Results of an openEO batch job.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [metadata.get("bbox") or [-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [_interval(metadata)]},
        },
        "summaries": _summaries(metadata),
        "assets": assets,
        "links": links,
    }
    if title:
        document["title"] = title
    return document


def asset(name: str, href: str, file: Path, metadata: Json, date: str | None = None) -> Json:
    """One downloadable file, of one `date` or of all; its size is left out when it has vanished."""
    description: Json = {"href": href, "title": name, "type": media_type(name), "roles": ["data"]}
    if file.is_file():
        description["file:size"] = file.stat().st_size
    if date is not None:
        description["datetime"] = rfc3339(date)
    if metadata.get("wkt2"):
        description |= {"proj:epsg": metadata.get("epsg"), "proj:wkt2": metadata["wkt2"]}
    bands = _bands(metadata)
    if bands:
        description["eo:bands"] = bands
    return description


def dates_of_files(metadata: Json, files: list[str]) -> list[str | None]:
    """The date of each file, where every date has a file of its own."""
    dates = [str(date) for date in metadata.get("dates") or ()]
    return list(dates) if len(dates) == len(files) else [None] * len(files)


def _bands(metadata: Json) -> list[Json]:
    attributes = metadata.get("band_attrs") or {}
    bands = []
    for name in metadata.get("bands") or ():
        description = attributes.get(name, {}).get("long_name")
        bands.append({"name": name, "description": description} if description else {"name": name})
    return bands


def rfc3339(date: str) -> str:
    """A date or time in UTC without a zone, in RFC 3339."""
    text = date if "T" in date else f"{date}T00:00:00"
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"


def _interval(metadata: Json) -> list[str | None]:
    dates = sorted(str(date) for date in metadata.get("dates") or ())
    return [rfc3339(dates[0]), rfc3339(dates[-1])] if dates else [None, None]


def _summaries(metadata: Json) -> Json:
    summaries: Json = {}
    bands = _bands(metadata)
    if bands:
        summaries["eo:bands"] = bands
    if metadata.get("epsg"):
        summaries["proj:epsg"] = [metadata["epsg"]]
    if metadata.get("dates"):
        summaries["datetime"] = [rfc3339(str(date)) for date in metadata["dates"]]
    return summaries
