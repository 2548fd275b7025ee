"""A data folder of two tiny collections, and the command line run in this process."""

import json
from dataclasses import dataclass

import pytest
import rioxarray  # noqa: F401

from openeo_udf_fusion.cli.main import main

CUBE = "harmonize_modis_viirs_cube"
EXTENT = ["2022-03-01", "2022-03-25"]
PARAMETERS = [
    "-p",
    'data=["modis", "viirs"]',
    "-p",
    f"temporal_extent={json.dumps(EXTENT)}",
    "-p",
    "dates=P8D",
]


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def command(capsys):
    def run(*arguments) -> Done:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory, make_cube):
    """Collections `modis` and `viirs`, a netCDF file each."""
    folder = tmp_path_factory.mktemp("data")
    cube = make_cube(days=24, y=3, x=4, flags=True).rio.write_crs(32632)
    for sensor in ("modis", "viirs"):
        own = cube.sel(bands=[label for label in cube["bands"].values if label.startswith(sensor)])
        dataset = own.to_dataset("bands")
        if sensor == "viirs":
            dataset = dataset.assign(viirs_QF2=dataset["viirs_QF1"] * 0, viirs_QF7=dataset["viirs_QF1"] * 0)
        dataset.to_netcdf(folder / f"{sensor}.nc")
    return folder


@pytest.fixture
def harmonize(command, data, tmp_path):
    """`run harmonize_modis_viirs_cube` on both collections."""

    def run(output, *more):
        return command("run", CUBE, "--data", data, *PARAMETERS, *more, "-o", tmp_path / output)

    return run
