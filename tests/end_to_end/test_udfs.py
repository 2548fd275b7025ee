"""UDFs of the user's own on what our process returns, in every place a backend takes them."""

import numpy as np
import openeo
import pytest
import xarray as xr
from openeo.rest import JobFailedException

from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

from .conftest import CLOSE, DATES, PERIOD

UDF = """
import numpy as np
import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    return {returned}
"""


def udf(returned: str) -> openeo.UDF:
    return openeo.UDF(UDF.format(returned=returned), context={"from_parameter": "context"})


def pixels(count: int) -> list[dict]:
    return [{"dimension": axis, "value": count, "unit": "px"} for axis in ("x", "y")]


@pytest.fixture(scope="module")
def values(merged) -> xr.DataArray:
    """What the plain function gives for `small`: (t, bands, y, x)."""
    cube = harmonize_modis_viirs(merged.astype(np.float32), temporal_extent=PERIOD, dates=DATES)
    return cube.sel(bands=["B1", "B2_sigma"])


def same(found: xr.Dataset, expected: xr.DataArray) -> None:
    bands = expected.to_dataset("bands") if "bands" in expected.dims else {next(iter(found)): expected}
    assert list(found) == list(bands)
    for band, truth in bands.items():
        np.testing.assert_allclose(found[band], truth, **CLOSE)


def test_apply_neighborhood_with_an_overlap(small, result, values):
    smooth = udf("cube.rolling(y=3, x=3, center=True, min_periods=1).mean()")
    found = result(small.apply_neighborhood(smooth, size=pixels(5), overlap=pixels(1)))
    same(found, values.rolling(y=3, x=3, center=True, min_periods=1).mean())


def test_apply_dimension_along_time(small, result, values):
    found = result(small.apply_dimension(udf("cube - cube.mean('t')"), dimension="t"))
    same(found, values - values.mean("t"))


def test_apply_dimension_along_bands(small, result, values):
    found = result(small.apply_dimension(udf("cube / cube.max('bands')"), dimension="bands"))
    same(found, values / values.max("bands"))


def test_reduce_dimension_over_time(small, result, values):
    same(result(small.reduce_dimension("t", udf("cube.max('t')"))), values.max("t"))


def test_reduce_dimension_over_bands(small, result, values):
    found = result(small.reduce_dimension("bands", udf("cube.isel(bands=0) - 2 * cube.isel(bands=1)")))
    same(found, values.isel(bands=0) - 2 * values.isel(bands=1))


def test_apply_with_a_context(small, result, values):
    found = result(small.apply(udf("np.sqrt(cube) * context['gain']"), context={"gain": 3}))
    same(found, 3 * np.sqrt(values))


def test_a_udf_before_our_process(connection, area, result, merged):
    """Bright red is taken for cloud, by a UDF of the user's own on the loaded cube."""
    clear = udf("cube.where(cube.sel(bands='modis_B1') < 0.05)")
    loaded = connection.load_collection("modis", area, PERIOD).apply_dimension(clear, dimension="bands")
    found = result(
        connection.datacube_from_process(
            "harmonize_modis_viirs_cube", data=loaded, temporal_extent=PERIOD, dates=DATES, uncertainty="none"
        )
    )
    modis = merged.sel(bands=[label for label in merged["bands"].values if label.startswith("modis")])
    cube = modis.where(modis.sel(bands="modis_B1") < 0.05).astype(np.float32)
    same(found, harmonize_modis_viirs(cube, temporal_extent=PERIOD, dates=DATES, uncertainty="none"))


def test_the_traceback_of_a_udf_is_in_the_log_of_its_job(small):
    job = small.apply(udf("cube / (len(context) // 0)")).create_job(out_format="netCDF")
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    assert job.status() == "error"
    (text,) = {entry["message"] for entry in job.logs(level="error") if "Traceback" in entry["message"]}
    assert "cube / (len(context) // 0)" in text
    assert text.endswith("ZeroDivisionError: integer division or modulo by zero")
