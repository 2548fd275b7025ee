"""What the backend is and has: capabilities, formats, runtimes, collections, processes."""

import importlib.metadata
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request

import openeo_udf_fusion
from openeo_udf_fusion.errors import FusionError, UnknownCollection
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import collections, formats
from openeo_udf_fusion.local.collections import Collection
from openeo_udf_fusion.local.server import endpoints
from openeo_udf_fusion.local.server.pages import Page, paginate
from openeo_udf_fusion.local.server.stac import STAC_VERSION

logger = logging.getLogger(__name__)

API_VERSION = "1.2.0"
CONFORMS_TO = (
    "https://api.openeo.org/1.2.0",
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
)
UDF_LIBRARIES = (
    "openeo-udf-fusion",
    "openeo",
    "numpy",
    "xarray",
    "pystac",
    "scipy",
    "pandas",
    "torch",
    "einops",
    "safetensors",
    "rioxarray",
)
_LONG_COLLECTION_FIELDS = ("summaries", "cube:dimensions", "assets", "item_assets")


def router(data: Path, processes: Mapping[str, Json]) -> APIRouter:
    """The public endpoints.

    Parameters
    ----------
    data
        Folder of the collections.
    processes
        The predefined processes by id.
    """
    routes = APIRouter()

    @routes.get("/")
    def capabilities(request: Request) -> Json:
        return _capabilities(_base(request))

    @routes.get("/.well-known/openeo")
    def well_known(request: Request) -> Json:
        return {"versions": [{"url": _base(request), "api_version": API_VERSION, "production": False}]}

    @routes.get("/conformance")
    def conformance() -> Json:
        return {"conformsTo": list(CONFORMS_TO)}

    @routes.get("/file_formats")
    def file_formats() -> Json:
        return formats.file_formats()

    @routes.get("/udf_runtimes")
    def udf_runtimes() -> Json:
        return _udf_runtimes()

    @routes.get("/collections")
    def list_collections(request: Request, page: Annotated[Page, Depends()]) -> Json:
        found = [
            _linked(metadata, _base(request))
            for metadata in _readable(collections.find_collections(data).values())
        ]
        short = [
            {k: v for k, v in metadata.items() if k not in _LONG_COLLECTION_FIELDS} for metadata in found
        ]
        return paginate("collections", short, page)

    @routes.get("/collections/{collection_id}")
    def describe_collection(collection_id: str, request: Request) -> Json:
        if "\0" in collection_id:
            raise UnknownCollection("a collection id has no NUL character")
        return _linked(collections.get_collection(data, collection_id).metadata(), _base(request))

    @routes.get("/processes")
    def list_processes(page: Annotated[Page, Depends()]) -> Json:
        return paginate("processes", list(processes.values()), page)

    return routes


def _readable(found: Iterable[Collection]) -> Iterator[Json]:
    # One folder of broken files must not hide the others; asked for by its id it says what is wrong.
    for collection in found:
        try:
            yield collection.metadata()
        except FusionError as error:
            logger.warning("collection %s is not listed: %s", collection.id, error)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _capabilities(base: str) -> Json:
    return {
        "api_version": API_VERSION,
        "backend_version": openeo_udf_fusion.__version__,
        "stac_version": STAC_VERSION,
        "type": "Catalog",
        "id": "openeo-udf-fusion",
        "title": "openeo-udf-fusion, local",
        "description": (
            "Runs openEO process graphs on a folder of files: standard processes, user-defined functions in "
            "Python, and deep satellite-fusion models as predefined processes."
        ),
        "conformsTo": list(CONFORMS_TO),
        "production": False,
        "endpoints": endpoints.advertised(),
        "links": [
            {"rel": "root", "href": f"{base}/", "type": "application/json"},
            {"rel": "self", "href": f"{base}/", "type": "application/json"},
            {"rel": "version-history", "href": f"{base}/.well-known/openeo", "type": "application/json"},
            {"rel": "conformance", "href": f"{base}/conformance", "type": "application/json"},
            {"rel": "data", "href": f"{base}/collections", "type": "application/json"},
        ],
    }


def _udf_runtimes() -> Json:
    version = platform.python_version()
    libraries = {}
    for name in UDF_LIBRARIES:
        try:
            libraries[name] = {"version": importlib.metadata.version(name)}
        except importlib.metadata.PackageNotFoundError:
            continue
    # A UDF asks for "3", for "3.11" or for nothing; all of them are the interpreter that runs the server.
    names = ("3", ".".join(version.split(".")[:2]), version)
    return {
        "Python": {
            "title": "Python",
            "description": "The interpreter of the server; packages are taken as installed, none is fetched.",
            "type": "language",
            "default": "3",
            "versions": {name: {"libraries": libraries} for name in names},
            "links": [],
        }
    }


def _linked(metadata: Json, base: str) -> Json:
    own = f"{base}/collections/{metadata['id']}"
    links = [
        {"rel": "self", "href": own, "type": "application/json"},
        {"rel": "root", "href": f"{base}/collections", "type": "application/json"},
        {"rel": "parent", "href": f"{base}/collections", "type": "application/json"},
    ]
    return metadata | {"links": [*links, *metadata.get("links", [])]}
