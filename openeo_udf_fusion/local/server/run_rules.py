"""When the operator's rules end a run: it takes too long, or its user has no account any more."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from openeo_udf_fusion.local.server.errors import AccountsUnreadable

Over = Callable[[], str | None]
"""Says why a run has to end, or None."""


@dataclass(frozen=True)
class RunRules:
    """What every run is held to, asked between its tiles and while a user's UDF runs.

    Attributes
    ----------
    timeout_s : float or None
        How long a run may take, in seconds; None: as long as it does.
    is_user : callable
        Whether there is a user (still); while the accounts cannot be read runs go on.
    clock : callable
        Seconds that only grow.
    """

    timeout_s: float | None = None
    is_user: Callable[[str], bool] = lambda user: True
    clock: Callable[[], float] = time.monotonic

    def begin(self, user: str) -> Over:
        """What tells whether a run of a user, which begins now, is over."""
        begin = self.clock()

        def over() -> str | None:
            if self.timeout_s is not None and self.clock() - begin > self.timeout_s:
                return (
                    f"the run took longer than the {self.timeout_s:g} s that this server grants (serve "
                    "--run-timeout); take a smaller area or period, or ask the operator for more"
                )
            return None if self._is_user(user) else "whoever the run was for has no account here any more"

        return over

    def _is_user(self, user: str) -> bool:
        try:
            return self.is_user(user)
        except AccountsUnreadable:
            return True
