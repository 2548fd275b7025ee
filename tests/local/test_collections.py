"""Collections: what is found, what is read, and that a window of a cube equals the cube's window."""

import json
import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.errors import (
    ForbiddenPath,
    FusionError,
    InvalidCollection,
    InvalidParameter,
    MissingBands,
    NoDataAvailable,
    UnknownCollection,
)
from openeo_udf_fusion.local.collections import find_collections, get_collection
from tests.local.collection_files import DATES, UTM, dataset, geotiff

# --- what is a collection


def test_folders_and_files_are_collections_by_name(data: Path):
    dataset().to_netcdf(data / "single.nc")
    dataset().to_zarr(data / "store.zarr", zarr_format=2)
    (data / "folder").mkdir()
    dataset().to_netcdf(data / "folder" / "a.nc")
    geotiff(data / "tiles" / "2022-01-01" / "B1.tif", np.ones((4, 4), np.float32))
    (data / "empty").mkdir()
    (data / "notes").mkdir()
    (data / "notes" / "readme.txt").write_text("no raster here")
    (data / ".hidden.nc").write_bytes(b"")
    assert list(find_collections(data)) == ["folder", "single", "store", "tiles"]


def test_a_file_gives_way_to_a_folder_of_its_name(data: Path):
    (data / "a").mkdir()
    dataset().to_netcdf(data / "a" / "x.nc")
    dataset().to_netcdf(data / "a.nc")
    assert list(find_collections(data)) == ["a", "a.nc"]


def test_an_unknown_id_names_what_is_near(data: Path):
    dataset().to_netcdf(data / "munich_modis.nc")
    with pytest.raises(UnknownCollection, match="did you mean munich_modis"):
        get_collection(data, "munich_modus")


@pytest.mark.parametrize("id", ["../secret", "/etc/passwd", "a/b", "..", "..\\secret"])
def test_an_id_is_no_path(data: Path, id: str):
    with pytest.raises(ForbiddenPath):
        get_collection(data, id)


def test_links_out_of_the_folder_are_not_followed(data: Path):
    dataset().to_netcdf(data.parent / "secret.nc")
    (data / "linked.nc").symlink_to(data.parent / "secret.nc")
    (data / "folder").mkdir()
    (data / "folder" / "inner.nc").symlink_to(data.parent / "secret.nc")
    assert "linked" not in find_collections(data)
    with pytest.raises(ForbiddenPath):
        get_collection(data, "linked.nc")
    with pytest.raises(ForbiddenPath):
        get_collection(data, "folder").open()


def test_links_inside_the_folder_are_followed_once(data: Path):
    (data / "folder").mkdir()
    dataset().to_netcdf(data / "elsewhere.nc")
    (data / "folder" / "inner.nc").symlink_to(data / "elsewhere.nc")
    (data / "folder" / "loop").symlink_to(data / "folder")
    assert get_collection(data, "folder").open().sizes["t"] == 3


# --- what a cube looks like


def test_a_cube_has_canonical_dims_and_coordinates(data: Path):
    source = dataset(time="time")
    source.to_netcdf(data / "c.nc")
    cube = get_collection(data, "c").open()
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube.dtype == np.float32
    assert cube.chunks is not None
    assert cube["t"].dtype == np.dtype("datetime64[ns]")
    assert (cube["t"].values == DATES).all()
    assert cube["bands"].values.tolist() == ["B1", "B2"]
    np.testing.assert_array_equal(cube["y"], source["y"])
    np.testing.assert_array_equal(cube["x"], source["x"])
    assert cube.rio.crs.to_epsg() == 32631
    np.testing.assert_array_equal(cube.values, np.stack([source["B1"], source["B2"]], axis=1))


def test_the_order_of_rows_is_the_file_s(data: Path):
    south_up = dataset().isel(y=slice(None, None, -1))
    south_up.to_netcdf(data / "c.nc")
    cube = get_collection(data, "c").open()
    np.testing.assert_array_equal(cube["y"], south_up["y"])
    np.testing.assert_array_equal(cube.sel(bands="B1"), south_up["B1"])


