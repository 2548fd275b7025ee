"""Laws of fusing cubes of Landsat and Sentinel-2: what comes in, what is missing, where values come from."""

import json

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2, output_bands

from ..landsat_sentinel2_cube import (
    CLEAR_SCL,
    CLOUD_SCL,
    COARSE,
    LANDSAT,
    PERIOD,
    SENTINEL2,
    SUPPORT_DAYS,
    cube_of,
    models_in,
    write_models,
)

pytestmark = pytest.mark.usefixtures("random_fusion")

DATES = ["2018-04-20", "2018-05-11", "2018-06-30"]
MODELS = pytest.mark.parametrize("model", ["tamrf", "raw"])
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def cube():
    return cube_of()


def fuse(cube, temporal_extent=PERIOD, dates=DATES, **choices):
    return fuse_landsat_sentinel2(cube, temporal_extent, dates, **choices)


def of_sensor(cube, sensor):
    return cube.sel(bands=cube["bands"].str.startswith(sensor))


def band(result, name):
    return result.sel(bands=name).values


def assert_close(found, expected):
    """To 2e-5 of reflectance and 20 mK; provenance exactly."""
    assert found["bands"].values.tolist() == expected["bands"].values.tolist()
    np.testing.assert_array_equal(found["t"], expected["t"])
    for name in expected["bands"].values:
        limits = {"rtol": 0, "atol": 0.02} if name.endswith("LST") else CLOSE
        if "provenance" in name:
            limits = {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(band(found, name), band(expected, name), err_msg=name, **limits)


# --- what comes out


def test_all_bands_of_both_sensors_on_every_date(cube):
    result = fuse(cube)
    labels = [f"l8_{name}" for name in LANDSAT] + [f"s2_{name}" for name in SENTINEL2]
    assert result["bands"].values.tolist() == [*labels, "l8_provenance", "s2_provenance"]
    assert dict(result.sizes) == {"t": 3, "bands": 20, "y": 12, "x": 15}
    assert result.dtype == np.float32
    assert result.notnull().all()
    assert 270 < band(result, "l8_LST").mean() < 320
    np.testing.assert_array_equal(result["x"], cube["x"])


@pytest.mark.parametrize(("sensor", "names"), [("l8", LANDSAT), ("s2", SENTINEL2)])
def test_one_sensor_alone_has_no_prefix(cube, sensor, names):
    both, one = fuse(cube), fuse(cube, sensors=[sensor])
    assert one["bands"].values.tolist() == [*names, "provenance"]
    for name in (*names, "provenance"):
        np.testing.assert_array_equal(band(one, name), band(both, f"{sensor}_{name}"))


def test_the_order_of_sensors_does_not_matter(cube):
    xr.testing.assert_equal(fuse(cube, sensors=["s2", "l8"]), fuse(cube))


def test_it_is_the_models_answer_to_what_is_clear(cube):
    cube = cube.drop_sel(bands=[f"s2_{name}" for name in COARSE])  # those are interpolated on the way in
    observed = {}
    for sensor, names, flag, clear in (("l8", LANDSAT, "QA_PIXEL", 21824), ("s2", SENTINEL2, "SCL", 4)):
        own = cube.reindex(bands=[f"{sensor}_{name}" for name in (*names, flag)]).dropna("t", how="all")
        values, valid = own.values[:, :-1], np.isfinite(own.values[:, :-1]) & (own.values[:, -1:] == clear)
        if sensor == "l8":
            values, valid = values[..., 1::3, 1::3], valid[..., 1::3, 1::3]
        days = own["t"].values.astype("datetime64[D]").astype(np.int32)
        observed[sensor] = Observations(values, valid, days)
    days = np.array(DATES, "datetime64[D]").astype(np.int32)
    first = int(np.datetime64(PERIOD[0], "D").astype(int))
    expected = weights.load_fusion("tamrf").fuse(observed, days, first)
    result = fuse(cube)
    np.testing.assert_allclose(result[:, :7], expected["l8"][:, :7], **CLOSE)
    np.testing.assert_allclose(result[:, 7], expected["l8"][:, 7], atol=0.01)
    np.testing.assert_allclose(result[:, 8:18], expected["s2"], **CLOSE)


def test_what_a_reader_must_know_is_in_the_attributes(cube):
    result = fuse(cube, days_to_observation=True)
    assert result.attrs["process"] == "fuse_landsat_sentinel2"
    assert result.attrs["model"] == "tamrf"
    assert len(result.attrs["model_sha256"]) == 64
    assert json.loads(result.attrs["parameters"])["landsat_cell_offset_px"] == [0, 0]
    about = result.attrs["band_attrs"]
    assert set(about) == set(result["bands"].values.tolist())
    assert (about["l8_LST"]["units"], about["s2_B04"]["units"]) == ("K", "1")
    assert about["s2_B04"]["ancillary_variables"] == "s2_provenance"
    assert len(about["l8_provenance"]["flag_meanings"].split()) == 5


def test_the_bands_are_those_announced(cube):
    for choices in ({}, {"sensors": ["s2"]}, {"days_to_observation": True}):
        assert fuse(cube, **choices)["bands"].values.tolist() == output_bands(**choices)


# --- dates


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ("twice_monthly", ["2018-04-15", "2018-05-01", "2018-05-15", "2018-06-01"]),
        ("P1M", ["2018-05-01", "2018-06-01"]),
        (["2018-05-03", "2018-04-09"], ["2018-04-09", "2018-05-03"]),
    ],
)
def test_dates_come_from_the_calendar_or_a_list(cube, dates, expected):
    result = fuse(cube, ["2018-04-02", "2018-06-02"], dates)
    assert result["t"].values.astype("datetime64[D]").astype(str).tolist() == expected


