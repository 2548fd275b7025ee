"""Bodies that are short to send and long to read, and jobs that stay in memory."""

import asyncio
import dataclasses
import json
import random
import re
import threading
from types import SimpleNamespace

import pytest

from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.server import bodies, job_records
from openeo_udf_fusion.local.server.errors import InvalidRequest, StorageQuotaExceeded
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.json_values import count_values
from openeo_udf_fusion.local.server.limits import Limits

from .conftest import PASSWORDS
from .test_attacks_limits import TIGHT


def one(**arguments) -> dict:
    return {"process_graph": {"n": {"process_id": "one", "arguments": arguments, "result": True}}}


def with_patterns(*patterns: str) -> dict:
    schemas = [{"type": "string", "pattern": pattern} for pattern in patterns]
    parameters = [{"name": f"p{n}", "description": "", "schema": schema} for n, schema in enumerate(schemas)]
    return one() | {"parameters": parameters}


def parse(process: dict, limits: GraphLimits | None = None) -> bodies.Process:
    return bodies.parse(bodies.Process, json.dumps(process).encode(), limits or GraphLimits())


# --- reading


def test_a_body_that_takes_long_to_read_keeps_nobody_waiting(serve, graph, monkeypatch):
    held, entered, parse = threading.Event(), threading.Event(), bodies.parse

    def slow(*args):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        entered.set()
        assert held.wait(30)
        return parse(*args)

    with serve() as client:
        monkeypatch.setattr(bodies, "parse", slow)
        sender = threading.Thread(target=client, args=("POST", "/validation"), kwargs={"json": graph("one")})
        sender.start()
        try:
            assert entered.wait(30)
            assert client("GET", "/health/live").status_code == 200
            assert client("GET", "/jobs").status_code == 200
        finally:
            held.set()
            sender.join()


@pytest.mark.parametrize("text", [b"[" + b"[]," * 2000 + b"[]]", b"[" + b'{"a":1},' * 1500 + b"1]"])
def test_many_values_are_counted_before_they_are_made(text, monkeypatch):
    monkeypatch.setattr(bodies, "json", None)
    with pytest.raises(InvalidRequest, match="more than 2000 values"):
        bodies.parse(bodies.Process, text, GraphLimits(values=2000))


@pytest.mark.parametrize(("method", "path"), [("POST", "/validation"), ("POST", "/jobs"), ("PUT", "/x")])
def test_a_body_of_many_values_is_refused_where_it_comes_in(serve, method, path):
    path = "/process_graphs/x" if path == "/x" else path
    with serve(limits=TIGHT) as client:
        body = one(x=[0] * 3000)
        refused = client(method, path, json={"process": body} if path == "/jobs" else body)
        assert (refused.status_code, refused.json()["code"]) == (400, "RequestInvalid")
        assert "2000 values" in refused.json()["message"]
        assert client("GET", "/jobs").json()["jobs"] == []


def test_texts_with_many_commas_are_one_value_each():
    code = '["{\\",' * 3000
    assert parse(one(udf=code), GraphLimits(values=50)).given() == one(udf=code)


