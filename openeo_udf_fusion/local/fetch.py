"""Process definitions from elsewhere, over HTTP and from files, for the machine's own user.

What users of a server name goes by way of `server.namespaces`, which reads only what its operator allows.
"""

import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from openeo_udf_fusion.errors import InvalidGraph, UnknownProcess
from openeo_udf_fusion.jsontypes import Json

MAX_BYTES = 5 * 2**20
TIMEOUT_S = 20.0


def fetch_json(url: str, *, max_bytes: int = MAX_BYTES, timeout_s: float = TIMEOUT_S) -> Json:
    """Read a JSON object over http or https.

    Redirects are followed to http and https only. `timeout_s` is for the whole transfer, so that a server
    that sends a byte now and then cannot hold a job.

    Raises
    ------
    UnknownProcess
        When the URL is of another scheme, or what it names cannot be read.
    InvalidGraph
        When it is no JSON object, or larger than `max_bytes`.
    """
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise UnknownProcess(f"a namespace is an http or https URL, 'user' or 'backend', got {url[:200]!r}")
    try:
        with _opener().open(url, timeout=timeout_s) as response:
            text = read_limited(response, url, max_bytes, time.monotonic() + timeout_s)
    except urllib.error.HTTPError as error:
        raise UnknownProcess(
            f"{url} cannot be read: its server answered {error.code} {error.reason}"
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, InvalidGraph):
            raise
        raise UnknownProcess(f"{url} cannot be read: {error}") from None
    return parse_definition(text, url)


def read_process(location: str) -> Json:
    """Read a JSON object from an http(s) URL or a file; only for locations that the machine's own user names.

    Raises
    ------
    UnknownProcess, InvalidGraph
        As `fetch_json`.
    """
    if urlsplit(location).scheme.lower() in ("http", "https"):
        return fetch_json(location)
    try:
        return parse_definition(Path(location).read_bytes(), location)
    except OSError as error:
        raise UnknownProcess(f"{location} cannot be read: {error.strerror or error}") from None


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: it brings handlers of file:, ftp: and data: URLs, to which a redirect could lead.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("Accept", "application/json"), ("User-Agent", "openeo-udf-fusion")]
    return opener


def read_limited(response: HTTPResponse, location: str, max_bytes: int, deadline: float) -> bytes:
    """The body of a response.

    Raises
    ------
    InvalidGraph
        It is larger than `max_bytes`.
    TimeoutError
        It has not come by `deadline`, a time of `time.monotonic`.
    """
    text = b""
    while len(text) <= max_bytes and (chunk := response.read1(min(65_536, max_bytes + 1 - len(text)))):
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
        text += chunk
    if len(text) > max_bytes:
        raise InvalidGraph(
            f"{location} is larger than the {max_bytes} bytes that are read of a process definition"
        )
    return text


def parse_definition(text: bytes, location: str) -> Json:
    """The JSON object that a definition is; InvalidGraph when it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidGraph(f"{location} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidGraph(
            f"{location} holds a JSON {type(value).__name__}, a process definition is an object"
        )
    return value
