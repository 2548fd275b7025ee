"""The STAC catalogue of the model cards, read as a catalogue's visitor reads it."""

import hashlib
import json
from pathlib import Path

import pystac
import pytest

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish.files import write
from openeo_udf_fusion.publish.model_catalog import CATALOG, model_files


def items_of(files):
    return [link for link in json.loads(files[CATALOG])["links"] if link["rel"] == "item"]


@pytest.fixture(scope="module", params=["repository", "web"])
def catalog(request, repository, tmp_path_factory):
    """The repository's own catalogue, and one in a folder for the web."""
    if request.param == "repository":
        return pystac.Catalog.from_file(str(repository / "udp" / CATALOG))
    folder = tmp_path_factory.mktemp("web")
    write(model_files(), folder)
    return pystac.Catalog.from_file(str(folder / CATALOG))


def test_it_holds_every_card(catalog):
    assert sorted(item.id for item in catalog.get_items()) == cards.names()
    assert "satfusenet" in cards.names()


def test_its_links_lead_to_the_weights(catalog):
    for item in catalog.get_items():
        weights = item.assets["weights"]
        href = weights.get_absolute_href()
        if "://" not in href:
            digest = hashlib.sha256(Path(href).read_bytes()).hexdigest()
            assert weights.extra_fields["file:checksum"] == cards.SHA256_MULTIHASH + digest


# --- where the cards are


def test_beside_the_sources_cards_are_linked_and_elsewhere_put_in(repository, tmp_path):
    linked, whole = model_files(repository / "udp"), model_files(tmp_path)
    assert list(linked) == [CATALOG]
    assert whole == model_files()
    for name in cards.names():
        assert whole[f"models/{name}.json"] == (cards.FOLDER / f"{name}.json").read_bytes()


def test_a_checkout_of_its_own_is_beside_its_sources(tmp_path):
    """The command of an installed package, run in a checkout, writes what lies there."""
    sources = tmp_path / "openeo_udf_fusion" / "models"
    sources.mkdir(parents=True)
    for name in cards.names():
        (sources / f"{name}.json").write_text("{}")
    assert list(model_files(tmp_path / "udp")) == [CATALOG]
    assert len(model_files(tmp_path / "other" / "udp")) > 1


def test_in_the_repository_a_new_network_changes_nothing(repository, tmp_path):
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text(encoding="utf-8"))
    card["assets"]["weights"]["file:checksum"] = "1220" + "0" * 64
    for file in cards.FOLDER.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "satfusenet.json").write_text(json.dumps(card))
    assert model_files(repository / "udp", tmp_path) == model_files(repository / "udp")


# --- other cards


def write_card(folder, name, **assets):
    card = {"id": name, "properties": {}, "assets": {key: {"href": href} for key, href in assets.items()}}
    (folder / f"{name}.json").write_text(json.dumps(card))


def test_more_cards_are_more_items(tmp_path):
    for name in ("one", "two"):
        write_card(tmp_path, name)
    links = items_of(model_files(folder=tmp_path))
    assert [link["href"] for link in links] == ["./one.json", "./two.json"]
    assert [link["title"] for link in links] == ["one", "two"]


def test_weights_on_the_web_stay_there_and_those_beside_come_along(tmp_path):
    (tmp_path / "small.bin").write_bytes(b"\x00\xff")
    write_card(tmp_path, "one", big="https://files.example/big.bin", small="./small.bin")
    files = model_files(folder=tmp_path)
    assert files["models/small.bin"] == b"\x00\xff"
    assert files.keys() == {CATALOG, "models/one.json", "models/small.bin"}


def test_weights_that_are_not_there_are_named(tmp_path):
    write_card(tmp_path, "one", weights="./lost.bin")
    with pytest.raises(StorageFailed, match=r"one\.json names \./lost\.bin"):
        model_files(folder=tmp_path)
