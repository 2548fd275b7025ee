"""What a server is told when it starts."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server import proxies
from openeo_udf_fusion.local.server.accounts import require_name
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.udf.confinement import Confinement, server_confinement

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
        The one account. Without it and `users` the server is open: every request is the user `anonymous`.
    users
        File of several accounts, see `accounts`; instead of `user`.
    token_lifetime_s
        How long a bearer token is good for, in seconds.
    link_lifetime_s
        How long a signed link to a result is good for, in seconds.
    namespaces
        What the URL of a namespace may begin with, at public addresses; by default none is read.
    private_namespaces
        The same at addresses of this machine and its network.
    limits
        What a request and a user may take.
    udf
        What the process of a UDF that is not this package's may use.
    run_timeout_s
        How long a run, of a job or a synchronous one, may take, in seconds; None: as long as it does.
    keep_jobs_s
        How long a job and its results stay after its last run, in seconds; None: for ever.
    disk_quota_bytes, user_quota_bytes
        What the state folder may hold, and what the jobs of one user may; None: any amount.
    trusted_proxies
        Addresses and networks of the proxies that tell where a request comes from; by default this machine.

    Raises
    ------
    InvalidParameter
        When the data folder does not exist, only one of user and password is given or one of them is empty,
        or an account and a file of them, or a trusted proxy is no address.
    """

    data: Path
    state: Path
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token_lifetime_s: float = 86_400.0
    link_lifetime_s: float = 7 * 86_400.0
    users: Path | None = None
    namespaces: tuple[str, ...] = ()
    private_namespaces: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    udf: Confinement = field(default_factory=server_confinement)
    keep_jobs_s: float | None = None
    disk_quota_bytes: int | None = None
    user_quota_bytes: int | None = None
    run_timeout_s: float | None = None
    trusted_proxies: tuple[str, ...] = proxies.THIS_MACHINE

    def __post_init__(self) -> None:
        if not self.data.is_dir():
            raise InvalidParameter(
                f"the data folder {self.data} does not exist; name one that holds collections"
            )
        for proxy in self.trusted_proxies:
            proxies.networks(proxy)
        if (self.user is None) != (self.password is None):
            raise InvalidParameter("credentials need both a user and a password, one of them came alone")
        if self.user is not None and self.users is not None:
            raise InvalidParameter(
                f"a server has one account (--user {self.user}) or a file of them (--users), not both"
            )
        if self.user is not None:
            require_name(self.user)
        if self.password == "":
            raise InvalidParameter(f"the password of {self.user} is empty; give one, or leave the user out")

    @property
    def account(self) -> tuple[str, str] | None:
        """User and password of the one account, if there is one."""
        return None if self.user is None or self.password is None else (self.user, self.password)

    @property
    def open(self) -> bool:
        """Whether everybody who reaches the server may use it."""
        return self.account is None and self.users is None


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
            "machine; give --user and a password, or --users, or bind to 127.0.0.1"
        )
