"""The file of the accounts: who may read it, what it holds, and that it is read again."""

import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import Type, extract_parameters

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server import accounts
from openeo_udf_fusion.local.server.accounts import AccountsFile, OneAccount, matches, read_accounts
from openeo_udf_fusion.local.server.accounts_file import put, remove, require_password
from openeo_udf_fusion.local.server.errors import AccountsUnreadable

from .conftest import PASSWORDS


def test_a_hash_is_of_one_password_and_tells_nothing_of_it(hashes):
    assert matches(hashes["ada"], PASSWORDS["ada"])
    assert not matches(hashes["ada"], PASSWORDS["eve"])
    assert hashes["ada"].startswith("$argon2id$")
    assert PASSWORDS["ada"] not in hashes["ada"]
    again = accounts.hash_password(PASSWORDS["ada"])
    assert again != hashes["ada"]  # salted
    assert matches(again, PASSWORDS["ada"])


def test_hashes_cost_what_rfc_9106_recommends():
    """The tests of this folder use cheaper ones; this is what the package makes by itself."""
    code = "from openeo_udf_fusion.local.server import accounts; print(accounts.hash_password('x'))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found = extract_parameters(made.strip())
    assert (found.type, found.memory_cost, found.time_cost) == (Type.ID, 64 * 1024, 3)


@pytest.mark.parametrize("password", ["", "\0", "x" * 100_000, "\ud800", "ä" * 8])
def test_any_text_can_be_tried(hashes, password):
    assert not matches(hashes["ada"], password)


def test_whoever_is_unknown_costs_a_hash_too(monkeypatch):
    """Else the time of a refusal tells which names there are."""
    verified = []

    class Counting:
        def verify(self, hashed, password):
            verified.append(hashed)
            raise accounts.Argon2Error

        def hash(self, password):
            return "of nobody"

    monkeypatch.setattr(accounts, "_HASHER", Counting())
    accounts._nobodys_hash.cache_clear()
    assert not matches(None, "x")
    assert verified == ["of nobody"]
    accounts._nobodys_hash.cache_clear()


def test_nobodys_password_is_not_known(monkeypatch):
    """Even the password of the hash that stands in for unknown users lets nobody in."""
    monkeypatch.setattr(accounts, "_nobodys_hash", lambda: accounts.hash_password("guessed"))
    assert not matches(None, "guessed")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660, 0o777])
def test_a_file_that_others_may_read_is_refused(users_file, mode):
    users_file.chmod(mode)
    with pytest.raises(InvalidParameter, match=r"chmod 600 .*users"):
        read_accounts(users_file)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(users_file, hashes, mode):
    users_file.chmod(mode)
    assert read_accounts(users_file) == hashes


@pytest.mark.parametrize(("mode", "read"), [(0o640, True), (0o440, True), (0o660, False), (0o644, False)])
def test_a_file_of_roots_may_be_readable_by_the_servers_group(users_file, hashes, monkeypatch, mode, read):
    """As a service manager hands it over."""
    users_file.chmod(mode)
    owner = users_file.stat().st_uid
    monkeypatch.setattr(accounts.os, "geteuid", lambda: owner + 1)
    if read:
        assert read_accounts(users_file) == hashes
    else:
        with pytest.raises(InvalidParameter, match="chmod 600"):
            read_accounts(users_file)


@pytest.mark.parametrize(
    "line",
    [
        "ada",
        "ada:",
        "ada:plain secret",
        ":$argon2id$",
        "a/b:{hash}",
        "a b:{hash}",
        "x:{hash}x:y",
        "ada:{hash}",
    ],
)
def test_a_line_that_is_no_account_is_named_but_not_quoted(users_file, hashes, line):
    with users_file.open("a") as file:
        file.write(line.format(hash=hashes["ada"]) + "\n")
    with pytest.raises(InvalidParameter, match="line 3") as raised:
        read_accounts(users_file)
    assert "secret" not in str(raised.value)
    assert hashes["ada"] not in str(raised.value)


