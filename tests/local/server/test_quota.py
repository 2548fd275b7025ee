"""Disks that fill: the job or request fails with advice, nothing half-written stays, the server goes on."""

import errno
import os
import subprocess

import pytest

from openeo_udf_fusion.local.executor import Progress, RunResult
from openeo_udf_fusion.local.server import quota as module
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.errors import StorageQuotaExceeded
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.quota import CHECK_S, DiskQuota, size_of
from openeo_udf_fusion.local.server.serving import running
from openeo_udf_fusion.local.server.settings import Settings
from tests.local.server.conftest import METADATA, Client, StagedExecutor

MB = 10**6
TILE = MB


class Growing(StagedExecutor):
    """Writes a megabyte a tile: `one` ten of them, `large` a thousand; `full` meets a full disk."""

    tiles_written = 0

    def run(self, process, workspace, output, *, progress=None, log=None, cancelled=None, **options):
        (node,) = process["process_graph"].values()
        count = 1000 if node["process_id"] == "large" else 10
        self.tiles_written = 0
        with (output / "result.nc").open("wb") as file:
            for tile in range(count):
                file.write(bytes(TILE))
                file.flush()
                self.tiles_written += 1
                if node["process_id"] == "full":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(output))
                progress(Progress(tile + 1, count, 1.0))
        return RunResult([output / "result.nc"], METADATA)


@pytest.fixture
def serve(data, tmp_path, monkeypatch):
    # Looks are a second apart; here every tile is looked at.
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    monkeypatch.setattr(module, "_SHARE", 0)
    executor = Growing()

    def start(**settings):
        return running(create_app(Settings(data, tmp_path / "state", **settings), executor=executor))

    start.client = lambda url: Client(url, tmp_path / "state", executor)
    return start


@pytest.mark.parametrize("quota", ["disk_quota_bytes", "user_quota_bytes"])
def test_a_job_beyond_the_quota_ends_while_it_writes(serve, quota):
    with serve(**{quota: 30 * MB}) as url:
        client = serve.client(url)
        kept = client.run("one")
        job = client.run("large")
        assert client("GET", f"/jobs/{job}").json()["status"] == "error"
        last = client("GET", f"/jobs/{job}/logs").json()["logs"][-1]
        assert last["code"] == "StorageQuotaExceeded"
        assert "30.0 MB are granted" in last["message"]
        assert f"{kept} (10.0 MB)" in last["message"]
        assert client.executor.tiles_written < 25
        assert {path.name for path in (client.state / "jobs" / job).iterdir()} == {"job.json", "logs.jsonl"}
        assert not list((client.state / "scratch").iterdir())
        # What was there is untouched, and deleting it makes room.
        assert client("GET", f"/jobs/{kept}/results").status_code == 200
        client("DELETE", f"/jobs/{kept}")
        assert client("GET", f"/jobs/{client.run('one')}").json()["status"] == "finished"


def test_a_synchronous_result_beyond_the_quota_is_refused(serve, graph):
    with serve(disk_quota_bytes=5 * MB) as url:
        client = serve.client(url)
        answer = client("POST", "/result", json={"process": graph("large")})
        assert (answer.status_code, answer.json()["code"]) == (400, "StorageQuotaExceeded")
        assert client.executor.tiles_written <= 6
        assert not list((client.state / "scratch").iterdir())
        assert client("GET", "/health").status_code == 200


def test_a_user_beyond_the_quota_creates_no_job(serve, graph):
    with serve(user_quota_bytes=12 * MB) as url:
        client = serve.client(url)
        client.run("one")
        answer = client("POST", "/jobs", json={"process": {**graph("one"), "description": "x" * 3 * MB}})
        assert answer.status_code == 201  # what it holds counts from now on
        answer = client("POST", "/jobs", json={"process": graph("one")})
        assert (answer.status_code, answer.json()["code"]) == (400, "StorageQuotaExceeded")


def test_a_user_beyond_the_quota_changes_no_job_and_stores_no_process(serve, graph):
    with serve(user_quota_bytes=12 * MB) as url:
        client = serve.client(url)
        client.run("one")
        kept = client.create("one")
        assert client("PATCH", f"/jobs/{kept}", json={"description": "x" * 3 * MB}).status_code == 204
        for method, path, body in (
            ("PATCH", f"/jobs/{kept}", {"description": "y" * 3 * MB}),
            ("PUT", "/process_graphs/mine", graph("one")),
        ):
            answer = client(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "StorageQuotaExceeded"), path
        assert client("GET", f"/jobs/{kept}").json()["description"][0] == "x"
        assert client("GET", "/process_graphs").json()["processes"] == []


class Pausing(StagedExecutor):
    """`wait` writes 6 MB, pauses until the gate is open, and writes 6 more; others write 12 at once."""

    def run(self, process, workspace, output, *, progress=None, cancelled=None, **options):
        (node,) = process["process_graph"].values()
        with (output / "result.nc").open("wb") as file:
            for tile in range(12):
                if node["process_id"] == "wait" and tile == 6:
                    self.runs.append("wait")
                    self.gate.wait(20)
                file.write(bytes(TILE))
                file.flush()
                progress(Progress(tile + 1, 12, 1.0))
        return RunResult([output / "result.nc"], METADATA)


