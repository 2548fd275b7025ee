"""Fusing and sharpening from files, over HTTP and tile by tile: everywhere what the functions give."""

import json

import numpy as np
import openeo
import pytest
import xarray as xr
from openeo.rest import OpenEoApiError

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2
from openeo_udf_fusion.processes.sharpen_landsat_thermal import sharpen_landsat_thermal
from openeo_udf_fusion.processes.sharpen_sentinel2 import sharpen_sentinel2
from openeo_udf_fusion.udps import EMBEDDED, graph, landsat_sentinel2

from ..landsat_sentinel2_cube import CLEAR_QA, LANDSAT, PERIOD, SENTINEL2, cube_of
from .conftest import bounding_box

pytestmark = pytest.mark.usefixtures("random_fusion")

BELGIAN = ["S2_L2A_10m", "S2_L2A_20m", "L8_SR_10m", "L8_L2-ST_10m"]
PROCESSES = {
    "fuse_landsat_sentinel2": (fuse_landsat_sentinel2, ["2018-04-24", "2018-06-20"]),
    "sharpen_sentinel2": (sharpen_sentinel2, ["2018-04-11", "2018-06-20"]),
    "sharpen_landsat_thermal": (sharpen_landsat_thermal, ["2018-05-07", "2018-06-24"]),
}
EVERY = pytest.mark.parametrize("process", PROCESSES)


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return cube_of(51, 75)


@pytest.fixture(scope="module")
def folder(cube, tmp_path_factory):
    """The made-up site as the collections `sentinel2` and `landsat`."""
    folder = tmp_path_factory.mktemp("site")
    for name, sensor in (("sentinel2", "s2"), ("landsat", "l8")):
        own = cube.sel(bands=cube["bands"].str.startswith(sensor)).dropna("t", how="all")
        (folder / name).mkdir()
        own.to_dataset("bands").to_netcdf(folder / name / "images.nc")
        (folder / name / "collection.json").write_text(json.dumps({"crs": "EPSG:32631"}))
    return folder


@pytest.fixture
def connection(folder):
    with backend(folder) as url:
        yield openeo.connect(url)


def downloaded(cube, file) -> xr.Dataset:
    cube.download(file, format="netCDF")
    with xr.open_dataset(file) as found:
        return found.load()


