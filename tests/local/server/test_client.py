"""The openEO Python client, end to end, on the real executor."""

import http.server
import json
import threading
from functools import partial

import numpy as np
import openeo
import pytest
import xarray as xr
from openeo.api.process import Parameter
from openeo.rest import JobFailedException, OpenEoApiError

from openeo_udf_fusion.local import backend

UDF = """
import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    return cube * {factor}
"""


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    """A folder, and the URL under which a web server offers it."""
    folder = tmp_path_factory.mktemp("definitions")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def url(data, definitions):
    with backend(data, private_namespaces=[definitions[1]]) as url:
        yield url


@pytest.fixture(scope="module")
def connection(url):
    return openeo.connect(url).authenticate_basic("anybody", "anything")


@pytest.fixture(scope="module")
def source(data) -> xr.Dataset:
    with xr.open_dataset(data / "modis" / "cube.nc") as cube:
        return cube.load()


@pytest.fixture
def cube(connection):
    return connection.load_collection("modis", bands=["modis_B1", "modis_B2"])


def values(path, band: str) -> np.ndarray:
    with xr.open_dataset(path) as result:
        return result[band].transpose("t", "y", "x").values


def test_discovery(connection):
    assert connection.capabilities().api_version() == "1.2.0"
    assert connection.list_collection_ids() == ["modis", "other"]
    assert connection.describe_collection("modis")["cube:dimensions"]["bands"]["values"] == [
        "modis_B1",
        "modis_B2",
    ]
    ids = {process["id"] for process in connection.list_processes()}
    assert {"load_collection", "apply_neighborhood", "run_udf", "save_result", "ndvi", "mask"} <= ids
    assert connection.describe_process("run_udf")["id"] == "run_udf"
    assert "Python" in connection.list_udf_runtimes()
    assert {"netCDF", "GTiff", "Zarr", "Parquet"} <= connection.list_file_formats()["output"].keys()
    assert connection.describe_account()["user_id"] == "anonymous"


def test_predefined_processes_of_this_project_have_their_graphs(connection):
    for process_id in ("harmonize_modis_viirs", "harmonize_modis_viirs_cube"):
        assert connection.describe_process(process_id)["process_graph"]


def test_a_cube_is_downloaded_as_it_is_on_disk(cube, source, tmp_path):
    cube.download(tmp_path / "cube.nc")
    for band in ("modis_B1", "modis_B2"):
        np.testing.assert_array_equal(values(tmp_path / "cube.nc", band), source[band].values)


def test_several_dates_are_downloaded_as_a_zip(cube, tmp_path):
    cube.download(tmp_path / "cube.zip", format="GTiff")
    assert (tmp_path / "cube.zip").read_bytes().startswith(b"PK")


def test_a_batch_job_from_graph_to_files(cube, source, tmp_path):
    job = (cube * 2).execute_batch(
        tmp_path / "twice.nc", title="Twice", max_poll_interval=0.1, connection_retry_interval=0.1, print=str
    )
    np.testing.assert_allclose(
        values(tmp_path / "twice.nc", "modis_B1"), 2 * source["modis_B1"].values, rtol=1e-6
    )
    assert job.describe()["title"] == "Twice"
    assert job.describe()["progress"] == 100
    files = job.get_results().download_files(tmp_path / "files")
    assert sorted(file.name for file in files) == ["job-results.json", "result.nc"]
    metadata = job.get_results().get_metadata()
    assert metadata["extent"]["temporal"]["interval"] == [["2022-06-01T00:00:00Z", "2022-06-17T00:00:00Z"]]
    west, south, east, north = metadata["extent"]["spatial"]["bbox"][0]
    assert 11 < west < east < 12
    assert 48 < south < north < 49
    assert [band["name"] for band in metadata["summaries"]["eo:bands"]] == ["modis_B1", "modis_B2"]
    job.delete()
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        job.describe()


def test_a_udf_runs(cube, source, tmp_path):
    job = cube.apply(openeo.UDF(UDF.format(factor=3))).create_job(out_format="netCDF")
    job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    (asset,) = job.get_results().get_assets()
    asset.download(tmp_path / "thrice.nc")
    np.testing.assert_allclose(
        values(tmp_path / "thrice.nc", "modis_B2"), 3 * source["modis_B2"].values, rtol=1e-6
    )


