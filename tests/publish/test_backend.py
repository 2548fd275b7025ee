"""Logging in and asking, through the openEO client; whatever fails is explained."""

import json

import pytest

from openeo_udf_fusion.errors import BackendFailed, InvalidCredentials, InvalidParameter, Unauthenticated
from openeo_udf_fusion.publish.backend import PASSWORD_VARIABLE, Login, connect
from tests.publish.conftest import PASSWORD, USER


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch, tmp_path):
    for name in ("OPENEO_AUTH_METHOD", "OPENEO_AUTH_CLIENT_ID", "OPENEO_AUTH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENEO_CONFIG_HOME", str(tmp_path))


def test_basic_with_the_password_of_the_environment(guarded_server):
    backend = connect(guarded_server)
    with pytest.raises(Unauthenticated, match=r"AuthenticationRequired.*--auth"):
        backend.stored("fill_gaps")
    backend.log_in(Login(user=USER))
    assert backend.stored("fill_gaps") is None


def test_basic_with_a_password_that_is_asked_for(guarded_server, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    asked = []
    backend = connect(guarded_server)
    backend.log_in(Login("basic", USER, ask=lambda user: asked.append(user) or PASSWORD))
    assert asked == [USER]
    assert backend.stored("fill_gaps") is None


def test_a_wrong_password(guarded_server, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "guess")
    with pytest.raises(InvalidCredentials, match="refuses the basic login") as caught:
        connect(guarded_server).log_in(Login(user=USER))
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    ("login", "error", "said"),
    [
        (Login(), Unauthenticated, "give --user"),
        (Login("basic"), InvalidParameter, "--user NAME"),
        (Login("oidc"), Unauthenticated, "no oidc login"),
        (Login(user=USER), InvalidParameter, PASSWORD_VARIABLE),
        (Login(user=USER, ask=lambda _user: ""), InvalidParameter, PASSWORD_VARIABLE),
    ],
)
def test_a_login_that_cannot_be(guarded_server, monkeypatch, login, error, said):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(error, match=said):
        connect(guarded_server).log_in(login)


def test_going_on_without_a_login(server):
    backend = connect(server)
    backend.log_in(Login("none"))
    assert backend.stored("fill_gaps") is None


def test_a_backend_that_offers_no_login(fake_backend):
    with pytest.raises(Unauthenticated, match="neither OIDC nor basic"):
        connect(fake_backend.url).log_in(Login())
    with pytest.raises(Unauthenticated, match=r"no basic login.*does not support basic"):
        connect(fake_backend.url).log_in(Login("basic", USER, ask=lambda _user: PASSWORD))


# --- OpenID Connect


@pytest.fixture
def oidc_backend(fake_backend, monkeypatch):
    """A backend that is its own identity provider, for a client with a secret: no person is needed."""
    url = fake_backend.url
    fake_backend.endpoints.append("GET /credentials/oidc")
    fake_backend.answers |= {
        "GET /credentials/oidc": (
            200,
            {"providers": [{"id": "own", "issuer": url, "title": "Own", "scopes": ["openid"]}]},
        ),
        "GET /.well-known/openid-configuration": (
            200,
            {"issuer": url, "token_endpoint": f"{url}/token", "scopes_supported": ["openid"]},
        ),
        "POST /token": (200, {"access_token": "t0ken", "token_type": "bearer"}),
        "GET /process_graphs/fill_gaps": (200, {"id": "fill_gaps", "process_graph": {}}),
    }
    for name, value in (
        ("METHOD", "client_credentials"),
        ("CLIENT_ID", "robot"),
        ("CLIENT_SECRET", "s3cret"),
    ):
        monkeypatch.setenv(f"OPENEO_AUTH_{name}", value)
    return fake_backend


@pytest.mark.parametrize("login", [Login(), Login("oidc"), Login("oidc", provider="own")])
def test_openid_connect(oidc_backend, login, capsys):
    backend = connect(oidc_backend.url)
    backend.log_in(login)
    assert backend.stored("fill_gaps") is not None
    assert oidc_backend.sent[-1][:2] == ("GET /process_graphs/fill_gaps", "Bearer oidc/own/t0ken")
    assert capsys.readouterr().out == ""


def test_openid_connect_that_is_refused(oidc_backend):
    oidc_backend.answers["POST /token"] = (401, {"error": "invalid_client"})
    with pytest.raises(Unauthenticated, match="no oidc login"):
        connect(oidc_backend.url).log_in(Login())


def test_a_provider_that_is_not_there(oidc_backend):
    with pytest.raises(Unauthenticated, match="other"):
        connect(oidc_backend.url).log_in(Login("oidc", provider="other"))


# --- failures


def test_no_backend_at_all():
    with pytest.raises(BackendFailed, match=r"no openEO backend at http://127.0.0.1:1:"):
        connect("http://127.0.0.1:1")


def test_something_else_that_speaks_http(fake_backend):
    fake_backend.capabilities = lambda: ["hello"]
    with pytest.raises(BackendFailed, match="no openEO backend"):
        connect(fake_backend.url).process_ids()


def test_an_error_of_the_backend_is_passed_on(fake_backend):
    fake_backend.answers["GET /processes"] = (500, {"code": "Internal", "message": "out of coffee"})
    with pytest.raises(BackendFailed, match=r"cannot list the processes.*500.*out of coffee"):
        connect(fake_backend.url).process_ids()


def test_an_answer_of_another_shape_is_an_error(fake_backend):
    fake_backend.answers["GET /processes"] = (200, {"hello": []})
    with pytest.raises(BackendFailed, match="cannot list the processes"):
        connect(fake_backend.url).process_ids()


# --- what it is sent


@pytest.mark.parametrize("public", [True, False])
def test_what_is_stored_is_the_whole_process(fake_backend, process, public):
    fake_backend.answers |= {
        "GET /processes": (200, {"processes": [{"id": process["id"]}], "links": []}),
        f"PUT /process_graphs/{process['id']}": (200, {}),
    }
    connect(fake_backend.url).store(process, public)
    request, _, body = fake_backend.sent[-1]
    assert request == f"PUT /process_graphs/{process['id']}"
    sent = json.loads(body)
    assert sent.pop("public") is public
    assert sent == {key: value for key, value in process.items() if key != "id"}
