"""Processes that the user stores."""

from urllib.parse import quote

import pytest

from openeo_udf_fusion.errors import InvalidParameter, UnknownUserProcess
from openeo_udf_fusion.local.server.app import definitions
from openeo_udf_fusion.local.server.user_processes import UserProcesses

PROCESS = {
    "summary": "Adds one",
    "parameters": [{"name": "x", "description": "A number.", "schema": {"type": "number"}}],
    "returns": {"description": "The sum.", "schema": {"type": "number"}},
    "process_graph": {
        "add": {"process_id": "add", "arguments": {"x": {"from_parameter": "x"}, "y": 1}, "result": True}
    },
}


@pytest.fixture
def stored(tmp_path) -> UserProcesses:
    return UserProcesses(tmp_path / "process_graphs")


def test_what_is_stored_comes_back_as_it_was(client):
    assert client("PUT", "/process_graphs/add_one", json=PROCESS).status_code == 200
    assert client("GET", "/process_graphs/add_one").json() == PROCESS | {"id": "add_one"}
    (listed,) = client("GET", "/process_graphs").json()["processes"]
    assert listed["id"] == "add_one"
    assert "process_graph" not in listed


def test_the_path_names_the_process_whatever_the_body_says(client):
    client("PUT", "/process_graphs/mine", json=PROCESS | {"id": "other"})
    assert client("GET", "/process_graphs/mine").json()["id"] == "mine"
    assert client("GET", "/process_graphs/other").status_code == 404


def test_storing_again_replaces(client):
    client("PUT", "/process_graphs/add_one", json=PROCESS)
    client("PUT", "/process_graphs/add_one", json={"process_graph": PROCESS["process_graph"]})
    assert "summary" not in client("GET", "/process_graphs/add_one").json()


def test_deleting_forgets(client):
    client("PUT", "/process_graphs/add_one", json=PROCESS)
    assert client("DELETE", "/process_graphs/add_one").status_code == 204
    assert client("GET", "/process_graphs/add_one").json()["code"] == "ProcessGraphNotFound"
    assert client("GET", "/process_graphs").json()["processes"] == []


def test_processes_survive_a_restart(serve):
    with serve() as client:
        client("PUT", "/process_graphs/add_one", json=PROCESS)
    with serve() as client:
        assert client("GET", "/process_graphs/add_one").status_code == 200


@pytest.mark.parametrize("process_id", ["", "a-b", "a b", "a/b", "../a", "ä", "a\n", "a" * 201, ".new-x"])
def test_ids_are_letters_digits_and_underscores(stored, tmp_path, process_id):
    with pytest.raises(InvalidParameter):
        stored.put(process_id, PROCESS)
    with pytest.raises(UnknownUserProcess):
        stored.get(process_id)
    assert not list(tmp_path.rglob("*"))


def test_the_longest_id_fits_a_file_name(stored):
    stored.put("A" * 100, PROCESS)
    stored.put("a" * 200, PROCESS)
    assert len(stored.list()) == 2


def test_upper_case_makes_another_file(stored, tmp_path):
    stored.put("NDVI", PROCESS)
    stored.put("ndvi", PROCESS | {"summary": "another"})
    names = {path.name.lower() for path in (tmp_path / "process_graphs").iterdir()}
    assert len(names) == 2
    assert stored.get("NDVI")["summary"] == "Adds one"


def test_a_broken_file_costs_that_process_alone(stored, tmp_path):
    stored.put("sound", PROCESS)
    (tmp_path / "process_graphs" / "broken.json").write_text('{"id": "brok')
    assert [process["id"] for process in stored.list()] == ["sound"]
    assert stored.find("broken") is None


def test_the_users_own_process_wins_unless_the_namespace_says_otherwise(stored):
    find, name = definitions(stored), "harmonize_modis_viirs"
    theirs = find(name, None)
    assert theirs["process_graph"]
    stored.put(name, PROCESS)
    assert find(name, None)["summary"] == "Adds one"
    assert find(name, "user")["summary"] == "Adds one"
    assert find(name, "backend") == theirs
    assert find("nothing", None) is None


@pytest.mark.parametrize("process_id", ["mean", "multiply", "ndvi"])
def test_standard_processes_run_as_implemented_whatever_graph_they_come_with(stored, process_id):
    find = definitions(stored)
    assert find(process_id, None) is find(process_id, "backend") is find(process_id, "user") is None
    stored.put(process_id, PROCESS)
    assert find(process_id, None)["summary"] == "Adds one"


def test_an_id_of_the_api_that_needs_quoting_is_refused(shared):
    response = shared("PUT", f"/process_graphs/{quote('ünï')}", json=PROCESS)
    assert (response.status_code, response.json()["code"]) == (400, "ProcessParameterInvalid")
