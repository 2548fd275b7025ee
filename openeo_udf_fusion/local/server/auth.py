"""One account, bearer tokens that expire, and the endpoints about them.

A server without credentials is open to one user, `anonymous`: it reads no Authorization header, and
`GET /credentials/basic` hands out a token for any name and password, so that a script written for a protected
server runs unchanged. Tokens live in memory: a restart asks everybody to log in again.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable

from fastapi import APIRouter, Request

from openeo_udf_fusion.errors import (
    InvalidAuthenticationScheme,
    InvalidCredentials,
    InvalidToken,
    Unauthenticated,
)
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.settings import ANONYMOUS, Settings

BEARER_PREFIX = "basic//"


class TokenStore:
    """Random bearer tokens; only their digests are kept."""

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._expiry_by_digest: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def issue(self) -> str:
        """A new token, without the `basic//` prefix."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._expiry_by_digest = {k: t for k, t in self._expiry_by_digest.items() if t > now}
            self._expiry_by_digest[_digest(token)] = now + self._lifetime_s
        return token

    def check(self, token: str) -> None:
        """Raise InvalidToken unless the token was issued here and has not expired."""
        with self._lock:
            expiry = self._expiry_by_digest.get(_digest(token))
        if expiry is None or expiry <= self._clock():
            raise InvalidToken(
                "the bearer token is unknown or has expired; log in again at /credentials/basic"
            )


class Authenticator:
    """Says who sends a request, or raises."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = TokenStore(settings.token_lifetime_s)

    @property
    def user(self) -> str:
        """The one user of this server."""
        return self._settings.user or ANONYMOUS

    def log_in(self, authorization: str | None) -> str:
        """Exchange a Basic Authorization header for a token.

        Raises
        ------
        Unauthenticated, InvalidAuthenticationScheme, InvalidCredentials
        """
        user, password = _basic_credentials(authorization)
        if not self._settings.open:
            # Both are compared whatever the first says, so that the time taken tells nothing.
            same_user = _same(user, self._settings.user or "")
            same_password = _same(password, self._settings.password or "")
            if not (same_user and same_password):
                raise InvalidCredentials("user and password do not match")
        return self._tokens.issue()

    def check(self, authorization: str | None) -> None:
        """Raise unless the Authorization header lets its sender in.

        Raises
        ------
        Unauthenticated, InvalidAuthenticationScheme, InvalidToken
        """
        if self._settings.open:
            return
        if not authorization:
            raise Unauthenticated("this needs a bearer token; get one at /credentials/basic")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidAuthenticationScheme(
                f"this needs 'Authorization: Bearer {BEARER_PREFIX}<token>', the scheme was {scheme[:20]!r}"
            )
        if not token.strip().startswith(BEARER_PREFIX):
            raise InvalidToken(
                f"a bearer token starts with {BEARER_PREFIX!r} here; log in at /credentials/basic"
            )
        self._tokens.check(token.strip().removeprefix(BEARER_PREFIX))

    def require(self, request: Request) -> None:
        """FastAPI dependency of every endpoint that belongs to the user."""
        self.check(request.headers.get("authorization"))


def router(authenticator: Authenticator) -> APIRouter:
    """The public endpoint that logs in."""
    routes = APIRouter()

    @routes.get("/credentials/basic")
    def credentials_basic(request: Request) -> Json:
        return {"access_token": authenticator.log_in(request.headers.get("authorization"))}

    return routes


def account_router(authenticator: Authenticator) -> APIRouter:
    """The endpoint that describes the user."""
    routes = APIRouter()

    @routes.get("/me")
    def me() -> Json:
        return {
            "user_id": authenticator.user,
            "name": authenticator.user,
            "storage": None,
            "budget": None,
            "links": [],
        }

    return routes


def _basic_credentials(authorization: str | None) -> tuple[str, str]:
    if not authorization:
        raise Unauthenticated("send 'Authorization: Basic <base64 of user:password>'")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidAuthenticationScheme(
            f"logging in takes the scheme Basic, the scheme was {scheme[:20]!r}"
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


def _same(given: str, expected: str) -> bool:
    # Digests have one length, so that neither the length nor the first difference shows in the time taken.
    return hmac.compare_digest(_digest(given), _digest(expected))
