"""The seam to what runs process graphs."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import executor as local_executor
from openeo_udf_fusion.local.executor import LogEntry, Progress, RunResult, Workspace

if TYPE_CHECKING:
    from openeo_udf_fusion.local.cluster import Cluster

Workspaces: TypeAlias = Callable[[str], Workspace]
"""What a user's process graphs may use, by the user's id."""


class Executor(Protocol):
    """What the server needs of `local.executor`; the module itself is one."""

    def run(
        self,
        process: Json,
        workspace: Workspace,
        output: Path,
        *,
        progress: Callable[[Progress], None] | None = None,
        log: Callable[[LogEntry], None] | None = None,
        cancelled: Callable[[], bool] = ...,
        tiles: Path | None = None,
    ) -> RunResult:
        """Run a process, write its result into the folder `output`; finished tiles are kept in `tiles`."""
        ...

    def check(self, process: Json, workspace: Workspace) -> list[FusionError]:
        """Find what is wrong with a process without running it."""
        ...


class Scaled:
    """`local.executor` on the workers of a cluster, which is opened anew when the scheduler was lost.

    Parameters
    ----------
    open_cluster
        Connects to a scheduler, or starts workers; None: tiles are computed by threads of this process.
    tile_px
        The largest side of a tile; by default the executor's.
    """

    def __init__(
        self, open_cluster: Callable[[], AbstractContextManager["Cluster"]] | None, tile_px: int | None = None
    ) -> None:
        self._open_cluster = open_cluster
        self._tile_px = tile_px
        self._opened = ExitStack()
        self._cluster: Cluster | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    def run(
        self,
        process: Json,
        workspace: Workspace,
        output: Path,
        *,
        progress: Callable[[Progress], None] | None = None,
        log: Callable[[LogEntry], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        tiles: Path | None = None,
    ) -> RunResult:
        """Run a process on the workers.

        Raises
        ------
        ClusterUnavailable
            There is no connection, and none can be made.
        FusionError
            as `local.executor.run`.
        """
        return local_executor.run(
            process,
            workspace,
            output,
            progress=progress,
            log=log,
            cancelled=cancelled,
            tiles=tiles,
            tile_px=self._tile_px,
            cluster=self._alive(),
        )

    def check(self, process: Json, workspace: Workspace) -> list[FusionError]:
        """Find what is wrong with a process without running it."""
        return local_executor.check(process, workspace)

    def _alive(self) -> "Cluster | None":
        if self._open_cluster is None:
            return None
        with self._lock:
            if self._cluster is None or not self._cluster.alive:
                self._opened.close()
                self._cluster = self._opened.enter_context(self._open_cluster())
            return self._cluster
