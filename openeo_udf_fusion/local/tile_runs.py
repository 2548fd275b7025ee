"""Runs the tiles of a result, and writes them as they come: straight from threads, or by way of a ledger.

With a ledger (`local.ledger`) every tile is a file before it is part of the result. That is how workers hand
tiles over without sending them, and how a run that was interrupted goes on.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion.errors import Cancelled, StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import remote
from openeo_udf_fusion.local.execution import Execution
from openeo_udf_fusion.local.formats import Writer, writer
from openeo_udf_fusion.local.layout import Layout
from openeo_udf_fusion.local.ledger import BadTile, Ledger
from openeo_udf_fusion.local.regions import Box, tiles
from openeo_udf_fusion.local.tile_worker import Answer
from openeo_udf_fusion.local.tiles import ahead
from openeo_udf_fusion.local.tiling import FIRST, Receipt, TileMaker, Tiling, as_result, boxes
from openeo_udf_fusion.local.udf.code import LogEntry
from openeo_udf_fusion.local.udf.runner import UdfRunner
from openeo_udf_fusion.local.udf.worker import now
from openeo_udf_fusion.local.writers.template import Template
from openeo_udf_fusion.models.cores import granted

if TYPE_CHECKING:
    from openeo_udf_fusion.local.cluster import Cluster

# Two tiles at once are enough: one reads or writes while the other computes with all cores.
TILES_AT_ONCE = min(2, granted())
"""On threads; one more may wait to be written."""

Say = Callable[[LogEntry], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a run is: tiles done and in all, and pixels of the result computed per second."""

    done: int
    total: int
    pixels_per_s: float


