"""The life of a batch job, over HTTP."""

import io
import json
import zipfile

import pytest
import requests


def test_a_job_goes_from_created_over_running_to_finished(client, graph):
    job = client.create(
        "wait", title="one", description="two", plan="free", budget=3, job_options={"memory": "2g"}
    )
    created = client("GET", f"/jobs/{job}").json()
    assert (created["status"], created["progress"]) == ("created", 0)
    assert created["title"] == "one"
    assert created["description"] == "two"
    assert created["process"] == graph("wait")
    assert created["job_options"] == {"memory": "2g"}

    client.start(job)
    client.start(job)  # no effect on a job that is on its way
    running = client.wait(job, "running")
    while running["progress"] < 50:
        running = client.wait(job, "running")
    assert running["progress"] == 50

    client.executor.gate.set()
    assert client.wait(job, "finished")["progress"] == 100
    assert client.executor.runs == ["wait"]


def test_the_list_of_jobs_leaves_out_the_processes(client):
    jobs = [client.create("one") for _ in range(3)]
    listed = client("GET", "/jobs").json()["jobs"]
    assert [job["id"] for job in listed] == jobs
    assert not any("process" in job for job in listed)


def test_pages_add_up_to_the_list(client):
    jobs = [client.create("one") for _ in range(5)]
    found, next_page = [], f"{client.url}/jobs?limit=2"
    while next_page:
        page = requests.get(next_page, timeout=30).json()
        assert len(page["jobs"]) <= 2
        found += [job["id"] for job in page["jobs"]]
        next_page = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == jobs


def test_jobs_run_one_after_the_other_in_the_order_of_their_start(client):
    first, second, third = (client.create(name) for name in ("wait", "several", "one"))
    client.start(first)
    client.wait(first, "running")
    client.start(third)
    client.start(second)
    assert client("GET", f"/jobs/{third}").json()["status"] == "queued"
    client.executor.gate.set()
    client.wait(second, "finished")
    assert client.executor.runs == ["wait", "one", "several"]


def test_a_running_job_stops_between_tiles(client):
    job = client.create("wait")
    client.start(job)
    client.wait(job, "running")
    assert client("DELETE", f"/jobs/{job}/results").status_code == 204
    assert client.wait(job, "canceled")
    # The worker is free again although the gate was never opened.
    assert client("GET", f"/jobs/{client.run('one')}").json()["status"] == "finished"
    assert client("GET", f"/jobs/{job}").json()["status"] == "canceled"


def test_a_queued_job_leaves_the_queue(client):
    busy, job = client.create("wait"), client.create("one")
    client.start(busy)
    client.start(job)
    assert client("DELETE", f"/jobs/{job}/results").status_code == 204
    assert client("GET", f"/jobs/{job}").json()["status"] == "created"
    client.executor.gate.set()
    client.wait(busy, "finished")
    client.run("several")
    assert client.executor.runs == ["wait", "several"]


def test_a_job_that_is_started_again_while_it_stops_runs_once_more(client):
    job = client.create("wait")
    client.start(job)
    client.wait(job, "running")
    client("DELETE", f"/jobs/{job}/results")
    client.start(job)
    client.executor.gate.set()
    client.wait(job, "finished")


def test_a_deleted_job_is_gone_with_its_files(client):
    job = client.run("one")
    assert client("DELETE", f"/jobs/{job}").status_code == 204
    assert client("GET", f"/jobs/{job}").json()["code"] == "JobNotFound"
    assert not list((client.state / "jobs").iterdir())


def test_a_running_job_can_be_deleted(client):
    job = client.create("wait")
    client.start(job)
    client.wait(job, "running")
    assert client("DELETE", f"/jobs/{job}").status_code == 204
    client.run("one")
    assert job not in [path.name for path in (client.state / "jobs").iterdir()]
    assert not list((client.state / "scratch").iterdir())


