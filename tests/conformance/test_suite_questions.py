"""What the general tests of `openeo-test-suite` ask of a backend, asked here in our own words.

Each test names in its docstring the questions that it mirrors; README.md lists those that are left out.
"""

import re
import uuid

import pytest

from tests.conformance import error_codes, graphs
from tests.conformance.graphs import COLLECTION
from tests.conformance.served import wait_for

JOB = {
    "title": "test",
    "description": None,
    "plan": "none",
    "budget": None,
    "process": {"categories": [], "deprecated": False, "process_graph": graphs.copied()},
}


@pytest.fixture
def process_id(guarded):
    """A stored process, gone after the test."""
    name = uuid.uuid4().hex
    assert guarded("PUT", f"/process_graphs/{name}", json=JOB["process"]).status_code == 200
    yield name
    guarded("DELETE", f"/process_graphs/{name}")


@pytest.fixture
def job(guarded):
    """A job that is not started, gone after the test."""
    response = guarded("POST", "/jobs", json=JOB)
    assert response.status_code == 201
    yield response.headers["OpenEO-Identifier"]
    guarded("DELETE", f"/jobs/{response.headers['OpenEO-Identifier']}")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/openeo",
        "/file_formats",
        "/conformance",
        "/udf_runtimes",
        "/collections",
        "/processes",
    ],
)
def test_discovery(guarded, judge, path):
    """GET_backend_info, GET_well_known, GET_file_formats, GET_conformance, GET_udf_runtimes, GET_collections,
    GET_processes.
    """
    response = guarded.without_token()("GET", path)
    assert response.status_code == 200
    assert judge.problems(response.json(), path) == []


def test_the_user_and_each_collection(guarded, judge):
    """GET_me, which also asks for each collection."""
    assert judge.problems(guarded("GET", "/me").json(), "/me") == []
    listed = guarded("GET", "/collections").json()["collections"]
    assert {collection["id"] for collection in listed} == {COLLECTION, "other"}
    for collection in listed:
        found = guarded("GET", f"/collections/{collection['id']}").json()
        assert judge.problems(found, "/collections/{collection_id}") == []


def test_stored_processes_are_listed_and_described(guarded, judge, process_id):
    """GET_process_graphs, GET_process_graphs_process_id, PUT_process_graphs_process_id."""
    listing = guarded("GET", "/process_graphs").json()
    assert process_id in [process["id"] for process in listing["processes"]]
    assert judge.problems(listing, "/process_graphs") == []
    described = guarded("GET", f"/process_graphs/{process_id}").json()
    assert judge.problems(described, "/process_graphs/{process_graph_id}") == []
    assert described["process_graph"] == graphs.copied()


def test_a_stored_process_is_deleted(guarded, process_id):
    """DELETE_process_graphs_process_id."""
    assert guarded("DELETE", f"/process_graphs/{process_id}").status_code == 204
    assert guarded("GET", f"/process_graphs/{process_id}").status_code == 404


def test_jobs_are_created_listed_and_described(guarded, judge, job):
    """POST_jobs, GET_jobs, GET_jobs_job_id."""
    listing = guarded("GET", "/jobs").json()
    assert job in [each["id"] for each in listing["jobs"]]
    assert judge.problems(listing, "/jobs") == []
    described = guarded("GET", f"/jobs/{job}").json()
    assert judge.problems(described, "/jobs/{job_id}") == []
    assert (described["status"], described["title"]) == ("created", "test")


def test_a_job_is_changed(guarded, job):
    """PATCH_jobs_job_id."""
    change = JOB | {"title": "changed", "process": {"process_graph": graphs.doubled()}}
    assert guarded("PATCH", f"/jobs/{job}", json=change).status_code == 204
    described = guarded("GET", f"/jobs/{job}").json()
    assert (described["title"], described["process"]["process_graph"]) == ("changed", graphs.doubled())


def test_a_job_is_deleted(guarded, job):
    """DELETE_jobs_job_id."""
    assert guarded("DELETE", f"/jobs/{job}").status_code == 204
    assert guarded("GET", f"/jobs/{job}").json()["code"] == "JobNotFound"


def test_a_job_runs_and_has_results_and_logs(guarded, judge, job):
    """POST_jobs_job_id_results, GET_jobs_job_id_results, GET_jobs_job_id_logs."""
    assert guarded("POST", f"/jobs/{job}/results").status_code == 202
    assert wait_for(guarded, job) == "finished"
    results = guarded("GET", f"/jobs/{job}/results").json()
    assert judge.problems(results, "/jobs/{job_id}/results") == []
    (asset,) = results["assets"].values()
    assert guarded.without_token()("GET", asset["href"].removeprefix(guarded.url)).content
    logs = guarded("GET", f"/jobs/{job}/logs").json()
    assert judge.problems(logs, "/jobs/{job_id}/logs") == []
    later = guarded("GET", f"/jobs/{job}/logs", params={"offset": logs["logs"][0]["id"]}).json()
    assert later["logs"] == logs["logs"][1:]


