"""Clients that ask for results and do not take them: their place and their room stay theirs, for a while."""

import json
import socket
from contextlib import ExitStack, contextmanager

import pytest

from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.quota import size_of

from .conftest import until
from .test_quota import MB, serve  # noqa: F401 - the fixture


@contextmanager
def stalled(client, graph):
    """A request for 10 MB whose answer is not read."""
    body = json.dumps({"process": graph("one")}).encode()
    host, port = client.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        head = f"POST /result HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield connection


def waiting(client):
    return list((client.state / "scratch").iterdir())


@pytest.fixture
def slow(serve, graph):  # noqa: F811 - the fixture
    """Start a server, and so many clients that do not read; yields another client and their connections."""

    @contextmanager
    def start(readers, **settings):
        with serve(**settings) as url, ExitStack() as stack:
            client = serve.client(url)
            yield client, [stack.enter_context(stalled(client, graph)) for _ in range(readers)]

    return start


def test_what_is_not_read_counts_for_the_quota_of_its_user(slow, graph):
    with slow(2, user_quota_bytes=25 * MB) as (client, _):
        answer = client("POST", "/result", json={"process": graph("one")})
        assert (answer.status_code, answer.json()["code"]) == (400, "StorageQuotaExceeded")
        assert size_of(client.state / "scratch") < 26 * MB
        job = client.run("one")
        assert client("GET", f"/jobs/{job}").json()["status"] == "error"
        assert client("GET", f"/jobs/{job}/logs").json()["logs"][-1]["code"] == "StorageQuotaExceeded"


def test_whoever_does_not_read_keeps_a_place(slow, graph):
    with slow(2, limits=Limits(synchronous_per_user=2)) as (client, connections):
        answer = client("POST", "/result", json={"process": graph("one")})
        assert (answer.status_code, answer.json()["code"]) == (429, "TooManyRequests")
        connections[0].close()
        until(lambda: len(waiting(client)) == 1)
        until(lambda: client("POST", "/result", json={"process": graph("one")}).status_code == 200)


def test_whoever_takes_nothing_is_hung_up(slow, graph, caplog):
    limits = Limits(synchronous_per_user=1, answer_seconds=0.1)
    with slow(1, limits=limits) as (client, _):
        until(lambda: not waiting(client))
        until(lambda: client("POST", "/result", json={"process": graph("one")}).status_code == 200)
    assert any("took nothing of its result for 0.1 s" in record.getMessage() for record in caplog.records)