def test_dates_of_acquisition_are_those_of_the_cube_in_the_period(cube):
    result = fuse(cube, ["2018-04-10", "2018-05-10"], "acquisition")
    days = cube["t"].values
    inside = days[(days >= np.datetime64("2018-04-10")) & (days < np.datetime64("2018-05-10"))]
    np.testing.assert_array_equal(result["t"], inside)


def test_a_list_needs_no_period_and_counts_from_its_first_date(cube):
    assert_close(fuse(cube, None), fuse(cube, [DATES[0], PERIOD[1]]))


def test_days_are_counted_from_the_period_and_not_from_the_cube(cube):
    later = cube[cube["t"] >= np.datetime64("2018-05-01")]
    one, two = (fuse(part, dates=["2018-07-20"]) for part in (later, later[1:]))
    other = fuse(later, ["2018-05-01", PERIOD[1]], dates=["2018-07-20"])
    assert np.abs(one - two).max() < np.abs(one - other).max()
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("dates", ["twice_monthly", "P8D", "acquisition"])
def test_without_a_period_or_a_list_it_is_asked_for(cube, dates):
    with pytest.raises(InvalidParameter, match="needs a temporal_extent"):
        fuse(cube, None, dates)


def test_too_many_dates_are_refused(cube):
    with pytest.raises(InvalidParameter, match="365 dates, one result has 200"):
        fuse(cube, ["2018-01-01", "2019-01-01"], "P1D")


def test_one_date_is_enough(cube):
    day = np.datetime64("2018-04-21", "ns")
    single = cube.sel(t=[day]).sel(bands=cube["bands"].str.startswith("s2"))
    result = fuse(single, dates=["2018-04-21", "2018-04-25"], sensors=["s2"])
    clear = single.sel(bands="s2_SCL").values[0] == CLEAR_SCL
    np.testing.assert_array_equal(band(result, "provenance")[0], np.where(clear, 0, 4))
    np.testing.assert_array_equal(band(result, "provenance")[1], np.where(clear, 3, 4))
    assert result.sel(bands="B02").notnull().values[:, clear].all()
    assert result.sel(bands="B02").isnull().values[:, ~clear].all()


def test_a_date_beyond_the_support_is_refused_and_all_of_them_are_an_error(cube):
    last = cube["t"].values[-1].astype("datetime64[D]")
    near, far = (str(last + np.timedelta64(SUPPORT_DAYS + days, "D")) for days in (-5, 25))
    result = fuse(cube, dates=[near, far])
    assert result[0].sel(bands="s2_B02").notnull().any()
    assert (result[1].sel(bands=["l8_provenance", "s2_provenance"]) == 4).all()
    assert result[1, :18].isnull().all()
    with pytest.raises(NoDataAvailable, match=f"more than {SUPPORT_DAYS} days apart"):
        fuse(cube, dates=["2020-01-01"])


# --- clouds, provenance, distances


def test_provenance_says_who_saw_the_ground(cube):
    day = "2018-04-21"
    result = fuse(cube, dates=[day, "2018-04-24"])
    flag = cube.sel(bands="s2_SCL", t=day).values
    found = band(result, "s2_provenance")[0]
    np.testing.assert_array_equal(found == 0, flag == CLEAR_SCL)
    landsat = cube.sel(bands="l8_QA_PIXEL", t=day).values == 21824
    np.testing.assert_array_equal((found == 1), (flag == CLOUD_SCL) & landsat)
    np.testing.assert_array_equal(band(result, "l8_provenance")[0] == 0, landsat)
    assert set(np.unique(band(result, "s2_provenance")[1])) <= {2, 3}


