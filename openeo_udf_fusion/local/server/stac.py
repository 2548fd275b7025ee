"""A result as a STAC Collection, from what the executor says about it."""

from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.result_files import media_type

STAC_VERSION = "1.0.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
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
        `RunResult.metadata`: `bbox` (EPSG:4326), `epsg`, `dates`, `bands`; each may be missing.
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


def asset(name: str, href: str, file: Path, metadata: Json) -> Json:
    """One downloadable file; `file` may have vanished, then its size is left out."""
    description: Json = {"href": href, "title": name, "type": media_type(name), "roles": ["data"]}
    if file.is_file():
        description["file:size"] = file.stat().st_size
    if metadata.get("epsg"):
        description["proj:epsg"] = metadata["epsg"]
    bands = band_names(metadata)
    if bands:
        description["eo:bands"] = [{"name": band} for band in bands]
    return description


def band_names(metadata: Json) -> list[str]:
    """Band labels, which the executor gives as texts or as objects with a name."""
    return [
        str(band["name"]) if isinstance(band, dict) else str(band) for band in metadata.get("bands") or ()
    ]


def rfc3339(date: str) -> str:
    """A date or time in UTC without a zone, in RFC 3339."""
    text = date if "T" in date else f"{date}T00:00:00"
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"


def _interval(metadata: Json) -> list[str | None]:
    dates = sorted(str(date) for date in metadata.get("dates") or ())
    return [rfc3339(dates[0]), rfc3339(dates[-1])] if dates else [None, None]


def _summaries(metadata: Json) -> Json:
    summaries: Json = {}
    bands = band_names(metadata)
    if bands:
        summaries["eo:bands"] = [{"name": band} for band in bands]
    if metadata.get("epsg"):
        summaries["proj:epsg"] = [metadata["epsg"]]
    if metadata.get("dates"):
        summaries["datetime"] = [rfc3339(str(date)) for date in metadata["dates"]]
    return summaries
