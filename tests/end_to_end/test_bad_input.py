"""Whatever is wrong with what comes in ends in an error that says so, over HTTP with its code and status."""

import json
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import openeo
import pytest
import xarray as xr
from openeo.rest import JobFailedException, OpenEoApiError

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.errors import CorruptWeights, InvalidCube, MissingBands, NoDataAvailable
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

from .conftest import PERIOD


def fails(cube: openeo.DataCube, tmp_path: Path) -> tuple[int, str, str]:
    """Status, code and message with which the download of a cube ends; nothing is downloaded."""
    with pytest.raises(OpenEoApiError) as raised:
        cube.download(tmp_path / "x.nc")
    assert not (tmp_path / "x.nc").exists()
    return raised.value.http_status_code, raised.value.code, raised.value.message


# --- the plain function


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda cube: cube.assign_coords(bands=[f"s2_B{n}" for n in range(cube.sizes["bands"])]),
         MissingBands, "needed are bands of modis or viirs"),
        (lambda cube: cube.isel(x=slice(0, 0)), InvalidCube, "empty"),
        (lambda cube: cube.astype(str), InvalidCube, "numbers"),
        (lambda cube: cube * 10_000, InvalidCube, "median"),
        (lambda cube: cube.assign_coords(t=np.arange(cube.sizes["t"])), InvalidCube, "dates"),
        (lambda cube: cube.assign_coords(t=cube["t"] - np.timedelta64(4000, "D")),
         NoDataAvailable, "days apart"),
        (lambda cube: cube.isel(t=0, drop=True), InvalidCube, "dimensions"),
    ],
)  # fmt: skip
def test_a_cube_that_cannot_be_harmonised(make_cube, change, error, message):
    with pytest.raises(error, match=message):
        harmonize_modis_viirs(change(make_cube()), temporal_extent=["2022-03-01", "2022-04-01"])


def test_nothing_but_clouds_is_refused_pixel_by_pixel(make_cube):
    cube = make_cube(flags=True)
    cube.loc[{"bands": ["modis_state_1km"]}] = 1 | 1 << 10
    cube.loc[{"bands": ["viirs_QF1"]}] = 3 | 3 << 2
    result = harmonize_modis_viirs(cube, temporal_extent=["2022-03-01", "2022-04-01"])
    assert (result.sel(bands="provenance") == 4).all()
    assert result.drop_sel(bands="provenance").isnull().all()


# --- over HTTP


@pytest.fixture(scope="module")
def oddities(scene, tmp_path_factory) -> Path:
    """Collections each of which has something wrong with it, and a file outside of the data folder."""
    parent = tmp_path_factory.mktemp("oddities")
    folder = parent / "data"
    folder.mkdir()
    with xr.open_dataset(scene / "modis" / "modis_2023.nc", mask_and_scale=False) as opened:
        modis = opened.sel(time=slice(*PERIOD)).load()
    cloudy = modis.copy()
    cloudy["modis_state_1km"] = xr.full_like(modis["modis_state_1km"], 1 | 1 << 10)
    modis.to_netcdf(parent / "secret.nc")
    stored = {
        "modis": modis,
        "cloudy": cloudy,
        "unscaled": modis.assign({name: band.assign_attrs(scale_factor=1.0) for name, band in modis.items()}),
        "dateless": modis.isel(time=0, drop=True),
        "named_otherwise": modis[["modis_B1", "modis_B2"]].rename(modis_B1="height", modis_B2="slope"),
        "texts": xr.Dataset({"modis_B1": xr.full_like(modis["modis_B1"], "dark", str)}, attrs=modis.attrs),
    }
    for name, dataset in stored.items():
        dataset.to_netcdf(folder / f"{name}.nc")
    (folder / "link.nc").symlink_to(parent / "secret.nc")
    (folder / "linked").mkdir()
    (folder / "linked" / "modis.nc").symlink_to(parent / "secret.nc")
    (folder / "garbage.nc").write_bytes(b"CDF?")
    return folder


@pytest.fixture(scope="module")
def odd(oddities):
    with backend(oddities) as url:
        yield openeo.connect(url)


def harmonised(connection: openeo.Connection, collection: str, **parameters) -> openeo.DataCube:
    loaded = connection.load_collection(collection, fetch_metadata=False)
    return connection.datacube_from_process(
        "harmonize_modis_viirs_cube", data=loaded, **({"temporal_extent": PERIOD} | parameters)
    )


