"""The log: one line a request, ids that connect it with answers and jobs, and no secret."""

import io
import json
import logging
import re

import pytest

from openeo_udf_fusion.local.server import logs
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.serving import running
from openeo_udf_fusion.local.server.settings import Settings
from tests.local.server.conftest import Client, StagedExecutor, until


@pytest.fixture
def written(monkeypatch):
    """Install a log format; returns a function that gives what was written."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()

    def install(format):
        logs.install(format, stream)
        return stream.getvalue

    yield install
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def guarded(data, tmp_path):
    executor = StagedExecutor()
    with running(
        create_app(Settings(data, tmp_path / "state", "ada", "s3cret-pass"), executor=executor)
    ) as url:
        yield Client(url, tmp_path / "state", executor)


def entries(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_request_is_one_object_with_its_fields(written, guarded):
    text = written("json")
    token = guarded("GET", "/credentials/basic", auth=("ada", "s3cret-pass")).json()["access_token"]
    guarded.token = token
    answer = guarded("GET", "/jobs?limit=5&secret=1", headers={"X-Request-ID": "from-proxy.1"})
    until(lambda: "from-proxy.1" in text())
    (line,) = [entry for entry in entries(text()) if entry.get("request_id") == "from-proxy.1"]
    assert answer.headers["X-Request-ID"] == "from-proxy.1"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/jobs", 200)
    assert (line["user"], line["logger"], line["level"]) == ("ada", "openeo_udf_fusion.access", "INFO")
    assert line["duration_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", line["time"])
    assert line["message"].startswith("GET /jobs 200")


def test_no_secret_is_logged(written, guarded):
    text = written("json")
    guarded.token = guarded("GET", "/credentials/basic", auth=("ada", "s3cret-pass")).json()["access_token"]
    job = guarded.run("one")
    results = guarded("GET", f"/jobs/{job}/results").json()
    (asset,) = results["assets"].values()
    assert Client("", guarded.state, guarded.executor)("GET", asset["href"]).status_code == 200
    assert Client("", guarded.state, guarded.executor)("GET", asset["href"] + "x").status_code == 403
    until(lambda: text().count("/assets/") >= 2)
    assert "signature" not in text()
    assert guarded.token.removeprefix("basic//") not in text()
    assert "s3cret-pass" not in text()


def test_what_is_logged_of_a_job_names_it_and_its_user(written, guarded):
    text = written("json")
    guarded.token = guarded("GET", "/credentials/basic", auth=("ada", "s3cret-pass")).json()["access_token"]
    job = guarded.run("bug")
    until(lambda: f"job {job} ends: error (Internal) after " in text())
    own = [entry for entry in entries(text()) if entry["logger"].endswith(".worker")]
    assert {(entry["job_id"], entry["user"]) for entry in own} == {(job, "ada")}
    (failure,) = [entry for entry in own if entry["level"] == "ERROR"]
    assert "KeyError" in failure["traceback"]  # in one line


def test_an_error_carries_the_id_of_its_request(written, guarded):
    text = written("json")
    answer = guarded("GET", "/jobs")
    assert answer.status_code == 401
    assert answer.json()["id"] == answer.headers["X-Request-ID"]
    until(lambda: answer.json()["id"] in text())


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", '"}', "é".encode().decode("latin-1")])
def test_an_id_that_could_do_harm_is_replaced(guarded, given):
    answer = guarded("GET", "/", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_a_line_break_in_a_path_begins_no_line(written, guarded):
    text = written("text")
    guarded("GET", "/x%0A2022-01-01 00:00:00 ERROR forged")
    until(lambda: "/x" in text())
    (line,) = [line for line in text().splitlines() if "forged" in line]
    assert "GET /x%0A2022" in line
    assert re.search(r" 404 in [\d.]+ ms \[request_id=[0-9a-f]{32}\]$", line)


FORGED = "2022-01-01 00:00:00,000 ERROR openeo_udf_fusion.access: forged"


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_break_in_a_message_or_an_error_begins_no_line(written, break_):
    text = written("text")
    logger = logging.getLogger("anything")
    logger.warning("told %s", break_ + FORGED + "\x1b[2J")
    try:
        raise ValueError(break_ + FORGED)
    except ValueError:
        logger.exception("failed")
    assert "forged" in text()
    assert "\x1b" not in text()
    assert not any(line.startswith("2022-01-01") for line in text().splitlines())
    assert len([line for line in text().splitlines() if re.match(r"\d{4}-", line)]) == 2


def test_what_a_synchronous_run_says_is_not_the_operators(written, guarded, graph):
    text = written("text")
    guarded.token = guarded("GET", "/credentials/basic", auth=("ada", "s3cret-pass")).json()["access_token"]
    assert guarded("POST", "/result", json={"process": graph("one")}).status_code == 200
    until(lambda: "POST /result" in text())
    assert "four tiles" not in text()


def test_healthy_checks_are_not_logged(written, guarded):
    text = written("text")
    guarded("GET", "/health")
    guarded("GET", "/conformance")
    until(lambda: "/conformance" in text())
    assert "/health" not in text()


def test_whatever_is_logged_outside_a_request_has_no_id(written):
    text = written("json")
    logging.getLogger("anything").warning("told %s", "once")
    (entry,) = entries(text())
    assert entry.keys() == {"time", "level", "logger", "message"}
    assert logs.request_id() != logs.request_id()
