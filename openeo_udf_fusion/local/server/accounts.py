"""Who may use a server: one account, or a file of them.

Passwords are kept as Argon2id hashes, made and checked by argon2-cffi: the algorithm of RFC 9106, in C, with
its parameters inside each hash, so that they can be raised without touching the code. The standard library
has scrypt alone, whose parameters and text form would be this module's own.

A file of accounts has one `name:hash` a line; empty lines and those that begin with `#` are left out. It is
read again whenever it changes: who is taken out of it, or gets another password, is out at the next request.
"""

import logging
import os
import re
import stat
import threading
from functools import cache
from pathlib import Path
from typing import Protocol

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.errors import AccountsUnreadable

logger = logging.getLogger(__name__)

_HASHER = PasswordHasher()
_HASH = re.compile(r"\$argon2[a-z$0-9=,]+(\$[A-Za-z0-9+/]+){2}")
# Each check takes 64 MiB and all of a core: a crowd at the door must not take the machine.
_AT_ONCE = threading.Semaphore(2)

MIN_PASSWORD_CHARACTERS = 8


class Accounts(Protocol):
    """The accounts of a server."""

    def hash_of(self, user: str) -> str | None:
        """The hash of a user's password, None for an unknown user; raises AccountsUnreadable."""
        ...

    def any_hash(self) -> str | None:
        """The hash of some account, for its parameters; raises AccountsUnreadable."""
        ...

    def names(self) -> list[str]:
        """Everybody who has an account; raises AccountsUnreadable."""
        ...


class OneAccount:
    """One user, whose password was given at the start."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._hash = hash_password(password)

    def hash_of(self, user: str) -> str | None:
        """See `Accounts`."""
        return self._hash if user == self._user else None

    def any_hash(self) -> str | None:
        """See `Accounts`."""
        return self._hash

    def names(self) -> list[str]:
        """See `Accounts`."""
        return [self._user]


class AccountsFile:
    """The accounts of a file, read again when it changes.

    While it cannot be read nobody is let in, for it may say that somebody is out.

    Raises
    ------
    InvalidParameter
        The file cannot be read at the start, others may read it, or a line is no account.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._hashes = read_accounts(path)

    def hash_of(self, user: str) -> str | None:
        """See `Accounts`."""
        return self._current().get(user)

    def any_hash(self) -> str | None:
        """See `Accounts`."""
        return next(iter(self._current().values()), None)

    def names(self) -> list[str]:
        """See `Accounts`."""
        return list(self._current())

    def _current(self) -> dict[str, str]:
        with self._lock:
            try:
                stamp = _stamp(self._path)
                if stamp != self._stamp:
                    self._hashes = read_accounts(self._path)
                    self._stamp = stamp
                    logger.info("read the %d accounts of %s anew", len(self._hashes), self._path.name)
            except InvalidParameter as error:
                logger.error("nobody is let in: %s", error)
                raise AccountsUnreadable(
                    "the server cannot read its accounts, so nobody is let in; its log says why"
                ) from None
            return self._hashes


def hash_password(password: str) -> str:
    """The Argon2id hash of a password, with its salt and parameters."""
    with _AT_ONCE:
        return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


def matches(hashed: str | None, password: str, instead: str | None = None) -> bool:
    """Whether a password is the one of a hash; without a hash it takes as long, and the answer is no.

    As long as `instead` takes, a hash with the parameters of those in use.
    """
    with _AT_ONCE:
        try:
            # The comparison inside is in constant time.
            _HASHER.verify(hashed or instead or _nobodys_hash(), password.encode("utf-8", "surrogatepass"))
        except (Argon2Error, InvalidHashError):
            return False
    return hashed is not None


def require_name(user: str) -> str:
    """The name, if it is one that an account can have.

    Raises
    ------
    InvalidParameter
    """
    if not re.fullmatch(r"[\w\-.~]{1,64}", user, re.ASCII):
        raise InvalidParameter(
            f"a user name takes 1 to 64 letters, digits and _ - . ~ only, got {user[:80]!r}"
        )
    return user


def read_accounts(path: Path) -> dict[str, str]:
    """The hashes of a file by user.

    Raises
    ------
    InvalidParameter
        The file cannot be read, others than its owner may read it, or a line is no account.
    """
    try:
        # The file that was opened is the one that is looked at.
        with path.open(encoding="utf-8") as file:
            _require_private(path, os.fstat(file.fileno()))
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InvalidParameter(
            f"the file of accounts {path} cannot be read: {reason}; make it with "
            "'openeo-udf-fusion user add FILE NAME'"
        ) from None
    accounts: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            user, hashed = _account(line.strip(), f"{path}, line {number}")
            if user in accounts:
                raise InvalidParameter(f"{path}, line {number}: {user} is there twice; remove one")
            accounts[user] = hashed
    return accounts


def _account(line: str, where: str) -> tuple[str, str]:
    user, _, hashed = line.partition(":")
    try:
        require_name(user)
        extract_parameters(hashed)
        if not _HASH.fullmatch(hashed):
            raise InvalidHashError
    except (InvalidParameter, InvalidHashError):
        # The line is not quoted: it may hold a password.
        raise InvalidParameter(
            f"{where} is no 'name:hash' with an Argon2 hash; 'openeo-udf-fusion user hash' makes one"
        ) from None
    return user, hashed


def _require_private(path: Path, found: os.stat_result) -> None:
    # A file of somebody else's (root's, the service manager's) is readable by way of a group or an access
    # list, which shows as the group's right.
    granted = stat.S_IRWXU if found.st_uid == os.geteuid() else stat.S_IRWXU | stat.S_IRGRP
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~granted & 0o777:
        raise InvalidParameter(
            f"others than its owner may read or write the file of accounts {path} (mode {mode:04o}); run: "
            f"chmod 600 {path}"
        )


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidParameter(
            f"the file of accounts {path} cannot be read: {error.strerror}; make it with "
            "'openeo-udf-fusion user add FILE NAME'"
        ) from None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(os.urandom(16))
