"""Publishing to the embedded server, through the openEO client: nothing of anybody else is lost."""

import copy
import json

import openeo
import pytest

from openeo_udf_fusion import __version__, udps
from openeo_udf_fusion.errors import BackendFailed, InvalidParameter
from openeo_udf_fusion.publish import comparison
from openeo_udf_fusion.publish.backend import connect
from openeo_udf_fusion.publish.comparison import fingerprint, marked
from openeo_udf_fusion.publish.overview import offered, on_backend
from openeo_udf_fusion.publish.upload import chosen, flaws, is_public, namespace, publish, survey

pytestmark = pytest.mark.filterwarnings("ignore:Defining user-defined process")

PROCESSES = udps.definitions()
FOREIGN = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}


@pytest.fixture
def backend(server):
    return connect(server)


@pytest.fixture
def colleague(server):
    """Somebody who works on the same account with the plain client."""
    return openeo.connect(server)


def results(backend, **options):
    return {outcome.process: outcome.result for outcome in publish(backend, PROCESSES.values(), **options)}


def every(result):
    return dict.fromkeys(PROCESSES, result)


def test_published_processes_are_there_as_built(backend, colleague):
    assert results(backend) == every("created")
    for process_id, process in PROCESSES.items():
        stored = colleague.user_defined_process(process_id).describe()
        assert stored["process_graph"] == process["process_graph"]
        assert [p["name"] for p in stored["parameters"]] == [p["name"] for p in process["parameters"]]
        assert stored["description"].startswith(process["description"].rstrip())
        assert f"openeo-udf-fusion {__version__}" in stored["description"]
        assert not stored.get("public")


def test_once_more_changes_nothing(backend):
    results(backend)
    assert results(backend) == every("unchanged")


def test_a_dry_run_does_nothing(backend):
    assert results(backend, dry_run=True) == every("created")
    assert all(backend.stored(process_id) is None for process_id in PROCESSES)


def test_an_older_version_is_updated(backend, colleague, monkeypatch):
    older = copy.deepcopy(PROCESSES["fill_gaps"])
    older["parameters"][-1]["default"] = 99
    monkeypatch.setattr(comparison, "__version__", "0.0.9")
    backend.store(marked(older), public=False)
    monkeypatch.undo()
    assert results(backend) == every("created") | {"fill_gaps": "updated"}
    stored = colleague.user_defined_process("fill_gaps").describe()
    assert fingerprint(stored) == fingerprint(PROCESSES["fill_gaps"])


def test_somebody_elses_process_is_refused_and_stays(backend, colleague):
    colleague.save_user_defined_process("fill_gaps", FOREIGN)
    found = {outcome.process: outcome for outcome in publish(backend, PROCESSES.values())}
    assert found["fill_gaps"].result == "refused"
    assert "--overwrite" in found["fill_gaps"].message
    assert all(outcome.result == "created" for name, outcome in found.items() if name != "fill_gaps")
    assert colleague.user_defined_process("fill_gaps").describe()["process_graph"] == FOREIGN