def test_a_udf_that_fails_shows_its_traceback(cube):
    job = cube.apply(openeo.UDF(UDF.format(factor="(1 // 0)"))).create_job(out_format="netCDF")
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    assert "ZeroDivisionError" in job.logs(level="error")[-1]["message"]
    with pytest.raises(OpenEoApiError, match="UdfFailed"):
        job.get_results().get_metadata()


@pytest.fixture
def scaled(connection):
    """A user-defined process: `modis` times `factor`."""
    factor = Parameter.number("factor", description="The factor.", default=2)
    graph = (connection.load_collection("modis", bands=["modis_B1"]) * factor).flat_graph()
    return {"process_graph": graph, "parameters": [factor]}


def test_a_user_defined_process_is_stored_used_and_deleted(connection, scaled, source, tmp_path):
    process = connection.save_user_defined_process("scaled_modis", **scaled)
    try:
        assert "scaled_modis" in [listed["id"] for listed in connection.list_user_defined_processes()]
        assert process.describe()["parameters"][0]["name"] == "factor"
        connection.datacube_from_process("scaled_modis", factor=5).download(tmp_path / "five.nc")
        expected = 5 * source["modis_B1"].values
        np.testing.assert_allclose(values(tmp_path / "five.nc", "modis_B1"), expected, rtol=1e-6)
    finally:
        process.delete()
    assert len(connection.list_user_defined_processes()) == 0


@pytest.fixture
def definition_url(scaled, definitions):
    folder, base = definitions
    parameters = [parameter.to_dict() for parameter in scaled["parameters"]]
    definition = {"id": "scaled_modis", **scaled, "parameters": parameters}
    (folder / "scaled_modis.json").write_text(json.dumps(definition))
    return f"{base}/scaled_modis.json"


def test_a_process_is_used_by_the_url_of_its_definition(connection, definition_url, source, tmp_path):
    cube = connection.datacube_from_process("scaled_modis", namespace=definition_url, factor=4)
    assert cube.validate() == []
    cube.download(tmp_path / "four.nc")
    np.testing.assert_allclose(
        values(tmp_path / "four.nc", "modis_B1"), 4 * source["modis_B1"].values, rtol=1e-6
    )


def test_no_file_is_read_by_a_namespace(connection, scaled, tmp_path):
    (tmp_path / "secret.json").write_text(json.dumps({"id": "secret", "process_graph": {}}))
    for namespace in (str(tmp_path / "secret.json"), (tmp_path / "secret.json").as_uri()):
        cube = connection.datacube_from_process("secret", namespace=namespace)
        assert [error["code"] for error in cube.validate()] == ["PermissionsInsufficient"]


def test_validation_finds_errors_and_leaves_parameters_open(connection, cube):
    assert cube.validate() == []
    wrong = connection.datacube_from_process("no_such_process")
    assert [error["code"] for error in wrong.validate()] == ["ProcessUnsupported"]
    unknown = connection.load_collection("nothing", fetch_metadata=False)
    assert [error["code"] for error in unknown.validate()] == ["CollectionNotFound"]
    open_parameter = connection.load_collection(
        Parameter.string("id", description="Which."), fetch_metadata=False
    )
    assert open_parameter.validate() == []


def test_errors_of_a_synchronous_run_reach_the_client(connection, tmp_path):
    with pytest.raises(OpenEoApiError, match="CollectionNotFound"):
        connection.load_collection("nothing", fetch_metadata=False).download(tmp_path / "x.nc")
    assert not (tmp_path / "x.nc").exists()


def test_jobs_survive_a_restart(data, tmp_path):
    with backend(data, state=tmp_path / "state") as url:
        job = openeo.connect(url).load_collection("modis").create_job(out_format="GTiff")
        job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    with backend(data, state=tmp_path / "state") as url:
        results = openeo.connect(url).job(job.job_id).get_results()
        files = results.download_files(tmp_path / "files", include_stac_metadata=False)
    assert sorted(file.name for file in files) == [f"result_2022-06-{day}.tif" for day in ("01", "09", "17")]


def test_a_password_is_asked_for(data):
    with backend(data, user="ada", password="pw") as url:
        connection = openeo.connect(url)
        with pytest.raises(OpenEoApiError, match="AuthenticationRequired"):
            connection.list_jobs()
        with pytest.raises(OpenEoApiError, match="CredentialsInvalid"):
            connection.authenticate_basic("ada", "wrong")
        assert len(connection.authenticate_basic("ada", "pw").list_jobs()) == 0
