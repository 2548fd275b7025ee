"""Formats: what is written is read back, tile by tile equals whole, and a failure leaves nothing behind."""

import errno
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, StorageFailed, UnsupportedFormat
from openeo_udf_fusion.local import formats
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.formats import FORMATS, Template, format_of, get_format, write, writer
from openeo_udf_fusion.local.grids import MODIS_SINUSOIDAL
from openeo_udf_fusion.local.writers.storage import storing

ALL = [
    ("netCDF", "result.nc"),
    ("Zarr", "result.zarr"),
    ("GTiff", "result.tif"),
    ("Parquet", "result.parquet"),
]
READABLE = ALL[:3]


def cube(
    dates: tuple[str, ...] = ("2022-01-01", "2022-01-09", "2022-03-05"),
    bands: tuple[str, ...] = ("B1", "B1_sigma", "provenance"),
    size: tuple[int, int] = (20, 30),
    crs: CRS = MODIS_SINUSOIDAL,
    seed: int = 0,
) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    values = rng.random((len(dates), len(bands), *size), dtype=np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    array = xr.DataArray(
        values,
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.array(dates, "datetime64[ns]"),
            "bands": list(bands),
            "y": 5_377_439.04437943 - 463.312716528 * np.arange(size[0]),
            "x": 833_731.23339199 + 463.312716528 * np.arange(size[1]),
        },
    )
    return array.rio.write_crs(crs.to_wkt())


def read_back(folder: Path, name: str) -> xr.DataArray:
    """The written result, as the collection it is."""
    only = list(folder.iterdir())
    id = Path(name).stem if len(only) == 1 else folder.name
    root = folder if len(only) == 1 else folder.parent
    return get_collection(root, id).open()


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


@pytest.mark.parametrize(
    ("format", "name", "options"),
    [
        ("netCDF", "result.nc", {}),
        ("Zarr", "result.zarr", {"zarr_format": 2}),
        ("Zarr", "result.zarr", {"zarr_format": 3}),
        ("GTiff", "result.tif", {}),
    ],
)
def test_whole_numbers_with_a_scale_come_back_as_what_they_stand_for(
    tmp_path: Path, format: str, name: str, options: dict[str, object]
):
    whole = cube(bands=("e0", "validity"))
    numbers = np.rint(254 * whole.values - 127)
    whole = whole.copy(data=numbers)
    whole.attrs["band_attrs"] = {"e0": {"scale_factor": 1 / 127, "_FillValue": -128, "dtype": "int8"}}
    write(whole, tmp_path / "c" / name, format, options)
    back = read_back(tmp_path / "c", name)
    np.testing.assert_allclose(back.sel(bands="e0"), numbers[:, 0] / 127, rtol=1e-6)
    np.testing.assert_array_equal(back.sel(bands="validity"), numbers[:, 1])
    if format != "GTiff":
        (file,) = (tmp_path / "c").iterdir()
        engine = "zarr" if format == "Zarr" else "netcdf4"
        with (
            xr.open_dataset(file, engine=engine) as decoded,
            xr.open_dataset(file, engine=engine, mask_and_scale=False) as stored,
        ):
            assert (stored["e0"].dtype, stored["validity"].dtype) == (np.int8, np.float32)
            np.testing.assert_allclose(decoded["e0"], numbers[:, 0] / 127, rtol=1e-6)


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


def test_parquet_has_a_row_per_pixel_and_date(tmp_path: Path):
    whole = cube()
    (path,) = write(whole, tmp_path / "result.parquet", "Parquet")
    table = pd.read_parquet(path)
    assert table.columns.tolist() == ["t", "y", "x", "B1", "B1_sigma", "provenance"]
    back = (
        table.set_index(["t", "y", "x"]).to_xarray().to_dataarray("bands").transpose("t", "bands", "y", "x")
    )
    expected = whole.sortby(["t", "y", "x"])
    np.testing.assert_array_equal(back.sel(bands=whole["bands"].values), expected)
    metadata = pq.read_schema(path).metadata
    assert CRS.from_wkt(metadata[b"crs"].decode()) == CRS.from_user_input(whole.rio.crs.to_wkt())


def test_parquet_leaves_out_empty_rows_on_request(tmp_path: Path):
    whole = cube()
    whole[:, :, 3:] = np.nan
    write(whole, tmp_path / "result.parquet", "Parquet", {"skip_empty": True})
    assert len(pd.read_parquet(tmp_path / "result.parquet")) == int((~np.isnan(whole)).any("bands").sum())


