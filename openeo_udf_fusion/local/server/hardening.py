"""What every answer says to browsers about itself, and how large a request's head may be."""

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from openeo_udf_fusion.local.server.errors import HeadersTooLarge, UrlTooLong
from openeo_udf_fusion.local.server.limits import Limits

_HEADERS = {
    # Answers hold tokens, signed links and results: no cache keeps them.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # A page that was opened by a signed link does not pass it on.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_headers(headers: MutableHeaders) -> None:
    """Put the headers that guard an answer beside those it has."""
    for name, value in _HEADERS.items():
        headers[name] = value


def check_size(scope: Scope, limits: Limits) -> None:
    """Look at the head of a request.

    Raises
    ------
    UrlTooLong, HeadersTooLarge
    """
    length = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if length > limits.url_characters:
        raise UrlTooLong(
            f"the path and query of the request have {length} characters, at most {limits.url_characters} "
            "are taken; send large values in the body"
        )
    size = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    if size > limits.header_bytes:
        raise HeadersTooLarge(
            f"the headers of the request have {size} bytes, at most {limits.header_bytes} are taken"
        )
