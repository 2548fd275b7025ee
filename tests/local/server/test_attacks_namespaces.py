"""Namespaces as a way into the operator's network, or out of it."""

import json
import socket
import threading

import pytest

from openeo_udf_fusion.errors import InvalidGraph, InvalidParameter, UnknownProcess
from openeo_udf_fusion.local.server import namespaces
from openeo_udf_fusion.local.server.errors import ForbiddenNamespace
from openeo_udf_fusion.local.server.namespaces import NamespaceReader
from tests.local.server.definitions import PROCESS, at, offered

PUBLIC = "93.184.215.14"


@pytest.fixture
def server():
    with offered({"/udp/add_one.json": (200, None, json.dumps(PROCESS))}) as server:
        yield server


@pytest.fixture
def no_connection(monkeypatch):
    """Whoever connects to anything fails the test."""

    def refuse(address, *args, **kwargs):
        pytest.fail(f"a connection to {address}")

    monkeypatch.setattr(namespaces.socket, "create_connection", refuse)


# --- over HTTP


def used(client, namespace: str) -> dict:
    """The error of a graph that uses a process of a namespace, in /validation, /result and a batch job."""
    node = {"process_id": "add_one", "namespace": namespace, "arguments": {}, "result": True}
    graph = {"process_graph": {"n": node}}
    (found,) = client("POST", "/validation", json=graph).json()["errors"]
    refused = client("POST", "/result", json={"process": graph})
    assert (refused.status_code, refused.json()["code"]) == (403, found["code"])
    job = client("POST", "/jobs", json={"process": graph}).headers["OpenEO-Identifier"]
    client.start(job)
    client.wait(job, "error")
    assert client("GET", f"/jobs/{job}/results").json()["code"] == found["code"]
    return found


def test_a_server_reads_no_url_until_its_operator_allows_it(serve_for_real, server):
    with serve_for_real() as client:
        for url in (
            f"http://127.0.0.1:{server.server_port}/udp/add_one.json",
            f"http://localhost:{server.server_port}/udp/add_one.json",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "/etc/passwd",
        ):
            found = used(client, url)
            assert found["code"] == "PermissionsInsufficient"
        assert "--allow-namespace" in used(client, "https://good.example/x.json")["message"]
    assert server.seen == []


def test_a_public_prefix_opens_no_private_address(serve_for_real, server):
    """The name is the operator's choice, the address is the name's."""
    base = f"http://localhost:{server.server_port}/udp/"
    with serve_for_real(namespaces=(base,)) as client:
        found = used(client, f"{base}add_one.json")
        assert found["code"] == "PermissionsInsufficient"
        assert "--allow-private-namespace" in found["message"]
    assert server.seen == []


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",  # credentials of machines on Alibaba Cloud
        "169.254.169.254",  # and elsewhere
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
    ],
)
def test_no_address_inside_is_talked_to(no_connection, address):
    for addresses in ([address], [PUBLIC, address], [address, PUBLIC]):
        read = NamespaceReader(["http://good.example/"], resolve=at(*addresses))
        with pytest.raises(ForbiddenNamespace, match="does not talk to"):
            read("http://good.example/x.json")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::1]", "localhost"]
)
def test_no_spelling_of_this_machine_is_talked_to(no_connection, host):
    """Even where the operator allowed that very text as a public one."""
    read = NamespaceReader([f"http://{host}/"])
    with pytest.raises((ForbiddenNamespace, UnknownProcess)):
        read(f"http://{host}/x.json")


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "168.63.129.16", "::"]
)
def test_a_private_prefix_opens_no_metadata_of_the_machine(no_connection, address):
    read = NamespaceReader((), ["http://definitions.internal/"], resolve=at(address))
    with pytest.raises(ForbiddenNamespace):
        read("http://definitions.internal/latest/meta-data/")


def test_a_private_prefix_opens_private_addresses_below_it_alone(server):
    base = f"http://definitions.internal:{server.server_port}"
    read = NamespaceReader(["http://good.example/"], [f"{base}/udp/"], resolve=at("127.0.0.1"))
    assert read(f"{base}/udp/add_one.json") == PROCESS
    for url in (f"{base}/other.json", "http://good.example/x.json"):
        with pytest.raises(ForbiddenNamespace):
            read(url)
    host = f"definitions.internal:{server.server_port}"
    assert server.seen == [(host, "/udp/add_one.json", None)]


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_used(server, monkeypatch):
    """DNS rebinding: the second answer would be an address inside."""
    connected = []
    real = socket.create_connection

    def create(address, *args, **kwargs):
        connected.append(address)
        return real(("127.0.0.1", server.server_port), *args, **kwargs)

    monkeypatch.setattr(namespaces.socket, "create_connection", create)
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    read = NamespaceReader(["http://good.example/udp/"], resolve=lambda host, port: next(answers))
    assert read("http://good.example/udp/add_one.json") == PROCESS
    assert connected == [(PUBLIC, 80)]
    assert server.seen == [("good.example", "/udp/add_one.json", None)]


