"""Finished tiles on disk: what a run that is taken up again need not compute again.

A ledger is the folder of one run in its `tile_folder`. Whoever computes a tile, in this process or on a
worker, writes it there under a temporary name and renames it; whoever writes the result reads it from there,
and checks its sum and its run.

Nothing in it is pickled, yet an attempt's note is code to whoever reads it: it holds the graph with its UDFs,
and the command that confines them. So the folder is its owner's alone (0700, files 0600), client and workers
refuse one that is not, and an attempt's token is the sum of its note, which comes to the workers by another
way.

    layout.json              coordinates, labels and tiling, known since the first tile
    attempt-<token>.json     what the workers need to know; it is there as long as somebody waits for them
    ended-<token>            an attempt that nobody waits for any more
    <y0>_<x0>.tile           a finished tile
    <y0>_<x0>.<token>.begun  a byte for every time that a tile was begun in this attempt and not ended
"""

import hashlib
import json
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

from openeo_udf_fusion.errors import Cancelled, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.layout import Layout
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.writers.storage import replace_file, storing

_LAYOUT = "layout.json"
_TOKEN = "[0-9a-f]{64}"
_NAMES = re.compile(
    rf"layout\.json|attempt-{_TOKEN}\.json|ended-{_TOKEN}|\.new-.*|-?\d+_-?\d+\.(tile|{_TOKEN}\.begun)"
)
_CORNER = re.compile(r"(\d+)_(\d+)\.tile")


class BadTile(Exception):
    """A tile is not there, or not what was written; it has to be computed again."""


class Ledger:
    """The tiles of one run; any process of its owner may write tiles.

    Parameters
    ----------
    folder
        Its folder, whose name is the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def layout(self) -> Layout | None:
        """The layout, where the first tile has told it."""
        try:
            return Layout.of_json(_read(self.folder / _LAYOUT) or {})
        except (KeyError, TypeError, ValueError):
            return None

    def settle(self, layout: Layout) -> None:
        """Note the layout."""
        with storing(self.folder):
            replace_file(self.folder / _LAYOUT, [_json(layout.to_json())])

    # --- attempts

    def begin_attempt(self, spec: Json) -> str:
        """Note what workers need to know; returns the attempt's token, the sum of the note."""
        note = _json({**spec, "nonce": token_hex(8)})
        token = hashlib.sha256(note).hexdigest()
        with storing(self.folder):
            replace_file(self._attempt(token), [note])
        return token

    def end_attempt(self, token: str) -> None:
        """Nobody waits for its workers any more."""
        with suppress(OSError):
            (self.folder / f"ended-{token}").touch(0o600)
        self._attempt(token).unlink(missing_ok=True)
        for begun in self.folder.glob(f"*.{token}.begun"):
            begun.unlink(missing_ok=True)

    def end_attempts(self) -> None:
        """End all there are."""
        with storing(self.folder):
            for left in [*self.folder.glob("ended-*"), *self.folder.glob("*.begun")]:
                left.unlink(missing_ok=True)
            for note in self.folder.glob("attempt-*.json"):
                self.end_attempt(note.stem.removeprefix("attempt-"))

    def attempt(self, token: str) -> Json | None:
        """What was noted; None where the attempt has ended, or its note is not to be seen.

        Raises
        ------
        InvalidParameter
            The folder is not its owner's alone, or the note is another one than was sent for.
        """
        if not self.folder.is_dir():
            return None
        for folder in (self.folder.parent, self.folder):
            require_private(folder)
        try:
            note = self._attempt(token).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(note).hexdigest() != token:
            raise InvalidParameter(
                f"{self._attempt(token)} is not what the client wrote; somebody else writes to the folder"
            )
        found: Json = json.loads(note)
        return found

    def goes_on(self, token: str) -> bool:
        """Whether somebody waits for this attempt."""
        return self._attempt(token).exists()

    def has_ended(self, token: str) -> bool:
        """Whether it is certain that nobody waits for this attempt; the folder is listed, see `finished`."""
        return self.folder.is_dir() and f"ended-{token}" in os.listdir(self.folder)

    def begin_tile(self, box: Box, token: str) -> int:
        """How often a tile was begun in this attempt, this time included; `end_tile` takes all of it back."""
        with storing(self.folder), open(self._begun(box, token), "ab", opener=_private) as file:
            file.write(b".")
            return file.tell()

    def end_tile(self, box: Box, token: str) -> None:
        """The tile is done, or failed by an error that says why."""
        self._begun(box, token).unlink(missing_ok=True)

    def leave_tile(self, box: Box, token: str) -> None:
        """Take one begin back: whoever began it leaves on purpose, and another may begin it anew."""
        path = self._begun(box, token)
        with suppress(OSError):
            left = path.stat().st_size - 1
            path.unlink() if left < 1 else os.truncate(path, left)

    def has_begun(self, token: str) -> bool:
        """Whether tiles of this attempt are under way, or were given up."""
        return any(self.folder.glob(f"*.{token}.begun"))

    # --- tiles

    def finished(self) -> frozenset[tuple[int, int]]:
        """The corners (y0, x0) of the tiles that are there; whether they are whole, `read` tells.

        The folder is listed: a network file system remembers for a while that a file was not there.
        """
        if not self.folder.is_dir():
            return frozenset()
        corners = map(_CORNER.fullmatch, os.listdir(self.folder))
        return frozenset((int(corner[1]), int(corner[2])) for corner in corners if corner)

    def store(self, box: Box, values: NDArray[np.float32], token: str) -> int:
        """Keep the values (t, variables, rows, columns) of a tile; returns the bytes it takes on disk.

        Raises
        ------
        Cancelled
            Nobody waits for this attempt any more; nothing is kept.
        StorageFailed
        """
        codec = Blosc("zstd", clevel=1, shuffle=Blosc.SHUFFLE)
        frames = [codec.encode(np.ascontiguousarray(step)) for step in values]
        about = {
            "run": self.folder.name,
            "box": _edges(box),
            "shape": values.shape,
            "bytes": [*map(len, frames)],
            "crc32": [zlib.crc32(frame) for frame in frames],
        }

        def still_wanted() -> None:
            if not self.goes_on(token):
                raise Cancelled("the run has ended")

        with storing(self.folder):
            return replace_file(self._tile(box), [_json(about) + b"\n", *frames], before=still_wanted)

    def read(self, box: Box) -> NDArray[np.float32]:
        """The values of a tile, checked.

        Raises
        ------
        BadTile
        """
        try:
            with self._tile(box).open("rb") as file:
                return _read_tile(file, box, self.folder.name)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadTile(f"{self._tile(box).name}: {error}") from error

    def drop(self, box: Box) -> None:
        """Forget a tile."""
        self._tile(box).unlink(missing_ok=True)

    def _tile(self, box: Box) -> Path:
        return self.folder / f"{box.y0}_{box.x0}.tile"

    def _begun(self, box: Box, token: str) -> Path:
        return self._tile(box).with_suffix(f".{token}.begun")

    def _attempt(self, token: str) -> Path:
        return self.folder / f"attempt-{token}.json"


