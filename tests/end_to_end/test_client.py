"""The ordinary openEO Python client against the embedded server: our processes, alone and in graphs."""

import zipfile

import numpy as np
import pandas as pd
import pystac
import pytest
import rioxarray
import xarray as xr
from openeo.api.process import Parameter
from openeo.processes import mean
from openeo.rest import OpenEoApiError

from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

from .conftest import CLOSE, DATES, PERIOD

BANDS = [f"B{number}" for number in range(1, 8)]
OWN_NAMES = {
    "modis_bands": [f"modis_{band}" for band in BANDS],
    "modis_flags": ["modis_state_1km"],
    "viirs_bands": [f"viirs_{band}" for band in ("I1", "I2", "M3", "M4", "M5", "M8", "M10", "M11")],
    "viirs_flags": ["viirs_QF1", "viirs_QF2", "viirs_QF7"],
}


def ndvi_of(cube: xr.Dataset) -> xr.DataArray:
    return (cube["B2"] - cube["B1"]) / (cube["B2"] + cube["B1"])


def test_our_processes_are_listed_and_described(connection):
    ids = {process["id"] for process in connection.list_processes()}
    assert {"harmonize_modis_viirs", "harmonize_modis_viirs_cube", "ndvi", "apply_neighborhood"} <= ids
    described = connection.describe_process("harmonize_modis_viirs")
    names = [parameter["name"] for parameter in described["parameters"]]
    assert names[:2] == ["spatial_extent", "temporal_extent"]
    assert {"target", "dates", "uncertainty", "modis_collection", "viirs_scale"} <= set(names)
    assert "provenance" in described["description"]


def test_it_gives_over_http_what_the_plain_function_gives(harmonised, result, expected):
    assert harmonised.validate() == []
    found = result(harmonised)
    assert list(found.data_vars) == [*BANDS, *(f"{band}_sigma" for band in BANDS), "provenance"]
    xr.testing.assert_allclose(found[list(expected)], expected, **CLOSE)
    np.testing.assert_array_equal(found["provenance"], expected["provenance"])
    assert found.attrs["process"] == "harmonize_modis_viirs"
    assert found["B1"].attrs["units"] == "1"
    assert found["provenance"].attrs["flag_meanings"].split()[0] == "observed"


def test_parameters_reach_the_function(connection, area, result, merged):
    choices = {"target": "viirs", "uncertainty": "quantiles", "dates": "P10D", "days_to_observation": True}
    cube = connection.datacube_from_process(
        "harmonize_modis_viirs", spatial_extent=area, temporal_extent=PERIOD, **choices
    )
    expected = harmonize_modis_viirs(merged.astype(np.float32), temporal_extent=PERIOD, **choices)
    xr.testing.assert_allclose(result(cube).drop_attrs(), expected.to_dataset("bands").drop_attrs(), **CLOSE)


def test_the_published_file_gives_the_same_by_its_url(connection, area, published, result, expected):
    cube = connection.datacube_from_process(
        "harmonize_modis_viirs",
        namespace=f"{published}/harmonize_modis_viirs.json",
        spatial_extent=area,
        temporal_extent=PERIOD,
        modis_collection="modis",
        viirs_collection="viirs",
        modis_scale=1,
        viirs_scale=1,
        **OWN_NAMES,
    )
    assert cube.validate() == []
    xr.testing.assert_allclose(result(cube)[list(expected)], expected, **CLOSE)


def test_a_forgotten_scale_is_named(connection, area, published, tmp_path):
    cube = connection.datacube_from_process(
        "harmonize_modis_viirs",
        namespace=f"{published}/harmonize_modis_viirs.json",
        spatial_extent=area,
        temporal_extent=PERIOD,
        modis_collection="modis",
        viirs_collection="viirs",
        **OWN_NAMES,
    )
    with pytest.raises(OpenEoApiError, match=r"scaled twice.*set the process's scale to 1") as raised:
        cube.download(tmp_path / "x.nc")
    assert (raised.value.http_status_code, raised.value.code) == (400, "ProcessParameterInvalid")


def test_the_published_cube_process_works_on_a_merged_cube(
    connection, area, published, result, merged, expected
):
    modis, viirs = (connection.load_collection(name, area, PERIOD) for name in ("modis", "viirs"))
    cube = connection.datacube_from_process(
        "harmonize_modis_viirs_cube",
        namespace=f"{published}/harmonize_modis_viirs_cube.json",
        data=modis.merge_cubes(viirs),
        temporal_extent=PERIOD,
    )
    xr.testing.assert_allclose(result(cube)[list(expected)], expected, **CLOSE)


def test_monthly_ndvi(harmonised, result, expected):
    monthly = harmonised.ndvi(red="B1", nir="B2").aggregate_temporal_period("month", reducer="mean")
    found = result(monthly)
    truth = ndvi_of(expected).resample(t="1MS").mean()
    np.testing.assert_allclose(found[next(iter(found))], truth.transpose("t", "y", "x"), **CLOSE)
    assert list(found["t"].values.astype("datetime64[M]").astype(str)) == ["2023-06", "2023-07"]


