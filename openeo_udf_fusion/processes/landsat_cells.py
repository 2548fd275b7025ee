"""Landsat's cells of 30 m on a grid of 10 m, and the part of a cube in which anything was ever seen."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.cubes import Mask, Values

Number = TypeVar("Number", bound=np.generic)
CELL_PX = 3
"""Pixels of 10 m along a cell."""


@dataclass(frozen=True)
class Window:
    """A part of a cube's pixels, filled up to whole cells with pixels that the cube does not have.

    Attributes
    ----------
    rows, columns
        The cube's pixels in it.
    top, left
        Where the first of them lies in the window.
    shape
        Rows and columns of the window, multiples of `CELL_PX`.
    """

    rows: slice
    columns: slice
    top: int
    left: int
    shape: tuple[int, int]

    def cut(self, array: NDArray[Number]) -> NDArray[Number]:
        """The window out of an array (..., y, x) of the cube; zero or false where the cube has no pixel."""
        inside = array[..., self.rows, self.columns]
        if inside.shape[-2:] == self.shape:
            return inside
        out = np.zeros((*array.shape[:-2], *self.shape), array.dtype)
        out[(..., *self._place())] = inside
        return out

    def put_back(self, array: Values, shape: tuple[int, int], beyond: float = np.nan) -> Values:
        """An array (..., y, x) of the window on a cube's (y, x); `beyond` where the window is not."""
        if shape == self.shape and self._place() == (slice(0, shape[0]), slice(0, shape[1])):
            return array
        out = np.full((*array.shape[:-2], *shape), beyond, array.dtype)
        out[..., self.rows, self.columns] = array[(..., *self._place())]
        return out

    def _place(self) -> tuple[slice, slice]:
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def window_of(seen: Mask, offset_px: tuple[int, int]) -> Window | None:
    """The whole cells around all pixels (y, x) that were ever seen; None where there is none.

    Beyond the last pixel ever seen there is nothing to compute, and a chunk of a backend that was filled up
    becomes what the plain cube is: its margin would be a grey image to a network, and not no image.

    Parameters
    ----------
    seen
        (y, x).
    offset_px
        Row and column, 0 to 2, at which a cell begins.
    """
    if not seen.any():
        return None
    (rows, top, height), (columns, left, width) = (
        _along(np.asarray(seen.any(axis=1 - axis)), offset_px[axis]) for axis in (0, 1)
    )
    return Window(rows, columns, top, left, (height, width))


def _along(seen: Mask, offset: int) -> tuple[slice, int, int]:
    """The pixels of one axis, the place of the first, and the window's length."""
    there = np.flatnonzero(seen)
    first, last = ((int(end) - offset) // CELL_PX for end in (there[0], there[-1]))
    start, stop = offset + CELL_PX * first, offset + CELL_PX * (last + 1)
    inside = slice(max(start, 0), min(stop, len(seen)))
    return inside, inside.start - start, stop - start


def cell_means(values: Values, valid: Mask) -> tuple[Values, Mask]:
    """The mean of each cell's valid pixels, (..., y, x) -> (..., y / 3, x / 3), and where there is any."""
    count = _in_cells(valid).sum((-3, -1), dtype=np.float32)
    total = _in_cells(np.where(valid, values, np.float32(0))).sum((-3, -1), dtype=np.float32)
    return total / np.maximum(count, 1), count > 0


def clear_cells(seen: Mask, clear: Mask) -> Mask:
    """Cells (t, y / 3, x / 3) of which all pixels that were measured, (t, y, x), are clear."""
    measured, cloudy = _in_cells(seen).any((-3, -1)), _in_cells(seen & ~clear).any((-3, -1))
    return np.asarray(measured & ~cloudy)


def spread_cells(cells: Mask) -> Mask:
    """Each cell's value at its pixels, (..., y, x) -> (..., 3 y, 3 x)."""
    return cells.repeat(CELL_PX, -2).repeat(CELL_PX, -1)


def _in_cells(array: NDArray[Number]) -> NDArray[Number]:
    """(..., y, x) -> (..., y / 3, 3, x / 3, 3)."""
    rows, columns = (size // CELL_PX for size in array.shape[-2:])
    return array.reshape(*array.shape[:-2], rows, CELL_PX, columns, CELL_PX)
