"""The log of one job: a file of JSON lines, whose line numbers are the ids of the entries."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from openeo_udf_fusion.errors import InvalidRequest
from openeo_udf_fusion.jsontypes import Json

logger = logging.getLogger(__name__)

LEVELS = ("debug", "info", "warning", "error")


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
    """Add one entry; a disk that is full costs the entry, not the job."""
    entry: Json = {"level": level, "message": message, "time": time or timestamp()}
    if code:
        entry["code"] = code
    try:
        with path.open("a", encoding="ascii") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        logger.error("a log entry of the job %s is lost: %s; it was: %s", path.parent.name, error, message)


def read(
    path: Path, *, offset: str = "", level: str = "debug", limit: int | None = None
) -> tuple[list[Json], bool]:
    """Entries after the one with the id `offset`, and whether `limit` cut some off.

    Raises
    ------
    InvalidRequest
        When `offset` is no id of a log entry.
    """
    if offset and not (offset.isascii() and offset.isdigit() and len(offset) < 16):
        raise InvalidRequest(f"offset must be the id of a log entry, got {offset[:40]!r}")
    first = int(offset or 0)
    entries: list[Json] = []
    for number, line in enumerate(_lines(path), start=1):
        entry = _decode(line)
        if number <= first or entry is None or not is_at_least(entry["level"], level):
            continue
        if limit is not None and len(entries) == limit:
            return entries, True
        entries.append({"id": str(number)} | entry)
    return entries, False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []


def _decode(line: str) -> Json | None:
    # The last line may be half a line after a power cut.
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("level") in LEVELS else None
