"""What the server writes to its log: lines for people, or one JSON object a line for machines.

Whatever is logged while a request is answered, or a job runs, carries the request's or the job's id and its
user. Every request becomes one line; of its query, which may hold signatures, nothing is kept.
"""

import logging
import re
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO, TypeAlias
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openeo_udf_fusion.local.server.access_log import WithoutSecrets

LogFormat: TypeAlias = Literal["text", "json"]
REQUEST_ID = "X-Request-ID"

access = logging.getLogger("openeo_udf_fusion.access")

_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s%(about)s"
_PATH_CHARACTERS = 500
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JOB = re.compile(r"/jobs/([0-9a-f]{32})(?:/|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


def install(format: LogFormat, stream: TextIO | None = None) -> None:
    """Send everything from `info` on to a stream, by default stderr; replaces what was installed before."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_json_formatter() if format == "json" else _Lines(_LINE))
    handler.addFilter(WithoutSecrets())
    handler.addFilter(_add_what_it_is_about)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Lines(logging.Formatter):
    """Every record begins the one line that looks like one, whatever texts of users are in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging has it
        """The line, with control characters escaped."""
        return _CONTROL.sub(_escaped, super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - as logging has it
        """The traceback, each line of it indented."""
        lines = super().formatException(ei).split("\n")
        return "\n".join("    | " + _CONTROL.sub(_escaped, line) for line in lines)


def request_id() -> str:
    """The id of the request that is being answered here; elsewhere a new one."""
    return (_about.get() or {}).get("request_id") or uuid.uuid4().hex


def note(**fields: str) -> None:
    """Add fields (`user`, `job_id`) to whatever is still logged about the request or job at hand."""
    about = _about.get()
    if about is not None:
        about.update(fields)


@contextmanager
def about(**fields: str) -> Iterator[dict[str, str]]:
    """While it lasts, what is logged in this thread or task carries these fields."""
    here = dict(fields)
    token = _about.set(here)
    try:
        yield here
    finally:
        _about.reset(token)


class RequestLog:
    """ASGI middleware around everything: gives every request an id, and logs it when it is answered.

    A client, or the proxy in front, may give the id by the header X-Request-ID; the answer has it, and so has
    an error object.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        given = Headers(scope=scope).get(REQUEST_ID.lower(), "")
        status = 500  # where nothing was answered
        with about(request_id=given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex) as fields:

            async def send_with_id(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableHeaders(scope=message)[REQUEST_ID] = fields["request_id"]
                await send(message)

            try:
                await self._app(scope, receive, send_with_id)
            finally:
                _log_access(scope, status, time.perf_counter() - begin)


def _log_access(scope: Scope, status: int, seconds: float) -> None:
    path = str(scope["path"])[:_PATH_CHARACTERS]
    job = _JOB.match(path)
    if job:
        note(job_id=job[1])
    milliseconds = round(1000 * seconds, 1)
    fields = {"method": scope["method"], "path": path, "status": status, "duration_ms": milliseconds}
    text = "%s %s %d in %.1f ms"
    # Quoted: a line break in a path must not begin a line of the log.
    arguments = (scope["method"], quote(path, errors="replace"), status, milliseconds)
    quiet = path.startswith("/health") and status < 400
    access.log(logging.DEBUG if quiet else logging.INFO, text, *arguments, extra=fields)


def _add_what_it_is_about(record: logging.LogRecord) -> bool:
    for name, value in (_about.get() or {}).items():
        if not hasattr(record, name):
            setattr(record, name, value)
    names = ("request_id", "user", "job_id")
    known = [f"{name}={getattr(record, name)}" for name in names if hasattr(record, name)]
    record.about = f" [{' '.join(known)}]" if known else ""
    return True


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "traceback"},
        # uvicorn adds its message once more, with colours.
        reserved_attrs=[*RESERVED_ATTRS, "color_message", "about"],
    )
