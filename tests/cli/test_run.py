import json

import numpy as np
import pyarrow.parquet
import pytest
import rioxarray
import xarray as xr

from openeo_udf_fusion.cli.run import call, parse_parameters
from openeo_udf_fusion.errors import (
    InvalidParameter,
    UnknownParameter,
)
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs, output_bands
from openeo_udf_fusion.udps import EMBEDDED, definitions

from .conftest import CUBE, EXTENT

DATES = ["2022-03-06", "2022-03-14", "2022-03-22"]


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
