"""The generated scene looks like the products that it imitates."""

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion import cubes, quality_flags, sensors
from openeo_udf_fusion.demo.sample import LABEL, YEAR, clouds, ground, smooth_noise, write_sample
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.sensors import FUSED_BANDS

SIZE_PX = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("demo") / "data"
    write_sample(made, size_px=SIZE_PX, seed=3)
    return made


@pytest.fixture(scope="module", params=["modis", "viirs"])
def sensor(request):
    return request.param


@pytest.fixture(scope="module")
def stored(folder, sensor):
    with xr.open_dataset(folder / sensor / f"{sensor}_{YEAR}.nc", mask_and_scale=False) as dataset:
        return dataset.load()


@pytest.fixture(scope="module")
def cube(folder, sensor):
    return get_collection(folder, sensor).open().compute()


def test_there_is_a_file_a_sensor_and_nothing_else(folder):
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == {f"{name}/{name}_{YEAR}.nc" for name in ("modis", "viirs")}


def test_nobody_takes_it_for_a_measurement(stored):
    assert LABEL in stored.attrs["title"]
    assert "no satellite measured" in LABEL


def test_reflectance_is_stored_as_the_products_store_it(stored, sensor):
    for name in FUSED_BANDS[sensor]:
        band, attributes = stored[f"{sensor}_{name}"], stored[f"{sensor}_{name}"].attrs
        assert band.dtype == np.int16
        assert attributes["scale_factor"] == pytest.approx(1e-4)
        kept = band.values[band.values != attributes["_FillValue"]]
        assert 0 < kept.size < band.size
        assert kept.min() >= -100
        assert kept.max() <= 16_000


def test_the_collection_is_a_year_of_reflectance_on_a_georeferenced_grid(cube, sensor):
    assert cube.sizes == {"t": 365, "bands": cube.sizes["bands"], "y": SIZE_PX, "x": SIZE_PX}
    assert cube.rio.crs.to_dict()["proj"] == "sinu"
    assert {f"{sensor}_{name}" for name in FUSED_BANDS[sensor]} <= set(cube["bands"].values)
    assert set(cube["t"].dt.year.values) == {YEAR}
    np.testing.assert_allclose(np.diff(cube["x"]), 463.31271653)
    np.testing.assert_allclose(np.diff(cube["y"]), -463.31271653)


def test_the_flags_tell_where_the_clouds_are(cube, sensor):
    given = cubes.canonical(cube)
    flags = {
        label.removeprefix(f"{sensor}_"): given.sel(bands=label).values
        for label in given["bands"].values
        if sensors.band_of(label)[1].kind == "qa"
    }
    clear = quality_flags.clear(sensor, flags)
    blue = given.sel(bands=f"{sensor}_{'B3' if sensor == 'modis' else 'M3'}").values
    bare = slice(120, 300)
    assert 0.1 < clear.mean() < 0.9
    assert np.nanmedian(blue[bare][~clear[bare]]) > 2 * np.nanmedian(blue[bare][clear[bare]])
    assert cubes.sensor_arrays(given, sensor, FUSED_BANDS[sensor]).valid.any()


def test_both_sensors_see_the_same_ground(folder):
    arrays = {}
    for name, bands in FUSED_BANDS.items():
        given = cubes.canonical(get_collection(folder, name).open())
        arrays[name] = cubes.sensor_arrays(given, name, bands)
    both = arrays["modis"].valid[:, 3] & arrays["viirs"].valid[:, 3]
    one, other = arrays["modis"].values[:, 3][both], arrays["viirs"].values[:, 3][both]
    assert np.corrcoef(one, other)[0, 1] > 0.9
    assert not np.array_equal(arrays["modis"].valid, arrays["viirs"].valid)


def test_the_same_seed_gives_the_same_scene(folder, tmp_path):
    write_sample(tmp_path / "again", size_px=SIZE_PX, seed=3)
    write_sample(tmp_path / "other", size_px=SIZE_PX, seed=4)
    read = [
        xr.load_dataset(made / "viirs" / f"viirs_{YEAR}.nc")
        for made in (folder, tmp_path / "again", tmp_path / "other")
    ]
    xr.testing.assert_identical(read[0], read[1])
    assert not read[0].equals(read[2])


# --- its parts


def test_shares_of_the_ground_add_up_to_one():
    shares = ground(365, 6, np.random.default_rng(0))
    np.testing.assert_allclose(sum(shares.values()), 1, atol=1e-6)
    assert all((share > -1e-6).all() for share in shares.values())
    assert shares["green leaves"][180].mean() > shares["green leaves"][30].mean()
    assert shares["snow"][[20, 340]].max() > 0.5
    assert shares["snow"][120:300].max() == 0


def test_it_is_cloudier_in_winter():
    rng = np.random.default_rng(0)
    cloudy = clouds(smooth_noise((365, 12, 12), rng, scale_px=4.0), rng)
    assert cloudy[[*range(60), *range(305, 365)]].mean() > cloudy[120:240].mean()


def test_noise_is_normal_and_smooth():
    noise = smooth_noise((3, 32, 32), np.random.default_rng(0), scale_px=4.0)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(noise.std((1, 2)), 1, atol=1e-5)
    assert np.abs(np.diff(noise, axis=2)).mean() < 0.5
