"""Which process runs whose UDF: one that has run a user's code runs no other user's, for it may remember.

On a server every run has a process of its own, and a fresh one waits for the next run, since starting takes a
second or two. Elsewhere there is one user, whose processes are kept for the next run.
"""

import atexit
import threading
import weakref

from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.process import Process

KEPT = 2

_lock = threading.Lock()
_idle: list[tuple[str, Process]] = []
_fresh: dict[Confinement, Process] = {}


class Processes:
    """The processes of one run.

    Parameters
    ----------
    confinement
        What each of them may use.
    owner
        Whose run it is.
    """

    def __init__(self, confinement: Confinement, owner: str) -> None:
        self._confinement = confinement
        self._owner = owner
        self._own: list[Process] = []
        self._end = weakref.finalize(self, _kill_all, self._own)

    def take(self) -> Process:
        """One that nobody uses; give it back, or kill it."""
        process = self._taken_from_own() or self._taken_from_shared() or _taken_from_fresh(self._confinement)
        return process or Process(self._confinement)

    def give_back(self, process: Process) -> None:
        """Keep a process that has answered."""
        if not self._end.alive:
            process.kill()
        elif self._confinement.shared:
            _share(self._owner, process)
        else:
            self._own.append(process)

    def close(self) -> None:
        """End those that are of this run alone."""
        self._end()

    def _taken_from_own(self) -> Process | None:
        return _alive(self._own)

    def _taken_from_shared(self) -> Process | None:
        if not self._confinement.shared:
            return None
        with _lock:
            ours = [(o, p) for o, p in _idle if o == self._owner and p.confinement == self._confinement]
            for pair in ours[-1:]:
                _idle.remove(pair)
        return _alive([process for _, process in ours[-1:]])


def _taken_from_fresh(confinement: Confinement) -> Process | None:
    if confinement.shared:
        return None
    with _lock:
        waiting = [_fresh.pop(confinement)] if confinement in _fresh else []
        _fresh[confinement] = Process(confinement)
    return _alive(waiting)


def _share(owner: str, process: Process) -> None:
    with _lock:
        _idle.append((owner, process))
        spare = [_idle.pop(0)[1] for _ in range(len(_idle) - KEPT)]
    _kill_all(spare)


def _alive(processes: list[Process]) -> Process | None:
    while processes:
        process = processes.pop()
        if process.is_alive():
            return process
        process.kill()
    return None


def _kill_all(processes: list[Process]) -> None:
    while processes:
        processes.pop().kill()


@atexit.register
def close_processes() -> None:
    """End every process that waits for a run."""
    with _lock:
        waiting = [process for _, process in _idle] + list(_fresh.values())
        _idle.clear()
        _fresh.clear()
    _kill_all(waiting)
