"""`udp` with a backend: log in, publish, list, validate there."""

import json
import sys

import openeo
import pytest
import xarray as xr

from openeo_udf_fusion import local, udfs
from openeo_udf_fusion.publish.backend import PASSWORD_VARIABLE
from openeo_udf_fusion.udps import definitions

USER, PASSWORD = "ada", "s3cret"
PROCESSES = definitions().keys() - {"self_test_cube"}
"""What is published where nothing else is asked for."""


@pytest.fixture(scope="module")
def _server(data):
    with local.backend(data, user=USER, password=PASSWORD) as url:
        yield url


@pytest.fixture
def account(_server, monkeypatch):
    """The options that log in at a server where nothing is stored."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    yield ["--backend", _server, "--user", USER]
    connection = openeo.connect(_server).authenticate_basic(USER, PASSWORD)
    for process in connection.list_user_defined_processes():
        connection.user_defined_process(process["id"]).delete()


@pytest.fixture
def connection(account):
    return openeo.connect(account[1]).authenticate_basic(USER, PASSWORD)


@pytest.mark.filterwarnings("ignore:Defining user-defined process")
def test_the_way_of_an_operator(command, account, connection):
    """Validate, look, try, publish, look again, replace what is somebody else's."""
    assert command("udp", "validate", *account).status == 0
    listed = json.loads(command("udp", "list", *account, "--json").stdout)
    assert {row["stored"] for row in listed["processes"]} == {"absent"}
    tried = command("udp", "publish", *account, "--dry-run")
    assert tried.status == 0
    assert tried.stdout.count("would be created") == len(PROCESSES)
    assert connection.list_user_defined_processes() == []

    done = command("udp", "publish", *account, "--process", "fill_gaps", "fill_gaps_cube")
    assert (done.status, done.stdout.splitlines()) == (
        0,
        ["fill_gaps: created; namespace: user", "fill_gaps_cube: created; namespace: user"],
    )
    graph = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    connection.save_user_defined_process("fill_gaps", graph)
    listed = command("udp", "list", *account).stdout.splitlines()
    assert next(line for line in listed if line.startswith("fill_gaps ")).endswith(
        "your own: different (not ours)]"
    )
    assert next(line for line in listed if line.startswith("fill_gaps_cube ")).endswith("your own: same]")

    done = command("udp", "publish", *account, "--json")
    report = json.loads(done.stdout)
    results = {outcome["process"]: outcome["result"] for outcome in report["processes"]}
    expected = dict.fromkeys(PROCESSES, "created") | {
        "fill_gaps": "refused",
        "fill_gaps_cube": "unchanged",
    }
    assert (done.status, report["published"], results) == (1, False, expected)
    assert "not published: fill_gaps; there: harmonize_modis_viirs" in done.stderr
    assert connection.user_defined_process("fill_gaps").describe()["process_graph"] == graph

    done = command("udp", "publish", *account, "--overwrite", "--public")
    assert (done.status, done.stdout.count(": updated")) == (0, len(PROCESSES))
    assert connection.user_defined_process("fill_gaps").describe()["public"] is True


def test_a_published_process_runs_by_its_name(command, account, connection, tmp_path):
    """What was published gives what the backend's own process of that name gives."""
    command("udp", "publish", *account, "--process", "fill_gaps_cube")
    loaded = connection.load_collection("modis", bands=["modis_B1", "modis_state_1km"])
    results = []
    for namespace in ("user", "backend"):
        cube = connection.datacube_from_process("fill_gaps_cube", namespace=namespace, data=loaded)
        cube.download(tmp_path / f"{namespace}.nc")
        results.append(xr.load_dataset(tmp_path / f"{namespace}.nc"))
    xr.testing.assert_equal(*results)
    assert results[0]["B1"].notnull().any()


def test_a_requirement_is_published(command, account, connection):
    command("udp", "publish", *account, "--requirement", "none", "--process", "fill_gaps")
    graph = connection.user_defined_process("fill_gaps").describe()["process_graph"]
    (tiles,) = (node for node in graph.values() if node["process_id"] == "apply_neighborhood")
    (run,) = tiles["arguments"]["process"]["process_graph"].values()
    assert run["arguments"]["udf"] == udfs.with_requirement("fill_gaps", None)


def test_what_the_backends_validation_objects_to_is_told(command, account, connection):
    """The requirement cannot be met there: an error of `validate`, a warning of `publish`."""
    options = [*account, "--requirement", "openeo-udf-fusion>=99"]
    done = command("udp", "validate", *options)
    assert done.status == 1
    assert "error [backend-validation] UdfRequirementUnmet" in done.stdout
    done = command("udp", "publish", *options, "--process", "fill_gaps")
    assert done.status == 0
    assert "warning: the backend's validation objects: fill_gaps" in done.stderr
    assert len(connection.list_user_defined_processes()) == 1


def test_nothing_is_published_where_a_process_is_wrong(command, account, connection, monkeypatch):
    from openeo_udf_fusion.publish import structure

    monkeypatch.setattr(structure, "standard_processes", lambda: {"fill_gaps"})
    done = command("udp", "publish", *account)
    assert done.status == 1
    assert "nothing was published" in done.stderr
    assert "fill_gaps: error [id-taken]" in done.stdout
    assert connection.list_user_defined_processes() == []


def test_diagnostics_are_published_when_they_are_named(command, account, connection):
    assert "self_test_cube" in definitions()
    assert command("udp", "publish", *account).status == 0
    published = {process["id"] for process in connection.list_user_defined_processes()}
    assert published == PROCESSES
    command("udp", "publish", *account, "--process", "self_test_cube")
    published = {process["id"] for process in connection.list_user_defined_processes()}
    assert published == definitions().keys()


def test_a_process_that_there_is_not(command, account):
    done = command("udp", "publish", *account, "--process", "fill_gap")
    assert done.status == 1
    assert "['fill_gap']" in done.stderr
    assert "fill_gaps_cube" in done.stderr


def test_logins_that_fail(command, account, monkeypatch):
    backend = account[:2]
    assert "give --user NAME" in command("udp", "publish", *backend).stderr
    monkeypatch.setenv(PASSWORD_VARIABLE, "guess")
    done = command("udp", "publish", *account)
    assert (done.status, done.stdout) == (1, "")
    assert "CredentialsInvalid" in done.stderr
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert PASSWORD_VARIABLE in command("udp", "publish", *account).stderr


def test_a_login_that_is_missing_is_told_once(command, account, connection):
    done = command("udp", "publish", *account[:2], "--auth", "none")
    assert (done.status, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.count("AuthenticationRequired") == 1
    assert "--auth basic --user NAME" in done.stderr
    assert connection.list_user_defined_processes() == []


def test_a_password_is_asked_for_on_a_terminal(command, account, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *_arguments: PASSWORD)
    assert command("udp", "publish", *account, "--dry-run").status == 0


def test_no_option_takes_a_password(command):
    assert "--password" not in command("udp", "publish", "--help").stdout


def test_listing_without_a_login_says_how_to_see_more(command, account):
    listed = command("udp", "list", *account[:2])
    assert listed.status == 0
    assert listed.stdout.count("[predefined; your own processes: log in") == len(definitions())
