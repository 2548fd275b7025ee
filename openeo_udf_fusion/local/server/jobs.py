"""Batch jobs on disk: what they are, and which change of status may follow which.

    created -> queued -> running -> finished | error | canceled    (queue again: from any of the last three)

`<folder>/<id>/` holds `job.json`, `logs.jsonl`, while it runs the finished `tiles/` and, once finished,
`results/`. A restart keeps all of it: queued jobs are queued again, and so is a job that was running, which
goes on with its finished tiles; one that has seen two servers end becomes `error`, for it may be what ended
them. A run is known by the number that `begin` returns with the job; the changes of a run that was
cancelled, deleted or started anew meanwhile are dropped.
"""

import builtins
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server import job_logs
from openeo_udf_fusion.local.server.errors import JobLocked, StorageQuotaExceeded, TooManyRequests, UnknownJob
from openeo_udf_fusion.local.server.job_logs import timestamp
from openeo_udf_fusion.local.server.job_records import EDITABLE, Job, Status, load_jobs, packed, save_job
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.storage import storage_failed, write_json
from openeo_udf_fusion.local.server.trash import Trash

logger = logging.getLogger(__name__)

__all__ = ["EDITABLE", "RESULT_FILE", "TILES", "Job", "JobStore"]

LOG, RESULTS, RESULT_FILE, TILES = "logs.jsonl", "results", "result.json", "tiles"
MAX_INTERRUPTIONS = 2
"""A job whose run was interrupted so often is not run again by itself."""


