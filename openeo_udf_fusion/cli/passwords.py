"""Where commands take a password from: never from their arguments, which others on the machine see."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable

from openeo_udf_fusion.errors import InvalidParameter

PASSWORD_VARIABLE = "OPENEO_UDF_FUSION_PASSWORD"


def from_environment() -> str | None:
    """The password of the environment, and out of it: what this process starts need not know it."""
    return os.environ.pop(PASSWORD_VARIABLE, None)


class Gone(argparse.Action):
    """An option `--password` that says what to do instead."""

    def __init__(self, option_strings: list[str], dest: str, instead: str = "") -> None:
        super().__init__(option_strings, dest, nargs="?", help=argparse.SUPPRESS)
        self._instead = instead

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Refuse whatever was given."""
        parser.error(
            "--password is gone, because others on this machine can read a command line; set the environment "
            f"variable {PASSWORD_VARIABLE}{self._instead}"
        )


def asker() -> Callable[[str], str] | None:
    """Return what asks a person for the password of a user; None where nobody sits there."""
    if not sys.stdin.isatty():
        return None
    return lambda user: getpass.getpass(f"password of {user}: ", sys.stderr)


def ask(prompt: str) -> str:
    """A new password: from the environment, typed twice at a terminal, or the first line of stdin.

    Raises
    ------
    InvalidParameter
        Nothing came, or the two differ.
    """
    password = from_environment()
    if password is None and sys.stdin.isatty():
        password = getpass.getpass(f"{prompt}: ")
        if getpass.getpass("Once more: ") != password:
            raise InvalidParameter("the two passwords differ; try again")
    if password is None:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise InvalidParameter(
            "no password came; type it, pipe it into stdin, or set the environment variable "
            f"{PASSWORD_VARIABLE}"
        )
    return password
