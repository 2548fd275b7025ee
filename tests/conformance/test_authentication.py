"""Who may ask for what: the answers to no, to wrong and to right credentials."""

import pytest

from tests.conformance import error_codes, graphs, openapi
from tests.conformance.advertised import concrete
from tests.conformance.served import OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, finish_a_job

BODIES = {"/validation": {"process_graph": graphs.copied()}, "/jobs": {"title": "mine"}}


@pytest.fixture(scope="module")
def protected(document, guarded) -> list[tuple[str, str]]:
    """What the API gives to a user alone, and this server offers."""
    offered = openapi.advertised(guarded("GET", "/").json())
    return sorted(o for o in offered if openapi.is_protected(document, *o))


@pytest.fixture(scope="module")
def public(document, guarded) -> list[tuple[str, str]]:
    """What the API gives to everybody."""
    offered = openapi.advertised(guarded("GET", "/").json())
    private = {("POST", "/validation"), ("GET", "/credentials/basic")}
    return sorted(o for o in offered if not openapi.is_protected(document, *o) and o not in private)


def test_there_is_something_to_protect(protected, public):
    assert len(protected) >= 15
    assert len(public) >= 7


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "AuthenticationRequired"),
        ("", 401, "AuthenticationRequired"),
        ("Bearer", 403, "TokenInvalid"),
        ("Bearer basic//", 403, "TokenInvalid"),
        ("Bearer basic//forged", 403, "TokenInvalid"),
        ("Bearer oidc/provider/token", 403, "TokenInvalid"),
        ("Basic YWRhOmE=", 403, "AuthenticationSchemeInvalid"),
    ],
)
def test_nothing_of_a_user_is_given_away(guarded, protected, header, status, code):
    headers = {} if header is None else {"Authorization": header}
    for method, path in protected:
        response = guarded.without_token()(method, concrete(path), headers=headers, json=BODIES.get(path))
        assert (response.status_code, response.json()["code"]) == (status, code), f"{method} {path}"
        assert error_codes.flaws(response.status_code, response.json()) == []
        if status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_validation_is_for_users_too(guarded):
    response = guarded.without_token()("POST", "/validation", json=BODIES["/validation"])
    assert (response.status_code, response.json()["code"]) == (401, "AuthenticationRequired")


def test_what_is_public_needs_no_token(guarded, public):
    for method, path in public:
        assert guarded.without_token()(method, concrete(path)).status_code == 200, f"{method} {path}"


def test_the_wrong_password_is_refused(guarded):
    for user, password in ((USER, "wrong"), ("eve", PASSWORD), (USER, "")):
        response = guarded.without_token()("GET", "/credentials/basic", auth=(user, password))
        assert (response.status_code, response.json()["code"]) == (403, "CredentialsInvalid")


def test_the_right_password_gives_a_token_that_works(guarded, judge):
    answer = guarded.without_token()("GET", "/credentials/basic", auth=(USER, PASSWORD)).json()
    assert judge.problems(answer, "/credentials/basic") == []
    headers = {"Authorization": f"Bearer basic//{answer['access_token']}"}
    assert guarded.without_token()("GET", "/me", headers=headers).json()["user_id"] == USER


def test_an_open_server_asks_nobody(open_server):
    assert open_server("GET", "/jobs").status_code == 200
    assert open_server("GET", "/me").json()["user_id"] == "anonymous"


def test_what_is_one_users_is_not_there_for_another(guarded):
    other = guarded.logged_in(OTHER_USER, OTHER_PASSWORD)
    job = finish_a_job(guarded)
    guarded("PUT", "/process_graphs/hers", json={"process_graph": graphs.copied()})
    try:
        assert job not in [listed["id"] for listed in other("GET", "/jobs").json()["jobs"]]
        for method, path in (
            ("GET", f"/jobs/{job}"),
            ("PATCH", f"/jobs/{job}"),
            ("DELETE", f"/jobs/{job}"),
            ("GET", f"/jobs/{job}/logs"),
            ("GET", f"/jobs/{job}/results"),
            ("POST", f"/jobs/{job}/results"),
            ("DELETE", f"/jobs/{job}/results"),
            ("GET", "/process_graphs/hers"),
            ("DELETE", "/process_graphs/hers"),
        ):
            response = other(method, path, json={"title": "mine"})
            assert response.status_code == 404, f"{method} {path}"
            assert error_codes.flaws(404, response.json()) == []
        assert guarded("GET", f"/jobs/{job}").json()["status"] == "finished"
    finally:
        guarded("DELETE", f"/jobs/{job}")
        guarded("DELETE", "/process_graphs/hers")
