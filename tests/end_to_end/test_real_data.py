"""A measured year of MODIS, alone and beside a semi-real VIIRS: by the command line and over HTTP."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openeo
import pytest
import xarray as xr

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.local import backend

from .semi_real import crop, simulate_viirs, withhold

YEAR = ["2022-01-01", "2023-01-01"]
WINDOW = {"y": slice(40, 46), "x": slice(50, 57)}
RED, NEAR_INFRARED = "B1", "B2"


@pytest.fixture(scope="session")
def files(shared_data) -> tuple[Path, Path]:
    """The measured MODIS of Munich, and the response functions of the sensors."""
    (modis,) = (shared_data / "munich_modis").glob("*.nc")
    return modis, shared_data / "spectral_responses" / "srf_1nm_400_2500.csv.gz"


def write_scene(files: tuple[Path, Path], folder: Path, window: dict[str, slice]) -> Path:
    measured, responses = files
    modis = folder / "munich_modis" / measured.name
    crop(measured, modis, window)
    simulate_viirs(modis, responses, folder / "munich_viirs" / "semi_real.nc")
    withhold(modis, folder / "munich_thinned" / f"MOD09A1_{measured.name}", every=3)
    return folder


@pytest.fixture(scope="session")
def munich(files, tmp_path_factory) -> Path:
    """A few pixels of Munich: measured MODIS, the same with gaps, and a semi-real VIIRS."""
    return write_scene(files, tmp_path_factory.mktemp("munich"), WINDOW)


@pytest.fixture(scope="session")
def munich_connection(munich):
    with backend(munich) as url:
        yield openeo.connect(url)


@pytest.fixture
def command_line(tmp_path) -> Callable[..., xr.Dataset]:
    """Run `openeo-udf-fusion run harmonize_modis_viirs_cube` and open what it writes."""

    def run(folder: Path, data: str | list[str], **parameters) -> xr.Dataset:
        given = {"data": data, "temporal_extent": YEAR, **parameters}
        pairs = [part for name, value in given.items() for part in ("-p", f"{name}={json.dumps(value)}")]
        out = tmp_path / "cli.nc"
        assert main(["run", "harmonize_modis_viirs_cube", "--data", str(folder), *pairs, "-o", str(out)]) == 0
        with xr.open_dataset(out) as opened:
            return opened.load()

    return run


def over_http(connection: openeo.Connection, data: list[str], out: Path) -> xr.Dataset:
    cube, *others = (connection.load_collection(name) for name in data)
    for other in others:
        cube = cube.merge_cubes(other)
    connection.datacube_from_process("harmonize_modis_viirs_cube", data=cube, temporal_extent=YEAR).download(
        out, format="netCDF"
    )
    with xr.open_dataset(out) as opened:
        return opened.load()


def test_modis_alone_is_filled_the_same_both_ways(munich, munich_connection, command_line, tmp_path):
    by_command = command_line(munich, "munich_modis")
    by_http = over_http(munich_connection, ["munich_modis"], tmp_path / "http.nc")
    xr.testing.assert_identical(by_command, by_http)
    assert by_command.sizes["t"] == 46
    bands = [f"B{number}" for number in range(1, 8)]
    assert by_command[bands].to_dataarray().notnull().all()
    assert set(np.unique(by_command["provenance"])) <= {0, 2, 3}


def test_with_a_semi_real_viirs_both_ways_agree(munich, munich_connection, command_line, tmp_path):
    data = ["munich_modis", "munich_viirs"]
    by_command = command_line(munich, data)
    xr.testing.assert_identical(by_command, over_http(munich_connection, data, tmp_path / "http.nc"))


def test_what_modis_saw_is_there_on_the_day_it_saw_it(munich, files, command_line):
    with xr.open_dataset(next((munich / "munich_modis").glob("*.nc"))) as opened:
        modis = opened.load()
    found = command_line(munich, "munich_modis", dates="P1D")
    observed = np.argwhere(found["provenance"].values == 0)
    assert len(observed) > 500
    days = modis["day_of_year"].values
    for t, y, x in observed[::20]:
        (step,) = np.flatnonzero((days[:, y, x] == t + 1) & (modis.time.dt.year.values == 2022))
        for number, band in enumerate((RED, NEAR_INFRARED)):
            measured = modis["refl"].values[step, number, y, x]
            np.testing.assert_allclose(found[band].values[t, y, x], measured, rtol=1e-5)


def test_viirs_helps_where_modis_is_withheld(munich, command_line):
    with xr.open_dataset(next((munich / "munich_modis").glob("*.nc"))) as opened:
        modis = opened.isel(time=slice(None, 45)).load()
    alone = command_line(munich, "munich_thinned", dates="P1D", uncertainty="none")
    helped = command_line(munich, ["munich_thinned", "munich_viirs"], dates="P1D", uncertainty="none")
    withheld = helped["provenance"].values == 1
    days = modis["day_of_year"].values[::3].astype(int)
    errors = {}
    for name, result in (("alone", alone), ("helped", helped)):
        differences = []
        for step, y, x in np.ndindex(days.shape):
            day = days[step, y, x] - 1
            if 0 <= day < 365 and withheld[day, y, x]:
                truth = modis["refl"].values[3 * step, 1, y, x]
                differences.append(result[NEAR_INFRARED].values[day, y, x] - truth)
        assert len(differences) > 100
        errors[name] = np.sqrt(np.mean(np.square(differences)))
    assert errors["helped"] < 0.7 * errors["alone"], errors


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("data", [["munich_modis"], ["munich_modis", "munich_viirs"]])
def test_the_whole_scene_both_ways(files, command_line, tmp_path, data):
    folder = write_scene(files, tmp_path / "whole", {"y": slice(None), "x": slice(None)})
    by_command = command_line(folder, data)
    with backend(folder) as url:
        by_http = over_http(openeo.connect(url), data, tmp_path / "http.nc")
    xr.testing.assert_identical(by_command, by_http)
    assert by_command.sizes == {"t": 46, "y": 108, "x": 110}
    assert float(by_command[NEAR_INFRARED].isnull().mean()) < 0.01
