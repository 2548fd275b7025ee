"""Laws of embedding cubes: what is missing, which dates, which units, how it is stored."""

import json

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.embedder import from_int8
from openeo_udf_fusion.processes import embed_sentinel1_sentinel2 as process
from openeo_udf_fusion.processes.embed_sentinel1_sentinel2 import embed_sentinel1_sentinel2, output_bands

from ..s1s2_cube import CLEAR, CLOUD, PERIOD, cube_of
from ..training.s1s2 import made_up

CODES = [f"e{number}" for number in range(8)]
DATES = ["2017-10-01", "2017-11-15"]
DB = {"s1_unit": "dB", "dates": DATES}


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return cube_of(made_up(y=6, x=9))


@pytest.fixture(scope="module")
def result(cube) -> xr.DataArray:
    return embed_sentinel1_sentinel2(cube, **DB)


def band(result, name):
    return result.sel(bands=name).values


def of_sensor(cube, sensor):
    return cube.sel(bands=[label for label in cube["bands"].values if label.startswith(sensor)])


# --- what comes out


def test_a_code_within_its_range_for_every_pixel_and_day(cube):
    result = embed_sentinel1_sentinel2(cube, ["2017-10-01", "2017-10-08"], s1_unit="dB")
    assert result["bands"].values.tolist() == [*CODES, "validity"]
    assert result.sizes == {"t": 7, "bands": 9, "y": 6, "x": 9}
    assert result.dtype == np.float32
    codes = result.sel(bands=CODES)
    assert codes.notnull().all()
    assert (abs(codes) <= 1).all()
    assert codes.std("t").max() > 0.001
    np.testing.assert_array_equal(result["x"], cube["x"])


def test_it_is_the_models_code_of_the_clear_observations(cube, result):
    observed = made_up(y=6, x=9).observed
    days = np.array(DATES, "datetime64[D]").astype(np.int32)
    expected = weights.load_embedding(process.MODEL).embed(observed, days).code
    np.testing.assert_allclose(result.sel(bands=CODES), expected, atol=2e-5)


def test_order_of_dates_bands_and_dimensions_does_not_matter(cube, result):
    rng = np.random.default_rng(0)
    order = rng.permutation(cube.sizes["t"]), rng.permutation(cube.sizes["bands"])
    shuffled = cube[order[0]][:, order[1]].transpose("y", "bands", "x", "t").rename(t="time")
    found = embed_sentinel1_sentinel2(shuffled, **DB).rename(time="t")
    np.testing.assert_allclose(found.transpose(*result.dims), result, atol=1e-5)


def test_reconstruction_has_every_band_with_sigma(cube):
    result = embed_sentinel1_sentinel2(cube, **DB, reconstruct=True, days_to_observation=True)
    optical = list(cards.read(process.MODEL).bands["s2"])
    sigmas = [f"{name}_sigma" for name in optical]
    assert result["bands"].values.tolist() == [
        *CODES, *optical, *sigmas, "validity", "days_to_observation",
    ]  # fmt: skip
    assert output_bands(True, True) == result["bands"].values.tolist()
    assert ((result.sel(bands=optical) > -0.2) & (result.sel(bands=optical) < 1.7)).all()
    assert (result.sel(bands=sigmas) > 0).all()
    assert result.attrs["band_attrs"]["B04"]["ancillary_variables"] == "B04_sigma validity"


def test_what_a_reader_must_know_is_in_the_attributes(result):
    assert result.attrs["process"] == "embed_sentinel1_sentinel2"
    assert result.attrs["model_sha256"] == cards.read(process.MODEL).sha256
    assert json.loads(result.attrs["parameters"])["s1_unit"] == "dB"
    assert set(result.attrs["band_attrs"]) == {*CODES, "validity"}
    flags = result.attrs["band_attrs"]["validity"]
    assert len(flags["flag_meanings"].split()) == len(flags["flag_values"]) == 6


# --- int8


def test_int8_is_whole_numbers_of_which_the_127th_part_is_the_code(cube, result):
    stored = embed_sentinel1_sentinel2(cube, **DB, encoding="int8")
    numbers = stored.sel(bands=CODES)
    np.testing.assert_array_equal(numbers, np.rint(127 * result.sel(bands=CODES)))
    about = stored.attrs["band_attrs"]["e0"]
    assert (about["dtype"], about["_FillValue"]) == ("int8", -128)
    np.testing.assert_allclose(numbers * about["scale_factor"], result.sel(bands=CODES), atol=0.51 / 127)
    assert "scale_factor" not in stored.attrs["band_attrs"]["validity"]


def test_what_int8_reconstructs_is_what_a_reader_of_it_can_draw(cube):
    stored = embed_sentinel1_sentinel2(cube, **DB, encoding="int8", reconstruct=True)
    code = from_int8(stored.sel(bands=CODES).values.astype(np.int8))
    drawn = weights.load_embedding(process.MODEL).draw(code, "s2")
    np.testing.assert_allclose(band(stored, "B08"), drawn[:, 6], atol=1e-6)


