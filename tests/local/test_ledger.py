import json
from fractions import Fraction

import numpy as np
import pytest
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.fingerprints import files_seen, run_key
from openeo_udf_fusion.local.ledger import BadTile, Layout, Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.writers.template import Template
from tests.local.graphs import load, make_cube, process, store

BOX = Box(4, 8, 0, 5)


@pytest.fixture
def values():
    values = np.random.default_rng(0).random((3, 2, *BOX.shape), np.float32)
    values[1, :, 2] = np.nan
    return values


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / ".result.nc.tiles")
    ledger.open("one run")
    yield ledger
    ledger.close()


def tile(ledger):
    (path,) = ledger.folder.glob("*.tile")
    return path


# --- tiles


def test_a_tile_comes_back_bit_for_bit(ledger, values):
    ledger.store(BOX, values)
    assert ledger.read(BOX).tobytes() == values.tobytes()
    assert ledger.finished() == {(4, 0)}


@pytest.mark.parametrize("cut", [-1, -40, 10])
def test_a_tile_that_was_cut_short_is_bad(ledger, values, cut):
    ledger.store(BOX, values)
    tile(ledger).write_bytes(tile(ledger).read_bytes()[:cut])
    with pytest.raises(BadTile):
        ledger.read(BOX)


@pytest.mark.parametrize("place", [-1, -200, 3])
def test_a_flipped_bit_is_found(ledger, values, place):
    ledger.store(BOX, values)
    content = bytearray(tile(ledger).read_bytes())
    content[place] ^= 4
    tile(ledger).write_bytes(content)
    with pytest.raises(BadTile):
        ledger.read(BOX)


def test_a_tile_of_another_shape_is_bad(ledger, values):
    ledger.store(BOX, values)
    with pytest.raises(BadTile):
        ledger.read(Box(4, 7, 0, 5))


def test_a_tile_that_is_not_there_is_bad(ledger):
    with pytest.raises(BadTile):
        ledger.read(BOX)


# --- runs


def test_the_same_run_finds_its_tiles_and_another_one_does_not(ledger, values):
    ledger.store(BOX, values)
    ledger.close()
    ledger.open("one run")
    assert ledger.finished()
    ledger.close()
    ledger.open("another run")
    assert not ledger.finished()


def test_two_runs_at_once_are_refused(ledger):
    with pytest.raises(InvalidParameter, match="another run is at work"):
        Ledger(ledger.folder).open("one run")
    with pytest.raises(InvalidParameter, match="another run is at work"):
        Ledger(ledger.folder).forget()
    ledger.close()
    Ledger(ledger.folder).forget()
    assert not ledger.folder.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    ledger = Ledger(tmp_path)
    with pytest.raises(InvalidParameter, match=r"holds other files"):
        ledger.open("one run")
    ledger.forget()
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_an_attempt_ends_for_its_workers(ledger):
    token = ledger.begin_attempt({"version": "1"})
    elsewhere = Ledger(ledger.folder)
    assert elsewhere.attempt(token) == {"version": "1"}
    assert elsewhere.goes_on(token)
    ledger.end_attempt(token)
    assert elsewhere.attempt(token) is None
    assert not elsewhere.goes_on(token)


def test_opening_ends_the_attempts_of_a_client_that_was_killed(ledger):
    token = ledger.begin_attempt({})
    ledger.close()
    ledger.open("one run")
    assert not ledger.goes_on(token)


def test_a_tile_counts_how_often_it_was_begun_and_not_ended(ledger):
    assert [ledger.begin_tile(BOX, "a") for _ in range(3)] == [1, 2, 3]
    assert ledger.begin_tile(BOX, "b") == 1
    ledger.end_tile(BOX, "a")
    assert ledger.begin_tile(BOX, "a") == 1


# --- the layout


@pytest.mark.parametrize("with_t", [True, False])
@pytest.mark.parametrize("with_bands", [True, False])
def test_a_layout_comes_back_with_the_types_of_its_attributes(ledger, with_t, with_bands):
    attrs = {
        "flag_values": np.array([0, 1, 2], np.uint8),
        "scale": np.float32(0.1),
        "when": np.datetime64("2022-01-01", "ns"),
        "list": [1, 2.5, "three", None, True],
        "nested": {"numpy": "a key like any other", "n": np.int16(3)},
    }
    template = Template(
        y=np.linspace(5_650_000, 5_649_000.1, 7),
        x=np.linspace(500_000, 500_100.3, 3),
        t=np.array(["2022-01-01", "2022-01-09T10:30:00.123456789"], "datetime64[ns]") if with_t else None,
        bands=("B1", "B2") if with_bands else None,
        crs=CRS.from_epsg(32632),
        attrs=attrs,
        band_attrs={"B1": attrs},
        name="ndvi",
    )
    ledger.settle(Layout(template, {"udf": Fraction(3, 2)}, (128, 64)))
    found = ledger.layout()
    assert (found.ratios, found.tile) == ({"udf": Fraction(3, 2)}, (128, 64))
    for name in ("y", "x", "t", "bands", "crs", "name"):
        np.testing.assert_array_equal(getattr(found.template, name), getattr(template, name))
    for back in (found.template.attrs, found.template.band_attrs["B1"]):
        assert back["flag_values"].dtype == np.uint8
        assert back["flag_values"].tolist() == [0, 1, 2]
        assert (back["scale"], back["scale"].dtype) == (np.float32(0.1), np.float32)
        assert back["when"] == attrs["when"]
        assert back["list"] == attrs["list"]
        assert back["nested"]["numpy"] == "a key like any other"
        assert back["nested"]["n"].dtype == np.int16


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"y": 3}'])
def test_a_damaged_layout_is_none(ledger, content):
    (ledger.folder / "layout.json").write_text(content)
    assert ledger.layout() is None


# --- which run it is


@pytest.fixture
def folder(tmp_path):
    store(make_cube(dates=2), tmp_path, "demo")
    (tmp_path / "grid").mkdir()
    make_cube(dates=2).to_dataset("bands").to_zarr(tmp_path / "grid" / "cube.zarr")
    return tmp_path


GRAPH = process(a=load("demo"))["process_graph"]
STORE = process(a=load("grid"))["process_graph"]


def key(folder, graph=GRAPH, format="netCDF", options=None, side_px=None):
    return run_key(graph, folder, format, options or {}, side_px)


def test_one_run_has_one_key(folder):
    assert key(folder) == key(folder, json.loads(json.dumps(GRAPH)))


def test_every_difference_makes_another_key(folder, monkeypatch):
    other = process(a=load("demo", bands=["red"]))["process_graph"]
    keys = [
        key(folder),
        key(folder, other),
        key(folder, STORE),
        key(folder, format="Zarr"),
        key(folder, options={"compression": 1}),
        key(folder, side_px=64),
    ]
    (folder / "demo.nc").touch()
    keys.append(key(folder))
    monkeypatch.setattr("openeo_udf_fusion.__version__", "9.9")
    keys.append(key(folder))
    assert len(set(keys)) == len(keys)


def test_a_chunk_inside_a_store_counts_for_the_key_alone(folder):
    before = key(folder, STORE), files_seen(STORE, folder)
    chunk = max((folder / "grid").rglob("*"), key=lambda path: len(path.parts))
    chunk.write_bytes(b"changed")
    assert key(folder, STORE) != before[0]
    assert files_seen(STORE, folder) == before[1]


def test_workers_tell_other_files(folder):
    before = files_seen(GRAPH, folder)
    (folder / "demo.nc").touch()
    assert files_seen(GRAPH, folder) != before
