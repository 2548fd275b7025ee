import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import xarray as xr

import openeo_udf_fusion
from openeo_udf_fusion.bench.dask_cluster import dask_cluster
from openeo_udf_fusion.bench.memory import MIB, high_water
from openeo_udf_fusion.errors import (
    Cancelled,
    ClusterUnavailable,
    InvalidParameter,
    UdfFailed,
    WorkerMismatch,
    WorkersLost,
)
from openeo_udf_fusion.local import cluster as clusters
from openeo_udf_fusion.local import executor, tile_worker
from openeo_udf_fusion.local.cluster import connected, local_workers, parse_resources
from openeo_udf_fusion.local.ledger import Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.local.tiles import ahead
from openeo_udf_fusion.local.tiling import FIRST
from openeo_udf_fusion.local.udf.confinement import Confinement
from tests.local.clusters import counts, run, same_bytes, traced, until
from tests.local.graphs import callback, given, load, make_cube, node, of, process, store, workspace

MEAN = callback(m=node("mean", data=given("data")))

KILLS_ITS_WORKER_ONCE = (
    "import os, signal\n"
    "if place.endswith('_500125') and not os.path.exists(calls + '.killed'):\n"
    "    open(calls + '.killed', 'w').close()\n"
    "    os.kill(os.getppid(), signal.SIGKILL)\n"
    "    signal.pause()"
)
KILLS_EVERY_WORKER = KILLS_ITS_WORKER_ONCE.replace("and not os.path.exists(calls + '.killed')", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store(make_cube(), folder, "demo")
    return folder


@pytest.fixture(scope="module")
def two():
    """Two workers on this machine, for all tests that leave them alive or revive them."""
    with local_workers(2) as two:
        yield two


@pytest.fixture
def calls(tmp_path):
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


# --- what workers compute


def test_workers_write_what_threads_write(two, folder, calls, tmp_path):
    graph = traced(calls)
    for suffix in ("nc", "zarr", "tif", "parquet"):
        here = run(graph, folder, tmp_path / "here" / f"r.{suffix}", tile_px=9)
        there = run(graph, folder, tmp_path / "there" / f"r.{suffix}", tile_px=9, cluster=two)
        assert [file.name for file in there.files] == [file.name for file in here.files]
        for one, other in zip(here.files, there.files, strict=True):
            assert same_bytes(one, other), one.name
        assert {**there.metadata, "tiles": None} == {**here.metadata, "tiles": None}
        assert sum(there.metadata["tiles"]["by_worker"].values()) == 4
    assert sorted(path.suffix for path in (tmp_path / "there").iterdir()) == [
        *[".nc", ".parquet"],
        *[".tif"] * 4,
        ".zarr",
    ]


def test_what_udfs_say_comes_back(two, folder, calls, tmp_path):
    log = []
    run(traced(calls), folder, tmp_path / "r.nc", cluster=two, log=log.append)
    assert sum(entry.message.startswith("computes ") for entry in log) == 9
    assert "2 worker processes on this machine; any worker will do" in log[0].message


def test_the_error_of_a_udf_comes_back_with_its_traceback(two, folder, calls, tmp_path):
    graph = traced(calls, "if place.endswith('_500125'): raise ValueError('no such colour')")
    with pytest.raises(UdfFailed, match=r"Traceback[\s\S]*no such colour"):
        run(graph, folder, tmp_path / "r.nc", cluster=two)
    assert [path.name for path in tmp_path.iterdir()] == ["calls"]


def test_a_killed_worker_costs_its_tile_alone(two, folder, calls, tmp_path):
    result = run(traced(calls, KILLS_ITS_WORKER_ONCE), folder, tmp_path / "r.nc", cluster=two)
    assert (calls / ".killed").exists()
    assert counts(calls) == [1] * 8 + [2]
    with xr.open_dataset(result.files[0]) as found, xr.open_dataset(folder / "demo.nc") as data:
        xr.testing.assert_allclose(
            found["red"].drop_vars(found["red"].coords), 2 * data["red"].drop_vars(data["red"].coords)
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tile_that_kills_every_worker_is_given_up(two, folder, calls, tmp_path):
    with pytest.raises(WorkersLost, match="3 workers died"):
        run(traced(calls, KILLS_EVERY_WORKER), folder, tmp_path / "r.nc", cluster=two)
    assert max(counts(calls)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["calls"]


def test_a_cancelled_run_frees_its_workers(two, folder, calls, tmp_path):
    hangs = "if place.endswith('_500125'):\n    import time\n    time.sleep(600)"
    with pytest.raises(Cancelled):
        run(
            traced(calls, hangs),
            folder,
            tmp_path / "r.nc",
            cluster=two,
            cancelled=lambda: any(path.name.endswith("_500125") for path in calls.iterdir()),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["calls"]
    done = sum(counts(calls))
    run(traced(calls), folder, tmp_path / "r.nc", cluster=two)  # hanging workers would never let it end
    assert sum(counts(calls)) == done + 9


def test_a_graph_that_is_not_local_runs_here_and_says_so(two, folder, tmp_path):
    log = []
    graph = process(a=load("demo"), b=node("resample_spatial", data=of("a"), resolution=20, method="cubic"))
    run(graph, folder, tmp_path / "r.nc", cluster=two, log=log.append)
    assert any("in this process, not on the workers" in entry.message for entry in log)


def test_the_connection_of_workers_on_this_machine_is_encrypted(two):
    assert all(address.startswith("tls://127.0.0.1") for address in two.workers())


# --- which workers


MODEL = "\n# a model\nimport openeo_udf_fusion"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A scheduler elsewhere with one worker that has a GPU, as it says, and one that has none."""
    folder = tmp_path_factory.mktemp("dask")
    options = [["--resources", "GPU=1", "--name", "with"], ["--name", "without"]]
    with dask_cluster(folder, options) as (address, _), connected(address) as mixed:
        until(lambda: len(mixed.workers()) == 2)
        yield mixed, address


def test_tiles_of_a_model_run_where_the_gpu_is(mixed, folder, calls, tmp_path):
    cluster, _ = mixed
    (having,) = [address for address, about in cluster.workers().items() if about["name"] == "with"]
    log = []
    graph = traced(calls)
    udf = graph["process_graph"]["b"]["arguments"]["process"]["process_graph"]["udf"]["arguments"]
    udf["udf"] = "import openeo_udf_fusion\n" + udf["udf"]
    result = run(graph, folder, tmp_path / "r.nc", cluster=cluster, log=log.append)
    assert result.metadata["tiles"]["by_worker"] == {f"worker {having}": 9}
    assert "workers need GPU=1: 1 of 2 have it" in log[0].message


def test_without_a_model_any_worker_will_do(mixed, folder, calls):
    cluster, address = mixed
    graph = traced(calls)["process_graph"]
    assert cluster.resources_for(graph)[0] == {}
    with connected(address, {"GPU": 2}) as asking:
        assert asking.resources_for(graph) == ({"GPU": 2}, "workers need GPU=2, as was asked for")


def test_how_many_tiles_are_under_way_follows_the_workers(monkeypatch):
    """A cluster that grows gets more, from the next tile that is taken on."""
    threads, submitted = [1], []

    class Pool:
        def submit(self, function, item):
            submitted.append(item)
            return self

        def result(self):
            return None

        def cancel(self):
            return None

    cluster = clusters.Cluster(None, "somewhere")
    monkeypatch.setattr(cluster, "workers", lambda: {"one": {"nthreads": threads[0]}})
    taken = ahead(Pool(), None, range(1000), cluster.look_ahead)
    assert len(submitted) == 16
    threads[0] = 100
    for _ in range(2):
        next(taken)
    assert len(submitted) == 1 + 400


def test_waiting_for_a_worker_that_does_not_come_ends(mixed, folder, calls, tmp_path, monkeypatch):
    _, address = mixed
    monkeypatch.setattr(clusters, "LOOK_S", 0.0)
    monkeypatch.setattr(clusters, "PATIENCE_S", 0.2)
    log = []
    with connected(address, {"FPGA": 1}) as asking, pytest.raises(ClusterUnavailable, match="FPGA=1"):
        run(traced(calls), folder, tmp_path / "r.nc", cluster=asking, log=log.append)
    assert any("waiting for one" in entry.message for entry in log)


def test_where_nothing_listens_there_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(ClusterUnavailable, match="no dask scheduler answers"), connected("tcp://127.0.0.1:9"):
        pass


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_that_are_told_to_end_are_not_held_against_a_tile(folder, calls, tmp_path):
    """More of them than may die over a tile; the last one computes it."""
    ended = tile_worker.RETRIES + 1
    waits = (
        "import os, time\n"
        "deadline = time.monotonic() + 120\n"
        f"while os.path.getsize(calls + place) <= {ended} and time.monotonic() < deadline:\n"
        "    time.sleep(0.05)"
    )
    with (
        dask_cluster(tmp_path, [[]] * (ended + 1)) as (address, processes),
        connected(address) as cluster,
        ThreadPoolExecutor(1) as pool,
    ):
        until(lambda: len(cluster.workers()) == ended + 1)
        done = pool.submit(run, traced(calls, waits), folder, tmp_path / "r.nc", tile_px=100, cluster=cluster)
        _end_who_computes(processes[1:], calls, ended, done)
        assert done.result().metadata["tiles"]["total"] == 1
    assert counts(calls) == [ended + 1]


def _end_who_computes(workers, calls, times, done):
    left = list(workers)
    for begun in range(1, times + 1):
        until(lambda begun=begun: sum(counts(calls)) == begun or done.done(), 120)
        assert not done.done(), done.exception()
        # The one below which the UDF runs; a worker that was told to end still waits for its own.
        (busy,) = [worker for worker in left if psutil.Process(worker.pid).children(recursive=True)]
        busy.send_signal(signal.SIGTERM)
        left.remove(busy)


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_an_error_not_a_hang(folder, calls, tmp_path):
    def kill(progress):
        os.kill(processes[0].pid, signal.SIGKILL)

    with (
        dask_cluster(tmp_path, [[]]) as (address, processes),
        connected(address) as cluster,
        pytest.raises(ClusterUnavailable),
    ):
        run(traced(calls), folder, tmp_path / "r.nc", cluster=cluster, progress=kill)
    assert not (tmp_path / "r.nc").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto", None), ("none", {}), ("GPU=1", {"GPU": 1.0}), ("GPU=1, MEM=2e9", {"GPU": 1.0, "MEM": 2e9})],
)
def test_resources_are_read(text, expected):
    assert parse_resources(text) == expected


@pytest.mark.parametrize("text", ["GPU", "GPU=", "=1", "GPU=-1", "GPU=0", "GPU=one"])
def test_nonsense_for_resources_is_refused(text):
    with pytest.raises(InvalidParameter, match="NAME=AMOUNT"):
        parse_resources(text)


def test_no_workers_are_refused():
    with pytest.raises(InvalidParameter, match="1 or more"), local_workers(0):
        pass


# --- what a worker makes sure of (in this process)


@pytest.fixture
def noted(folder, calls, tmp_path):
    """A ledger, and what an attempt at a run notes in it."""
    tiles = TileFolder(tmp_path / "ledger")
    ledger = tiles.open("1" * 64)
    graph = executor.prepare(traced(calls), workspace(folder)).graph
    yield ledger, tile_worker.spec(graph, folder, 6, "ada", Confinement())
    tiles.close()


def ask(ledger, token, box=FIRST):
    return tile_worker.compute((str(ledger.folder), token, (box.y0, box.y1, box.x0, box.x1)))


def test_a_worker_opens_the_sources_of_a_run_once(noted, monkeypatch):
    ledger, spec = noted
    opened = []
    plain = tile_worker.Execution

    def counted(*arguments):
        opened.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(tile_worker, "Execution", counted)
    token = ledger.begin_attempt(spec)
    assert ask(ledger, token).receipt.box == Box(0, 6, 0, 6)
    for box in (Box(0, 6, 6, 12), Box(6, 12, 0, 6)):
        assert ask(ledger, token, box).error is None
    assert ledger.finished() == {(0, 0), (0, 6), (6, 0)}
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"version": "0.0.1"},
            f"has openeo-udf-fusion {openeo_udf_fusion.__version__}, the client has 0.0.1",
        ),
        ({"code": "of another build"}, "other code"),
        ({"weights": {"satfusenet": ["of another build"]}}, "other weights"),
        ({"data": "/nowhere/at/all"}, "no folder /nowhere/at/all"),
        ({"seen": "other files"}, "sees other files"),
    ],
)
def test_a_worker_refuses_what_is_not_the_same(noted, change, message):
    ledger, spec = noted
    error = ask(ledger, ledger.begin_attempt({**spec, **change})).error
    assert isinstance(error, WorkerMismatch)
    assert message in str(error)


def test_a_worker_looks_again_for_a_note_that_it_does_not_see_yet(noted, monkeypatch):
    """As on a network file system, which remembers for a while that a file was not there."""
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    note = ledger.folder / f"attempt-{token}.json"
    hidden = note.rename(ledger.folder.parent.parent / "hidden")
    looks = []

    def pause(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            hidden.rename(note)

    monkeypatch.setattr(tile_worker.time, "sleep", pause)
    assert ask(ledger, token).error is None
    assert len(looks) == 3


def test_a_worker_refuses_a_note_in_a_folder_that_others_can_write_to(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ledger.folder.parent.chmod(0o777)
    error = ask(ledger, token).error
    assert isinstance(error, WorkerMismatch)
    assert "can be written to by others" in str(error)


def test_a_worker_that_leaves_is_no_mark_against_its_tile(noted, monkeypatch):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ask(ledger, token)
    begun = []

    def compute(tiling, box):
        assert ledger.has_begun(token)
        tile_worker.leave()
        begun.append(ledger.has_begun(token))
        raise Cancelled("enough")

    monkeypatch.setattr(tile_worker.Tiling, "compute", compute)
    ask(ledger, token, Box(6, 12, 6, 12))
    assert begun == [False]


def test_a_worker_that_does_not_see_the_ledger_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tile_worker, "NOTE_PATIENCE_S", 0.0)
    error = ask(Ledger(tmp_path / "elsewhere"), "token").error
    assert isinstance(error, WorkerMismatch)
    assert "a file system that the client and all workers mount" in str(error)


def test_a_worker_whose_client_is_gone_stops(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ledger.end_attempt(token)
    assert isinstance(ask(ledger, token).error, Cancelled)


def test_a_tile_that_processes_died_over_is_given_up_after_its_retries(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ask(ledger, token)
    box = Box(6, 12, 6, 12)
    for _ in range(tile_worker.RETRIES + 1):
        ledger.begin_tile(box, token)
    error = ask(ledger, token, box).error
    assert isinstance(error, WorkersLost)
    assert "row 6, column 6" in str(error)
    # Another tile is none the worse for it.
    assert ask(ledger, token, Box(6, 12, 0, 6)).error is None


# --- memory


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_of_nobody_grows_with_the_area(tmp_path):
    """Client, scheduler and workers, each in fresh processes for each area."""
    peaks = {}
    for side in (512, 1024):
        folder = tmp_path / str(side)
        (folder / "data").mkdir(parents=True)
        store(make_cube(side, side, dates=12), folder / "data", "demo")
        month = node("aggregate_temporal_period", data=of("a"), period="month", reducer=MEAN)
        graph = process(a=load("demo"), month=month)
        (folder / "process.json").write_text(json.dumps(graph | {"id": "month", "parameters": []}))
        with dask_cluster(folder, [[], []]) as (address, processes):
            command = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "run", folder / "process.json"]
            where = ["--data", folder / "data", "-o", folder / "out.zarr", "--scheduler", address]
            client = subprocess.Popen([*map(str, command), *map(str, where), "--tile-px", "128"])
            watched = [*processes, client]
            peaks[side] = [0.0] * len(watched)
            while client.poll() is None:
                now = [high_water(psutil.Process(one.pid)) / MIB for one in watched]
                peaks[side] = [max(pair) for pair in zip(peaks[side], now, strict=True)]
                time.sleep(0.02)
            assert client.returncode == 0
    # Four times the area is 144 MiB more of input.
    for small, large in zip(peaks[512], peaks[1024], strict=True):
        assert large < small + 40, f"MiB of scheduler, workers, client for 512 and 1024 px a side: {peaks}"
