"""What a server is told when it starts."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from openeo_udf_fusion.errors import InvalidParameter

ANONYMOUS = "anonymous"
"""The single user of a server that asks for no credentials."""


@dataclass(frozen=True)
class Settings:
    """The settings of one server.

    Parameters
    ----------
    data
        Folder of the collections; it is only read.
    state
        Folder of the jobs, their results and the user's processes; made when it does not exist.
        One server at a time.
    user, password
        The one account. Without them the server is open: every request is the user `anonymous`.
    token_lifetime_s
        How long a bearer token is good for, in seconds.
    link_lifetime_s
        How long a signed link to a result is good for, in seconds.
    max_body_bytes
        The largest request body that is read.

    Raises
    ------
    InvalidParameter
        When the data folder does not exist, or only one of user and password is given.
    """

    data: Path
    state: Path
    user: str | None = None
    password: str | None = None
    token_lifetime_s: float = 86_400.0
    link_lifetime_s: float = 7 * 86_400.0
    max_body_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        if not self.data.is_dir():
            raise InvalidParameter(
                f"the data folder {self.data} does not exist; name one that holds collections"
            )
        if bool(self.user) != bool(self.password):
            raise InvalidParameter("credentials need both a user and a password, one of them came alone")
        if self.user and not re.fullmatch(r"[\w\-.~]+", self.user, re.ASCII):
            raise InvalidParameter(f"a user name takes letters, digits and _ - . ~ only, got {self.user!r}")

    @property
    def open(self) -> bool:
        """Whether everybody who reaches the server may use it."""
        return self.user is None


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_address(host: str, settings: Settings) -> None:
    """Refuse to offer an open server, which runs any Python it is sent, to a network.

    Raises
    ------
    InvalidParameter
        When `host` is not a loopback address and the settings have no credentials.
    """
    if settings.open and not is_loopback(host):
        raise InvalidParameter(
            f"binding to {host} needs credentials, because whoever reaches the server can run Python on this "
            "machine; give a user and a password, or bind to 127.0.0.1"
        )
