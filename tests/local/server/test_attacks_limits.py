"""Requests, graphs and users that want too much: each ends with an error that names the limit."""

import dataclasses
import json
import socket
import threading
from contextlib import closing

import pytest
import requests

from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.server.limits import Limits

from .conftest import PASSWORDS

GRAPH = GraphLimits(
    nodes=100, values=2000, depth=30, nesting=5, name_characters=200, udf_characters=1000, locations=2
)
TIGHT = Limits(
    body_bytes=100_000,
    body_seconds=0.3,
    header_bytes=4096,
    url_characters=1000,
    processes_per_user=3,
    process_bytes_per_user=20_000,
    jobs_per_user=4,
    queued_per_user=2,
    synchronous_per_user=2,
    graph=GRAPH,
)


@pytest.fixture
def tight(serve):
    """A server with small limits over the fake executor."""
    with serve(limits=TIGHT) as client:
        yield client
        client.executor.gate.set()


@pytest.fixture
def real(serve_for_real):
    """The same over the real executor."""
    with serve_for_real(limits=dataclasses.replace(TIGHT, processes_per_user=100)) as client:
        yield client


def talk(client, *chunks: bytes) -> bytes:
    """Send bytes as they are; what comes back until the server hangs up."""
    host, port = client.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as connection:
        for chunk in chunks:
            try:
                connection.sendall(chunk)
            except OSError:
                break
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def head(client, *headers: str, method: str = "POST", path: str = "/validation") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {client.url.removeprefix('http://')}", "Connection: close"]
    return "\r\n".join([*lines, "Content-Type: application/json", *headers, "", ""]).encode("latin-1")


def told(answer: bytes) -> tuple[int, str, str]:
    """Status, code and message of a raw answer."""
    top, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    return int(top.split()[1]), found["code"], found["message"]


# --- the request


def test_a_body_is_read_up_to_its_limit_whatever_its_length_says(tight):
    big = b'{"x": "' + b"y" * 200_000 + b'"}'
    chunk = f"{len(big):x}\r\n".encode() + big + b"\r\n0\r\n\r\n"
    for answer in (
        talk(tight, head(tight, f"Content-Length: {len(big)}"), big),
        talk(tight, head(tight, "Transfer-Encoding: chunked"), chunk),
    ):
        status, code, message = told(answer)
        assert (status, code) == (413, "RequestTooLarge")
        assert "100000 bytes" in message


def test_chunks_without_end_are_not_read_on(tight):
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    status, code, _ = told(talk(tight, head(tight, "Transfer-Encoding: chunked"), *[chunk] * 20))
    assert (status, code) == (413, "RequestTooLarge")


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 10", "Content-Length: 200000"],
        ["Content-Length: 10", "Transfer-Encoding: chunked"],
        ["Content-Length: -1"],
        ["Content-Length: 1e9"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked, identity"],
    ],
)
def test_lengths_that_contradict_each_other_smuggle_nothing(tight, headers):
    """What follows the body must never be taken for a request of its own."""
    second = head(tight, method="GET", path="/health")
    answer = talk(tight, head(tight, *headers), b'0\r\n\r\n{"a":1}' + second)
    assert answer.count(b"HTTP/1.1") <= 1
    assert not answer.startswith(b"HTTP/1.1 200")


def test_a_shorter_body_than_announced_is_not_waited_for_for_ever(tight):
    status, code, message = told(talk(tight, head(tight, "Content-Length: 5000"), b"{"))
    assert (status, code) == (408, "RequestTimeout")
    assert "0.3 s" in message


def test_a_long_path_is_refused(tight):
    for path in ("/collections/" + "x" * 2000, "/jobs?limit=" + "1" * 2000):
        refused = tight("GET", path)
        assert (refused.status_code, refused.json()["code"]) == (414, "UrlTooLong")
        assert "at most 1000" in refused.json()["message"]


def test_large_headers_are_refused(tight):
    for headers in ({"X-Large": "x" * 5000}, {f"X-{n}": "x" * 100 for n in range(50)}):
        refused = tight("GET", "/", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (431, "RequestHeadersTooLarge")
        assert "at most 4096" in refused.json()["message"]


def test_headers_without_end_are_not_read_on(tight):
    answer = talk(tight, b"GET / HTTP/1.1\r\nX: ", *[b"x" * 4096] * 100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("path", ["/validation", "/result", "/jobs", "/process_graphs/p"])
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [40, 100_000])
def test_a_deep_body_is_refused(tight, path, open_, close, depth):
    nested = (open_ * depth + "1" + close * depth)[:90_000]
    if depth > 1000:
        nested = open_ * (90_000 // len(open_))
    body = f'{{"process": {{"process_graph": {{"n": {{"arguments": {{"x": {nested}'
    body += "}}}}}" if depth < 1000 else ""
    method = "PUT" if path.endswith("/p") else "POST"
    refused = tight(method, path, data=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "RequestInvalid")
    reasons = ("30 levels", "not JSON", "2000 values")
    assert any(reason in refused.json()["message"] for reason in reasons)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000])
