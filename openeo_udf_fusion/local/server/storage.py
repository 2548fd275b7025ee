"""JSON files that are either the old one or the new one, never a half."""

import errno
import json
from pathlib import Path

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.local.writers.storage import replace_file


def write_json(path: Path, value: JsonValue) -> None:
    """Write `value` to `path` in one step.

    Raises
    ------
    StorageFailed
        When the file cannot be written; what was there before is untouched.
    """
    write_json_text(path, json.dumps(value))


def write_json_text(path: Path, text: str) -> None:
    """As `write_json`, of JSON that is text already, in ASCII."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [text.encode("ascii")])
    except OSError as error:
        raise storage_failed(error) from error


def read_json(path: Path) -> JsonValue:
    """Read a file that `write_json` wrote; OSError and ValueError say that there is none."""
    return json.loads(path.read_text(encoding="ascii"))


def storage_failed(error: OSError) -> StorageFailed:
    """The error for users, without the server's paths."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "the disk of the server is full" if full else (error.strerror or type(error).__name__)
    return StorageFailed(f"the server could not store files: {reason}; nothing half-written was kept")
