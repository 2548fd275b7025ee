"""Run independent pieces of work side by side, each on one core.

A small network spends more time at the barriers of a runtime's own threads than in its sums, above all on a
busy machine: pieces side by side never wait for one another.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from openeo_udf_fusion.models.cores import cores

T = TypeVar("T")


def side_by_side(
    function: Callable[[T], None], items: Iterable[T], threads: ThreadPoolExecutor | None
) -> None:
    """Call a function with every item; the first error ends it, and items not yet begun are left out.

    Parameters
    ----------
    function
        What to do; it may be called from any thread.
    items
        With what.
    threads
        Those that do it; None: the caller's own.
    """
    if threads is None:
        for item in items:
            function(item)
    else:
        for _ in threads.map(function, items):
            pass


def pool_of_cores() -> ThreadPoolExecutor | None:
    """As many threads as cores may be used, shared by all callers in a process; None where that is one."""
    count = cores()
    return _pool(count, os.getpid()) if count > 1 else None


@lru_cache(maxsize=2)
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """One pool a process, since threads do not survive a fork."""
    return ThreadPoolExecutor(count, thread_name_prefix="pixels")
