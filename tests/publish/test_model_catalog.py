"""The STAC catalogue of the model cards, read as a catalogue's visitor reads it and validated offline."""

import hashlib
import json
from pathlib import Path

import jsonschema
import pystac
import pytest
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_udf_fusion import __version__
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish.addresses import Addresses
from openeo_udf_fusion.publish.model_catalog import model_catalog


@pytest.fixture(scope="module")
def catalog(repository):
    return pystac.Catalog.from_file(str(repository / "udp" / "models" / "catalog.json"))


def anything(uri: str) -> Resource:
    """Schemas that the MLM one refers to are not at hand: whatever they ask for is granted."""
    return Resource.from_contents({"definitions": {}, "$id": uri}, default_specification=DRAFT7)


def problems(document):
    """What the schemas of STAC and GeoJSON say that pystac brings, so that nothing is fetched."""
    schemas = get_local_schema_cache()
    known = [(uri, Resource.from_contents(schema)) for uri, schema in schemas.items()]
    kind = {"Catalog": "catalog", "Feature": "item"}[document["type"]]
    (schema,) = (schema for uri, schema in schemas.items() if uri.endswith(f"/{kind}.json"))
    validator = jsonschema.Draft7Validator(schema, registry=Registry().with_resources(known))
    return [error.message[:300] for error in validator.iter_errors(document)]


def test_it_holds_every_card(catalog):
    assert sorted(item.id for item in catalog.get_items()) == cards.names()
    assert "satfusenet" in cards.names()


def test_catalogue_and_items_are_valid_stac(repository):
    text = (repository / "udp" / "models" / "catalog.json").read_text(encoding="utf-8")
    assert problems(json.loads(text)) == []
    for name in cards.names():
        assert problems(json.loads((cards.FOLDER / f"{name}.json").read_text(encoding="utf-8"))) == []


def test_the_schemas_find_what_is_wrong():
    catalog = model_catalog(Addresses())
    assert problems({key: value for key, value in catalog.items() if key != "description"})
    assert problems(catalog | {"links": [{"rel": "item"}]})
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text(encoding="utf-8"))
    assert problems(card | {"geometry": "everywhere"})
    assert problems(card | {"properties": {}})


@pytest.mark.parametrize("name", cards.names())
def test_every_item_is_a_model(shared_data, name):
    path = shared_data / "schemas" / "stac-mlm.json"
    if not path.is_file():
        pytest.skip(f"the schema of the MLM extension is not at {path}")
    schema = json.loads(path.read_text())
    schema["$defs"]["DataType"] = {"enum": ["float32"]}
    schema["$defs"]["ProcessingExpression"] = {"type": "null"}
    card = json.loads((cards.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema, registry=Registry(retrieve=anything))
    validator.validate(card)
    del card["properties"]["mlm:input"]
    assert not validator.is_valid(card)


def test_its_links_lead_to_the_weights(catalog):
    for item in catalog.get_items():
        weights = item.assets["weights"]
        href = weights.get_absolute_href()
        if "://" not in href:
            digest = hashlib.sha256(Path(href).read_bytes()).hexdigest()
            assert weights.extra_fields["file:checksum"] == cards.SHA256_MULTIHASH + digest


def test_more_cards_are_more_items(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"id": name, "properties": {}}))
    links = [link for link in model_catalog(Addresses(), tmp_path)["links"] if link["rel"] == "item"]
    assert [Path(link["href"]).name for link in links] == ["one.json", "two.json"]
    assert [link["title"] for link in links] == ["one", "two"]


def test_with_a_base_url_it_may_lie_anywhere():
    found = model_catalog(Addresses("https://files.example/repo/v{version}/udp/"))
    (href,) = (
        link["href"] for link in found["links"] if link["rel"] == "item" and "satfusenet.json" in link["href"]
    )
    assert href == f"https://files.example/repo/v{__version__}/openeo_udf_fusion/models/satfusenet.json"
