"""The queue of jobs: users take turns, and each one's jobs go in the order of their start."""

import threading
from collections import deque


class Turns:
    """Jobs that wait; from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[str]] = {}
        self._closed = False
        self._changed = threading.Condition()

    def put(self, job_id: str, owner: str) -> None:
        """Let a job wait behind the others of its owner."""
        with self._changed:
            self._waiting.setdefault(owner, deque()).append(job_id)
            self._changed.notify()

    def get(self) -> str | None:
        """The job whose turn it is, as soon as there is one; None when there are no turns any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            owner = next(iter(self._waiting))
            jobs = self._waiting.pop(owner)
            job_id = jobs.popleft()
            if jobs:
                # Behind everybody else who waits.
                self._waiting[owner] = jobs
            return job_id

    def close(self) -> None:
        """Give no more turns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
