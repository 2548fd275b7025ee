"""Parquet has a row per pixel and date."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import rioxarray  # noqa: F401 - registers the accessor `rio`
from pyproj import CRS

from openeo_udf_fusion.local.formats import write
from tests.local.results import cube


def test_parquet_has_a_row_per_pixel_and_date(tmp_path: Path):
    whole = cube()
    (path,) = write(whole, tmp_path / "result.parquet", "Parquet")
    table = pd.read_parquet(path)
    assert table.columns.tolist() == ["t", "y", "x", "B1", "B1_sigma", "provenance"]
    back = (
        table.set_index(["t", "y", "x"]).to_xarray().to_dataarray("bands").transpose("t", "bands", "y", "x")
    )
    expected = whole.sortby(["t", "y", "x"])
    np.testing.assert_array_equal(back.sel(bands=whole["bands"].values), expected)
    metadata = pq.read_schema(path).metadata
    assert CRS.from_wkt(metadata[b"crs"].decode()) == CRS.from_user_input(whole.rio.crs.to_wkt())


def test_parquet_leaves_out_empty_rows_on_request(tmp_path: Path):
    whole = cube()
    whole[:, :, 3:] = np.nan
    write(whole, tmp_path / "result.parquet", "Parquet", {"skip_empty": True})
    assert len(pd.read_parquet(tmp_path / "result.parquet")) == int((~np.isnan(whole)).any("bands").sum())
