"""Process definitions from URLs that users name: only what the operator allows, and no way into the network.

A URL must begin with an allowed prefix. Its host name is resolved once, every address it has is checked, and
the connection goes to the very address that was checked: a name that answers differently the next time (DNS
rebinding) gains nothing. Redirects go the same way. Proxies of the environment are not used, for they resolve
names themselves.
"""

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TypeAlias
from urllib.parse import urljoin

from openeo_udf_fusion.errors import InvalidGraph, InvalidParameter, UnknownProcess
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.fetch import MAX_BYTES, TIMEOUT_S, parse_definition, read_limited
from openeo_udf_fusion.local.server.errors import ForbiddenNamespace
from openeo_udf_fusion.local.server.url_prefixes import WebUrl, parse_prefix, parse_url

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]

MAX_REDIRECTS = 5

_OWN_NETWORKS = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_NEVER = (
    # `is_global` of ipaddress does not know all of them in every Python.
    *map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")),
    # These carry IPv4 addresses, of any kind: 6to4 and Teredo.
    *map(ipaddress.ip_network, ("2002::/16", "2001::/32")),
    # Looks public, and is the host of the virtual machine that asks, on Azure.
    ipaddress.ip_network("168.63.129.16/32"),
)
_METADATA = tuple(map(ipaddress.ip_network, ("fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32")))
"""Inside networks of one's own, and where clouds keep the credentials of a machine all the same."""
_UNICAST = ipaddress.ip_network("2000::/3")


class NamespaceReader:
    """Reads the JSON object at an allowed URL.

    Parameters
    ----------
    allowed
        What a URL may begin with when its host has public addresses alone.
    allowed_private
        What a URL may begin with whatever addresses its host has, but for link-local ones (where clouds keep
        the credentials of a machine), multicast and reserved ones.
    resolve
        (host, port) -> addresses.

    Raises
    ------
    InvalidParameter
        A prefix is no http or https URL.
    """

    def __init__(
        self,
        allowed: Sequence[str] = (),
        allowed_private: Sequence[str] = (),
        resolve: Resolver | None = None,
    ) -> None:
        self._allowed = tuple(parse_prefix(text) for text in allowed)
        self._private = tuple(parse_prefix(text) for text in allowed_private)
        self._resolve = resolve or _addresses

    def __call__(self, location: str) -> Json:
        """Read what is at a URL.

        Raises
        ------
        ForbiddenNamespace
            The URL, or one it redirects to, is not allowed, or leads to an address that is not.
        UnknownProcess
            It cannot be read.
        InvalidGraph
            It is no JSON object, or too large.
        """
        deadline = time.monotonic() + TIMEOUT_S
        for _ in range(MAX_REDIRECTS + 1):
            url = self._checked(location)
            answer = self._get(url, deadline)
            if isinstance(answer, bytes):
                return parse_definition(answer, location)
            location = answer
        raise UnknownProcess(f"{location[:200]} redirects more than {MAX_REDIRECTS} times")

    def _checked(self, location: str) -> WebUrl:
        try:
            url = parse_url(location)
        except InvalidParameter as error:
            raise ForbiddenNamespace(f"a namespace is a URL, 'user' or 'backend'; {error}") from None
        if not any(url.is_below(prefix) for prefix in (*self._allowed, *self._private)):
            known = ", ".join(map(str, (*self._allowed, *self._private))) or "none"
            raise ForbiddenNamespace(
                f"this server does not read {str(url)[:200]}; it reads URLs below: {known} (its operator "
                "names them with serve --allow-namespace URL)"
            )
        return url

    def _get(self, url: WebUrl, deadline: float) -> bytes | str:
        """The body, or where it is to be found."""
        connection = self._connection(url, deadline)
        # A server that sends a byte now and then keeps to every timeout of a socket.
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), connection.end)
        timer.daemon = True
        timer.start()
        try:
            headers = {"Host": url.authority, "Accept": "application/json", "User-Agent": "openeo-udf-fusion"}
            connection.request("GET", url.target, headers=headers)
            response = connection.getresponse()
            connection.require_going_on()
            if response.status in (301, 302, 303, 307, 308):
                return urljoin(str(url), response.headers.get("Location", ""))
            body = _body(response, url, deadline)
            connection.require_going_on()
            return body
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, InvalidGraph):
                raise
            raise UnknownProcess(f"{url} cannot be read: {error}") from None
        finally:
            timer.cancel()
            connection.close()

    def _connection(self, url: WebUrl, deadline: float) -> "_PinnedHttp | _PinnedHttps":
        try:
            texts = _within(deadline, lambda: self._resolve(url.host, url.port))
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in texts]
        except (OSError, ValueError) as error:
            raise UnknownProcess(f"{url} cannot be read: {error}") from None
        private = any(url.is_below(prefix) for prefix in self._private)
        for address in found:
            if not _may_connect(address, private):
                raise ForbiddenNamespace(
                    f"{url.host} is at the address {address}, which this server does not talk to for a "
                    "namespace; the operator of a server whose definitions are in its own network names them "
                    "with serve --allow-private-namespace URL"
                )
        if not found:
            raise UnknownProcess(f"{url} cannot be read: {url.host} has no address")
        timeout = max(0.01, deadline - time.monotonic())
        pinned = _PinnedHttps if url.scheme == "https" else _PinnedHttp
        return pinned(url, str(found[0]), timeout)


