"""Every answer against the OpenAPI document of openEO API 1.2.0."""

from collections.abc import Callable

import pytest

from openeo_udf_fusion import errors
from openeo_udf_fusion.local.server.app import predefined_processes
from openeo_udf_fusion.local.server.bodies import Process
from tests.conformance import advertised, error_codes, openapi


@pytest.fixture(scope="session")
def problems(api_document) -> Callable[..., list[str]]:
    """What is wrong with an answer to an operation of the API."""
    return openapi.Judge(api_document).problems


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/openeo",
        "/conformance",
        "/file_formats",
        "/udf_runtimes",
        "/collections",
        "/processes",
    ],
)
def test_discovery_is_as_the_api_says(shared, problems, path):
    assert problems(shared("GET", path).json(), path) == []


def test_a_collection_is_as_the_api_says(shared, problems):
    collection = shared("GET", "/collections/modis").json()
    assert collection["cube:dimensions"]["bands"]["values"] == ["modis_B1", "modis_B2"]
    assert problems(collection, "/collections/{collection_id}") == []


def test_accounts_are_as_the_api_says(shared, problems):
    assert problems(shared("GET", "/me").json(), "/me") == []
    token = shared("GET", "/credentials/basic", headers={"Authorization": "Basic YTpi"}).json()
    assert problems(token, "/credentials/basic") == []


def test_user_processes_are_as_the_api_says(client, graph, problems):
    parameter = {"name": "x", "description": "x", "schema": {"type": "number"}}
    client("PUT", "/process_graphs/mine", json=graph("one") | {"parameters": [parameter]})
    assert problems(client("GET", "/process_graphs").json(), "/process_graphs") == []
    path = "/process_graphs/{process_graph_id}"
    assert problems(client("GET", "/process_graphs/mine").json(), path) == []
    assert problems(client("POST", "/validation", json=graph("one")).json(), "/validation", "post") == []


def test_jobs_are_as_the_api_says(client, problems):
    job = client.run("several", title="Two days", description="Of *January*.", plan="free", budget=2.5)
    failed = client.run("udf")
    assert problems(client("GET", "/jobs").json(), "/jobs") == []
    for each in (job, failed):
        assert problems(client("GET", f"/jobs/{each}").json(), "/jobs/{job_id}") == []
        assert problems(client("GET", f"/jobs/{each}/logs").json(), "/jobs/{job_id}/logs") == []
    results = "/jobs/{job_id}/results"
    assert problems(client("GET", f"/jobs/{job}/results").json(), results) == []
    assert problems(client("GET", f"/jobs/{failed}/results").json(), results, status="424") == []


def test_partial_results_are_asked_for_by_a_boolean(client):
    job = client.run("one")
    for text, status in (("true", 200), ("false", 200), ("", 200), ("-1", 400), ("yes", 400)):
        response = client("GET", f"/jobs/{job}/results", params={"partial": text})
        assert response.status_code == status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("GET", "/jobs/nothing"), ("POST", "/jobs"), ("DELETE", "/jobs")],
)
def test_errors_are_as_the_api_says(shared, problems, method, path):
    assert problems(shared(method, path).json(), "/jobs", status="4XX") == []


def test_the_check_finds_what_is_wrong(problems):
    assert problems({"jobs": [{"id": "a b", "status": "lost", "created": "x"}]}, "/jobs")


def test_what_is_advertised_is_of_the_api_and_the_rest_is_refused(shared, api_document):
    assert advertised.strange(shared, api_document) == []
    assert advertised.badly_refused(shared, api_document) == []


def kinds_of_errors() -> list[type[errors.FusionError]]:
    found = [errors.FusionError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", kinds_of_errors(), ids=lambda kind: kind.__name__)
def test_official_error_codes_come_with_their_status(kind):
    assert 400 <= kind.status < 600
    assert kind.status == error_codes.OFFICIAL.get(kind.code, kind.status)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "text"),
        (400, {"message": "no code"}),
        (400, {"code": "JobLocked", "message": ""}),
        (404, {"code": "JobLocked", "message": "of another status"}),
        (400, {"code": "Unheard", "message": "of nobody's list"}),
        (400, {"code": "JobLocked", "message": "x", "links": "none"}),
    ],
)
def test_a_flawed_error_is_found(status, body):
    assert error_codes.flaws(status, body)


def test_every_predefined_process_can_be_stored_as_it_is():
    graph = {"one": {"process_id": "one", "arguments": {}}}
    for process in predefined_processes().values():
        stored = Process.model_validate({"process_graph": graph} | process).given()
        assert stored == {"process_graph": graph} | process


CALLBACK = {"one": {"process_id": "one", "arguments": {}}}


@pytest.mark.parametrize(
    "arguments",
    [
        {"process": {"process_graph": {}}},
        {"process": {"process_graph": CALLBACK, "returns": "text"}},
        {"process": {"process_graph": {"one": {"process_id": "one"}}}},
        {"data": [{"from_node": "a", "and": "more"}]},
        {"data": {"from_parameter": 3}},
    ],
)
def test_arguments_that_the_api_has_no_schema_for_are_refused(client, arguments):
    body = {"process_graph": {"node": {"process_id": "one", "arguments": arguments}}}
    response = client("PUT", "/process_graphs/mine", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "ProcessGraphInvalid")


@pytest.mark.parametrize(
    "metadata",
    [
        {"links": [{"href": "about/it", "rel": "about"}]},
        {"links": [{"href": "https://x.y/a b", "rel": "about"}]},
        {"returns": {"schema": []}},
        {"returns": {"schema": [{}, {}]}},
        {"returns": {"schema": {"items": {"items": []}}}},
        {"returns": {"schema": {"minItems": -1}}},
        {"returns": {"schema": {"pattern": "(unclosed"}}},
        {"returns": {"schema": [{"items": {"pattern": "\u00ea[4\u00ac"}}]}},
        {"parameters": [{"name": "x", "description": "x", "schema": {"$id": "x"}}]},
        {"exceptions": {"Missing": {"description": "no message"}}},
        {"examples": [{"arguments": {"x": {"from_node": "a", "and": "more"}}}]},
        {"categories": None},
    ],
)
def test_metadata_that_the_api_has_no_schema_for_is_refused(client, graph, metadata):
    response = client("PUT", "/process_graphs/mine", json=graph("one") | metadata)
    assert (response.status_code, response.json()["code"]) == (400, "RequestInvalid")


@pytest.mark.parametrize("name", ["process", "log_level"])
def test_a_job_keeps_its_process_and_its_log_level(client, name):
    job = client.create("one")
    response = client("PATCH", f"/jobs/{job}", json={name: None})
    assert (response.status_code, response.json()["code"]) == (400, "RequestInvalid")


def test_null_is_taken_for_not_given(client, graph, problems):
    unknown = dict.fromkeys(("id", "summary", "description", "parameters", "returns"))
    callback = {"process_graph": CALLBACK, "parameters": None, "description": None}
    node = {"process_id": "one", "arguments": {"data": None, "process": callback}}
    body = unknown | {"process_graph": {"node": node}}
    assert client("PUT", "/process_graphs/mine", json=body).status_code == 200
    stored = client("GET", "/process_graphs/mine").json()
    assert problems(stored, "/process_graphs/{process_graph_id}") == []
    assert stored["process_graph"]["node"]["arguments"] == {
        "data": None,
        "process": {"process_graph": CALLBACK},
    }