def test_numbers_that_are_none_are_refused(tight, number):
    """Stored they would be no JSON any more, and nobody could read them again."""
    node = f'{{"process_id": "one", "arguments": {{"x": {number}}}, "result": true}}'
    body = f'{{"process_graph": {{"n": {node}}}}}'
    refused = tight("PUT", "/process_graphs/p", data=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "RequestInvalid")
    assert tight("GET", "/process_graphs").json()["processes"] == []


def test_nobody_without_a_token_has_a_body_read(serve, users_file):
    with serve(users=users_file, limits=TIGHT) as client:
        for body in (b"x" * 200_000, b"[" * 50_000):
            refused = client("POST", "/jobs", data=body, headers={"Content-Type": "application/json"})
            assert (refused.status_code, refused.json()["code"]) == (401, "AuthenticationRequired")


# --- the graph, in /validation and in a run


def found(client, graph: dict) -> str:
    """The message with which a graph is refused, the same in /validation and /result."""
    (error,) = client("POST", "/validation", json={"process_graph": graph}).json()["errors"]
    assert error["code"] == "ProcessGraphInvalid"
    refused = client("POST", "/result", json={"process": {"process_graph": graph}})
    assert refused.status_code == 400
    assert (refused.json()["code"], refused.json()["message"]) == (error["code"], error["message"])
    return error["message"]


def store(client, process_id: str, graph: dict, *parameters: str) -> None:
    declared = [{"name": name, "description": "", "schema": {}} for name in parameters]
    made = client(
        "PUT", f"/process_graphs/{process_id}", json={"process_graph": graph, "parameters": declared}
    )
    assert made.status_code == 200, made.text


def call(process_id: str, **arguments) -> dict:
    return {"process_id": process_id, "arguments": arguments}


def last(node: dict) -> dict:
    return {**node, "result": True}


X = {"from_parameter": "x"}


def test_too_many_nodes(real):
    graph = {f"n{number}": call("add", x=1, y=number) for number in range(101)}
    graph["n0"]["result"] = True
    assert "more than 100 nodes" in found(real, graph)


def test_processes_that_double_each_other(real):
    """Billions of laughs: 2^64 nodes from sixty-four stored processes of two."""
    store(real, "p0", {"n": last(call("add", x=X, y=1))}, "x")
    for level in range(1, 5):
        twice = {"a": call(f"p{level - 1}", x=X), "b": last(call(f"p{level - 1}", x={"from_node": "a"}))}
        store(real, f"p{level}", twice, "x")
    graph = {f"n{number}": call("p4", x=number) for number in range(10)}
    graph["n0"]["result"] = True
    assert "more than 100 nodes" in found(real, graph)


def test_processes_that_double_a_value(real):
    """The same without any more nodes: [[x, x], [x, x]] from four processes of one node."""
    store(real, "v0", {"n": last(call("array_create", data=X))}, "x")
    for level in range(1, 5):
        store(real, f"v{level}", {"n": last(call(f"v{level - 1}", x=[X, X, X, X, X, X, X, X]))}, "x")
    assert "more than 2000 values" in found(real, {"n": last(call("v4", x=1))})


def test_processes_that_wrap_a_value(real):
    deep: dict = X
    for _ in range(15):
        deep = {"a": deep}
    store(real, "w0", {"n": last(call("array_create", data=X))}, "x")
    for level in range(1, 4):
        store(real, f"w{level}", {"n": last(call(f"w{level - 1}", x=deep))}, "x")
    assert "deeper than 30 levels" in found(real, {"n": last(call("w3", x=1))})


def test_callbacks_in_processes_in_callbacks(real):
    """Each stored process is shallow; put into each other they are not."""
    store(real, "c0", {"n": last(call("add", x=X, y=1))}, "x")
    for level in range(1, 5):
        inner = {"process_graph": {"n": last(call(f"c{level - 1}", x=X))}}
        wrapped = {"process_graph": {"n": last(call("apply", data=X, process=inner))}}
        store(real, f"c{level}", {"n": last(call("apply", data=X, process=wrapped))}, "x")
    assert "deeper than 30 levels" in found(real, {"n": last(call("c4", x=[1]))})


def test_processes_that_call_each_other_in_a_long_line(real):
    store(real, "l0", {"n": last(call("add", x=X, y=1))}, "x")
    for level in range(1, 8):
        store(real, f"l{level}", {"n": last(call(f"l{level - 1}", x=X))}, "x")
    assert "more than 5 levels deep" in found(real, {"n": last(call("l7", x=1))})


@pytest.mark.parametrize("namespace", [None, "user"])
def test_processes_that_call_each_other_in_a_circle(real, namespace):
    store(real, "ping", {"n": last(call("pong", x=X) | {"namespace": namespace})}, "x")
    store(real, "pong", {"n": last(call("ping", x=X) | {"namespace": namespace})}, "x")
    assert "uses itself" in found(real, {"n": last(call("ping", x=1) | {"namespace": namespace})})


def test_names_that_grow_with_every_process(real):
    store(real, "long", {"y" * 150: call("add", x=X, y=1), "r": last(call("add", x=X, y=1))}, "x")
    assert "a node's name has 251 characters" in found(real, {"z" * 100: last(call("long", x=1))})


