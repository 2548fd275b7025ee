"""What is more than the server takes is refused by an openEO error, not by a failure."""

import pytest

from tests.conformance import error_codes, graphs
from tests.conformance.served import PASSWORD, USER, serve

MEGABYTE = 2**20


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def graph_with(**arguments: object) -> dict:
    node = {"process_id": "add", "arguments": arguments, "result": True}
    return {"process": {"process_graph": {"node": node}}}


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "code"),
    [
        ("POST", "/jobs", {"data": b" " * 17 * MEGABYTE}, 413, "RequestTooLarge"),
        ("POST", "/result", {"json": graph_with(x="x" * 17 * MEGABYTE)}, 413, "RequestTooLarge"),
        ("POST", "/jobs", {"json": graph_with(x=nested(900))}, 400, "RequestInvalid"),
        ("GET", "/jobs/" + "x" * 9000, {}, 414, "UrlTooLong"),
        ("GET", "/jobs", {"headers": {"X-Long": "x" * 40_000}}, 431, "RequestHeadersTooLarge"),
        (
            "POST",
            "/jobs",
            {"data": b"a: 1", "headers": {"Content-Type": "text/yaml"}},
            400,
            "ContentTypeInvalid",
        ),
        (
            "POST",
            "/jobs",
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "RequestInvalid",
        ),
    ],
)
def test_too_much_is_refused(guarded, method, path, request_, status, code):
    request = {"headers": {"Content-Type": "application/json"}} | request_
    response = guarded(method, path, **request)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert error_codes.flaws(status, response.json()) == []
    assert guarded("GET", "/me").status_code == 200


def test_namespaces_are_not_fetched_unless_they_are_allowed(guarded):
    node = {"process_id": "x", "namespace": "http://127.0.0.1:9/x.json", "arguments": {}, "result": True}
    response = guarded("POST", "/result", json={"process": {"process_graph": {"node": node}}})
    assert (response.status_code, response.json()["code"]) == (403, "PermissionsInsufficient")
    found = guarded("POST", "/validation", json={"process_graph": {"node": node}}).json()["errors"]
    assert [error["code"] for error in found] == ["PermissionsInsufficient"]


def test_guessing_passwords_is_slowed_down(tmp_path):
    with serve(tmp_path, {USER: PASSWORD}) as served:
        stranger = served.without_token()
        for _ in range(100):
            response = stranger("GET", "/credentials/basic", auth=(USER, "wrong"))
            if response.status_code == 429:
                break
            assert response.json()["code"] == "CredentialsInvalid"
        assert response.json()["code"] == "TooManyRequests"
        assert error_codes.flaws(429, response.json()) == []
        assert int(response.headers["Retry-After"]) > 0
        assert served("GET", "/me").status_code == 200


def test_every_answer_has_an_id_that_the_log_has_too(guarded):
    response = guarded("GET", "/jobs/nothing", headers={"X-Request-ID": "conformance-1"})
    assert response.headers["X-Request-ID"] == "conformance-1"
    assert response.json()["id"] == "conformance-1"
    body = {"process": {"process_graph": graphs.copied()}}
    assert guarded("POST", "/jobs", json=body).headers["X-Request-ID"]
