"""`run` tile by tile: plans, workers, and tiles that are kept."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.cli import workers as cli_workers
from openeo_udf_fusion.cli.run import MAY_SUCCEED
from openeo_udf_fusion.errors import InvalidCube, NoDataAvailable, UdfFailed
from openeo_udf_fusion.local import executor
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.processes.harmonize_modis_viirs import output_bands
from tests.local import graphs


def test_a_dry_run_plans_and_writes_nothing(harmonize, tmp_path):
    done = harmonize("result.nc", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert done.status == 0
    assert found["result"]["shape"] == {"t": 3, "bands": len(output_bands()), "y": 3, "x": 4}
    assert found["tiles"]["count"] == 1
    assert found["hours"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_plan_takes_a_speed_and_is_for_readers(harmonize):
    done = harmonize("result.nc", "--dry-run", "--pixels-per-s", 12)
    assert "12 pixels/s" in done.stdout
    assert "memory of a worker" in done.stdout


def test_workers_and_a_scheduler_exclude_each_other(harmonize):
    done = harmonize("result.nc", "--workers", 1, "--scheduler", "tcp://127.0.0.1:1")
    assert done.status == 2
    assert "not allowed with" in done.stderr


def failing_process(tmp_path, data, calls):
    """A process whose UDF fails on its third tile as long as a file is there."""
    body = (
        "import os\n"
        f"calls = {str(calls)!r}\n"
        "with open(calls, 'a') as file:\n"
        "    file.write('.')\n"
        "if os.path.getsize(calls) == 3:\n"
        "    raise ValueError('the third')\n"
        "return cube"
    )
    graph = graphs.process(
        a=graphs.load("modis"),
        b=graphs.node(
            "apply_neighborhood",
            data=graphs.of("a"),
            process=graphs.udf(graphs.code(body)),
            size=graphs.px(4, 4),
        ),
    )
    (tmp_path / "process.json").write_text(json.dumps(graph | {"id": "failing", "parameters": []}))
    return ["run", tmp_path / "process.json", "--data", data, "-o", tmp_path / "out.nc", "--tile-px", 4]


@pytest.fixture(scope="module")
def wide(tmp_path_factory, make_cube):
    """A collection of four tiles of 4 x 4 pixels."""
    folder = tmp_path_factory.mktemp("wide")
    cube = make_cube(days=3, y=4, x=16, sensors=("modis",)).rio.write_crs(32632)
    cube.to_dataset("bands").to_netcdf(folder / "modis.nc")
    return folder


def test_a_run_that_failed_goes_on_where_it_was(command, wide, tmp_path):
    calls = tmp_path / "calls"
    failing = failing_process(tmp_path, wide, calls)
    first = command(*failing, "--resume")
    assert first.status == 1
    kept = len(list((tmp_path / ".out.nc.tiles").glob("*/*.tile")))
    assert kept in (2, 3)  # the fourth may have been under way
    assert f"{kept} finished tiles are kept" in first.stderr
    second = command(*failing, "--resume", "--json")
    assert second.status == 0, second.stderr
    assert json.loads(second.stdout)["tiles"]["computed"] == 4 - kept
    assert not (tmp_path / ".out.nc.tiles").exists()
    with xr.open_dataset(tmp_path / "out.nc") as found, xr.open_dataset(wide / "modis.nc") as data:
        np.testing.assert_array_equal(found["modis_B1"].values, data["modis_B1"].values)


def test_without_resume_a_run_that_failed_leaves_nothing(command, wide, tmp_path):
    failing = failing_process(tmp_path, wide, tmp_path / "calls")
    assert command(*failing).status == 1
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.fixture
def ends_badly(command, wide, tmp_path, monkeypatch):
    """A run on workers that ends with an error after its tiles are there; what it leaves and says."""

    def run(error):
        @contextmanager
        def opened(args):
            yield None

        def with_tiles(*arguments, tiles, **options):
            plain(*arguments, tiles=tiles, **options)
            raise error

        plain = executor.run
        monkeypatch.setattr(executor, "run", with_tiles)
        monkeypatch.setattr(cli_workers, "opened", opened)
        graph = graphs.process(a=graphs.load("modis"))
        (tmp_path / "process.json").write_text(json.dumps(graph | {"id": "plain", "parameters": []}))
        arguments = ["run", tmp_path / "process.json", "--data", wide, "-o", tmp_path / "out.nc"]
        done = command(*arguments, "--workers", 2)
        return TileFolder(tmp_path / ".out.nc.tiles").count(), done

    return run


@pytest.mark.parametrize("kind", MAY_SUCCEED)
def test_tiles_outlive_what_says_nothing_against_the_run(ends_badly, kind):
    kept, done = ends_badly(kind("not this time"))
    assert done.status == 1
    assert kept == 1
    assert "1 finished tile is kept" in done.stderr
    assert "the same command with --resume goes on" in done.stderr


@pytest.mark.parametrize("kind", [InvalidCube, UdfFailed, NoDataAvailable])
def test_tiles_of_what_cannot_succeed_go(ends_badly, kind):
    assert ends_badly(kind("never"))[0] == 0


def test_resources_without_workers_are_refused(harmonize, tmp_path):
    for more in ([], ["--dry-run"]):
        done = harmonize("result.nc", "--resources", "GPU=1", *more)
        assert done.status == 1
        assert "add --scheduler ADDRESS or --workers N" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tiles_of_other_parameters_are_not_taken(command, wide, tmp_path):
    failing = failing_process(tmp_path, wide, tmp_path / "calls")
    assert command(*failing, "--resume").status == 1
    failing[-1] = 8  # tiles of another size
    done = command(*failing, "--resume", "--json")
    assert json.loads(done.stdout)["tiles"]["computed"] == json.loads(done.stdout)["tiles"]["total"] == 2


@pytest.mark.slow
def test_a_run_on_workers_is_the_run_on_threads(harmonize, tmp_path):
    """A model, its weights loaded by the workers."""
    assert harmonize("here.nc").status == 0
    done = harmonize("there.nc", "--workers", 2, "--json")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["tiles"]["by_worker"]
    with xr.open_dataset(tmp_path / "here.nc") as here, xr.open_dataset(tmp_path / "there.nc") as there:
        xr.testing.assert_identical(here, there)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.nc", "there.nc"]
