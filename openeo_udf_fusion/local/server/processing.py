"""The endpoints that validate a process, and that run one while the client waits."""

import asyncio
import logging
import shutil
import tempfile
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from openeo_udf_fusion.errors import Cancelled, FusionError, InvalidGraph
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.executor import LogEntry
from openeo_udf_fusion.local.server.auth import Authenticator
from openeo_udf_fusion.local.server.bodies import Process, ResultRequest, reader
from openeo_udf_fusion.local.server.errors import MissingProcessGraph, TooManyRequests
from openeo_udf_fusion.local.server.executors import Executor, Workspaces
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.responses import error_object
from openeo_udf_fusion.local.server.result_files import single_file
from openeo_udf_fusion.local.server.run_rules import RunRules
from openeo_udf_fusion.local.server.sent_once import SentOnce
from openeo_udf_fusion.local.server.storage import storage_failed

logger = logging.getLogger(__name__)

_DISCONNECT_POLL_S = 0.5
_LOGGED_CHARACTERS = 500


class Processing:
    """Runs synchronous requests, one at a time, beside the worker that runs the jobs."""

    def __init__(
        self,
        executor: Executor,
        workspaces: Workspaces,
        scratch: Path,
        quota: DiskQuota,
        most_per_user: int = 8,
        rules: RunRules | None = None,
    ) -> None:
        self._executor = executor
        self._workspaces = workspaces
        self._scratch = scratch
        self._quota = quota
        self._most_per_user = most_per_user
        self._rules = rules or RunRules()
        self._present: Counter[str] = Counter()
        # Those who wait hold no thread of the pool: everything else is answered meanwhile.
        self.turn = CapacityLimiter(1)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End every run after its current tile."""
        self._stopping.set()

    def enter(self, user: str) -> None:
        """Take a place among those who wait or are served; the one thread of the event loop calls it.

        Raises
        ------
        TooManyRequests
        """
        if self._present[user] >= self._most_per_user:
            raise TooManyRequests(
                f"a user may have {self._most_per_user} synchronous requests here at a time; wait for one to "
                "end, or create batch jobs"
            )
        self._present[user] += 1

    def leave(self, user: str) -> None:
        """Give the place back, when nothing of the answer is left."""
        self._present[user] -= 1

    def check(self, process: Json, user: str) -> list[FusionError]:
        """Find what is wrong with a user's process."""
        try:
            return self._executor.check(process, self._workspaces(user))
        except FusionError as error:
            return [error]

    def run(self, process: Json, user: str, abandoned: threading.Event) -> Path:
        """Run a user's process into one file in a folder of its own, which the caller removes.

        Raises
        ------
        FusionError
        """

        over = self._rules.begin(user)

        def cancelled() -> bool:
            return abandoned.is_set() or self._stopping.is_set() or bool(over())

        folder = self._new_folder()
        try:
            if cancelled():
                raise Cancelled("the client hung up, or the server is being stopped")
            check_room = self._quota.guard(user, folder)
            check_room()
            result = self._executor.run(
                process,
                self._workspaces(user),
                folder,
                progress=lambda _: check_room(),
                log=_log,
                cancelled=cancelled,
            )
            file = single_file(folder, result)
            self._quota.require_room(user, folder)
            return file
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, Cancelled) and (reason := over()):
                raise Cancelled(reason) from None
            if isinstance(error, OSError) and not isinstance(error, FusionError):
                raise storage_failed(error) from error
            raise

    def _new_folder(self) -> Path:
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=self._scratch))
        except OSError as error:
            raise storage_failed(error) from error


def validation_router(processing: Processing, authenticator: Authenticator, limits: Limits) -> APIRouter:
    """POST /validation: a success whatever it finds in a process graph."""
    routes = APIRouter()
    read_process = reader(Process, limits)

    async def read(request: Request) -> Process | FusionError:
        try:
            return await read_process(request)
        except (InvalidGraph, MissingProcessGraph) as error:
            return error

    @routes.post("/validation")
    async def validate(
        user: Annotated[str, Depends(authenticator.require)],
        found: Annotated[Process | FusionError, Depends(read)],
    ) -> Json:
        errors = [found] if isinstance(found, FusionError) else await _checked(processing, found, user)
        return {"errors": [error_object(error.code, str(error)) for error in errors]}

    return routes


async def _checked(processing: Processing, process: Process, user: str) -> list[FusionError]:
    processing.enter(user)
    try:
        return await anyio.to_thread.run_sync(lambda: processing.check(process.given(), user))
    finally:
        processing.leave(user)


def result_router(processing: Processing, authenticator: Authenticator, limits: Limits) -> APIRouter:
    """POST /result."""
    routes = APIRouter()
    read_request = reader(ResultRequest, limits)

    @routes.post("/result")
    async def compute(
        request: Request,
        user: Annotated[str, Depends(authenticator.require)],
        body: Annotated[ResultRequest, Depends(read_request)],
    ) -> Response:
        processing.enter(user)
        try:
            file = await _run_while_connected(request, processing, user, body.process.given())
            return SentOnce(file, limits.answer_seconds, partial(processing.leave, user))
        except BaseException:
            processing.leave(user)
            raise

    return routes


async def _run_while_connected(request: Request, processing: Processing, user: str, process: Json) -> Path:
    abandoned = threading.Event()
    watcher = asyncio.create_task(_watch(request, abandoned))
    try:
        run = partial(processing.run, process, user, abandoned)
        return await anyio.to_thread.run_sync(run, limiter=processing.turn)
    finally:
        watcher.cancel()


async def _watch(request: Request, abandoned: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(_DISCONNECT_POLL_S)
    abandoned.set()


def _log(entry: LogEntry) -> None:
    # It is the user's: nobody asks a synchronous request for its log, and the operator's has no room for it.
    logger.debug("%s", entry.message[:_LOGGED_CHARACTERS])
