"""A tour by the openEO Python client through every endpoint that the server offers."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openeo
import pystac
import pytest
import requests
import xarray as xr
from openeo.api.process import Parameter
from openeo.rest import OpenEoApiError

from tests.conformance import graphs, openapi
from tests.conformance.graphs import COLLECTION
from tests.conformance.served import PASSWORD, USER

BANDS = ["modis_B1", "modis_B2"]


@dataclass
class Tour:
    """A connection that notes every request, the values on disk, and a folder for what is downloaded."""

    connection: openeo.Connection
    source: xr.Dataset
    folder: Path
    requested: set[tuple[str, str]] = field(default_factory=set)

    def cube(self) -> openeo.DataCube:
        return self.connection.load_collection(COLLECTION, bands=BANDS)

    def assert_scaled(self, file: Path, factor: float) -> None:
        with xr.open_dataset(file) as result:
            found = result["modis_B1"].transpose("t", "y", "x").values
        np.testing.assert_allclose(found, factor * self.source["modis_B1"].values, rtol=1e-6)


@pytest.fixture
def tour(guarded, tmp_path) -> Tour:
    requested: set[tuple[str, str]] = set()

    def note(response: requests.Response, **_: object) -> None:
        requested.add((response.request.method, response.url.removeprefix(guarded.url).partition("?")[0]))

    session = requests.Session()
    session.hooks["response"].append(note)
    connection = openeo.connect(guarded.url, session=session)
    with xr.open_dataset(guarded.log.parent / "data" / COLLECTION / "cube.nc") as source:
        return Tour(connection, source.load(), tmp_path, requested)


def see_the_backend(tour: Tour) -> None:
    capabilities = tour.connection.capabilities()
    assert capabilities.api_version() == "1.2.0"
    assert capabilities.supports_endpoint("/jobs", "POST")
    assert not capabilities.supports_endpoint("/services")
    classes = tour.connection.get("/conformance").json()["conformsTo"]
    assert "https://api.openeo.org/1.2.0" in classes


def log_in(tour: Tour) -> None:
    with pytest.raises(OpenEoApiError, match="AuthenticationRequired"):
        tour.connection.list_jobs()
    with pytest.raises(OpenEoApiError, match="CredentialsInvalid"):
        tour.connection.authenticate_basic(USER, "wrong")
    tour.connection.authenticate_basic(USER, PASSWORD)
    assert tour.connection.describe_account()["user_id"] == USER


def discover(tour: Tour) -> None:
    assert tour.connection.list_collection_ids() == [COLLECTION, "other"]
    collection = tour.connection.describe_collection(COLLECTION)
    assert collection["cube:dimensions"]["bands"]["values"] == BANDS
    assert {"load_collection", "apply", "save_result", "run_udf"} <= {
        process["id"] for process in tour.connection.list_processes()
    }
    assert tour.connection.describe_process("load_collection")["parameters"][0]["name"] == "id"
    formats = tour.connection.list_file_formats()
    assert {"netCDF", "GTiff"} <= formats["output"].keys()
    assert formats["output"]["GTiff"]["gis_data_types"]
    (default,) = {runtime["default"] for runtime in tour.connection.list_udf_runtimes().values()}
    assert default in tour.connection.list_udf_runtimes()["Python"]["versions"]


def meet_what_is_not_offered(tour: Tour) -> None:
    for ask in (
        tour.connection.list_service_types,
        tour.connection.list_services,
        tour.connection.list_files,
        tour.cube().create_job(out_format="netCDF").estimate,
    ):
        with pytest.raises((OpenEoApiError, openeo.rest.OpenEoClientException)):
            ask()


def validate(tour: Tour) -> None:
    assert tour.cube().validate() == []
    for code, graph in graphs.BROKEN.items():
        errors = tour.connection.validate_process_graph(graph)
        assert code in [error["code"] for error in errors]
        assert all(error["message"] for error in errors)


def compute_synchronously(tour: Tour) -> None:
    (tour.cube() * 3).download(tour.folder / "thrice.nc")
    tour.assert_scaled(tour.folder / "thrice.nc", 3)
    with pytest.raises(OpenEoApiError, match="CollectionNotFound"):
        tour.connection.execute({"load": graphs.load(id="nothing") | {"result": True}})


def keep_a_process(tour: Tour) -> None:
    factor = Parameter.number("factor", description="The factor.", default=2)
    scaled = tour.connection.load_collection(COLLECTION, bands=["modis_B1"]) * factor
    process = tour.connection.save_user_defined_process(
        "scaled",
        scaled,
        parameters=[factor],
        summary="Scales",
        links=[{"rel": "about", "href": "https://x.y"}],
    )
    assert "scaled" in [listed["id"] for listed in tour.connection.list_user_defined_processes()]
    stored = process.describe()
    assert stored["process_graph"] == scaled.flat_graph()
    assert (stored["summary"], stored["parameters"][0]["default"]) == ("Scales", 2)
    rebuilt = tour.connection.datacube_from_flat_graph(stored["process_graph"])
    assert rebuilt.flat_graph() == stored["process_graph"]
    assert rebuilt.validate() == []
    for arguments, expected in (({}, 2), ({"factor": 5}, 5)):
        file = tour.folder / f"times_{expected}.nc"
        tour.connection.datacube_from_process("scaled", **arguments).download(file)
        tour.assert_scaled(file, expected)
    process.store(scaled + 0, parameters=[factor], summary="Scales anew")
    assert process.describe()["summary"] == "Scales anew"
    process.delete()
    with pytest.raises(OpenEoApiError, match="ProcessGraphNotFound"):
        process.describe()


def run_a_job(tour: Tour) -> None:
    job = (tour.cube() * 2).create_job(title="Twice", description="Of *June*.", out_format="netCDF")
    assert job.status() == "created"
    # The client has no method that changes a job.
    tour.connection.patch(f"/jobs/{job.job_id}", json={"title": "Twice as much"}, expected_status=204)
    with pytest.raises(OpenEoApiError, match="JobNotStarted"):
        job.get_results().get_metadata()
    job.start_and_wait(max_poll_interval=0.2, connection_retry_interval=0.2, print=lambda _: None)
    assert (job.status(), job.describe()["title"]) == ("finished", "Twice as much")
    assert job.job_id in [listed["id"] for listed in tour.connection.list_jobs()]
    assert [entry.level for entry in job.logs()]
    assert job.logs(level="error") == []

    metadata = job.get_results().get_metadata()
    collection = pystac.Collection.from_dict(metadata)
    assert [band["name"] for band in metadata["summaries"]["eo:bands"]] == BANDS
    assert collection.extent.temporal.intervals[0][0].isoformat() == "2022-06-01T00:00:00+00:00"
    (asset,) = job.get_results().get_assets()
    asset.download(tour.folder / "twice.nc")
    tour.assert_scaled(tour.folder / "twice.nc", 2)
    anonymous = requests.get(asset.href, timeout=60)
    assert anonymous.content == (tour.folder / "twice.nc").read_bytes()

    job.delete()
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        job.describe()


def cancel_a_job(tour: Tour) -> None:
    job = tour.cube().create_job(out_format="netCDF")
    job.start()
    job.stop()
    assert job.status() in ("created", "canceled", "finished")
    job.delete()


STOPS: tuple[Callable[[Tour], None], ...] = (
    see_the_backend,
    log_in,
    discover,
    meet_what_is_not_offered,
    validate,
    compute_synchronously,
    keep_a_process,
    run_a_job,
    cancel_a_job,
)


def test_the_client_gets_everywhere(tour, guarded):
    """One tour, because its last question is whether it has been to each endpoint."""
    for stop in STOPS:
        stop(tour)
    unseen = {
        (method, path)
        for method, path in openapi.advertised(guarded("GET", "/").json())
        if not any(
            method == asked and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), where)
            for asked, where in tour.requested
        )
    }
    assert unseen == set()
