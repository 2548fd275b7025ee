"""The seam to what runs process graphs."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.executor import LogEntry, Progress, RunResult, Workspace

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
    ) -> RunResult:
        """Run a process, write its result into the folder `output`."""
        ...

    def check(self, process: Json, workspace: Workspace) -> list[FusionError]:
        """Find what is wrong with a process without running it."""
        ...
