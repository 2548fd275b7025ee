"""Laws of sharpening temperature: Landsat's dates, kelvin, and what was measured comes back."""

import numpy as np
import pytest
import torch
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands
from openeo_udf_fusion.models import psf
from openeo_udf_fusion.models.thermal_residual import MTF, REACH_PX, SAMPLE_PX
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2
from openeo_udf_fusion.processes.sharpen_landsat_thermal import (
    COMPENSATION_PX,
    output_bands,
    sharpen_landsat_thermal,
)

from ..landsat_sentinel2_cube import CLEAR_QA, PERIOD, cube_of

pytestmark = pytest.mark.usefixtures("random_fusion")


@pytest.fixture(scope="module")
def cube():
    return cube_of(36, 45)


@pytest.fixture(scope="module")
def landsat(cube):
    return cube.sel(bands=cube["bands"].str.startswith("l8")).dropna("t", how="all")


def lst(result):
    return result.sel(bands="LST").values


def test_kelvin_on_the_dates_of_landsat(cube, landsat):
    result = sharpen_landsat_thermal(cube, PERIOD, days_to_observation=True)
    assert result["bands"].values.tolist() == output_bands(True)
    assert output_bands() == ["LST", "provenance"]
    np.testing.assert_array_equal(result["t"], landsat["t"])
    assert result.notnull().all()
    assert ((lst(result) > 250) & (lst(result) < 340)).all()
    assert result.attrs["band_attrs"]["LST"]["units"] == "K"
    clear = landsat.sel(bands="l8_QA_PIXEL").values == CLEAR_QA
    np.testing.assert_array_equal(result.sel(bands="provenance") == 0, clear)
    np.testing.assert_array_equal(result.sel(bands="days_to_own_observation") == 0, clear)


def test_seen_by_the_radiometer_it_is_what_was_measured(landsat):
    cube = cube_of(36, 45, flags=False)
    found = lst(sharpen_landsat_thermal(cube, PERIOD))
    raw = fuse_landsat_sentinel2(cube, PERIOD, landsat["t"].values.astype(str).tolist(), ["l8"])
    measured = cube.sel(bands="l8_LST").dropna("t").values[:, 1::3, 1::3]

    def missed(images):
        blurred = psf.blurred(torch.from_numpy(images)[:, None], [MTF], [SAMPLE_PX])
        return np.abs((psf.coarser(blurred, 3)[:, 0].numpy() - measured)[:, 3:-3, 3:-3]).mean()

    assert missed(found) < 0.5 * missed(lst(raw))


def test_under_clouds_it_is_the_networks_estimate(cube, landsat):
    day = landsat["t"].values[1]
    cloudy = cube.copy()
    cloudy.loc[{"t": day, "bands": "l8_QA_PIXEL"}] = 22280
    date = [str(day)[:10]]
    found = sharpen_landsat_thermal(cloudy, PERIOD, date)
    raw = fuse_landsat_sentinel2(cloudy, PERIOD, date, ["l8"])
    np.testing.assert_array_equal(lst(found), lst(raw))
    assert (found.sel(bands="provenance") > 0).all()


def test_a_day_without_a_temperature_is_not_observed(cube, landsat):
    day = landsat["t"].values[1]
    blind = cube.copy()
    blind.loc[{"t": day, "bands": "l8_LST"}] = np.nan
    found = sharpen_landsat_thermal(blind, PERIOD, [str(day)[:10]])
    assert (found.sel(bands="provenance") > 0).all()


def test_reflectance_of_landsat_may_be_missing(cube):
    bands = [name for name in cube["bands"].values if not str(name).startswith("l8_B")]
    assert sharpen_landsat_thermal(cube.sel(bands=bands), PERIOD).notnull().all()


@pytest.mark.parametrize(("prefix", "match"), [("l8_LST", "needs l8_LST"), ("s2", "detail of 10 m")])
def test_temperature_and_sentinel2_are_needed(cube, prefix, match):
    with pytest.raises(MissingBands, match=match):
        sharpen_landsat_thermal(cube.sel(bands=~cube["bands"].str.startswith(prefix)), PERIOD)


def test_a_tile_that_nobody_saw_is_missing_and_no_error(cube):
    result = sharpen_landsat_thermal(cube * np.nan, PERIOD)
    assert np.isnan(lst(result)).all()
    assert (result.sel(bands="provenance") == 4).all()


def test_a_tile_with_its_margin_is_the_whole():
    cube = cube_of(24, 120, (2, 1))
    choices = {"dates": ["2018-05-07", "2018-06-24"], "landsat_cell_offset_px": [2, 1]}
    whole = sharpen_landsat_thermal(cube, PERIOD, **choices)
    overlap, size = 48, 12
    padded = cube.pad(y=overlap, x=overlap)
    for top, left in ((0, 48), (12, 108)):
        tile = padded[..., top : top + size + 2 * overlap, left : left + size + 2 * overlap]
        part = sharpen_landsat_thermal(tile, PERIOD, **choices)
        part = part[..., overlap : overlap + size, overlap : overlap + size]
        np.testing.assert_allclose(part, whole[..., top : top + size, left : left + size], atol=1e-3)


def test_the_margin_of_tiles_covers_the_compensation():
    assert COMPENSATION_PX >= REACH_PX


def test_other_units_and_choices_are_refused(cube):
    celsius = cube.copy()
    celsius.loc[{"bands": "l8_LST"}] -= 273.15
    with pytest.raises(InvalidCube, match="degrees Celsius"):
        sharpen_landsat_thermal(celsius, PERIOD)
    with pytest.raises(InvalidParameter, match="Landsat, or a list"):
        sharpen_landsat_thermal(cube, PERIOD, "P8D")
    with pytest.raises(TypeError, match="precision"):
        sharpen_landsat_thermal(cube, PERIOD, precision="bfloat16")


def test_order_does_not_matter(cube):
    shuffled = cube[::-1, ::-1]
    xr.testing.assert_allclose(
        sharpen_landsat_thermal(shuffled, PERIOD), sharpen_landsat_thermal(cube, PERIOD), atol=0.01
    )
