"""The separate process that users' UDFs run in, seen from the server: started, asked, watched, ended."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from openeo_udf_fusion.errors import Cancelled, InvalidCube, UdfFailed
from openeo_udf_fusion.local.udf.confinement import Confinement, environment
from openeo_udf_fusion.local.udf.wire import Channel, Garbled, Value

# Not `python -m`: a UDF could import the module anew, beside the one that runs it.
START = "from openeo_udf_fusion.local.udf.worker import main; main()"
START_TIMEOUT_S = 120.0
WATCH_S = 0.5
KEPT_TAIL_BYTES = 4000
MAX_MESSAGE = 25_000
LIBRARIES_BYTES = 512 * 2**20
"""What the libraries of a process may hold on top of its memory limit: they are mapped, not allocated."""
RESULT_BYTES = 256 * 2**20
"""Of a chunk's result, whatever the size of the chunk."""
RESULT_RATIO = 64
"""Bytes of a result per byte of its chunk; a UDF that refines 4 x 4 pixels, as float64, has 32."""

_ADVICE = "use smaller chunks, or ask the operator of the backend for more"

# What a user's code may claim to have raised.
_ERRORS: dict[str, type[UdfFailed] | type[InvalidCube]] = {"UdfFailed": UdfFailed, "InvalidCube": InvalidCube}


