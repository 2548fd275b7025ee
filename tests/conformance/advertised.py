"""What GET / lists, what the API has and what answers, of any server that `ask(method, path)` asks."""

from collections.abc import Callable

import requests

from tests.conformance import error_codes, openapi

Ask = Callable[..., requests.Response]

ELSEWHERE = ("NotFound", "MethodNotAllowed", "FeatureUnsupported")
"""The codes of an operation that a server does not have."""

IDENTIFIERS = {
    "collection_id": "modis",
    "job_id": "nothing",
    "path": "a/b",
    "process_graph_id": "nothing",
    "service_id": "nothing",
}


def concrete(path: str) -> str:
    """A path of the document with identifiers in it: of a collection that is there, else of nothing."""
    return path.format_map(IDENTIFIERS)


def listed(ask: Ask) -> set[tuple[str, str]]:
    """(method, path) of what a server says that it has."""
    return openapi.advertised(ask("GET", "/").json())


def strange(ask: Ask, document: dict) -> list[str]:
    """What a server lists that the API does not have."""
    return [" ".join(operation) for operation in sorted(listed(ask) - set(openapi.operations(document)))]


def badly_refused(ask: Ask, document: dict) -> list[str]:
    """Every operation of the API that a server does not list, and yet does not refuse by a sound error."""
    found = []
    others = sorted(set(openapi.operations(document)) - listed(ask))
    assert others, "a server that offers all of the API refuses nothing"
    for method, path in others:
        response = ask(method, concrete(path), json={})
        if response.status_code not in (404, 405, 501):
            found.append(f"{method} {path} answered {response.status_code}")
            continue
        error = response.json()
        found += [f"{method} {path}: {flaw}" for flaw in error_codes.flaws(response.status_code, error)]
        if error.get("code") not in ELSEWHERE:
            found.append(f"{method} {path} answered {error.get('code')}")
    return found
