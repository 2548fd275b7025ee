"""A file is there whole, or as it was before."""

import os

import pytest

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.publish.storage import whole


def test_it_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with whole(path) as temporary:
        temporary.write_bytes(b"1")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert path.read_bytes() == b"1"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("no"), OSError(28, "No space left on device")]
)
def test_what_was_there_outlives_a_failure(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    expected = StorageFailed if isinstance(error, OSError) else type(error)

    def break_off():
        with whole(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(expected):
        break_off()
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_rename_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageFailed, match="Permission denied"), whole(tmp_path / "file") as temporary:
        temporary.write_bytes(b"1")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_a_file_are_not_in_each_others_way(tmp_path):
    with whole(tmp_path / "file") as one, whole(tmp_path / "file") as other:
        assert one != other
        one.write_bytes(b"1")
        other.write_bytes(b"2")
    assert (tmp_path / "file").read_bytes() == b"1"
