"""A STAC catalogue of the models, and their cards, which are items with the MLM extension.

A folder that is written anywhere gets the cards beside the catalogue, with the files that they name, so
that it is whole wherever it is served. Only `udp` in the repository links the cards where they lie: there is
one of each then, and training a network does not change what is published.
"""

import json
import posixpath
from collections.abc import Iterator
from pathlib import Path

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards

CATALOG = "models/catalog.json"
_TITLE = "Models of openeo-udf-fusion"
_AT_HOME = "../../openeo_udf_fusion/models/"
"""From the catalogue's folder to the cards, in a checkout and at a tag on the web."""


def model_files(out: Path | None = None, folder: Path = cards.FOLDER) -> dict[str, bytes]:
    """Return the catalogue of every card in a folder and what goes beside it, by path.

    Parameters
    ----------
    out : Path, optional
        Where the files go. Beside the sources of this package the cards are linked, elsewhere (and by
        default) they are put in with all that they name by a relative address.
    folder : Path
        Of the cards.

    Raises
    ------
    StorageFailed
        A card names a file that is not beside it.
    """
    names = cards.names(folder)
    if out is not None and _is_beside_the_sources(out, names):
        return {CATALOG: _catalog(folder, _AT_HOME)}
    beside = [item for name in names for item in _with_assets(folder / f"{name}.json")]
    return {CATALOG: _catalog(folder, "./"), **dict(beside)}


def _is_beside_the_sources(out: Path, names: list[str]) -> bool:
    # By files, not by where this package runs from: it may be installed, and its command run in a checkout.
    sources = out.resolve().parent / "openeo_udf_fusion" / "models"
    return all((sources / f"{name}.json").is_file() for name in names)


def _catalog(folder: Path, where: str) -> bytes:
    catalog: Json = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "openeo-udf-fusion-models",
        "title": _TITLE,
        "description": "The models behind the processes: inputs, outputs, training, measured skill, weights.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json", "title": _TITLE},
            *(_link(folder / f"{name}.json", where) for name in cards.names(folder)),
        ],
    }
    return (json.dumps(catalog, indent=2, ensure_ascii=False) + "\n").encode()


def _link(file: Path, where: str) -> Json:
    card: Json = json.loads(file.read_text(encoding="utf-8"))
    title = card["properties"].get("title", card["id"])
    return {"rel": "item", "href": f"{where}{file.name}", "type": "application/geo+json", "title": title}


def _with_assets(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a card and the files that it names beside it: weights, network, graph."""
    content = file.read_bytes()
    yield f"models/{file.name}", content
    for asset in json.loads(content).get("assets", {}).values():
        href = asset["href"]
        if "://" in href:
            continue
        try:
            yield posixpath.normpath(f"models/{href}"), (file.parent / href).read_bytes()
        except OSError as error:
            raise StorageFailed(
                f"{file.name} names {href}, which cannot be read: {error.strerror or error}"
            ) from error
