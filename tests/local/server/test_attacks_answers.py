"""What answers and logs give away: to caches, pages, readers of logs, and whoever makes the server fail."""

import logging
import re

import pytest

from openeo_udf_fusion.local.server import access_log
from openeo_udf_fusion.local.server.access_log import WithoutSecrets

from .conftest import PASSWORDS

GUARDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/credentials/basic", 401),
        ("GET", "/me", 200),
        ("GET", "/jobs", 200),
        ("GET", "/nothing", 404),
        ("PATCH", "/jobs", 405),
        ("POST", "/jobs", 400),
        ("GET", "/" + "x" * 9000, 414),
        ("OPTIONS", "/jobs", 204),
        ("HEAD", "/jobs", 200),
    ],
)
def test_every_answer_is_guarded(ada, method, path, status):
    answered = ada(method, path, headers={"Authorization": ""} if status == 401 else {})
    assert answered.status_code == status
    assert {name: answered.headers.get(name) for name in GUARDS} == GUARDS
    assert "Server" not in answered.headers
    if status >= 400:
        assert set(answered.json()) == {"id", "code", "message", "links"}


def test_tokens_and_results_are_kept_by_no_cache_and_passed_on_by_no_page(ada):
    logged_in = ada.again().log_in("ada", PASSWORDS["ada"])
    document = ada("GET", f"/jobs/{ada.run('one')}/results")
    asset = next(iter(document.json()["assets"].values()))["href"].removeprefix(ada.url)
    for answered in (logged_in, document, ada.again()("GET", asset)):
        assert answered.status_code == 200
        assert {name: answered.headers.get(name) for name in GUARDS} == GUARDS
    assert ada.again()("GET", asset).headers["Content-Disposition"].startswith("attachment")


def test_an_unexpected_failure_tells_no_details(client, monkeypatch, graph):
    def fail(*args):
        raise RuntimeError("/srv/secret/path, password=hunter2")

    monkeypatch.setattr(client.executor, "check", fail)
    refused = client("POST", "/validation", json=graph("one"))
    assert (refused.status_code, refused.json()["code"]) == (500, "Internal")
    job = client.run("bug")
    failed = client("GET", f"/jobs/{job}/results").json()
    told = refused.text + str(failed) + str(client.messages(job))
    for detail in ("secret", "hunter2", "Traceback", 'File "'):
        assert detail not in told
    assert {name: refused.headers.get(name) for name in GUARDS} == GUARDS


def test_what_a_client_sends_is_no_page(client):
    """Markup in a path comes back as JSON that no browser takes for a page."""
    refused = client("GET", "/collections/<script>alert(1)</script>")
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer basic//sécret"},
        {"Authorization": "Basic secret"},
        {"Authorization": "secret x"},
    ],
)
def test_what_was_sent_to_log_in_does_not_come_back(ada, headers):
    encoded = {name: value.encode() for name, value in headers.items()}
    for path in ("/me", "/credentials/basic"):
        assert "cret" not in ada.again()("GET", path, headers=encoded).json()["message"]


# --- logs


def test_no_signature_token_or_password_is_logged(ada, caplog):
    caplog.set_level(logging.DEBUG)
    fresh = ada.again()
    token = fresh.log_in("ada", PASSWORDS["ada"]).json()["access_token"]
    fresh.log_in("ada", "a wrong password")
    document = ada("GET", f"/jobs/{ada.run('one')}/results").json()
    asset = next(iter(document["assets"].values()))["href"].removeprefix(ada.url)
    signature = re.search("signature=([0-9a-f]+)", asset)[1]
    assert ada.again()("GET", asset).status_code == 200
    ada.again()("GET", asset.replace("expires", "Expires"))
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("urllib3", "requests"))]
    assert any("/results/assets/" in message for message in ours)  # the requests are logged
    for secret in (signature, token, PASSWORDS["ada"], "a wrong password"):
        assert not any(secret in message for message in ours)


@pytest.mark.parametrize(
    "query",
    [
        "?signature=SECRET",
        "?expires=1&signature=SECRET&x=1",
        "?SIGNATURE=SECRET",
        "?token=SECRET&a",
        "?password=SECRET",
    ],
)
def test_queries_are_logged_without_their_secrets(query):
    record = logging.LogRecord("x", 20, "f", 1, '%s - "%s"', ("127.0.0.1", f"GET /a{query} HTTP/1.1"), None)
    assert WithoutSecrets().filter(record)
    assert "SECRET" not in record.getMessage()
    assert "/a?" in record.getMessage()


def test_other_records_stay_as_they_are():
    for args in ((), ("a", 1), ({"a": 1},), None):
        record = logging.LogRecord("x", 20, "f", 1, "a %% message", args, None)
        before = record.__dict__.copy()
        assert WithoutSecrets().filter(record)
        assert record.msg == before["msg"]


def test_installing_twice_filters_once():
    for _ in range(2):
        access_log.install()
    filters = logging.getLogger("uvicorn.access").filters
    assert sum(isinstance(each, WithoutSecrets) for each in filters) == 1
