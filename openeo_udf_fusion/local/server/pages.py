"""Lists in pages, as the openEO API words them: `limit`, and a link to what comes next."""

from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import Request

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.errors import InvalidRequest


class Page:
    """FastAPI dependency: the part of a list that is asked for, `?limit=10&start=20`.

    Raises
    ------
    InvalidRequest
        When `limit` is no whole number above 0, or `start` none from 0.
    """

    def __init__(self, request: Request) -> None:
        query = request.query_params
        self.limit = _whole_number(query.get("limit"), "limit", least=1)
        self.start = _whole_number(query.get("start"), "start", least=0) or 0
        self.url = str(request.url.replace(query=""))


def paginate(name: str, items: Sequence[Json], page: Page) -> Json:
    """`{name: [...], "links": [...]}` with the items of one page."""
    if page.limit is None:
        return {name: list(items[page.start :]), "links": []}
    end = page.start + page.limit
    links = []
    if end < len(items):
        links.append({"rel": "next", "href": f"{page.url}?{urlencode({'limit': page.limit, 'start': end})}"})
    return {name: list(items[page.start : end]), "links": links}


def _whole_number(text: str | None, name: str, least: int) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 100 and int(text) >= least):
        raise InvalidRequest(f"{name} must be a whole number from {least}, got {text[:40]!r}")
    return int(text)
