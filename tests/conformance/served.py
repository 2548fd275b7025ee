"""`openeo-udf-fusion serve` as an operator starts it: a process of its own, on files of its own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import xarray as xr

from tests.conformance import graphs
from tests.conformance.graphs import COLLECTION

USER, PASSWORD = "ada", "correct:horse"
OTHER_USER, OTHER_PASSWORD = "eve", "battery:staple"
COMMAND = (sys.executable, "-m", "openeo_udf_fusion.cli.main")
_ADDRESS = re.compile(r"openEO API at (http://\S+)")


@dataclass(frozen=True)
class Served:
    """A running server and, where it asks for one, a token."""

    url: str
    log: Path
    token: str | None = None

    def __call__(self, method: str, path: str, **kwargs) -> requests.Response:
        """Send one request, with the token unless `headers` say otherwise."""
        headers = {"Authorization": f"Bearer basic//{self.token}"} if self.token else {}
        headers |= kwargs.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **kwargs)

    def logged_in(self, user: str, password: str) -> "Served":
        """The same server for a user."""
        answer = requests.get(f"{self.url}/credentials/basic", auth=(user, password), timeout=60)
        answer.raise_for_status()
        return Served(self.url, self.log, answer.json()["access_token"])

    def without_token(self) -> "Served":
        """The same server for somebody who has not logged in."""
        return Served(self.url, self.log)


def write_collections(folder: Path) -> Path:
    """Two collections of red and near infrared: 3 dates, 6 x 5 pixels of 20 m in UTM 32N."""
    rng = np.random.default_rng(1)
    coords = {
        "t": np.array(["2022-06-01", "2022-06-09", "2022-06-17"], "datetime64[ns]"),
        "y": 5_330_000.0 - 20.0 * np.arange(6),
        "x": 690_000.0 + 20.0 * np.arange(5),
    }
    crs = xr.DataArray(0, attrs={"spatial_ref": "EPSG:32632", "crs_wkt": "EPSG:32632"})
    for collection in (COLLECTION, "other"):
        bands = {
            name: (("t", "y", "x"), rng.uniform(0.05, 0.5, (3, 6, 5)).astype("f4"), {"grid_mapping": "crs"})
            for name in ("modis_B1", "modis_B2")
        }
        (folder / collection).mkdir(parents=True)
        xr.Dataset(bands | {"crs": crs}, coords).to_netcdf(folder / collection / "cube.nc")
    return folder


@contextmanager
def serve(folder: Path, accounts: dict[str, str]) -> Iterator[Served]:
    """Run the command on a data folder that is made in `folder`; the first of the accounts logs in.

    No account: the server is open. One: as `--user`. Several: as a file of `openeo-udf-fusion user add`.
    """
    command = [*COMMAND, "serve", "--port", "0", "--state", str(folder / "state")]
    command += ["--data", str(write_collections(folder / "data"))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if len(accounts) == 1:
        ((user, password),) = accounts.items()
        command += ["--user", user]
        environment["OPENEO_UDF_FUSION_PASSWORD"] = password
    elif accounts:
        command += ["--users", str(_write_accounts(folder / "users", accounts))]
    log = folder / "serve.log"
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = _wait_for_address(process, log)
            served = Served(url, log)
            yield served.logged_in(*next(iter(accounts.items()))) if accounts else served
        finally:
            process.terminate()
            process.wait(30)


def _write_accounts(file: Path, accounts: dict[str, str]) -> Path:
    for user, password in accounts.items():
        command = [*COMMAND, "user", "add", str(file), user]
        subprocess.run(command, input=f"{password}\n", text=True, check=True, capture_output=True)
    return file


def finish_a_job(served: Served, graph: dict | None = None) -> str:
    """Create a job, run it and wait for its end, which is soon; its id."""
    process = {"process_graph": graph or graphs.copied()}
    job = served("POST", "/jobs", json={"process": process}).headers["OpenEO-Identifier"]
    served("POST", f"/jobs/{job}/results").raise_for_status()
    assert wait_for(served, job) == "finished"
    return job


def wait_for(served: Served, job: str) -> str:
    """The status in which a job ends, which is soon."""
    pause = threading.Event()
    for _ in range(600):
        status = served("GET", f"/jobs/{job}").json()["status"]
        if status in ("finished", "error", "canceled"):
            return status
        pause.wait(0.1)
    raise AssertionError(f"job {job} does not end within a minute; its status is {status}")


def _wait_for_address(process: subprocess.Popen, log: Path) -> str:
    """Read until the server says where it is; what it says later goes to the log."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        found = _ADDRESS.search(line)
        if found:
            log.write_text("".join(lines))
            threading.Thread(target=_drain, args=(process.stderr, log), daemon=True).start()
            return found[1]
    raise RuntimeError("the server did not start:\n" + "".join(lines))


def _drain(stream: Iterator[str], log: Path) -> None:
    with log.open("a") as file:
        for line in stream:
            file.write(line)
            file.flush()