def test_comments_and_empty_lines_are_kept_and_left_out(users_file, hashes):
    text = users_file.read_text()
    users_file.write_text("# the sea\n\n" + text)
    put(users_file, "ada", hashes["eve"])
    put(users_file, "zoe", hashes["eve"])
    assert read_accounts(users_file) == {"ada": hashes["eve"], "eve": hashes["eve"], "zoe": hashes["eve"]}
    remove(users_file, "zoe")
    remove(users_file, "eve")
    assert users_file.read_text().splitlines()[:2] == ["# the sea", ""]
    assert list(read_accounts(users_file)) == ["ada"]
    with pytest.raises(InvalidParameter, match="no user 'eve'"):
        remove(users_file, "eve")


def test_a_new_file_is_private_whatever_the_umask(tmp_path, hashes):
    before = os.umask(0)
    try:
        put(tmp_path / "users", "ada", hashes["ada"])
    finally:
        os.umask(before)
    assert (tmp_path / "users").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"users", ".users.lock"}


def test_a_change_of_the_file_counts_at_once(users_file, hashes):
    found = AccountsFile(users_file)
    assert found.names() == ["ada", "eve"]
    put(users_file, "ada", hashes["eve"])
    assert found.hash_of("ada") == hashes["eve"]
    remove(users_file, "eve")
    assert found.hash_of("eve") is None


@pytest.mark.parametrize("harm", ["gone", "open", "nonsense", "bytes", "folder"])
def test_while_the_file_cannot_be_read_nobody_is_let_in(users_file, hashes, harm):
    found = AccountsFile(users_file)
    good = users_file.read_bytes()
    if harm == "open":
        users_file.chmod(0o644)
    elif harm in ("gone", "folder"):
        users_file.unlink()
        if harm == "folder":
            users_file.mkdir(mode=0o700)
    else:
        users_file.write_bytes(b"nonsense" if harm == "nonsense" else b"\xff\xfe")
    for _ in range(2):
        with pytest.raises(AccountsUnreadable):
            found.hash_of("ada")
    if harm == "folder":
        users_file.rmdir()
    users_file.write_bytes(good)
    users_file.chmod(0o600)
    assert found.hash_of("ada") == hashes["ada"]


def test_the_password_of_one_account_is_not_kept():
    account = OneAccount("ada", PASSWORDS["ada"])
    assert PASSWORDS["ada"] not in repr(vars(account))
    assert account.hash_of("eve") is None
    assert matches(account.hash_of("ada"), PASSWORDS["ada"])


def test_a_short_password_is_refused():
    with pytest.raises(InvalidParameter, match="at least 8"):
        require_password("1234567")
    assert require_password("12345678") == "12345678"


def test_a_change_keeps_the_mode_of_the_file(users_file, hashes):
    users_file.chmod(0o400)
    put(users_file, "bob", hashes["ada"])
    assert users_file.stat().st_mode & 0o777 == 0o400
    remove(users_file, "bob")
    assert users_file.stat().st_mode & 0o777 == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_change_keeps_the_owner_whose_server_reads_the_file(users_file, hashes):
    os.chown(users_file, 10001, 10002)
    users_file.chmod(0o640)
    put(users_file, "bob", hashes["ada"])
    remove(users_file, "ada")
    found = users_file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (10001, 10002, 0o640)
    assert list(read_accounts(users_file)) == ["eve", "bob"]
    lock = users_file.with_name(".users.lock").stat()
    assert (lock.st_uid, lock.st_mode & 0o777) == (10001, 0o600)


@pytest.mark.skipif(os.geteuid() != 0 or not hasattr(os, "setxattr"), reason="needs root on Linux")
def test_a_change_keeps_the_access_list(users_file, hashes):
    nobody = 0xFFFFFFFF
    entries = [(0x01, 6, nobody), (0x02, 4, 10001), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody)]
    granted = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    name = "system.posix_acl_access"
    try:
        os.setxattr(users_file, name, granted)
    except OSError:
        pytest.skip("no access lists on this file system")
    os.chown(users_file, 10002, -1)  # one's own may have no access list
    put(users_file, "bob", hashes["ada"])
    assert os.getxattr(users_file, name) == granted


def test_changes_at_the_same_time_lose_nobody(users_file, hashes):
    names = [f"user{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: put(users_file, name, hashes["ada"]), names))
        assert set(read_accounts(users_file)) == {"ada", "eve", *names}
        list(pool.map(lambda name: remove(users_file, name), names))
    assert list(read_accounts(users_file)) == ["ada", "eve"]
