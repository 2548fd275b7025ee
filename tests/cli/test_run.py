import json
from contextlib import contextmanager

import numpy as np
import pyarrow.parquet
import pytest
import rioxarray
import xarray as xr

from openeo_udf_fusion.cli import workers as cli_workers
from openeo_udf_fusion.cli.run import MAY_SUCCEED, call, parse_parameters
from openeo_udf_fusion.errors import (
    InvalidCube,
    InvalidParameter,
    NoDataAvailable,
    UdfFailed,
    UnknownParameter,
)
from openeo_udf_fusion.local import executor
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs, output_bands
from openeo_udf_fusion.udps import EMBEDDED, definitions
from tests.local import graphs

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
DATES = ["2022-03-06", "2022-03-14", "2022-03-22"]


@pytest.fixture
def harmonize(command, data, tmp_path):
    def run(output, *more):
        return command("run", CUBE, "--data", data, *PARAMETERS, *more, "-o", tmp_path / output)

    return run


@pytest.fixture(scope="module")
def expected(make_cube):
    """What the function makes of the same cube."""
    return harmonize_modis_viirs(make_cube(days=24, y=3, x=4, flags=True), temporal_extent=EXTENT)


# --- what is written


def test_netcdf(harmonize, tmp_path, expected):
    done = harmonize("result.nc")
    assert (done.status, done.stdout) == (0, "")
    assert "result.nc" in done.stderr
    with xr.open_dataset(tmp_path / "result.nc", decode_coords="all") as found:
        assert found["t"].values.astype("datetime64[D]").astype(str).tolist() == DATES
        assert found.rio.crs.to_epsg() == 32632
        for label in output_bands():
            np.testing.assert_allclose(found[label].values, expected.sel(bands=label).values, atol=2e-5)
        assert found["provenance"].attrs["flag_meanings"].startswith("observed ")


def test_zarr(harmonize, tmp_path, expected):
    assert harmonize("result.zarr").status == 0
    with xr.open_zarr(tmp_path / "result.zarr") as found:
        np.testing.assert_allclose(found["B1"].values, expected.sel(bands="B1").values, atol=2e-5)


def test_geotiff_has_a_file_a_date(harmonize, tmp_path, expected):
    done = harmonize("result.tif", "--json")
    files = [file.name for file in sorted(tmp_path.glob("*.tif"))]
    assert files == [f"result_{date}.tif" for date in DATES]
    assert sorted(json.loads(done.stdout)["files"]) == [str(tmp_path / file) for file in files]
    with rioxarray.open_rasterio(tmp_path / files[1]) as found:
        assert list(found.attrs["long_name"]) == output_bands()
        np.testing.assert_allclose(found.values, expected[1].values, atol=2e-5)


def test_parquet_has_a_row_a_pixel_and_date(harmonize, tmp_path, expected):
    assert harmonize("result.parquet").status == 0
    table = pyarrow.parquet.read_table(tmp_path / "result.parquet")
    assert table.num_rows == 3 * 3 * 4
    assert set(output_bands()) <= set(table.column_names)
    assert sorted(table["B1"].to_pylist()) == pytest.approx(
        np.sort(expected.sel(bands="B1").values.ravel()).tolist(), abs=2e-5
    )


def test_one_json_object_on_stdout(harmonize, tmp_path):
    done = harmonize("result.nc", "--json")
    assert len(done.stdout.splitlines()) == 1
    found = json.loads(done.stdout)
    assert found["files"] == [str(tmp_path / "result.nc")]
    assert found["bands"]
    assert found["bbox"]
    assert len(found["dates"]) == 3


def test_an_area_of_interest(command, data, tmp_path, expected):
    with xr.open_dataset(data / "modis.nc") as modis:
        box = {
            "west": float(modis["x"][0]) - 1,
            "east": float(modis["x"][2]) + 1,
            "south": float(modis["y"][1]) - 1,
            "north": float(modis["y"][0]) + 1,
            "crs": 32632,
        }
    extents = ["-p", f"spatial_extent={json.dumps(box)}", "-p", f"temporal_extent={json.dumps(EXTENT)}"]
    done = command(
        "run",
        "harmonize_modis_viirs",
        "--data",
        data,
        *extents,
        "-p",
        "dates=P8D",
        "-o",
        tmp_path / "area.nc",
    )
    assert done.status == 0, done.stderr
    with xr.open_dataset(tmp_path / "area.nc") as found:
        assert found["t"].values.astype("datetime64[D]").astype(str).tolist() == DATES
        inside = expected.sel(bands="B1").isel(y=slice(0, 2), x=slice(0, 3))
        np.testing.assert_allclose(found["B1"].values, inside.values, atol=2e-5)


