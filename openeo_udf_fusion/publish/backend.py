"""An openEO backend as the publisher needs it, through the openEO client; every failure is explained."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Literal

import openeo
from openeo.rest import OpenEoApiError, OpenEoApiPlainError, OpenEoClientException

from openeo_udf_fusion.errors import BackendFailed, InvalidCredentials, InvalidParameter, Unauthenticated
from openeo_udf_fusion.jsontypes import Json, JsonValue

PASSWORD_VARIABLE = "OPENEO_UDF_FUSION_PASSWORD"
Method = Literal["basic", "oidc", "none"]
_NOBODY = 401
_DENIED = (_NOBODY, 403)
_LOG_IN = "log in with --auth basic --user NAME, or --auth oidc"


@dataclass(frozen=True)
class Login:
    """How to log in.

    Parameters
    ----------
    method : "basic", "oidc" or "none", optional
        By default basic where there is a user, else OpenID Connect where the backend offers it.
    user : str, optional
        For basic.
    provider : str, optional
        The OpenID Connect provider, where the backend has several.
    ask : callable, optional
        Asks a person for the password of a user; the environment variable `PASSWORD_VARIABLE` goes first.
    """

    method: Method | None = None
    user: str | None = None
    provider: str | None = None
    ask: Callable[[str], str] | None = None


class Backend:
    """A connection; `connect` makes one."""

    def __init__(self, connection: openeo.Connection, url: str) -> None:
        self._connection = connection
        self.url = url

    def log_in(self, login: Login) -> None:
        """Log in.

        Raises
        ------
        InvalidParameter
            Basic needs a user and a password, which were not given.
        Unauthenticated
            The backend does not offer the method, or none that can be used without more options.
        InvalidCredentials
            It refuses the credentials.
        """
        method = login.method or self._usable_method(login)
        if method == "basic":
            user, password = _credentials(login)
            self._attempt("basic", lambda: self._connection.authenticate_basic(user, password))
        elif method == "oidc":
            self._attempt("oidc", lambda: self._connection.authenticate_oidc(login.provider))

    def _usable_method(self, login: Login) -> Method:
        if login.user:
            return "basic"
        with explained(f"cannot see how to log in at {self.url}"):
            offered = {provider["type"] for provider in self._connection.list_auth_providers()}
        if "oidc" in offered:
            return "oidc"
        hint = "basic authentication: give --user NAME" if "basic" in offered else "neither OIDC nor basic"
        raise Unauthenticated(f"{self.url} offers {hint} (--auth none goes on without a login)")

    def _attempt(self, method: str, authenticate: Callable[[], object]) -> None:
        # The client tells people how to log in on stdout, which belongs to the result.
        try:
            with redirect_stdout(sys.stderr), explained(f"the login at {self.url} failed"):
                authenticate()
        except (BackendFailed, Unauthenticated) as error:
            cause = error.__cause__
            if isinstance(cause, OpenEoApiPlainError) and cause.http_status_code in _DENIED:
                raise InvalidCredentials(f"{self.url} refuses the {method} login: {cause}") from error
            if isinstance(cause, OpenEoClientException):
                raise Unauthenticated(f"no {method} login at {self.url}: {cause}") from error
            raise

    # --- what it has

    def process_ids(self) -> set[str]:
        """Return the ids of its predefined processes."""
        with explained(f"cannot list the processes of {self.url}"):
            return {process["id"] for process in self._connection.list_processes()}

    def udf_runtimes(self) -> Json | None:
        """Return its UDF runtimes by name; None where it does not list them, which openEO leaves open."""
        if not self._connection.capabilities().supports_endpoint("/udf_runtimes"):
            return None
        with explained(f"cannot list the UDF runtimes of {self.url}"):
            runtimes: Json = self._connection.list_udf_runtimes()
            return runtimes

    def stored(self, process_id: str) -> Json | None:
        """Return the user's process of an id as stored, or None."""
        with explained(f"cannot read the process {process_id!r} at {self.url}"):
            try:
                found: Json = self._connection.user_defined_process(process_id).describe()
                return found
            except OpenEoApiError as error:
                if error.code == "ProcessGraphNotFound" or error.http_status_code == 404:
                    return None
                raise

    def objections(self, process: Json) -> list[Json] | None:
        """Return what its own validation objects to, as codes and messages; None where it has none."""
        if not self._connection.capabilities().supports_endpoint("/validation", "POST"):
            return None
        with explained(f"{self.url} cannot validate {process['id']!r}"):
            found: list[Json] = self._connection.post(
                "/validation", json=process, expected_status=200
            ).json()["errors"]
            return found

    # --- what it is given

    def store(self, process: Json, public: bool) -> None:
        """Store a process under its id, in place of one that may be there."""
        fields = ("parameters", "summary", "description", "returns", "categories", "examples", "links")
        with explained(f"{self.url} does not take the process {process['id']!r}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that it has predefined are reported by the caller
            self._connection.save_user_defined_process(
                process["id"],
                process["process_graph"],
                public=public,
                **{name: process[name] for name in fields if name in process},
            )


def connect(url: str) -> Backend:
    """Connect to a backend without logging in; raises BackendFailed where there is none."""
    with explained(f"there is no openEO backend at {url}"):
        # Our own checks come first; a host that refuses connections will not be there a moment later either.
        return Backend(openeo.connect(url, auto_validate=False, retry={"connect": 0}), url)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise for whatever goes wrong between the client and a backend: BackendFailed, or Unauthenticated."""
    try:
        yield
    except OpenEoApiError as error:
        hint = f"; {_LOG_IN}" if error.http_status_code in _DENIED else ""
        kind = Unauthenticated if error.http_status_code == _NOBODY else BackendFailed
        raise kind(f"{what}: {error}{hint}") from error
    # requests' errors are OSErrors; what is no JSON, or another JSON than the API's, ends in the last four
    except (OpenEoClientException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendFailed(f"{what}: {error}") from error


def _credentials(login: Login) -> tuple[str, str]:
    if not login.user:
        raise InvalidParameter("basic authentication needs --user NAME")
    password: JsonValue = os.environ.get(PASSWORD_VARIABLE)
    if password is None and login.ask is not None:
        password = login.ask(login.user)
    if not password:
        raise InvalidParameter(
            f"there is no password for {login.user}: set the environment variable {PASSWORD_VARIABLE}, or "
            "run this in a terminal and be asked"
        )
    return login.user, str(password)
