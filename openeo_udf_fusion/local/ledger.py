"""Finished tiles on disk: what a run that is taken up again need not compute again.

A ledger is a folder. Whoever computes a tile, in this process or on a worker, writes it there under a
temporary name and renames it; whoever writes the result reads it from there, and checks its sum. Nothing in
it is pickled, so that a folder which others can write to runs no code.

    run.json                 which run this is
    layout.json              coordinates, labels and tiling, known since the first tile
    attempt-<token>.json     what the workers need to know; it is there as long as somebody waits for them
    <y0>_<x0>.tile           a finished tile
    <y0>_<x0>.<token>.begun  a byte for every time that a tile was begun in this attempt and not ended
"""

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray
from pyproj import CRS

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.writers.storage import storing
from openeo_udf_fusion.local.writers.template import Template

_RUN, _LAYOUT = "run.json", "layout.json"
_OURS = "openeo-udf-fusion tiles"


class BadTile(Exception):
    """A tile is not there, or not what was written; it has to be computed again."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What the first tile tells.

    Attributes
    ----------
    template : Template
        Coordinates and labels of the whole result.
    ratios : dict
        By node: pixels of a UDF's result per pixel of its input, where it is not 1.
    tile : (int, int)
        Rows and columns of a tile.
    """

    template: Template
    ratios: Mapping[str, Fraction]
    tile: tuple[int, int]

    def to_json(self) -> Json:
        """As `of_json` reads it."""
        template = self.template
        return {
            "y": _encoded(template.y),
            "x": _encoded(template.x),
            "t": _encoded(template.t),
            "bands": None if template.bands is None else list(template.bands),
            "crs": None if template.crs is None else template.crs.to_wkt(),
            "attrs": _encoded(template.attrs),
            "band_attrs": _encoded(dict(template.band_attrs)),
            "name": template.name,
            "ratios": {name: str(ratio) for name, ratio in self.ratios.items()},
            "tile": list(self.tile),
        }

    @classmethod
    def of_json(cls, stored: Json) -> "Layout":
        """The layout of `to_json`; raises KeyError, TypeError or ValueError where it is none."""
        template = Template(
            y=_decoded(stored["y"]),
            x=_decoded(stored["x"]),
            t=_decoded(stored["t"]),
            bands=None if stored["bands"] is None else tuple(stored["bands"]),
            crs=None if stored["crs"] is None else CRS.from_wkt(stored["crs"]),
            attrs=_decoded(stored["attrs"]),
            band_attrs=_decoded(stored["band_attrs"]),
            name=stored["name"],
        )
        ratios = {name: Fraction(ratio) for name, ratio in stored["ratios"].items()}
        return cls(template, ratios, (int(stored["tile"][0]), int(stored["tile"][1])))


