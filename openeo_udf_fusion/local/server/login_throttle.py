"""Guessing passwords, slowed down: failed log-ins are counted by address and by user name."""

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from openeo_udf_fusion.local.server.errors import TooManyRequests

PER_USER = 5
"""How many times as many failures a user name may have as an address: whoever tries from one place alone is
stopped before the user whose name it is."""

_MOST_KEYS = 10_000


@dataclass
class Attempt:
    """One log-in; a failure unless it says otherwise."""

    succeeded: bool = False


class LoginThrottle:
    """Lets so many log-ins fail in a window of time, then refuses to try.

    A log-in counts from its begin: many at once are no way around the limit.

    Parameters
    ----------
    failures
        From one address in `window_s`; for one user name `PER_USER` times as many.
    """

    def __init__(self, failures: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._window_s = window_s
        self._clock = clock
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, user: str, address: str) -> Iterator[Attempt]:
        """The time of one log-in.

        Raises
        ------
        TooManyRequests
            Too many have failed; nothing was tried.
        """
        most = {
            ("address", _digest(_network(address))): self._failures,
            ("user", _digest(user)): self._failures * PER_USER,
        }
        now = self._clock()
        with self._lock:
            waits = [self._wait(key, number, now) for key, number in most.items()]
            if max(waits) > 0:
                seconds = math.ceil(max(waits))
                raise TooManyRequests(f"too many log-ins have failed; try again in {seconds} s", seconds)
            for key in most:
                self._note(key, now)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            if attempt.succeeded:
                self._forget(list(most), now)

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        times = self._times.get(key, deque())
        while times and times[0] <= now - self._window_s:
            times.popleft()
        return times[-most] + self._window_s - now if len(times) >= most else 0.0

    def _note(self, key: tuple[str, str], now: float) -> None:
        self._times.setdefault(key, deque()).append(now)
        self._times.move_to_end(key)
        while len(self._times) > _MOST_KEYS:
            self._times.popitem(last=False)

    def _forget(self, keys: list[tuple[str, str]], moment: float) -> None:
        """Take this log-in back; the failures of others stay, or an own account would clear them."""
        with self._lock:
            for key in keys:
                times = self._times.get(key, deque())
                if moment in times:
                    times.remove(moment)


def _digest(text: str) -> str:
    """Short whatever the text: a name that is tried may be as long as a header."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _network(address: str) -> str:
    """The address, for IPv6 the /64 that one customer has all of."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)
