"""Decides where a UDF runs. What this package ships runs right here and keeps its weights; any other code
runs in a process of its own, which is kept for the next chunk and can be killed."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

import xarray as xr

from openeo_udf_fusion.errors import Cancelled, InvalidParameter, UdfFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.udf.code import LogEntry, has_apply_metadata, promised_bands, run_code
from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.output import LEVELS, MAX_LINE, Collected, inspected
from openeo_udf_fusion.local.udf.pool import Processes
from openeo_udf_fusion.local.udf.process import error_of
from openeo_udf_fusion.local.udf.requirements import check_requirements
from openeo_udf_fusion.local.udf.wire import POLL_S, Garbled, Unsendable, Value, pack_cube, unpack_cube
from openeo_udf_fusion.local.udf.worker import now
from openeo_udf_fusion.udfs import is_shipped

MAX_LINES = 10_000
"""Of what all calls of a run print and log."""

# A model uses every core by itself: two calls at once would only take turns, with twice the memory.
_ONE_AT_A_TIME = threading.Lock()


class UdfRunner:
    """Runs the UDFs of one run of a graph.

    Parameters
    ----------
    log
        takes what a UDF prints, logs and inspects, `MAX_LINES` at most.
    cancelled
        asked while a UDF runs in a process of its own; a true answer kills it.
    confinement
        what such a process may use; by default there are no limits.
    owner
        whose run it is: code of another owner never runs in the same process.
    """

    def __init__(
        self,
        log: Callable[[LogEntry], None],
        cancelled: Callable[[], bool],
        confinement: Confinement | None = None,
        owner: str = "",
    ) -> None:
        self.log = log
        self._cancelled = cancelled
        self._stopped = threading.Event()
        self._processes = Processes(confinement or Confinement(), owner)
        self._lines_left = MAX_LINES
        self._said_here: set[tuple[str, str]] = set()

    def cancelled(self) -> bool:
        """Whether nobody waits for a UDF any more."""
        return self._stopped.is_set() or self._cancelled()

    def stop(self) -> None:
        """End the UDFs that are running, and any to come."""
        self._stopped.set()

    def close(self) -> None:
        """End the processes of this run, when all its UDFs have."""
        self._processes.close()

    def run(self, code: str, cube: xr.DataArray, context: Json, epsg: int | None) -> xr.DataArray:
        """Return what the UDF in `code` makes of `cube`.

        Raises
        ------
        UdfFailed
            with its traceback, or the limit that it hit.
        Cancelled
        """
        with self._turn(code):
            if is_shipped(code):
                return self._run_here(code, cube, context, epsg)
            chunk, _ = pack_cube(cube)
            result = self._ask(
                {"function": "run_code", "code": code, "cube": chunk, "context": context, "epsg": epsg}
            )
            try:
                return unpack_cube(result)
            except Garbled as error:
                raise UdfFailed(
                    f"the process of the UDF sent something that is no result: {error}"
                ) from error

    def promised_bands(self, code: str, bands: Sequence[str], context: Json) -> list[str] | None:
        """Band labels that the code's `apply_metadata` promises; None without such a function."""
        if not has_apply_metadata(code):
            return None
        with self._turn(code):
            if is_shipped(code):
                return promised_bands(code, bands, context)
            found = self._ask(
                {"function": "promised_bands", "code": code, "bands": list(bands), "context": context}
            )
            if not isinstance(found, list):
                raise UdfFailed("the process of the UDF sent something that is no list of bands")
            return [str(band) for band in found]

    def _run_here(self, code: str, cube: xr.DataArray, context: Json, epsg: int | None) -> xr.DataArray:
        log = Collected()
        try:
            with inspected(log):
                return run_code(code, cube, context, epsg)
        finally:
            # What this package's own UDFs say of every tile, a run says once.
            said = {(entry.level, entry.message): entry for entry in _entries({"log": log.entries()})}
            self._say([entry for key, entry in said.items() if key not in self._said_here])
            self._said_here |= said.keys()

    @contextmanager
    def _turn(self, code: str) -> Iterator[None]:
        _check_once(code)
        while not _ONE_AT_A_TIME.acquire(timeout=POLL_S):
            if self.cancelled():
                raise Cancelled("the run was cancelled while it waited for another UDF")
        try:
            yield
        finally:
            _ONE_AT_A_TIME.release()

    def _ask(self, request: Value) -> Value:
        process = self._processes.take()
        try:
            answer = process.ask(request, self.cancelled)
            entries, error = _entries(answer), answer["error"]
        except Unsendable as error:
            process.kill()
            raise InvalidParameter(f"the context of the UDF cannot be sent to it: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            process.kill()
            raise UdfFailed("the process of the UDF sent something that is no answer") from error
        except BaseException:  # Ctrl-C does not reach a session of its own
            process.kill()
            raise
        self._processes.give_back(process)
        self._say(entries)
        if error is not None:
            raise error_of(error)
        return answer["result"]

    def _say(self, entries: list[LogEntry]) -> None:
        for entry in entries[: max(self._lines_left, 0)]:
            self.log(entry)
        if 0 <= self._lines_left < len(entries):
            self.log(
                LogEntry(
                    "warning", f"UDFs have logged {MAX_LINES} lines in this run; no more are kept", now()
                )
            )
        self._lines_left -= len(entries)


def _entries(answer: Value) -> list[LogEntry]:
    """The log of an answer, whose every part is checked."""
    return [
        LogEntry(level if level in LEVELS else "info", str(message)[:MAX_LINE], _moment(time))
        for level, message, time in answer["log"]
    ]


def _moment(time: Value) -> datetime:
    moment = datetime.fromisoformat(time)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@lru_cache(maxsize=100)
def _check_once(code: str) -> None:
    check_requirements(code)
