"""What the worker makes of clusters that come and go."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from openeo_udf_fusion.errors import ClusterUnavailable, WorkersLost
from openeo_udf_fusion.local import executor as local_executor
from openeo_udf_fusion.local.executor import RunResult
from openeo_udf_fusion.local.server.executors import Scaled
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.worker import Worker
from tests.local.clusters import until


@dataclass
class Failing:
    """Fails so many times, then writes a result; keeps a tile first, as the real one does."""

    error: Exception
    times: int
    found: list = field(default_factory=list)

    def run(self, process, workspace, output, *, tiles, **_):
        self.found.append(tiles.exists())
        tiles.mkdir(exist_ok=True)
        if len(self.found) <= self.times:
            raise self.error
        (output / "result.nc").write_bytes(b"CDF")
        return RunResult([output / "result.nc"], {})


@pytest.fixture
def work(tmp_path):
    """Run one job to its end; returns it and the store."""
    workers = []

    def run(executor):
        jobs = JobStore(tmp_path / "jobs")
        worker = Worker(jobs, executor, lambda owner: None, tmp_path / "scratch")
        workers.append(worker)
        worker.start()
        job = jobs.create({"process": {}}, "ada")
        worker.queue(job.id)
        until(lambda: jobs.get(job.id).status in ("finished", "error"))
        until(lambda: not jobs.tiles_folder(job.id).exists())
        return jobs.get(job.id)

    yield run
    for worker in workers:
        worker.stop()


def test_a_lost_scheduler_costs_no_finished_tile(work):
    executor = Failing(ClusterUnavailable("gone"), times=1)
    assert work(executor).status == "finished"
    assert executor.found == [False, True]


def test_a_scheduler_that_stays_away_is_an_error(work):
    executor = Failing(ClusterUnavailable("gone"), times=9)
    job = work(executor)
    assert job.status == "error"
    assert "2 times" in job.last_error["message"]
    assert len(executor.found) == 2


def test_a_poisonous_tile_is_not_tried_again(work):
    executor = Failing(WorkersLost("the tile at row 0, column 0 is given up"), times=1)
    assert work(executor).status == "error"
    assert len(executor.found) == 1


@dataclass
class FakeCluster:
    alive: bool = True


def test_a_cluster_is_opened_again_when_it_was_lost(monkeypatch):
    opened, closed, used = [], [], []

    @contextmanager
    def open_cluster():
        opened.append(FakeCluster())
        yield opened[-1]
        closed.append(opened[-1])

    monkeypatch.setattr(local_executor, "run", lambda *_, cluster, **__: used.append(cluster))
    with Scaled(open_cluster) as scaled:
        assert len(opened) == 1  # a wrong address shows when the server starts
        scaled.run({}, None, None)
        scaled.run({}, None, None)
        opened[0].alive = False
        scaled.run({}, None, None)
    assert [opened.index(cluster) for cluster in used] == [0, 0, 1]
    assert closed == opened
