"""Rectangles of pixels, and which of them a process needs to compute another."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.local.grids import Grid


@dataclass(frozen=True)
class Box:
    """Rows y0..y1 and columns x0..x1 of a grid, the ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.y0, self.y1)

    @property
    def columns(self) -> slice:
        """The columns as a slice."""
        return slice(self.x0, self.x1)

    def grown(self, y: int, x: int) -> "Box":
        """The box with a margin of y rows and x columns on each side."""
        return Box(self.y0 - y, self.y1 + y, self.x0 - x, self.x1 + x)

    def clipped(self, to: "Box") -> "Box":
        """The part inside `to`."""
        return Box(max(self.y0, to.y0), min(self.y1, to.y1), max(self.x0, to.x0), min(self.x1, to.x1))

    def union(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            min(self.y0, other.y0), max(self.y1, other.y1), min(self.x0, other.x0), max(self.x1, other.x1)
        )

    def aligned(self, y: int, x: int) -> "Box":
        """The smallest box around this one whose sides are multiples of y and x."""
        return Box(self.y0 // y * y, -(-self.y1 // y) * y, self.x0 // x * x, -(-self.x1 // x) * x)

    def scaled(self, ratio: Fraction) -> "Box":
        """The box on a grid with `ratio` times as many pixels per side, rounded outwards."""
        return Box(
            floor(self.y0 * ratio), ceil(self.y1 * ratio), floor(self.x0 * ratio), ceil(self.x1 * ratio)
        )

    def shifted(self, y: int, x: int) -> "Box":
        """The box moved by y rows and x columns."""
        return Box(self.y0 + y, self.y1 + y, self.x0 + x, self.x1 + x)

    def relative_to(self, outer: "Box") -> "Box":
        """The same pixels, counted from the corner of `outer`."""
        return self.shifted(-outer.y0, -outer.x0)


def whole(grid: Grid) -> Box:
    """All pixels of a grid."""
    return Box(0, grid.shape[0], 0, grid.shape[1])


def cut(grid: Grid, box: Box) -> Grid:
    """The part of a grid inside a box."""
    width, height = grid.resolution
    return Grid(grid.crs, grid.x[box.columns], grid.y[box.rows], cell=(width, height))


def refined(grid: Grid, ratio: Fraction) -> Grid:
    """The grid with `ratio` times as many pixels per side and the same outline."""
    if ratio == 1:
        return grid
    width, height = grid.resolution
    return Grid(
        grid.crs,
        _refined_axis(grid.x, ratio, width, descends=False),
        _refined_axis(grid.y, ratio, height, descends=True),
        cell=(width / float(ratio), height / float(ratio)),
    )


def _refined_axis(
    centres: NDArray[np.float64], ratio: Fraction, size: float, *, descends: bool
) -> NDArray[np.float64]:
    if len(centres) > 1:
        descends = bool(centres[1] < centres[0])
    step = -size if descends else size
    edge = centres[0] - step / 2
    count = ceil(len(centres) * ratio)  # a pixel that reaches over the edge is one, too
    axis: NDArray[np.float64] = edge + (np.arange(count) + 0.5) * (step / float(ratio))
    return axis


def tiles(shape: tuple[int, int], tile: tuple[int, int]) -> list[Box]:
    """Cut a raster into tiles, row by row; the last of each row and column may be smaller.

    Parameters
    ----------
    shape
        rows and columns of the raster.
    tile
        rows and columns of a tile.
    """
    height, width = shape
    return [
        Box(y, min(y + tile[0], height), x, min(x + tile[1], width))
        for y in range(0, height, tile[0])
        for x in range(0, width, tile[1])
    ]
