"""Servers that are killed, or stopped, while a job runs: real processes, real signals."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import requests
import xarray as xr

from openeo_udf_fusion.local import executor
from tests.local.clusters import counts, traced, until
from tests.local.graphs import make_cube, store, workspace

WAITS = (
    "import os, time\n"
    "deadline = time.monotonic() + 120\n"
    "while place.endswith('_507685') and not os.path.exists(calls + '.go') and time.monotonic() < deadline:\n"
    "    time.sleep(0.05)"
)
TILES, WAITING = 5, 3  # the fourth tile of 256 columns begins at x = 500000 + 10 * (768 + 0.5)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    store(make_cube(rows=4, columns=1200, dates=2), tmp_path / "data", "demo")
    return tmp_path / "data"


@pytest.fixture
def calls(tmp_path):
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@contextmanager
def served(data, state, *options):
    """A server process; yields its URL and the process."""
    log = state.with_name("server.log")
    with log.open("w") as file:
        command = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "serve"]
        process = subprocess.Popen(
            [*command, "--data", data, "--state", state, "--port", "0", *options],
            stderr=file,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        until(lambda: re.search(r"http://\S+", log.read_text()) or process.poll() is not None)
        url = re.search(r"http://\S+", log.read_text())
        assert url, log.read_text()
        yield url[0], process
    finally:
        process.kill()
        process.wait()


def started(url, graph):
    created = requests.post(f"{url}/jobs", json={"process": graph}, timeout=30)
    assert created.status_code == 201, created.text
    job = created.headers["OpenEO-Identifier"]
    assert requests.post(f"{url}/jobs/{job}/results", timeout=30).status_code == 202
    return job


def status(url, job):
    return requests.get(f"{url}/jobs/{job}", timeout=30).json()["status"]


def messages(url, job):
    return [entry["message"] for entry in requests.get(f"{url}/jobs/{job}/logs", timeout=30).json()["logs"]]


@pytest.mark.parametrize(
    ("how", "options"),
    [
        (signal.SIGKILL, []),
        pytest.param(signal.SIGTERM, [], marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, ["--workers", "2"], marks=pytest.mark.slow),
    ],
    ids=["killed", "stopped", "killed with workers"],
)
def test_a_job_goes_on_where_its_server_was_ended(folder, calls, tmp_path, how, options):
    state, graph = tmp_path / "state", traced(calls, WAITS)
    with served(folder, state, *options) as (url, process):
        job = started(url, graph)
        tiles = state / "jobs" / job / "tiles"
        # With two workers the one behind the tile that waits is done, too.
        done = WAITING + (1 if options else 0)
        # The tile behind the one that waits may take its turn first.
        until(lambda: len(counts(calls)) > len(list(tiles.glob("*/*.tile"))) >= done)
        process.send_signal(how)
        process.wait(30)
    finished = len(list(tiles.glob("*/*.tile")))
    assert finished >= done
    (calls / ".go").touch()
    before = {path.name: path.stat().st_size for path in calls.iterdir() if path.name[0] != "."}

    with served(folder, state, *options) as (url, _):
        until(lambda: status(url, job) in ("finished", "error"))
        said = messages(url, job)
        assert status(url, job) == "finished", said
        assert f"{finished} of {TILES} tiles are there from an earlier attempt and not computed again" in said
        results = requests.get(f"{url}/jobs/{job}/results", timeout=30).json()
        (asset,) = results["assets"].values()
        (tmp_path / "got.nc").write_bytes(requests.get(asset["href"], timeout=30).content)

    after = {path.name: path.stat().st_size for path in calls.iterdir() if path.name[0] != "."}
    assert len(after) == TILES
    assert sum(after.values()) - sum(before.values()) == TILES - finished
    assert not tiles.exists()
    executor.run(graph, workspace(folder), tmp_path / "whole.nc", format="nc")
    with xr.open_dataset(tmp_path / "got.nc") as got, xr.open_dataset(tmp_path / "whole.nc") as whole:
        xr.testing.assert_identical(got, whole)