class Ledger:
    """The tiles of one run in a folder; any process may write tiles, one at a time conducts the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: TextIO | None = None

    # --- the run

    def open(self, key: str) -> None:
        """Take the folder for a run, and remove from it what belongs to another one.

        Raises
        ------
        InvalidParameter
            The folder holds other things, or another run is at work in it.
        StorageFailed
        """
        if self.folder.exists() and not self._is_ours():
            raise InvalidParameter(
                f"{self.folder} holds other files than finished tiles; move it away, or choose another output"
            )
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            if _read(self.folder / _RUN) != {"is": _OURS, "key": key}:
                self._clear()
                _write(self.folder / _RUN, {"is": _OURS, "key": key})
            for left in [*self.folder.glob("attempt-*.json"), *self.folder.glob("*.begun")]:
                left.unlink(missing_ok=True)  # workers of an attempt that ended badly stop by this, too

    def close(self) -> None:
        """Let go of the folder; what is in it stays."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def forget(self) -> None:
        """Remove what an earlier run has left; another folder of that name stays, and `open` refuses it.

        Raises
        ------
        InvalidParameter
            Another run is at work in it.
        """
        if self.folder.is_dir() and self._is_ours():
            self._take_lock()
            self.remove()

    def layout(self) -> Layout | None:
        """The layout, where the first tile has told it."""
        try:
            return Layout.of_json(_read(self.folder / _LAYOUT) or {})
        except (KeyError, TypeError, ValueError):
            return None

    def settle(self, layout: Layout) -> None:
        """Note the layout."""
        with storing(self.folder):
            _write(self.folder / _LAYOUT, layout.to_json())

    # --- attempts

    def begin_attempt(self, spec: Json) -> str:
        """Note what workers need to know; returns the attempt's token."""
        token = token_hex(8)
        with storing(self.folder):
            _write(self._attempt(token), spec)
        return token

    def end_attempt(self, token: str) -> None:
        """Nobody waits for its workers any more."""
        self._attempt(token).unlink(missing_ok=True)
        for begun in self.folder.glob(f"*.{token}.begun"):
            begun.unlink(missing_ok=True)

    def attempt(self, token: str) -> Json | None:
        """What was noted; None where the attempt has ended, or the folder is not to be seen."""
        return _read(self._attempt(token))

    def goes_on(self, token: str) -> bool:
        """Whether somebody waits for this attempt."""
        return self._attempt(token).exists()

    def begin_tile(self, box: Box, token: str) -> int:
        """How often a tile was begun in this attempt, this time included; `end_tile` takes all of it back."""
        path = self._tile(box).with_suffix(f".{token}.begun")
        with storing(self.folder), path.open("ab") as file:
            file.write(b".")
            return file.tell()

    def end_tile(self, box: Box, token: str) -> None:
        """The tile is done, or failed by an error that says why."""
        self._tile(box).with_suffix(f".{token}.begun").unlink(missing_ok=True)

    # --- tiles

    def finished(self) -> frozenset[tuple[int, int]]:
        """The corners (y0, x0) of the tiles that are there; whether they are whole, `read` tells.

        The folder is listed: a network file system remembers for a while that a file was not there.
        """
        stems = (path.stem.split("_") for path in self.folder.glob("*.tile"))
        return frozenset((int(y0), int(x0)) for y0, x0 in stems)

    def store(self, box: Box, values: NDArray[np.float32]) -> int:
        """Keep the values (t, variables, rows, columns) of a tile; returns the bytes it takes on disk."""
        codec = Blosc("zstd", clevel=1, shuffle=Blosc.SHUFFLE)
        frames = [codec.encode(np.ascontiguousarray(step)) for step in values]
        sums = [zlib.crc32(frame) for frame in frames]
        about = {"box": _edges(box), "shape": values.shape, "bytes": [*map(len, frames)], "crc32": sums}
        with storing(self.folder):
            return _replace(self._tile(box), [json.dumps(about).encode("ascii") + b"\n", *frames])

    def read(self, box: Box) -> NDArray[np.float32]:
        """The values of a tile, checked.

        Raises
        ------
        BadTile
        """
        try:
            with self._tile(box).open("rb") as file:
                return _read_tile(file, box)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadTile(f"{self._tile(box).name}: {error}") from error

    def drop(self, box: Box) -> None:
        """Forget a tile."""
        self._tile(box).unlink(missing_ok=True)

    def _tile(self, box: Box) -> Path:
        return self.folder / f"{box.y0}_{box.x0}.tile"

    def _attempt(self, token: str) -> Path:
        return self.folder / f"attempt-{token}.json"

    def _is_ours(self) -> bool:
        known = _read(self.folder / _RUN)
        return self.folder.is_dir() and (
            (known or {}).get("is") == _OURS or not any(self.folder.iterdir()) or self._only_lock()
        )

    def _only_lock(self) -> bool:
        return {entry.name for entry in self.folder.iterdir()} <= {"lock"}

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                entry.unlink()

    def _take_lock(self) -> None:
        self.close()
        file = (self.folder / "lock").open("a", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InvalidParameter(
                f"another run is at work on the tiles in {self.folder}; wait for it, or stop it first"
            ) from None
        self._lock = file


def _read_tile(file: Any, box: Box) -> NDArray[np.float32]:  # noqa: ANN401 - a binary file
    about = json.loads(file.readline())
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


def _replace(path: Path, parts: list[bytes]) -> int:
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            size = file.tell()
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return size


def _write(path: Path, value: Json) -> None:
    _replace(path, [json.dumps(value).encode("ascii")])


def _read(path: Path) -> Json | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _encoded(value: Any) -> JsonValue:  # noqa: ANN401 - attributes of any kind
    """JSON that keeps the type of numpy arrays and numbers: files store them by it."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        numbers = array.astype("int64") if array.dtype.kind in "mM" else array
        return {"numpy": str(array.dtype), "values": numbers.tolist()}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encoded(item) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _decoded(value: JsonValue) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and "numpy" in value:
        dtype = np.dtype(value["numpy"])
        array = np.asarray(value["values"], "int64" if dtype.kind in "mM" else dtype).astype(dtype)
        return array if array.ndim else array[()]
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value["mapping"].items()}
    return value
