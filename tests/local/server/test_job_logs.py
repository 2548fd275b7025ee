"""Logs of jobs: bounded, read from where the last answer ended, one for each run."""

import pytest
import requests

from openeo_udf_fusion.local.server import job_logs
from openeo_udf_fusion.local.server.errors import InvalidRequest
from openeo_udf_fusion.local.server.job_logs import append, read


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log that may have 10 kB, in pages of 2 kB."""
    monkeypatch.setattr(job_logs, "MOST_BYTES", 10_000)
    monkeypatch.setattr(job_logs, "_RESERVE", 2_000)
    monkeypatch.setattr(job_logs, "PAGE_BYTES", 2_000)
    return tmp_path / "logs.jsonl"


def all_pages(log, **query):
    """All entries, by the offsets that a client is given."""
    found, offset, more = [], "", True
    while more:
        entries, more = read(log, offset=offset, **query)
        found += entries
        offset = entries[-1]["id"] if entries else offset
    return found


def test_a_log_ends_where_it_is_full_and_says_so_once(log):
    for number in range(1000):
        append(log, "info", f"entry {number}")
    append(log, "error", "what went wrong")
    assert log.stat().st_size < 11_000
    messages = [entry["message"] for entry in all_pages(log)]
    kept = len(messages) - 2
    assert messages[:kept] == [f"entry {number}" for number in range(kept)]
    assert kept > 50
    assert "errors alone" in messages[-2]
    assert messages[-1] == "what went wrong"


def test_errors_too_have_an_end(log):
    for number in range(1000):
        append(log, "error", f"entry {number}")
    assert log.stat().st_size <= 12_001


def test_a_long_message_is_cut(log, monkeypatch):
    monkeypatch.setattr(job_logs, "MOST_CHARACTERS", 100)
    append(log, "info", "x" * 1000)
    (entry,) = read(log)[0]
    assert entry["message"] == "x" * 100 + " (900 more characters)"


@pytest.mark.parametrize("limit", [None, 1, 3, 1000])
@pytest.mark.parametrize("level", ["debug", "error"])
def test_pages_add_up_to_the_log(log, limit, level):
    for number in range(60):
        append(log, "error" if number % 7 == 0 else "info", f"entry {number} ä")
    found = [entry["message"] for entry in all_pages(log, limit=limit, level=level)]
    assert found == [f"entry {n} ä" for n in range(60) if level == "debug" or n % 7 == 0]
    assert len({entry["id"] for entry in all_pages(log)}) == 60


def test_an_answer_has_a_page_unless_less_is_asked_for(log):
    for number in range(60):
        append(log, "info", f"entry {number}")
    entries, more = read(log)
    assert more
    assert 10 < len(entries) < 30


def test_what_comes_before_the_offset_is_not_read(log):
    for number in range(3):
        append(log, "info", f"entry {number}")
    second = read(log)[0][1]
    content = bytearray(log.read_bytes())
    content[: int(second["id"]) - 1] = b"x" * (int(second["id"]) - 1)
    log.write_bytes(content)
    assert [entry["message"] for entry in read(log, offset=second["id"])[0]] == ["entry 2"]


@pytest.mark.parametrize("offset", ["x", "-1", "5", "1" * 16, "1.0"])
def test_what_is_no_id_is_refused(log, offset):
    append(log, "info", "entry")
    with pytest.raises(InvalidRequest, match="id of a log entry"):
        read(log, offset=offset)


def test_after_the_last_entry_and_beyond_comes_nothing(log):
    append(log, "info", "entry")
    (entry,) = read(log)[0]
    assert read(log, offset=entry["id"]) == ([], False)
    assert read(log, offset="100000") == ([], False)


def test_half_a_line_is_not_told_until_it_is_whole(log):
    append(log, "info", "entry")
    with log.open("ab") as file:
        file.write(b'{"level": "info", "mess')
    assert len(read(log)[0]) == 1


def test_a_log_begins_anew_with_each_start(client):
    job = client.run("udf")
    first = client.messages(job)
    client.start(job)
    client.wait(job, "error", "finished")
    assert client.messages(job) == first


def test_a_page_of_a_job_leads_to_the_next(client, monkeypatch):
    monkeypatch.setattr(job_logs, "PAGE_BYTES", 1)
    job = client.run("udf", log_level="debug")
    found, url = [], f"{client.url}/jobs/{job}/logs?level=info"
    while url:
        page = requests.get(url, timeout=30).json()
        found += [entry["level"] for entry in page["logs"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == ["info", "error"]