def test_a_job_changes_only_while_it_is_not_on_its_way(client, graph):
    job = client.create("wait", title="old")
    assert client("PATCH", f"/jobs/{job}", json={"title": "new", "process": graph("one")}).status_code == 204
    changed = client("GET", f"/jobs/{job}").json()
    assert (changed["title"], changed["process"], changed["status"]) == ("new", graph("one"), "created")

    client("PATCH", f"/jobs/{job}", json={"process": graph("wait")})
    client.start(job)
    locked = client("PATCH", f"/jobs/{job}", json={"title": "newest"})
    assert (locked.status_code, locked.json()["code"]) == (400, "JobLocked")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"colour": "red"}, "NoDataForUpdate"),
        ({"status": "finished"}, "PropertyNotEditable"),
        ({"title": 3}, "RequestInvalid"),
    ],
)
def test_a_job_refuses_changes_of_what_is_not_its_users(client, change, code):
    response = client("PATCH", f"/jobs/{client.create('one')}", json=change)
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_an_empty_change_changes_nothing(client):
    job = client.create("one", title="old")
    assert client("PATCH", f"/jobs/{job}", json={}).status_code == 204
    assert client("GET", f"/jobs/{job}").json()["title"] == "old"


def test_logs_come_by_level_offset_and_limit(client):
    job = client.run("udf", log_level="debug")
    everything = client("GET", f"/jobs/{job}/logs").json()
    assert [entry["level"] for entry in everything["logs"]] == ["debug", "info", "error"]
    assert client.messages(job, level="info") == client.messages(job)[1:]
    assert client.messages(job, offset=everything["logs"][0]["id"]) == client.messages(job)[1:]
    page = client("GET", f"/jobs/{job}/logs", params={"limit": 2}).json()
    (next_page,) = page["links"]
    rest = requests.get(next_page["href"], timeout=30).json()
    assert page["logs"] + rest["logs"] == everything["logs"]


def test_entries_below_the_level_of_the_job_are_not_kept(client):
    assert [
        message.partition("\n")[0] for message in client.messages(client.run("udf", log_level="error"))
    ] == ["the UDF raised"]


def test_options_that_change_nothing_are_named(client):
    assert client.messages(client.run("one", job_options={"driver-memory": "9g"}))[0].endswith(
        "driver-memory"
    )


def test_the_traceback_of_a_udf_is_in_the_log(client):
    job = client.run("udf")
    assert client("GET", f"/jobs/{job}").json()["status"] == "error"
    assert client.messages(job, level="error")[0].endswith("ZeroDivisionError: by zero")
    failed = client("GET", f"/jobs/{job}/results")
    assert failed.status_code == 424
    assert (failed.json()["code"], failed.json()["level"]) == ("UdfFailed", "error")


@pytest.mark.parametrize(("process_id", "code"), [("full", "StorageFailure"), ("bug", "Internal")])
def test_a_job_that_fails_keeps_no_files_and_does_not_end_the_worker(client, process_id, code):
    job = client.run(process_id)
    assert client("GET", f"/jobs/{job}/results").json()["code"] == code
    names = {path.name for path in (client.state / "jobs" / job).iterdir()}
    assert names == {"job.json", "logs.jsonl"}
    assert not list((client.state / "scratch").iterdir())
    assert client("GET", f"/jobs/{client.run('one')}").json()["status"] == "finished"


def test_results_are_refused_until_they_are_there(client):
    job = client.create("wait")
    assert client("GET", f"/jobs/{job}/results").json()["code"] == "JobNotStarted"
    client.start(job)
    client.wait(job, "running")
    assert client("GET", f"/jobs/{job}/results").json()["code"] == "JobNotFinished"


def test_starting_again_discards_the_results(client, graph):
    job = client.run("one")
    client("PATCH", f"/jobs/{job}", json={"process": graph("wait")})
    assert client("GET", f"/jobs/{job}/results").status_code == 200
    client.start(job)
    client.wait(job, "running")
    assert client("GET", f"/jobs/{job}/results").json()["code"] == "JobNotFinished"


