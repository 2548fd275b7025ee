"""Servers and resolvers that take their time, and addresses where clouds keep credentials."""

import socket
import threading
from contextlib import closing

import pytest

from openeo_udf_fusion.errors import FusionError, UnknownProcess
from openeo_udf_fusion.local.server import namespaces
from openeo_udf_fusion.local.server.errors import ForbiddenNamespace
from openeo_udf_fusion.local.server.namespaces import NamespaceReader


@pytest.mark.parametrize(
    "address", ["fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "::ffff:100.100.100.200"]
)
def test_metadata_in_networks_of_ones_own_stays_closed(address):
    url = "http://definitions.example/udp/"
    read = NamespaceReader((), (url,), lambda host, port: [address])
    with pytest.raises(ForbiddenNamespace, match="does not talk to"):
        read(url + "p.json")


def test_a_name_that_is_never_resolved_is_given_up(monkeypatch):
    monkeypatch.setattr(namespaces, "TIMEOUT_S", 0.1)
    never = threading.Event()
    url = "http://definitions.example/"
    try:
        with pytest.raises(UnknownProcess, match="resolved in time"):
            NamespaceReader((url,), (), lambda host, port: never.wait(60) or [])(url)
    finally:
        never.set()


def test_what_a_resolver_raises_is_said():
    def fail(host, port):
        raise socket.gaierror("no such name")

    url = "http://definitions.example/"
    with pytest.raises(UnknownProcess, match="no such name"):
        NamespaceReader((url,), (), fail)(url)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_sends_a_byte_now_and_then_is_left_at_the_deadline(monkeypatch, scheme):
    """Each byte comes in time for the socket; the headers, or the greeting of TLS, never end."""
    monkeypatch.setattr(namespaces, "TIMEOUT_S", 0.3)
    left = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with closing(connection):
            start = b"HTTP/1.1 200 OK\r\nX: " if scheme == "http" else b"\x16\x03\x03\x3f\xff"
            try:
                connection.sendall(start)
                while not left.wait(0.02):
                    connection.sendall(b"a")
            except OSError:
                left.set()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        url = f"{scheme}://localhost:{listener.getsockname()[1]}/"
        reader = NamespaceReader((), (url,), lambda host, port: ["127.0.0.1"])
        ended: list[Exception] = []

        def ask():
            try:
                reader(url)
            except FusionError as error:
                ended.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(20)
        hangs = asking.is_alive()
        left.set()
        server.join(20)
    assert not hangs
    assert isinstance(ended[0], UnknownProcess)
