"""netCDF follows the CF conventions."""

from pathlib import Path

import netCDF4

from openeo_udf_fusion.local.formats import write
from tests.local.results import cube


def test_netcdf_follows_cf(tmp_path: Path):
    (path,) = write(cube().assign_attrs(process="fuse", parameters={"a": None}), tmp_path / "r.nc", "netCDF")
    with netCDF4.Dataset(path) as file:
        band = file["B1"]
        assert band.dimensions == ("t", "y", "x")
        assert band.filters()["zlib"]
        assert band.filters()["shuffle"]
        assert band.filters()["complevel"] == 4
        assert band.chunking() == [3, 20, 30]
        assert file[band.grid_mapping].grid_mapping_name == "sinusoidal"
        assert file["t"].units == "days since 1970-01-01"
        assert file["x"].standard_name == "projection_x_coordinate"
        assert (file.Conventions, file.process, file.parameters) == ("CF-1.11", "fuse", '{"a": null}')
