"""Log-in, bearer tokens that expire, and the endpoints about them.

A server without accounts is open to one user, `anonymous`: it reads no Authorization header, and
`GET /credentials/basic` hands out a token for any name and password, so that a script written for a protected
server runs unchanged. Tokens live in memory: a restart asks everybody to log in again.
"""

import base64
import binascii
import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request

from openeo_udf_fusion.errors import InvalidCredentials, Unauthenticated
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server import logs
from openeo_udf_fusion.local.server.accounts import Accounts, AccountsFile, OneAccount, matches
from openeo_udf_fusion.local.server.errors import InvalidAuthenticationScheme, InvalidToken
from openeo_udf_fusion.local.server.login_throttle import LoginThrottle
from openeo_udf_fusion.local.server.settings import ANONYMOUS, Settings

BEARER_PREFIX = "basic//"
MOST_TOKENS_PER_USER = 1000


class Grant(NamedTuple):
    """Whom a token was given to, and for which hash of a password: another one ends it."""

    user: str
    hashed: str
    expiry: float


class TokenStore:
    """Random bearer tokens; only their digests are kept, of each user's last `MOST_TOKENS_PER_USER`."""

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._grants: dict[bytes, Grant] = {}
        self._of: dict[str, deque[bytes]] = {}
        self._lock = threading.Lock()

    def issue(self, user: str, hashed: str = "") -> str:
        """A new token, without the `basic//` prefix."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            own = self._of.setdefault(user, deque())
            # The oldest come first, and expire first: one user's log-ins cost nobody else anything.
            while own and (len(own) >= MOST_TOKENS_PER_USER or self._grants[own[0]].expiry <= now):
                del self._grants[own.popleft()]
            own.append(_digest(token))
            self._grants[own[-1]] = Grant(user, hashed, now + self._lifetime_s)
        return token

    def check(self, token: str) -> Grant:
        """Whom the token was given to.

        Raises
        ------
        InvalidToken
            It was not issued here, or has expired.
        """
        # Digests are looked up, not tokens: how long that takes tells nothing about a token.
        with self._lock:
            grant = self._grants.get(_digest(token))
        if grant is None or grant.expiry <= self._clock():
            raise _invalid_token()
        return grant


class Authenticator:
    """Says who sends a request, or raises.

    Raises
    ------
    InvalidParameter
        The file of accounts is not what it must be.
    """

    def __init__(self, settings: Settings) -> None:
        self._accounts = _accounts(settings)
        self._tokens = TokenStore(settings.token_lifetime_s)
        self._throttle = LoginThrottle(settings.limits.login_failures, settings.limits.login_window_s)

    @property
    def heir(self) -> str | None:
        """Who gets what earlier versions stored without an owner: the only user there is, if it is one."""
        names = [ANONYMOUS] if self._accounts is None else self._accounts.names()
        return names[0] if len(names) == 1 else None

    def log_in(self, authorization: str | None, address: str = "") -> str:
        """Exchange a Basic Authorization header for a token.

        Raises
        ------
        Unauthenticated, InvalidAuthenticationScheme, InvalidCredentials, TooManyRequests, AccountsUnreadable
        """
        user, password = _basic_credentials(authorization)
        if self._accounts is None:
            return secrets.token_urlsafe(32)
        hashed = self._accounts.hash_of(user)
        with self._throttle.attempt(user, address) as attempt:
            if not matches(hashed, password, self._accounts.any_hash()):
                raise InvalidCredentials("user and password do not match")
            attempt.succeeded = True
        return self._tokens.issue(user, hashed or "")

    def check(self, authorization: str | None) -> str:
        """The user whom the Authorization header names.

        Raises
        ------
        Unauthenticated, InvalidAuthenticationScheme, InvalidToken, AccountsUnreadable
        """
        if self._accounts is None:
            return ANONYMOUS
        if not authorization:
            raise Unauthenticated("this needs a bearer token; get one at /credentials/basic")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidAuthenticationScheme(
                f"this needs 'Authorization: Bearer {BEARER_PREFIX}<token>', the scheme was {_known(scheme)}"
            )
        if not token.strip().startswith(BEARER_PREFIX):
            raise InvalidToken(
                f"a bearer token starts with {BEARER_PREFIX!r} here; log in at /credentials/basic"
            )
        grant = self._tokens.check(token.strip().removeprefix(BEARER_PREFIX))
        if self._accounts.hash_of(grant.user) != grant.hashed:
            raise _invalid_token()
        return grant.user

    def require(self, request: Request) -> str:
        """FastAPI dependency of every endpoint that belongs to a user; returns the user's id."""
        user = self.check(request.headers.get("authorization"))
        logs.note(user=user)
        return user

    def knows(self, user: str) -> bool:
        """Whether there is such a user (still); raises AccountsUnreadable."""
        return user == ANONYMOUS if self._accounts is None else self._accounts.hash_of(user) is not None

    def require_account(self, user: str) -> None:
        """Raise InvalidToken unless there is such a user (still)."""
        if not self.knows(user):
            raise InvalidToken("whoever this link was made for has no account here any more")


def router(authenticator: Authenticator) -> APIRouter:
    """The public endpoint that logs in."""
    routes = APIRouter()

    @routes.get("/credentials/basic")
    def credentials_basic(request: Request) -> Json:
        address = request.client.host if request.client else ""
        return {"access_token": authenticator.log_in(request.headers.get("authorization"), address)}

    return routes


def account_router(authenticator: Authenticator) -> APIRouter:
    """The endpoint that describes the user."""
    routes = APIRouter()

    @routes.get("/me")
    def me(user: Annotated[str, Depends(authenticator.require)]) -> Json:
        return {"user_id": user, "name": user, "links": []}

    return routes


def _accounts(settings: Settings) -> Accounts | None:
    if settings.open:
        return None
    if settings.users is not None:
        return AccountsFile(settings.users)
    return OneAccount(*settings.account) if settings.account is not None else None


def _known(scheme: str) -> str:
    # What stands there without a scheme may be a token, or a password.
    return scheme if scheme.lower() in ("basic", "bearer", "digest", "negotiate") else "none that is known"


def _invalid_token() -> InvalidToken:
    return InvalidToken("the bearer token is unknown or has expired; log in again at /credentials/basic")


def _basic_credentials(authorization: str | None) -> tuple[str, str]:
    if not authorization:
        raise Unauthenticated("send 'Authorization: Basic <base64 of user:password>'")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidAuthenticationScheme(
            f"logging in takes the scheme Basic, the scheme was {_known(scheme)}"
        )
    try:
        user, separator, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidCredentials(
            "the Basic credentials are not base64 of UTF-8 text 'user:password'"
        ) from None
    if not separator:
        raise InvalidCredentials("the Basic credentials have no colon between user and password")
    return user, password


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
