"""A dask scheduler and workers on this machine, a process each: to be measured, and to be killed by tests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from openeo_udf_fusion.bench.memory import POLL_S, CommandFailed

START_TIMEOUT_S = 120.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@contextmanager
def dask_cluster(
    folder: Path, workers: Sequence[Sequence[str]]
) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Start a scheduler, and workers of one thread and core; they are killed in the end.

    Parameters
    ----------
    folder : Path
        For their files.
    workers : sequence of sequences of str
        For each worker options of `dask worker` on top.

    Yields
    ------
    (str, list of Popen)
        The scheduler's address, and the processes: the scheduler, then the workers, which may still be on
        their way to it.

    Raises
    ------
    CommandFailed
        The scheduler does not start.
    """
    file = folder / "scheduler.json"
    quiet = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    started = [_dask("scheduler", *quiet, "--port", "0")]
    try:
        wait_for(file.exists)
        own = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        started += [_dask("worker", *quiet, *own, *more) for more in workers]
        yield json.loads(file.read_text(encoding="utf-8"))["address"], started
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something of a cluster that starts is so.

    Raises
    ------
    CommandFailed
        It is not so in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise CommandFailed(f"the scheduler and its workers did not start within {START_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def environment() -> dict[str, str]:
    """The environment of a process with one core."""
    return {**os.environ, **ONE_THREAD}


def _dask(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
