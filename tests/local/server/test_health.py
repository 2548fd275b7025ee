"""Health: alive, ready, and why not."""

import shutil
import threading
from types import SimpleNamespace

import pytest

from openeo_udf_fusion.local.server import health as module
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.health import KEPT_S, LEAST_FREE_BYTES, Health
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.serving import running
from openeo_udf_fusion.local.server.settings import Settings
from tests.local.server.conftest import Client, StagedExecutor, until


@pytest.fixture
def seen(tmp_path):
    """A server's health; `alive` and `clock` are the test's."""
    jobs = JobStore(tmp_path / "jobs")
    it = SimpleNamespace(alive=True, now=0.0, jobs=jobs, state=tmp_path)
    it.quota = quota = DiskQuota(tmp_path, jobs, total_bytes=10**9, clock=lambda: it.now)
    it.health = Health(tmp_path, jobs, quota, lambda: it.alive, lambda: it.now)
    return it


def test_a_server_that_can_work_says_how_much_there_is(client):
    job = client.create("wait")
    client.start(job)
    waiting = client.create("one")
    client.start(waiting)
    client.wait(job, "running")
    until(lambda: client("GET", "/health").json()["jobs"] == {"queued": 1, "running": 1})
    answer = client("GET", "/health")
    assert answer.status_code == 200
    found = answer.json()
    assert found["status"] == "ok"
    assert found["uptime_s"] > 0
    assert found["disk"]["free_bytes"] > 0
    until(lambda: client("GET", "/health").json()["disk"]["used_bytes"])
    assert job not in answer.text
    assert str(client.state) not in answer.text


def test_anybody_may_ask_and_learns_no_name(shared_guarded):
    for path in ("/health", "/health/live"):
        answer = shared_guarded("GET", path)
        assert answer.status_code == 200
        assert "ada" not in answer.text


def test_a_dead_worker_is_told_by_both(seen):
    seen.alive = False
    assert seen.health.ready()["problems"] == seen.health.live()["problems"] == ["the job worker has died"]


def test_a_scheduler_that_is_away_is_told_and_is_no_problem_of_the_server(tmp_path):
    away = [None, 12.34]
    jobs = JobStore(tmp_path / "jobs")
    quota = DiskQuota(tmp_path, jobs)
    health = Health(tmp_path, jobs, quota, lambda: True, lambda: -10 * len(away), away.pop)
    assert health.ready()["scheduler"] == {"away": True, "away_s": 12.3}
    answer = health.ready()
    assert answer["scheduler"] == {"away": False, "away_s": None}
    assert answer["status"] == "ok"


def test_a_full_disk_takes_no_work_but_needs_no_new_start(seen, monkeypatch):
    usage = SimpleNamespace(free=LEAST_FREE_BYTES - 1)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    assert seen.health.ready()["problems"] == ["the disk is full"]
    assert seen.health.live()["status"] == "ok"
    usage.free += 1
    seen.now = 10
    assert seen.health.ready()["status"] == "ok"


def test_a_state_folder_that_is_gone_is_told(seen):
    shutil.rmtree(seen.state)
    seen.state.write_text("a file where the folder was")
    assert seen.health.ready()["problems"] == ["the state folder cannot be written to"]


def test_the_disk_is_not_looked_at_for_everybody_who_asks(seen):
    until(lambda: seen.quota.last_used() is not None)
    seen.now = KEPT_S
    assert seen.health.ready()["disk"]["used_bytes"] < 20_000
    (seen.state / "file").write_bytes(bytes(100_000))
    seen.now = 2 * KEPT_S
    assert seen.health.ready()["disk"]["used_bytes"] < 20_000
    seen.now = 100

    def told():
        seen.now += KEPT_S
        return seen.health.ready()["disk"]["used_bytes"]

    until(lambda: told() >= 100_000)


def test_nobody_waits_for_a_walk_over_the_disk(seen, monkeypatch):
    """However large the state folder is, and however many ask: one walk at a time, in the background."""
    walk, walks = threading.Event(), []

    def used():
        walks.append(threading.current_thread())
        walk.wait()
        return 42

    until(lambda: seen.quota.last_used() is not None)
    monkeypatch.setattr(seen.quota, "used", used)
    for seen.now in range(100, 200, 10):
        assert seen.health.ready()["disk"]["used_bytes"] < 20_000
    until(lambda: walks)
    walk.set()
    until(lambda: seen.quota.last_used() == 42)
    assert len(walks) == 1
    assert threading.main_thread() not in walks


def test_one_looks_and_the_others_get_the_last_answer(seen, monkeypatch):
    before = seen.health.ready()
    look, looks = threading.Event(), []

    def slow():
        looks.append(1)
        look.wait()
        return {"status": "ok", "problems": [], "late": True}

    monkeypatch.setattr(seen.health, "_look", slow)
    seen.now = 10
    first = threading.Thread(target=seen.health.ready)
    first.start()
    until(lambda: looks)
    assert [seen.health.ready() for _ in range(3)] == [before] * 3
    look.set()
    first.join()
    assert seen.health.ready()["late"]
    assert looks == [1]


class Hopeless(StagedExecutor):
    def run(self, *args, **kwargs):
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_whose_worker_died_answers_503(data, tmp_path):
    with running(create_app(Settings(data, tmp_path / "state"), executor=Hopeless())) as url:
        client = Client(url, tmp_path, StagedExecutor())
        client.start(client.create("one"))
        until(lambda: client("GET", "/health/live").status_code == 503)
        assert client("GET", "/health/live").json()["status"] == "unavailable"
