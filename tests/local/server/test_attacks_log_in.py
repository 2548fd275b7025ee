"""Guessing passwords, and keeping what a log-in gave after its end."""

import base64
import threading
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher, extract_parameters

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.errors import InvalidCredentials, InvalidParameter, Unauthenticated
from openeo_udf_fusion.local.server import accounts, auth, logs, serving
from openeo_udf_fusion.local.server.accounts_file import put, remove
from openeo_udf_fusion.local.server.auth import TokenStore
from openeo_udf_fusion.local.server.errors import InvalidToken, TooManyRequests
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.login_throttle import PER_USER, LoginThrottle
from openeo_udf_fusion.local.server.settings import ANONYMOUS, Settings

from .conftest import PASSWORDS

FEW = Limits(login_failures=3, login_window_s=1000.0)


class Clock:
    """Tells the time that it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(throttle: LoginThrottle, user: str, address: str) -> None:
    with throttle.attempt(user, address):
        pass


def succeed(throttle: LoginThrottle, user: str, address: str) -> None:
    with throttle.attempt(user, address) as attempt:
        attempt.succeeded = True


def test_guessing_ends_with_an_openeo_error_and_says_when_to_come_back(serve, users_file):
    with serve(users=users_file, limits=FEW) as client:
        answers = [client.log_in("ada", f"guess {number}") for number in range(3)]
        assert [answer.status_code for answer in answers] == [403, 403, 403]
        for user, password in [("ada", "guess"), ("ada", PASSWORDS["ada"]), ("eve", PASSWORDS["eve"])]:
            refused = client.log_in(user, password)
            assert (refused.status_code, refused.json()["code"]) == (429, "TooManyRequests")
            assert 0 < int(refused.headers["Retry-After"]) <= 1000
            assert "access_token" not in refused.json()


def test_whoever_has_a_token_is_not_shut_out(serve, users_file):
    with serve(users=users_file, limits=FEW) as client:
        client.log_in("ada", PASSWORDS["ada"])
        stranger = client.again()
        for _ in range(4):
            stranger.log_in("ada", "guess")
        assert client("GET", "/me").json()["user_id"] == "ada"


def test_forged_addresses_do_not_help_against_one_name(serve, users_file):
    """uvicorn believes the header of a proxy on this machine, hence here; a name has a limit of its own."""
    with serve(users=users_file, limits=FEW) as client:
        for number in range(3 * PER_USER):
            headers = {"X-Forwarded-For": f"10.0.0.{number}", "Authorization": "Basic YWRhOmd1ZXNz"}
            client("GET", "/credentials/basic", headers=headers)
        assert client.log_in("ada", PASSWORDS["ada"]).status_code == 429


def test_failures_are_forgotten_after_the_window():
    clock = Clock()
    throttle = LoginThrottle(2, 100.0, clock)
    fail(throttle, "ada", "10.0.0.1")
    clock.now = 60.0
    fail(throttle, "ada", "10.0.0.1")
    with pytest.raises(TooManyRequests) as raised:
        fail(throttle, "ada", "10.0.0.1")
    assert raised.value.retry_after_s == 40
    clock.now = 100.0
    fail(throttle, "ada", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        fail(throttle, "ada", "10.0.0.1")


def test_another_address_is_free_until_the_name_is_guessed_from_everywhere():
    throttle = LoginThrottle(2, 100.0, Clock())
    for number in range(2 * PER_USER):
        fail(throttle, "ada", f"10.0.0.{number}")
    with pytest.raises(TooManyRequests):
        fail(throttle, "ada", "10.9.9.9")
    fail(throttle, "eve", "10.9.9.9")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_one_customers_addresses_count_as_one(first, second, same):
    throttle = LoginThrottle(1, 100.0, Clock())
    fail(throttle, "ada", first)
    if same:
        with pytest.raises(TooManyRequests):
            fail(throttle, "eve", second)
    else:
        fail(throttle, "eve", second)


def test_an_own_account_does_not_clear_the_failures():
    throttle = LoginThrottle(2, 100.0, Clock())
    fail(throttle, "ada", "10.0.0.1")
    for _ in range(5):
        succeed(throttle, "eve", "10.0.0.1")
    fail(throttle, "ada", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        succeed(throttle, "eve", "10.0.0.1")


def test_guesses_at_the_same_time_are_counted_before_they_are_answered():
    throttle = LoginThrottle(3, 100.0, Clock())
    gate, outcomes = threading.Barrier(20), []

    def guess() -> None:
        gate.wait()
        try:
            with throttle.attempt("ada", "10.0.0.1"):
                hold.wait(10)
            outcomes.append("tried")
        except TooManyRequests:
            outcomes.append("refused")
            if len(outcomes) == 17:
                hold.set()

    hold = threading.Event()
    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("tried"), outcomes.count("refused")) == (3, 17)


def test_invented_names_take_no_memory_for_ever():
    throttle = LoginThrottle(1, 100.0, Clock())
    for number in range(10_100):
        fail(throttle, f"user {number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._times) <= 10_000


def test_issued_tokens_take_no_memory_for_ever(monkeypatch):
    monkeypatch.setattr(auth, "MOST_TOKENS_PER_USER", 10)
    tokens = TokenStore(100.0)
    issued = [tokens.issue("ada") for _ in range(30)]
    assert len(tokens._grants) == 10
    assert tokens.check(issued[-10]).user == "ada"
    with pytest.raises(InvalidToken):
        tokens.check(issued[-11])


def test_the_log_ins_of_one_user_end_those_of_no_other():
    tokens = TokenStore(100.0)
    of_eve = tokens.issue("eve")
    for _ in range(12_000):
        tokens.issue("ada")
    assert tokens.check(of_eve).user == "eve"


def test_expired_tokens_are_forgotten():
    clock = Clock()
    tokens = TokenStore(100.0, clock)
    tokens.issue("ada")
    clock.now = 101.0
    tokens.issue("ada")
    assert len(tokens._grants) == 1


def test_a_server_keeps_neither_tokens_nor_passwords_as_they_are(data, tmp_path):
    settings = Settings(data, tmp_path, "ada", PASSWORDS["ada"])
    assert PASSWORDS["ada"] not in repr(settings)
    tokens = TokenStore(100.0)
    token = tokens.issue("ada")
    assert token not in repr(vars(tokens))


@pytest.mark.parametrize("change", ["remove", "password", "unreadable"])
def test_a_token_ends_with_what_it_was_given_for(serve, users_file, hashes, change):
    with serve(users=users_file) as client:
        client.log_in("ada", PASSWORDS["ada"])
        eve = client.again()
        eve.log_in("eve", PASSWORDS["eve"])
        assert client("GET", "/me").status_code == 200
        if change == "remove":
            remove(users_file, "ada")
        elif change == "password":
            put(users_file, "ada", hashes["eve"])
        else:
            users_file.chmod(0o644)
        refused = client("GET", "/me")
        expected = (503, "InfrastructureMaintenance") if change == "unreadable" else (403, "TokenInvalid")
        assert (refused.status_code, refused.json()["code"]) == expected
        assert eve("GET", "/me").status_code == (503 if change == "unreadable" else 200)
        if change == "remove":
            assert client.log_in("ada", PASSWORDS["ada"]).status_code == 403
        if change == "password":
            assert client.log_in("ada", PASSWORDS["eve"]).status_code == 200


def test_a_user_who_is_added_gets_in_without_a_restart(serve, users_file, hashes):
    with serve(users=users_file) as client:
        assert client.log_in("zoe", PASSWORDS["ada"]).status_code == 403
        put(users_file, "zoe", hashes["ada"])
        assert client.log_in("zoe", PASSWORDS["ada"]).status_code == 200
        assert client("GET", "/me").json()["user_id"] == "zoe"


def test_a_token_is_its_users(ada, eve):
    assert [client("GET", "/me").json()["user_id"] for client in (ada, eve)] == ["ada", "eve"]


@pytest.mark.parametrize("user", ["anonymous", "", "ADA", "ada ", "ada\0", "nobody"])
def test_no_other_spelling_of_a_name_logs_in(ada, user):
    assert ada.again().log_in(user, PASSWORDS["ada"]).status_code == 403


def test_the_refusal_does_not_say_whether_the_name_is_known(ada):
    known, unknown = ada.again().log_in("ada", "guess"), ada.again().log_in("nobody", "guess")
    assert known.json() | {"id": ""} == unknown.json() | {"id": ""}


def test_a_long_name_takes_no_more_memory_than_a_short_one():
    throttle = LoginThrottle(3, 1000.0)
    fail(throttle, "x" * 30_000, "y" * 30_000)
    assert all(len(text) <= 64 for key in throttle._times for text in key)


def test_an_unknown_name_costs_what_the_accounts_of_the_file_cost(data, tmp_path, monkeypatch):
    """Their hashes may have been made with other parameters than today's."""
    older = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    put(tmp_path / "users", "ada", older.hash(PASSWORDS["ada"]))
    verified = []
    spy = SimpleNamespace(verify=lambda hashed, password: verified.append(extract_parameters(hashed)))
    monkeypatch.setattr(accounts, "_HASHER", spy)
    authenticator = auth.Authenticator(Settings(data, tmp_path / "state", users=tmp_path / "users"))
    for user in ("ada", "nobody"):
        header = f"Basic {base64.b64encode(f'{user}:pw'.encode()).decode()}"
        if user == "ada":
            authenticator.log_in(header)
        else:
            with pytest.raises(InvalidCredentials):
                authenticator.log_in(header)
    assert verified[0] == verified[1]
    assert verified[0].time_cost == 2