def test_netcdf_follows_cf(tmp_path: Path):
    (path,) = write(cube().assign_attrs(process="fuse", parameters={"a": None}), tmp_path / "r.nc", "netCDF")
    with netCDF4.Dataset(path) as file:
        band = file["B1"]
        assert band.dimensions == ("t", "y", "x")
        assert band.filters()["zlib"]
        assert band.filters()["shuffle"]
        assert band.filters()["complevel"] == 4
        assert band.chunking() == [3, 20, 30]
        assert file[band.grid_mapping].grid_mapping_name == "sinusoidal"
        assert file["t"].units == "days since 1970-01-01"
        assert file["x"].standard_name == "projection_x_coordinate"
        assert (file.Conventions, file.process, file.parameters) == ("CF-1.11", "fuse", '{"a": null}')


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_opens_in_xarray_with_consolidated_metadata(tmp_path: Path, version: int):
    whole = cube()
    write(whole, tmp_path / "r.zarr", "zarr", {"zarr_format": version})
    back = xr.open_zarr(tmp_path / "r.zarr", consolidated=True)
    assert (tmp_path / "r.zarr" / ("zarr.json" if version == 3 else ".zmetadata")).exists()
    np.testing.assert_array_equal(back["B1"], whole.sel(bands="B1"))
    assert back["B1"].dtype == np.float32
    assert back["t"].values.tolist() == whole["t"].values.tolist()


def test_geotiffs_are_cogs_with_names_and_overviews(tmp_path: Path):
    whole = cube(dates=("2022-01-01", "2022-01-09"), bands=("B1", "provenance"), size=(700, 600))
    files = write(whole, tmp_path / "r.tif", "GTiff")
    assert [file.name for file in files] == ["r_2022-01-01.tif", "r_2022-01-09.tif"]
    with rasterio.open(files[1]) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"]
        assert file.overviews(1)
        assert file.descriptions == ("B1", "provenance")
        assert np.isnan(file.nodata)
        np.testing.assert_array_equal(file.read(), whole[1])


@pytest.mark.parametrize(
    ("dates", "names"),
    [
        (("2022-01-01",), ["r.tif"]),
        (("2022-01-01", "2022-01-01"), ["r_2022-01-01.tif", "r_2022-01-01_2.tif"]),
        (("2022-01-01", "2022-01-01T10:30"), ["r_2022-01-01T000000.tif", "r_2022-01-01T103000.tif"]),
    ],
)
def test_names_of_geotiffs(tmp_path: Path, dates: tuple[str, ...], names: list[str]):
    whole = cube(dates, size=(4, 4))
    assert [file.name for file in write(whole, tmp_path / "c" / "r.tif", "GTiff")] == names
    np.testing.assert_array_equal(read_back(tmp_path / "c", "r.tif").values, whole.values)


def test_a_geotiff_cannot_hold_uneven_coordinates(tmp_path: Path):
    uneven = cube(size=(3, 3)).assign_coords(x=[0.0, 1.0, 5.0])
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        write(uneven, tmp_path / "r.tif", "GTiff")
    assert not list(tmp_path.iterdir())


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


# --- failures


def write_half(whole: xr.DataArray, path: Path, format: str) -> None:
    with writer(path, format, Template.of(whole)) as opened:
        opened.write(whole.isel(y=slice(0, 4)), slice(0, 4), slice(0, 30))
        raise ZeroDivisionError


@pytest.mark.parametrize(("format", "name"), ALL)
def test_an_error_in_the_middle_leaves_what_was_there(tmp_path: Path, format: str, name: str):
    before = cube(dates=("2021-01-01",), seed=1)
    write(before, tmp_path / name, format)
    listing = sorted(tmp_path.iterdir())
    whole = cube(dates=("2021-01-01",), seed=2)
    with pytest.raises(ZeroDivisionError):
        write_half(whole, tmp_path / name, format)
    assert sorted(tmp_path.iterdir()) == listing
    if format != "Parquet":
        np.testing.assert_array_equal(read_back(tmp_path, name).values, before.values)


@pytest.mark.parametrize(("format", "name"), ALL)
def test_a_new_result_takes_the_place_of_the_old(tmp_path: Path, format: str, name: str):
    for seed in (1, 2):
        whole = cube(dates=("2021-01-01",), seed=seed)
        assert write(whole, tmp_path / name, format) == [tmp_path / name]
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    if format != "Parquet":
        np.testing.assert_array_equal(read_back(tmp_path, name).values, whole.values)


class FullDisk:
    """A sink whose disk is full from the first, or only from the last byte."""

    def __init__(self, path: Path, at: str, error: Exception) -> None:
        self._at, self._error = at, error
        path.write_bytes(b"half a file")

    def store(self, values: np.ndarray, y: slice, x: slice) -> None:
        if self._at == "store":
            raise self._error

    def close(self) -> None:
        if self._at == "close":
            raise self._error

    def abandon(self) -> None:
        raise self._error