def test_band_arithmetic(harmonised, result, expected):
    red, near_infrared = harmonised.band("B1"), harmonised.band("B2")  # no metadata is needed for that
    index = result((near_infrared - red) / (near_infrared + red))
    np.testing.assert_allclose(index[next(iter(index))], ndvi_of(expected), rtol=1e-3, atol=1e-3)
    scaled = result((harmonised * 100 + 5).filter_bands(["B3", "B1"]))
    assert list(scaled.data_vars) == ["B3", "B1"]
    np.testing.assert_allclose(scaled["B1"], 100 * expected["B1"] + 5, **CLOSE)


def test_filters_around_it(harmonised, area, result, expected):
    east = {**area, "west": (area["west"] + area["east"]) / 2}
    found = result(
        harmonised.filter_temporal("2023-06-10", "2023-07-01").filter_bbox(east).filter_bands(["B2"])
    )
    assert list(found.data_vars) == ["B2"]
    truth = expected["B2"].sel(t=slice("2023-06-10", "2023-06-30")).sel(x=found["x"], y=found["y"])
    assert 0 < found.sizes["x"] < expected.sizes["x"]
    np.testing.assert_allclose(found["B2"], truth, **CLOSE)


def test_a_mask_of_its_own_provenance(harmonised, result, expected):
    guessed = harmonised.filter_bands(["provenance"]).reduce_dimension("bands", "max") >= 2
    found = result(harmonised.filter_bands(["B1"]).mask(guessed))
    truth = expected["B1"].where(expected["provenance"] < 2)
    assert 0 < int(truth.notnull().sum()) < truth.size
    np.testing.assert_allclose(found["B1"], truth, **CLOSE)


def test_resampling_by_the_client(harmonised, result, expected):
    (step,) = np.unique(np.diff(expected["x"].values).round(3))
    found = result(harmonised.filter_bands(["B1"]).resample_spatial(resolution=float(step) / 2))
    assert found.sizes["x"] == 2 * expected.sizes["x"]
    np.testing.assert_allclose(found["B1"].values[:, ::2, ::2], expected["B1"], **CLOSE)


def test_a_process_of_the_users_own_calls_ours(connection, area, result, expected):
    extent, interval = Parameter.spatial_extent(), Parameter.temporal_interval()
    inner = connection.datacube_from_process(
        "harmonize_modis_viirs", spatial_extent=extent, temporal_extent=interval, uncertainty="none"
    )
    process = connection.save_user_defined_process(
        "greenness", inner.ndvi(red="B1", nir="B2"), parameters=[extent, interval]
    )
    try:
        cube = connection.datacube_from_process("greenness", spatial_extent=area, temporal_extent=PERIOD)
        found = result(cube.reduce_dimension("t", lambda values: mean(values)))
    finally:
        process.delete()
    np.testing.assert_allclose(found[next(iter(found))], ndvi_of(expected).mean("t"), **CLOSE)


def test_a_batch_job_with_logs_and_stac_results(harmonised, tmp_path, expected):
    job = harmonised.create_job(title="Harmonise", out_format="netCDF")
    job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    assert job.status() == "finished"
    assert any("finished" in entry["message"] for entry in job.logs(level="info"))
    results = job.get_results()
    metadata = results.get_metadata()
    stac = pystac.Collection.from_dict(metadata)
    assert (
        stac.extent.temporal.intervals[0][0].date().isoformat() == "2023-06-02"
    )  # the first of every eighth day
    (file,) = results.download_files(tmp_path, include_stac_metadata=False)
    with xr.open_dataset(file) as found:
        np.testing.assert_allclose(found["B2"], expected["B2"], **CLOSE)


def test_all_formats_hold_the_same_numbers(small, result, tmp_path):
    truth = result(small)
    small.download(tmp_path / "cube.zarr.zip", format="Zarr")
    small.download(tmp_path / "cube.tif.zip", format="GTiff")
    small.download(tmp_path / "cube.parquet", format="Parquet")
    for name in ("zarr", "tif"):
        zipfile.ZipFile(tmp_path / f"cube.{name}.zip").extractall(tmp_path / name)

    (store,) = {path.parents[1] for path in (tmp_path / "zarr").glob("**/B1/*")}
    xr.testing.assert_allclose(xr.open_zarr(store).drop_vars("crs").load().drop_attrs(), truth.drop_attrs())

    files = sorted((tmp_path / "tif").rglob("*.tif"))
    assert [file.stem[-10:] for file in files] == DATES
    for file, date in zip(files, truth["t"], strict=True):
        with rioxarray.open_rasterio(file) as image:
            assert image.attrs["long_name"] == ("B1", "B2_sigma")
            np.testing.assert_array_equal(image, truth.sel(t=date).to_dataarray())

    rows = pd.read_parquet(tmp_path / "cube.parquet").set_index(["t", "y", "x"]).to_xarray()
    rows = rows.reindex(y=truth["y"], x=truth["x"])
    for band in ("B1", "B2_sigma"):
        np.testing.assert_array_equal(rows[band], truth[band])
