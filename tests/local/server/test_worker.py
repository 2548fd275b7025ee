"""What the worker makes of clusters that come and go."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from openeo_udf_fusion.errors import ClusterUnavailable, NoWorkers, WorkersLost
from openeo_udf_fusion.local import executor as local_executor
from openeo_udf_fusion.local.executor import RunResult
from openeo_udf_fusion.local.server import worker as worker_module
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
def hired(tmp_path, monkeypatch):
    """A store of jobs, and a worker for an executor that has begun to work."""
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_S", 0.01)
    workers = []

    def hire(executor):
        jobs = JobStore(tmp_path / "jobs")
        worker = Worker(jobs, executor, lambda owner: None, tmp_path / "scratch")
        workers.append(worker)
        worker.start()
        return jobs, worker

    yield hire
    for worker in workers:
        worker.stop()


@pytest.fixture
def work(hired):
    """Run one job to its end; returns it."""

    def run(executor):
        jobs, worker = hired(executor)
        job = jobs.create({"process": {}}, "ada")
        worker.queue(job.id)
        until(lambda: jobs.get(job.id).status in ("finished", "error"))
        until(lambda: not jobs.tiles_folder(job.id).exists())
        return jobs.get(job.id)

    return run


def gone(*, began):
    error = ClusterUnavailable("gone")
    error.began = began
    return error


def test_a_lost_scheduler_costs_no_finished_tile(work):
    executor = Failing(gone(began=True), times=1)
    assert work(executor).status == "finished"
    assert executor.found == [False, True]


def test_a_job_over_which_two_schedulers_went_away_is_an_error(work):
    executor = Failing(gone(began=True), times=9)
    job = work(executor)
    assert job.status == "error"
    assert "2 times" in job.last_error["message"]
    assert len(executor.found) == 2


def test_an_attempt_that_began_no_tile_counts_for_nothing(work):
    executor = Failing(gone(began=False), times=9)
    job = work(executor)
    assert (job.status, job.interruptions) == ("finished", 0)
    assert len(executor.found) == 10


def test_nobody_waits_twice_for_workers_that_do_not_come(work):
    executor = Failing(NoWorkers("no worker with FPGA=1"), times=9)
    assert work(executor).last_error["code"] == "InfrastructureBusy"
    assert len(executor.found) == 1


def logged(jobs, job_id):
    return jobs.log_file(job_id).read_text()


def test_jobs_stay_queued_while_the_scheduler_is_away_and_are_told_why(hired):
    executor = Failing(gone(began=False), times=10**9)
    jobs, worker = hired(executor)
    first, second = (jobs.create({"process": {}}, "ada").id for _ in range(2))
    worker.queue(first)
    until(lambda: len(executor.found) > 3)
    worker.queue(second)
    until(lambda: len(executor.found) > 6)
    assert worker.away_s() > 0
    assert {jobs.get(first).status, jobs.get(second).status} <= {"queued", "running"}
    for job in (first, second):
        assert logged(jobs, job).count("the job waits until the scheduler is back: gone") == 1
    jobs.cancel(first)  # or it would be the first for ever
    executor.times = 0
    until(lambda: jobs.get(second).status == "finished")
    assert worker.away_s() is None


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


def test_the_side_of_tiles_reaches_the_executor(monkeypatch):
    given = []
    monkeypatch.setattr(local_executor, "run", lambda *_, **options: given.append(options))
    with Scaled(None, tile_px=64) as scaled:
        scaled.run({}, None, None)
    assert (given[0]["tile_px"], given[0]["cluster"]) == (64, None)