def test_results_are_a_stac_collection_whose_links_need_no_token(client):
    pystac = pytest.importorskip("pystac")
    job = client.run("several", title="Two days")
    document = client("GET", f"/jobs/{job}/results").json()
    collection = pystac.Collection.from_dict(document)
    assert collection.title == "Two days"
    assert collection.extent.spatial.bboxes == [[11.0, 48.0, 11.1, 48.1]]
    assert [moment.day for moment in collection.extent.temporal.intervals[0]] == [1, 9]
    assert list(collection.assets) == ["result_2022-01-01.tif", "result_2022-01-09.tif"]
    for name, asset in document["assets"].items():
        file = requests.get(asset["href"], timeout=30)
        assert file.content == b"II*\0" + name.encode()
        assert file.headers["Content-Type"] == asset["type"]
        assert len(file.content) == asset["file:size"]
        assert asset["proj:epsg"] == 32632
        assert asset["datetime"][:10] in name
        assert asset["eo:bands"] == [{"name": "B1", "description": "Red"}, {"name": "B2"}]


def test_a_zarr_store_comes_as_one_zip_with_the_store_at_its_root(client):
    document = client("GET", f"/jobs/{client.run('store')}/results").json()
    (asset,) = document["assets"].values()
    archive = zipfile.ZipFile(io.BytesIO(requests.get(asset["href"], timeout=30).content))
    assert sorted(archive.namelist()) == ["B1/0", "zarr.json"]


def test_parts_of_a_file_can_be_asked_for(client):
    (asset,) = client("GET", f"/jobs/{client.run('one')}/results").json()["assets"].values()
    head = requests.head(asset["href"], timeout=30)
    assert (head.headers["Content-Length"], head.headers["Accept-Ranges"]) == ("5003", "bytes")
    part = requests.get(asset["href"], headers={"Range": "bytes=1-2"}, timeout=30)
    assert (part.status_code, part.content) == (206, b"DF")


def test_a_restart_keeps_results_and_goes_on_with_what_was_under_way(serve):
    with serve() as client:
        finished, running, queued = client.run("one"), client.create("wait"), client.create("several")
        client.start(running)
        client.wait(running, "running")
        client.start(queued)
        document = client("GET", f"/jobs/{finished}/results").json()
    with serve() as client:
        assert "goes on with its finished tiles" in "".join(client.messages(running))
        client.wait(running, "running")
        client.executor.gate.set()
        client.wait(running, "finished")
        assert client.wait(queued, "finished")
        (asset,) = document["assets"].values()
        path = asset["href"].partition("/jobs/")[2]
        assert len(requests.get(f"{client.url}/jobs/{path}", timeout=30).content) == 5003


def killed_while_running(state, job):
    """What a server that was killed leaves of a job."""
    file = state / "jobs" / job / "job.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"status": "running"}))


def test_a_job_that_ran_when_the_server_was_killed_runs_again_once(serve, tmp_path):
    state = tmp_path / "state"
    with serve() as client:
        job = client.run("one")
    killed_while_running(state, job)
    (state / "scratch" / "half").mkdir(parents=True)
    with serve() as client:
        client.wait(job, "finished")
        assert client.executor.runs == ["one"]
        assert any("server ended while the job ran" in message for message in client.messages(job))
        assert not list((state / "scratch").glob("*"))
    killed_while_running(state, job)
    with serve() as client:
        assert client("GET", f"/jobs/{job}").json()["status"] == "error"
        assert "2 times" in client.messages(job)[-1]
        client.start(job)  # its user knows why, perhaps
        client.wait(job, "finished")


def test_a_broken_job_file_costs_that_job_alone(serve, tmp_path):
    state = tmp_path / "state"
    with serve() as client:
        broken, sound = client.create("one"), client.create("one")
    (state / "jobs" / broken / "job.json").write_text('{"id": "half')
    with serve() as client:
        assert [job["id"] for job in client("GET", "/jobs").json()["jobs"]] == [sound]
