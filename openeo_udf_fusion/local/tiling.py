"""The tiles of one run: which there are, and what each holds, here and on workers alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube, WorkersLost
from openeo_udf_fusion.local.execution import Execution, ResolutionFound, raster
from openeo_udf_fusion.local.layout import Layout
from openeo_udf_fusion.local.ledger import Ledger
from openeo_udf_fusion.local.locality import Survey
from openeo_udf_fusion.local.regions import Box, tiles
from openeo_udf_fusion.local.tiles import tile_size
from openeo_udf_fusion.local.writers.template import Template


@dataclass(frozen=True)
class Receipt:
    """What is told of a tile in place of its pixels.

    Attributes
    ----------
    box : Box
    bytes_stored : int
    seconds : float
        How long it took, reading and storing included.
    """

    box: Box
    bytes_stored: int
    seconds: float


class Tiling:
    """Computes the tiles of an execution.

    Parameters
    ----------
    execution
        the graph, its sources opened.
    survey
        where its results lie.
    side_px
        the largest side of a tile that is wanted; None: the default.
    """

    def __init__(self, execution: Execution, survey: Survey, side_px: int | None = None) -> None:
        self._execution = execution
        self._survey = survey
        self.side_px = side_px
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """What is known since the first tile."""
        if self._layout is None:
            raise RuntimeError("a tiling has no layout before its first tile")
        return self._layout

    def boxes(self) -> list[Box]:
        """All tiles, row by row."""
        return boxes(self.layout)

    def settle(self, layout: Layout) -> None:
        """Take the layout that another process found."""
        self._survey = self._execution.survey(layout.ratios)
        self._layout = layout

    def first(self) -> tuple[Box, xr.DataArray]:
        """Compute the first tile, which settles the layout."""
        self._survey, (box, cube) = first_tile(self._execution, self._survey, self._first_box)
        cube = as_result(cube)
        template = replace(Template.of(cube), y=self._survey.grid.y, x=self._survey.grid.x)
        self._layout = Layout(template, self._survey.ratios, self._size(self._survey))
        return box, cube

    def compute(self, box: Box) -> xr.DataArray:
        """Compute another tile.

        Raises
        ------
        InvalidCube
            Its labels or its number of pixels are not those of the first one.
        """
        try:
            cube = as_result(raster(self._execution.tile(self._survey, box)))
        except ResolutionFound as found:
            raise found.refusal() from None
        require_labels(cube, self.layout.template)
        return cube

    def _first_box(self, survey: Survey) -> Box:
        return tiles(survey.grid.shape, self._size(survey))[0]

    def _size(self, survey: Survey) -> tuple[int, int]:
        per_pixel = sum(source.bytes_per_pixel for source in self._execution.sources.values())
        return tile_size(survey, per_pixel, self.side_px)


class TileMaker:
    """Computes tiles into a ledger.

    Parameters
    ----------
    tiling, ledger
        what to compute, and where to keep it.
    token
        of the attempt.
    retries
        how often a tile may be begun again after a process died over it.
    """

    def __init__(self, tiling: Tiling, ledger: Ledger, token: str, retries: int) -> None:
        self._tiling = tiling
        self._ledger = ledger
        self._token = token
        self._retries = retries
        self._under_way: set[Box] = set()

    def first(self) -> Receipt:
        """Compute the first tile, and note the layout."""
        return self._kept(FIRST, self._tiling.first)

    def make(self, box: Box) -> Receipt:
        """Compute another tile."""
        return self._kept(box, lambda: (box, self._tiling.compute(box)))

    def leave(self) -> None:
        """This process ends on purpose: that is no mark against the tiles that it computes."""
        for box in list(self._under_way):
            self._ledger.leave_tile(box, self._token)

    def _kept(self, box: Box, compute: Callable[[], tuple[Box, xr.DataArray]]) -> Receipt:
        begin = time.monotonic()
        begun = self._ledger.begin_tile(box, self._token)
        if begun > 1 + self._retries:
            raise WorkersLost(
                f"the {_named(box)} is given up: {begun - 1} workers died while they computed it, killed for "
                "lack of memory perhaps; give workers more memory, or ask for smaller tiles (--tile-px)"
            )
        self._under_way.add(box)
        try:
            place, cube = compute()
            layout = self._tiling.layout
            values = layout.template.tile_values(cube, place.rows, place.columns)
            size = self._ledger.store(place, values, self._token)
            if box == FIRST:
                self._ledger.settle(layout)
        finally:
            self._under_way.discard(box)
            self._ledger.end_tile(box, self._token)
        return Receipt(place, size, time.monotonic() - begin)


FIRST = Box(-1, -1, -1, -1)
"""Stands for the first tile as long as nobody knows how large it is."""


def boxes(layout: Layout) -> list[Box]:
    """All tiles of a layout, row by row."""
    return tiles(layout.template.shape, layout.tile)


def first_tile(
    execution: Execution, survey: Survey, box_of: Callable[[Survey], Box]
) -> tuple[Survey, tuple[Box, xr.DataArray]]:
    """The first tile, and the survey with the resolutions that UDFs turned out to return."""
    ratios: dict[str, Fraction] = {}
    while True:
        box = box_of(survey)
        try:
            return survey, (box, raster(execution.tile(survey, box)))
        except ResolutionFound as found:
            if found.call.node in ratios:
                raise found.refusal() from None
            ratios[found.call.node] = found.ratio
            survey = execution.survey(ratios)


def as_result(cube: xr.DataArray) -> xr.DataArray:
    """float32, dims in the order t, bands, y, x."""
    order = [dim for dim in ("t", "bands", "y", "x") if dim in cube.dims]
    return cube.transpose(*order, ...).astype(np.float32)


def require_labels(cube: xr.DataArray, template: Template) -> None:
    """Raise InvalidCube where a tile has other dates or bands than the first one."""
    dates = cube["t"].values.astype("datetime64[ns]") if "t" in cube.dims else None
    bands = tuple(str(label) for label in cube["bands"].values) if "bands" in cube.dims else None
    if bands != template.bands or not np.array_equal(_or_empty(dates), _or_empty(template.t)):
        raise InvalidCube(
            f"tiles differ: one has {len(_or_empty(template.t))} dates and bands {template.bands}, another "
            f"{len(_or_empty(dates))} dates and bands {bands}; a UDF must return the same for every tile: "
            "choose regular dates (such as 'P8D' within temporal_extent)"
        )


def _or_empty(dates: np.ndarray | None) -> np.ndarray:
    return np.empty(0, "datetime64[ns]") if dates is None else dates


def _named(box: Box) -> str:
    return "first tile" if box == FIRST else f"tile at row {box.y0}, column {box.x0}"
