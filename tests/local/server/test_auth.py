"""Who gets in, and who does not."""

import base64
import time

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.auth import TokenStore
from openeo_udf_fusion.local.server.errors import InvalidToken
from openeo_udf_fusion.local.server.settings import Settings, check_address

PROTECTED = [
    ("GET", "/me"),
    ("GET", "/jobs"),
    ("POST", "/jobs"),
    ("GET", "/jobs/x"),
    ("PATCH", "/jobs/x"),
    ("DELETE", "/jobs/x"),
    ("GET", "/jobs/x/logs"),
    ("GET", "/jobs/x/results"),
    ("POST", "/jobs/x/results"),
    ("DELETE", "/jobs/x/results"),
    ("GET", "/jobs/x/results/assets/y"),
    ("GET", "/process_graphs"),
    ("GET", "/process_graphs/x"),
    ("PUT", "/process_graphs/x"),
    ("DELETE", "/process_graphs/x"),
    ("POST", "/result"),
    ("POST", "/validation"),
]
PUBLIC = [
    "/",
    "/.well-known/openeo",
    "/conformance",
    "/health",
    "/file_formats",
    "/udf_runtimes",
    "/processes",
]


def basic(user: str, password: str) -> dict:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def guarded(shared_guarded):
    """Nobody is logged in yet."""
    shared_guarded.token = None
    return shared_guarded


def test_only_a_token_opens_what_belongs_to_the_user(guarded):
    refused = {guarded(method, path).status_code for method, path in PROTECTED}
    assert refused == {401}
    assert {guarded("GET", path).status_code for path in PUBLIC} == {200}

    guarded.token = guarded("GET", "/credentials/basic", headers=basic("ada", "s3cret:ü")).json()[
        "access_token"
    ]
    assert guarded("GET", "/me").json()["user_id"] == "ada"
    assert guarded("GET", f"/jobs/{guarded.run('one')}").json()["status"] == "finished"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "AuthenticationRequired"),
        (basic("ada", "wrong"), 403, "CredentialsInvalid"),
        (basic("eve", "s3cret:ü"), 403, "CredentialsInvalid"),
        (basic("", ""), 403, "CredentialsInvalid"),
        ({"Authorization": "Basic ???"}, 403, "CredentialsInvalid"),
        ({"Authorization": "Basic " + base64.b64encode(b"ada").decode()}, 403, "CredentialsInvalid"),
        ({"Authorization": "Bearer basic//x"}, 403, "AuthenticationSchemeInvalid"),
    ],
)
def test_logging_in_takes_the_right_user_and_password(guarded, headers, status, code):
    response = guarded("GET", "/credentials/basic", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("Bearer basic//unknown", 403, "TokenInvalid"),
        ("Bearer unknown", 403, "TokenInvalid"),
        ("Bearer oidc/egi/unknown", 403, "TokenInvalid"),
        ("Basic YWRhOnMzY3JldA==", 403, "AuthenticationSchemeInvalid"),
        ("", 401, "AuthenticationRequired"),
    ],
)
def test_what_is_no_token_is_refused(guarded, authorization, status, code):
    response = guarded("GET", "/me", headers={"Authorization": authorization})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_token_expires(serve):
    with serve(user="ada", password="pw", token_lifetime_s=0.0) as client:
        client.token = client("GET", "/credentials/basic", headers=basic("ada", "pw")).json()["access_token"]
        response = client("GET", "/me")
        assert (response.status_code, response.json()["code"]) == (403, "TokenInvalid")


def test_tokens_expire_one_by_one():
    now = [0.0]
    tokens = TokenStore(10.0, clock=lambda: now[0])
    first = tokens.issue("ada")
    now[0] = 5.0
    second = tokens.issue("eve")
    now[0] = 10.0
    assert tokens.check(second).user == "eve"
    with pytest.raises(InvalidToken):
        tokens.check(first)