# --- what is missing


@pytest.mark.parametrize(("sensor", "validity"), [("s1", 1), ("s2", 2)])
def test_one_sensor_is_enough(cube, sensor, validity):
    result = embed_sentinel1_sentinel2(of_sensor(cube, sensor), **DB)
    assert result.sel(bands=CODES).notnull().all()
    assert set(np.unique(band(result, "validity"))) <= {validity, 4 if sensor == "s2" else 1}


def test_a_sensor_without_a_value_is_a_sensor_that_is_not_there(cube):
    blind = cube.where(~cube["bands"].str.startswith("s2"))
    found = embed_sentinel1_sentinel2(blind, **DB)
    xr.testing.assert_equal(found, embed_sentinel1_sentinel2(of_sensor(cube, "s1"), **DB))
    assert (band(found, "validity") == 1).all()


def test_a_missing_band_is_embedded_without_it(cube):
    found = embed_sentinel1_sentinel2(cube.drop_sel(bands=["s2_B11", "s1_VH"]), **DB)
    assert found.sel(bands=CODES).notnull().all()


def test_no_clear_date_of_sentinel2(cube):
    cloudy = cube.copy()
    cloudy.loc[{"bands": "s2_SCL"}] = CLOUD
    found = embed_sentinel1_sentinel2(cloudy, **DB, days_to_observation=True)
    assert (band(found, "validity") == 1).all()
    assert np.isnan(band(found, "days_to_observation")).all()
    assert found.sel(bands=CODES).notnull().all()


def test_a_pixel_that_nobody_saw_is_missing_throughout(cube):
    hole = cube.copy()
    hole[..., 2, 3] = np.nan
    found = embed_sentinel1_sentinel2(hole, **DB, reconstruct=True, encoding="int8")
    assert (band(found, "validity")[:, 2, 3] == 0).all()
    assert found.drop_sel(bands="validity")[..., 2, 3].isnull().all()
    assert found.sel(bands=CODES)[..., 0, 0].notnull().all()


def test_a_cube_without_any_value_is_missing_throughout(cube):
    found = embed_sentinel1_sentinel2(cube * np.nan, **DB)
    assert found.sel(bands=CODES).isnull().all()
    assert (band(found, "validity") == 0).all()


def test_one_date_is_enough(cube):
    found = embed_sentinel1_sentinel2(cube.isel(t=[20]), dates="acquisition", s1_unit="dB")
    assert found.sizes["t"] == 1
    assert np.isfinite(band(found, "e0")).any()


def test_without_scl_every_value_counts_as_clear(cube):
    optical = of_sensor(cube, "s2")
    all_clear = optical.copy()
    all_clear.loc[{"bands": "s2_SCL"}] = xr.where(optical.sel(bands="s2_SCL").isnull(), np.nan, CLEAR)
    bare = embed_sentinel1_sentinel2(optical.drop_sel(bands="s2_SCL"), **DB)
    xr.testing.assert_equal(bare, embed_sentinel1_sentinel2(all_clear, **DB))


def test_no_band_of_either_sensor(cube):
    with pytest.raises(MissingBands, match="needed are bands of s1 or s2"):
        embed_sentinel1_sentinel2(cube.sel(bands=["s2_SCL"]), **DB)


def test_plain_names_are_understood(cube, result):
    plain = [label.partition("_")[2] for label in cube["bands"].values]
    found = embed_sentinel1_sentinel2(cube.assign_coords(bands=plain), **DB)
    xr.testing.assert_equal(found, result)
    with pytest.raises(InvalidCube, match="repeats"):
        embed_sentinel1_sentinel2(
            xr.concat([cube, cube.sel(bands=["s1_VV"]).assign_coords(bands=["VV"])], "bands")
        )


# --- units of Sentinel-1


def test_linear_power_and_decibels_are_the_same(cube, result):
    linear = embed_sentinel1_sentinel2(cube_of(made_up(y=6, x=9), "linear"), dates=DATES)
    np.testing.assert_allclose(linear, result, atol=1e-4)


@pytest.mark.parametrize("border", [0.0, -9999.0, np.nan])
def test_borders_of_a_scene_are_no_power(border):
    whole = cube_of(made_up(y=6, x=9), "linear")
    radar = whole["bands"].str.startswith("s1") & (whole["x"] < whole["x"][4])
    cut = whole.where(~radar, border)
    expected = whole.where(~radar)
    xr.testing.assert_equal(
        embed_sentinel1_sentinel2(cut, dates=DATES), embed_sentinel1_sentinel2(expected, dates=DATES)
    )


