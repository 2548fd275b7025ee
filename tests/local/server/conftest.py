"""A server on a tiny data folder, and a fake executor at the seam whose runs a test can hold and let go."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import requests
import xarray as xr
from argon2 import PasswordHasher

from openeo_udf_fusion.errors import Cancelled, StorageFailed, UdfFailed
from openeo_udf_fusion.local.executor import LogEntry, Progress, RunResult
from openeo_udf_fusion.local.server import accounts
from openeo_udf_fusion.local.server.accounts_file import put
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.serving import running
from openeo_udf_fusion.local.server.settings import Settings

PASSWORDS = {"ada": "the sea in June", "eve": "apples: eleven"}

METADATA = {
    "bbox": [11.0, 48.0, 11.1, 48.1],
    "epsg": 32632,
    "wkt2": "PROJCRS[...]",
    "dates": ["2022-01-01", "2022-01-09"],
    "bands": ["B1", "B2"],
    "band_attrs": {"B1": {"long_name": "Red"}},
}


@dataclass
class StagedExecutor:
    """Does what the process of the result node is called; `wait` runs until `gate` is set, tile by tile."""

    gate: threading.Event = field(default_factory=threading.Event)
    tiles: int = 4
    runs: list[str] = field(default_factory=list)

    def run(
        self,
        process,
        workspace,
        output,
        *,
        format=None,
        options=None,
        progress=None,
        log=None,
        cancelled=lambda: False,
        tiles=None,
    ):
        (node,) = process["process_graph"].values()
        self.runs.append(node["process_id"])
        log(LogEntry("debug", "a detail", datetime.now(UTC)))
        log(LogEntry("info", "four tiles", datetime.now(UTC)))
        for tile in range(self.tiles):
            if node["process_id"] == "wait" and tile == 2:
                while not self.gate.wait(0.01):
                    if cancelled():
                        raise Cancelled("cancelled between tiles")
            progress and progress(Progress(tile + 1, self.tiles, 1e6))
        return getattr(self, f"_{node['process_id']}", self._one)(output)

    def check(self, process, workspace):
        return []

    def _one(self, output):
        (output / "result.nc").write_bytes(b"CDF" + bytes(5000))
        return RunResult(files=[output / "result.nc"], metadata=METADATA)

    def _several(self, output):
        files = [output / f"result_2022-01-0{day}.tif" for day in (1, 9)]
        for file in files:
            file.write_bytes(b"II*\0" + file.name.encode())
        return RunResult(files=files, metadata=METADATA)

    def _store(self, output):
        (output / "result.zarr" / "B1").mkdir(parents=True)
        (output / "result.zarr" / "zarr.json").write_text("{}")
        (output / "result.zarr" / "B1" / "0").write_bytes(b"chunk")
        return RunResult(files=[output / "result.zarr"], metadata=METADATA)

    def _udf(self, output):
        raise UdfFailed(
            'the UDF raised\nTraceback (most recent call last):\n  File "udf"\nZeroDivisionError: by zero'
        )

    def _bug(self, output):
        raise KeyError("a secret path")

    def _full(self, output):
        (output / "result.nc").write_bytes(b"half of i")
        raise StorageFailed("no space left on device")


def _graph(process_id: str) -> dict:
    return {"process_graph": {"node": {"process_id": process_id, "arguments": {}, "result": True}}}


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it does not happen within 10 s")


@dataclass
class Client:
    """Plain HTTP, where the openEO client would be too polite."""

    url: str
    state: Path
    executor: StagedExecutor
    token: str | None = None

    def __call__(self, method: str, path: str, **kwargs) -> requests.Response:
        headers = dict(kwargs.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer basic//{self.token}")
        return requests.request(method, self.url + path, headers=headers, timeout=30, **kwargs)

    def again(self) -> "Client":
        """The same server, seen by nobody in particular."""
        return Client(self.url, self.state, self.executor)

    def log_in(self, user: str, password: str) -> requests.Response:
        """Ask for a token, and keep it."""
        response = self("GET", "/credentials/basic", auth=(user.encode(), password.encode()))
        self.token = response.json().get("access_token")
        return response

    def create(self, process_id: str, **properties) -> str:
        response = self("POST", "/jobs", json={"process": _graph(process_id), **properties})
        assert response.status_code == 201, response.text
        return response.headers["OpenEO-Identifier"]

    def start(self, job: str) -> None:
        assert self("POST", f"/jobs/{job}/results").status_code == 202

    def wait(self, job: str, *statuses: str) -> dict:
        until(lambda: self("GET", f"/jobs/{job}").json()["status"] in statuses)
        return self("GET", f"/jobs/{job}").json()

    def run(self, process_id: str, **properties) -> str:
        job = self.create(process_id, **properties)
        self.start(job)
        self.wait(job, "finished", "error")
        return job

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition)

    def messages(self, job: str, **query) -> list[str]:
        return [entry["message"] for entry in self("GET", f"/jobs/{job}/logs", params=query).json()["logs"]]


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Two collections: MODIS-like red and near infrared, 3 dates, 6 x 5 pixels of 20 m in UTM 32N."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(1)
    coords = {
        "t": np.array(["2022-06-01", "2022-06-09", "2022-06-17"], "datetime64[ns]"),
        "y": 5_330_000.0 - 20.0 * np.arange(6),
        "x": 690_000.0 + 20.0 * np.arange(5),
    }
    crs = xr.DataArray(
        0, attrs={"spatial_ref": "EPSG:32632", "crs_wkt": "EPSG:32632", "grid_mapping_name": "x"}
    )
    bands = {
        name: (("t", "y", "x"), rng.uniform(0.05, 0.5, (3, 6, 5)).astype("float32"), {"grid_mapping": "crs"})
        for name in ("modis_B1", "modis_B2")
    }
    for collection in ("modis", "other"):
        (folder / collection).mkdir()
        xr.Dataset(bands | {"crs": crs}, coords).to_netcdf(folder / collection / "cube.nc")
    return folder


@pytest.fixture
def serve(data, tmp_path) -> Callable[..., AbstractContextManager[Client]]:
    """Start servers over the fake executor, by default all in one state folder."""

    @contextmanager
    def start(state: Path = tmp_path / "state", **settings) -> Iterator[Client]:
        executor = StagedExecutor()
        with running(create_app(Settings(data, state, **settings), executor=executor)) as url:
            yield Client(url, state, executor)

    return start


@pytest.fixture
def serve_for_real(data, tmp_path) -> Callable[..., AbstractContextManager[Client]]:
    """As `serve`, over the real executor."""

    @contextmanager
    def start(**settings) -> Iterator[Client]:
        state = tmp_path / "state"
        with running(create_app(Settings(data, state, **settings))) as url:
            yield Client(url, state, StagedExecutor())

    return start


@pytest.fixture(scope="session")
def shared(data, tmp_path_factory) -> Iterator[Client]:
    """One open server for all tests that need no start of their own."""
    executor, state = StagedExecutor(), tmp_path_factory.mktemp("shared") / "state"
    with running(
        create_app(Settings(data, state, limits=Limits(body_bytes=1_000_000)), executor=executor)
    ) as url:
        yield Client(url, state, executor)


@pytest.fixture
def client(shared) -> Iterator[Client]:
    """The shared server, with neither jobs nor processes of another test."""
    shared.executor.gate = threading.Event()
    shared.executor.runs.clear()
    yield shared
    shared.executor.gate.set()
    for job in shared("GET", "/jobs").json()["jobs"]:
        shared("DELETE", f"/jobs/{job['id']}")
    for process in shared("GET", "/process_graphs").json()["processes"]:
        shared("DELETE", f"/process_graphs/{process['id']}")


@pytest.fixture(scope="session")
def shared_guarded(data, tmp_path_factory) -> Iterator[Client]:
    """As `shared`, with a user and a password."""
    executor, state = StagedExecutor(), tmp_path_factory.mktemp("guarded") / "state"
    with running(create_app(Settings(data, state, "ada", "s3cret:ü"), executor=executor)) as url:
        yield Client(url, state, executor)


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Hashes that take no time, by the same code."""
    patch = pytest.MonkeyPatch()
    patch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def hashes(cheap_hashes) -> dict[str, str]:
    """The hashes of the passwords of two users."""
    return {user: accounts.hash_password(password) for user, password in PASSWORDS.items()}


@pytest.fixture
def users_file(hashes, tmp_path) -> Path:
    """A file of accounts with ada and eve."""
    file = tmp_path / "users"
    for user, hashed in hashes.items():
        put(file, user, hashed)
    return file


@pytest.fixture(scope="session")
def shared_users(data, hashes, tmp_path_factory) -> Iterator[tuple[Client, Client]]:
    """One server of two users, seen by either."""
    folder, executor = tmp_path_factory.mktemp("users"), StagedExecutor()
    for user, hashed in hashes.items():
        put(folder / "users", user, hashed)
    settings = Settings(data, folder / "state", users=folder / "users")
    with running(create_app(settings, executor=executor)) as url:
        clients = [Client(url, settings.state, executor) for _ in PASSWORDS]
        for client, (user, password) in zip(clients, PASSWORDS.items(), strict=True):
            client.log_in(user, password)
        yield clients[0], clients[1]


@pytest.fixture
def ada(shared_users) -> Client:
    """A user."""
    return shared_users[0]


@pytest.fixture
def eve(shared_users) -> Client:
    """Another user of the same server."""
    return shared_users[1]


@pytest.fixture
def graph() -> Callable[[str], dict]:
    """The process that makes the fake executor do what it is called."""
    return _graph
