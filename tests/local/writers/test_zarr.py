"""Zarr stores open in xarray."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.local.formats import write
from tests.local.results import cube


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_opens_in_xarray_with_consolidated_metadata(tmp_path: Path, version: int):
    whole = cube()
    write(whole, tmp_path / "r.zarr", "zarr", {"zarr_format": version})
    back = xr.open_zarr(tmp_path / "r.zarr", consolidated=True)
    assert (tmp_path / "r.zarr" / ("zarr.json" if version == 3 else ".zmetadata")).exists()
    np.testing.assert_array_equal(back["B1"], whole.sel(bands="B1"))
    assert back["B1"].dtype == np.float32
    assert back["t"].values.tolist() == whole["t"].values.tolist()
