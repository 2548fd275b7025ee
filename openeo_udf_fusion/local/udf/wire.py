"""What goes over the pipe to the process of a UDF and back: JSON and the bytes of arrays, never code.

What comes back was written by whoever wrote the UDF. So nothing of it is unpickled, and sizes, kinds and
shapes are checked before anything is allocated or built.
"""

import json
import socket
import struct
from collections.abc import Callable
from datetime import date, datetime
from math import prod
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

Value: TypeAlias = Any
"""None, numbers, text, times, numpy arrays, and lists, tuples and dicts of these."""

POLL_S = 0.1
MAX_TEXT_BYTES = 32 * 2**20
"""Code, log, labels and attributes of one message, as JSON."""
MAX_ARRAYS = 1000
MAX_LABEL_BYTES = 64 * 2**20
NUMBERS = "biufcmM"
"""Kinds of numpy arrays that travel as bytes: bool, integers, float, complex, time."""

_LENGTH = struct.Struct(">Q")


class Garbled(Exception):
    """What came is no message, or larger than what is taken."""


class Unsendable(TypeError):
    """A value of a class that does not travel."""


class Channel:
    """One end of the pipe.

    Parameters
    ----------
    end
        A connected socket.
    waiting
        Called again and again while the other end keeps this one waiting; what it raises ends the wait.
    """

    def __init__(self, end: socket.socket, waiting: Callable[[], None] | None = None) -> None:
        self._end = end
        self._waiting = waiting or (lambda: None)
        end.settimeout(None if waiting is None else POLL_S)

    def send(self, message: Value) -> int:
        """Send a message; returns how many bytes its arrays have.

        Raises
        ------
        Unsendable
            Nothing was sent then.
        OSError
            The other end is gone.
        """
        arrays: list[NDArray[Any]] = []
        body = pack(message, arrays)
        text = json.dumps({"arrays": [array.nbytes for array in arrays], "message": body}).encode("ascii")
        if len(text) > MAX_TEXT_BYTES or len(arrays) > MAX_ARRAYS:
            raise Unsendable(
                f"{len(text)} bytes of text and {len(arrays)} arrays are more than one message takes "
                f"({MAX_TEXT_BYTES} bytes, {MAX_ARRAYS} arrays)"
            )
        self._write(memoryview(_LENGTH.pack(len(text))))
        self._write(memoryview(text))
        for array in arrays:
            self._write(array.reshape(-1).view(np.uint8).data)
        return sum(array.nbytes for array in arrays)

    def receive(self, max_bytes: int | None = None) -> Value:
        """The next message.

        Parameters
        ----------
        max_bytes
            How many bytes its arrays may have.

        Raises
        ------
        Garbled
        EOFError
            The other end is gone.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size).data)
        if length > MAX_TEXT_BYTES:
            raise Garbled(f"{length} bytes of text, {MAX_TEXT_BYTES} are taken")
        try:
            head = json.loads(bytes(self._read(length)))
            sizes, body = head["arrays"], head["message"]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise Garbled(f"no JSON of a message: {type(error).__name__}") from None
        if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
            raise Garbled("no sizes of arrays")
        if len(sizes) > MAX_ARRAYS or (max_bytes is not None and sum(sizes) > max_bytes):
            raise Garbled(f"{len(sizes)} arrays of {sum(sizes)} bytes, {max_bytes} bytes are taken")
        arrays = [self._read(size) for size in sizes]
        try:
            return unpack(body, arrays)
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
            raise Garbled(f"no message: {error}") from None

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._end.send(data) :]
            except TimeoutError:
                self._waiting()

    def _read(self, size: int) -> NDArray[np.uint8]:
        data = np.empty(size, np.uint8)
        rest = data.data
        while rest:
            try:
                count = self._end.recv_into(rest)
            except TimeoutError:
                self._waiting()
                continue
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return data


# --- values as JSON


def pack(value: Value, arrays: list[NDArray[Any]]) -> Value:
    """`value` as JSON; the bytes of its arrays are appended to `arrays`."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return {"scalar": pack(np.asarray(value), arrays)}
    if isinstance(value, np.ndarray):
        return _packed_array(value, arrays)
    if isinstance(value, dict):
        return {"dict": [[pack(key, arrays), pack(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [pack(item, arrays) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, (datetime, date)):  # pandas' own, too
        return {"time": value.isoformat()}
    if isinstance(value, (str, int, float)):  # of a class of its own
        return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))
    raise Unsendable(f"a {type(value).__name__}, which is no number, text, time, array, list or dict")


def unpack(value: Value, arrays: list[NDArray[np.uint8]]) -> Value:
    """The reverse of `pack`; ValueError, TypeError or LookupError where there is nothing to reverse."""
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {unpack(key, arrays): unpack(item, arrays) for key, item in content}
    if kind == "tuple":
        return tuple(unpack(item, arrays) for item in content)
    if kind == "time":
        return pd.Timestamp(content)
    if kind == "scalar":
        return unpack(content, arrays)[()]
    if kind in ("array", "labels", "objects"):
        return _unpacked_array(kind, content, arrays)
    raise ValueError(f"a value of the kind {kind[:20]!r}")


def _packed_array(array: NDArray[Any], arrays: list[NDArray[Any]]) -> Value:
    shape = list(array.shape)
    if array.dtype.kind in NUMBERS:
        arrays.append(np.ascontiguousarray(array))
        return {"array": [shape, array.dtype.str, len(arrays) - 1]}
    if array.dtype.kind in "UTO":
        kind = "objects" if array.dtype.kind == "O" else "labels"
        return {kind: [shape, [pack(item, arrays) for item in array.reshape(-1).tolist()]]}
    raise Unsendable(f"an array of dtype {array.dtype}")


def _unpacked_array(kind: str, content: Value, arrays: list[NDArray[np.uint8]]) -> NDArray[Any]:
    shape, rest = content[0], content[1]
    if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 32:
        raise ValueError("a shape that is none")
    if kind == "array":
        dtype = np.dtype(str(rest))
        if dtype.kind not in NUMBERS or dtype.itemsize == 0:
            raise ValueError(f"an array of dtype {dtype}")
        data = arrays[content[2]]
        if prod(shape) * dtype.itemsize != data.nbytes:
            raise ValueError(f"{data.nbytes} bytes for the shape {shape} and dtype {dtype}")
        numbers: NDArray[Any] = data.view(dtype).reshape(shape)
        return numbers
    if not isinstance(rest, list) or prod(shape) != len(rest):
        raise ValueError(f"labels that do not fill the shape {shape}")
    items = [unpack(item, arrays) for item in rest]
    if kind == "labels":
        # numpy gives every label the room of the longest one.
        if 4 * len(items) * max((len(item) for item in items), default=0) > MAX_LABEL_BYTES:
            raise ValueError("labels that are too long")
        return np.array(items, dtype=np.str_).reshape(shape)
    objects = np.empty(len(items), object)
    for position, item in enumerate(items):
        objects[position] = item
    return objects.reshape(shape)


# --- cubes


def pack_cube(cube: xr.DataArray) -> tuple[Value, list[str]]:
    """A cube as a value for a channel, and the names of those coordinates and attributes that do not travel.

    Raises
    ------
    Unsendable
        Its values are no numbers.
    """
    left_out: list[str] = []
    values = cube.values
    if values.dtype.kind not in NUMBERS:
        try:
            values = values.astype(np.float32)
        except (TypeError, ValueError):
            raise Unsendable(f"a cube of {values.dtype}, where numbers were expected") from None
    attrs = {key: value for key, value in cube.attrs.items() if _travels(key, value, left_out)}
    coords = {
        str(key): {"dims": tuple(map(str, coord.dims)), "values": coord.values}
        for key, coord in cube.coords.items()
        if _travels(key, coord.values, left_out)
    }
    name = None if cube.name is None else str(cube.name)
    dims = tuple(map(str, cube.dims))
    return {"dims": dims, "values": values, "coords": coords, "attrs": attrs, "name": name}, left_out


def unpack_cube(value: Value) -> xr.DataArray:
    """The reverse of `pack_cube`.

    Raises
    ------
    Garbled
    """
    try:
        coords = {str(key): (coord["dims"], coord["values"]) for key, coord in value["coords"].items()}
        return xr.DataArray(
            np.asarray(value["values"]),
            coords=coords,
            dims=value["dims"],
            attrs=dict(value["attrs"]),
            name=value["name"],
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise Garbled(f"no data cube: {error}") from None


def _travels(key: Any, value: Value, left_out: list[str]) -> bool:  # noqa: ANN401 - any hashable
    try:
        pack([key, value], [])
    except (Unsendable, RecursionError):
        left_out.append(str(key)[:100])
        return False
    return True
