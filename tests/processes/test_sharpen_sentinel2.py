"""Laws of sharpening Sentinel-2: its own dates, what was seen at 10 m survives, Landsat may help."""

import numpy as np
import pytest
import torch
import xarray as xr

from openeo_udf_fusion.errors import InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.models import psf
from openeo_udf_fusion.models.reflectance_residual import MTF, REACH_PX, SAMPLE_PX
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2
from openeo_udf_fusion.processes.image_series import images_of, labelled
from openeo_udf_fusion.processes.sharpen_sentinel2 import COMPENSATION_PX, output_bands, sharpen_sentinel2

from ..landsat_sentinel2_cube import CLEAR_SCL, COARSE, PERIOD, SENTINEL2, cube_of

pytestmark = pytest.mark.usefixtures("random_fusion")

FINE = ["B02", "B03", "B04", "B08"]
DAYS = ["2018-04-11", "2018-05-01"]


@pytest.fixture(scope="module")
def cube():
    return cube_of()


@pytest.fixture(scope="module")
def alone(cube):
    """Sentinel-2 by itself, on its own dates."""
    return cube.sel(bands=cube["bands"].str.startswith("s2")).dropna("t", how="all")


def test_all_bands_on_the_dates_of_sentinel2(cube, alone):
    result = sharpen_sentinel2(cube, PERIOD)
    assert result["bands"].values.tolist() == [*SENTINEL2, "provenance"] == output_bands()
    np.testing.assert_array_equal(result["t"], alone["t"])
    assert result.notnull().all()
    assert result.attrs["process"] == "sharpen_sentinel2"


def test_what_was_seen_clear_at_10_m_survives_and_nothing_else(cube, alone):
    result = sharpen_sentinel2(cube, PERIOD)
    clear = alone.sel(bands="s2_SCL").values == CLEAR_SCL
    np.testing.assert_array_equal(result.sel(bands="provenance") == 0, clear)
    for name in FINE:
        found, stored = result.sel(bands=name).values, alone.sel(bands=f"s2_{name}").values
        np.testing.assert_array_equal(found[clear], stored[clear])
        assert (found[~clear] != stored[~clear]).all()
    for name in COARSE:
        found, stored = result.sel(bands=name).values, alone.sel(bands=f"s2_{name}").values
        assert (found[clear] != stored[clear]).all()


def test_where_not_seen_clear_the_bands_of_20_m_are_those_of_the_fusion(cube):
    sharp = sharpen_sentinel2(cube, PERIOD)
    days = [str(day)[:10] for day in sharp["t"].values]
    fused = fuse_landsat_sentinel2(cube, PERIOD, days, sensors=["s2"])
    same = (sharp == fused).sel(bands=list(COARSE)).values
    unseen = (sharp.sel(bands="provenance") > 0).values
    assert unseen.any()
    assert not unseen.all()
    np.testing.assert_array_equal(same.all(1), unseen)


def test_seen_at_20_m_it_is_closer_to_what_was_measured(alone):
    days = [str(day)[:10] for day in alone["t"].values]
    cube = cube_of(36, 45, flags=False)
    sharp = sharpen_sentinel2(cube, PERIOD, days).sel(bands=list(COARSE)).values
    fused = fuse_landsat_sentinel2(cube, PERIOD, days, sensors=["s2"]).sel(bands=list(COARSE)).values
    measured = images_of(labelled(cube), "s2", COARSE).values

    def missed(images):
        seen = psf.blurred_known(torch.from_numpy(images), MTF, SAMPLE_PX).numpy()
        return np.sqrt(np.square(seen - measured).mean())

    assert missed(sharp) < 0.7 * missed(fused)


def test_a_tile_with_its_margin_is_the_whole():
    cube = cube_of(24, 120)
    choices = {"dates": DAYS, "landsat_cell_offset_px": [0, 0]}
    whole = sharpen_sentinel2(cube, PERIOD, **choices)
    overlap, size = 36, 12
    padded = cube.pad(y=overlap, x=overlap)
    for top, left in ((0, 48), (12, 108)):
        tile = padded[..., top : top + size + 2 * overlap, left : left + size + 2 * overlap]
        part = sharpen_sentinel2(tile, PERIOD, **choices)
        part = part[..., overlap : overlap + size, overlap : overlap + size]
        np.testing.assert_allclose(part, whole[..., top : top + size, left : left + size], atol=1e-5)


def test_the_margin_of_tiles_covers_the_compensation():
    assert COMPENSATION_PX >= REACH_PX


def test_landsat_is_not_needed_but_helps(cube, alone):
    one, two = sharpen_sentinel2(alone, PERIOD), sharpen_sentinel2(cube, PERIOD)
    assert one.notnull().all()
    assert np.abs(one - two).max() > 1e-4
    cloudy = one.sel(bands="provenance") > 0
    assert (two.sel(bands="provenance").where(cloudy) <= one.sel(bands="provenance").where(cloudy)).any()


def test_bare_names_will_do(alone):
    bare = alone.assign_coords(bands=[str(name).removeprefix("s2_") for name in alone["bands"].values])
    xr.testing.assert_equal(sharpen_sentinel2(bare, PERIOD), sharpen_sentinel2(alone, PERIOD))


def test_listed_dates_need_no_acquisition(cube):
    result = sharpen_sentinel2(cube, PERIOD, ["2018-04-24"])
    assert result.notnull().all()
    assert (result.sel(bands="provenance") >= 2).all()


def test_a_tile_that_sentinel2_never_saw_is_missing_and_no_error(cube):
    blind = cube.where(~cube["bands"].str.startswith("s2"))
    result = sharpen_sentinel2(blind, PERIOD)
    assert (result.sel(bands="provenance") > 0).all()
    nothing = sharpen_sentinel2(cube * np.nan, PERIOD)
    assert nothing[:, :-1].isnull().all()
    assert (nothing[:, -1] == 4).all()
    np.testing.assert_array_equal(nothing["t"], cube["t"])


def test_without_a_band_of_20_m_there_is_nothing_to_sharpen(cube):
    with pytest.raises(MissingBands, match=r"s2_B05.*which it sharpens"):
        sharpen_sentinel2(cube.drop_sel(bands=[f"s2_{name}" for name in COARSE]), PERIOD)


def test_a_band_of_20_m_that_is_missing_is_estimated(cube):
    result = sharpen_sentinel2(cube.drop_sel(bands=["s2_B05", "s2_B12"]), PERIOD)
    assert result.notnull().all()


@pytest.mark.parametrize(
    ("error", "choices", "match"),
    [
        (InvalidParameter, {"dates": "P8D"}, "Sentinel-2, or a list"),
        (InvalidParameter, {"temporal_extent": None}, "needs a temporal_extent"),
        (InvalidParameter, {"days_to_observation": "yes"}, "true or false"),
        (InvalidParameter, {"precision": "float64"}, "precision must be one of"),
        (InvalidParameter, {"landsat_cell_offset_px": 1}, "row, column"),
        (InvalidParameter, {"temporal_extent": ["2019-01-01", "2019-02-01"]}, "no date within"),
        (NoDataAvailable, {"dates": ["2019-08-01"]}, "days apart"),
    ],
)
def test_wrong_choices_are_errors_that_say_what_is_wanted(cube, error, choices, match):
    with pytest.raises(error, match=match):
        sharpen_sentinel2(cube, **{"temporal_extent": PERIOD} | choices)
