"""The log of one run of a job: a file of JSON lines.

The id of an entry is where its line ends, in bytes: whoever asks for what comes after it gets that without
what comes before being read.
"""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.errors import InvalidRequest

logger = logging.getLogger(__name__)

LEVELS = ("debug", "info", "warning", "error")

MOST_BYTES = 8 * 2**20
"""Of one log; then errors alone are added, for another `_RESERVE`."""
_RESERVE = 2**20
MOST_CHARACTERS = 32_768
"""Of one message."""
PAGE_BYTES = 2**20
"""Of the entries in one answer, whatever number of them is asked for."""


def timestamp(moment: datetime | None = None) -> str:
    """A moment in UTC as RFC 3339, now by default."""
    moment = datetime.now(UTC) if moment is None else moment
    # A time without a zone is one of UTC here.
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_at_least(level: str, minimum: str) -> bool:
    """Whether `level` is as severe as `minimum`."""
    return LEVELS.index(level) >= LEVELS.index(minimum)


def append(path: Path, level: str, message: str, *, code: str | None = None, time: str | None = None) -> None:
    """Add one entry; a disk that is full costs the entry, not the job, and so does a log that is."""
    entry: Json = {"level": level, "message": _short(message), "time": time or timestamp()}
    if code:
        entry["code"] = code
    try:
        with path.open("ab") as file:
            line, size = _line(entry), file.tell()
            if size + len(line) <= MOST_BYTES + (_RESERVE if level == "error" else 0):
                file.write(line)
            elif size < MOST_BYTES:
                # Filled up, so that it is said once.
                file.write(_line(_full(entry["time"])).rstrip(b"\n").ljust(MOST_BYTES - size) + b"\n")
    except OSError as error:
        logger.error("a log entry of the job %s is lost: %s; it was: %s", path.parent.name, error, message)


def read(
    path: Path, *, offset: str = "", level: str = "debug", limit: int | None = None
) -> tuple[list[Json], bool]:
    """Entries after the one with the id `offset`, and whether there are more than fit into one answer.

    Parameters
    ----------
    offset
        Empty: from the first one.
    level
        The least severe level.
    limit
        The most entries; an answer has about `PAGE_BYTES` of them at most.

    Raises
    ------
    InvalidRequest
        When `offset` is no id of a log entry.
    """
    if offset and not (offset.isascii() and offset.isdigit() and len(offset) < 16):
        raise _no_id(offset)
    entries: list[Json] = []
    taken = 0
    for end, line in _lines(path, int(offset or 0)):
        entry = _decode(line)
        if entry is None or not is_at_least(entry["level"], level):
            continue
        if entries and (len(entries) == limit or taken + len(line) > PAGE_BYTES):
            return entries, True
        entries.append({"id": str(end)} | entry)
        taken += len(line)
    return entries, False


def _lines(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines after a byte, each with where it ends."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        # An id of an earlier run's log may be beyond this one's end: nothing comes after it.
        if start:
            file.seek(start - 1)
            if file.read(1) not in (b"\n", b""):
                raise _no_id(str(start))
        end = start
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                yield end, line


def _no_id(offset: str) -> InvalidRequest:
    return InvalidRequest(f"offset must be the id of a log entry, got {offset[:40]!r}")


def _line(entry: Json) -> bytes:
    return json.dumps(entry).encode("ascii") + b"\n"


def _short(message: str) -> str:
    left_out = len(message) - MOST_CHARACTERS
    return message if left_out <= 0 else f"{message[:MOST_CHARACTERS]} ({left_out} more characters)"


def _full(time: str) -> Json:
    text = f"the log has the {MOST_BYTES >> 20} MiB that one may have: from here on it has errors alone"
    return {"level": "warning", "message": text, "time": time}


def _decode(line: bytes) -> Json | None:
    # One line may be half a line after a power cut.
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("level") in LEVELS else None
