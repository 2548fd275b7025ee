"""The endpoints that validate a process, and that run one while the client waits."""

import asyncio
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from openeo_udf_fusion.errors import Cancelled, FusionError, InvalidGraph
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.executor import LogEntry, Workspace
from openeo_udf_fusion.local.server.bodies import Process, ResultRequest, reader
from openeo_udf_fusion.local.server.executors import Executor
from openeo_udf_fusion.local.server.responses import error_object
from openeo_udf_fusion.local.server.result_files import media_type, single_file
from openeo_udf_fusion.local.server.storage import storage_failed

logger = logging.getLogger(__name__)

_DISCONNECT_POLL_S = 0.5


class Processing:
    """Runs synchronous requests, one at a time, beside the worker that runs the jobs."""

    def __init__(self, executor: Executor, workspace: Workspace, scratch: Path) -> None:
        self._executor = executor
        self._workspace = workspace
        self._scratch = scratch
        # Those who wait hold no thread of the pool: everything else is answered meanwhile.
        self.turn = CapacityLimiter(1)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End every run after its current tile."""
        self._stopping.set()

    def check(self, process: Json) -> list[FusionError]:
        """Find what is wrong with a process."""
        try:
            return self._executor.check(process, self._workspace)
        except FusionError as error:
            return [error]

    def run(self, process: Json, abandoned: threading.Event) -> Path:
        """Run a process into one file in a folder of its own, which the caller removes.

        Raises
        ------
        FusionError
        """

        def cancelled() -> bool:
            return abandoned.is_set() or self._stopping.is_set()

        folder = self._new_folder()
        try:
            if cancelled():
                raise Cancelled("the client hung up, or the server is being stopped")
            result = self._executor.run(process, self._workspace, folder, log=_log, cancelled=cancelled)
            return single_file(folder, result)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _new_folder(self) -> Path:
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=self._scratch))
        except OSError as error:
            raise storage_failed(error) from error


def validation_router(processing: Processing, max_body_bytes: int) -> APIRouter:
    """POST /validation: a success whatever it finds in a process graph."""
    routes = APIRouter()
    read_process = reader(Process, max_body_bytes)

    async def read(request: Request) -> Process | InvalidGraph:
        try:
            return await read_process(request)
        except InvalidGraph as error:
            return error

    @routes.post("/validation")
    def validate(found: Annotated[Process | InvalidGraph, Depends(read)]) -> Json:
        errors = [found] if isinstance(found, InvalidGraph) else processing.check(found.given())
        return {"errors": [error_object(error.code, str(error)) for error in errors]}

    return routes


def result_router(processing: Processing, max_body_bytes: int) -> APIRouter:
    """POST /result."""
    routes = APIRouter()
    read_request = reader(ResultRequest, max_body_bytes)

    @routes.post("/result")
    async def compute(
        request: Request, body: Annotated[ResultRequest, Depends(read_request)]
    ) -> FileResponse:
        file = await _run_while_connected(request, processing, body.process.given())
        # The folder was made for this answer and goes with it.
        clean_up = BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True)
        return FileResponse(file, media_type=media_type(file.name), filename=file.name, background=clean_up)

    return routes


async def _run_while_connected(request: Request, processing: Processing, process: Json) -> Path:
    abandoned = threading.Event()
    watcher = asyncio.create_task(_watch(request, abandoned))
    try:
        return await anyio.to_thread.run_sync(processing.run, process, abandoned, limiter=processing.turn)
    finally:
        watcher.cancel()


async def _watch(request: Request, abandoned: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(_DISCONNECT_POLL_S)
    abandoned.set()


def _log(entry: LogEntry) -> None:
    logger.log(logging.getLevelNamesMapping().get(entry.level.upper(), logging.INFO), "%s", entry.message)
