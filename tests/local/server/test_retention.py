"""Jobs that ended long ago go, with their files; those that wait, run or were never started stay."""

import logging
import time
from datetime import datetime, timedelta

import pytest

from openeo_udf_fusion.cli.quantities import MOST_DAYS
from openeo_udf_fusion.local.server.job_logs import timestamp
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.retention import Retention
from tests.local.server.conftest import until

DAY = 86_400.0


@pytest.fixture
def jobs(tmp_path):
    """One job of every status, called by it."""
    store = JobStore(tmp_path / "jobs")
    ids = {}
    for status in ("created", "queued", "running", "finished", "error", "canceled"):
        job = store.create({"process": {}, "title": status}, "ada")
        ids[status] = job.id
        if status != "created":
            store.queue(job.id)
        if status not in ("created", "queued"):
            store.begin(job.id)
        if status == "finished":
            files = tmp_path / "files"
            files.mkdir()
            (files / "result.nc").write_bytes(bytes(1000))
            assert store.finish(job.id, 1, files, {}, 1.0)
        if status == "error":
            store.fail(job.id, 1, "Internal", "failed")
        if status == "canceled":
            store.cancel(job.id)
    store.ids = ids
    return store


def titles(store):
    return {job.title for job in store.list()}


def test_only_what_ended_is_removed_and_told(jobs, tmp_path, caplog):
    sweep = Retention(jobs, 3 * DAY, lambda: time.time() + 4 * DAY).sweep
    with caplog.at_level(logging.INFO):
        assert set(sweep()) == {jobs.ids[status] for status in ("finished", "error", "canceled")}
    assert titles(jobs) == {"created", "queued", "running"}
    assert len(list((tmp_path / "jobs").iterdir())) == 3
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert "3 days (--keep-jobs)" in record.getMessage()
        assert record.user == "ada"
    assert sweep() == []


def test_what_is_recent_stays(jobs):
    assert Retention(jobs, 3 * DAY, lambda: time.time() + 2 * DAY).sweep() == []
    assert len(jobs.list()) == 6


def test_without_a_limit_all_stay(jobs):
    retention = Retention(jobs, None, lambda: time.time() + 1000 * DAY)
    assert retention.sweep() == []
    assert retention.removal_of(jobs.list()[0]) is None


def test_a_server_removes_at_its_start_and_lets_links_end_with_the_files(serve):
    with serve(keep_jobs_s=3 * DAY) as client:
        job = client.run("one")
        document = client("GET", f"/jobs/{job}/results").json()
        ended = client("GET", f"/jobs/{job}").json()["updated"]
        # Links are good for seven days; the files are there for three, to the second.
        left = datetime.fromisoformat(document["expires"]) - datetime.fromisoformat(ended)
        assert timedelta(days=3, seconds=-1) < left <= timedelta(days=3)
    with serve(keep_jobs_s=0.001) as client:
        until(lambda: client("GET", f"/jobs/{job}").status_code == 404)


@pytest.mark.parametrize(("after_s", "gone"), [(-1.0, False), (1.0, True)])
def test_a_job_goes_at_its_moment_not_with_its_day(jobs, after_s, gone):
    finished = jobs.ids["finished"]
    ended = datetime.fromisoformat(jobs.get(finished).updated).timestamp()
    retention = Retention(jobs, 3 * DAY, lambda: ended + 3 * DAY + after_s)
    assert (finished in retention.sweep()) is gone


def test_a_job_is_kept_from_its_last_change_on(jobs, monkeypatch):
    finished = jobs.ids["finished"]
    before = jobs.get(finished)
    monkeypatch.setattr(
        "openeo_udf_fusion.local.server.jobs.timestamp",
        lambda: timestamp(datetime.fromisoformat(before.updated) + timedelta(hours=1)),
    )
    jobs.update(finished, {"title": "read again"})
    ended = datetime.fromisoformat(before.updated).timestamp()
    retention = Retention(jobs, 3 * DAY, lambda: ended + 3 * DAY + 60)
    assert finished not in retention.sweep()
    assert retention.removal_of(jobs.get(finished)) == pytest.approx(ended + 3 * DAY + 3600, abs=0.01)


def test_what_cannot_be_removed_now_is_tried_again(jobs, monkeypatch, caplog):
    tries = []

    def expire(_before):
        tries.append(True)
        if len(tries) == 1:
            raise OSError(30, "Read-only file system")
        return []

    monkeypatch.setattr("openeo_udf_fusion.local.server.retention.SWEEP_S", 0.01)
    monkeypatch.setattr(jobs, "expire", expire)
    retention = Retention(jobs, DAY)
    retention.start()
    until(lambda: len(tries) > 1)
    retention.stop()
    assert "old jobs could not be removed" in caplog.text


def test_the_longest_keeping_still_has_a_date(jobs):
    keep_s = MOST_DAYS * DAY
    assert Retention(jobs, keep_s).sweep() == []
    assert Retention(jobs, keep_s).removal_of(jobs.list()[0]) > time.time()
