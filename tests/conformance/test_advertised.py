"""What GET / lists, what the API has, and what answers: the same three times."""

import pytest

from tests.conformance import advertised
from tests.conformance.advertised import concrete

REFUSED = {
    ("GET", "/credentials/basic"): {401: "AuthenticationRequired", 403: "AuthenticationSchemeInvalid"},
    ("POST", "/jobs"): {400: "RequestInvalid"},
    ("POST", "/result"): {400: "RequestInvalid"},
    ("POST", "/validation"): {400: "RequestInvalid"},
    ("PUT", "/process_graphs/{process_graph_id}"): {400: "RequestInvalid"},
}
"""What an operation may say to a request without a body, or without a password."""


@pytest.fixture(scope="module", params=["guarded", "open_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def offered(server) -> set[tuple[str, str]]:
    return advertised.listed(server)


def refusals(method: str, path: str) -> dict[int, str]:
    """By status the code of the only error that an operation may answer the plainest request with."""
    if (method, path) in REFUSED:
        return REFUSED[method, path]
    if "{job_id}" in path:
        return {404: "JobNotFound"}
    return {404: "ProcessGraphNotFound"} if "{process_graph_id}" in path else {}


def test_what_is_advertised_is_in_the_document(server, document):
    assert advertised.strange(server, document) == []


def test_what_is_advertised_answers(server, offered):
    for method, path in sorted(offered):
        response = server(method, concrete(path))
        if response.status_code not in (200, 204):
            expected = refusals(method, path).get(response.status_code, "no such status")
            assert response.json()["code"] == expected, f"{method} {path}: {response.status_code}"


def test_what_is_not_advertised_says_so(server, document):
    """Every other operation of the API is refused, by an error object."""
    assert advertised.badly_refused(server, document) == []


def test_a_path_names_the_methods_that_it_takes(server, offered):
    for path in sorted({path for _, path in offered}):
        allowed = {method for method, other in offered if other == path}
        refused = server("TRACE", concrete(path))
        assert refused.status_code == 405
        assert {name.strip() for name in refused.headers["Allow"].split(",")} >= allowed
        preflight = server("OPTIONS", concrete(path), headers={"Origin": "http://localhost"})
        assert preflight.status_code == 204
        answered = preflight.headers["Access-Control-Allow-Methods"]
        assert {name.strip() for name in answered.split(",")} >= allowed