def test_what_was_changed_by_hand_is_refused_and_stays(backend, colleague):
    results(backend)
    stored = colleague.user_defined_process("fill_gaps").describe()
    (node,) = (n for n in stored["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    node["arguments"]["size"][0]["value"] = 32
    colleague.save_user_defined_process(
        "fill_gaps",
        stored["process_graph"],
        parameters=stored["parameters"],
        description=stored["description"],
    )
    (outcome,) = publish(backend, [PROCESSES["fill_gaps"]])
    assert outcome.result == "refused"
    assert "by hand" in outcome.message
    assert colleague.user_defined_process("fill_gaps").describe()["process_graph"] == stored["process_graph"]


def test_a_summary_edited_by_hand_is_refused_and_stays(backend, colleague):
    results(backend)
    stored = colleague.user_defined_process("fill_gaps").describe()
    colleague.save_user_defined_process(
        "fill_gaps",
        stored["process_graph"],
        parameters=stored["parameters"],
        description=stored["description"],
        summary="Only for our group: ask Ada first",
    )
    (outcome,) = publish(backend, [PROCESSES["fill_gaps"]])
    assert outcome.result == "refused"
    assert colleague.user_defined_process("fill_gaps").describe()["summary"].startswith("Only for our group")


def test_it_is_replaced_when_told(backend, colleague):
    colleague.save_user_defined_process("fill_gaps", FOREIGN)
    assert results(backend, overwrite=True) == every("created") | {"fill_gaps": "updated"}
    stored = colleague.user_defined_process("fill_gaps").describe()
    assert stored["process_graph"] == PROCESSES["fill_gaps"]["process_graph"]


# --- who sees them


def test_public_ones_stay_public(backend):
    assert results(backend, public=True) == every("created")
    assert backend.stored("fill_gaps")["public"] is True
    assert results(backend) == every("unchanged")
    backend.store(marked(PROCESSES["fill_gaps"] | {"summary": "Older"}), public=True)
    assert results(backend)["fill_gaps"] == "updated"
    assert backend.stored("fill_gaps")["public"] is True


def test_private_ones_become_public(backend):
    results(backend)
    outcomes = list(publish(backend, PROCESSES.values(), public=True))
    assert {outcome.result for outcome in outcomes} == {"updated"}
    assert all("no public URL" in outcome.message and outcome.namespace == "user" for outcome in outcomes)
    assert results(backend, public=True) == every("unchanged")


def test_the_public_url_is_the_namespace(fake_backend, process):
    public = "https://backend.example/processes/u:ada/harmonize_modis_viirs"
    stored = marked(process) | {"public": True, "links": [{"rel": "canonical", "href": public}]}
    fake_backend.answers[f"GET /process_graphs/{process['id']}"] = (200, stored)
    (outcome,) = publish(connect(fake_backend.url), [process], public=True)
    assert (outcome.result, outcome.namespace) == ("unchanged", public)


CANONICAL = {"links": [{"rel": "canonical", "href": "https://backend.example/processes/u:ada/it"}]}


@pytest.mark.parametrize(
    ("stored", "public"),
    [
        (None, False),
        ({}, False),
        ({"public": True}, True),
        ({"public": False}, False),
        (CANONICAL, True),
        (CANONICAL | {"public": None}, True),
        (CANONICAL | {"public": True}, True),
        (CANONICAL | {"public": False}, False),
    ],
)
def test_what_a_backend_says_of_public_goes_before_its_links(stored, public):
    assert is_public(stored) is public
    assert (namespace(stored) == "user") is not (public and "links" in stored)


def stored_as_sent(fake_backend, process, **more):
    """The fake backend has the process in an older version; returns the bodies that it is sent."""
    older = marked(process | {"summary": "Older"}) | more
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": [], "links": []}),
        f"GET /process_graphs/{process['id']}": (200, older),
        f"PUT /process_graphs/{process['id']}": (200, {}),
    }
    return lambda: [json.loads(body) for request, _, body in fake_backend.sent if request.startswith("PUT")]


@pytest.mark.parametrize("public", [True, False])
def test_an_update_keeps_it_as_visible_as_its_owner_made_it(fake_backend, process, public):
    sent = stored_as_sent(fake_backend, process, public=public, **CANONICAL)
    (outcome,) = publish(connect(fake_backend.url), [process])
    assert outcome.result == "updated"
    assert [body["public"] for body in sent()] == [public]


def test_a_private_one_with_a_link_is_made_public_when_told(fake_backend, process):
    sent = stored_as_sent(fake_backend, process, public=False, **CANONICAL)
    stored = marked(process) | {"public": False} | CANONICAL
    fake_backend.answers[f"GET /process_graphs/{process['id']}"] = (200, stored)
    (outcome,) = publish(connect(fake_backend.url), [process], public=True)
    assert outcome.result == "updated"
    assert [body["public"] for body in sent()] == [True]
    assert "keeps it private" in outcome.message


def test_without_links_the_namespace_is_the_user():
    assert namespace(None) == namespace({}) == namespace({"links": None}) == "user"
    assert namespace({"links": [{"rel": "about", "href": "https://x.example"}]}) == "user"


# --- what is published at all


def test_diagnostics_are_left_out_unless_they_are_named():
    assert PROCESSES.keys() - chosen(PROCESSES).keys() == {"self_test_cube"}
    assert list(chosen(PROCESSES, ["self_test_cube", "fill_gaps"])) == ["fill_gaps", "self_test_cube"]
    with pytest.raises(InvalidParameter, match=r"\['fill_gap'\].*fill_gaps_cube"):
        chosen(PROCESSES, ["fill_gap"])


def test_a_wrong_process_is_a_flaw(process):
    assert flaws({process["id"]: process}) == []
    del process["summary"]
    assert [finding.rule for finding in flaws({process["id"]: process})] == ["schema"]


def test_what_a_backend_lacks_is_an_obstacle(fake_backend, process):
    fake_backend.answers["GET /processes"] = (200, {"processes": [], "links": []})
    found = survey(connect(fake_backend.url), {process["id"]: process})
    assert [finding.rule for finding in found.obstacles] == ["backend-processes"]


def test_what_a_user_decides_upon_is_a_warning(fake_backend, process):
    """Runtimes that it does not list, ids that it has, and what its validation says, stop nothing."""
    graph = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    process["process_graph"] = graph
    listed = [{"id": "add"}, {"id": process["id"]}]
    fake_backend.endpoints.append("POST /validation")
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": listed, "links": []}),
        "POST /validation": (200, {"errors": [{"code": "Odd", "message": "an open parameter"}]}),
    }
    found = survey(connect(fake_backend.url), {process["id"]: process})
    assert found.obstacles == []
    runtime, objection, predefined = found.warnings
    assert "does not list its UDF runtimes" in runtime
    assert "Odd: an open parameter" in objection
    assert "predefined" in predefined