@pytest.mark.parametrize(
    ("collection", "parameters", "status", "code", "message"),
    [
        ("named_otherwise", {}, 400, "ProcessParameterInvalid", "needed are bands of modis or viirs.*height"),
        ("unscaled", {}, 400, "ProcessParameterInvalid", "median.*apply scale"),
        ("modis", {"temporal_extent": ["1999-01-01", "1999-02-01"]}, 400, "NoDataAvailable", "days apart"),
        ("modis", {"target": "landsat"}, 400, "ProcessParameterInvalid", "target must be one of.*landsat"),
        ("modis", {"dates": "P0D"}, 400, "ProcessParameterInvalid", "P0D"),
        ("modis", {"dates": ["soon"]}, 400, "ProcessParameterInvalid", "soon"),
        ("modis", {"smooth": "very"}, 400, "ProcessParameterInvalid", "'smooth' must be of type boolean"),
        ("modis", {"temporal_extent": None}, 400, "ProcessParameterInvalid", "temporal_extent"),
        ("modis", {"colour": "red"}, 400, "ProcessParameterUnsupported", "no parameter 'colour'.*target"),
        ("mode", {}, 404, "CollectionNotFound", "did you mean modis"),
        ("texts", {}, 500, "CollectionInvalid", "modis_B1"),
        ("garbage", {}, 500, "CollectionInvalid", "garbage.nc cannot be read"),
        ("../secret", {}, 403, "PermissionsInsufficient", "no collection id but a path"),
        ("linked", {}, 403, "PermissionsInsufficient", "leads out of the data folder"),
        ("link", {}, 404, "CollectionNotFound", "no collection 'link'"),
        ("dateless", {}, 500, "CollectionInvalid", "date"),
    ],
)
def test_our_process_says_what_is_wrong(odd, tmp_path, collection, parameters, status, code, message):
    found = fails(harmonised(odd, collection, **parameters), tmp_path)
    assert found[:2] == (status, code)
    assert re.search(message, found[2]), found[2]
    assert "Traceback" not in found[2]


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"temporal_extent": ["1999-01-01", "1999-02-01"]}, 400, "NoDataAvailable"),
        ({"spatial_extent": {"west": 100, "south": 0, "east": 101, "north": 1}}, 400, "NoDataAvailable"),
        ({"spatial_extent": {"west": 2, "south": 0, "east": 1, "north": 1}}, 400, "ProcessParameterInvalid"),
        ({"spatial_extent": "Munich"}, 400, "ProcessParameterInvalid"),
        ({"modis_collection": "nothing"}, 404, "CollectionNotFound"),
        ({"modis_bands": ["red"]}, 400, "ProcessParameterInvalid"),
        ({"modis_scale": "1e-4"}, 400, "ProcessParameterInvalid"),
    ],
)
def test_an_area_of_interest_without_data(connection, area, tmp_path, arguments, status, code):
    given = {"spatial_extent": area, "temporal_extent": PERIOD} | arguments
    cube = connection.datacube_from_process("harmonize_modis_viirs", **given)
    assert fails(cube, tmp_path)[:2] == (status, code)


def test_a_required_parameter_is_missing(connection, area, tmp_path):
    cube = connection.datacube_from_process("harmonize_modis_viirs", spatial_extent=area)
    assert fails(cube, tmp_path) == (
        400, "ProcessParameterRequired", "harmonize_modis_viirs needs the argument 'temporal_extent'"
    )  # fmt: skip


def test_a_cloudy_collection_comes_back_refused(odd, tmp_path):
    harmonised(odd, "cloudy").download(tmp_path / "cloudy.nc", format="netCDF")
    with xr.open_dataset(tmp_path / "cloudy.nc") as found:
        assert (found["provenance"] == 4).all()
        assert found["B1"].isnull().all()
        assert found["B1_sigma"].isnull().all()


@pytest.mark.parametrize("namespace", [None, "user", "backend", "weird"])
def test_an_unknown_process(connection, tmp_path, namespace):
    cube = connection.datacube_from_process("harmonise_modis_viirs", namespace=namespace)
    status, code, message = fails(cube, tmp_path)
    assert (status, code) == (400, "ProcessUnsupported")
    assert "harmonise_modis_viirs" in message


