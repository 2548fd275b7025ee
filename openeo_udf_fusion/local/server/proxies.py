"""Whose word is taken about where a request comes from: that of the proxies that the operator names.

A proxy tells by X-Forwarded-For who asked it, and by X-Forwarded-Proto whether by HTTPS. Anybody can send
these headers, so others' are ignored; what counts then is who connected.
"""

import ipaddress
import logging
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from openeo_udf_fusion.errors import InvalidParameter

logger = logging.getLogger(__name__)

THIS_MACHINE = ("127.0.0.1", "::1")
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForwardedHeaders:
    """ASGI middleware around everything: trusts some proxies, and says once when another is one.

    Parameters
    ----------
    app
        The application.
    trusted
        Addresses, and networks such as 10.88.0.0/16.

    Raises
    ------
    InvalidParameter
        One of them is neither.
    """

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._networks = [network for text in trusted for network in networks(text)]
        self._plain = app
        self._told: ASGIApp = ProxyHeadersMiddleware(app, [str(each) for each in self._networks])  # type: ignore[arg-type, assignment]
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        peer = (scope.get("client") or ("",))[0]
        trusted = scope["type"] != "lifespan" and self._trusts(peer)
        if not trusted and not self._warned and _has_forwarded(scope):
            self._warned = True
            logger.warning(
                "%s sent X-Forwarded-For or X-Forwarded-Proto and is no trusted proxy, so they are ignored: "
                "if it is a proxy of yours, start with --trusted-proxy %s, or all its users share one count "
                "of failed log-ins; this is said once",
                peer,
                peer,
            )
        await (self._told if trusted else self._plain)(scope, receive, send)

    def _trusts(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _has_forwarded(scope: Scope) -> bool:
    return any(name in _FORWARDED for name, _ in scope.get("headers", ()))


def networks(text: str) -> list[_Network]:
    """An address or network, also as it looks on a socket that takes IPv4 and IPv6.

    Raises
    ------
    InvalidParameter
        It is neither.
    """
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise InvalidParameter(
            f"a trusted proxy is an address or a network (10.88.0.0/16), got {text[:80]!r}: {error}"
        ) from None
    if network.version == 6:
        return [network]
    mapped = f"::ffff:{network.network_address}/{96 + network.prefixlen}"
    return [network, ipaddress.ip_network(mapped)]
