"""URLs that begin with what an operator allows, compared part by part so that no spelling gets around it."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from openeo_udf_fusion.errors import InvalidParameter

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9\-.]*[a-z0-9])?|[0-9a-f:.]+")
_TEXT = re.compile(r"[!-~]+")  # ASCII that shows: no blanks, no control characters
_PATH = re.compile(r"(?:/[\w\-.~!$&'()*+,;=:@%]*)*", re.ASCII)


@dataclass(frozen=True)
class WebUrl:
    """An http or https URL in the one spelling in which it is compared and fetched."""

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    query: str

    @property
    def target(self) -> str:
        """Path and query as they are sent."""
        path = "/" + "/".join(self.segments)
        return f"{path}?{self.query}" if self.query else path

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's, as they are sent."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def is_below(self, prefix: "WebUrl") -> bool:
        """Whether it is the prefix or lies below it, whole path segments compared."""
        count = len(prefix.segments)
        same_server = (self.scheme, self.host, self.port) == (prefix.scheme, prefix.host, prefix.port)
        return same_server and self.segments[:count] == prefix.segments


def parse_url(text: str) -> WebUrl:
    """Read a URL strictly.

    Raises
    ------
    InvalidParameter
        It is no http or https URL, names a user, leads upwards (`..`), hides a character of its path behind a
        per cent sign that need not be, or has characters that no URL has.
    """
    if not _TEXT.fullmatch(text) or "\\" in text:
        raise _invalid(text, "it has blanks, backslashes or characters beyond ASCII")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise _invalid(text, "it is no http or https URL")
    if "@" in parts.netloc:
        raise _invalid(text, "it names a user")
    host = host.rstrip(".")
    if not _HOST.fullmatch(host):
        raise _invalid(text, "it has no host name")
    return WebUrl(scheme, host, port or _PORTS[scheme], _segments(text, parts.path), parts.query)


def parse_prefix(text: str) -> WebUrl:
    """Read what allowed URLs begin with; a slash at its end means the same as none.

    Raises
    ------
    InvalidParameter
        As `parse_url`, or it has a query.
    """
    prefix = parse_url(text)
    if prefix.query or "?" in text or "#" in text:
        raise _invalid(text, "what URLs begin with has no query and no fragment")
    segments = prefix.segments[:-1] if prefix.segments[-1:] == ("",) else prefix.segments
    return WebUrl(prefix.scheme, prefix.host, prefix.port, segments, "")


def _segments(text: str, path: str) -> tuple[str, ...]:
    if not _PATH.fullmatch(path):
        raise _invalid(text, "its path has characters that a path has not")
    segments = tuple(path.split("/")[1:])
    for segment in segments:
        plain = unquote(segment)
        if plain in (".", ".."):
            raise _invalid(text, "its path leads upwards")
        # What servers decode twice, or take for a separator, has no place in a path that was compared.
        if re.search(r"[%/\\\x00-\x20\x7f]|\.\.", plain) or re.search(r"%2e", segment, re.IGNORECASE):
            raise _invalid(text, "its path hides characters behind per cent signs, or has '..'")
    if "" in segments[:-1]:
        raise _invalid(text, "its path has an empty part ('//')")
    return segments


def _invalid(text: str, reason: str) -> InvalidParameter:
    return InvalidParameter(f"{text[:200]!r} is no URL that is read here: {reason}")