# --- a server that is open by mistake


@pytest.mark.parametrize(("user", "password"), [("", None), ("", ""), ("", "pw"), ("ada", ""), (None, "")])
def test_an_empty_name_or_password_opens_nothing(data, tmp_path, user, password):
    """`--user "$USER_OF_THE_SERVER"` with a variable that is not set."""
    with pytest.raises(InvalidParameter):
        Settings(data, tmp_path, user, password)


@pytest.mark.parametrize("password", [None, "", "the sea in June"])
def test_an_empty_user_on_the_command_line_is_refused_before_anything_listens(
    data, tmp_path, monkeypatch, capsys, password
):
    if password is not None:
        monkeypatch.setenv("OPENEO_UDF_FUSION_PASSWORD", password)
    served = []
    monkeypatch.setattr(logs, "install", lambda format: None)
    monkeypatch.setattr(serving, "serve", lambda *args: served.append(args))
    options = ["--data", str(data), "--state", str(tmp_path / "state"), "--user", "", "--host", "0.0.0.0"]
    assert main(["serve", *options]) != 0
    assert "user" in capsys.readouterr().err
    assert not served


def test_whether_a_server_is_open_is_asked_in_one_place(data, tmp_path, users_file):
    for settings in (
        Settings(data, tmp_path),
        Settings(data, tmp_path, "ada", "pw"),
        Settings(data, tmp_path, users=users_file),
    ):
        authenticator = auth.Authenticator(settings)
        if settings.open:
            assert authenticator.check(None) == ANONYMOUS
        else:
            with pytest.raises(Unauthenticated):
                authenticator.check(None)
