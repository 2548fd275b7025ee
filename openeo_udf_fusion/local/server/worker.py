"""One background thread that runs the queued jobs, one after the other.

While the scheduler of a cluster is away the queue stands still: jobs stay queued, and the one whose turn it
is tries again after a while.
"""

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from openeo_udf_fusion.errors import Cancelled, ClusterUnavailable, FusionError, NoWorkers
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.executor import LogEntry, Progress
from openeo_udf_fusion.local.server import logs
from openeo_udf_fusion.local.server.errors import UnknownJob
from openeo_udf_fusion.local.server.executors import Executor, Workspaces
from openeo_udf_fusion.local.server.job_logs import timestamp
from openeo_udf_fusion.local.server.jobs import Job, JobStore
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.result_files import ASSETS_FOLDER, pack
from openeo_udf_fusion.local.server.run_rules import Over, RunRules
from openeo_udf_fusion.local.server.storage import storage_failed
from openeo_udf_fusion.local.server.turns import Turns

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""Between two attempts to reach a scheduler; each pause is twice the one before."""


class Worker:
    """Runs jobs until it is stopped.

    Parameters
    ----------
    jobs
        Where jobs and their results are kept.
    executor, workspaces
        What runs a process, and on what, by the user whose job it is.
    scratch
        Folder for unfinished results, on the file system of the jobs.
    quota
        How much may be stored; by default any amount.
    rules
        When a run has to end; by default it need not.
    """

    def __init__(
        self,
        jobs: JobStore,
        executor: Executor,
        workspaces: Workspaces,
        scratch: Path,
        quota: DiskQuota | None = None,
        rules: RunRules | None = None,
    ) -> None:
        self._jobs = jobs
        self._executor = executor
        self._workspaces = workspaces
        self._scratch = scratch
        self._quota = quota or DiskQuota(scratch, jobs)
        self._rules = rules or RunRules()
        self._turns = Turns()
        self._stopping = threading.Event()
        self._running: Job | None = None
        self._away_since: float | None = None
        self._away_because = ""
        self._thread = threading.Thread(target=self._work, name="openeo-jobs", daemon=True)

    def start(self) -> None:
        """Settle what an earlier server left, and begin to work."""
        for job_id in self._jobs.recover():
            self._turns.put(job_id, self._jobs.get(job_id).owner)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the current tile; the running job is queued again, with the tiles that it has."""
        self._stopping.set()
        self._turns.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive() and self._running is not None:
            # Its tile takes too long; this run is over all the same.
            self._jobs.put_back(self._running.id, self._running.run)

    def is_alive(self) -> bool:
        """Whether the jobs that are queued will be run."""
        return self._thread.is_alive()

    def away_s(self) -> float | None:
        """For how long the scheduler has been away and the queue stands still; None: it does not."""
        since = self._away_since
        return None if since is None else time.monotonic() - since

    def queue(self, job_id: str) -> None:
        """Run a job when its turn comes; nothing happens when it is queued or running.

        Raises
        ------
        UnknownJob, StorageFailed
        """
        if self._jobs.queue(job_id):
            self._turns.put(job_id, self._jobs.get(job_id).owner)
            if self._away_since is not None:
                self._tell_why(self._jobs.get(job_id))

    def _work(self) -> None:
        while (job_id := self._turns.get()) is not None and not self._stopping.is_set():
            pause_s = FIRST_PAUSE_S
            while not self._began(job_id):
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _began(self, job_id: str) -> bool:
        """Run a job; False where it could not begin, because the scheduler is away."""
        job = None if self._stopping.is_set() else self._jobs.begin(job_id)
        if job is None:
            return True
        with logs.about(job_id=job.id, user=job.owner):
            self._run(job)
        return self._away_since is None

    def _run(self, job: Job) -> None:
        logger.info("job %s begins", job.id)
        begin = time.monotonic()
        if job.job_options:
            names = ", ".join(job.job_options)
            self._jobs.log(job.id, job.run, "info", f"job options change nothing on this backend: {names}")
        self._running, away = job, None
        over = self._rules.begin(job.owner)
        try:
            self._compute(job, over)
        except Cancelled as error:
            if self._stopping.is_set():
                self._jobs.put_back(job.id, job.run)
            elif reason := over():
                self._jobs.fail(job.id, job.run, error.code, reason)
            else:
                self._jobs.fail(job.id, job.run, "Internal", "the run was cancelled; start it again")
        except FusionError as error:
            if isinstance(error, ClusterUnavailable) and not isinstance(error, NoWorkers):
                away = error
            else:
                self._jobs.fail(job.id, job.run, error.code, str(error))
        except OSError as error:
            logger.exception("job %s could not be stored", job.id)
            self._jobs.fail(job.id, job.run, "StorageFailure", str(storage_failed(error)))
        except Exception as error:
            # The boundary: whatever a job does, the worker goes on with the next one.
            logger.exception("job %s failed unexpectedly", job.id)
            # What a bug says may name the server's own paths.
            reason = f"the server failed unexpectedly ({type(error).__name__})"
            self._jobs.fail(job.id, job.run, "Internal", f"{reason}; its log says why under the job's id")
        finally:
            self._running = None
            self._note(job, away)
            self._jobs.drop_tiles(job.id, job.run)
        logger.info("job %s %s after %.1f s", job.id, self._ending(job), time.monotonic() - begin)

    def _ending(self, job: Job) -> str:
        """How a run ended, for the server's log; the job's own log has the message."""
        try:
            now = self._jobs.get(job.id)
        except UnknownJob:
            return "was deleted"
        if now.run != job.run:
            return "was started anew"
        code = now.last_error.get("code")
        return f"ends: {now.status}" + (f" ({code})" if now.status == "error" and code else "")

    def _note(self, job: Job, away: ClusterUnavailable | None) -> None:
        if away is not None:
            self._away(job, away)
        elif self._away_since is not None:
            logger.info("the scheduler is back; queued jobs are run")
            self._away_since = None

    def _away(self, job: Job, error: ClusterUnavailable) -> None:
        """Queue a job again; its tiles were begun when the scheduler went away, or it never came so far."""
        if error.began and not self._jobs.interrupt(job.id, job.run, str(error)):
            return
        self._jobs.wait(job.id, job.run)
        if self._away_since is None:
            logger.warning("the scheduler is away, jobs wait for it: %s", error)
            self._away_since, self._away_because = time.monotonic(), str(error)
            for queued in self._jobs.list():
                if queued.status == "queued":
                    self._tell_why(queued)

    def _tell_why(self, job: Job) -> None:
        text = f"the job waits until the scheduler is back: {self._away_because}"
        self._jobs.log(job.id, job.run, "warning", text)

    def _compute(self, job: Job, over: Over) -> None:
        if over():
            raise Cancelled("the run may not begin")
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        begin = time.monotonic()
        try:
            (folder / ASSETS_FOLDER).mkdir()
            check_room = self._quota.guard(job.owner, folder)
            check_room()
            result = self._executor.run(
                job.process,
                self._workspaces(job.owner),
                folder / ASSETS_FOLDER,
                progress=lambda progress: self._report(job, progress, check_room),
                log=lambda entry: self._log(job, entry),
                cancelled=lambda: (
                    self._stopping.is_set() or not self._jobs.runs(job.id, job.run) or bool(over())
                ),
                tiles=self._tiles(job),
            )
            description: Json = pack(folder / ASSETS_FOLDER, result)
            self._quota.require_room(job.owner, folder)
            duration_s = time.monotonic() - begin
            if self._jobs.finish(job.id, job.run, folder, description, duration_s):
                self._jobs.log(job.id, job.run, "info", f"finished after {duration_s:.1f} s")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _tiles(self, job: Job) -> Path:
        try:
            return self._jobs.tiles_folder(job.id)
        except UnknownJob:
            raise Cancelled("the job was deleted") from None

    def _report(self, job: Job, progress: Progress, check_room: Callable[[], None]) -> None:
        check_room()
        self._jobs.report(job.id, job.run, progress.done, progress.total)
        done, total = progress.done, progress.total
        # With fewer tiles the progress of the job says as much.
        if total >= 10 and 10 * done // total > 10 * (done - 1) // total:
            self._jobs.log(job.id, job.run, "info", f"tile {done} of {total}")

    def _log(self, job: Job, entry: LogEntry) -> None:
        self._jobs.log(job.id, job.run, entry.level, entry.message, time=timestamp(entry.time))
