"""What a worker makes sure of before it computes, in this process."""

import pytest

import openeo_udf_fusion
from openeo_udf_fusion.errors import Cancelled, WorkerMismatch, WorkersLost
from openeo_udf_fusion.local import executor, tile_worker
from openeo_udf_fusion.local.ledger import Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.local.tiling import FIRST
from openeo_udf_fusion.local.udf.confinement import Confinement
from tests.local.clusters import traced
from tests.local.graphs import make_cube, store, workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store(make_cube(), folder, "demo")
    return folder


@pytest.fixture
def calls(tmp_path):
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def noted(folder, calls, tmp_path):
    """A ledger, and what an attempt at a run notes in it."""
    tiles = TileFolder(tmp_path / "ledger")
    ledger = tiles.open("1" * 64)
    graph = executor.prepare(traced(calls), workspace(folder)).graph
    yield ledger, tile_worker.spec(graph, folder, 6, "ada", Confinement())
    tiles.close()


def ask(ledger, token, box=FIRST):
    return tile_worker.compute((str(ledger.folder), token, (box.y0, box.y1, box.x0, box.x1)))


def test_a_worker_opens_the_sources_of_a_run_once(noted, monkeypatch):
    ledger, spec = noted
    opened = []
    plain = tile_worker.Execution

    def counted(*arguments):
        opened.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(tile_worker, "Execution", counted)
    token = ledger.begin_attempt(spec)
    assert ask(ledger, token).receipt.box == Box(0, 6, 0, 6)
    for box in (Box(0, 6, 6, 12), Box(6, 12, 0, 6)):
        assert ask(ledger, token, box).error is None
    assert ledger.finished() == {(0, 0), (0, 6), (6, 0)}
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"version": "0.0.1"},
            f"has openeo-udf-fusion {openeo_udf_fusion.__version__}, the client has 0.0.1",
        ),
        ({"code": "of another build"}, "other code"),
        ({"weights": {"satfusenet": ["of another build"]}}, "other weights"),
        ({"data": "/nowhere/at/all"}, "no folder /nowhere/at/all"),
        ({"seen": "other files"}, "sees other files"),
    ],
)
def test_a_worker_refuses_what_is_not_the_same(noted, change, message):
    ledger, spec = noted
    error = ask(ledger, ledger.begin_attempt({**spec, **change})).error
    assert isinstance(error, WorkerMismatch)
    assert message in str(error)


def test_a_worker_looks_again_for_a_note_that_it_does_not_see_yet(noted, monkeypatch):
    """As on a network file system, which remembers for a while that a file was not there."""
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    note = ledger.folder / f"attempt-{token}.json"
    hidden = note.rename(ledger.folder.parent.parent / "hidden")
    looks = []

    def pause(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            hidden.rename(note)

    monkeypatch.setattr(tile_worker.time, "sleep", pause)
    assert ask(ledger, token).error is None
    assert len(looks) == 3


def test_a_worker_refuses_a_note_in_a_folder_that_others_can_write_to(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ledger.folder.parent.chmod(0o777)
    error = ask(ledger, token).error
    assert isinstance(error, WorkerMismatch)
    assert "can be written to by others" in str(error)


def test_a_worker_that_leaves_is_no_mark_against_its_tile(noted, monkeypatch):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ask(ledger, token)
    begun = []

    def compute(tiling, box):
        assert ledger.has_begun(token)
        tile_worker.leave()
        begun.append(ledger.has_begun(token))
        raise Cancelled("enough")

    monkeypatch.setattr(tile_worker.Tiling, "compute", compute)
    ask(ledger, token, Box(6, 12, 6, 12))
    assert begun == [False]


def test_a_worker_that_does_not_see_the_ledger_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tile_worker, "NOTE_PATIENCE_S", 0.0)
    error = ask(Ledger(tmp_path / "elsewhere"), "token").error
    assert isinstance(error, WorkerMismatch)
    assert "a file system that the client and all workers mount" in str(error)


def test_a_worker_whose_client_is_gone_stops(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ledger.end_attempt(token)
    assert isinstance(ask(ledger, token).error, Cancelled)


def test_a_tile_that_processes_died_over_is_given_up_after_its_retries(noted):
    ledger, spec = noted
    token = ledger.begin_attempt(spec)
    ask(ledger, token)
    box = Box(6, 12, 6, 12)
    for _ in range(tile_worker.RETRIES + 1):
        ledger.begin_tile(box, token)
    error = ask(ledger, token, box).error
    assert isinstance(error, WorkersLost)
    assert "row 6, column 6" in str(error)
    # Another tile is none the worse for it.
    assert ask(ledger, token, Box(6, 12, 0, 6)).error is None