def test_a_process_of_ones_own_in_a_file(command, data, tmp_path):
    graph = {
        "load": {
            "process_id": "load_collection",
            "arguments": {
                "id": "modis",
                "spatial_extent": None,
                "temporal_extent": {"from_parameter": "period"},
                "bands": ["modis_B1"],
            },
            "result": True,
        }
    }
    parameter = {"name": "period", "description": "Period.", "schema": {"type": "array"}}
    (tmp_path / "own.json").write_text(json.dumps({"process_graph": graph, "parameters": [parameter]}))
    period = json.dumps(["2022-03-02", "2022-03-05"])
    done = command(
        "run", tmp_path / "own.json", "--data", data, "-p", f"period={period}", "-o", tmp_path / "own.nc"
    )
    assert done.status == 0, done.stderr
    with xr.open_dataset(tmp_path / "own.nc") as found:
        assert found.sizes["t"] == 3


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "begin", "named"),
    [
        (["harmonise"], "there is no process", "harmonize_modis_viirs_cube"),
        ([CUBE, "-p", "tagret=viirs"], CUBE, "tagret"),
        ([CUBE, "-p", "data=mods"], "no collection", "modis"),
        ([CUBE, "-p", "target"], "-p", "NAME=VALUE"),
        ([CUBE, "-p", "data=7"], "a cube", "collection"),
        (["nowhere.json"], "", "nowhere.json"),
        ([CUBE], "", "data"),
    ],
)
def test_an_error_is_one_line_that_names_what_is_wrong(command, data, tmp_path, arguments, begin, named):
    done = command("run", *arguments, "--data", data, "-o", tmp_path / "out.nc")
    assert done.status == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"openeo-udf-fusion: {begin}" in done.stderr
    assert named in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_is_none_is_refused_before_anything_runs(harmonize, tmp_path):
    done = harmonize("result.docx")
    assert (done.status, len(done.stderr.splitlines())) == (1, 1)
    assert "'.docx'" in done.stderr
    assert "netCDF" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_told_by_the_process_itself(harmonize, tmp_path):
    done = harmonize("result.nc", "-p", "target=landsat")
    assert done.status == 1
    assert "target must be one of" in done.stderr
    assert "landsat" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ("a=null", None),
        ("a=P8D", "P8D"),
        ('a="P8D"', "P8D"),
        ("a=2022-01-01", "2022-01-01"),
        ('a=["2022-01-01", "2023-01-01"]', ["2022-01-01", "2023-01-01"]),
        ('a={"west": 5}', {"west": 5}),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a=ä", "ä"),
    ],
)
def test_values_are_json_where_they_parse(text, value):
    assert parse_parameters([text]) == {"a": value}


def test_a_name_that_is_given_twice_is_an_error_that_shows_the_list():
    with pytest.raises(InvalidParameter, match=r"""-p 'data=\["modis", "viirs"\]'"""):
        parse_parameters(["data=modis", "b=2", "data=viirs"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("['2022-01-01', '2023-01-01']", "double quotes"),
        ("{'west': 5}", "double quotes"),
        ("[1, 2", "is no JSON"),
    ],
)
def test_what_begins_as_json_has_to_be_json(text, said):
    with pytest.raises(InvalidParameter, match=said):
        parse_parameters([f"a={text}"])


def test_a_data_folder_that_is_not_there_is_named_in_full(command, tmp_path):
    done = command("run", CUBE, "--data", tmp_path / "no" / "where", "-o", tmp_path / "o.nc")
    assert done.status == 1
    assert f"{tmp_path / 'no' / 'where'} does not exist" in done.stderr


@pytest.mark.parametrize("text", ["a", "=1", "", "="])
def test_a_pair_needs_a_name_and_an_equals_sign(text):
    with pytest.raises(InvalidParameter, match="NAME=VALUE"):
        parse_parameters([text])


def test_collections_are_loaded_and_merged_in_their_order():
    graph = call(definitions(EMBEDDED)[CUBE], {"data": ["a", "b", "c"], "target": "viirs"})
    loads = [node["arguments"]["id"] for node in graph.values() if node["process_id"] == "load_collection"]
    merges = [node["arguments"] for node in graph.values() if node["process_id"] == "merge_cubes"]
    assert (loads, len(merges)) == (["a", "b", "c"], 2)
    assert merges[1]["cube1"] != merges[1]["cube2"]
    (process,) = (node for node in graph.values() if node.get("result"))
    assert process["arguments"]["target"] == "viirs"
    assert graph[process["arguments"]["data"]["from_node"]]["process_id"] == "merge_cubes"


def test_an_unknown_parameter_is_named_with_those_there_are():
    with pytest.raises(UnknownParameter, match=r"tempral_extent; did you mean temporal_extent\?"):
        call(definitions(EMBEDDED)[CUBE], {"data": "modis", "tempral_extent": None})
    with pytest.raises(UnknownParameter, match=r"zzz; it has data, target, .*temporal_extent"):
        call(definitions(EMBEDDED)[CUBE], {"data": "modis", "zzz": 8})


# --- plans, workers, kept tiles


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