@pytest.mark.parametrize(
    ("stated", "given", "factor", "message"),
    [
        ("linear", "dB", 1, "decibels.*s1_unit='dB'"),
        ("dB", "linear", 1, "linear power.*s1_unit='linear'"),
        ("dB", "dB", 1e4, "stored integers"),
        ("linear", "linear", 1e4, "digital numbers"),
    ],
)
def test_a_wrong_unit_is_refused_and_never_guessed(stated, given, factor, message):
    cube = cube_of(made_up(y=6, x=9), given)
    cube = cube * xr.where(cube["bands"].str.startswith("s1"), np.float32(factor), np.float32(1))
    with pytest.raises(InvalidCube, match=message):
        embed_sentinel1_sentinel2(cube, dates=DATES, s1_unit=stated)


def test_one_negative_pixel_makes_no_decibels_of_power():
    cube = cube_of(made_up(y=6, x=9), "linear")
    cube.loc[{"bands": "s1_VV"}][5, 0, 0] = -0.01
    with pytest.raises(InvalidCube, match="s1_unit='linear'"):
        embed_sentinel1_sentinel2(cube, dates=DATES, s1_unit="dB")


def test_a_tile_with_a_single_bright_pixel_ends_no_job(cube):
    alone = of_sensor(cube, "s1") * np.nan
    first = int(np.flatnonzero(of_sensor(cube, "s1").notnull().any(("bands", "y", "x")))[0])
    alone[first, 0, 3, 4] = 2.5
    found = embed_sentinel1_sentinel2(alone, dates="acquisition", s1_unit="dB")
    assert np.isfinite(band(found, "e0")[:, 3, 4]).any()


def test_clear_dates_need_sentinel2(cube):
    with pytest.raises(InvalidParameter, match="of which the cube has no band"):
        embed_sentinel1_sentinel2(of_sensor(cube, "s1"), dates="clear", s1_unit="dB")


def test_reflectance_that_was_not_scaled_is_refused(cube):
    with pytest.raises(InvalidCube, match="stored integers"):
        embed_sentinel1_sentinel2(of_sensor(cube, "s2").drop_sel(bands="s2_SCL") * 10_000, **DB)


# --- dates


def test_clear_dates_have_values_where_sentinel2_saw_the_ground_and_only_there(cube):
    found = embed_sentinel1_sentinel2(cube, PERIOD, "clear", "dB")
    optical = of_sensor(cube, "s2").dropna("t", how="all")
    np.testing.assert_array_equal(found["t"], optical["t"])
    clear = optical.sel(bands="s2_SCL").values == CLEAR
    np.testing.assert_array_equal(np.isfinite(band(found, "e0")), clear)
    np.testing.assert_array_equal(band(found, "validity"), np.where(clear, 4, 5))
    daily = embed_sentinel1_sentinel2(cube, PERIOD, s1_unit="dB").sel(t=found["t"])
    np.testing.assert_allclose(band(found, "e3")[clear], band(daily, "e3")[clear], atol=1e-5)


def test_tiles_with_other_clouds_have_the_same_clear_dates(cube):
    west, east = cube.isel(x=slice(0, 4)).copy(), cube.isel(x=slice(4, 9))
    west.loc[{"bands": "s2_SCL"}] = xr.where(west.sel(bands="s2_SCL").isnull(), np.nan, CLOUD)
    dates = [embed_sentinel1_sentinel2(tile, None, "clear", "dB")["t"].values for tile in (west, east)]
    np.testing.assert_array_equal(*dates)


def test_the_margin_serves_the_result_and_is_not_in_it(cube):
    whole = embed_sentinel1_sentinel2(cube, PERIOD, "P5D", "dB")
    inner = embed_sentinel1_sentinel2(cube, PERIOD, "P5D", "dB", margin_days=60)
    first, last = np.datetime64(PERIOD[0]) + 60, np.datetime64(PERIOD[1]) - 60
    assert (inner["t"] >= first).all()
    assert (inner["t"] < last).all()
    xr.testing.assert_allclose(inner, whole.sel(t=inner["t"]), atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temporal_extent": ["2010-01-01", "2020-01-01"]}, "400 at most"),
        ({"temporal_extent": None, "dates": "P1D"}, "needs a temporal_extent"),
        ({"temporal_extent": PERIOD, "margin_days": 100}, "leaves nothing"),
        ({"dates": DATES, "margin_days": 5}, "shortens temporal_extent"),
        ({"dates": "acquisition", "margin_days": 5}, "shortens temporal_extent"),
        ({"temporal_extent": PERIOD, "margin_days": -1}, "margin_days must be"),
        ({"dates": DATES, "s1_unit": "power"}, "s1_unit must be one of"),
        ({"dates": DATES, "encoding": "int16"}, "encoding must be one of"),
        ({"dates": DATES, "reconstruct": "false"}, "reconstruct must be true or false"),
    ],
)
def test_wrong_parameters_are_named(cube, parameters, message):
    with pytest.raises(InvalidParameter, match=message):
        embed_sentinel1_sentinel2(cube, **{"s1_unit": "dB"} | parameters)


def test_dates_far_from_all_observations_are_a_mistake(cube):
    with pytest.raises(NoDataAvailable, match="more than 90 days apart"):
        embed_sentinel1_sentinel2(cube, dates=["2021-01-01"], s1_unit="dB")
