import numpy as np
import pytest
import rasterio
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import tamrf_sites
from openeo_udf_fusion.training.tamrf_ls2s2 import read_ls2s2, read_sites
from openeo_udf_fusion.training.tamrf_sites import (
    BELGIUM,
    BUFFER_DAYS,
    HELD_OUT,
    ROMANIA,
    Site,
    is_held_out,
    is_validation,
    read_belgium,
    read_romania,
    training_part,
    within,
)

DAYS = np.arange(np.datetime64("2018-01-01"), np.datetime64("2018-12-31")).astype(np.int32)


def made_up(name=BELGIUM, size=6):
    rng = np.random.default_rng(0)
    seen, clear = {}, {}
    for sensor, bands, scale in (("l8", 8, 3), ("s2", 10, 1)):
        shape = (len(DAYS), bands, size // scale, size // scale)
        values = rng.random(shape).astype(np.float32)
        seen[sensor] = Observations(values, np.ones(shape, bool), DAYS)
        clear[sensor] = rng.random((shape[0], *shape[2:])) < 0.5
    return Site(name, seen, clear)


def test_training_sees_nothing_of_what_is_held_out_or_beside_it():
    site = made_up()
    kept = training_part(site)
    for sensor in ("l8", "s2"):
        days = kept.observed[sensor].days
        assert not within(days, HELD_OUT, BUFFER_DAYS).any()
        missing = np.setdiff1d(DAYS, days)
        assert within(missing, HELD_OUT, BUFFER_DAYS).all()
        whole = np.isin(DAYS, days)
        np.testing.assert_array_equal(kept.clear[sensor], site.clear[sensor][whole])


def test_held_out_and_validation_are_far_enough_apart():
    site = made_up()
    held_out, watched = is_held_out(site, "s2"), is_validation(site, "s2")
    assert held_out.any()
    assert watched.any()
    assert np.abs(DAYS[held_out][:, None] - DAYS[watched]).min() > BUFFER_DAYS


def test_other_sites_keep_all_their_dates():
    site = made_up("elsewhere")
    assert not is_held_out(site, "l8").any()
    np.testing.assert_array_equal(training_part(site).observed["l8"].days, DAYS)


def test_a_crop_is_the_same_ground_of_both_sensors():
    site = made_up()
    part = site.crop(3, 0, 3)
    np.testing.assert_array_equal(part.observed["l8"].values, site.observed["l8"].values[..., 1:2, 0:1])
    np.testing.assert_array_equal(part.clear["s2"], site.clear["s2"][..., 3:6, 0:3])
    assert part.shape == (3, 3)
    assert part.corner_20m == (1, 0)
    assert training_part(part).corner_20m == (1, 0)


def test_cells_are_found_where_values_change():
    rng = np.random.default_rng(1)
    blocks = rng.random((4, 8, 8)).repeat(3, 1).repeat(3, 2)
    for top in range(3):
        for left in range(3):
            cut = blocks[:, (3 - top) % 3 :, (3 - left) % 3 :]
            assert tamrf_sites.cell_corner(cut, "here") == (top, left)
    with pytest.raises(InvalidCollection, match="3 x 3 pixels"):
        tamrf_sites.cell_corner(rng.random((4, 12, 12)), "here")


def test_belgium_as_it_is(shared_data):
    site = read_belgium(shared_data / BELGIUM)
    landsat, sentinel2 = site.observed["l8"], site.observed["s2"]
    assert (landsat.values.shape, sentinel2.values.shape) == ((24, 8, 20, 21), (118, 10, 60, 63))
    assert not landsat.valid[:, 0].any()
    assert landsat.valid[:, 1].mean() > 0.99
    for o in (landsat, sentinel2):
        assert (np.diff(o.days) > 0).all()
        assert (o.values[~o.valid] == 0).all()
    kelvin = landsat.values[:, 7][landsat.valid[:, 7] & site.clear["l8"]]
    assert kelvin.min() > 270
    assert kelvin.max() < 320
    clear_dates = {s: o.days[site.clear[s].mean((1, 2)) > 0.6] for s, o in site.observed.items()}
    assert within(clear_dates["l8"], HELD_OUT).sum() == 4
    assert within(clear_dates["s2"], HELD_OUT).sum() == 11


def test_both_sensors_of_belgium_lie_on_one_another(shared_data):
    site = read_belgium(shared_data / BELGIUM)
    day = np.datetime64("2018-08-02").astype(int)
    images = {s: o.values[o.days == day][0] for s, o in site.observed.items()}
    red, cells = images["s2"][2], images["l8"][3]

    def agreement(dy, dx):
        moved = np.roll(red, (dy, dx), (0, 1)).reshape(20, 3, 21, 3).mean((1, 3))
        return np.corrcoef(moved[2:-2, 2:-2].ravel(), cells[2:-2, 2:-2].ravel())[0, 1]

    assert agreement(0, 0) == max(agreement(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) > 0.95


def test_no_image_of_temperature_is_an_older_one(shared_data):
    landsat = read_belgium(shared_data / BELGIUM).observed["l8"]
    flown = xr.open_dataset(shared_data / BELGIUM / "L8_SR_10m.nc").timestamp.values.astype("datetime64[D]")
    assert set(landsat.days) == set(flown.astype(np.int32))
    kelvin = landsat.values[:, 7]
    same = [np.array_equal(kelvin[i], kelvin[j]) for i in range(len(kelvin)) for j in range(i)]
    assert not any(same)


def test_romania_as_it_is(shared_data):
    site = read_romania(shared_data / ROMANIA)
    (observed,) = site.observed.values()
    assert observed.values.shape == (140, 10, 99, 99)
    assert [bool(v) for v in observed.valid.any((0, 2, 3))] == [True] * 3 + [False] * 3 + [True] * 3 + [False]
    assert 0.2 < np.median(observed.values[:, 6][site.clear["s2"]]) < 0.4
    assert is_validation(site, "s2").any()


# --- LS2S2


DATES = (("2022-03-05", True), ("2022-03-01", True), ("2022-03-09", False))


def write_ls2s2(folder, size=12, dates=DATES):
    rng = np.random.default_rng(2)
    stored = {}
    for part, bands, scale in (("landsat", 8, 3), ("sentinel2", 10, 1)):
        rows = ["product_id\tacquisition_date\tclear_pixel_rate\tvalid\tbands\tmask"]
        for day, valid in dates:
            rows.append(f"p\t{day}\t0.9\t{valid}\tb\tm")
            digits = day.replace("-", "")
            image = rng.integers(1, 9000, (bands, size // scale, size // scale), np.int16)
            image[0, 0, 0], image[1, 1, 1] = -10000, 0
            mask = (rng.random(image.shape[1:]) < 0.3).astype(np.int16)[None]
            place = folder / part / digits
            place.mkdir(parents=True)
            for what, data in (("bands", image), ("mask", mask)):
                write_raster(place / f"{part}_{what}_{digits}.tif", data)
            stored[part, day] = image, mask[0]
        (folder / part / "index.csv").write_text("\n".join(rows) + "\n")
    return stored


def write_raster(file, data):
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2]}
    with rasterio.open(
        file, "w", driver="GTiff", dtype="int16", nodata=-10000, crs="EPSG:32631",
        transform=rasterio.Affine(10, 0, 500000, 0, -10, 5000000), **shape,
    ) as raster:  # fmt: skip
        raster.write(data)


def test_a_window_of_ls2s2_is_what_the_rasters_hold(tmp_path):
    stored = write_ls2s2(tmp_path / "31TCJ")
    (site,) = read_ls2s2(tmp_path)
    assert (site.name, site.shape) == ("31TCJ", (12, 12))
    part = site.crop(3, 6, 6)
    for sensor, folder, place in (
        ("l8", "landsat", (..., slice(1, 3), slice(2, 4))),
        ("s2", "sentinel2", (..., slice(3, 9), slice(6, 12))),
    ):
        observed = part.observed[sensor]
        assert [str(np.datetime64(int(day), "D")) for day in observed.days] == ["2022-03-01", "2022-03-05"]
        for at, day in enumerate(("2022-03-01", "2022-03-05")):
            image, mask = (array[place] for array in stored[folder, day])
            np.testing.assert_allclose(observed.values[at, 1], image[1] / 1e4, rtol=1e-6)
            last = 10 if sensor == "l8" else 1e4
            np.testing.assert_allclose(observed.values[at, -1], image[-1] / last, rtol=1e-6)
            np.testing.assert_array_equal(part.clear[sensor][at], (mask == 0) & (image > 0).all(0))


def test_missing_and_masked_pixels_of_ls2s2_are_not_clear(tmp_path):
    write_ls2s2(tmp_path)
    (site,) = read_sites([tmp_path])
    whole = site.crop(0, 0, 12)
    for sensor in ("l8", "s2"):
        assert not whole.clear[sensor][:, 0, 0].any()
        assert not whole.clear[sensor][:, 1, 1].any()
        assert not whole.observed[sensor].valid[:, 0, 0, 0].any()
        assert whole.observed[sensor].valid[:, 1, 1, 1].all()


def test_only_the_dates_of_a_period_are_read(tmp_path):
    write_ls2s2(tmp_path)
    (site,) = read_ls2s2(tmp_path)
    day = int(np.datetime64("2022-03-05").astype(int))
    part = site.between(day, day + 3).crop(0, 0, 6)
    assert all(list(o.days) == [day] for o in part.observed.values())


@pytest.mark.parametrize("part", ["landsat", "sentinel2"])
def test_a_folder_without_both_sensors_is_no_site(tmp_path, part):
    write_ls2s2(tmp_path)
    (tmp_path / part / "index.csv").unlink()
    with pytest.raises(InvalidCollection, match="holds no site"):
        read_sites([tmp_path])
