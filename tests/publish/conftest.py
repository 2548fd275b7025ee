"""Processes to spoil, embedded servers to publish to, and an archive of fake wheels."""

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openeo
import pytest
import requests

from openeo_udf_fusion import local, udps
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish import archive
from openeo_udf_fusion.publish.archive_wheels import Sources
from openeo_udf_fusion.publish.backend import PASSWORD_VARIABLE
from tests.publish.wheels import BASE, LINUX, TARGET, given_wheels_only, write_wheel

USER, PASSWORD = "ada", "s3cret"


@pytest.fixture
def process() -> Json:
    """A process of its own to each test."""
    return copy.deepcopy(udps.definitions()["harmonize_modis_viirs"])


@pytest.fixture(scope="session")
def empty_data(tmp_path_factory):
    """A data folder without collections: publishing needs none."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="session")
def open_server(empty_data):
    """An open server for all tests."""
    with local.backend(empty_data) as url:
        yield url


@pytest.fixture
def server(open_server):
    """The URL of an open server that nobody has published to."""
    yield open_server
    for process in requests.get(f"{open_server}/process_graphs", timeout=30).json()["processes"]:
        requests.delete(f"{open_server}/process_graphs/{process['id']}", timeout=30)


@pytest.fixture(scope="session")
def locked_server(empty_data):
    """A server that asks for USER and PASSWORD."""
    with local.backend(empty_data, user=USER, password=PASSWORD) as url:
        yield url


@pytest.fixture
def guarded_server(locked_server, monkeypatch):
    """The URL of a server that asks for USER and PASSWORD, which is in the environment; nothing is stored."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    yield locked_server
    connection = openeo.connect(locked_server).authenticate_basic(USER, PASSWORD)
    for process in connection.list_user_defined_processes():
        connection.user_defined_process(process["id"]).delete()


class FakeBackend:
    """A backend that answers what it is told (`answers`, by request), and remembers what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, tuple[int, Json]] = {}
        self.sent: list[tuple[str, str, bytes]] = []
        self.endpoints = [
            "GET /processes",
            "GET /process_graphs",
            "GET /process_graphs/{process_graph_id}",
            "PUT /process_graphs/{process_graph_id}",
        ]

    def capabilities(self) -> Json:
        """`GET /`."""
        listed = [endpoint.split() for endpoint in self.endpoints]
        return {
            "api_version": "1.2.0",
            "endpoints": [{"methods": [method], "path": path} for method, path in listed],
        }

    def answer(self, request: str) -> tuple[int, Json]:
        """The status and the JSON for a request such as `GET /processes`."""
        if request == "GET /":
            return 200, self.capabilities()
        unknown = 404, {"code": "NotFound", "message": f"no {request}"}
        return self.answers.get(request, unknown)


@pytest.fixture
def fake_backend():
    """A `FakeBackend` on a port of its own."""
    fake = FakeBackend()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0]
            fake.sent.append((f"{self.command} {path}", self.headers.get("authorization", ""), body))
            status, answer = fake.answer(f"{self.command} {path}")
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = respond  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory) -> Path:
    """What an onnx archive needs, and what the workers have."""
    folder = tmp_path_factory.mktemp("wheels")
    write_wheel(
        folder,
        "onnxruntime",
        tag=f"cp311-cp311-{LINUX}",
        requires=(
            "numpy>=1",
            "flat-buffers",
            'windows-only; sys_platform == "win32"',
            'old; python_version<"3"',
        ),
        files={
            "onnxruntime/tests/test_it.py": "",
            "onnxruntime/backend/test/data.py": "",
            "onnxruntime/lib.pyi": "",
            "onnxruntime/old.pyc": "",
            "onnxruntime/contest.py": "",
        },
    )
    write_wheel(folder, "flat-buffers", requires=("typing-things",), licence="Apache-2.0")
    write_wheel(folder, "typing-things")
    for name in BASE:
        write_wheel(folder, name, "2099.1", requires=("only-the-base-needs-me",))
    write_wheel(folder, "only-the-base-needs-me")
    return folder


@pytest.fixture
def sources(wheels) -> Sources:
    """Where pip looks: in that folder alone."""
    return Sources(str(wheels), no_index=True)


@pytest.fixture
def no_other_wheels(monkeypatch) -> None:
    """pip as the machine has not configured it."""
    given_wheels_only(monkeypatch)


@pytest.fixture(scope="session")
def built(wheels, tmp_path_factory) -> archive.Built:
    """An archive for the runtime onnx; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        given_wheels_only(patch)
        out = tmp_path_factory.mktemp("out")
        return archive.build("onnx", TARGET, out, sources=Sources(str(wheels), no_index=True))