def test_proxies_of_the_environment_see_nothing(server, monkeypatch):
    """A proxy would resolve the name itself."""
    with offered({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        base = f"http://definitions.internal:{server.server_port}"
        assert NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}/udp/add_one.json") == PROCESS
        assert proxy.seen == []


# --- redirects


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:{port}/udp/add_one.json",
        "http://definitions.internal:{port}/secret.json",
        "http://definitions.internal:{port}@evil.example/udp/",
        "//evil.example/udp/add_one.json",
        "../secret.json",
        "/udp/../secret.json",
        "/udp/%2e%2e/secret.json",
        "file:///etc/passwd",
        "ftp://definitions.internal/udp/x",
        "data:application/json,{{}}",
        "https://definitions.internal:{port}/udp/add_one.json",
        "\\\\evil.example\\udp",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere_else(server, status, location):
    port = server.server_port
    server.pages["/udp/moved.json"] = (status, location.format(port=port), "")
    server.pages["/secret.json"] = (200, None, json.dumps({"id": "secret"}))
    base = f"http://definitions.internal:{port}/udp/"
    read = NamespaceReader((), [base], resolve=at("127.0.0.1"))
    with pytest.raises(ForbiddenNamespace):
        read(f"{base}moved.json")
    assert [path for _, path, _ in server.seen] == ["/udp/moved.json"]


def test_a_redirect_below_the_prefix_is_followed_and_its_address_checked_anew(server):
    server.pages["/udp/moved.json"] = (302, "add_one.json", "")
    base = f"http://definitions.internal:{server.server_port}/udp/"
    resolve = at("127.0.0.1")
    assert NamespaceReader((), [base], resolve=resolve)(f"{base}moved.json") == PROCESS
    assert resolve.asked == 2


def test_a_redirect_to_itself_ends(server):
    server.pages["/udp/loop.json"] = (302, "loop.json", "")
    base = f"http://definitions.internal:{server.server_port}/udp/"
    with pytest.raises(UnknownProcess, match="more than 5 times"):
        NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}loop.json")


def test_a_redirect_to_nowhere_is_refused(server):
    server.pages["/udp/empty.json"] = (302, "", "")
    base = f"http://definitions.internal:{server.server_port}/udp/"
    with pytest.raises(UnknownProcess):
        NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}empty.json")


# --- what comes back


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ((200, None, "[1]"), InvalidGraph),
        ((200, None, "<html>"), InvalidGraph),
        ((200, None, "[" * 100_000), InvalidGraph),
        ((200, None, " " * (5 * 2**20) + "{}"), InvalidGraph),
        ((404, None, "{}"), UnknownProcess),
        ((500, None, "{}"), UnknownProcess),
        ((204, None, ""), UnknownProcess),
    ],
)
def test_what_is_no_definition_is_refused(server, page, error):
    server.pages["/udp/x.json"] = page
    base = f"http://definitions.internal:{server.server_port}/udp/"
    with pytest.raises(error):
        NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}x.json")


def test_a_server_that_drips_is_left(monkeypatch):
    monkeypatch.setattr(namespaces, "TIMEOUT_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    done = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not done.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        base = f"http://definitions.internal:{port}/"
        with pytest.raises(UnknownProcess):
            NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}x.json")
    finally:
        done.set()
        thread.join()
        listener.close()


# --- how often


def test_a_graph_reads_a_url_once_and_not_many(serve_for_real, server):
    """Ten thousand nodes are no ten thousand requests to somebody else's server."""
    base = f"http://127.0.0.1:{server.server_port}"
    with serve_for_real(private_namespaces=(base,)) as client:
        nodes = {
            f"n{number}": {
                "process_id": "add_one",
                "namespace": f"{base}/udp/add_one.json",
                "arguments": {},
                "result": number == 0,
            }
            for number in range(50)
        }
        client("POST", "/validation", json={"process_graph": nodes})
        assert len(server.seen) == 1
        for number, node in enumerate(nodes.values()):
            server.pages[f"/udp/{number}.json"] = (200, None, json.dumps(UDP))
            node["namespace"] = f"{base}/udp/{number}.json"
        (found,) = client("POST", "/validation", json={"process_graph": nodes}).json()["errors"]
        assert found["code"] == "ProcessGraphInvalid"
        assert "more than 20 different URLs" in found["message"]
        assert len(server.seen) == 21


UDP = {
    "id": "add_one",
    "process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 1}, "result": True}},
}


@pytest.mark.parametrize(
    "prefix", ["good.example", "https://good.example/?x", "file:///srv", "https://u@good.example"]
)
def test_a_prefix_that_is_none_stops_the_start(prefix):
    for prefixes in ([prefix], ()), ((), [prefix]):
        with pytest.raises(InvalidParameter):
            NamespaceReader(*prefixes)