# --- failures


def test_one_that_fails_does_not_stop_the_others(backend, monkeypatch):
    store = backend.store

    def flaky(process, public):
        if process["id"] == "fill_gaps":
            raise BackendFailed("the disk is full")
        store(process, public)

    monkeypatch.setattr(backend, "store", flaky)
    found = {outcome.process: outcome for outcome in publish(backend, PROCESSES.values())}
    assert (found["fill_gaps"].result, found["fill_gaps"].message) == ("failed", "the disk is full")
    assert not found["fill_gaps"].ok
    assert all(outcome.ok for name, outcome in found.items() if name != "fill_gaps")
    monkeypatch.undo()
    assert results(backend) == every("unchanged") | {"fill_gaps": "created"}


def test_a_backend_that_keeps_something_else_is_found_out(fake_backend, process):
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": [], "links": []}),
        f"PUT /process_graphs/{process['id']}": (200, {}),
    }
    (outcome,) = publish(connect(fake_backend.url), [process])
    assert outcome.result == "failed"
    assert "not what was sent" in outcome.message


def test_a_backend_that_rewrites_texts_is_told(fake_backend, process):
    """An edit by the backend cannot be told from one by hand: better said at once than found out later."""
    stored = marked(process) | {"summary": process["summary"].upper()}
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": [], "links": []}),
        f"GET /process_graphs/{process['id']}": (200, stored),
        f"PUT /process_graphs/{process['id']}": (200, {}),
    }
    (outcome,) = publish(connect(fake_backend.url), [process], overwrite=True)
    assert outcome.result == "updated"
    assert "rewrites its texts" in outcome.message


# --- overview


def test_what_is_offered_has_its_version():
    rows = offered(PROCESSES)
    assert [row["process"] for row in rows] == list(PROCESSES)
    assert {row["version"] for row in rows} == {__version__}
    assert all(row["summary"] == PROCESSES[row["process"]]["summary"] for row in rows)


def test_what_a_backend_has(backend, colleague):
    backend.store(marked(PROCESSES["harmonize_modis_viirs"]), public=False)
    backend.store(marked(PROCESSES["fill_gaps_cube"] | {"summary": "Older"}), public=False)
    colleague.save_user_defined_process("fill_gaps", FOREIGN)
    found = on_backend(PROCESSES, backend, own=True)
    assert all(row["predefined"] for row in found.values())
    assert found["harmonize_modis_viirs"]["stored"] == "same"
    assert found["harmonize_modis_viirs_cube"]["stored"] == "absent"
    assert {**found["fill_gaps"], "predefined": None} == {
        "predefined": None,
        "stored": "different",
        "whose": "foreign",
        "stored_version": None,
    }
    assert found["fill_gaps_cube"]["whose"] == "ours"
    assert found["fill_gaps_cube"]["stored_version"] == __version__


def test_without_a_login_only_predefined_ones_are_seen(fake_backend):
    fake_backend.answers["GET /processes"] = (200, {"processes": [{"id": "fill_gaps"}], "links": []})
    found = on_backend(PROCESSES, connect(fake_backend.url), own=False)
    assert found == {name: {"predefined": name == "fill_gaps"} for name in PROCESSES}
