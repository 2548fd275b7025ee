"""What surrounds every answer: CORS and guarding headers, OPTIONS, HEAD, the guard of an open server, the
last resort.

An open server runs whatever Python it is sent. Any web page in a browser on this machine could send it some,
or reach it under a host name of its own (DNS rebinding). So an open server takes requests only under a
loopback host name, and from web pages only those of a loopback origin. A server with credentials needs no
such guard: a page has no token.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openeo_udf_fusion.local.server import hardening
from openeo_udf_fusion.local.server.endpoints import methods_of
from openeo_udf_fusion.local.server.errors import ForbiddenOrigin, HeadersTooLarge, UrlTooLong
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.responses import fusion_error_response, unexpected_error_response
from openeo_udf_fusion.local.server.settings import is_loopback

EXPOSED = "Location, OpenEO-Identifier, OpenEO-Costs, Link, Retry-After, X-Request-ID"
ALLOWED = "Authorization, Content-Type, Range, X-Request-ID"


class CrossOrigin:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app
        The application.
    guarded
        Whether only this machine's own host names and pages may send requests.
    limits
        How large the head of a request may be.
    """

    def __init__(self, app: ASGIApp, guarded: bool, limits: Limits) -> None:
        self._app = app
        self._guarded = guarded
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = EXPOSED
                hardening.add_headers(headers)
            await send(message)

        try:
            await self._answer(scope, receive, send_with_headers)
        except Exception as error:
            response = unexpected_error_response(error)
            if started:
                # After the first byte nothing better can be said than to hang up.
                raise
            await response(scope, receive, send_with_headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            hardening.check_size(scope, self._limits)
            if self._guarded:
                check_origin(Headers(scope=scope))
        except (ForbiddenOrigin, UrlTooLong, HeadersTooLarge) as error:
            await fusion_error_response(error)(scope, receive, send)
            return
        methods = methods_of(scope["path"])
        if scope["method"] == "OPTIONS" and methods:
            await _preflight(methods)(scope, receive, send)
        elif scope["method"] == "HEAD":
            # As GET; the web server leaves the body out, for it sees the method that came.
            await self._app({**scope, "method": "GET"}, receive, send)
        else:
            await self._app(scope, receive, send)


def check_origin(headers: Headers) -> None:
    """Raise ForbiddenOrigin unless a request comes from this machine, and to it under its own name."""
    origin = headers.get("origin")
    if origin is not None and not _is_loopback_url(origin):
        raise ForbiddenOrigin(
            f"web pages from {origin[:200]} may not use this server, because it asks for no credentials; "
            "start it with a user and a password"
        )
    host = headers.get("host", "")
    if not _is_loopback_url(f"http://{host}"):
        raise ForbiddenOrigin(
            f"this server asks for no credentials and answers only as localhost, not as {host[:200]!r}; "
            "start it with a user and a password"
        )


def _is_loopback_url(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _preflight(methods: tuple[str, ...]) -> Response:
    headers = {
        "Access-Control-Allow-Headers": ALLOWED,
        "Access-Control-Allow-Methods": ", ".join(["OPTIONS", *methods]),
        "Content-Type": "application/json",
    }
    return Response(status_code=204, headers=headers)
