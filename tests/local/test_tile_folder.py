import errno
import fcntl
import os
import shutil

import numpy as np
import pytest

from openeo_udf_fusion.errors import Cancelled, InvalidParameter, StorageFailed
from openeo_udf_fusion.local import tile_folder
from openeo_udf_fusion.local.ledger import Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.tile_folder import TileFolder, remove_folder

BOX = Box(0, 2, 0, 3)
VALUES = np.zeros((1, 1, *BOX.shape), np.float32)
ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def tiles(tmp_path):
    tiles = TileFolder(tmp_path / ".result.nc.tiles")
    yield tiles
    tiles.close()


def kept(ledger):
    token = ledger.begin_attempt({})
    ledger.store(BOX, VALUES, token)
    return token


# --- which run


def test_the_same_run_finds_its_tiles_and_another_one_does_not(tiles):
    kept(tiles.open(ONE))
    tiles.close()
    assert tiles.open(ONE).finished()
    tiles.close()
    assert not tiles.open(OTHER).finished()
    tiles.close()
    assert not tiles.open(ONE).finished()  # they were removed for the other run


def test_a_worker_of_an_earlier_run_leaves_nothing_in_a_later_one(tiles):
    """It was computing all the while: the moment it stores is after the new run has begun."""
    token = (old := tiles.open(ONE)).begin_attempt({})
    delayed = Ledger(old.folder)
    tiles.close()
    new = tiles.open(OTHER)
    with pytest.raises((Cancelled, StorageFailed)):
        delayed.store(BOX, VALUES, token)
    with pytest.raises(StorageFailed):
        delayed.begin_tile(BOX, token)
    assert not new.finished()
    assert [path.name for path in new.folder.iterdir()] == []


def test_opening_ends_the_attempts_of_a_client_that_was_killed(tiles):
    token = kept(tiles.open(ONE))
    tiles.close()
    ledger = tiles.open(ONE)
    assert not ledger.goes_on(token)
    assert ledger.has_ended(token)


def test_two_runs_at_once_are_refused(tiles):
    tiles.open(ONE)
    with pytest.raises(InvalidParameter, match="another run is at work"):
        TileFolder(tiles.folder).open(ONE)
    with pytest.raises(InvalidParameter, match="another run is at work"):
        TileFolder(tiles.folder).forget()
    tiles.close()
    TileFolder(tiles.folder).forget()
    assert not tiles.folder.exists()


def test_a_file_system_without_locks_is_named(tiles, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(tile_folder.fcntl, "flock", refuse)
    with pytest.raises(StorageFailed, match=r"cannot be locked.*NFS"):
        tiles.open(ONE)


# --- whose folder


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    tiles = TileFolder(tmp_path)
    with pytest.raises(InvalidParameter, match="holds other files"):
        tiles.open(ONE)
    tiles.forget()
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_a_new_folder_is_its_owners_alone(tiles):
    ledger = tiles.open(ONE)
    assert [folder.stat().st_mode & 0o777 for folder in (tiles.folder, ledger.folder)] == [0o700, 0o700]


def test_a_folder_that_others_can_write_to_is_refused(tiles):
    tiles.folder.mkdir()
    tiles.folder.chmod(0o777)
    with pytest.raises(InvalidParameter, match="written to by others"):
        tiles.open(ONE)


def test_a_link_is_refused_and_what_it_leads_to_stays(tiles, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    tiles.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidParameter, match="is a link"):
        tiles.open(ONE)
    tiles.forget()
    assert (tmp_path / "elsewhere").is_dir()


def test_a_folder_of_another_user_is_refused(tiles, monkeypatch):
    tiles.folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: tiles.folder.stat().st_uid + 1)
    with pytest.raises(InvalidParameter, match="belongs to the user"):
        tiles.open(ONE)


# --- how it goes


def test_a_removed_folder_is_gone_for_whoever_still_writes_to_it(tiles, monkeypatch):
    """A file appears while the folder is being deleted, as from a worker that has not heard yet."""
    ledger = tiles.open(ONE)
    plain = shutil.rmtree

    def slow(path, ignore_errors):
        with pytest.raises(StorageFailed):
            ledger.begin_tile(BOX, "a" * 64)
        plain(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", slow)
    tiles.remove()
    monkeypatch.undo()
    assert list(tiles.folder.parent.iterdir()) == []
    assert not tiles.open(OTHER).finished()


def test_what_a_removal_left_of_our_own_is_taken_for_ours(tiles):
    ledger = tiles.open(ONE)
    kept(ledger)
    tiles.close()
    for gone in [tiles.folder / "lock", *tiles.folder.rglob("attempt-*")]:
        gone.unlink()
    assert tiles.open(OTHER).finished() == frozenset()


def test_what_was_put_aside_by_a_run_that_was_killed_goes_with_the_next(tiles):
    kept(tiles.open(ONE))
    tiles.close()
    tiles.folder.rename(f"{tiles.folder}.0123abcd.removed")
    tiles.open(ONE)
    assert [path.name for path in tiles.folder.parent.iterdir()] == [tiles.folder.name]


def test_a_lock_on_a_folder_that_was_removed_meanwhile_is_not_enough(tiles, monkeypatch):
    tiles.open(ONE)
    plain, first = fcntl.flock, [True]

    def flock(file, how):
        if first.pop() if first else False:
            remove_folder(tiles.folder)
        plain(file, how)

    tiles.close()
    monkeypatch.setattr(tile_folder.fcntl, "flock", flock)
    tiles.open(ONE)
    with pytest.raises(InvalidParameter, match="another run"):
        TileFolder(tiles.folder).open(ONE)


def test_tiles_are_counted_whoever_has_the_folder(tiles):
    assert tiles.count() == 0
    kept(tiles.open(ONE))
    assert TileFolder(tiles.folder).count() == 1