def test_provenance_is_the_worst_over_the_bands_that_the_cube_has(cube):
    day = "2018-04-21"
    blind = cube.copy()
    blind.loc[{"bands": "l8_LST", "t": day}] = np.nan
    found = band(fuse(blind, dates=[day]), "l8_provenance")
    assert (found > 0).all()
    without = band(fuse(cube.drop_sel(bands="l8_LST"), dates=[day]), "l8_provenance")
    np.testing.assert_array_equal(without, band(fuse(cube, dates=[day]), "l8_provenance"))


def test_days_to_observations_are_told_on_request(cube):
    result = fuse(cube, days_to_observation=True)
    own = [band(result, f"{sensor}_days_to_own_observation") for sensor in ("l8", "s2")]
    np.testing.assert_array_equal(band(result, "days_to_observation"), np.minimum(*own))
    seen = band(result, "s2_provenance") == 0
    np.testing.assert_array_equal(own[1] == 0, seen)


def test_what_is_under_clouds_matters_to_a_network_that_reads_clouds_alone(cube):
    other = cube.copy()
    optical = [f"s2_{name}" for name in SENTINEL2]
    cloudy = cube.sel(bands="s2_SCL", drop=True) == CLOUD_SCL
    other.loc[{"bands": optical}] = cube.sel(bands=optical).where(~cloudy, 0.4)
    # Fine bands of 10 m only: interpolation carries those of 20 m over to their clear neighbours.
    fine = ["s2_B02", "s2_B03", "s2_B04", "s2_B08"]
    keep = [name for name in cube["bands"].values if name in fine or name[:2] == "l8" or name == "s2_SCL"]
    one, two = cube.sel(bands=keep), other.sel(bands=keep)
    xr.testing.assert_equal(fuse(one), fuse(two))
    raw = fuse(one, model="raw"), fuse(two, model="raw")
    assert np.abs(raw[0] - raw[1]).max() > 1e-3
    for name in ("l8_provenance", "s2_provenance"):
        np.testing.assert_array_equal(band(raw[0], name), band(fuse(one), name))


# --- what is missing


@MODELS
@pytest.mark.parametrize("sensor", ["l8", "s2"])
def test_one_sensor_is_enough_for_both(cube, sensor, model):
    result = fuse(of_sensor(cube, sensor), model=model)
    guessed = result["bands"] == "l8_LST" if sensor == "s2" else result["bands"] == "none"
    assert result[:, ~guessed].notnull().all()
    assert result[:, guessed].isnull().all()
    other = {"l8": "s2", "s2": "l8"}[sensor]
    assert set(np.unique(band(result, f"{other}_provenance"))) <= {1, 2, 3}


def test_a_sensor_without_a_value_is_a_sensor_that_is_not_there(cube):
    blind = cube.where(~cube["bands"].str.startswith("l8"))
    xr.testing.assert_equal(fuse(blind), fuse(of_sensor(cube, "s2")))


def test_neither_sensor_is_an_error_that_names_the_bands(cube):
    with pytest.raises(MissingBands, match=r"l8_B1\.\.LST or s2_B02\.\.B12"):
        fuse(cube.assign_coords(bands=[f"x{number}" for number in range(cube.sizes["bands"])]))


def test_a_band_that_the_site_lacks_is_estimated_from_the_others(cube):
    result = fuse(cube.drop_sel(bands="l8_B1"))
    assert result.sel(bands="l8_B1").notnull().all()
    assert result.attrs["bands_not_in_cube"] == "l8_B1"
    assert "bands_not_in_cube" not in fuse(cube).attrs
    blind = cube.copy()
    blind.loc[{"bands": "l8_B1"}] = np.nan
    np.testing.assert_array_equal(result[:, :18], fuse(blind)[:, :18])


@MODELS
def test_temperature_is_missing_without_a_clear_temperature_within_reach(cube, model):
    cloudless = cube.copy()
    cloudless.loc[{"bands": "l8_QA_PIXEL"}] = cube.sel(bands="l8_QA_PIXEL") * 0 + 21824
    day = "2018-04-21"
    blind = cloudless.copy()
    blind.loc[{"bands": "l8_LST"}] = blind.sel(bands="l8_LST").where(blind["t"] == np.datetime64(day))
    blind.loc[{"bands": "l8_LST"}][..., :3, :] = np.nan
    far = str(np.datetime64(day) + np.timedelta64(SUPPORT_DAYS + 1, "D"))
    result = fuse(blind, dates=[day, far], model=model)
    there = np.isfinite(band(result, "l8_LST"))
    assert not there[1].any()
    np.testing.assert_array_equal(there[0].all(1), np.arange(12) >= 3)
    assert result.sel(bands=["l8_B5", "s2_B08"]).notnull().all()


