"""Layers of STAC collections and items on disk, by way of pystac; nothing is fetched."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pystac
from pystac.errors import STACError, STACTypeError
from pystac.stac_io import DefaultStacIO

from openeo_udf_fusion.errors import ForbiddenPath, InvalidCollection
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.readers.bandnames import Context, Override
from openeo_udf_fusion.local.readers.datasets import dataset_layers
from openeo_udf_fusion.local.readers.dates import as_dates
from openeo_udf_fusion.local.readers.folders import confined, confined_store, is_geotiff, is_netcdf, is_zarr
from openeo_udf_fusion.local.readers.layers import Layer
from openeo_udf_fusion.local.readers.rasters import raster_layers

_MAX_JSON_BYTES = 50_000_000


class OfflineIO(DefaultStacIO):
    """Reads STAC JSON from inside one folder, and from nowhere else."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def read_text_from_href(self, href: str) -> str:
        """The text of a local file inside the folder."""
        return local_path(href, self._root, self._root).read_text(encoding="utf-8")


def local_path(href: str, folder: Path, root: Path) -> Path:
    """The file that an href means, relative to `folder`.

    Raises
    ------
    ForbiddenPath
        It is a URL, or leads out of `root`.
    """
    parsed = urlparse(href)
    if parsed.scheme not in ("", "file") or parsed.netloc not in ("", "localhost"):
        raise ForbiddenPath(f"{href} is not a file in the data folder; download it and use a relative href")
    path = Path(unquote(parsed.path) if parsed.scheme == "file" else href)
    return confined(folder / path, root)


def stac_kind(path: Path) -> str | None:
    """`Collection`, `Catalog` or `Feature` where a JSON file is STAC, else None."""
    if path.suffix.lower() not in (".json", ".geojson") or path.stat().st_size > _MAX_JSON_BYTES:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return None
    stac = isinstance(content, dict) and "stac_version" in content
    return (
        str(content["type"]) if stac and content.get("type") in ("Collection", "Catalog", "Feature") else None
    )


def described(collection: Path) -> Override:
    """Title, description and licence of a STAC collection's JSON."""
    content = json.loads(collection.read_text(encoding="utf-8"))
    return Override(content.get("title"), content.get("description"), content.get("license"))


def stac_layers(documents: list[Path], context: Context, root: Path) -> list[Layer]:
    """The layers of all assets of the items that `documents` (collections, catalogues or items) lead to.

    Raises
    ------
    ForbiddenPath
        An href is a URL or leads out of `root`.
    InvalidCollection
        A document cannot be read, or an asset does not exist.
    """
    layers: list[Layer] = []
    try:
        for item in _items(documents, root):
            layers.extend(_item_layers(item, context, root))
    except (STACError, STACTypeError, OSError, KeyError, ValueError) as error:
        if isinstance(error, ForbiddenPath | InvalidCollection):
            raise
        if isinstance(error.__cause__, ForbiddenPath):  # pystac wraps what its reader raises
            raise error.__cause__ from None
        names = ", ".join(path.name for path in documents[:5])
        raise InvalidCollection(f"the STAC of {names} cannot be read: {error}") from error
    return layers


def _items(documents: list[Path], root: Path) -> Iterator[pystac.Item]:
    reader, seen = OfflineIO(root), set[str]()
    # Collections first: their items are then met by way of a link, and not once more as a file.
    for document in sorted(documents, key=lambda path: stac_kind(path) == "Feature"):
        found = pystac.read_file(str(document), stac_io=reader)
        items = [found] if isinstance(found, pystac.Item) else _catalog_items(found)
        for item in items:
            href = str(Path(item.get_self_href() or document).resolve())
            if href not in seen:
                seen.add(href)
                yield item


def _catalog_items(found: pystac.STACObject) -> Iterator[pystac.Item]:
    if isinstance(found, pystac.Catalog):  # a collection is one, too
        yield from found.get_items(recursive=True)


def _item_layers(item: pystac.Item, context: Context, root: Path) -> Iterator[Layer]:
    own = replace(context, date=_date(item), crs=_crs(item.properties), hint=_hint(item))
    folder = Path(item.get_self_href() or root).parent
    for key, asset in item.assets.items():
        if not _is_data(asset):
            continue
        path = local_path(asset.href, folder, root)
        if not path.exists():
            raise InvalidCollection(f"item {item.id}: asset {key} names {asset.href}, which does not exist")
        if is_geotiff(path):
            bands = _bands(asset)
            asset_context = replace(own, crs=_crs(asset.extra_fields) or own.crs)
            yield from raster_layers(path, asset_context, _names(bands, key), bands)
        elif is_netcdf(path) or is_zarr(path):
            confined_store(path, root)
            yield from dataset_layers(path, own)


def _is_data(asset: pystac.Asset) -> bool:
    roles = set(asset.roles or ["data"])
    return not roles & {"thumbnail", "overview", "metadata"}


def _date(item: pystac.Item) -> np.datetime64 | None:
    text = item.properties.get("datetime") or item.properties.get("start_datetime")
    return None if text is None else as_dates([text], f"item {item.id}: datetime")[0]


def _crs(properties: Json) -> str | None:
    code = properties.get("proj:code") or properties.get("proj:epsg") or properties.get("proj:wkt2")
    return None if code is None else str(code)


def _hint(item: pystac.Item) -> str:
    said = [item.properties.get(key) for key in ("constellation", "platform", "instruments")]
    return " ".join(str(value) for value in (item.collection_id, *said) if value)


def _bands(asset: pystac.Asset) -> list[Json]:
    """Band objects of STAC 1.1, or those of its forerunners eo:bands and raster:bands side by side."""
    fields = asset.extra_fields
    if "bands" in fields:
        return list(fields["bands"])
    names, rasters = fields.get("eo:bands", []), fields.get("raster:bands", [])
    count = max(len(names), len(rasters))
    padded = (list(part) + [{}] * (count - len(part)) for part in (names, rasters))
    return [{**raster, **name} for name, raster in zip(*padded, strict=True)]


def _names(bands: list[Json], key: str) -> list[str]:
    names = [str(band["name"]) for band in bands if "name" in band]
    return names if names and len(names) == len(bands) else [key]
