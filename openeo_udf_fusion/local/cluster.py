"""Workers for tiles: processes on this machine, or those of a dask scheduler elsewhere.

A worker reads what a tile needs, computes it and writes it into the run's ledger (`local.ledger`); through
the scheduler go a path, a box and a receipt. So the data folder and the output must lie on a file system that
the client and all workers mount at the same paths; the scheduler needs neither.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import dask
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm.core import CommClosedError
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from openeo_udf_fusion.errors import (
    Cancelled,
    ClusterUnavailable,
    InvalidParameter,
    NoWorkers,
    WorkerMismatch,
    WorkersLost,
)
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.udf.calls import udf_calls
from openeo_udf_fusion.local.udf.models_used import may_run_a_model
from openeo_udf_fusion.models.cores import granted

SCHEDULER_PORT = 8786
"""Where a dask scheduler listens, where an address names no port."""
GPU = "GPU"
POLL_S = 0.2
LOOK_S = 5.0
CONNECT_TIMEOUT_S = 30
PATIENCE_S = 600.0
"""How long a run waits while there is no worker that could take its tiles: nodes of a cloud take minutes."""

Resources = Mapping[str, float]
T = TypeVar("T")
Item = TypeVar("Item")


class Cluster:
    """A connection to workers.

    Attributes
    ----------
    place : str
        Where they are, for a log.
    """

    def __init__(self, client: Client, place: str, resources: Resources | None = None) -> None:
        self._client = client
        self._asked = resources
        self.place = place

    @property
    def alive(self) -> bool:
        """Whether the scheduler still answers."""
        return bool(self._client.status == "running")

    def workers(self) -> dict[str, Json]:
        """What the scheduler knows of each worker, by its address; raises ClusterUnavailable."""
        try:
            found: dict[str, Json] = self._client.scheduler_info()["workers"]
        except (OSError, TimeoutError, CommClosedError) as error:
            raise ClusterUnavailable(f"the scheduler at {self.place} does not answer: {error}") from error
        return found

    def resources_for(self, graph: Json) -> tuple[Resources, str]:
        """What to ask of the workers that compute the tiles of a graph, and why, for a log."""
        if self._asked is not None:
            return self._asked, f"workers need {_text(self._asked)}, as was asked for"
        having = sum(GPU in _resources(worker) for worker in self.workers().values())
        models = [name for name, call in udf_calls(graph).items() if may_run_a_model(call)]
        if having and models:
            why = f"{having} of {len(self.workers())} have it, and node {models[0]!r} may run a model"
            return {GPU: 1}, f"workers need {GPU}=1: {why}"
        why = "no node runs a model" if not models else f"no worker has {GPU}"
        return {}, f"any worker will do: {why}"

    def having(self, resources: Resources) -> int:
        """How many workers offer some resources."""
        return sum(_offers(worker, resources) for worker in self.workers().values())

    def pool(
        self, resources: Resources, cancelled: Callable[[], bool], warn: Callable[[str], None]
    ) -> "WorkerPool":
        """A pool of those workers that have some resources."""
        return WorkerPool(self, self._client, resources, cancelled, warn)

    def look_ahead(self) -> int:
        """How many tiles may be under way: enough for all threads, and to be seen by a cluster that grows."""
        return max(16, 4 * sum(int(worker["nthreads"]) for worker in self.workers().values()))


class WorkerPool:
    """Submits work to the workers of a cluster, as an executor of concurrent.futures does to threads."""

    def __init__(
        self,
        cluster: Cluster,
        client: Client,
        resources: Resources,
        cancelled: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._resources = dict(resources)
        self._cancelled = cancelled
        self._warn = warn
        self._looked = 0.0
        self._alone_since: float | None = None

    def submit(self, function: Callable[[Item], T], item: Item, /) -> "WorkerPromise[T]":
        """Send one item; the scheduler chooses the worker."""
        future = self._client.submit(function, item, pure=False, resources=self._resources or None)
        return WorkerPromise(future, self)

    def look_after(self) -> None:
        """Called while somebody waits.

        Raises
        ------
        Cancelled
            Nobody wants the results any more.
        ClusterUnavailable
            The scheduler is gone.
        NoWorkers
            No worker could take the work for longer than `PATIENCE_S`.
        """
        if self._cancelled():
            raise Cancelled("the run was cancelled; its result was removed")
        if not self._cluster.alive:
            raise ClusterUnavailable(f"the connection to the scheduler at {self._cluster.place} is lost")
        now = time.monotonic()
        if now - self._looked > LOOK_S:
            self._looked = now
            self._require_workers(now)

    def _require_workers(self, now: float) -> None:
        if self._cluster.having(self._resources):
            self._alone_since = None
            return
        needed = _text(self._resources) or "any resources"
        if self._alone_since is None:
            self._alone_since = now
            self._warn(f"{self._cluster.place} has no worker with {needed} now; waiting for one")
        elif now - self._alone_since > PATIENCE_S:
            raise NoWorkers(
                f"{self._cluster.place} had no worker with {needed} for {PATIENCE_S:.0f} s; start workers "
                f"(dask worker tcp://... --resources {needed.replace(', ', ' ')})"
            )


class WorkerPromise(Generic[T]):
    """A result that a worker is to send."""

    def __init__(self, future: Any, pool: WorkerPool) -> None:  # noqa: ANN401 - untyped
        self._future = future
        self._pool = pool
        # To wait on a future of distributed itself, with a timeout, now and then raises a bug of its loop.
        self._done = threading.Event()
        future.add_done_callback(lambda _: self._done.set())

    def result(self) -> T:
        """Wait for the result.

        Raises
        ------
        Cancelled, ClusterUnavailable, NoWorkers
            as `WorkerPool.look_after`.
        WorkersLost
            The scheduler gave the work up, since too many workers died meanwhile.
        WorkerMismatch
            A worker cannot import this package, or what it needs.
        """
        try:
            return self._waited_for()
        except KilledWorker as error:
            raise WorkersLost(
                f"{error.allowed_failures + 1} workers died while they had the same tile to do, killed for "
                "lack of memory perhaps; give workers more memory, or ask for smaller tiles (--tile-px)"
            ) from error
        except CancelledError as error:
            raise ClusterUnavailable(f"the scheduler dropped a tile: {error}") from error
        except ImportError as error:
            raise WorkerMismatch(
                f"a worker or the scheduler lacks what this client has: {error}; use one image for all, with "
                "openeo-udf-fusion[local] in it"
            ) from error

    def _waited_for(self) -> T:
        self._pool.look_after()
        while not self._done.wait(POLL_S):
            self._pool.look_after()
        value: T = self._future.result()
        return value

    def cancel(self) -> None:
        """Drop the work if it has not begun."""
        if self._future.client.status == "running":
            self._future.cancel()


def _require_address(scheduler: str) -> None:
    # A client that cannot make anything of its address prints a traceback when it is collected.
    _, _, place = scheduler.rpartition("://")
    host, colon, port = place.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise InvalidParameter(
            f"the scheduler's address must be tcp://host:port or tls://host:port, got {scheduler!r}; "
            f"dask schedulers listen at port {SCHEDULER_PORT} by default"
        )


@contextmanager
def connected(scheduler: str, resources: Resources | None = None) -> Iterator[Cluster]:
    """The workers of a dask scheduler.

    Parameters
    ----------
    scheduler
        `tcp://host:port`, or `tls://host:port` with dask's configuration of keys and certificates.
    resources
        what tiles ask of workers; None: a GPU where there is one and the graph has a model.

    Raises
    ------
    ClusterUnavailable
        Nothing answers there.
    InvalidParameter
        It is no address.
    """
    _require_address(scheduler)
    try:
        client = Client(  # type: ignore[no-untyped-call]
            scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise ClusterUnavailable(
            f"no dask scheduler answers at {scheduler}: {error}; start one (dask scheduler --port "
            f"{SCHEDULER_PORT}), and name it as tcp://host:{SCHEDULER_PORT}"
        ) from error
    try:
        yield Cluster(client, scheduler, resources)
    finally:
        client.close()  # type: ignore[no-untyped-call]


@contextmanager
def local_workers(
    count: int, resources: Resources | None = None, *, memory_bytes: int | None = None
) -> Iterator[Cluster]:
    """Worker processes on this machine, with a tile at a time and a share of cores and memory each.

    They speak TLS with keys that nobody else has: a scheduler runs whatever it is sent. A worker that dies is
    started again. OMP_NUM_THREADS, MKL_NUM_THREADS and OPENBLAS_NUM_THREADS of the environment go before the
    share of the cores.

    Parameters
    ----------
    count
        how many.
    resources
        as for `connected`.
    memory_bytes
        of each worker; one that takes more is killed. Default: its share of this machine's.

    Raises
    ------
    InvalidParameter
        `count` is less than 1.
    """
    if count < 1:
        raise InvalidParameter(f"the number of workers must be 1 or more, got {count}")
    threads = str(threads_of_one(count))
    settings = {
        # How often a tile is begun again is counted in its ledger, where neighbours in the queue of a worker
        # that died are not blamed.
        "distributed.scheduler.allowed-failures": 100,
        **{f"distributed.nanny.pre-spawn-environ.{name}": threads for name in THREADS},
    }
    with dask.config.set(settings):
        local = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            security=Security.temporary(),  # type: ignore[no-untyped-call]
            memory_limit=memory_bytes or MEMORY_LIMIT // count,
            silence_logs=logging.CRITICAL,
        )
    with local, Client(local, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(count, timeout=CONNECT_TIMEOUT_S)
        yield Cluster(client, f"{count} worker processes on this machine", resources)


def threads_of_one(count: int) -> int:
    """The share of the cores that each of so many workers on this machine has."""
    return max(1, granted() // count)


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def parse_resources(text: str) -> Resources | None:
    """`GPU=1`, `GPU=1,MEMORY=2e9`, `none` (ask for nothing) or `auto` (None).

    Raises
    ------
    InvalidParameter
    """
    if text == "auto":
        return None
    found: dict[str, float] = {}
    for pair in [] if text in ("", "none") else text.split(","):
        name, _, amount = pair.strip().partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = 0.0
        if not name or found[name] <= 0:
            raise InvalidParameter(f"resources are 'auto', 'none' or NAME=AMOUNT,... (GPU=1), got {text!r}")
    return found


def _offers(worker: Json, needed: Resources) -> bool:
    has = _resources(worker)
    return all(has.get(name, 0) >= amount for name, amount in needed.items())


def _resources(worker: Json) -> Mapping[str, float]:
    return worker.get("resources") or {}


def _text(resources: Resources) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
