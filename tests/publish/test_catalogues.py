"""What catalogues get is checked by their schemas; each planted fault is found, and nothing else."""

import hashlib
import json
from pathlib import Path

import pytest

from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish import catalogues
from openeo_udf_fusion.publish.catalogues import built, catalogue_problems, written
from openeo_udf_fusion.publish.files import published_files, write
from openeo_udf_fusion.publish.model_catalog import CATALOG

CARD = "models/satfusenet.json"
RECORD = "records/fill_gaps.json"
SCENARIOS = "benchmark_scenarios/fill_gaps.json"


@pytest.fixture(scope="module")
def published():
    return published_files()


def found(files):
    return [(problem.process, problem.rule) for problem in catalogue_problems(built(files))]


def spoilt(files, name, spoil):
    document = json.loads(files[name])
    spoil(document)
    return files | {name: json.dumps(document).encode()}


def test_the_schemas_are_as_their_authors_wrote_them():
    """Each is named with its source and the first digits of its SHA-256, so that a change here is seen."""
    folder = Path(catalogues.__file__).parent / "catalogue_schemas"
    rows = [line.split("|") for line in (folder / "README.md").read_text().splitlines() if ".json |" in line]
    stated = {row[1].strip(): row[5].strip() for row in rows}
    there = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in folder.glob("*.json")}
    assert stated == there


def test_nothing_is_wrong_with_what_is_published(published, repository, tmp_path):
    assert catalogue_problems(built(published)) == []
    assert catalogue_problems(written(repository / "udp")) == []
    write(published, tmp_path)
    assert catalogue_problems(written(tmp_path)) == []


def arguments(scenarios):
    (node,) = scenarios[0]["process_graph"].values()
    return node["arguments"]


FAULTS = {
    "a record without themes": (RECORD, lambda r: r["properties"].pop("themes"), "record"),
    "a keyword that the catalogue does not know": (
        RECORD,
        lambda r: r["properties"].update(keywords=["MODIS"]),
        "record",
    ),
    "a record of another id": (RECORD, lambda r: r.update(id="other"), "id-file"),
    "a record that leads to another process": (
        RECORD,
        lambda r: r["links"][0].update(href="https://files.example/other.json"),
        "link",
    ),
    "a scenario without backend": (SCENARIOS, lambda s: s[0].pop("backend"), "scenario"),
    "a scenario with a field too many": (SCENARIOS, lambda s: s[0].update(spare=1), "scenario"),
    "a scenario with an unknown argument": (
        SCENARIOS,
        lambda s: arguments(s).update(spare=1),
        "scenario-arguments",
    ),
    "a scenario without area": (
        SCENARIOS,
        lambda s: arguments(s).pop("spatial_extent"),
        "scenario-arguments",
    ),
    "a catalogue without description": (CATALOG, lambda c: c.pop("description"), "catalog"),
    "a link to no card": (CATALOG, lambda c: c["links"].append({"rel": "item", "href": "./no.json"}), "link"),
    "a card that is everywhere": (CARD, lambda c: c.update(geometry="everywhere"), "item"),
    "a card without properties": (CARD, lambda c: c.update(properties={}), "item"),
    "a card without inputs": (CARD, lambda c: c["properties"].pop("mlm:input"), "model"),
    "a card of an unknown number": (
        CARD,
        lambda c: c["properties"]["mlm:input"][0]["input"].update(data_type="float31"),
        "model",
    ),
    "a card with a dead link": (CARD, lambda c: c["links"].append({"rel": "about", "href": "./no"}), "link"),
    "weights that are not there": (CARD, lambda c: c["assets"]["weights"].update(href="./no.bin"), "link"),
    "other weights": (
        CARD,
        lambda c: c["assets"]["weights"].update({"file:checksum": cards.SHA256_MULTIHASH + "0" * 64}),
        "checksum",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(published, fault):
    name, spoil, rule = FAULTS[fault]
    assert set(found(spoilt(published, name, spoil))) == {(name, rule)}


def test_changed_weights_are_found(published):
    assert found(published | {"models/satfusenet.safetensors": b"other"}) == [(CARD, "checksum")]


@pytest.mark.parametrize("name", [RECORD, SCENARIOS, CATALOG, CARD])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"3", b"[[]]"])
def test_anything_else_is_answered_by_findings(published, name, content):
    assert {where for where, _ in found(published | {name: content})} == {name}


def test_a_record_needs_its_process(published):
    files = {name: content for name, content in published.items() if name != "fill_gaps.json"}
    assert found(files) == [(RECORD, "link")]


def test_links_onto_the_web_are_not_followed(published):
    files = spoilt(published, CATALOG, lambda c: c["links"][-1].update(href="https://files.example/it.json"))
    assert found(files) == []


def test_processes_alone_need_no_catalogue(published):
    assert found({name: content for name, content in published.items() if "/" not in name}) == []
