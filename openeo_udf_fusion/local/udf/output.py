"""Collects what a UDF prints and logs, as much as anybody would read."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import TextIOBase

LEVELS = ("debug", "info", "warning", "error")
MAX_ENTRIES = 1000
MAX_LINE = 10_000

_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning"}
_QUIET = ("openeo.udf.run_code",)  # says which function it found, at every call


class Collected:
    """The entries of one call: (level, message, time), `MAX_ENTRIES` of at most `MAX_LINE` characters."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, str]] = []
        self._dropped = 0

    def add(self, level: str, message: str) -> None:
        """Add an entry, or count it when there are too many."""
        if len(self._entries) >= MAX_ENTRIES:
            self._dropped += 1
            return
        if len(message) > MAX_LINE:
            message = f"{message[: MAX_LINE - 40]} ... ({len(message)} characters)"
        self._entries.append((level, message, datetime.now(UTC).isoformat()))

    def entries(self) -> list[tuple[str, str, str]]:
        """All of them, and how many there are no more."""
        if not self._dropped:
            return self._entries
        text = f"{self._dropped} more lines of this call were dropped"
        return [*self._entries, ("warning", text, datetime.now(UTC).isoformat())]


@contextmanager
def collected(log: Collected) -> Iterator[None]:
    """While it lasts, what goes to stdout, stderr and the logging module goes to `log`."""
    handler = _Handler(log)
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


@contextmanager
def inspected(log: Collected) -> Iterator[None]:
    """While it lasts, what goes to `openeo.udf.inspect` goes to `log`; all else in this process does not."""
    logger = logging.getLogger(os.environ.get("OPENEO_UDF_USER_LOGGER", "openeo.udf.debug.user"))
    handler, level = _Handler(log), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, log: Collected) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in _QUIET:
            return
        message = record.getMessage()
        data = getattr(record, "data", None)  # of openeo.udf.inspect
        if data is not None:
            message = f"{message} {data!r}".strip()
        self.log.add(_LEVELS.get(record.levelno, "error"), message)


class _Lines(TextIOBase):
    """A text stream that turns every line into an entry of the log."""

    def __init__(self, log: Collected, level: str) -> None:
        self.log, self.level, self.rest = log, level, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if line.strip():
                self.log.add(self.level, line)
        if len(self.rest) > MAX_LINE:
            self.finish()
        return len(text)

    def finish(self) -> None:
        if self.rest.strip():
            self.log.add(self.level, self.rest)
        self.rest = ""
