"""What is removed is out of the way at once, and goes while nobody waits for it."""

import logging
import shutil
import threading

import pytest

from openeo_udf_fusion.local.server import trash
from openeo_udf_fusion.local.server.errors import UnknownJob
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.trash import Trash

from .conftest import until


@pytest.fixture
def finished(tmp_path):
    """A store with a finished job, and the job's id."""
    jobs = JobStore(tmp_path / "jobs")
    job = jobs.create({"process": {}}, "ada")
    jobs.queue(job.id)
    jobs.begin(job.id)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "result.nc").write_bytes(bytes(1000))
    jobs.finish(job.id, 1, tmp_path / "files", {}, 1.0)
    return jobs, job.id


REMOVALS = {
    "delete": lambda jobs, id: jobs.delete(id),
    "expire": lambda jobs, id: jobs.expire("9999"),
    "queue": lambda jobs, id: jobs.queue(id),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_others_are_answered_while_large_results_are_removed(finished, monkeypatch, name):
    jobs, job_id = finished
    removing, removed, rmtree = threading.Event(), threading.Event(), shutil.rmtree

    def slow(path):
        removing.set()
        removed.wait(20)
        rmtree(path)

    monkeypatch.setattr(trash.shutil, "rmtree", slow)
    thread = threading.Thread(target=REMOVALS[name], args=(jobs, job_id))
    thread.start()
    assert removing.wait(20)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(jobs.create({"process": {}}, "eve")))
    asking.start()
    asking.join(20)
    assert answers  # while the removal lasts
    removed.set()
    thread.join()
    assert not list((jobs.home.parent / "trash").iterdir())


def test_a_job_whose_files_cannot_be_removed_stays_deleted(finished, monkeypatch, caplog):
    jobs, job_id = finished

    def fail(path):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(trash.shutil, "rmtree", fail)
    jobs.delete(job_id)
    with pytest.raises(UnknownJob):
        jobs.get(job_id)
    assert "takes room until it is" in caplog.text
    monkeypatch.undo()
    again = JobStore(jobs.home)
    assert again.list() == []
    assert again.recover() == []
    until(lambda: not list((jobs.home.parent / "trash").iterdir()))


def test_a_job_that_cannot_be_moved_stays_deleted(finished, caplog):
    jobs, job_id = finished
    (jobs.home.parent / "trash").rmdir()
    (jobs.home.parent / "trash").write_text("a file where the folder was")
    with caplog.at_level(logging.ERROR):
        jobs.delete(job_id)
    assert "cannot be moved" in caplog.text
    assert JobStore(jobs.home).list() == []


def test_what_is_not_there_is_no_error(tmp_path, caplog):
    bin = Trash(tmp_path / "trash")
    bin.put(tmp_path / "nowhere")
    bin.empty()
    assert caplog.records == []


def test_two_of_a_name_and_files_are_taken(tmp_path):
    bin = Trash(tmp_path / "trash")
    for _ in range(2):
        (tmp_path / "results").mkdir()
        bin.put(tmp_path / "results")
    (tmp_path / "log").write_text("x")
    bin.put(tmp_path / "log")
    assert len(list((tmp_path / "trash").iterdir())) == 3
    bin.empty()
    assert not list((tmp_path / "trash").iterdir())
