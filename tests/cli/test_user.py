"""The command that makes accounts, and what `serve` says to passwords on its command line."""

import io
import logging

import pytest
from argon2 import PasswordHasher

from openeo_udf_fusion.cli import passwords
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.local.server import accounts
from openeo_udf_fusion.local.server.accounts import matches, read_accounts

PASSWORD = "the sea in June"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Hashes that take no time, by the same code."""
    monkeypatch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(autouse=True)
def no_log_left():
    """`serve` begins with the log of the process; here it would outlive the stream that it writes to."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def typed(monkeypatch):
    """Set what stdin holds."""

    def set_stdin(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    monkeypatch.delenv(passwords.PASSWORD_VARIABLE, raising=False)
    return set_stdin


def test_a_user_is_added_changed_and_removed(typed, tmp_path, capsys):
    file = tmp_path / "users"
    typed(f"{PASSWORD}\n")
    assert main(["user", "add", str(file), "ada"]) == 0
    assert capsys.readouterr().err == f"added ada in {file}\n"
    typed("another password\n")
    assert main(["user", "add", str(file), "eve"]) == 0
    typed("yet another one\n")
    capsys.readouterr()
    assert main(["user", "add", str(file), "eve"]) == 0
    assert capsys.readouterr().err == f"changed the password of eve in {file}\n"
    known = read_accounts(file)
    assert matches(known["ada"], PASSWORD)
    assert matches(known["eve"], "yet another one")
    assert main(["user", "list", str(file)]) == 0
    assert main(["user", "remove", str(file), "ada"]) == 0
    assert capsys.readouterr().out == "ada\neve\n"
    assert list(read_accounts(file)) == ["eve"]


def test_a_hash_is_printed_for_a_password_of_the_environment(typed, monkeypatch, capsys):
    typed("")
    monkeypatch.setenv(passwords.PASSWORD_VARIABLE, PASSWORD)
    assert main(["user", "hash"]) == 0
    assert matches(capsys.readouterr().out.strip(), PASSWORD)


def test_a_terminal_is_asked_twice(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(passwords.PASSWORD_VARIABLE, raising=False)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    answers = iter([PASSWORD, "something else", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert main(["user", "add", str(tmp_path / "users"), "ada"]) == 1
    assert "differ" in capsys.readouterr().err
    assert main(["user", "add", str(tmp_path / "users"), "ada"]) == 0


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (["add", "{file}", "ada"], "", "no password came"),
        (["add", "{file}", "ada"], "short", "at least 8"),
        (["add", "{file}", "a/b"], PASSWORD, "user name"),
        (["add", "{file}", "x" * 65], PASSWORD, "user name"),
        (["remove", "{file}", "ada"], "", "cannot be read"),
        (["list", "{file}"], "", "cannot be read"),
    ],
)
def test_what_makes_no_account_leaves_no_file(typed, tmp_path, capsys, arguments, password, message):
    typed(password)
    assert main(["user", *(each.format(file=tmp_path / "users") for each in arguments)]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_password_is_taken_out_of_the_environment(monkeypatch):
    """What the server starts (UDFs of users) does not inherit it."""
    monkeypatch.setenv(passwords.PASSWORD_VARIABLE, PASSWORD)
    assert passwords.from_environment() == PASSWORD
    assert passwords.from_environment() is None


@pytest.mark.parametrize("option", [["--password", PASSWORD], [f"--password={PASSWORD}"]])
def test_serve_takes_no_password_on_its_command_line(tmp_path, capsys, option):
    with pytest.raises(SystemExit) as raised:
        main(["serve", "--data", str(tmp_path), "--user", "ada", *option])
    assert raised.value.code == 2
    told = capsys.readouterr().err
    assert passwords.PASSWORD_VARIABLE in told
    assert "--users FILE" in told
    assert PASSWORD not in told


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "x"])
def test_a_log_in_lasts_some_time(tmp_path, capsys, hours):
    with pytest.raises(SystemExit):
        main(["serve", "--data", str(tmp_path), "--token-lifetime", hours])
    assert "--token-lifetime" in capsys.readouterr().err


def test_serve_takes_one_account_or_a_file_of_them(typed, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(passwords.PASSWORD_VARIABLE, PASSWORD)
    arguments = ["--user", "ada", "--users", str(tmp_path / "users"), "--state", str(tmp_path / "state")]
    assert main(["serve", "--data", str(tmp_path), *arguments]) == 1
    assert "not both" in capsys.readouterr().err


def test_serve_refuses_a_file_that_others_may_read(typed, tmp_path, capsys):
    (tmp_path / "users").touch(0o644)
    (tmp_path / "users").chmod(0o644)
    arguments = ["--users", str(tmp_path / "users"), "--state", str(tmp_path / "state"), "--port", "0"]
    assert main(["serve", "--data", str(tmp_path), *arguments]) == 1
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--allow-namespace", "--allow-private-namespace"])
def test_serve_refuses_what_is_no_url(typed, tmp_path, capsys, option):
    arguments = ["--state", str(tmp_path / "state"), "--port", "0", option, "definitions.example"]
    assert main(["serve", "--data", str(tmp_path), *arguments]) == 1
    assert "no http or https URL" in capsys.readouterr().err


def test_serve_takes_limits(typed, tmp_path, capsys):
    arguments = ["--state", str(tmp_path / "state"), "--port", "0", "--limit", "jobs=1"]
    assert main(["serve", "--data", str(tmp_path), *arguments]) == 1
    assert "jobs_per_user" in capsys.readouterr().err
