"""How much of the disk the server, and each of its users, may fill."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from openeo_udf_fusion.errors import StorageQuotaExceeded
from openeo_udf_fusion.local.server.jobs import JobStore

logger = logging.getLogger(__name__)

CHECK_S = 1.0
"""Time between two looks at the disk while a run writes."""
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

    def used(self) -> int:
        """Bytes of all files of the server."""
        return size_of(self._state)

    def used_by(self, user: str) -> int:
        """Bytes of a user's jobs, their logs and results."""
        return sum(size for _, size in self._jobs_of(user))

    def require_room(self, user: str, writing: Path | None = None) -> None:
        """Raise StorageQuotaExceeded when a user, or all together, have reached what is granted.

        Parameters
        ----------
        user
            Who wants to store something.
        writing
            The folder of a run of this user that is no job's yet.
        """
        if self.user_bytes is not None:
            used = self.used_by(user) + (size_of(writing) if writing else 0)
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
        looked = -CHECK_S + self._clock()

        def check() -> None:
            nonlocal looked
            if self._clock() - looked >= CHECK_S:
                self.require_room(user, writing)
                looked = self._clock()

        return check

    def _advice(self, user: str, whose: str, used: int, granted: int) -> str:
        largest = sorted(self._jobs_of(user), key=lambda pair: -pair[1])[:_NAMED_JOBS]
        named = ", ".join(f"{job} ({_size(size)})" for job, size in largest if size)
        own = f"; your largest are {named}" if named else ""
        return (
            f"{whose} {_size(used)}, {_size(granted)} are granted: nothing of this run was kept. Delete jobs "
            f"that you no longer need (DELETE /jobs/{{job_id}}){own}; then start it again"
        )

    def _jobs_of(self, user: str) -> list[tuple[str, int]]:
        return [(job.id, size_of(self._jobs.folder(job.id))) for job in self._jobs.list(user)]


def size_of(folder: Path) -> int:
    """Bytes on the disk of all files below a folder; what goes away meanwhile does not count."""
    total = 0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        total += _stored(entry)
        except OSError:
            continue
    return total


def _stored(entry: "os.DirEntry[str]") -> int:
    try:
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
