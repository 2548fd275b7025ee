import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from openeo_udf_fusion.errors import Cancelled, InvalidParameter
from openeo_udf_fusion.local import fingerprints
from openeo_udf_fusion.local.fingerprints import code_digest, files_seen, run_key, weight_digests
from openeo_udf_fusion.local.layout import Layout
from openeo_udf_fusion.local.ledger import BadTile, Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.local.writers.template import Template
from openeo_udf_fusion.models import cards
from tests.local.graphs import load, make_cube, process, store

BOX = Box(4, 8, 0, 5)


@pytest.fixture
def values():
    values = np.random.default_rng(0).random((3, 2, *BOX.shape), np.float32)
    values[1, :, 2] = np.nan
    return values


ONE, OTHER = "1" * 64, "2" * 64
"""Keys of runs."""


@pytest.fixture
def tiles(tmp_path):
    tiles = TileFolder(tmp_path / ".result.nc.tiles")
    yield tiles
    tiles.close()


@pytest.fixture
def ledger(tiles):
    return tiles.open(ONE)


@pytest.fixture
def token(ledger):
    return ledger.begin_attempt({"version": "1"})


def tile(ledger):
    (path,) = ledger.folder.glob("*.tile")
    return path


# --- tiles


def test_a_tile_comes_back_bit_for_bit(ledger, token, values):
    ledger.store(BOX, values, token)
    assert ledger.read(BOX).tobytes() == values.tobytes()
    assert ledger.finished() == {(4, 0)}


@pytest.mark.parametrize("cut", [-1, -40, 10])
def test_a_tile_that_was_cut_short_is_bad(ledger, token, values, cut):
    ledger.store(BOX, values, token)
    tile(ledger).write_bytes(tile(ledger).read_bytes()[:cut])
    with pytest.raises(BadTile):
        ledger.read(BOX)


@pytest.mark.parametrize("place", [-1, -200, 3])
def test_a_flipped_bit_is_found(ledger, token, values, place):
    ledger.store(BOX, values, token)
    content = bytearray(tile(ledger).read_bytes())
    content[place] ^= 4
    tile(ledger).write_bytes(content)
    with pytest.raises(BadTile):
        ledger.read(BOX)


def test_a_tile_of_another_shape_is_bad(ledger, token, values):
    ledger.store(BOX, values, token)
    with pytest.raises(BadTile):
        ledger.read(Box(4, 7, 0, 5))


def test_a_tile_of_another_run_is_bad(tiles, ledger, token, values):
    ledger.store(BOX, values, token)
    stray = tile(ledger).read_bytes()
    other = tiles.open(OTHER)
    (other.folder / "4_0.tile").write_bytes(stray)
    with pytest.raises(BadTile, match="another run"):
        other.read(BOX)


def test_nothing_is_kept_for_an_attempt_that_ended_meanwhile(ledger, token, values):
    ledger.end_attempt(token)
    with pytest.raises(Cancelled):
        ledger.store(BOX, values, token)
    assert not ledger.finished()
    assert [path.name for path in ledger.folder.iterdir()] == [f"ended-{token}"]


def test_a_stray_file_is_no_tile(ledger, token, values):
    ledger.store(BOX, values, token)
    (ledger.folder / "foo.tile").touch()
    assert ledger.finished() == {(4, 0)}


def test_a_tile_that_is_not_there_is_bad(ledger):
    with pytest.raises(BadTile):
        ledger.read(BOX)


# --- attempts


def test_an_attempt_ends_for_its_workers(ledger, token):
    elsewhere = Ledger(ledger.folder)
    assert elsewhere.attempt(token)["version"] == "1"
    assert elsewhere.goes_on(token)
    assert not elsewhere.has_ended(token)
    ledger.end_attempt(token)
    assert elsewhere.attempt(token) is None
    assert not elsewhere.goes_on(token)
    assert elsewhere.has_ended(token)


def test_a_note_that_was_changed_is_refused(ledger, token):
    note = ledger.folder / f"attempt-{token}.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "udf": "sh -c mischief"}))
    with pytest.raises(InvalidParameter, match="not what the client wrote"):
        ledger.attempt(token)


def test_all_files_are_their_owners_alone(ledger, token, values):
    ledger.store(BOX, values, token)
    ledger.begin_tile(BOX, token)
    for path in [ledger.folder.parent, *ledger.folder.parent.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_note_in_a_folder_that_others_can_write_to_is_refused(ledger, token, mode):
    for folder in (ledger.folder, ledger.folder.parent):
        folder.chmod(mode)
        with pytest.raises(InvalidParameter, match="written to by others"):
            ledger.attempt(token)
        folder.chmod(0o700)
    assert ledger.attempt(token)


def test_leaving_on_purpose_is_no_mark_against_a_tile(ledger):
    assert [ledger.begin_tile(BOX, "a" * 64) for _ in range(2)] == [1, 2]
    ledger.leave_tile(BOX, "a" * 64)
    assert ledger.begin_tile(BOX, "a" * 64) == 2
    for _ in range(3):
        ledger.leave_tile(BOX, "a" * 64)
    assert not ledger.has_begun("a" * 64)


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
    monkeypatch.setattr(fingerprints, "code_digest", lambda: "another code of the same version")
    keys.append(key(folder))
    monkeypatch.setattr(fingerprints, "weight_digests", lambda: {"satfusenet": ["others"]})
    keys.append(key(folder))
    assert len(set(keys)) == len(keys)


def test_code_is_told_by_its_files_and_weights_by_their_cards(tmp_path, monkeypatch):
    assert weight_digests()["satfusenet"][0] == cards.read("satfusenet").fingerprint
    found = []
    for text in ("one", "other"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / "net.py").write_text(text)
        (tmp_path / "cli.txt").write_text(text)
        monkeypatch.setattr("openeo_udf_fusion.__file__", str(tmp_path / "__init__.py"))
        found.append(code_digest.__wrapped__())
    assert found[0] != found[1]


def test_no_chunk_of_a_store_is_looked_at(folder, monkeypatch):
    looked = []
    plain = Path.stat

    def stat(path, **options):
        looked.append(path)
        return plain(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    key(folder, STORE)
    monkeypatch.undo()
    chunks = {path for path in (folder / "grid").rglob("c/**/*") if path.is_file()}
    assert chunks
    assert not chunks & set(looked)


def test_the_look_at_a_store_can_be_cancelled(folder):
    with pytest.raises(Cancelled):
        run_key(STORE, folder, "netCDF", {}, None, lambda: True)


def test_a_chunk_inside_a_store_counts_for_the_key_alone(folder):
    before = key(folder, STORE), files_seen(STORE, folder)
    chunk = max((folder / "grid").rglob("*"), key=lambda path: len(path.parts))
    os.replace(shutil.copy(chunk, chunk.with_suffix(".new")), chunk)  # as Zarr writes one
    assert key(folder, STORE) != before[0]
    assert files_seen(STORE, folder) == before[1]


def test_workers_tell_other_files(folder):
    before = files_seen(GRAPH, folder)
    (folder / "demo.nc").touch()
    assert files_seen(GRAPH, folder) != before
