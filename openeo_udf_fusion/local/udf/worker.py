"""The process that runs users' UDFs: takes requests from a pipe, answers each with a result and its log.

Started by `local/udf/process.py`, which calls `main` in a fresh interpreter.
"""

import os
import shutil
import socket
import sys
import threading
import time
from datetime import UTC, datetime

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.local.udf.code import promised_bands, run_code
from openeo_udf_fusion.local.udf.confinement import Confinement, allow_cpu_time, confine
from openeo_udf_fusion.local.udf.output import Collected, collected
from openeo_udf_fusion.local.udf.wire import Channel, Unsendable, Value, pack_cube, unpack_cube

PARENT_POLL_S = 1.0
MAX_MESSAGE = 20_000
_NO_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "MemoryError")


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def answer(request: Value, limits: Confinement) -> Value:
    """Run one request, collecting stdout, stderr and the log."""
    log = Collected()
    result, error = None, None
    with collected(log):
        try:
            result = _run(request, log)
        except (FusionError, MemoryError, Unsendable) as raised:
            # Its cause may be of a class that only the UDF knows: it stays here.
            error = {"kind": type(raised).__name__, "message": _message(raised, limits)}
    return {"result": result, "error": error, "log": log.entries()}


def _run(request: Value, log: Collected) -> Value:
    if request["function"] == "promised_bands":
        return promised_bands(request["code"], request["bands"], request["context"])
    cube = run_code(request["code"], unpack_cube(request["cube"]), request["context"], request["epsg"])
    try:
        packed, left_out = pack_cube(cube)
    except Unsendable as error:
        raise Unsendable(f"the UDF returned {error}") from error
    if left_out:
        log.add("warning", f"coordinates or attributes of a UDF's result are left out: {', '.join(left_out)}")
    return packed


def _message(error: BaseException, limits: Confinement) -> str:
    text = str(error) or type(error).__name__
    if len(text) > MAX_MESSAGE:
        text = f"{text[: MAX_MESSAGE // 2]}\n...\n{text[-MAX_MESSAGE // 2 :]}"
    if limits.memory_bytes is not None and any(words in text for words in _NO_MEMORY):
        text += (
            f"\nA UDF may use {limits.memory_bytes / 2**20:.0f} MiB of memory here: use smaller chunks, or "
            "ask the operator of the backend for more (option --udf-memory)"
        )
    return text


def serve(channel: Channel, limits: Confinement) -> None:
    """Answer requests until the other side closes the pipe."""
    channel.send("ready")
    while True:
        try:
            request = channel.receive()
        except EOFError:
            return
        allow_cpu_time(limits)
        try:
            channel.send(answer(request, limits))
        except MemoryError as error:
            refused = {"kind": "UdfFailed", "message": f"the result is too large: {_message(error, limits)}"}
            channel.send({"result": None, "error": refused, "log": []})


def _end_with(parent: int) -> None:
    """Leave as soon as the parent is gone, however long the UDF would go on; it had no time to kill us."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Serve the pipe whose file descriptor is the first argument, within the limits of the second."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    limits = Confinement.from_json(sys.argv[2])
    confine(limits)
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(Channel(end), limits)