@pytest.fixture(scope="module")
def spanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One collection of each kind with the same two bands on the same three dates."""
    folder = tmp_path_factory.mktemp("spanned")
    whole = dataset(dates=DATES.astype("datetime64[D]").astype("datetime64[ns]"), size=23)
    whole.to_netcdf(folder / "netcdf.nc", encoding={"B1": {"chunksizes": (1, 7, 5), "zlib": True}})
    whole.to_zarr(folder / "zarr.zarr", zarr_format=3, encoding={"B1": {"chunks": (1, 7, 5)}})
    for step in range(3):
        day = np.datetime_as_string(whole["t"].values[step], unit="D")
        for name in ("B1", "B2"):
            geotiff(folder / "tif" / f"{name}_{day}.tif", whole[name].values[step])
    return folder


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["netcdf", "zarr", "tif"]),
    rows=st.tuples(st.integers(0, 22), st.integers(1, 23)),
    columns=st.tuples(st.integers(0, 22), st.integers(1, 23)),
    bands=st.permutations(["B1", "B2"]),
    first=st.integers(0, 2),
)
def test_a_window_equals_the_window_of_the_whole(
    spanned: Path,
    kind: str,
    rows: tuple[int, int],
    columns: tuple[int, int],
    bands: list[str],
    first: int,
):
    collection = get_collection(spanned, kind)
    y, x = slice(rows[0], rows[0] + rows[1]), slice(columns[0], columns[0] + columns[1])
    start = str(collection.dates()[first].astype("datetime64[D]"))
    part = collection.open(bands=bands, window=(y, x), temporal_extent=[start, None])
    whole = collection.open().sel(bands=bands).isel(y=y, x=x, t=slice(first, None))
    xr.testing.assert_identical(part.compute().drop_attrs(), whole.compute().drop_attrs())


def test_every_kind_of_file_gives_the_same_cube(spanned: Path):
    netcdf, zarr, tif = (get_collection(spanned, kind).open().compute() for kind in ("netcdf", "zarr", "tif"))
    for other in (zarr, tif):
        np.testing.assert_array_equal(netcdf.values, other.values)
        assert (netcdf["t"].values == other["t"].values).all()
        np.testing.assert_allclose(netcdf["x"], other["x"], rtol=1e-12)
        assert netcdf["bands"].values.tolist() == other["bands"].values.tolist()


def test_windows_are_read_from_threads_and_processes_alike(spanned: Path):
    cube = get_collection(spanned, "netcdf").open()
    with ThreadPoolExecutor(8) as threads:
        tiles = list(threads.map(lambda row: cube.isel(y=[row]).values, range(23)))
    np.testing.assert_array_equal(np.concatenate(tiles, axis=2), cube.values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cube)).values, cube.values)


@pytest.mark.parametrize("kind", ["netcdf", "tif"])
def test_a_window_of_a_big_file_takes_the_memory_of_a_window(data: Path, kind: str):
    size = 2048
    values = np.zeros((size, size), np.float32)
    if kind == "tif":
        geotiff(data / "big_2022-01-01.tif", values, tiled=True, compress="deflate")
        id = "big_2022-01-01"
    else:
        whole = xr.Dataset(
            {"B1": (("t", "y", "x"), values[None])},
            {"t": DATES[:1], "y": -np.arange(float(size)), "x": np.arange(float(size))},
        ).rio.write_crs(UTM)
        whole.to_netcdf(data / "big.nc", encoding={"B1": {"chunksizes": (1, 256, 256), "zlib": True}})
        id = "big"
    collection = get_collection(data, id)
    collection.grid()
    tracemalloc.start()
    cube = collection.open(window=(slice(1000, 1064), slice(1000, 1064))).compute()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cube.shape == (1, 1, 64, 64)
    assert peak < values.nbytes / 8


# --- selections


@pytest.fixture
def modis(data: Path) -> Path:
    source = dataset(("sur_refl_b01", "sur_refl_b02", "state_1km"))
    source["state_1km"] = (source["state_1km"] * 1000).astype("uint16")
    source.to_netcdf(data / "MOD09GA.nc")
    return data


@pytest.mark.parametrize("name", ["modis_B2", "sur_refl_b02", "nir"])
def test_a_band_goes_by_its_label_its_name_or_its_common_name(modis: Path, name: str):
    cube = get_collection(modis, "MOD09GA").open(bands=[name, "modis_B1"])
    assert cube["bands"].values.tolist() == ["modis_B2", "modis_B1"]


def test_a_missing_band_names_those_there_are(modis: Path):
    with pytest.raises(MissingBands, match=r"'red2'.*modis_B1.*modis_B2.*modis_state_1km"):
        get_collection(modis, "MOD09GA").open(bands=["red2"])


def test_times_and_places_without_data_are_named(modis: Path):
    collection = get_collection(modis, "MOD09GA")
    with pytest.raises(NoDataAvailable, match="2022-01-01"):
        collection.open(temporal_extent=["1999-01-01", "1999-02-01"])
    with pytest.raises(NoDataAvailable, match="spatial_extent"):
        collection.open(spatial_extent={"west": 100, "south": 0, "east": 101, "north": 1})
    with pytest.raises(NoDataAvailable, match="select nothing"):
        collection.open(window=(slice(100, 200), slice(0, 1)))
    with pytest.raises(InvalidParameter, match="temporal_extent"):
        collection.open(temporal_extent=["2022-01-09", "2022-01-09"])


def test_a_window_and_an_extent_select_what_lies_in_both(modis: Path):
    box = {"west": 500_000, "east": 500_060, "south": 5_599_940, "north": 5_600_000, "crs": 32631}
    cube = get_collection(modis, "MOD09GA").open(spatial_extent=box, window=(slice(4, 12), slice(2, 3)))
    assert cube.shape == (3, 3, 2, 1)


# --- collection.json


def test_collection_json_overrides_the_files(data: Path):
    geotiff(data / "c" / "a.tif", np.array([[100, 7]], np.int16), crs=None)
    override = {
        "title": "Mine",
        "description": "Two pixels.",
        "license": "CC0-1.0",
        "crs": "EPSG:3035",
        "date": "2020-02-02",
        "nodata": 7,
        "bands": {"a": {"name": "s2_B04", "scale": 0.01, "offset": -0.5}},
    }
    (data / "c" / "collection.json").write_text(json.dumps(override))
    collection = get_collection(data, "c")
    cube = collection.open()
    assert cube["bands"].item() == "s2_B04"
    assert cube["t"].values[0] == np.datetime64("2020-02-02")
    np.testing.assert_array_equal(cube.squeeze(), np.float32([0.5, np.nan]))
    assert collection.grid().crs.to_epsg() == 3035
    metadata = collection.metadata()
    assert [metadata[key] for key in ("title", "license")] == ["Mine", "CC0-1.0"]


def test_a_changed_override_or_file_is_seen(data: Path):
    geotiff(data / "c" / "a_2022-01-01.tif", np.ones((2, 2), np.float32))
    collection = get_collection(data, "c")
    assert collection.bands() == ["a"]
    (data / "c" / "collection.json").write_text('{"bands": {"a": {"name": "b"}}}')
    assert collection.bands() == ["b"]
    geotiff(data / "c" / "c_2022-01-01.tif", np.ones((2, 2), np.float32))
    assert collection.bands() == ["b", "c"]


@pytest.mark.parametrize("text", ["{", "[]", '{"colour": "red"}'])
def test_a_broken_override_is_named(data: Path, text: str):
    geotiff(data / "c" / "a_2022-01-01.tif", np.ones((2, 2), np.float32))
    (data / "c" / "collection.json").write_text(text)
    with pytest.raises(InvalidCollection, match=r"collection\.json"):
        get_collection(data, "c").open()


# --- files that make no cube


def broken_netcdf(folder: Path) -> None:
    (folder / "broken.nc").write_bytes(b"not a netCDF file")


def broken_tif(folder: Path) -> None:
    (folder / "broken.tif").write_bytes(b"II*\x00 not a TIFF")


def without_crs(folder: Path) -> None:
    dataset().drop_vars("spatial_ref").to_netcdf(folder / "nowhere.nc")


def without_dates(folder: Path) -> None:
    geotiff(folder / "undated.tif", np.ones((2, 2), np.float32))


def without_rows(folder: Path) -> None:
    xr.Dataset({"a": ("t", [1.0])}, {"t": DATES[:1]}).to_netcdf(folder / "series.nc")


def curvilinear(folder: Path) -> None:
    xr.Dataset({"a": (("y", "x"), np.ones((2, 2)))}).to_netcdf(folder / "swath.nc")


def rotated(folder: Path) -> None:
    transform = rasterio.Affine(10, 1, 0, 1, -10, 0)
    geotiff(folder / "rotated_2022-01-01.tif", np.ones((2, 2), np.float32), transform=transform)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken_netcdf, r"broken\.nc cannot be read"),
        (broken_tif, r"broken\.tif cannot be read"),
        (without_crs, r"nowhere\.nc.*coordinate reference system.*collection\.json"),
        (without_dates, r"no file has a date.*collection\.json"),
        (without_rows, r"series\.nc has no variable with rows"),
        (curvilinear, r"swath\.nc.*coordinates"),
        (rotated, r"rotated_2022-01-01\.tif is rotated"),
    ],
)
def test_the_file_and_the_reason_are_named(data: Path, make: Callable[[Path], None], message: str):
    (data / "c").mkdir()
    make(data / "c")
    with pytest.raises(InvalidCollection, match=message):
        get_collection(data, "c").metadata()


def test_a_data_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InvalidParameter, match=r"nowhere is no folder.*--data"):
        find_collections(tmp_path / "nowhere")


# --- metadata


def test_metadata_describe_the_cube(modis: Path):
    collection = get_collection(modis, "MOD09GA")
    metadata = collection.metadata()
    dimensions = metadata["cube:dimensions"]
    assert json.loads(json.dumps(metadata)) == metadata
    assert dimensions["bands"]["values"] == collection.bands()
    assert dimensions["x"]["extent"] == [500_000, 500_120]
    assert dimensions["x"]["step"] == 10
    assert dimensions["x"]["reference_system"] == 32631
    assert dimensions["t"]["extent"] == ["2022-01-01T00:00:00Z", "2022-01-17T10:30:15Z"]
    red = metadata["summaries"]["eo:bands"][0]
    assert red["name"] == "modis_B1"
    assert red["common_name"] == "red"
    assert red["center_wavelength"] == pytest.approx(0.645)


def test_the_python_client_reads_the_metadata(modis: Path):
    from openeo.metadata import CollectionMetadata

    read = CollectionMetadata(get_collection(modis, "MOD09GA").metadata())
    assert read.band_names == ["modis_B1", "modis_B2", "modis_state_1km"]
    assert set(read.dimension_names()) == {"x", "y", "t", "bands"}


# --- what messages tell


@pytest.mark.parametrize("id", ["unknown", "../secret", "link", "broken", "odd_keys"])
def test_messages_do_not_tell_where_the_data_folder_is(tmp_path: Path, id: str):
    data = tmp_path / "data"
    for name, text in (("broken", "{"), ("odd_keys", '{"colour": 1}')):
        (data / name).mkdir(parents=True)
        (data / name / "collection.json").write_text(text)
        (data / name / "a_2022-01-01.nc").touch()
    (tmp_path / "outside").mkdir()
    (data / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(FusionError) as raised:
        get_collection(data, id).open()
    assert str(tmp_path) not in str(raised.value)
    assert id in str(raised.value)
