"""embed_sentinel1_sentinel2 from files, over HTTP and tile by tile: everywhere what the function gives."""

import json

import numpy as np
import openeo
import pytest
import xarray as xr
from openeo.rest import OpenEoApiError

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.processes.embed_sentinel1_sentinel2 import embed_sentinel1_sentinel2
from openeo_udf_fusion.udps import graph

from ..s1s2_cube import CLEAR, PERIOD, cube_of, write_collections
from ..training.s1s2 import made_up
from .conftest import bounding_box

CLOSE = {"rtol": 0, "atol": 1e-5}
FILES = ["S2_L2A_10m", "S2_L2A_20m", "S1_GRD_20m"]
BELGIAN = ["S2_L2A_10m", "S2_L2A_20m", "S1_GRD-ASCENDING_20m"]
DATES = ["2017-10-01", "2017-11-15"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A site of 14 x 24 pixels as collections: by file, and as `sentinel1` and `sentinel2`."""
    folder = tmp_path_factory.mktemp("site")
    write_collections(made_up(), folder)
    return folder


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    """The same as the files give it back: 20 m bands and flags on every second pixel."""
    site = made_up()
    exact = cube_of(site)
    stored = np.round(exact / 1e-4).astype(np.float64) * 1e-4  # integers, in the files
    cube = stored.astype(np.float32).where(exact["bands"] != "s2_SCL", exact)
    optical = cube["bands"].str.startswith("s2_B")
    cube = cube.where(~optical | (cube.sel(bands="s2_SCL", drop=True) == CLEAR))  # the files have 0 there
    coarse = [f"s2_{band}" for band in ("B05", "B06", "B07", "B8A", "B11", "B12", "SCL")] + ["s1_VV", "s1_VH"]
    for band in coarse:
        own = cube.sel(bands=band).values
        cube.loc[{"bands": band}] = own[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    return cube


@pytest.fixture(scope="module")
def connection(folder):
    with backend(folder) as url:
        yield openeo.connect(url)


def downloaded(cube, file) -> xr.Dataset:
    cube.download(file, format="netCDF")
    with xr.open_dataset(file) as found:
        return found.load()


def by_command(folder, out, data, **parameters) -> xr.Dataset:
    given = {"data": data, "s1_unit": "dB"} | parameters
    pairs = [part for name, value in given.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    run = ["run", "embed_sentinel1_sentinel2_cube", "--data", str(folder), *pairs]
    assert main([*run, "-o", str(out)]) == 0
    with xr.open_dataset(out) as found:
        return found.load()


def assert_same(found: xr.Dataset, expected: xr.DataArray) -> None:
    bands = expected["bands"].values.tolist()
    assert [name for name in found if name != "crs"] == bands
    values = found[bands].to_dataarray("bands").transpose("t", "bands", "y", "x")
    np.testing.assert_allclose(values, expected, **CLOSE)


@pytest.mark.parametrize("tile_px", [8, 12])
def test_tile_by_tile_is_the_whole(folder, cube, tmp_path, monkeypatch, tile_px):
    monkeypatch.setattr(graph, "TILE_PX", tile_px)
    found = by_command(folder, tmp_path / "tiles.nc", FILES, dates=DATES, reconstruct=True)
    assert_same(found, embed_sentinel1_sentinel2(cube, dates=DATES, s1_unit="dB", reconstruct=True))


def test_an_area_over_http_is_the_function(connection, cube, tmp_path):
    area = bounding_box(connection, "sentinel2")
    process = connection.datacube_from_process(
        "embed_sentinel1_sentinel2",
        spatial_extent=area,
        temporal_extent=PERIOD,
        s1_unit="dB",
        dates="P10D",
        margin_days=30,
        days_to_observation=True,
    )
    assert process.validate() == []
    found = downloaded(process, tmp_path / "area.nc")
    choices = {"dates": "P10D", "margin_days": 30, "days_to_observation": True}
    assert_same(found, embed_sentinel1_sentinel2(cube, PERIOD, s1_unit="dB", **choices))
    assert found.attrs["process"] == "embed_sentinel1_sentinel2"
    assert found["validity"].attrs["flag_meanings"].split()[0] == "nothing_within_reach"


def test_bytes_over_http_come_back_as_the_code(connection, cube, tmp_path):
    loaded = [connection.load_collection(name) for name in FILES]
    data = loaded[0].merge_cubes(loaded[1]).merge_cubes(loaded[2])
    process = connection.datacube_from_process(
        "embed_sentinel1_sentinel2_cube", data=data, dates=DATES, s1_unit="dB", encoding="int8"
    )
    found = downloaded(process, tmp_path / "bytes.nc")
    assert found["e0"].encoding["dtype"] == np.int8
    expected = embed_sentinel1_sentinel2(cube, dates=DATES, s1_unit="dB")
    np.testing.assert_allclose(found["e5"], expected.sel(bands="e5"), atol=0.51 / 127)
    # After arithmetic they are no whole numbers any more, and not stored as such.
    halved = downloaded(process.filter_bands(["e0"]) / 2, tmp_path / "halved.nc")
    assert halved["e0"].encoding["dtype"] == np.float32
    assert "scale_factor" not in halved["e0"].encoding
    np.testing.assert_allclose(halved["e0"], found["e0"] * 127 / 2, atol=1e-4)


def test_a_wrong_unit_is_refused_over_http(connection, tmp_path):
    process = connection.datacube_from_process(
        "embed_sentinel1_sentinel2_cube", data=connection.load_collection("S1_GRD_20m"), dates=DATES
    )
    with pytest.raises(OpenEoApiError, match=r"decibels.*s1_unit='dB'") as raised:
        process.download(tmp_path / "x.nc")
    assert raised.value.http_status_code == 400


def test_the_belgian_cube_is_the_same_from_files_over_http_and_tile_by_tile(
    shared_data, tmp_path, monkeypatch
):
    folder = shared_data / "belgium_landsat_sentinel"
    period = ["2018-05-01", "2018-06-15"]
    choices = {"temporal_extent": period, "dates": ["2018-05-09", "2018-06-01"]}
    whole = by_command(folder, tmp_path / "whole.nc", BELGIAN, **choices)
    assert dict(whole.sizes) == {"t": 2, "y": 64, "x": 64}
    assert (whole["validity"] >= 3).mean() > 0.95
    with backend(folder) as url:
        connection = openeo.connect(url)
        loaded = [connection.load_collection(name) for name in BELGIAN]
        data = loaded[0].merge_cubes(loaded[1]).merge_cubes(loaded[2])
        process = connection.datacube_from_process(
            "embed_sentinel1_sentinel2_cube", data=data, s1_unit="dB", **choices
        )
        xr.testing.assert_equal(downloaded(process, tmp_path / "http.nc"), whole)
    monkeypatch.setattr(graph, "TILE_PX", 24)
    tiles = by_command(folder, tmp_path / "tiles.nc", BELGIAN, **choices)
    xr.testing.assert_allclose(tiles, whole, **CLOSE)
