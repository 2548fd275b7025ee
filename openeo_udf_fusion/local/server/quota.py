"""How much of the disk the server, and each of its users, may fill."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from openeo_udf_fusion.local.server.errors import StorageQuotaExceeded
from openeo_udf_fusion.local.server.jobs import TILES, Job, JobStore

logger = logging.getLogger(__name__)

CHECK_S = 1.0
"""Time between two looks at the disk while a run writes; more where a look takes long, see `_SHARE`."""
KEPT_S = 5.0
"""How long `last_used` is good for; the same holds."""
_SHARE = 10
"""Looking at the disk takes at most one part in so many of the time."""
_NAMED_JOBS = 3


class DiskQuota:
    """Adds up files and refuses more.

    Parameters
    ----------
    state
        The folder that counts as a whole: jobs, results, what is being written, stored processes.
    jobs
        Whose jobs are whose.
    total_bytes, user_bytes
        What all may take together, and what each user may with jobs and results; None: no limit.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        state: Path,
        jobs: JobStore,
        total_bytes: int | None = None,
        user_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._jobs = jobs
        self.total_bytes = total_bytes
        self.user_bytes = user_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._writing: dict[Path, str] = {}
        # Results do not change any more: what a finished job takes is looked at once.
        self._finished: dict[str, tuple[str, int]] = {}
        self._last: int | None = None
        self._look_after = -float("inf")

    def used(self) -> int:
        """Bytes of all files of the server."""
        finished = {job.id: job for job in self._jobs.list() if job.status == "finished"}
        with self._lock:
            self._finished = {id: known for id, known in self._finished.items() if id in finished}
        total = 0
        for entry in _entries(self._state):
            if Path(entry) != self._jobs.home:
                total += _stored(entry)
                continue
            for inner in _entries(self._jobs.home):
                job = finished.get(inner.name)
                total += _stored(inner) if job is None else self._size_of_job(job)
        return total

    def last_used(self) -> int | None:
        """What `used` was a moment ago, None at first; it never waits: the disk is looked at meanwhile."""
        with self._lock:
            if self._clock() >= self._look_after:
                self._look_after = float("inf")  # one at a time
                threading.Thread(target=self._look, name="openeo-disk-use", daemon=True).start()
            return self._last

    def _look(self) -> None:
        begin = self._clock()
        try:
            self._last = self.used()
        finally:
            end = self._clock()
            self._look_after = end + max(KEPT_S, _SHARE * (end - begin))

    def used_by(self, user: str) -> int:
        """Bytes of a user's jobs, their logs and results, and of what the user's runs write or have sent."""
        with self._lock:
            self._writing = {folder: owner for folder, owner in self._writing.items() if folder.exists()}
            folders = [folder for folder, owner in self._writing.items() if owner == user]
        return sum(size for _, size in self._jobs_of(user)) + sum(map(size_of, folders))

    def require_room(self, user: str, writing: Path | None = None) -> None:
        """Raise StorageQuotaExceeded when a user, or all together, have reached what is granted.

        Parameters
        ----------
        user
            Who wants to store something.
        writing
            The folder of a run of this user that is no job's yet; it counts for as long as it is there.
        """
        if writing is not None:
            with self._lock:
                self._writing[writing] = user
        if self.user_bytes is not None:
            used = self.used_by(user)
            if used >= self.user_bytes:
                raise StorageQuotaExceeded(self._advice(user, "your jobs take", used, self.user_bytes))
        if self.total_bytes is not None:
            used = self.used()
            if used >= self.total_bytes:
                logger.warning("the disk quota is reached: %s of %s", _size(used), _size(self.total_bytes))
                raise StorageQuotaExceeded(
                    self._advice(user, "the jobs of this server take", used, self.total_bytes)
                )

    def guard(self, user: str, writing: Path) -> Callable[[], None]:
        """What a run calls after every tile: `require_room`, but for looks that follow too soon."""
        look_after = self._clock()

        def check() -> None:
            nonlocal look_after
            begin = self._clock()
            if begin >= look_after:
                self.require_room(user, writing)
                end = self._clock()
                look_after = end + max(CHECK_S, _SHARE * (end - begin))

        return check

    def _advice(self, user: str, whose: str, used: int, granted: int) -> str:
        largest = sorted(self._jobs_of(user), key=lambda pair: -pair[1])[:_NAMED_JOBS]
        named = ", ".join(f"{job} ({_size(size)})" for job, size in largest if size)
        own = f"; your largest are {named}" if named else ""
        return (
            f"{whose} {_size(used)}, {_size(granted)} are granted: nothing of this was kept. Delete jobs "
            f"that you no longer need (DELETE /jobs/{{job_id}}){own}; then try it again"
        )

    def _jobs_of(self, user: str) -> list[tuple[str, int]]:
        return [(job.id, self._size_of_job(job)) for job in self._jobs.list(user)]

    def _size_of_job(self, job: Job) -> int:
        folder = self._jobs.folder(job.id)
        # Until its tiles are gone, a finished job takes more than it will.
        if job.status != "finished" or (folder / TILES).exists():
            return size_of(folder)
        updated, size = self._finished.get(job.id, ("", 0))
        if updated != job.updated:
            size = size_of(folder)
            with self._lock:
                self._finished[job.id] = job.updated, size
        return size


def size_of(folder: Path) -> int:
    """Bytes on the disk of all files below a folder; what goes away meanwhile does not count."""
    return sum(map(_stored, _entries(folder)))


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _stored(entry: "os.DirEntry[str]") -> int:
    """Bytes of a file, or of all files below a folder."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return size_of(Path(entry.path))
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    # Room that a file has reserved counts, a hole in it does not.
    return found.st_blocks * 512


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