def by_command(process, folder, out, data, **parameters) -> xr.Dataset:
    given = {"data": data} | parameters
    pairs = [part for name, value in given.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    assert main(["run", f"{process}_cube", "--data", str(folder), *pairs, "-o", str(out)]) == 0
    with xr.open_dataset(out) as found:
        return found.load()


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Within 1e-5: reflectance itself, temperature as the network counts it, 1000 K."""
    assert [name for name in found if name != "crs"] == [name for name in expected if name != "crs"]
    for name in expected.data_vars:
        limit = {"atol": 1e-5, "rtol": 0} if not name.endswith("LST") else {"atol": 1e-2, "rtol": 0}
        if "provenance" in name:
            limit = {"atol": 0, "rtol": 0}
        np.testing.assert_allclose(found[name], expected[name], err_msg=str(name), **limit)


@EVERY
def test_tile_by_tile_is_the_whole(process, folder, cube, tmp_path, monkeypatch):
    monkeypatch.setattr(landsat_sentinel2, "TILE_PX", 48)
    function, dates = PROCESSES[process]
    choices = {"dates": dates, "days_to_observation": True}
    found = by_command(process, folder, tmp_path / "tiles.nc", ["sentinel2", "landsat"], **choices)
    assert_same(found, function(cube, **choices).to_dataset("bands"))


@EVERY
def test_an_area_over_http_is_the_function(process, connection, cube, tmp_path):
    function, dates = PROCESSES[process]
    area = bounding_box(connection, "sentinel2")
    asked = connection.datacube_from_process(
        process, spatial_extent=area, temporal_extent=PERIOD, dates=dates
    )
    assert asked.validate() == []
    found = downloaded(asked, tmp_path / "area.nc")
    assert_same(found, function(cube, PERIOD, dates).to_dataset("bands"))
    assert found.attrs["process"] == process


def test_landsats_own_grid_is_moved_onto_cells_of_sentinel2(tmp_path):
    """Its pixels of 30 m lie half a pixel beside: a plane comes out as it is at the centres of the cells."""
    fine = {"y": 5_000_000.0 - 5 - 10 * np.arange(21), "x": 500_000.0 + 5 + 10 * np.arange(30)}
    own = {"y": 5_000_000.0 + 30 - 30 * np.arange(10), "x": 500_000.0 - 30 + 30 * np.arange(13)}
    date = {"t": np.array(["2018-05-01"], "datetime64[ns]")}

    def plane(grid):
        east, south = grid["x"] - 500_000, 5_000_000 - grid["y"]
        return (0.1 + 1e-4 * east + 3e-4 * south[:, None])[None].astype(np.float32)

    def write(name, grid, bands):
        made = xr.Dataset({band: (("t", "y", "x"), values) for band, values in bands.items()}, date | grid)
        (tmp_path / name).mkdir()
        made.to_netcdf(tmp_path / name / "images.nc")
        (tmp_path / name / "collection.json").write_text(json.dumps({"crs": "EPSG:32631"}))

    write("sentinel2", fine, {f"s2_{name}": plane(fine) for name in (*SENTINEL2, "SCL")})
    bands = {f"l8_{name}": plane(own) for name in LANDSAT} | {"l8_QA_PIXEL": plane(own) * 0 + CLEAR_QA}
    write("landsat", own, bands)
    loading = landsat_sentinel2.both_sensors(EMBEDDED)
    known = [graph.SPATIAL_EXTENT, graph.TEMPORAL_EXTENT, *landsat_sentinel2.source_parameters(EMBEDDED)]
    with backend(tmp_path) as url:
        connection = openeo.connect(url)
        connection.save_user_defined_process("both_sensors", loading.flat_graph(), known)
        west, east, south, north = 500_000, 500_300, 4_999_790, 5_000_000
        area = {"west": west, "east": east, "south": south, "north": north, "crs": 32631}
        asked = connection.datacube_from_process(
            "both_sensors", spatial_extent=area, temporal_extent=["2018-05-01", "2018-05-02"]
        )
        found = downloaded(asked, tmp_path / "both.nc")
    centres = {axis: values[1::3].repeat(3) for axis, values in fine.items()}
    for name in ("l8_B3", "l8_LST"):
        # At the last cells half of what bilinear interpolation needs lies beyond the area.
        np.testing.assert_allclose(found[name][:, 3:-3, 3:-3], plane(centres)[:, 3:-3, 3:-3], atol=1e-6)
        assert found[name].notnull().all()
    assert (found["l8_QA_PIXEL"] == CLEAR_QA).all()
    np.testing.assert_array_equal(found["s2_B05"], plane(fine))


def test_a_wrong_unit_and_an_unknown_parameter_are_told_over_http(connection, tmp_path):
    loaded = connection.load_collection("landsat").merge_cubes(connection.load_collection("sentinel2"))
    celsius = loaded.apply(lambda value: value - 273.15)
    asked = connection.datacube_from_process(
        "sharpen_landsat_thermal_cube", data=celsius, temporal_extent=PERIOD
    )
    with pytest.raises(OpenEoApiError, match=r"degrees Celsius"):
        asked.download(tmp_path / "x.nc")
    asked = connection.datacube_from_process(
        "fuse_landsat_sentinel2_cube", data=loaded, temporal_extent=PERIOD, sensors=["modis"]
    )
    with pytest.raises(OpenEoApiError, match="one or both"):
        asked.download(tmp_path / "x.nc")


def test_the_belgian_cube_is_the_same_from_files_over_http_and_tile_by_tile(
    shared_data, tmp_path, monkeypatch
):
    monkeypatch.delenv("OPENEO_UDF_FUSION_MODELS")  # the shipped weights
    folder = shared_data / "belgium_landsat_sentinel"
    choices = {
        "temporal_extent": ["2018-06-01", "2018-08-01"],
        "dates": ["2018-06-15", "2018-07-24"],
        "landsat_cell_offset_px": [2, 1],
    }
    process = "fuse_landsat_sentinel2"
    whole = by_command(process, folder, tmp_path / "whole.nc", BELGIAN, **choices)
    assert dict(whole.sizes) == {"t": 2, "y": 64, "x": 64}
    assert whole["s2_B04"].notnull().mean() > 0.95
    assert (whole["l8_provenance"][1] == 0).mean() > 0.5  # a clear day of Landsat
    assert 280 < float(whole["l8_LST"].median()) < 325
    with backend(folder) as url:
        connection = openeo.connect(url)
        data = connection.load_collection(BELGIAN[0])
        for name in BELGIAN[1:]:
            data = data.merge_cubes(connection.load_collection(name))
        asked = connection.datacube_from_process(f"{process}_cube", data=data, **choices)
        xr.testing.assert_equal(downloaded(asked, tmp_path / "http.nc"), whole)
    monkeypatch.setattr(landsat_sentinel2, "TILE_PX", 33)
    assert_same(by_command(process, folder, tmp_path / "tiles.nc", BELGIAN, **choices), whole)
