"""`train pairs` and `train collect`: data sets of pairs from the command line."""

import json
import sys

import numpy as np
import pytest
from pyproj import Transformer

from openeo_udf_fusion import cubes
from openeo_udf_fusion.cli.passwords import PASSWORD_VARIABLE
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training.store import open_store

EXTENT = ("2022-03-01", "2022-03-25")


@pytest.fixture(scope="module")
def url(data):
    with backend(data) as url:
        yield url


@pytest.fixture(scope="module")
def cube(make_cube):
    """What the collections hold."""
    return make_cube(days=24, y=3, x=4, flags=True)


@pytest.fixture
def points(cube, tmp_path):
    """A CSV file: two pixels of the collections, numbered 5 and 6; `more` lines are added to it."""
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)

    def write(more: str = ""):
        lines = ["pixel,longitude,latitude"]
        for number, (row, column) in {5: (0, 1), 6: (2, 3)}.items():
            x, y = cube["x"].values[column], cube["y"].values[row]
            longitude, latitude = to_degrees.transform(x, y)
            lines.append(f"{number},{longitude:.6f},{latitude:.6f}")
        (tmp_path / "points.csv").write_text("\n".join([*lines, more]))
        return tmp_path / "points.csv"

    return write


@pytest.fixture
def collect(command, url, tmp_path):
    """Run `train collect` on collections that hold reflectance."""

    def run(points, *more):
        return command(
            *("train", "collect", "--backend", url, "--points", points, "--temporal-extent", *EXTENT),
            *("--modis-collection", "modis", "--viirs-collection", "viirs"),
            *("--modis-scale", 1, "--viirs-scale", 1, "--output", tmp_path / "real", *more),
        )

    return run


def test_collected_pairs_are_those_of_the_files(collect, points, cube, tmp_path):
    done = collect(points(), "--platform", "NOAA-20", "--json")
    assert done.status == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["samples"], printed["pixels"], printed["failed"]) == (2, 2, {})
    assert printed["record"]["kind"] == "real"
    pairs = open_store(tmp_path / "real").pool([5, 6], memory_bytes=1 << 30, seed=0).at(0)
    assert set(pairs.platform) == {"NOAA-20"}
    assert set(pairs.product) == {"directional"}
    for sensor in ("modis", "viirs"):
        arrays = cubes.sensor_arrays(cubes.canonical(cube), sensor, FUSED_BANDS[sensor])
        valid = np.moveaxis(arrays.valid[:, :, [0, 2], [1, 3]], 2, 0)
        values = np.moveaxis(arrays.values[:, :, [0, 2], [1, 3]], 2, 0)
        np.testing.assert_array_equal(getattr(pairs, f"{sensor}_valid"), valid)
        np.testing.assert_allclose(getattr(pairs, sensor), np.where(valid, values, 0), atol=5.1e-5)


def test_a_failed_job_is_told_and_the_rest_is_there(collect, points, tmp_path):
    done = collect(points("7,150.0,-30.0"))
    assert done.status == 1
    assert "00000_modis failed: job" in done.stderr
    assert "2 jobs failed; the same command tries those again" in done.stderr
    assert "2 samples of 2 pixels" in done.stderr
    assert len(open_store(tmp_path / "real").samples) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--modis-collection", "modus"), "CollectionNotFound"),
        (("--viirs-collection", "modis"), "collection 'modis' has no viirs_I1"),
        (("--modis-scale", "0.0001"), "scaled twice"),
    ],
)
def test_errors_are_one_line(collect, points, tmp_path, more, message):
    done = collect(points(), *more)
    assert (done.status, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "real").exists()


def test_a_backend_that_is_none_is_named(collect, points, url):
    done = collect(points(), "--backend", f"{url}/nothing")
    assert done.status == 1
    assert f"backend {url}/nothing: " in done.stderr


def test_simulated_pairs_are_written_with_the_command_that_makes_them(command, shared_data, tmp_path):
    options = (
        "--data",
        shared_data,
        "--variants",
        1,
        "--spectra",
        "test",
        "--platform",
        "NOAA-20",
        "--seed",
        4,
    )
    done = command("train", "pairs", *options, "--output", tmp_path / "pairs", "--json")
    assert done.status == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["samples"], printed["pixels"], printed["record"]["kind"]) == (300, 300, "semi-real")
    assert printed["record"]["command"].endswith(
        "train pairs --data DIR --output PAIRS --variants 1 --seed 4 --spectra test --platform NOAA-20"
    )
    again = command("train", "pairs", *options, "--output", tmp_path / "pairs")
    assert again.status == 1
    assert "holds pairs already" in again.stderr


def test_what_to_do_must_be_said(command):
    assert command("train").status == 2
    assert command("train", "pairs").status == 2
    assert command("train", "collect", "--backend", "x").status == 2


# --- logging in


@pytest.fixture(scope="module")
def guarded(data):
    with backend(data, user="ada", password="s3cret") as url:
        yield url


def test_the_password_comes_from_the_environment(collect, points, guarded, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "s3cret")
    done = collect(points(), "--backend", guarded, "--user", "ada", "--json")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 2


@pytest.mark.parametrize(
    ("password", "said"), [("guess", "refuses the basic login"), (None, PASSWORD_VARIABLE)]
)
def test_a_login_that_fails_is_one_line(collect, points, guarded, monkeypatch, password, said):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    if password is not None:
        monkeypatch.setenv(PASSWORD_VARIABLE, password)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    done = collect(points(), "--backend", guarded, "--user", "ada")
    assert (done.status, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
    assert "guess" not in done.stderr


@pytest.mark.parametrize("thing", ["collect", "s1s2_embedding"])
def test_no_option_takes_a_password(command, thing):
    done = command("train", thing, "--password", "s3cret")
    assert done.status == 2
    assert PASSWORD_VARIABLE in done.stderr
    assert "s3cret" not in done.stderr
    assert "--password" not in command("train", thing, "--help").stdout