def test_values_are_counted_as_they_are():
    rng = random.Random(1)

    def some(depth: int):
        kind = rng.randrange(6 if depth else 4)
        if kind == 4:
            return [some(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 5:
            return {f'{n},"[\\': some(depth - 1) for n in range(rng.randrange(4))}
        return [rng.random(), None, 'a,[{"\\', ""][kind]

    def count(value) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(count, inner))

    for _ in range(300):
        value = some(5)
        text = json.dumps(value, indent=rng.choice([None, 1])).encode()
        assert count_values(text, 0) == count(value)
        assert count_values(text, 10**6) >= count(value)


@pytest.mark.parametrize("text", [b'"' * 1001, b'"\\"' * 1001, b"\\", b'"\\', b"[" * 50, b"]", b""])
def test_counting_takes_what_is_no_json(text):
    assert count_values(text, 0) >= 0


# --- regular expressions


@pytest.fixture
def compiled(monkeypatch):
    """The patterns that are compiled."""
    found = []
    spy = SimpleNamespace(compile=lambda text: found.append(text) or re.compile(text), error=re.error)
    monkeypatch.setattr(bodies, "re", spy)
    return found


def test_a_long_pattern_is_refused(compiled):
    parse(with_patterns("a" * 1000))
    with pytest.raises(InvalidRequest, match="at most 1000 characters"):
        parse(with_patterns("a" * 1001))
    assert compiled == ["a" * 1000]


@pytest.mark.parametrize(
    "pattern",
    ["(?i)[a-\U0010ffff]", r"[a-\U0010ffff]", r"[a-\uffff]", "(?i:[a-z])", "(?s-i:[a-z])"],
)
def test_a_pattern_that_takes_long_to_compile_is_taken_as_it_is(compiled, pattern):
    process = with_patterns(pattern * 20)
    assert parse(process).given() == process
    assert compiled == []


def test_only_ascii_is_compiled(compiled):
    process = with_patterns("[a-\U0010ffff]\u00fc")
    assert parse(process).given() == process
    assert compiled == ["[a-\x7f]\x7f"]
    with pytest.raises(InvalidRequest, match="not a regular expression"):
        parse(with_patterns("[\u00fc-a]"))


def test_many_patterns_are_not_all_compiled(compiled):
    process = with_patterns(*[f"{number:04}" + "[a-z]" * 100 for number in range(1000)])
    assert parse(process).given() == process
    assert 0 < sum(map(len, compiled)) <= 20_000


def test_patterns_of_callbacks_count_as_well(compiled):
    inner = with_patterns(*[f"{number:04}" + "a" * 900 for number in range(100)])
    parse(one(process=inner, other=inner))
    assert 0 < sum(map(len, compiled)) <= 20_000


def test_a_pattern_that_is_none_is_still_refused():
    with pytest.raises(InvalidRequest, match="not a regular expression"):
        parse(with_patterns("[a-"))


def test_so_many_mistakes_are_not_listed():
    with pytest.raises(InvalidRequest, match="in 20001 places"):
        parse(one() | {"links": [1] * 20_001})


# --- jobs


def test_jobs_are_weighed(serve, users_file, graph):
    limits = dataclasses.replace(TIGHT, job_bytes_per_user=20_000)
    with serve(users=users_file, limits=limits) as ada:
        ada.log_in("ada", PASSWORDS["ada"])
        eve = ada.again()
        eve.log_in("eve", PASSWORDS["eve"])
        large = graph("one") | {"description": "x" * 12_000}
        job = ada.create("one", job_options={"x": "y" * 12_000})
        for sent in ({"process": large}, {"process": graph("one"), "title": "t" * 12_000}):
            refused = ada("POST", "/jobs", json=sent)
            assert (refused.status_code, refused.json()["code"]) == (400, "StorageQuotaExceeded")
            assert "20000 bytes" in refused.json()["message"]
        small = ada.create("one")
        refused = ada("PATCH", f"/jobs/{small}", json={"process": large})
        assert (refused.status_code, refused.json()["code"]) == (400, "StorageQuotaExceeded")
        assert ada("GET", f"/jobs/{small}").json()["process"] == graph("one")
        assert ada("PATCH", f"/jobs/{job}", json={"process": graph("several")}).status_code == 204
        assert eve("POST", "/jobs", json={"process": large}).status_code == 201
        ada("DELETE", f"/jobs/{job}")
        assert ada("POST", "/jobs", json={"process": large}).status_code == 201


def test_the_weight_of_jobs_outlives_a_restart(tmp_path):
    limits = Limits(job_bytes_per_user=20_000)
    jobs = JobStore(tmp_path, limits=limits)
    jobs.create({"process": one(x="y" * 15_000)}, "ada")
    with pytest.raises(StorageQuotaExceeded, match="20000 bytes"):
        JobStore(tmp_path, limits=limits).create({"process": one(x="y" * 15_000)}, "ada")


def test_asking_for_the_state_of_a_job_reads_no_process(tmp_path, monkeypatch):
    jobs = JobStore(tmp_path)
    made = jobs.create({"process": one(x=1), "job_options": {"a": 1}}, "ada")
    read = []
    spy = SimpleNamespace(loads=read.append, dumps=json.dumps)
    monkeypatch.setattr(job_records, "json", spy)
    for job in (jobs.owned(made.id, "ada"), jobs.get(made.id), *jobs.list("ada")):
        assert job.status == "created"
    jobs.queue(made.id)
    jobs.begin(made.id)
    assert read == []


def test_what_somebody_does_with_a_copy_changes_no_job(tmp_path):
    jobs = JobStore(tmp_path)
    made = jobs.create({"process": one(x=1), "job_options": {"a": 1}}, "ada")
    copy = jobs.owned(made.id, "ada")
    copy.process["process_graph"].clear()
    copy.job_options.clear()
    copy.status = "finished"
    again = JobStore(tmp_path).get(made.id)
    for job in (jobs.get(made.id), again):
        assert (job.process, job.job_options, job.status) == (one(x=1), {"a": 1}, "created")
