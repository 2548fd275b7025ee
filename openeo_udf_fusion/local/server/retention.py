"""Removes jobs that ended long ago, with their results: from time to time, in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from openeo_udf_fusion.local.server.job_logs import timestamp
from openeo_udf_fusion.local.server.jobs import Job, JobStore

logger = logging.getLogger(__name__)

SWEEP_S = 3600.0


class Retention:
    """Keeps finished, failed and cancelled jobs for so long and no longer; others stay.

    Parameters
    ----------
    jobs
        The jobs.
    keep_s
        How long after the end of their last run; None: for ever.
    clock
        Seconds since 1970.
    """

    def __init__(self, jobs: JobStore, keep_s: float | None, clock: Callable[[], float] = time.time) -> None:
        self._jobs = jobs
        self._keep_s = keep_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="openeo-retention", daemon=True)

    def start(self) -> None:
        """Sweep now, and every hour from now on."""
        if self._keep_s is not None:
            self._thread.start()

    def stop(self) -> None:
        """Sweep no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def sweep(self) -> list[str]:
        """Remove what has been kept long enough; the ids of the jobs."""
        if self._keep_s is None:
            return []
        before = timestamp(datetime.fromtimestamp(self._clock() - self._keep_s, UTC))
        removed = self._jobs.expire(before)
        for job in removed:
            logger.info(
                "removed job %s, which was %s at %s: jobs are kept for %g days (--keep-jobs)",
                job.id,
                job.status,
                job.updated,
                self._keep_s / 86_400,
                extra={"job_id": job.id, "user": job.owner},
            )
        return [job.id for job in removed]

    def removal_of(self, job: Job) -> float | None:
        """When an ended job may be removed, in seconds since 1970; None: never."""
        if self._keep_s is None:
            return None
        return (datetime.fromisoformat(job.updated) + timedelta(seconds=self._keep_s)).timestamp()

    def _work(self) -> None:
        while True:
            try:
                self.sweep()
            except OSError:
                # Memory and files are all it touches: what cannot be removed today may be tomorrow.
                logger.exception("old jobs could not be removed")
            if self._stopping.wait(SWEEP_S):
                return
