"""The application: settings and an executor in, an openEO API out."""

import fcntl
import logging
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from fastapi import Depends, FastAPI

import openeo_udf_fusion
from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import executor as local_executor
from openeo_udf_fusion.local.executor import Workspace
from openeo_udf_fusion.local.server import (
    auth,
    discovery,
    health,
    job_endpoints,
    processing,
    result_endpoints,
    user_processes,
)
from openeo_udf_fusion.local.server.cross_origin import CrossOrigin
from openeo_udf_fusion.local.server.executors import Executor
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.logs import RequestLog
from openeo_udf_fusion.local.server.namespaces import NamespaceReader
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.responses import AsciiJsonResponse, install_error_handlers
from openeo_udf_fusion.local.server.retention import Retention
from openeo_udf_fusion.local.server.run_rules import RunRules
from openeo_udf_fusion.local.server.settings import Settings
from openeo_udf_fusion.local.server.signed_links import LinkSigner
from openeo_udf_fusion.local.server.storage import storage_failed
from openeo_udf_fusion.local.server.worker import Worker
from openeo_udf_fusion.local.standard import specifications as standard

logger = logging.getLogger(__name__)


def create_app(settings: Settings, executor: Executor = local_executor) -> FastAPI:
    """Assemble the server; its worker runs between startup and shutdown of the application.

    `app.state.stop()` ends the synchronous runs; whoever serves the application calls it before its shutdown.

    Parameters
    ----------
    settings
        Folders and credentials.
    executor
        What runs process graphs: `local.executor`, or something that looks like it.

    Raises
    ------
    InvalidParameter
        When another server uses the same state folder.
    StorageFailed
        When the state folder cannot be made.
    """
    lock = _lock_state(settings.state)
    scratch = settings.state / "scratch"
    # Nobody else works here now, so what an earlier server left half-done can go.
    shutil.rmtree(scratch, ignore_errors=True)

    predefined = predefined_processes()
    limits = settings.limits
    authenticator = auth.Authenticator(settings)
    stored = user_processes.StoredProcesses(settings.state / "process_graphs", authenticator.heir, limits)
    fetch = NamespaceReader(settings.namespaces, settings.private_namespaces)

    def workspace_of(user: str) -> Workspace:
        return Workspace(settings.data, definitions(stored.of(user)), fetch, user, limits.graph, settings.udf)

    rules = RunRules(settings.run_timeout_s, authenticator.knows)
    jobs = JobStore(settings.state / "jobs", authenticator.heir, limits)
    quota = DiskQuota(settings.state, jobs, settings.disk_quota_bytes, settings.user_quota_bytes)
    retention = Retention(jobs, settings.keep_jobs_s)
    worker = Worker(jobs, executor, workspace_of, scratch, quota, rules)
    synchronous = processing.Processing(
        executor, workspace_of, scratch, quota, limits.synchronous_per_user, rules
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        retention.start()
        yield
        retention.stop()
        worker.stop()
        lock.close()

    app = FastAPI(
        title="openeo-udf-fusion",
        version=openeo_udf_fusion.__version__,
        default_response_class=AsciiJsonResponse,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.stop = synchronous.stop
    app.state.header_bytes = limits.header_bytes
    app.state.trusted_proxies = settings.trusted_proxies
    install_error_handlers(app)
    app.add_middleware(CrossOrigin, guarded=settings.open, limits=limits)
    app.add_middleware(RequestLog)
    signer = LinkSigner(settings.state / "link_secret.json", settings.link_lifetime_s)
    app.include_router(discovery.router(settings.data, predefined))
    seen = health.Health(settings.state, jobs, quota, worker.is_alive, scheduler_away_s=worker.away_s)
    app.include_router(health.router(seen))
    app.include_router(auth.router(authenticator))
    app.include_router(result_endpoints.router(jobs, authenticator, signer, retention))
    for routes in (
        auth.account_router(authenticator),
        user_processes.router(stored, authenticator, limits, quota),
        # The API lets anybody validate; here that may fetch the URL of a namespace, so it is for the user.
        processing.validation_router(synchronous, authenticator, limits),
        processing.result_router(synchronous, authenticator, limits),
        job_endpoints.router(jobs, worker, authenticator, limits, quota),
    ):
        app.include_router(routes, dependencies=[Depends(authenticator.require)])
    return app


def predefined_processes() -> dict[str, Json]:
    """The processes of GET /processes by id: the standard ones, and this project's with their graphs."""
    found = dict(standard.specifications())
    return found | udps.definitions(udps.EMBEDDED)


def definitions(stored: user_processes.UserProcesses) -> Callable[[str, str | None], Json | None]:
    """Who defines a process: the user's own ones go first, `"user"` and `"backend"` choose.

    Standard processes are not looked up: some come with a graph (that of `mean` sums and counts), but what
    counts is their implementation.
    """
    ours = udps.definitions(udps.EMBEDDED)

    def find(process_id: str, namespace: str | None) -> Json | None:
        own = stored.find(process_id) if namespace in (None, "user") else None
        if own is not None or namespace == "user":
            return own
        return ours.get(process_id) if namespace in (None, "backend") else None

    return find


def _make_private(state: Path) -> None:
    """Take from others what they may do in a folder that was there already."""
    mode = stat.S_IMODE(state.stat().st_mode)
    if not mode & 0o077:
        return
    try:
        state.chmod(mode & 0o700)
    except PermissionError:
        raise InvalidParameter(
            f"others may use the state folder {state} (mode {mode:04o}), which belongs to somebody else; "
            "give the server a folder of its own"
        ) from None
    logger.warning("others could use the state folder %s (mode %04o); now they cannot", state, mode)


def _lock_state(state: Path) -> TextIO:
    try:
        # Other accounts of this machine have no business in it.
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(state)
        file = (state / "lock").open("a", encoding="ascii")
    except OSError as error:
        raise storage_failed(error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InvalidParameter(
            f"another server uses the state folder {state}; stop it, or name another"
        ) from None
    return file
