"""The subprocess that runs users' UDFs: takes requests from a pipe, answers each with a result and its log.

Started by `local/udf/runner.py`, which calls `main` in a fresh interpreter.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOBase
from multiprocessing.connection import Connection
from typing import Any

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.local.udf.code import LogEntry, promised_bands, run_code

_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning"}
PARENT_POLL_S = 1.0
_QUIET = ("openeo.udf.run_code",)  # says which function it found, at every call


@dataclass(frozen=True)
class Request:
    """Name of the function to call (`run_code` or `promised_bands`) and its arguments."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """A result or a deliberate error, and what the UDF wrote on the way."""

    result: Any
    error: FusionError | None
    log: list[LogEntry]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def answer(request: Request) -> Answer:
    """Run one request, collecting stdout, stderr and the log."""
    functions: dict[str, Callable[..., Any]] = {"run_code": run_code, "promised_bands": promised_bands}
    log: list[LogEntry] = []
    with _collected(log):
        try:
            return Answer(functions[request.function](*request.arguments), None, log)
        except FusionError as error:
            # Its cause may be of a class that only the UDF knows: it stays here.
            return Answer(None, type(error)(str(error)), log)


def serve(connection: Connection) -> None:
    """Answer requests until the other side closes the pipe."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(answer(request))


@contextmanager
def _collected(log: list[LogEntry]) -> Iterator[None]:
    handler = _Collector(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    streams = _Lines(log, "info"), _Lines(log, "warning")
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for stream in streams:
            stream.finish()


class _Collector(logging.Handler):
    def __init__(self, log: list[LogEntry]) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in _QUIET:
            return
        message = record.getMessage()
        data = getattr(record, "data", None)  # of openeo.udf.inspect
        if data is not None:
            message = f"{message} {data!r}".strip()
        self.log.append(LogEntry(_LEVELS.get(record.levelno, "error"), message, now()))


class _Lines(TextIOBase):
    """A text stream that turns every line into an entry of the log."""

    def __init__(self, log: list[LogEntry], level: str) -> None:
        self.log, self.level, self.rest = log, level, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        self.log.extend(LogEntry(self.level, line, now()) for line in lines if line.strip())
        return len(text)

    def finish(self) -> None:
        if self.rest.strip():
            self.log.append(LogEntry(self.level, self.rest, now()))
        self.rest = ""


def _end_with(parent: int) -> None:
    """Leave as soon as the parent is gone, however long the UDF would go on; it had no time to kill us."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    os._exit(1)


def main() -> None:
    """Serve the pipe whose file descriptor is the first argument."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    serve(Connection(int(sys.argv[1])))
