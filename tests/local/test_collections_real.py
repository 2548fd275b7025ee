"""Real collections are where and when they should be, and their numbers physical."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr

from openeo_udf_fusion.local.collections import get_collection


@pytest.mark.parametrize(
    ("id", "shape", "dates", "epsg", "centre"),
    [
        ("munich_modis", (46, 9, 108, 110), ("2022-01-01", "2023-01-01"), None, (11.6, 48.1)),
        ("pamplona_modis", (3, 21, 39, 57), ("2021-08-10", "2021-08-12"), None, (-1.64, 42.8)),
        ("belgium_landsat_sentinel", (790, 35, 64, 64), ("2017-08-01", "2018-11-30"), 32631, (3.024, 50.816)),
        ("romania_sentinel2", (140, 7, 100, 100), ("2015-08-01", "2021-01-01"), 3035, (22.152, 45.205)),
    ],
)
def test_real_collections_have_their_place_and_time(
    shared_data: Path,
    id: str,
    shape: tuple[int, ...],
    dates: tuple[str, str],
    epsg: int | None,
    centre: tuple[float, float],
):
    collection = get_collection(shared_data, id)
    cube = collection.open()
    assert cube.shape == shape
    assert (cube["t"].values[[0, -1]].astype("datetime64[D]") == np.array(dates, "datetime64[D]")).all()
    assert (np.diff(cube["t"].values) >= np.timedelta64(0)).all()
    assert cube.rio.crs.to_epsg() == epsg
    west, south, east, north = collection.metadata()["extent"]["spatial"]["bbox"][0]
    assert ((west + east) / 2, (south + north) / 2) == pytest.approx(centre, abs=0.05)
    assert east - west < 1


@pytest.mark.parametrize("id", ["munich_modis", "pamplona_modis", "romania_sentinel2"])
def test_real_reflectance_is_physical(shared_data: Path, id: str):
    collection = get_collection(shared_data, id)
    bands = [name for name in collection.bands() if name.startswith(("modis_B", "s2_B"))]
    reflectance = collection.open(bands=bands).values
    assert np.nanmin(reflectance) >= -0.011
    assert np.nanmax(reflectance) < 2
    assert 0.01 < np.nanmedian(reflectance) < 0.5


def test_real_radar_temperature_and_classes_are_physical(shared_data: Path):
    collection = get_collection(shared_data, "belgium_landsat_sentinel")
    cube = collection.open(bands=["s1_VV", "temperature_mean", "s2_SCL"])
    radar, kelvin, classes = (cube.isel(bands=number).values for number in range(3))
    assert -30 < np.nanmedian(radar) < 0
    assert 250 < np.nanmin(kelvin) <= np.nanmax(kelvin) < 320
    assert set(np.unique(classes[~np.isnan(classes)])) <= set(range(1, 12))


def test_real_flags_survive(shared_data: Path):
    path = shared_data / "munich_modis" / "MOD09A1_061_h18v04_munich_2022.nc"
    flags = get_collection(shared_data, "munich_modis").open(bands=["modis_state_1km"]).squeeze("bands")
    with xr.open_dataset(path) as raw:
        np.testing.assert_array_equal(flags, raw["state_500m"])


def test_real_1_km_flags_lie_on_the_500_m_grid(shared_data: Path):
    flags = get_collection(shared_data, "pamplona_modis").open(bands=["modis_state_1km"])
    folder = shared_data / "pamplona_modis" / "2021222"
    with rasterio.open(folder / "MODIS_Grid_1km_2D_state_1km_1.tif") as raw:
        rows, columns = rasterio.transform.rowcol(raw.transform, *np.meshgrid(flags["x"], flags["y"]))
        np.testing.assert_array_equal(flags[0, 0].values.ravel(), raw.read(1)[rows, columns].ravel())