def test_a_broken_collection_hides_no_other(odd):
    listed = odd.list_collection_ids()
    assert {"modis", "cloudy", "unscaled"} <= set(listed)
    assert {"garbage", "link", "linked"}.isdisjoint(listed)


@pytest.mark.parametrize(
    "href", ["../secret.nc", "link.nc", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/item.json"]
)
def test_load_stac_stays_inside_the_data_folder(odd, tmp_path, href):
    cube = odd.datacube_from_process("load_stac", url=href)
    status, code, _ = fails(cube, tmp_path)
    assert (status, code) == (403, "PermissionsInsufficient")


def test_a_udf_that_raises_ends_its_job_with_the_traceback(odd):
    code = "import xarray\n\ndef apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
    udf = openeo.UDF(code + "    return cube.sel(bands='no_such_band')\n")
    job = harmonised(odd, "modis").apply(udf).create_job(out_format="netCDF")
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.1, connection_retry_interval=0.1, print=str)
    log = "\n".join(entry["message"] for entry in job.logs(level="error"))
    assert "the UDF raised KeyError" in log
    assert "return cube.sel(bands='no_such_band')" in log


def test_a_users_udf_may_raise_errors_of_this_package_and_keeps_its_traceback(odd, tmp_path):
    code = (
        "import xarray\nfrom openeo_udf_fusion.errors import MissingBands\n\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    raise MissingBands('there is no green')\n"
    )
    cube = odd.load_collection("modis", bands=["modis_B1"]).apply(openeo.UDF(code))
    status, error, message = fails(cube, tmp_path)
    assert (status, error) == (400, "UdfFailed")
    assert "raise MissingBands('there is no green')" in message


# --- broken installations and disks


@pytest.fixture
def broken_models(tmp_path, monkeypatch) -> Path:
    """A copy of the weights, cut off, which a process loads instead of the shipped ones."""
    for suffix in ("json", "safetensors"):
        shutil.copy(cards.FOLDER / f"satfusenet.{suffix}", tmp_path)
    os.truncate(tmp_path / "satfusenet.safetensors", 1000)
    monkeypatch.setitem(weights.load.__kwdefaults__, "folder", tmp_path)
    return tmp_path


def test_corrupt_weights_are_not_used(broken_models, odd, tmp_path):
    status, code, message = fails(harmonised(odd, "modis"), tmp_path)
    assert (status, code) == (500, "ModelInvalid")
    assert "satfusenet.safetensors are not what the card promises" in message
    (broken_models / "satfusenet.safetensors").unlink()
    with pytest.raises(CorruptWeights, match="missing"):
        weights.load("satfusenet")


@pytest.mark.parametrize("suffix", ["nc", "zarr", "tif", "parquet"])
def test_a_full_disk_keeps_what_was_there(scene, tmp_path, capsys, suffix):
    """No file of this process may grow beyond 4 kB for a while: as on a full disk, writing more fails."""
    out = tmp_path / f"out.{suffix}"
    arguments = ["run", "harmonize_modis_viirs_cube", "--data", str(scene), "-p", "data=modis"]
    arguments += ["-p", f"temporal_extent={json.dumps(PERIOD)}", "-o", str(out)]
    assert main(arguments) == 0
    before = content(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        status = main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    assert "could not be written: " in capsys.readouterr().err.splitlines()[-1]
    assert content(tmp_path) == before


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("process", "parameters", "message"),
    [
        ("harmonize", [], "fusion: there is no process 'harmonize'"),
        ("harmonize_modis_viirs_cube", ["data=mode"], "fusion: no collection 'mode'"),
        ("harmonize_modis_viirs_cube", ["data=modis", "colour=red"], "has no parameter colour"),
        ("harmonize_modis_viirs_cube", ["data=../secret"], "is no collection id but a path"),
        ("harmonize_modis_viirs_cube", ["data=linked"], "leads out of the data folder|linked"),
        ("harmonize_modis_viirs_cube", ["data=modis"], "temporal_extent"),
        ("harmonize_modis_viirs_cube", ["data=3"], "the id of a collection"),
        ("harmonize_modis_viirs_cube", [], "data"),
    ],
)
def test_the_command_line_says_it_in_one_line(oddities, tmp_path, capsys, process, parameters, message):
    pairs = [part for parameter in parameters for part in ("-p", parameter)]
    out = tmp_path / "out.nc"
    assert main(["run", process, "--data", str(oddities), *pairs, "-o", str(out)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)
    assert not list(tmp_path.iterdir())