class JobStore:
    """All jobs of a server; every method may be called from any thread.

    The copies in memory lead: on a full disk a job still becomes `error` for whoever asks. Endpoints find a
    job by `owned`, which keeps users apart; the other methods trust their caller.

    Parameters
    ----------
    folder
        One folder a job; what is removed goes by way of the folder `trash` beside it.
    heir
        Who gets the jobs of an earlier version, which have no owner; without one they belong to nobody.
    limits
        How many jobs a user may have.
    """

    def __init__(self, folder: Path, heir: str | None = None, limits: Limits | None = None) -> None:
        self.home = folder
        self._trash = Trash(folder.with_name("trash"))
        self._lock = threading.RLock()
        self._depth = 0
        self._limits = limits or Limits()
        self._jobs = {job.id: job for job in load_jobs(folder)}
        self._bequeath(heir)

    @contextmanager
    def _removing(self) -> Iterator[None]:
        """The lock, and once it is let go the time to remove what was put into the trash."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                outermost = self._depth == 0
        if outermost:
            self._trash.empty()

    def recover(self) -> list[str]:
        """Settle what an earlier server left behind; the ids that wait to be run, oldest first."""
        self._trash.sweep()
        with self._removing():
            for job in self._jobs.values():
                if job.status == "running":
                    self.interrupt(job.id, job.run, "the server ended while the job ran")
            queued = [job for job in self._jobs.values() if job.status == "queued"]
            return [job.id for job in sorted(queued, key=lambda job: job.updated)]

    def create(self, properties: Json, owner: str) -> Job:
        """A new job of a user from the properties of `EDITABLE`.

        Raises
        ------
        StorageQuotaExceeded, StorageFailed
        """
        now = timestamp()
        # 122 random bits: nobody guesses the id of another user's job.
        job = Job(id=uuid.uuid4().hex, created=now, updated=now, owner=owner, **packed(properties))
        with self._lock:
            most = self._limits.jobs_per_user
            if len(self.list(owner)) >= most:
                raise StorageQuotaExceeded(f"a user may have {most} batch jobs here; delete some first")
            self._require_room(job)
            self._store(job)
            return replace(job)

    def get(self, job_id: str) -> Job:
        """A copy of a job.

        Raises
        ------
        UnknownJob
        """
        with self._lock:
            return replace(self._find(job_id))

    def owned(self, job_id: str, owner: str) -> Job:
        """A copy of a user's job; those of other users do not exist for them.

        Raises
        ------
        UnknownJob
        """
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.owner != owner:
                raise _unknown(job_id)
            return replace(job)

    def list(self, owner: str | None = None) -> list[Job]:
        """Copies of the jobs of a user, or of all, oldest first."""
        with self._lock:
            chosen = [job for job in self._jobs.values() if owner in (None, job.owner)]
            return [replace(job) for job in sorted(chosen, key=lambda job: (job.created, job.id))]

    def update(self, job_id: str, changes: Json) -> None:
        """Change properties of `EDITABLE`.

        Raises
        ------
        UnknownJob, JobLocked, StorageQuotaExceeded, StorageFailed
        """
        fields = packed(changes)
        with self._lock:
            job = self._find(job_id)
            if job.locked:
                raise JobLocked(f"job {job_id} is {job.status} and cannot be changed; cancel it first")
            changed = replace(job, **fields, updated=timestamp())
            self._require_room(changed)
            self._store(changed)

    def delete(self, job_id: str) -> None:
        """Forget a job and its results; a run stops at its next tile.

        Raises
        ------
        UnknownJob
        """
        with self._removing():
            job = self._find(job_id)
            del self._jobs[job.id]
            self._trash.put(self.home / job.id)

    def expire(self, before: str) -> "builtins.list[Job]":
        """Forget the jobs whose last run ended, or that were changed last, before a moment; returns them."""
        with self._removing():
            ended = ("finished", "error", "canceled")
            old = [job for job in self.list() if job.status in ended and job.updated < before]
            for job in old:
                self.delete(job.id)
            return old

    # --- changes of status

    def queue(self, job_id: str) -> bool:
        """Queue a job, without results and log of its last run; False when it is queued or running already.

        Raises
        ------
        UnknownJob, TooManyRequests, StorageFailed
        """
        with self._removing():
            job = self._find(job_id)
            if job.locked:
                return False
            self._require_turn(job.owner)
            fresh = replace(
                job, run=job.run + 1, progress=0.0, duration_s=None, last_error={}, interruptions=0
            )
            self._store(replace(fresh, status="queued", updated=timestamp()))
            for name in (RESULTS, TILES, LOG):
                self._trash.put(self.home / job_id / name)
            return True

    def put_back(self, job_id: str, run: int) -> None:
        """Queue a run again that the server ends on purpose; it goes on with its finished tiles."""
        with self._lock:
            if self.runs(job_id, run):
                text = "the server is being stopped; the job goes on with its finished tiles after its start"
                self.log(job_id, run, "info", text)
                self._adopt(replace(self._jobs[job_id], status="queued", updated=timestamp()))

    def wait(self, job_id: str, run: int) -> None:
        """Queue a run again that could not begin; it is no mark against the job."""
        with self._lock:
            if self.runs(job_id, run):
                self._adopt(replace(self._jobs[job_id], status="queued", updated=timestamp()))

    def interrupt(self, job_id: str, run: int, reason: str) -> bool:
        """Queue a run again that something ended; False when that has happened too often."""
        with self._removing():
            if not self.runs(job_id, run):
                return False
            job = self._jobs[job_id]
            count = job.interruptions + 1
            self._adopt(replace(job, interruptions=count))
            if count >= MAX_INTERRUPTIONS:
                again = f"this happened {count} times, so the job is not run again by itself"
                self.fail(job_id, run, "Internal", f"{reason}; {again}; start it again when you know why")
                self.drop_tiles(job_id, run)
                return False
            self.log(job_id, run, "warning", f"{reason}; the job is run again from its finished tiles")
            self._adopt(replace(self._jobs[job_id], status="queued", updated=timestamp()))
            return True

    def begin(self, job_id: str) -> Job | None:
        """Set a queued job to running; None when there is no such queued job any more."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.status != "queued":
                return None
            self._adopt(replace(job, status="running", updated=timestamp()))
            return self.get(job_id)

    def runs(self, job_id: str, run: int) -> bool:
        """Whether this very run is still wanted."""
        with self._lock:
            job = self._jobs.get(job_id)
            return job is not None and job.status == "running" and job.run == run

    def report(self, job_id: str, run: int, done: int, total: int) -> None:
        """Note how many tiles of a run are done; 100 % is for finished jobs alone."""
        with self._lock:
            if self.runs(job_id, run):
                self._jobs[job_id].progress = round(min(99.9, 100.0 * done / max(total, 1)), 1)

    def finish(self, job_id: str, run: int, files: Path, result: Json, duration_s: float) -> bool:
        """Adopt the folder `files` as the results of a job; False when the run is not wanted any more.

        Raises
        ------
        StorageFailed
            The job is unchanged then.
        """
        write_json(files / RESULT_FILE, result)
        with self._removing():
            if not self.runs(job_id, run):
                return False
            try:
                self._trash.put(self.results_folder(job_id))
                files.rename(self.results_folder(job_id))
            except OSError as error:
                raise storage_failed(error) from error
            done = replace(self._jobs[job_id], status="finished", progress=100.0, duration_s=duration_s)
            self._store(replace(done, updated=timestamp()))
            return True

    def fail(self, job_id: str, run: int, code: str, message: str) -> None:
        """End a run with an error, which also becomes a log entry."""
        with self._removing():
            if not self.runs(job_id, run):
                return
            self.log(job_id, run, "error", message, code=code)
            self._trash.put(self.results_folder(job_id))
            error = {"code": code, "message": message}
            # A file that still says `running` on a full disk is taken for `error` by the next start.
            self._adopt(replace(self._jobs[job_id], status="error", last_error=error, updated=timestamp()))

    def cancel(self, job_id: str) -> None:
        """Take a job out of the queue (`created` again), or stop it at its next tile (`canceled`).

        The API would set a stopped job without partial results to `created` too, but clients that wait for a
        job take `created` for a job that is still to come.

        Raises
        ------
        UnknownJob
        """
        with self._lock:
            job = self._find(job_id)
            if job.locked:
                self.log(job_id, job.run, "info", "the job was cancelled by its user")
                status: Status = "canceled" if job.status == "running" else "created"
                self._adopt(replace(job, status=status, updated=timestamp()))

    def drop_tiles(self, job_id: str, run: int) -> None:
        """Remove the finished tiles of a run, unless the run is to go on with them."""
        with self._removing():
            job = self._jobs.get(job_id)
            if job is None:
                self._trash.put(self.home / job_id)  # it was deleted while it ran
            elif job.run != run or job.status != "queued":
                self._trash.put(self.tiles_folder(job_id))

    # --- logs and files

    def log(self, job_id: str, run: int, level: str, message: str, *, code: str = "", time: str = "") -> None:
        """Add an entry to the log of a job, if it is severe enough for the job's `log_level`."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and job.run == run and job_logs.is_at_least(level, job.log_level):
                path = self.home / job_id / LOG
                job_logs.append(path, level, message, code=code or None, time=time or None)

    def folder(self, job_id: str) -> Path:
        """Where everything of a job is; it need not be there any more."""
        return self.home / job_id

    def log_file(self, job_id: str) -> Path:
        """Where the log of a job is; raises UnknownJob."""
        return self._path(job_id, LOG)

    def results_folder(self, job_id: str) -> Path:
        """Where the results of a job are; raises UnknownJob."""
        return self._path(job_id, RESULTS)

    def tiles_folder(self, job_id: str) -> Path:
        """Where the finished tiles of a job are while it runs; raises UnknownJob."""
        return self._path(job_id, TILES)

    def _path(self, job_id: str, name: str) -> Path:
        with self._lock:
            return self.folder(self._find(job_id).id) / name

    def _find(self, job_id: str) -> Job:
        # Ids are only ever looked up here, so that no text of a client becomes a path.
        job = self._jobs.get(job_id)
        if job is None:
            raise _unknown(job_id)
        return job

    def _require_turn(self, owner: str) -> None:
        most = self._limits.queued_per_user
        if sum(job.locked for job in self._jobs.values() if job.owner == owner) >= most:
            raise TooManyRequests(f"a user may have {most} jobs queued or running here; wait for one to end")

    def _require_room(self, new: Job) -> None:
        most = self._limits.job_bytes_per_user
        others = [job for job in self._jobs.values() if job.owner == new.owner and job.id != new.id]
        if new.size + sum(job.size for job in others) > most:
            raise StorageQuotaExceeded(
                f"the processes and texts of a user's batch jobs may take {most} bytes here together; delete "
                "some jobs first, or put large values into a file or package"
            )

    def _bequeath(self, heir: str | None) -> None:
        orphans = [job for job in self._jobs.values() if not job.owner]
        if orphans and heir is None:
            logger.warning(
                "%d jobs of an earlier version belong to nobody; started once with one account alone, the "
                "server gives them to it",
                len(orphans),
            )
        for job in orphans if heir else ():
            self._adopt(replace(job, owner=heir or ""))

    def _store(self, job: Job) -> None:
        """Write, then believe: nothing has changed when the disk is full."""
        self._save(job)
        self._jobs[job.id] = job

    def _adopt(self, job: Job) -> None:
        """Believe, then write: what has happened has happened, also on a full disk."""
        self._jobs[job.id] = job
        try:
            self._save(job)
        except StorageFailed:
            logger.exception("the status %r of job %s could not be stored", job.status, job.id)

    def _save(self, job: Job) -> None:
        save_job(self.home, job)


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no batch job {job_id[:80]!r}; GET /jobs lists them")