class Steps:
    """Counts tiles, reports progress, and stops a run that was cancelled."""

    def __init__(self, report: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        self.report = report
        self.cancelled = cancelled
        self.start = time.monotonic()
        self.pixels = 0

    def go_on(self) -> None:
        """Raise Cancelled when nobody wants the result any more."""
        if self.cancelled():
            raise Cancelled("the run was cancelled; its result was removed")

    def done(self, count: int, total: int, computed_px: int) -> None:
        """Report one more tile, of which so many pixels were computed just now."""
        self.pixels += computed_px
        elapsed = max(time.monotonic() - self.start, 1e-6)
        self.report(Progress(count, total, self.pixels / elapsed))


@dataclass(frozen=True)
class Target:
    """Where a result goes, and as what."""

    path: Path
    kind: str
    options: Json

    def writer(self, template: Template) -> AbstractContextManager[Writer]:
        """A writer of it."""
        return writer(self.path, self.kind, template, self.options)


@dataclass(frozen=True, eq=False)
class Written:
    """What a run has written.

    Attributes
    ----------
    template : Template
    files : list of Path
    tiles : dict
        `total`, `computed` (the others were there), `px` (rows, columns of one), `seconds` (of which
        `seconds_first` for the tile that runs alone, since it settles the layout); with workers also
        `by_worker`, the number that each computed.
    """

    template: Template
    files: list[Path]
    tiles: Json


def run_straight(tiling: Tiling, runner: UdfRunner, target: Target, steps: Steps) -> Written:
    """Run all tiles on threads; nothing is kept of a run that fails."""
    steps.go_on()
    begin = time.monotonic()
    box, first = tiling.first()
    all_boxes, template = tiling.boxes(), tiling.layout.template

    def compute(box: Box) -> xr.DataArray:
        steps.go_on()
        return tiling.compute(box)

    with target.writer(template) as opened, tile_threads(runner) as pool:
        opened.write(first, box.rows, box.columns)
        steps.done(1, len(all_boxes), box.shape[0] * box.shape[1])
        del first
        for count, (box, cube) in enumerate(_on_threads(pool, compute, all_boxes[1:]), start=2):
            opened.write(cube, box.rows, box.columns)
            steps.done(count, len(all_boxes), box.shape[0] * box.shape[1])
            steps.go_on()
    about = _about(tiling.layout, len(all_boxes), len(all_boxes), begin)
    return Written(template, opened.files, about)


def run_whole(result: xr.DataArray, target: Target, steps: Steps) -> Written:
    """Write a lazy cube block by block."""
    begin = time.monotonic()
    cube = as_result(result)
    layout = Layout(Template.of(cube), {}, (512, 512))
    all_boxes = tiles(layout.template.shape, layout.tile)
    with target.writer(layout.template) as opened:
        for count, box in enumerate(all_boxes, start=1):
            steps.go_on()
            opened.write(cube.isel(y=box.rows, x=box.columns), box.rows, box.columns)
            steps.done(count, len(all_boxes), box.shape[0] * box.shape[1])
    return Written(layout.template, opened.files, _about(layout, len(all_boxes), len(all_boxes), begin))


class Crew(Protocol):
    """Who computes tiles into a ledger."""

    def first(self) -> Receipt:
        """Have the first tile computed, which settles the ledger's layout."""

    def settle(self, layout: Layout) -> None:
        """Take a layout that is known already."""

    def made(self, todo: Sequence[Box]) -> Iterator[tuple[Box, Receipt]]:
        """Have tiles computed, a few ahead of what is taken; in order."""


class Threads:
    """Computes tiles here, on a few threads."""

    def __init__(self, maker: TileMaker, tiling: Tiling, pool: ThreadPoolExecutor, steps: Steps) -> None:
        self._maker = maker
        self._tiling = tiling
        self._pool = pool
        self._steps = steps
        self.counts: Counter[str] = Counter()

    def first(self) -> Receipt:
        """See `Crew`."""
        return self._maker.first()

    def settle(self, layout: Layout) -> None:
        """See `Crew`."""
        self._tiling.settle(layout)

    def made(self, todo: Sequence[Box]) -> Iterator[tuple[Box, Receipt]]:
        """See `Crew`."""

        def make(box: Box) -> Receipt:
            self._steps.go_on()
            return self._maker.make(box)

        return _on_threads(self._pool, make, todo)


class Workers:
    """Has tiles computed by a cluster, and passes on what its workers say."""

    def __init__(
        self, cluster: "Cluster", graph: Json, ledger: Ledger, token: str, steps: Steps, say: Say
    ) -> None:
        resources, why = cluster.resources_for(graph)
        say(LogEntry("info", f"tiles run on {cluster.place}; {why}", now()))
        self._cluster = cluster
        self._pool = cluster.pool(
            resources, steps.cancelled, lambda text: say(LogEntry("warning", text, now()))
        )
        self._ledger, self._token = ledger, token
        self._say = say
        self.counts: Counter[str] = Counter()

    def first(self) -> Receipt:
        """See `Crew`."""
        return self._heard(self._pool.submit(remote.compute, self._order(FIRST)).result())

    def settle(self, layout: Layout) -> None:
        """Workers read the layout from the ledger."""

    def made(self, todo: Sequence[Box]) -> Iterator[tuple[Box, Receipt]]:
        """See `Crew`."""
        orders = [self._order(box) for box in todo]
        answers = ahead(self._pool, remote.compute, orders, self._cluster.look_ahead)
        return ((Box(*edges), self._heard(answer)) for (_, _, edges), answer in answers)

    def has_begun(self) -> bool:
        """Whether a worker has begun a tile."""
        return bool(self.counts) or self._ledger.has_begun(self._token)

    def _order(self, box: Box) -> remote.Order:
        return str(self._ledger.folder.absolute()), self._token, (box.y0, box.y1, box.x0, box.x1)

    def _heard(self, answer: Answer) -> Receipt:
        for entry in answer.log:
            self._say(entry)
        if answer.error is not None:
            raise answer.error
        if answer.receipt is None:
            raise RuntimeError(f"{answer.worker} sent neither a receipt nor an error")
        self.counts[answer.worker] += 1
        return answer.receipt


def run_kept(crew: Threads | Workers, ledger: Ledger, target: Target, steps: Steps, say: Say) -> Written:
    """Run those tiles that the ledger does not have, and write all."""
    steps.go_on()
    layout = ledger.layout()
    begin, first, computed = time.monotonic(), 0.0, 0
    if layout is None:
        computed += 1
        crew.first()
        layout = _known(ledger.layout())
        first = time.monotonic() - begin
    else:
        crew.settle(layout)
    all_boxes, there = boxes(layout), ledger.finished()
    old = sum((box.y0, box.x0) in there for box in all_boxes) - computed
    if old:
        text = f"{old} of {len(all_boxes)} tiles are there from an earlier attempt and not computed again"
        say(LogEntry("info", text, now()))
    made = crew.made([box for box in all_boxes if (box.y0, box.x0) not in there])
    with target.writer(layout.template) as opened:
        for count, box in enumerate(all_boxes, start=1):
            steps.go_on()
            is_new = (box.y0, box.x0) not in there
            if is_new:
                next(made)
            values, again = _read(ledger, crew, box, say)
            opened.write_values(values, box.rows, box.columns)
            fresh = is_new or again or (count == 1 and computed == 1)
            computed += is_new or again
            steps.done(count, len(all_boxes), fresh * box.shape[0] * box.shape[1])
    about = {**_about(layout, len(all_boxes), computed, begin), "seconds_first": round(first, 3)}
    by_worker = {"by_worker": dict(crew.counts)} if crew.counts else {}
    return Written(layout.template, opened.files, {**about, **by_worker})


@contextmanager
def threads_crew(
    execution: Execution, tiling: Tiling, ledger: Ledger, token: str, steps: Steps
) -> Iterator[Threads]:
    """A crew of threads."""
    with tile_threads(execution.runner) as pool:
        yield Threads(TileMaker(tiling, ledger, token, retries=0), tiling, pool, steps)


def _on_threads(
    pool: ThreadPoolExecutor, function: Callable[[Box], T], todo: Sequence[Box]
) -> Iterator[tuple[Box, T]]:
    return ahead(pool, function, todo, lambda: TILES_AT_ONCE + 1)


@contextmanager
def tile_threads(runner: UdfRunner) -> Iterator[ThreadPoolExecutor]:
    """Threads for tiles; an error stops the UDFs that are running in them."""
    pool = ThreadPoolExecutor(TILES_AT_ONCE, thread_name_prefix="tile")
    try:
        yield pool
    except BaseException:
        runner.stop()  # the other tiles are of no use any more
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(ledger: Ledger, crew: Threads | Workers, box: Box, say: Say) -> tuple[NDArray[np.float32], bool]:
    """The values of a tile, and whether it had to be computed again."""
    try:
        return ledger.read(box), False
    except BadTile as error:
        say(LogEntry("warning", f"a finished tile is damaged and computed again: {error}", now()))
    ledger.drop(box)
    next(crew.made([box]))
    try:
        return ledger.read(box), True
    except BadTile as error:
        raise StorageFailed(
            f"a tile that was written cannot be read: {error}; check the disk (of workers: whether they and "
            "the client mount one file system)"
        ) from error


def _known(layout: Layout | None) -> Layout:
    if layout is None:
        raise StorageFailed("what the first tile told cannot be read from the folder of finished tiles")
    return layout


def _about(layout: Layout, total: int, computed: int, begin: float) -> Json:
    return {
        "total": total,
        "computed": computed,
        "px": list(layout.tile),
        "seconds": round(time.monotonic() - begin, 3),
    }
