"""netCDF files: their numbers, their bands, and damage."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.local.collections import get_collection
from tests.local.collection_files import DATES, dataset


def test_an_inner_band_dimension_becomes_bands(data: Path):
    source = dataset(("a", "b")).to_dataarray("band", name="refl").transpose("t", "band", "y", "x")
    source = source.assign_coords(band=[1, 2])
    source.to_dataset().to_netcdf(data / "c.nc")
    cube = get_collection(data, "c").open()
    assert cube["bands"].values.tolist() == ["modis_B1", "modis_B2"]
    np.testing.assert_array_equal(cube, source)


def test_attributes_of_netcdf_are_applied(data: Path):
    source = dataset(("rain",))
    encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": -1}
    source["rain"][:, 0, 0] = np.nan
    source.to_netcdf(data / "c.nc", encoding={"rain": encoding})
    cube = get_collection(data, "c").open().squeeze("bands")
    assert np.isnan(cube[:, 0, 0]).all()
    np.testing.assert_allclose(cube, source["rain"], atol=0.0051)
    np.testing.assert_allclose(cube, xr.open_dataset(data / "c.nc")["rain"], rtol=1e-6)


def test_unsigned_numbers_of_classic_netcdf_are_unsigned(data: Path):
    source = dataset(("flags",), dates=DATES[:1])
    flags = np.full((1, 12, 12), 200, np.uint8)
    source["flags"] = (("t", "y", "x"), flags.view(np.int8), {"_Unsigned": "true", "_FillValue": np.int8(-1)})
    source.to_netcdf(data / "c.nc", format="NETCDF3_CLASSIC")
    assert (get_collection(data, "c").open() == 200).all()


def test_32_bit_flags_are_left_out_with_a_note(data: Path):
    source = dataset(("sur_refl_b01", "qc_500m"))
    source["qc_500m"] = source["qc_500m"].astype("uint32")
    source.to_netcdf(data / "c.nc")
    collection = get_collection(data, "c")
    assert collection.bands() == ["modis_B1"]
    assert "qc_500m" in collection.metadata()["description"]


def test_a_damaged_netcdf_fails_when_it_is_read(data: Path):
    dataset(size=200).to_netcdf(data / "a.nc", encoding={"B1": {"zlib": True, "chunksizes": (1, 100, 100)}})
    cube = get_collection(data, "a").open(bands=["B1"])
    damaged = bytearray((data / "a.nc").read_bytes())
    damaged[len(damaged) // 8 : len(damaged) // 4] = bytes(len(damaged) // 4 - len(damaged) // 8)
    (data / "a.nc").write_bytes(damaged)
    with pytest.raises(InvalidCollection, match=r"a\.nc cannot be read"):
        cube.compute()
