"""A STAC catalogue of the models: it links the cards, which are items with the MLM extension.

The cards are linked where they lie, beside their weights, so there is one of each and their own relative
links hold.
"""

import json
from pathlib import Path
from urllib.parse import urljoin

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish.addresses import PLACEHOLDER_BASE, Addresses

CATALOG = "models/catalog.json"
_TITLE = "Models of openeo-udf-fusion"
_CARDS = "../../openeo_udf_fusion/models/"
"""From the catalogue's folder to the cards, in a checkout and at a tag on the web."""


def model_catalog(addresses: Addresses, folder: Path = cards.FOLDER) -> Json:
    """Return the catalogue of every card in a folder.

    Links to cards are relative to `udp/models` in the repository, or whole URLs where the addresses are not
    the placeholders: then the catalogue may lie anywhere.
    """
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "openeo-udf-fusion-models",
        "title": _TITLE,
        "description": "The models behind the processes: inputs, outputs, training, measured skill, weights.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json", "title": _TITLE},
            *(_link(folder / f"{name}.json", addresses) for name in cards.names(folder)),
        ],
    }


def _link(file: Path, addresses: Addresses) -> Json:
    card: Json = json.loads(file.read_text(encoding="utf-8"))
    known = addresses.base_url != PLACEHOLDER_BASE
    href = urljoin(addresses.of(CATALOG), _CARDS + file.name) if known else _CARDS + file.name
    title = card["properties"].get("title", card["id"])
    return {"rel": "item", "href": href, "type": "application/geo+json", "title": title}
