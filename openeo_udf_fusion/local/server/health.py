"""Whether the server is alive, and whether it can take work: for a supervisor and for a load balancer.

Both answers are for anybody, and tell no name, path or id.
"""

import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter

import openeo_udf_fusion
from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.jobs import JobStore
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.responses import AsciiJsonResponse
from openeo_udf_fusion.local.server.storage import write_json

LEAST_FREE_BYTES = 100 * 10**6
KEPT_S = 2.0
"""How long an answer is good for: anybody may ask, and looking at the disk costs something."""


class Health:
    """Looks at the server.

    Parameters
    ----------
    state
        Folder that the server must be able to write to.
    jobs
        The jobs, to be counted.
    quota
        What the disk may hold.
    worker_is_alive
        Whether whatever runs the jobs still does.
    clock
        Seconds that only grow.
    scheduler_away_s
        For how long the scheduler of a cluster has been away; None: it is there, or not needed.
    """

    def __init__(
        self,
        state: Path,
        jobs: JobStore,
        quota: DiskQuota,
        worker_is_alive: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        scheduler_away_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._state = state
        self._jobs = jobs
        self._quota = quota
        self._worker_is_alive = worker_is_alive
        self._scheduler_away_s = scheduler_away_s
        self._clock = clock
        self._begin = clock()
        self._lock = threading.Lock()
        self._looked: tuple[float, Json] = (-math.inf, {})
        quota.last_used()  # so that it is known when somebody asks

    def live(self) -> Json:
        """`status` is `ok` unless only a new start helps."""
        return self._answer([] if self._worker_is_alive() else ["the job worker has died"])

    def ready(self) -> Json:
        """`status` is `ok` when the server can take work; counts of jobs and bytes.

        One caller at a time looks, the others get the last answer: a slow disk holds up nobody else.
        """
        last = self._looked
        if self._clock() - last[0] >= KEPT_S and self._lock.acquire(blocking=not last[1]):
            try:
                # Whoever waited for the first look need not look again.
                if self._looked is last:
                    self._looked = (self._clock(), self._look())
            finally:
                self._lock.release()
        return self._looked[1]

    def _look(self) -> Json:
        problems = [] if self._worker_is_alive() else ["the job worker has died"]
        free = None
        try:
            free = shutil.disk_usage(self._state).free
            write_json(self._state / "health.json", None)
        except (OSError, StorageFailed):
            problems.append("the state folder cannot be written to")
        if free is not None and free < LEAST_FREE_BYTES:
            problems.append("the disk is full")
        away_s = self._scheduler_away_s()
        statuses = Counter(job.status for job in self._jobs.list())
        return self._answer(problems) | {
            "jobs": {status: statuses[status] for status in ("queued", "running")},
            # No problem of this server's: it takes jobs and gives results meanwhile.
            "scheduler": {
                "away": away_s is not None,
                "away_s": None if away_s is None else round(away_s, 1),
            },
            "disk": {
                "free_bytes": free,
                "used_bytes": self._quota.last_used(),
                "quota_bytes": self._quota.total_bytes,
            },
        }

    def _answer(self, problems: list[str]) -> Json:
        return {
            "status": "unavailable" if problems else "ok",
            "problems": problems,
            "version": openeo_udf_fusion.__version__,
            "uptime_s": round(self._clock() - self._begin, 1),
        }


def router(health: Health) -> APIRouter:
    """GET /health (can it take work?) and GET /health/live (or does only a new start help?)."""
    routes = APIRouter()

    @routes.get("/health")
    def ready() -> AsciiJsonResponse:
        return _response(health.ready())

    @routes.get("/health/live")
    async def live() -> AsciiJsonResponse:
        return _response(health.live())

    return routes


def _response(answer: Json) -> AsciiJsonResponse:
    return AsciiJsonResponse(answer, status_code=200 if answer["status"] == "ok" else 503)