def test_tokens_are_random_and_unguessable():
    tokens = TokenStore(10.0)
    issued = {tokens.issue("ada") for _ in range(100)}
    assert len(issued) == 100
    assert min(map(len, issued)) >= 32


def test_an_open_server_takes_any_name_and_no_token(client):
    assert client("GET", "/me").json()["user_id"] == "anonymous"
    client.token = client("GET", "/credentials/basic", headers=basic("anybody", "")).json()["access_token"]
    assert client("GET", "/me").json()["user_id"] == "anonymous"


def test_a_signed_link_opens_its_own_file_alone(guarded):
    guarded.token = guarded("GET", "/credentials/basic", headers=basic("ada", "s3cret:ü")).json()[
        "access_token"
    ]
    job = guarded.run("several")
    first, second = guarded("GET", f"/jobs/{job}/results").json()["assets"].values()
    guarded.token = None
    (_, _, query), path = (
        first["href"].partition("?"),
        second["href"].partition("?")[0].removeprefix(guarded.url),
    )
    assert guarded("GET", first["href"].removeprefix(guarded.url)).status_code == 200
    assert guarded("GET", f"{path}?{query}").json()["code"] == "TokenInvalid"
    assert guarded("GET", f"{path}?expires=9999999999&signature=é").json()["code"] == "TokenInvalid"
    assert guarded("GET", path).status_code == 401


def test_a_signed_link_gives_none_that_outlives_it(guarded):
    guarded.token = guarded("GET", "/credentials/basic", headers=basic("ada", "s3cret:ü")).json()[
        "access_token"
    ]
    document = guarded("GET", f"/jobs/{guarded.run('one')}/results").json()
    (canonical,) = [link["href"] for link in document["links"] if link["rel"] == "canonical"]
    guarded.token = None
    time.sleep(1.1)  # links expire on whole seconds
    shared = guarded("GET", canonical.removeprefix(guarded.url)).json()
    assert shared["assets"] == document["assets"]
    assert shared["expires"] == document["expires"]


def test_a_signed_link_expires(serve):
    with serve(user="ada", password="pw", link_lifetime_s=-10.0) as client:
        client.token = client("GET", "/credentials/basic", headers=basic("ada", "pw")).json()["access_token"]
        (asset,) = client("GET", f"/jobs/{client.run('one')}/results").json()["assets"].values()
        response = client("GET", asset["href"].removeprefix(client.url))
        assert (response.status_code, response.json()["code"]) == (410, "ResultLinkExpired")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.10", "[::1]"])
def test_an_open_server_may_bind_to_loopback(data, tmp_path, host):
    check_address(host, Settings(data, tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "127.0.0.1.example.org"])
def test_only_a_server_with_credentials_may_bind_beyond_loopback(data, tmp_path, host):
    with pytest.raises(InvalidParameter, match="credentials"):
        check_address(host, Settings(data, tmp_path))
    check_address(host, Settings(data, tmp_path, "ada", "pw"))


@pytest.mark.parametrize(("user", "password"), [("ada", None), (None, "pw"), ("ada", ""), ("a/b", "pw")])
def test_credentials_are_a_user_and_a_password(data, tmp_path, user, password):
    with pytest.raises(InvalidParameter):
        Settings(data, tmp_path, user, password)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:8080", "a.localhost:1"])
def test_an_open_server_answers_under_its_own_names(shared, host):
    assert shared("GET", "/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://[::1"},
    ],
)
def test_an_open_server_refuses_the_pages_and_names_of_others(shared, headers):
    response = shared("POST", "/jobs", headers=headers, json={})
    assert (response.status_code, response.json()["code"]) == (403, "PermissionsInsufficient")


def test_pages_from_anywhere_may_use_a_server_with_credentials(guarded):
    response = guarded("GET", "/", headers={"Origin": "https://editor.openeo.org", "Host": "eo.example"})
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
