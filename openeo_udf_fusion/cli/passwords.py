"""Where commands take a password from: never from their arguments, which others on the machine see."""

import getpass
import os
import sys

from openeo_udf_fusion.errors import InvalidParameter

PASSWORD_VARIABLE = "OPENEO_UDF_FUSION_PASSWORD"


def from_environment() -> str | None:
    """The password of the environment, and out of it: what this process starts need not know it."""
    return os.environ.pop(PASSWORD_VARIABLE, None)


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