@pytest.mark.parametrize("at", ["store", "close"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error")],
    ids=["OSError", "RuntimeError"],
)
def test_a_full_disk_says_what_to_do_and_leaves_nothing(tmp_path: Path, at: str, error: Exception):
    full = formats.Format(
        "full", "", ".full", "", (), {}, lambda path, template, options: FullDisk(path, at, error)
    )
    FORMATS["full"] = full
    try:
        with pytest.raises(StorageFailed, match="free some space") as raised:
            write(cube(), tmp_path / "r.full", "full")
    finally:
        del FORMATS["full"]
    assert str(error) in str(raised.value)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np, xarray as xr
import rioxarray
from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.local.formats import write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
values = np.random.default_rng(0).random((2, 2, 200, 200), dtype=np.float32)
coords = {"t": np.array(["2022-01-01", "2022-01-02"], "datetime64[ns]"), "bands": ["a", "b"],
          "y": -np.arange(200.0), "x": np.arange(200.0)}
cube = xr.DataArray(values, coords, ("t", "bands", "y", "x")).rio.write_crs(32631)
for name, format in [("r.nc", "netCDF"), ("r.zarr", "Zarr"), ("r.tif", "GTiff"), ("r.parquet", "Parquet")]:
    for limit in (500, 20_000, 200_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write(cube, Path(sys.argv[1]) / name, format)
        except StorageFailed:
            continue
        sys.exit(f"{format} was written within {limit} bytes a file")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(cube, Path(sys.argv[1]) / "at_last.nc", "netCDF")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_files_that_the_system_cuts_short_leave_nothing(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["at_last.nc"]


@pytest.mark.parametrize(("format", "name"), ALL)
def test_a_folder_with_other_content_is_never_replaced(tmp_path: Path, format: str, name: str):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("keep")
    with pytest.raises(StorageFailed, match="choose another name"):
        write(cube(dates=("2022-01-01",)), tmp_path / name, format)
    assert (tmp_path / name / "mine.txt").read_text() == "keep"


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_a_name_that_cannot_be_given_leaves_all_earlier_files(tmp_path: Path, monkeypatch):
    """The last of three dates cannot be renamed: the earlier results are back, nothing else is there."""
    path = tmp_path / "r.tif"
    write(cube(seed=1), path, "GTiff")
    before, replace = content(tmp_path), os.replace

    def refuse_the_last(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tif" and Path(target).name == "r_2022-03-05.tif":
            raise OSError(errno.EROFS, "Read-only file system")
        replace(source, target)

    refused = cube(seed=2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse_the_last)
        with pytest.raises(StorageFailed, match="Read-only"):
            write(refused.isel(t=[0, 2]), path, "GTiff")
    assert content(tmp_path) == before
    write(refused, path, "GTiff")
    after = content(tmp_path)
    assert after.keys() == before.keys()
    assert not any(after[name] == before[name] for name in after)


@pytest.mark.parametrize("inside", ["mine.txt", "sub/mine.txt"])
def test_a_folder_with_the_name_of_a_date_is_never_replaced(tmp_path: Path, inside: str):
    mine = tmp_path / "r_2022-01-09.tif" / inside
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    with pytest.raises(StorageFailed, match=r"r_2022-01-09\.tif is a folder"):
        write(cube(), tmp_path / "r.tif", "GTiff")
    assert mine.read_text() == "keep"
    assert [path.name for path in tmp_path.iterdir()] == ["r_2022-01-09.tif"]


def test_the_target_of_a_link_is_left_alone(tmp_path: Path):
    for name in ("r_2022-01-01.tif", "r_2022-01-09.tif"):
        (tmp_path / f"kept_{name}").write_text("keep")
        (tmp_path / name).symlink_to(tmp_path / f"kept_{name}")
    write(cube(dates=("2022-01-01", "2022-01-09")), tmp_path / "r.tif", "GTiff")
    assert {file.read_text() for file in tmp_path.glob("kept_*")} == {"keep"}
    assert not any(file.name.startswith(".") for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    "raises",
    [
        lambda folder: OSError(errno.EROFS, "Read-only file system", f"{folder}/.r.nc.tmp"),
        lambda folder: RuntimeError(f"{folder}/.r.nc.tmp: HDF error"),
    ],
    ids=["OSError", "RuntimeError"],
)
def test_messages_name_the_file_and_not_its_folder(tmp_path: Path, raises: Callable[[Path], Exception]):
    """A server's client reads them."""
    with (
        pytest.raises(StorageFailed, match=r"^r\.nc could not be written") as raised,
        storing(tmp_path / "r.nc"),
    ):
        raise raises(tmp_path)
    assert str(tmp_path) not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="choose another folder"):
        write(cube(), tmp_path / "file" / "r.nc", "netCDF")


def test_a_real_cube_goes_there_and_back(shared_data: Path, tmp_path: Path):
    source = get_collection(shared_data, "munich_modis").open(
        bands=["modis_B1", "modis_state_1km"], temporal_extent=["2022-06-01", "2022-07-01"]
    )
    for format, name in READABLE:
        write(source, tmp_path / format / name, format)
        back = read_back(tmp_path / format, name)
        np.testing.assert_array_equal(back.values, source.values)
        assert back.rio.crs == source.rio.crs