class Process:
    """A process that runs UDFs, one at a time.

    A plain subprocess: multiprocessing would import the main module again, which runs a user's script
    that has no `if __name__ == "__main__"`.
    """

    def __init__(self, confinement: Confinement) -> None:
        self.confinement = confinement
        self._folder = Path(tempfile.mkdtemp(prefix="openeo-udf-"))
        ours, theirs = socket.socketpair()
        self._ours = ours
        self._check: Callable[[], None] = self._check_alive
        self._channel = Channel(ours, lambda: self._check())
        self._seen: set[psutil.Process] = set()
        self._ready = False
        wrapper = [part.replace("{folder}", str(self._folder)) for part in confinement.wrapper]
        try:
            self._process = subprocess.Popen(
                [*wrapper, sys.executable, "-P", "-c", START, str(theirs.fileno()), confinement.to_json()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(self._folder),
                cwd=self._folder,
                start_new_session=True,  # so that what a UDF starts ends with it
            )
        except OSError as error:
            ours.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise UdfFailed(f"no process could be started for the UDF: {error.strerror}") from error
        finally:
            theirs.close()
        self._tail = _Tail(self._process.stdout)

    def ask(self, request: Value, cancelled: Callable[[], bool]) -> Value:
        """Send a request and wait for its answer; after any error the process is of no further use.

        Raises
        ------
        Cancelled
            `cancelled` said so.
        UdfFailed
            The process died, took too long or too much memory, or answered with something else.
        """
        watch = _Watch(self, cancelled)
        try:
            self._wait_for_start(cancelled)
            self._check = watch.check
            sent = self._channel.send(request)
            answer = self._channel.receive(self._most_bytes(sent))
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise UdfFailed(self._last_words()) from error
        except Garbled as error:
            raise UdfFailed(
                f"the process of the UDF sent something that is no result ({error}). A result may have "
                f"{RESULT_BYTES >> 20} MiB, or {RESULT_RATIO} times the bytes of its chunk; nothing but "
                "apply_datacube's return value may be sent"
            ) from error
        finally:
            self._check = self._check_alive
        return answer

    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, whatever a UDF started in it, and its files."""
        self.look_for_children()
        # Once it was waited for, a process of its number is somebody else's, and so is the group; while
        # others are left in its own group the number is not given away.
        if self.is_alive() or not psutil.pid_exists(self._process.pid):
            with suppress(ProcessLookupError, PermissionError):  # it has ended already
                os.killpg(self._process.pid, signal.SIGKILL)
        for child in self._seen:
            with suppress(psutil.Error):
                child.kill()
        self._process.wait()
        self._ours.close()
        self._tail.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def look_for_children(self) -> list[psutil.Process]:
        """The process and all below it; those that leave it later are remembered."""
        if self.is_alive():
            with suppress(psutil.Error):
                process = psutil.Process(self._process.pid)
                self._seen.update(process.children(recursive=True))
                return [process, *self._seen]
        return list(self._seen)

    def _wait_for_start(self, cancelled: Callable[[], bool]) -> None:
        """The imports do not count for the time of a call."""
        if not self._ready:
            self._check = _Watch(self, cancelled, START_TIMEOUT_S).check
            self._ready = self._channel.receive(0) == "ready"

    def _most_bytes(self, sent: int) -> int:
        allowed = max(RESULT_BYTES, RESULT_RATIO * sent)
        memory = self.confinement.memory_bytes
        return allowed if memory is None else min(allowed, memory)

    def _check_alive(self) -> None:
        # What a UDF started may hold the other end of the pipe open for longer than itself.
        if not self.is_alive():
            raise EOFError

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):  # it closed the pipe and goes on
            self._process.wait(1)
        code = self._process.returncode
        tail = self._tail.text()
        said = f"; its last words:\n{tail}" if tail else ""
        return f"the process of the UDF ended with exit code {code} ({self._reason(code)}){said}"

    def _reason(self, code: int | None) -> str:
        limits = self.confinement
        if code == -signal.SIGXCPU:
            return f"it had used the {limits.cpu_s:g} s of CPU time that one call may take"
        if code == -signal.SIGKILL:
            return "it was killed, often for lack of memory"
        if code is not None and code < 0 and limits.memory_bytes is not None:
            return f"often for lack of memory: {_mib(limits.memory_bytes)} are allowed, option --udf-memory"
        return "the code of the UDF, or a library that it uses, ended it"


class _Watch:
    """Asks, while a call runs, whether it may go on."""

    def __init__(self, process: Process, cancelled: Callable[[], bool], limit_s: float | None = None) -> None:
        self._process = process
        self._cancelled = cancelled
        self._limit_s = process.confinement.timeout_s if limit_s is None else limit_s
        self._begin = time.monotonic()
        self._looked = self._begin

    def check(self) -> None:
        """Raise Cancelled or UdfFailed (a limit), or EOFError (it is gone)."""
        if self._cancelled():
            raise Cancelled("the run was cancelled while a UDF was running")
        now = time.monotonic()
        if self._limit_s is not None and now - self._begin > self._limit_s:
            raise UdfFailed(
                f"the UDF took longer than the {self._limit_s:g} s that one call (one chunk) may take, and "
                f"was ended; {_ADVICE} (option --udf-timeout)"
            )
        if now - self._looked > WATCH_S:
            self._looked = now
            self._check_memory()
        if not self._process.is_alive():
            raise EOFError

    def _check_memory(self) -> None:
        allowed = self._process.confinement.memory_bytes
        processes = self._process.look_for_children()
        if allowed is None:
            return
        held = 0
        for process in processes:
            with suppress(psutil.Error):
                held += process.memory_info().rss
        if held > allowed + LIBRARIES_BYTES:
            raise UdfFailed(
                f"the UDF and what it started held {_mib(held)} of memory, {_mib(allowed)} are allowed; "
                f"it was ended; {_ADVICE} (option --udf-memory)"
            )


class _Tail:
    """Reads a stream to its end and keeps the last of it: nobody's output fills the disk."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._kept: deque[bytes] = deque(maxlen=2)
        self._thread = threading.Thread(target=self._read, name="udf-output", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The last words."""
        self._thread.join(1)  # what a dead process wrote is read within a moment
        return b"".join(self._kept)[-KEPT_TAIL_BYTES:].decode(errors="replace").strip()

    def close(self) -> None:
        """Let go of the stream; whoever writes to it still gets an error."""
        self._thread.join(1)
        if self._stream is not None and not self._thread.is_alive():
            self._stream.close()

    def _read(self) -> None:
        if self._stream is not None:
            with suppress(OSError, ValueError):
                while part := os.read(self._stream.fileno(), KEPT_TAIL_BYTES):
                    self._kept.append(part)


def error_of(described: Value) -> UdfFailed | InvalidCube:
    """The error that an answer tells of."""
    if not isinstance(described, dict):
        return UdfFailed("the UDF failed without saying why")
    kind = _ERRORS.get(str(described.get("kind")), UdfFailed)
    return kind(str(described.get("message"))[:MAX_MESSAGE])


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
