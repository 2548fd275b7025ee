"""What a backend lacks, and what its own validation says."""

import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.publish.backend import connect
from openeo_udf_fusion.publish.backend_checks import missing_parts, objections
from openeo_udf_fusion.publish.graphs import graphs


def used(process):
    return {node["process_id"] for graph in graphs(process["process_graph"]) for node in graph.nodes.values()}


@pytest.fixture
def backend(fake_backend, process):
    """A backend that has just what the process needs."""
    fake_backend.endpoints += ["GET /udf_runtimes", "POST /validation"]
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": [{"id": name} for name in sorted(used(process))], "links": []}),
        "GET /udf_runtimes": (200, {"Python": {"default": "3.11", "versions": {"3.8": {}, "3.11": {}}}}),
        "POST /validation": (200, {"errors": []}),
    }
    return fake_backend


def said(backend, process):
    return [(finding.level, finding.rule) for finding in missing_parts(connect(backend.url), [process])]


def test_the_embedded_server_has_all_that_it_publishes(server):
    backend = connect(server)
    assert missing_parts(backend, udps.definitions().values()) == []
    assert objections(backend, udps.definitions().values()) == []


def test_a_backend_that_has_all(backend, process):
    assert said(backend, process) == []
    assert objections(connect(backend.url), [process]) == []


@pytest.mark.parametrize("name", ["merge_cubes", "run_udf", "multiply"])
def test_a_process_that_it_lacks_is_named_also_in_callbacks(backend, process, name):
    listing = backend.answers["GET /processes"][1]["processes"]
    listing.remove({"id": name})
    (finding,) = missing_parts(connect(backend.url), [process])
    assert (finding.level, finding.rule, finding.process) == ("error", "backend-processes", process["id"])
    assert f"['{name}']" in finding.message


@pytest.mark.parametrize(
    ("runtimes", "expected"),
    [
        ({}, [("error", "backend-runtime")]),
        ({"R": {"versions": {"4": {}}}}, [("error", "backend-runtime")]),
        ({"Python": {"default": "3.8", "versions": {"3.8": {}, "3.10": {}}}}, [("error", "backend-runtime")]),
        ({"Python": {"default": "3.8", "versions": {"3.8": {}, "3.12": {}}}}, [("note", "backend-runtime")]),
        ({"Python": {"default": "3", "versions": {"3": {}}}}, []),
        ({"python": {"default": "3.12.1", "versions": {"3.12.1": {}}}}, []),
    ],
)
def test_runtimes(backend, process, runtimes, expected):
    backend.answers["GET /udf_runtimes"] = (200, runtimes)
    assert said(backend, process) == expected


def test_a_backend_that_need_not_list_its_runtimes_may_have_one(backend, process):
    """`GET /udf_runtimes` is optional: that it is not there says nothing of UDFs."""
    backend.endpoints.remove("GET /udf_runtimes")
    (finding,) = missing_parts(connect(backend.url), [process])
    assert (finding.level, finding.rule) == ("note", "backend-runtime")
    assert "does not list" in finding.message


def test_what_its_validation_finds_is_passed_on(backend, process):
    backend.answers["POST /validation"] = (
        200,
        {"errors": [{"code": "CollectionNotFound", "message": "no MOD09GA"}]},
    )
    (finding,) = objections(connect(backend.url), [process])
    assert (finding.level, finding.process) == ("error", process["id"])
    assert finding.message == "CollectionNotFound: no MOD09GA"


def test_a_backend_without_validation_is_a_note(backend, process):
    backend.endpoints.remove("POST /validation")
    (finding,) = objections(connect(backend.url), [process, process])
    assert (finding.level, finding.rule) == ("note", "backend-validation")


def test_validation_that_wants_a_login(guarded_server, process):
    (finding,) = objections(connect(guarded_server), [process, process])
    assert (finding.level, finding.rule) == ("error", "backend-validation")
    assert "cannot validate" in finding.message
    assert "log in" in finding.message
