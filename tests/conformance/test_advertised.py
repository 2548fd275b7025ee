"""What GET / lists, what the API has, and what answers: the same three times."""

import pytest

from tests.conformance import error_codes, openapi

PLACEHOLDERS = {
    "{collection_id}": "modis",
    "{job_id}": "nothing",
    "{path}": "a/b",
    "{process_graph_id}": "nothing",
    "{service_id}": "nothing",
}


def concrete(path: str) -> str:
    for placeholder, value in PLACEHOLDERS.items():
        path = path.replace(placeholder, value)
    return path


@pytest.fixture(scope="module", params=["guarded", "open_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def advertised(server) -> set[tuple[str, str]]:
    return openapi.advertised(server("GET", "/").json())


def test_what_is_advertised_is_in_the_document(advertised, document):
    assert advertised <= set(openapi.operations(document))


def test_what_is_advertised_answers(server, advertised):
    for method, path in sorted(advertised):
        response = server(method, concrete(path))
        code = response.json().get("code") if response.status_code >= 400 else None
        assert code not in ("NotFound", "MethodNotAllowed", "FeatureUnsupported"), f"{method} {path}: {code}"


def test_what_is_not_advertised_says_so(server, advertised, document):
    """Every other operation of the API is refused, by an error object."""
    for method, path in sorted(set(openapi.operations(document)) - advertised):
        response = server(method, concrete(path), json={})
        assert response.status_code in (404, 405, 501), f"{method} {path} answered {response.status_code}"
        assert error_codes.flaws(response.status_code, response.json()) == []
        assert response.json()["code"] in ("NotFound", "MethodNotAllowed", "FeatureUnsupported")


def test_a_path_names_the_methods_that_it_takes(server, advertised):
    for path in sorted({path for _, path in advertised}):
        allowed = {method for method, other in advertised if other == path}
        refused = server("TRACE", concrete(path))
        assert refused.status_code == 405
        assert {name.strip() for name in refused.headers["Allow"].split(",")} >= allowed
        preflight = server("OPTIONS", concrete(path), headers={"Origin": "http://localhost"})
        assert preflight.status_code == 204
        offered = preflight.headers["Access-Control-Allow-Methods"]
        assert {name.strip() for name in offered.split(",")} >= allowed