class _Ended:
    """What ends a connection from another thread."""

    opened: socket.socket | None = None
    ended = False

    def end(self) -> None:
        """Let whoever reads or writes come to an end at once."""
        self.ended = True
        if self.opened is not None:
            with suppress(OSError):
                # That of ssl would take the connection apart while the other thread uses it.
                socket.socket.shutdown(self.opened, socket.SHUT_RDWR)

    def require_going_on(self) -> None:
        """Raise TimeoutError when it was ended: what came so far may look whole."""
        if self.ended:
            raise TimeoutError("its server took too long")


class _PinnedHttp(_Ended, HTTPConnection):
    """Connects to the address that was checked."""

    def __init__(self, url: WebUrl, address: str, timeout: float) -> None:
        super().__init__(url.host, url.port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = self.opened = socket.create_connection((self._address, self.port), self.timeout)


class _PinnedHttps(_Ended, HTTPSConnection):
    """As `_PinnedHttp`; the certificate is that of the host name."""

    def __init__(self, url: WebUrl, address: str, timeout: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(url.host, url.port, timeout=timeout, context=self._tls)
        self._address = address

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        secured = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = self.opened = secured
        secured.do_handshake()


def _within(deadline: float, look_up: Callable[[], Sequence[str]]) -> Sequence[str]:
    """The addresses, unless they take too long: nothing ends a look-up of the system, so it is left alone."""
    found: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def answer() -> None:
        try:
            found.put(look_up())
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            found.put(error)

    threading.Thread(target=answer, name="openeo-resolver", daemon=True).start()
    try:
        result = found.get(timeout=max(0.01, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("its name could not be resolved in time") from None
    if isinstance(result, Exception):
        raise result
    return result


def _body(response: HTTPResponse, url: WebUrl, deadline: float) -> bytes:
    if response.status != 200:
        raise UnknownProcess(f"{url} cannot be read: its server answered {response.status}")
    return read_limited(response, str(url), MAX_BYTES, deadline)


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _may_connect(address: Address, private: bool) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return _may_connect(address.ipv4_mapped, private)
    if any(address in network for network in _METADATA):
        return False
    # `is_private` of ipaddress means much more than what networks give themselves.
    if private and (address.is_loopback or any(address in network for network in _OWN_NETWORKS)):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and (address.version == 4 or address in _UNICAST)
        and not any(address in network for network in _NEVER)
    )
