"""Run independent pieces of work side by side, each on one core.

A small network spends more time at the barriers of torch's own threads than in its sums, above all on a busy
machine: pieces side by side never wait for one another.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

T = TypeVar("T")

_setting_threads = Lock()


def side_by_side(function: Callable[[T], None], items: Iterable[T]) -> None:
    """Call a function with every item, as many at once as torch has threads.

    All callers in a process share these threads, so that two at once do not take two times the cores. The
    first error ends it; items not yet begun are left out.

    Parameters
    ----------
    function
        What to do; it may be called from any thread.
    items
        With what.
    """
    pool = _pool_of_callers_threads()
    if pool is None:
        for item in items:
            function(item)
    else:
        for _ in pool.map(function, items):
            pass


def _pool_of_callers_threads() -> ThreadPoolExecutor | None:
    # A thread that meets torch for the first time copies its number of threads from the one set last; hence
    # nobody may ask while `_pool` has set it for its own threads.
    with _setting_threads:
        count = torch.get_num_threads()
        return _pool(count, os.getpid()) if count > 1 else None


@lru_cache(maxsize=2)
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """Threads in which torch uses one core each; `process` since threads do not survive a fork."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="pixels")
    all_here = Barrier(count + 1)

    def use_one_core() -> None:
        torch.get_num_threads()  # else the thread's first operation would set it again
        torch.set_num_threads(1)
        all_here.wait()

    for _ in range(count):
        pool.submit(use_one_core)
    all_here.wait()
    torch.set_num_threads(count)  # for this thread and those to come; the pool's keep their one
    return pool
