"""MODIS twice a day, VIIRS once: through merge_cubes and the fusion, as files."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from openeo_udf_fusion import udps
from openeo_udf_fusion.local import executor
from tests.local.graphs import load, node, of, process, workspace

DAYS = 20


@pytest.fixture
def folder(tmp_path, make_cube):
    """`modis/` with a file per day and satellite, none on the sixth day; `viirs/` with a file per day."""
    whole = make_cube(DAYS, missing=0.1).rio.write_crs(32631)
    bands = {id: [band for band in whole.bands.values if band.startswith(id)] for id in ("modis", "viirs")}
    for id, products in (("modis", ("MOD09GA", "MYD09GA")), ("viirs", ("VNP09GA",))):
        (tmp_path / id).mkdir()
        for number, product in enumerate(products):
            for day in range(DAYS):
                if (id, day) == ("modis", 5):
                    continue
                step = whole.isel(t=[day]).sel(bands=bands[id]) * (1 + 0.02 * number)
                name = f"{product}.A{pd.Timestamp(step.t.values[0]):%Y%j}.nc"
                step.to_dataset("bands").to_netcdf(tmp_path / id / name)
    return tmp_path


def fused(**parameters):
    nodes = {
        "modis": load("modis"),
        "viirs": load("viirs"),
        "both": node("merge_cubes", cube1=of("modis"), cube2=of("viirs")),
        "fused": node("harmonize_modis_viirs_cube", data=of("both"), **parameters),
    }
    return process(**nodes)


def test_terra_and_aqua_with_viirs_become_one_series(folder, tmp_path):
    definitions = udps.definitions(udps.EMBEDDED)
    out = tmp_path / "out.nc"
    result = executor.run(fused(dates="acquisition"), workspace(folder, definitions), out, format="netCDF")
    days = pd.date_range("2022-03-01", periods=DAYS)
    assert [date[:10] for date in result.metadata["dates"]] == [f"{day:%Y-%m-%d}" for day in days]
    with xr.open_dataset(out) as found:
        assert np.isfinite(found["B1"].values).all()


def test_the_merged_cube_keeps_both_satellites(folder, tmp_path):
    nodes = fused()["process_graph"]
    nodes = {name: {**nodes[name], "result": name == "both"} for name in ("modis", "viirs", "both")}
    found = executor.load({"process_graph": nodes}, workspace(folder))
    assert found.sizes["t"] == 2 * DAYS - 1
    assert found.t.to_index().is_monotonic_increasing
    terra, aqua = (found.isel(t=found.t.dt.day == 1).sel(bands="modis_B1").values[k] for k in (0, 1))
    np.testing.assert_allclose(aqua, terra * 1.02, rtol=1e-5)