def test_a_long_udf(real):
    run = last(call("run_udf", data=X, udf="#" * 1001, runtime="Python"))
    callback = {"process_graph": {"u": run}}
    load = call("load_collection", id="modis", spatial_extent=None, temporal_extent=None)
    apply = last(call("apply", data={"from_node": "l"}, process=callback))
    message = found(real, {"l": load, "a": apply})
    assert "a UDF has 1001 characters, at most 1000" in message


def test_a_long_udf_by_way_of_a_parameter(real):
    run = last(call("run_udf", data=X, udf={"from_parameter": "code"}, runtime="Python"))
    load = call("load_collection", id="modis", spatial_extent=None, temporal_extent=None)
    apply = last(call("apply", data={"from_node": "l"}, process={"process_graph": {"u": run}}))
    store(real, "runs", {"l": load, "a": apply}, "code")
    assert "a UDF has 1001 characters" in found(real, {"n": last(call("runs", code="#" * 1001))})


def test_a_long_chain_of_nodes_is_no_deep_recursion(serve_for_real):
    """It is as deep as it is long, for whoever follows the references by recursion."""
    graph = {"n0": call("add", x=1, y=1)}
    for number in range(1, 3000):
        graph[f"n{number}"] = call("add", x={"from_node": f"n{number - 1}"}, y=1)
    graph["n2999"]["result"] = True
    with serve_for_real() as client:
        answered = client("POST", "/validation", json={"process_graph": dict(reversed(graph.items()))})
    assert answered.json() == {"errors": []}


# --- what users keep and wait for


def test_stored_processes_are_counted(tight, graph):
    for number in range(3):
        assert tight("PUT", f"/process_graphs/p{number}", json=graph("one")).status_code == 200
    refused = tight("PUT", "/process_graphs/p3", json=graph("one"))
    assert (refused.status_code, refused.json()["code"]) == (400, "StorageQuotaExceeded")
    assert "3 processes" in refused.json()["message"]
    assert tight("PUT", "/process_graphs/p0", json=graph("several")).status_code == 200
    tight("DELETE", "/process_graphs/p1")
    assert tight("PUT", "/process_graphs/p3", json=graph("one")).status_code == 200


def test_stored_processes_are_weighed(tight, graph):
    large = graph("one") | {"description": "x" * 15_000}
    assert tight("PUT", "/process_graphs/a", json=large).status_code == 200
    refused = tight("PUT", "/process_graphs/b", json=large)
    assert (refused.status_code, refused.json()["code"]) == (400, "StorageQuotaExceeded")
    assert "20000 bytes" in refused.json()["message"]
    assert tight("PUT", "/process_graphs/a", json=large).status_code == 200


def test_jobs_are_counted(tight, graph):
    jobs = [tight.create("one") for _ in range(4)]
    refused = tight("POST", "/jobs", json={"process": graph("one")})
    assert (refused.status_code, refused.json()["code"]) == (400, "StorageQuotaExceeded")
    assert "4 batch jobs" in refused.json()["message"]
    tight("DELETE", f"/jobs/{jobs[0]}")
    tight.create("one")


def test_a_user_queues_so_many_jobs_and_others_too(serve, users_file):
    with serve(users=users_file, limits=TIGHT) as ada:
        ada.log_in("ada", PASSWORDS["ada"])
        eve = ada.again()
        eve.log_in("eve", PASSWORDS["eve"])
        jobs = [ada.create("wait") for _ in range(3)]
        ada.start(jobs[0])
        ada.start(jobs[1])
        refused = ada("POST", f"/jobs/{jobs[2]}/results")
        assert (refused.status_code, refused.json()["code"]) == (429, "TooManyRequests")
        assert "2 jobs" in refused.json()["message"]
        assert int(refused.headers["Retry-After"]) > 0
        assert ada("GET", f"/jobs/{jobs[2]}").json()["status"] == "created"
        eve.start(eve.create("one"))
        ada("DELETE", f"/jobs/{jobs[1]}/results")
        ada.start(jobs[2])
        ada.executor.gate.set()


def test_a_user_waits_for_so_many_answers(tight, graph):
    waiting = [
        threading.Thread(target=tight, args=("POST", "/result"), kwargs={"json": {"process": graph("wait")}})
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    try:
        # They may be on their way still: both are in when a third is refused.
        answers = []
        tight.until(lambda: answers.append(impatient(tight, graph)) or refused(answers[-1]))
        answer = answers[-1]
        assert answer.json()["code"] == "TooManyRequests"
        assert "2 synchronous requests" in answer.json()["message"]
    finally:
        tight.executor.gate.set()
        for thread in waiting:
            thread.join()
    assert tight("POST", "/result", json={"process": graph("one")}).status_code == 200


def refused(answer: requests.Response | None) -> bool:
    return answer is not None and answer.status_code == 429


def impatient(client, graph) -> requests.Response | None:
    """Ask for a result and hang up when none comes at once."""
    try:
        return requests.post(client.url + "/result", json={"process": graph("one")}, timeout=0.5)
    except requests.Timeout:
        return None