def test_a_job_is_cancelled(guarded, job):
    """DELETE_jobs_job_id_results."""
    guarded("POST", f"/jobs/{job}/results")
    assert guarded("DELETE", f"/jobs/{job}/results").status_code == 204
    # It may have ended before it was cancelled, or have left the queue before it ran.
    assert guarded("GET", f"/jobs/{job}").json()["status"] in ("created", "canceled", "finished")


@pytest.mark.parametrize("graph", graphs.VALID.values(), ids=graphs.VALID)
def test_a_result_is_computed_while_the_client_waits(guarded, graph):
    """POST_result; theirs expects the status 201, the API has 200 alone."""
    response = guarded("POST", "/result", json={"process": {"process_graph": graph}})
    assert response.status_code == 200
    assert response.content


@pytest.mark.parametrize("graph", graphs.VALID.values(), ids=graphs.VALID)
def test_validation_of_what_is_sound(guarded, judge, graph):
    """POST_validation."""
    response = guarded("POST", "/validation", json={"process_graph": graph})
    assert (response.status_code, response.json()["errors"]) == (200, [])
    assert judge.problems(response.json(), "/validation", "post") == []


@pytest.mark.parametrize(("code", "graph"), graphs.BROKEN.items(), ids=graphs.BROKEN)
def test_validation_of_what_is_broken(guarded, judge, code, graph):
    """POST_validation."""
    response = guarded("POST", "/validation", json={"process_graph": graph})
    assert response.status_code == 200
    assert code in [error["code"] for error in response.json()["errors"]]
    assert judge.problems(response.json(), "/validation", "post") == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/process_graphs/mine"),
        ("POST", "/jobs"),
        ("PATCH", "/jobs/{job}"),
        ("POST", "/result"),
        ("POST", "/validation"),
    ],
)
def test_no_body_is_an_error(guarded, job, method, path):
    """none_PUT_process_graphs_process_id, none_POST_jobs, none_PATCH_jobs_job_id, none_POST_result,
    none_POST_validation.
    """
    response = guarded(method, path.format(job=job))
    assert 400 <= response.status_code < 500
    assert error_codes.flaws(response.status_code, response.json()) == []


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/process_graphs/mine"), ("POST", "/jobs"), ("POST", "/result")]
)
def test_an_empty_body_is_an_error(guarded, method, path):
    """empty_PUT_process_graphs_process_id, empty_POST_jobs, empty_POST_result."""
    response = guarded(method, path, json={})
    assert 400 <= response.status_code < 500
    assert error_codes.flaws(response.status_code, response.json()) == []


def test_an_empty_body_changes_nothing(guarded, job):
    """empty_PATCH_jobs_job_id."""
    before = guarded("GET", f"/jobs/{job}").json()
    assert guarded("PATCH", f"/jobs/{job}", json={}).status_code == 204
    after = guarded("GET", f"/jobs/{job}").json()
    assert after | {"updated": None} == before | {"updated": None}


def test_an_empty_body_is_validated(guarded, judge):
    """empty_POST_validation."""
    response = guarded("POST", "/validation", json={})
    assert response.status_code == 200
    assert [error["code"] for error in response.json()["errors"]] == ["ProcessGraphMissing"]
    assert judge.problems(response.json(), "/validation", "post") == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/process_graphs/thisdoesnotexist"),
        ("DELETE", "/jobs/thisdoesnotexist"),
        ("POST", "/jobs/thisdoesnotexist/results"),
        ("GET", "/jobs/thisdoesnotexist/results"),
        ("DELETE", "/jobs/thisdoesnotexist/results"),
        ("GET", "/jobs/thisdoesnotexist/logs"),
    ],
)
def test_what_does_not_exist(guarded, method, path):
    """negative_DELETE_process_graphs_process_id, negative_DELETE_jobs_job_id,
    negative_POST_jobs_job_id_results, negative_GET_jobs_job_id_results, negative_DELETE_jobs_job_id_results,
    negative_GET_jobs_job_id_logs.
    """
    response = guarded(method, path)
    assert response.status_code == 404
    assert error_codes.flaws(404, response.json()) == []


def test_collections_are_stac(guarded):
    """get_collections, get_collections_collection_id and valid_collection_id of its collection tests, without
    the schemas of STAC and its extensions, which lie in the internet.
    """
    listing = guarded("GET", "/collections").json()
    assert {"collections", "links"} <= listing.keys()
    for listed in listing["collections"]:
        assert re.fullmatch(r"[\w\-.~/]+", listed["id"])
        full = guarded("GET", f"/collections/{listed['id']}").json()
        for collection in (listed, full):
            assert collection["type"] == "Collection"
            assert re.fullmatch(r"1\.\d+\.\d+", collection["stac_version"])
            assert collection["extent"]["spatial"]["bbox"]
            assert collection["extent"]["temporal"]["interval"]
            assert collection["license"]
        assert any("/datacube/" in extension for extension in full["stac_extensions"])
        assert {"t", "bands", "x", "y"} <= full["cube:dimensions"].keys()
        assert isinstance(full["summaries"], dict)
        assert isinstance(full.get("assets", {}), dict)
        if "version" in full or "deprecated" in full:
            assert any("/version/" in extension for extension in full["stac_extensions"])