def test_a_band_that_the_network_never_learned_is_left_out(cube, tmp_path):
    write_models(tmp_path, {"l8": ["B1"]})
    with models_in(tmp_path):
        result = fuse(cube)
        assert "l8_B1" not in result["bands"]
        assert result.sizes["bands"] == 19
        assert result.attrs["bands_left_out"] == "l8_B1"
        assert output_bands() == result["bands"].values.tolist()


def test_all_missing_stays_missing(cube):
    result = fuse(cube * np.nan)
    assert result[:, :18].isnull().all()
    assert (result[:, 18:] == 4).all()


@MODELS
def test_a_pixel_that_was_never_seen_stays_missing(cube, model):
    blind = cube.copy()
    blind[..., 3:6, 6:9] = np.nan  # a cell of Landsat; of half a cell the rest would tell
    result = fuse(blind, model=model)
    assert result[:, :18, 3:6, 6:9].isnull().all()
    assert (result[:, 18:, 3:6, 6:9] == 4).all()
    assert result[:, :18, :, :6].notnull().all()


def test_a_date_of_nothing_changes_nothing(cube):
    extra = cube[:1].assign_coords(t=[np.datetime64("2018-04-03", "ns")]) * np.nan
    xr.testing.assert_equal(fuse(xr.concat([cube, extra], "t")), fuse(cube))


# --- tiles and order


@MODELS
@pytest.mark.parametrize("offset", [(0, 0), (2, 1)])
def test_a_tile_with_its_margin_is_the_whole(model, offset):
    cube = cube_of(36, 102, offset)
    choices = {"model": model, "landsat_cell_offset_px": offset}
    whole = fuse(cube, **choices)
    overlap, size = 30, 12
    padded = cube.pad(y=overlap, x=overlap)  # as a backend fills chunks up beyond the data
    for top, left in ((0, 0), (12, 48), (24, 84)):
        tile = padded[..., top : top + size + 2 * overlap, left : left + size + 2 * overlap]
        part = fuse(tile, **choices)[..., overlap : overlap + size, overlap : overlap + size]
        expected = whole[..., top : top + size, left : left + size]
        assert_close(part, expected[..., :, :])


def test_order_of_dates_bands_and_dimensions_does_not_matter(cube):
    rng = np.random.default_rng(0)
    shuffled = cube[rng.permutation(len(cube)), rng.permutation(cube.sizes["bands"])]
    found = fuse(shuffled.transpose("y", "bands", "x", "t").rename(t="time")).rename(time="t")
    assert_close(found.transpose("t", "bands", "y", "x"), fuse(cube))


def test_ragged_edges_belong_to_cells_that_lie_partly_outside():
    cube = cube_of(10, 11, (2, 1))
    result = fuse(cube, landsat_cell_offset_px=[2, 1])
    assert dict(result.sizes)["y"] == 10
    assert result.notnull().all()


# --- wrong parameters


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ({"sensors": []}, "one or both"),
        ({"sensors": "s2"}, "one or both"),
        ({"sensors": ["s2", "s2"]}, "one or both"),
        ({"sensors": ["s1"]}, "one or both"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"precision": "bfloat16"}, "checked in"),
        ({"model": "satfusenet"}, "fuses"),
        ({"model": "nothing"}, "no model 'nothing'"),
        ({"model": "../tamrf"}, "name of a card"),
        ({"landsat_cell_offset_px": [0, 3]}, "0, 1 or 2"),
        ({"landsat_cell_offset_px": [0]}, "row, column"),
        ({"landsat_cell_offset_px": [0, 1.0]}, "0, 1 or 2"),
        ({"days_to_observation": 1}, "true or false"),
        ({"dates": "fortnightly"}, "dates must be 'twice_monthly'"),
    ],
)
def test_wrong_choices_are_errors_that_say_what_is_wanted(cube, choices, match):
    with pytest.raises(InvalidParameter, match=match):
        fuse(cube, **choices)


def test_an_unknown_parameter_is_named(cube):
    with pytest.raises(TypeError, match="sensor_list"):
        fuse(cube, sensor_list=["s2"])


def test_units_are_checked(cube):
    celsius = cube.copy()
    celsius.loc[{"bands": "l8_LST"}] -= 273.15
    with pytest.raises(InvalidCube, match="degrees Celsius"):
        fuse(celsius)
    with pytest.raises(InvalidCube, match="must be 0-1"):
        fuse(cube.where(~cube["bands"].str.startswith("s2_B"), cube * 1e4))
