"""Laws of images in a cube: one a day, flags of all kinds, units, and bands of 20 m."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.processes.image_series import images_of, labelled

from ..landsat_sentinel2_cube import (
    CLEAR_QA,
    CLEAR_SCL,
    CLOUD_QA,
    COARSE,
    LANDSAT,
    SENTINEL2,
    blocks,
    cube_of,
)

BANDS = {"l8": LANDSAT, "s2": SENTINEL2}


@pytest.fixture
def cube():
    return cube_of(12, 12)


def read(cube, sensor):
    return images_of(labelled(cube), sensor, BANDS[sensor])


def same(one, other):
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- dates and flags


def test_each_sensor_has_its_own_dates(cube):
    for sensor, step in (("l8", 16), ("s2", 10)):
        images = read(cube, sensor)
        assert set(np.diff(images.days)) == {step}
        assert images.values.shape == (len(images.days), len(BANDS[sensor]), 12, 12)
        assert images.present == tuple(range(len(BANDS[sensor])))


@pytest.mark.parametrize("sensor", ["l8", "s2"])
def test_what_is_cloudy_is_valid_and_not_clear(cube, sensor):
    images = read(cube, sensor)
    bright = images.values[:, 0] > 0.65
    assert images.valid.all()
    np.testing.assert_array_equal(images.clear, ~bright)


def test_without_flags_all_that_is_there_is_clear():
    images = read(cube_of(6, 6, flags=False), "s2")
    assert images.clear.all()


def test_a_day_without_its_flag_is_not_clear(cube):
    blind = cube.copy()
    blind.loc[{"bands": "s2_SCL", "t": cube["t"][0]}] = np.nan
    images = read(blind, "s2")
    assert not images.clear[0].any()
    assert images.valid[0].all()


def test_bands_and_flags_of_one_day_may_lie_in_different_steps(cube):
    own = cube.sel(bands=cube["bands"].str.startswith("l8"))
    optical = own["bands"].isin(["l8_LST", "l8_QA_PIXEL"])
    later = own.where(optical).assign_coords(t=own["t"] + np.timedelta64(11, "h"))
    apart = xr.concat([own.where(~optical), later], "t")
    same(read(apart, "l8"), read(own, "l8"))


def test_images_of_one_day_become_their_mean():
    cube = cube_of(6, 6, flags=False).sel(bands=["s2_B02"]).dropna("t")
    brighter = cube.assign_coords(t=cube["t"] + np.timedelta64(1, "h")) + 0.1
    brighter[0, 0, 0, 0] = np.nan
    images = read(xr.concat([cube, brighter], "t"), "s2")
    expected = cube.values[:, 0] + 0.05
    expected[0, 0, 0] -= 0.05
    np.testing.assert_allclose(images.values[:, 0], expected, atol=1e-6)


def test_all_flags_of_landsat_must_agree(cube):
    one = cube.sel(bands=["l8_QA_PIXEL"]).assign_coords(bands=["l8_pixel_qa"])
    old = xr.where(one == CLOUD_QA, 480.0, xr.where(one == CLEAR_QA, 322.0, np.nan))
    same(read(xr.concat([cube, old], "bands"), "l8"), read(cube, "l8"))
    cloudy = xr.where(np.isfinite(old), 480.0, np.nan)
    assert not read(xr.concat([cube, cloudy], "bands"), "l8").clear.any()


def test_order_of_dates_and_bands_does_not_matter(cube):
    rng = np.random.default_rng(0)
    shuffled = cube[rng.permutation(len(cube)), rng.permutation(cube.sizes["bands"])]
    for sensor in BANDS:
        same(read(shuffled, sensor), read(cube, sensor))


# --- names


def test_landsat_9_is_landsat_8(cube):
    names = [str(name).replace("l8_", "l9_") for name in cube["bands"].values]
    same(read(cube.assign_coords(bands=names), "l8"), read(cube, "l8"))
    half = len(cube) // 2
    ninth = cube[half:].assign_coords(bands=names)
    optical = ninth["bands"].str.startswith("s2")
    both = xr.concat([cube[:half], ninth[:, ~optical], cube[half:, -11:]], "t", join="outer")
    for sensor in BANDS:
        same(read(both, sensor), read(cube, sensor))


def test_bare_names_are_those_of_the_one_sensor_known(cube):
    own = cube.sel(bands=[f"s2_{band}" for band in (*SENTINEL2, "SCL")])
    bare = own.assign_coords(bands=[*SENTINEL2, "SCL"])
    same(read(bare, "s2"), read(own, "s2"))


def test_bands_that_are_not_there_are_nowhere_valid(cube):
    images = read(cube.drop_sel(bands="l8_B1"), "l8")
    assert images.present == tuple(range(1, 8))
    assert not images.valid[:, 0].any()
    assert images.valid[:, 1:].all()
    assert read(cube.sel(bands=["s2_B02"]), "l8") is None
    assert read(cube.sel(bands=["l8_QA_PIXEL", "s2_B02"]), "l8") is None


# --- values and units


@pytest.mark.parametrize("value", [np.nan, -0.5, 1.7, np.inf])
def test_what_is_no_reflectance_is_not_valid(cube, value):
    changed = cube.copy()
    changed.loc[{"bands": "s2_B03", "t": cube["t"][0]}] = value
    images = read(changed, "s2")
    assert not images.valid[0, 1].any()
    assert images.valid[1:].all()
    assert np.isfinite(images.values).all()


def test_zero_in_all_bands_is_nodata_and_in_one_is_dark(cube):
    changed = cube.copy()
    own = [f"s2_{band}" for band in SENTINEL2]
    changed.loc[{"bands": own, "t": cube["t"][0], "x": cube["x"][0]}] = 0
    changed.loc[{"bands": "s2_B02", "x": cube["x"][1]}] = 0
    images = read(changed, "s2")
    assert not images.valid[0, :, :, 0].any()
    assert images.valid[0, :, :, 1:].all()


def test_a_stated_nodata_is_missing(cube):
    changed = cube.copy()
    changed.loc[{"bands": "s2_B03", "t": cube["t"][0]}] = 0.25
    changed.attrs["nodata"] = 0.25
    assert not read(changed, "s2").valid[0, 1].any()


def test_the_products_offset_is_no_temperature(cube):
    changed = cube.copy()
    changed.loc[{"bands": "l8_LST", "x": cube["x"][:3]}] = 149.0
    images = read(changed, "l8")
    assert not images.valid[:, -1, :, :3].any()
    assert images.valid[:, -1, :, 3:].all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda kelvin: kelvin - 273.15, r"kelvin.*degrees Celsius\? add 273.15"),
        (lambda kelvin: kelvin * 10, r"kelvin.*tenths of a kelvin"),
        (lambda kelvin: (kelvin - 149) / 0.00341802, r"kelvin.*stored integers.*0.00341802 \+ 149"),
        (lambda kelvin: kelvin / 1000, "kelvin"),
    ],
)
def test_a_temperature_in_another_unit_is_refused(cube, change, match):
    changed = cube.copy()
    changed.loc[{"bands": "l8_LST"}] = change(cube.sel(bands="l8_LST"))
    with pytest.raises(InvalidCube, match=match):
        read(changed, "l8")


@pytest.mark.parametrize("sensor", ["l8", "s2"])
def test_stored_integers_are_refused(cube, sensor):
    own = [f"{sensor}_{band}" for band in BANDS[sensor] if band != "LST"]
    changed = cube.copy()
    changed.loc[{"bands": own}] = cube.sel(bands=own) * 10_000
    with pytest.raises(InvalidCube, match=r"must be 0-1.*stored integers"):
        read(changed, sensor)


def test_one_strange_pixel_is_no_reason_to_refuse(cube):
    changed = cube.isel(t=slice(0, 3)).copy()
    changed.loc[{"bands": "l8_LST"}] = np.nan
    changed.loc[{"bands": "l8_LST", "x": cube["x"][0], "y": cube["y"][0]}] = 20.0
    assert not read(changed, "l8").valid[:, -1].any()


# --- bands of 20 m


@pytest.mark.parametrize("start", [(0, 0), (1, 0), (1, 1)])
def test_repeated_pixels_of_20_m_are_interpolated(start):
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.1, 0.5, (2, 6, 8, 8)).astype(np.float32)
    repeated = coarse.repeat(2, -1).repeat(2, -2)[..., start[0] :, start[1] :]
    fine = rng.uniform(0.1, 0.5, (2, 1, *repeated.shape[2:])).astype(np.float32)
    labels = ["s2_B02", *(f"s2_{band}" for band in COARSE)]
    dates = np.array(["2018-01-01", "2018-02-01"], "datetime64[ns]")
    cube = xr.DataArray(
        np.concatenate([fine, repeated], 1), {"t": dates, "bands": labels}, ("t", "bands", "y", "x")
    )
    images = read(cube, "s2")
    places = [SENTINEL2.index(band) for band in COARSE]
    expected = F.interpolate(torch.from_numpy(coarse), scale_factor=2, mode="bicubic").numpy()
    expected = expected[..., start[0] :, start[1] :]
    np.testing.assert_allclose(images.values[:, places], expected, atol=1e-6)
    np.testing.assert_array_equal(images.values[:, [0]], fine)


@pytest.mark.parametrize("start", [0, 1])
def test_a_tile_filled_up_beyond_the_data_is_interpolated_alike(cube, start):
    odd = cube[..., start : start + 11, start : start + 9]
    filled = odd.pad(y=(3, 4), x=(6, 5))
    plain, padded = read(odd, "s2"), read(filled, "s2")
    np.testing.assert_allclose(padded.values[..., 3:14, 6:15], plain.values, atol=1e-7)
    assert padded.valid.sum() == plain.valid.sum()


def test_pixels_of_20_m_that_were_interpolated_already_stay(cube):
    rng = np.random.default_rng(1)
    labels = [f"s2_{band}" for band in COARSE]
    changed = cube.copy()
    changed.loc[{"bands": labels}] = cube.sel(bands=labels) + rng.normal(0, 0.01, (6, 12, 12))
    images = read(changed, "s2")
    places = [SENTINEL2.index(band) for band in COARSE]
    stored = changed.sel(bands=labels).dropna("t", how="all").values
    np.testing.assert_array_equal(images.values[:, places], stored)


def test_missing_pixels_are_an_edge_like_any_other(cube):
    labels = [f"s2_{band}" for band in COARSE]
    changed = cube.copy()
    changed.loc[{"bands": labels, "x": cube["x"][6:]}] = np.nan
    places = [SENTINEL2.index(band) for band in COARSE]
    images, cut = read(changed, "s2"), read(cube[..., :6], "s2")
    np.testing.assert_allclose(images.values[:, places][..., :6], cut.values[:, places], atol=1e-7)
    assert not images.valid[:, places][..., 6:].any()
    assert images.valid[:, places][..., :6].all()


def test_blocks_repeat():
    numbers = np.arange(8)[None]
    assert blocks(numbers, 3, (0, 1)).tolist() == [[0, 1, 1, 1, 4, 4, 4, 7]]
    assert CLEAR_SCL == 4