@pytest.mark.parametrize("quota", ["disk_quota_bytes", "user_quota_bytes"])
def test_runs_at_the_same_time_count_together(data, tmp_path, monkeypatch, graph, quota):
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    monkeypatch.setattr(module, "_SHARE", 0)
    executor = Pausing()
    app = create_app(Settings(data, tmp_path / "state", **{quota: 15 * MB}), executor=executor)
    with running(app) as url:
        client = Client(url, tmp_path / "state", executor)
        job = client.create("wait")
        client.start(job)
        client.until(lambda: executor.runs)
        answer = client("POST", "/result", json={"process": graph("one")})
        assert (answer.status_code, answer.json()["code"]) == (400, "StorageQuotaExceeded")
        executor.gate.set()
        assert client.wait(job, "finished", "error")["status"] == "finished"


def test_what_a_finished_job_takes_is_looked_at_once(tmp_path, monkeypatch):
    jobs, looked = JobStore(tmp_path / "jobs"), []
    quota, job = DiskQuota(tmp_path, jobs), jobs.create({"process": {}}, "ada")
    for run in (1, 2):
        jobs.queue(job.id)
        jobs.begin(job.id)
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "result.nc").write_bytes(bytes(run * MB))
        jobs.tiles_folder(job.id).mkdir()
        (jobs.tiles_folder(job.id) / "tile").write_bytes(bytes(5 * MB))
        jobs.finish(job.id, run, tmp_path / "files", {}, 1.0)
        assert quota.used_by("ada") > 5 * MB  # the tiles are still there
        jobs.drop_tiles(job.id, run)
        for used in (quota.used(), quota.used_by("ada")):
            assert run * MB <= used < run * MB + 50_000
        monkeypatch.setattr(module, "size_of", looked.append)
        assert quota.used_by("ada") >= run * MB
        assert looked == []
        monkeypatch.undo()


def test_a_full_disk_costs_the_job_alone(serve, graph):
    with serve() as url:
        client = serve.client(url)
        job = client.run("full")
        assert client("GET", f"/jobs/{job}").json()["status"] == "error"
        last = client("GET", f"/jobs/{job}/logs").json()["logs"][-1]
        assert last["code"] == "StorageFailure"
        assert "disk of the server is full" in last["message"]
        assert not list((client.state / "scratch").iterdir())
        assert client("GET", f"/jobs/{client.run('one')}").json()["status"] == "finished"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, where this machine lets us make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here (needs root on Linux)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_really_full(data, small_disk, graph):
    executor = Growing()
    with running(create_app(Settings(data, small_disk / "state"), executor=executor)) as url:
        client = Client(url, small_disk / "state", executor)
        job = client.run("one")
        assert client("GET", f"/jobs/{job}").json()["status"] == "error"
        assert client("GET", f"/jobs/{job}/logs").json()["logs"][-1]["code"] == "StorageFailure"
        assert not list((client.state / "scratch").iterdir())
        answer = client("POST", "/result", json={"process": graph("one")})
        assert (answer.status_code, answer.json()["code"]) == (500, "StorageFailure")
        health = client("GET", "/health")
        assert (health.status_code, health.json()["problems"]) == (503, ["the disk is full"])
        assert client("GET", "/health/live").status_code == 200


def test_sizes_add_up_and_users_are_told_apart(tmp_path):
    jobs = JobStore(tmp_path / "jobs")
    ada, bob = (jobs.create({"process": {}}, name) for name in ("ada", "bob"))
    for job, size in ((ada, 3 * MB), (bob, MB)):
        folder = jobs.results_folder(job.id) / "deep" / "er"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(size))
    (folder / "link").symlink_to("/")
    quota = DiskQuota(tmp_path, jobs, user_bytes=2 * MB)
    assert 3 * MB <= quota.used_by("ada") < 3.1 * MB
    assert MB <= quota.used_by("bob") < 1.1 * MB
    assert quota.used() >= quota.used_by("ada") + quota.used_by("bob")
    quota.require_room("bob")
    with pytest.raises(StorageQuotaExceeded, match=ada.id) as refused:
        quota.require_room("ada")
    assert bob.id not in str(refused.value)


def test_a_hole_in_a_file_takes_no_room(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    assert size_of(tmp_path) < MB
    assert size_of(tmp_path / "nowhere") == 0


def test_a_run_looks_at_the_disk_now_and_then(tmp_path):
    looked, now = [], [0.0]
    quota = DiskQuota(tmp_path, JobStore(tmp_path / "jobs"), clock=lambda: now[0])
    quota.require_room = lambda user, writing: looked.append(user)
    check = quota.guard("ada", tmp_path)
    for now[0] in (0.0, 0.1, CHECK_S - 0.01, CHECK_S, CHECK_S + 0.5, 2 * CHECK_S):
        check()
    assert len(looked) == 3


def test_looking_takes_a_tenth_of_the_time_of_a_run_at_most(tmp_path):
    now = [0.0]

    def look(user, writing):
        now[0] += 7.0  # a large folder, a slow disk

    quota = DiskQuota(tmp_path, JobStore(tmp_path / "jobs"), clock=lambda: now[0])
    quota.require_room = look
    check, looking = quota.guard("ada", tmp_path), 0.0
    for _ in range(1000):
        before = now[0]
        check()
        looking += now[0] - before
        now[0] += 1.0
    assert 0 < looking < 0.11 * now[0]
