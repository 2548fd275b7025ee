"""Process definitions over HTTP and from files."""

import http.server
import json
import threading
from functools import partial

import pytest

from openeo_udf_fusion.errors import InvalidGraph, UnknownProcess
from openeo_udf_fusion.local.fetch import fetch_json, read_process

PROCESS = {"id": "add_one", "process_graph": {}}


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers with what is wrong with a server."""

    def do_GET(self):
        status, headers, body = {
            "/process": (200, {}, json.dumps(PROCESS)),
            "/moved": (302, {"Location": "/process"}, ""),
            "/to_file": (302, {"Location": self.server.secret.as_uri()}, ""),
            "/loop": (302, {"Location": "/loop"}, ""),
            "/list": (200, {}, "[1]"),
            "/text": (200, {}, "<html>"),
            "/large": (200, {}, " " * 100_000 + "{}"),
            "/broken": (500, {}, ""),
        }.get(self.path, (404, {}, ""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.path == "/slow":
            threading.Event().wait(0.5)
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.secret = tmp_path_factory.mktemp("secret") / "secret.json"
        server.secret.write_text(json.dumps(PROCESS))
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("path", ["/process", "/moved"])
def test_a_definition_is_read_over_http(url, path):
    assert fetch_json(url + path) == PROCESS
    assert read_process(url + path) == PROCESS


@pytest.mark.parametrize("path", ["/to_file", "/loop", "/nothing", "/broken"])
def test_what_cannot_be_read_is_unknown(url, path):
    with pytest.raises(UnknownProcess, match="cannot be read"):
        fetch_json(url + path)


@pytest.mark.parametrize("path", ["/list", "/text"])
def test_what_is_no_json_object_is_invalid(url, path):
    with pytest.raises(InvalidGraph):
        fetch_json(url + path)


def test_only_so_much_is_read(url):
    with pytest.raises(InvalidGraph, match="larger than the 1000 bytes"):
        fetch_json(url + "/large", max_bytes=1000)


def test_nobody_listens(url):
    with pytest.raises(UnknownProcess):
        fetch_json("http://127.0.0.1:9/process", timeout_s=2)


@pytest.mark.parametrize(
    "scheme", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,{}", "/etc/passwd", "C:\\x", ""]
)
def test_no_other_scheme_is_fetched(scheme):
    with pytest.raises(UnknownProcess, match="http or https"):
        fetch_json(scheme)


def test_files_are_read_for_whoever_may_name_them(server, tmp_path):
    assert read_process(str(server.secret)) == PROCESS
    with pytest.raises(UnknownProcess):
        read_process(str(tmp_path / "nothing.json"))