def require_private(folder: Path) -> None:
    """Raise InvalidParameter where others than this process's user could put files into a folder."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        problem = "is a link" if stat.S_ISLNK(found.st_mode) else "is no folder"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to the user {found.st_uid}, and this process runs as {os.geteuid()}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "can be written to by others"
    else:
        return
    raise InvalidParameter(
        f"{folder} {problem}; what is noted there is run as code, so the folder for tiles must be that of "
        "the one user whom client and workers run as, and writable by nobody else"
    )


def is_of_a_ledger(entry: Path) -> bool:
    """Whether something in a folder is a file of a ledger."""
    return _NAMES.fullmatch(entry.name) is not None and stat.S_ISREG(entry.lstat().st_mode)


def _read_tile(file: Any, box: Box, run: str) -> NDArray[np.float32]:  # noqa: ANN401 - a binary file
    about = json.loads(file.readline())
    if about["run"] != run:
        raise ValueError("it is of another run")
    if about["box"] != _edges(box) or tuple(about["shape"][2:]) != box.shape:
        raise ValueError(f"it is of {about['box']}, {about['shape']}")
    values = np.empty(about["shape"], np.float32)
    for step, size, expected in zip(values, about["bytes"], about["crc32"], strict=True):
        frame = file.read(size)
        if len(frame) != size or zlib.crc32(frame) != expected:
            raise ValueError("its sum is not that of what was written")
        Blosc().decode(frame, out=step)
    return values


def _edges(box: Box) -> list[int]:
    return [box.y0, box.y1, box.x0, box.x1]


def _json(value: Json) -> bytes:
    return json.dumps(value).encode("ascii")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _read(path: Path) -> Json | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
