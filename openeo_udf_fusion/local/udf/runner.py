"""Decides where a UDF runs. What this package ships runs right here and keeps its weights; any other code
runs in a subprocess that is kept for the next chunk and can be killed."""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from multiprocessing import Pipe
from typing import Any

import xarray as xr

from openeo_udf_fusion.errors import Cancelled, UdfFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.udf.code import LogEntry, has_apply_metadata, promised_bands, run_code
from openeo_udf_fusion.local.udf.requirements import check_requirements
from openeo_udf_fusion.local.udf.worker import Answer, Request, now
from openeo_udf_fusion.udfs import is_shipped

# Not `python -m`: what is pickled would belong to a module __main__.
START = "from openeo_udf_fusion.local.udf.worker import main; main()"
POLL_SECONDS = 0.1
KEPT_WORKERS = 2

# A model uses every core by itself: two calls at once would only take turns, with twice the memory.
_ONE_AT_A_TIME = threading.Lock()

_HERE: dict[str, Callable[..., Any]] = {"run_code": run_code, "promised_bands": promised_bands}


class UdfRunner:
    """Runs the UDFs of one run of a graph.

    Parameters
    ----------
    log
        takes what a UDF prints, logs and inspects.
    cancelled
        asked while a UDF runs in a subprocess; a true answer kills it.
    """

    def __init__(self, log: Callable[[LogEntry], None], cancelled: Callable[[], bool]) -> None:
        self.log = log
        self._cancelled = cancelled
        self._stopped = threading.Event()

    def cancelled(self) -> bool:
        """Whether nobody waits for a UDF any more."""
        return self._stopped.is_set() or self._cancelled()

    def stop(self) -> None:
        """End the UDFs that are running, and any to come."""
        self._stopped.set()

    def run(self, code: str, cube: xr.DataArray, context: Json, epsg: int | None) -> xr.DataArray:
        """Return what the UDF in `code` makes of `cube`; raises UdfFailed with its traceback."""
        result: xr.DataArray = self._call("run_code", code, cube, context, epsg)
        return result

    def promised_bands(self, code: str, bands: Sequence[str], context: Json) -> list[str] | None:
        """Band labels that the code's `apply_metadata` promises; None without such a function."""
        if not has_apply_metadata(code):
            return None
        promised: list[str] | None = self._call("promised_bands", code, list(bands), context)
        return promised

    def _call(self, function: str, code: str, *arguments: Any) -> Any:  # noqa: ANN401 - either function's result
        _check_once(code)
        try:
            with self._turn():
                if is_shipped(code):
                    return _HERE[function](code, *arguments)
                return self._ask(Request(function, (code, *arguments)))
        except UdfFailed as error:
            self.log(LogEntry("error", str(error), now()))
            raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        while not _ONE_AT_A_TIME.acquire(timeout=POLL_SECONDS):
            if self.cancelled():
                raise Cancelled("the run was cancelled while it waited for another UDF")
        try:
            yield
        finally:
            _ONE_AT_A_TIME.release()

    def _ask(self, request: Request) -> Any:  # noqa: ANN401
        worker = _take_worker()
        try:
            answer = worker.ask(request, self.cancelled)
        except BaseException:  # Ctrl-C does not reach a session of its own
            worker.kill()
            raise
        _keep_worker(worker)
        for entry in answer.log:
            self.log(entry)
        if answer.error is not None:
            raise answer.error
        return answer.result


@lru_cache(maxsize=100)
def _check_once(code: str) -> None:
    check_requirements(code)


class Worker:
    """A subprocess that runs UDFs, one at a time.

    A plain subprocess: multiprocessing would import the main module again, which runs a user's script
    that has no `if __name__ == "__main__"`.
    """

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.stderr,
            stderr=self.stderr,
            start_new_session=True,  # so that what a UDF starts ends with it
        )
        theirs.close()

    def ask(self, request: Request, cancelled: Callable[[], bool]) -> Answer:
        """Send a request and wait for its answer.

        Raises
        ------
        Cancelled
            `cancelled` said so; the worker is of no further use.
        UdfFailed
            The subprocess died, of lacking memory say.
        """
        try:
            self.connection.send(request)
            while not self.connection.poll(POLL_SECONDS):
                if cancelled():
                    raise Cancelled("the run was cancelled while a UDF was running")
            answer: Answer = self.connection.recv()
            return answer
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise UdfFailed(self._last_words()) from error

    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the subprocess at once, and whatever a UDF started in it."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()
        self.stderr.close()

    def _last_words(self) -> str:
        code = self.process.wait()
        self.stderr.seek(0)
        tail = self.stderr.read().decode(errors="replace")[-2000:].strip()
        said = f"; its last words:\n{tail}" if tail else ""
        return (
            f"the subprocess of the UDF ended with exit code {code} "
            f"(-9: killed, often for lack of memory){said}"
        )


_idle: list[Worker] = []
_idle_lock = threading.Lock()


def _take_worker() -> Worker:
    with _idle_lock:
        while _idle:
            worker = _idle.pop()
            if worker.is_alive():
                return worker
            worker.kill()
    return Worker()


def _keep_worker(worker: Worker) -> None:
    with _idle_lock:
        if len(_idle) < KEPT_WORKERS:
            _idle.append(worker)
            return
    worker.kill()


@atexit.register
def close_workers() -> None:
    """End every idle subprocess."""
    with _idle_lock:
        while _idle:
            _idle.pop().kill()
