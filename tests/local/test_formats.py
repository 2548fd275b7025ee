"""Formats: what is written is read back, and tile by tile equals whole."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, UnsupportedFormat
from openeo_udf_fusion.local import formats
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.formats import FORMATS, Template, format_of, get_format, write, writer
from openeo_udf_fusion.local.grids import MODIS_SINUSOIDAL
from tests.local.results import ALL, READABLE, cube, read_back

# --- round trips


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(READABLE),
    dates=st.lists(
        st.datetimes(pd.Timestamp("1980-01-01"), pd.Timestamp("2100-01-01")), min_size=1, max_size=3
    ),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    bands=st.sampled_from([("B1",), ("modis_B2", "modis_B1"), ("B1", "B1_q10", "provenance")]),
    crs=st.sampled_from([MODIS_SINUSOIDAL, CRS.from_epsg(32632), CRS.from_epsg(3035), CRS.from_epsg(4326)]),
    south_up=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[str, str],
    dates: list[object],
    size: tuple[int, int],
    bands: tuple[str, ...],
    crs: CRS,
    south_up: bool,
    seed: int,
):
    whole = cube(tuple(sorted(str(date) for date in dates)), bands, size, crs, seed)
    if crs.is_geographic:
        whole = whole.assign_coords(y=48 - 0.01 * np.arange(size[0]), x=11 + 0.01 * np.arange(size[1]))
    if south_up:
        whole = whole.isel(y=slice(None, None, -1))
    folder = tmp_path_factory.mktemp("modis") / "MOD09"  # a name that would make bands of a sensor
    write(whole, folder / kind[1], kind[0])
    back = read_back(folder, kind[1]).sel(bands=list(bands))
    np.testing.assert_array_equal(back.values, whole.values)
    assert (back["t"].values == whole["t"].values).all()
    assert back["bands"].values.tolist() == list(bands)
    tolerance = 0 if kind[0] != "GTiff" else 1e-12
    np.testing.assert_allclose(back["x"], whole["x"], rtol=tolerance)
    np.testing.assert_allclose(back["y"], whole["y"], rtol=tolerance)
    assert back.rio.crs == whole.rio.crs


@pytest.mark.parametrize(("format", "name"), READABLE)
def test_attributes_of_bands_survive(tmp_path: Path, format: str, name: str):
    whole = cube()
    attrs = {
        "B1": {"long_name": "red", "units": "1", "ancillary_variables": ["B1_sigma", "provenance"]},
        "provenance": {"flag_values": [0, 1, 4], "flag_meanings": ["observed", "translated", "refused"]},
    }
    whole.attrs["band_attrs"] = attrs
    write(whole, tmp_path / "c" / name, format)
    back = read_back(tmp_path / "c", name).attrs["band_attrs"]
    assert back["B1"] == {"long_name": "red", "units": "1", "ancillary_variables": "B1_sigma provenance"}
    assert back["provenance"]["flag_values"] == [0, 1, 4]
    assert back["provenance"]["flag_meanings"] == "observed translated refused"


# --- tiles


@settings(max_examples=8, deadline=None)
@given(kind=st.sampled_from(ALL), rows=st.integers(4, 20), columns=st.integers(4, 30), seed=st.randoms())
def test_tiles_in_any_order_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory, kind: tuple[str, str], rows: int, columns: int, seed: object
):
    folder, whole = tmp_path_factory.mktemp("tiles"), cube()
    write(whole, folder / "whole" / kind[1], kind[0])
    places = [
        (slice(top, min(top + rows, 20)), slice(left, min(left + columns, 30)))
        for top, left in product(range(0, 20, rows), range(0, 30, columns))
    ]
    seed.shuffle(places)
    with writer(folder / "tiled" / kind[1], kind[0], Template.of(whole)) as opened:
        for y, x in places:
            opened.write(whole.isel(y=y, x=x).transpose("x", "bands", "t", "y"), y, x)
    if kind[0] == "Parquet":
        tables = [
            pd.read_parquet(folder / part / kind[1]).sort_values(["t", "y", "x"], ignore_index=True)
            for part in ("whole", "tiled")
        ]
        pd.testing.assert_frame_equal(*tables)
    else:
        first, second = (read_back(folder / part, kind[1]).values for part in ("whole", "tiled"))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("format", "name"), READABLE)
def test_tiles_come_from_any_thread(tmp_path: Path, format: str, name: str):
    whole = cube(size=(64, 64))
    with (
        writer(tmp_path / "c" / name, format, Template.of(whole)) as opened,
        ThreadPoolExecutor(8) as threads,
    ):
        places = [(slice(r, r + 8), slice(c, c + 8)) for r in range(0, 64, 8) for c in range(0, 64, 8)]
        list(threads.map(lambda place: opened.write(whole.isel(y=place[0], x=place[1]), *place), places))
    np.testing.assert_array_equal(read_back(tmp_path / "c", name).values, whole.values)


@pytest.mark.parametrize(("format", "name"), READABLE)
def test_a_place_that_no_tile_reached_is_missing(tmp_path: Path, format: str, name: str):
    whole = cube()
    with writer(tmp_path / "c" / name, format, Template.of(whole)) as opened:
        opened.write(whole.isel(y=slice(0, 10)), slice(0, 10), slice(0, 30))
    back = read_back(tmp_path / "c", name).values
    np.testing.assert_array_equal(back[:, :, :10], whole.values[:, :, :10])
    assert np.isnan(back[:, :, 10:]).all()


@pytest.mark.parametrize(("format", "name"), ALL)
def test_a_tile_that_does_not_fit_is_refused(tmp_path: Path, format: str, name: str):
    whole = cube()
    with (
        pytest.raises(InvalidCube, match=r"must have sizes .*'y': 10"),
        writer(tmp_path / name, format, Template.of(whole)) as opened,
    ):
        opened.write(whole, slice(0, 10), slice(0, 30))
    assert not list(tmp_path.iterdir())


def test_memory_is_that_of_a_tile(tmp_path: Path):
    template = Template.of(cube(size=(1024, 1024), bands=("B1",)).chunk())
    tile = cube(size=(128, 128), bands=("B1",))
    tracemalloc.start()
    with writer(tmp_path / "result.nc", "netCDF", template) as opened:
        for top, left in product(range(0, 1024, 128), repeat=2):
            opened.write(tile, slice(top, top + 128), slice(left, left + 128))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * tile.nbytes


# --- shapes of results


@pytest.mark.parametrize(("format", "name"), READABLE)
def test_results_without_time_or_bands_are_written(tmp_path: Path, format: str, name: str):
    still = cube(bands=("B1",)).isel(t=0, bands=0, drop=True).rename("mean")
    (path,) = write(still, tmp_path / name, format)
    if format == "GTiff":
        with rasterio.open(path) as file:
            assert file.descriptions == ("mean",)
            np.testing.assert_array_equal(file.read(1), still)
    else:
        engine = "zarr" if format == "Zarr" else "netcdf4"
        with xr.open_dataset(path, engine=engine) as back:
            np.testing.assert_array_equal(back["mean"], still)
            assert back["mean"].dims == ("y", "x")


@pytest.mark.parametrize("bands", [("a", "a"), ("t",), ("a/b",)])
def test_band_names_that_no_file_can_hold(tmp_path: Path, bands: tuple[str, ...]):
    with pytest.raises(InvalidCube, match="rename_labels"):
        write(cube(bands=bands), tmp_path / "r.nc", "netCDF")


# --- names and options


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("netcdf", "netCDF"),
        ("NETCDF", "netCDF"),
        ("ZARR", "Zarr"),
        ("gtiff", "GTiff"),
        ("GeoTIFF", "GTiff"),
        ("COG", "GTiff"),
        ("parquet", "Parquet"),
    ],
)
def test_names_of_formats_in_any_case(name: str, format: str):
    assert get_format(name) is FORMATS[format]


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_a_suffix_tells_the_format(format: formats.Format):
    assert format_of(Path("result" + format.suffix.upper())) == format.name
    assert formats.file_formats()["output"][format.name]["parameters"] == format.parameters


@pytest.mark.parametrize("path", ["result.xyz", "result"])
def test_an_unknown_suffix_names_the_known(path: str):
    with pytest.raises(UnsupportedFormat, match=r"netCDF|\.nc"):
        format_of(Path(path))


@pytest.mark.parametrize(
    ("format", "options", "error", "message"),
    [
        ("PNG", {}, UnsupportedFormat, "netCDF, Zarr, GTiff, Parquet"),
        ("netCDF", {"tiles": True}, UnsupportedFormat, "has no option tiles; it has compression"),
        ("netCDF", {"compression": 10}, InvalidParameter, "compression"),
        ("netCDF", {"compression": True}, InvalidParameter, "compression"),
        ("GTiff", {"compression": "zip"}, InvalidParameter, "DEFLATE"),
        ("Zarr", {"zarr_format": 4}, InvalidParameter, "zarr_format"),
        ("Parquet", {"skip_empty": "yes"}, InvalidParameter, "skip_empty"),
    ],
)
def test_unknown_formats_and_options_name_the_known(
    tmp_path: Path, format: str, options: dict[str, object], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        write(cube(), tmp_path / "r.x", format, options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("netCDF", {"compression": 0}),
        ("GTiff", {"compression": "none"}),
        ("Parquet", {"compression": "SNAPPY"}),
    ],
)
def test_options_are_taken(tmp_path: Path, format: str, options: dict[str, object]):
    assert write(cube(), tmp_path / f"r{FORMATS[format].suffix}", format, options)


# --- real data


def test_a_real_cube_goes_there_and_back(shared_data: Path, tmp_path: Path):
    source = get_collection(shared_data, "munich_modis").open(
        bands=["modis_B1", "modis_state_1km"], temporal_extent=["2022-06-01", "2022-07-01"]
    )
    for format, name in READABLE:
        write(source, tmp_path / format / name, format)
        back = read_back(tmp_path / format, name)
        np.testing.assert_array_equal(back.values, source.values)
        assert back.rio.crs == source.rio.crs
