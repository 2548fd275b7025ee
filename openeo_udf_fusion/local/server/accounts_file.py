"""Changing the file of the accounts: in one step, readable by its owner alone, comments kept."""

import os
import tempfile
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


def put(path: Path, user: str, hashed: str) -> None:
    """Add a user, or change the hash of one; makes the file.

    Raises
    ------
    InvalidParameter
        What is there is no file of accounts.
    StorageFailed
    """
    known = read_accounts(path) if path.exists() else {}
    lines = _lines(path) if known or path.exists() else []
    line = f"{user}:{hashed}"
    if user in known:
        lines = [line if _is_of(each, user) else each for each in lines]
    else:
        lines.append(line)
    _write(path, lines)


def remove(path: Path, user: str) -> None:
    """Take a user out.

    Raises
    ------
    InvalidParameter
        There is no such user, or no such file.
    StorageFailed
    """
    known = read_accounts(path)
    if user not in known:
        raise InvalidParameter(f"{path} has no user {user[:80]!r}; it has {', '.join(known) or 'none'}")
    _write(path, [each for each in _lines(path) if not _is_of(each, user)])


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
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise storage_failed(error) from error
