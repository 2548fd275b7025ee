"""A tiny generated scene, a server on it, and the answers of the plain function to compare with."""

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import openeo
import pytest
import xarray as xr

from openeo_udf_fusion.demo.sample import write_sample
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

UDP_FOLDER = Path(__file__).resolve().parents[2] / "udp"
SIZE_PX = 8
PERIOD = ["2023-06-01", "2023-07-20"]
DATES = ["2023-06-05", "2023-06-20", "2023-07-05"]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    """A data folder with the generated collections `modis` and `viirs`."""
    folder = tmp_path_factory.mktemp("scene")
    write_sample(folder, size_px=SIZE_PX)
    return folder


@pytest.fixture(scope="session")
def url(scene, published) -> Iterator[str]:
    with backend(scene, private_namespaces=[published]) as url:
        yield url


@pytest.fixture(scope="session")
def connection(url) -> openeo.Connection:
    return openeo.connect(url)


@pytest.fixture(scope="session")
def area(connection) -> dict:
    """The whole scene."""
    return bounding_box(connection, "modis")


def bounding_box(connection: openeo.Connection, collection: str) -> dict:
    box = connection.describe_collection(collection)["extent"]["spatial"]["bbox"][0]
    return dict(zip(("west", "south", "east", "north"), box, strict=True))


@pytest.fixture(scope="session")
def merged(scene) -> xr.DataArray:
    """Both sensors in `PERIOD`, read by xarray alone: (t, bands, y, x), reflectance and flags."""
    with (
        xr.open_dataset(scene / "modis" / "modis_2023.nc") as modis,
        xr.open_dataset(scene / "viirs" / "viirs_2023.nc") as viirs,
    ):
        both = xr.merge([modis, viirs]).drop_vars("crs").load()
    inside = (both.time >= np.datetime64(PERIOD[0])) & (both.time < np.datetime64(PERIOD[1]))
    return both.sel(time=inside).to_dataarray("bands").rename(time="t").transpose("t", "bands", "y", "x")


@pytest.fixture(scope="session")
def expected(merged) -> xr.Dataset:
    """What the plain function makes of it with the defaults, a variable per band."""
    return harmonize_modis_viirs(merged.astype(np.float32), temporal_extent=PERIOD).to_dataset("bands")


@pytest.fixture
def harmonised(connection, area) -> openeo.DataCube:
    """Our process with its defaults."""
    return connection.datacube_from_process(
        "harmonize_modis_viirs", spatial_extent=area, temporal_extent=PERIOD
    )


@pytest.fixture
def small(connection, area) -> openeo.DataCube:
    """Two bands of our process on three dates."""
    cube = connection.datacube_from_process(
        "harmonize_modis_viirs", spatial_extent=area, temporal_extent=PERIOD, dates=DATES
    )
    return cube.filter_bands(["B1", "B2_sigma"])


@pytest.fixture
def result(tmp_path) -> Callable[[openeo.DataCube], xr.Dataset]:
    """Download a cube as netCDF and open it: dims (t, y, x), a variable per band."""

    def download(cube: openeo.DataCube) -> xr.Dataset:
        cube.download(tmp_path / "result.nc", format="netCDF")
        with xr.open_dataset(tmp_path / "result.nc") as opened:
            loaded = opened.load()
        return loaded.drop_vars("crs").transpose(*[dim for dim in ("t", "y", "x") if dim in loaded.dims])

    return download


@pytest.fixture(scope="session")
def published() -> Iterator[str]:
    """The URL under which the files of `udp/` are served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=UDP_FOLDER)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
