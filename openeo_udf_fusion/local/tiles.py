"""Cuts a result into tiles and runs them: a few at once, a few ahead, written as they come."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import lcm
from typing import Protocol, TypeVar

from openeo_udf_fusion.local.locality import Survey

T = TypeVar("T")
Item = TypeVar("Item")
Result_co = TypeVar("Result_co", covariant=True)

TILE_PX = 256
"""Side of a tile where nothing asks for another one."""
TILE_BYTES = 16 * 2**20
"""Memory for the input of one tile; what is computed from it comes on top, many times that for a network."""
MINIMAL_TILE_PX = 32


class Promise(Protocol[Result_co]):
    """What comes of a tile that was submitted."""

    def result(self) -> Result_co:
        """Wait for it; raises what went wrong."""

    def cancel(self) -> object:
        """Drop it, if it has not begun."""


class Pool(Protocol):
    """Computes tiles: an executor of concurrent.futures, or the workers of a cluster."""

    def submit(self, function: Callable[[Item], T], item: Item, /) -> Promise[T]:
        """Begin with one item."""


def tile_size(survey: Survey, bytes_per_pixel: int, side_px: int | None = None) -> tuple[int, int]:
    """Rows and columns of a tile: whole chunks of every UDF, and input that fits into memory.

    Parameters
    ----------
    survey
        tells the sizes that UDFs ask for.
    bytes_per_pixel
        of all sources together, per pixel of the result.
    side_px
        the largest side wanted; chunks of UDFs are not cut for it. Default: `TILE_PX`.
    """
    sizes = [
        (call.size_px, survey.ratios.get(name, 1))
        for name, call in survey.calls.items()
        if call.size_px is not None and name in survey.order
    ]
    wanted = min(side_px or TILE_PX, max(MINIMAL_TILE_PX, int((TILE_BYTES / max(1, bytes_per_pixel)) ** 0.5)))
    steps = [
        lcm(*(max(1, int(size[axis] * ratio)) for size, ratio in sizes)) if sizes else 1 for axis in (0, 1)
    ]
    # Sizes without a common multiple of a reasonable length (100 and 128, say): chunks overlap tiles.
    rows, columns = (step if step <= 4 * TILE_PX else wanted for step in steps)
    return max(wanted // rows, 1) * rows, max(wanted // columns, 1) * columns


def ahead(
    pool: Pool, function: Callable[[Item], T], items: Sequence[Item], limit: Callable[[], int]
) -> Iterator[tuple[Item, T]]:
    """Results in the order of `items`, with at most `limit()` of them computed or waiting to be taken.

    The first are submitted at once, before anything is taken. The limit is asked for whenever one was taken:
    what computes tiles may grow meanwhile.
    """
    rest = iter(items)
    waiting = deque((item, pool.submit(function, item)) for item in islice(rest, limit()))
    return _taken(pool, function, rest, waiting, limit)


def _taken(
    pool: Pool,
    function: Callable[[Item], T],
    rest: Iterator[Item],
    waiting: deque[tuple[Item, Promise[T]]],
    limit: Callable[[], int],
) -> Iterator[tuple[Item, T]]:
    try:
        while waiting:
            done, promise = waiting.popleft()
            yield done, promise.result()
            room = max(0, limit() - len(waiting))
            waiting.extend((item, pool.submit(function, item)) for item in islice(rest, room))
    finally:
        for _, promise in waiting:
            promise.cancel()
