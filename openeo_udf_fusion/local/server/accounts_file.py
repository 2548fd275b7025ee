"""Changing the file of the accounts: in one step, its comments, owner, mode and access list kept.

A new one is readable by whoever makes it alone.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.accounts import MIN_PASSWORD_CHARACTERS, read_accounts
from openeo_udf_fusion.local.server.storage import storage_failed


def require_password(password: str) -> str:
    """The password, if it is long enough.

    Raises
    ------
    InvalidParameter
    """
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise InvalidParameter(
            f"a password takes at least {MIN_PASSWORD_CHARACTERS} characters, this one has {len(password)}"
        )
    return password


def put(path: Path, user: str, hashed: str) -> bool:
    """Add a user, or change the hash of one; makes the file. Returns whether the user is new.

    Raises
    ------
    InvalidParameter
        What is there is no file of accounts.
    StorageFailed
    """
    with _alone(path):
        known = read_accounts(path) if path.exists() else {}
        lines = _lines(path) if path.exists() else []
        line = f"{user}:{hashed}"
        if user in known:
            lines = [line if _is_of(each, user) else each for each in lines]
        else:
            lines.append(line)
        _write(path, lines)
        return user not in known


def remove(path: Path, user: str) -> None:
    """Take a user out.

    Raises
    ------
    InvalidParameter
        There is no such user, or no such file.
    StorageFailed
    """
    read_accounts(path)  # where there is no such file none is made beside it
    with _alone(path):
        known = read_accounts(path)
        if user not in known:
            raise InvalidParameter(f"{path} has no user {user[:80]!r}; it has {', '.join(known) or 'none'}")
        _write(path, [each for each in _lines(path) if not _is_of(each, user)])


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While it lasts nobody else changes the file: a lock on one beside it, which stays."""
    target = path.resolve()
    try:
        handle = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise storage_failed(error) from error
    try:
        with suppress(OSError):  # root's lock must not keep the owner of the file from changing it
            os.fchown(handle, target.stat().st_uid, target.stat().st_gid)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_of(line: str, user: str) -> bool:
    return line.strip().partition(":")[0] == user


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _write(path: Path, lines: list[str]) -> None:
    # Through a link: what it leads to is replaced, not the link.
    target = path.resolve()
    try:
        # mkstemp makes files that nobody else may read.
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            _take_over(target, Path(name))
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise storage_failed(error) from error


def _take_over(old: Path, new: Path) -> None:
    """Owner, group, mode and access list: whoever could read the file before can read it after."""
    try:
        before, now = old.stat(), new.stat()
    except FileNotFoundError:
        return
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        try:
            os.chown(new, before.st_uid, before.st_gid)
        except PermissionError:
            raise InvalidParameter(
                f"{old} belongs to user {before.st_uid} and group {before.st_gid}, whose "
                "files they or root alone can change; run this as one of them"
            ) from None
    # After the change of owner, which takes rights away.
    shutil.copystat(old, new)
    os.utime(new)
