"""Cuts a result into tiles and runs them: a few at once, a few ahead, written as they come."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from math import lcm
from typing import TypeVar

from openeo_udf_fusion.local.locality import Survey
from openeo_udf_fusion.local.regions import Box

T = TypeVar("T")

TILE_PX = 256
"""Side of a tile where nothing asks for another one."""
TILE_BYTES = 64 * 2**20
"""Memory for the input of one tile; what is computed from it comes on top."""
MINIMAL_TILE_PX = 32


def tile_size(survey: Survey, bytes_per_pixel: int) -> tuple[int, int]:
    """Rows and columns of a tile: whole chunks of every UDF, and input that fits into memory.

    Parameters
    ----------
    survey
        tells the sizes that UDFs ask for.
    bytes_per_pixel
        of all sources together, per pixel of the result.
    """
    sizes = [
        (call.size_px, survey.ratios.get(name, 1))
        for name, call in survey.calls.items()
        if call.size_px is not None and name in survey.order
    ]
    wanted = min(TILE_PX, max(MINIMAL_TILE_PX, int((TILE_BYTES / max(1, bytes_per_pixel)) ** 0.5)))
    steps = [
        lcm(*(max(1, int(size[axis] * ratio)) for size, ratio in sizes)) if sizes else 1 for axis in (0, 1)
    ]
    # Sizes without a common multiple of a reasonable length (100 and 128, say): chunks overlap tiles.
    rows, columns = (step if step <= 4 * TILE_PX else wanted for step in steps)
    return max(wanted // rows, 1) * rows, max(wanted // columns, 1) * columns


def ahead(
    pool: Executor, function: Callable[[Box], T], items: Sequence[Box], limit: int
) -> Iterator[tuple[Box, T]]:
    """Results in the order of `items`, with at most `limit` of them computed or waiting to be taken.

    `pool` is any executor of concurrent.futures; `distributed.Client.get_executor()` is one, too.
    """
    waiting: deque[tuple[Box, Future[T]]] = deque()
    rest = iter(items)
    try:
        for item in rest:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) >= limit:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
