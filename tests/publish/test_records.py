"""Catalogue records and benchmark scenarios are what the ESA APEx catalogue takes."""

import copy
import tomllib

import pytest

from openeo_udf_fusion import __version__, udps
from openeo_udf_fusion.errors import InvalidGraph, InvalidParameter
from openeo_udf_fusion.local import formats
from openeo_udf_fusion.local.inline import inline
from openeo_udf_fusion.local.standard.specifications import check_arguments
from openeo_udf_fusion.publish.addresses import Addresses
from openeo_udf_fusion.publish.catalogue_rules import violations
from openeo_udf_fusion.publish.records import (
    FORMATS,
    HISTORY,
    MAINTAINERS,
    digest,
    first_paragraph,
    for_area_of_interest,
    record,
)
from openeo_udf_fusion.publish.scenarios import scenarios

REAL = Addresses("https://files.example/org/repo/v{version}/udp", "https://backend.example/openeo", "backend")
PROCESSES = {name: process for name, process in udps.definitions().items() if for_area_of_interest(process)}
EVERY = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def test_there_is_one_for_each_process_that_runs_by_itself():
    assert set(PROCESSES) == {name for name in udps.definitions() if not name.endswith("_cube")}
    assert "harmonize_modis_viirs" in PROCESSES


# --- records


@EVERY
@pytest.mark.parametrize("addresses", [Addresses(), REAL])
def test_a_record_is_valid(process, addresses):
    assert violations(record(process, addresses), "record", "it") == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("geometry"),
        lambda found: found["conformsTo"].pop(),
        lambda found: found["links"].pop(),
        lambda found: found["properties"].update(keywords=["MODIS"]),
        lambda found: found["properties"].update(themes=[]),
        lambda found: found["links"][-1].update(href="backend.json"),
    ],
)
def test_the_schema_of_records_finds_what_is_wrong(spoil):
    found = record(PROCESSES["harmonize_modis_viirs"], Addresses())
    spoil(found)
    assert violations(found, "record", "it")


@EVERY
def test_a_record_leads_to_the_process_and_to_the_backend(process):
    links = {link["rel"]: link["href"] for link in record(process, REAL)["links"]}
    assert links["application"] == f"https://files.example/org/repo/v{__version__}/udp/{process['id']}.json"
    assert links["service"] == "https://backend.example/openeo"
    assert links["platform"].endswith("/platform_catalog/backend.json")


@EVERY
def test_a_record_says_what_the_process_says(process):
    found = record(process, Addresses())
    assert found["id"] == process["id"]
    assert found["properties"]["title"] == process["summary"]
    assert len(found["properties"]["description"]) > 100


def test_a_description_is_the_first_paragraph_as_plain_text():
    assert first_paragraph("One **series**\nfor `all`.\n\nMore.\n") == "One series for all."


@EVERY
def test_a_record_is_dated_by_its_last_change(process):
    history = HISTORY[process["id"]]
    found = record(process, Addresses())["properties"]
    assert digest(process) == history.digest, (
        f"the record of {process['id']} changed: in publish/records.py set its `updated` to the day and its "
        f"digest to {digest(process)}, then run: openeo-udf-fusion udp write"
    )
    assert (found["created"][:10], found["updated"][:10]) == (history.created, history.updated)
    assert history.created <= history.updated


def test_every_date_is_of_a_record():
    assert HISTORY.keys() == PROCESSES.keys()


@pytest.mark.parametrize("change", [{"summary": "Other"}, {"description": "Other"}, {"categories": []}])
def test_what_a_record_says_is_in_its_digest(change):
    process = PROCESSES["harmonize_modis_viirs"]
    assert digest(process | change) != digest(process)
    assert digest(process | {"process_graph": {}}) == digest(process)


def test_a_process_without_a_date_has_no_record():
    process = copy.deepcopy(PROCESSES["fill_gaps"]) | {"id": "another"}
    with pytest.raises(InvalidGraph, match=r"records\.py.*'another'"):
        record(process, Addresses())


def test_the_formats_are_those_that_a_result_can_be_saved_in():
    """The processes save nothing themselves; a backend of this package saves their cubes in each of them."""
    for process in PROCESSES.values():
        nodes = process["process_graph"].values()
        assert "save_result" not in {node["process_id"] for node in nodes}
    for stated in FORMATS:
        known = formats.get_format(stated["name"])
        assert known.media_type.startswith(stated["mediaType"])


def test_the_contact_is_the_packages_author(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["authors"] == [{"name": MAINTAINERS}]


# --- addresses


def test_placeholders_can_belong_to_nobody():
    links = [link["href"] for process in PROCESSES.values() for link in record(process, Addresses())["links"]]
    hosts = {link.split("/")[2] for link in links if "://" in link}
    assert hosts == {"your-catalogue.example", "your-backend.example"}


@pytest.mark.parametrize("url", ["udp/", "ftp://files.example", "https:///udp", ""])
def test_an_address_that_is_no_web_address_is_refused(url):
    with pytest.raises(InvalidParameter, match="http"):
        Addresses(base_url=url)
    with pytest.raises(InvalidParameter, match="http"):
        Addresses(service_url=url)


# --- scenarios


@EVERY
@pytest.mark.parametrize("addresses", [Addresses(), REAL])
def test_scenarios_are_valid(process, addresses):
    (scenario,) = scenarios(process, addresses)
    assert violations(scenario, "scenario", "it") == []


@pytest.mark.parametrize("key", ["id", "type", "backend", "process_graph"])
def test_the_schema_of_scenarios_finds_what_is_wrong(key):
    (scenario,) = scenarios(PROCESSES["harmonize_modis_viirs"], Addresses())
    del scenario[key]
    assert violations(scenario, "scenario", "it")


@EVERY
def test_a_scenario_calls_the_process_rightly(process):
    """Its arguments are those that the process needs, and its namespace leads to the process."""
    (scenario,) = scenarios(process, REAL)
    (node,) = scenario["process_graph"].values()
    assert check_arguments(process["id"], node["arguments"], process["parameters"]) == []
    files = {f"https://files.example/org/repo/v{__version__}/udp/{process['id']}.json": process}
    graph = inline({"process_graph": scenario["process_graph"]}, lambda *_: None, files.__getitem__)
    used = {inner["process_id"] for inner in graph.values()}
    assert {"load_collection", "apply_neighborhood"} <= used
