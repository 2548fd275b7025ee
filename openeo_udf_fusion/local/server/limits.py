"""What one request, and one user, may take of the server."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.graph_limits import GraphLimits


@dataclass(frozen=True)
class Limits:
    """The limits of a server; each is named, with its number, by the error that it causes.

    Attributes
    ----------
    body_bytes : int
        The largest request body that is read (413 RequestTooLarge).
    body_seconds : float
        How long a body may take to come (408 RequestTimeout).
    header_bytes : int
        Request line and headers together (431 RequestHeadersTooLarge).
    url_characters : int
        Path and query (414 UrlTooLong).
    processes_per_user, process_bytes_per_user : int
        Processes that a user may store, and the bytes of their JSON together (400 StorageQuotaExceeded).
    jobs_per_user : int
        Jobs that a user may have, whatever their state (400 StorageQuotaExceeded).
    job_bytes_per_user : int
        Bytes of the processes, options and texts of a user's jobs together; the server keeps them in memory
        (400 StorageQuotaExceeded).
    queued_per_user : int
        Jobs of a user that may wait or run at a time (429 TooManyRequests).
    synchronous_per_user : int
        Synchronous requests of a user that may wait or run at a time (429 TooManyRequests).
    answer_seconds : float
        How long a client may take for each part (64 KiB) of a synchronous result; then the server hangs up.
    login_failures : int
        Log-ins from one address that may fail within `login_window_s` before further ones are refused (429
        TooManyRequests); for one user name, from wherever, five times as many.
    login_window_s : float
        In seconds.
    graph : GraphLimits
        Limits of a process graph (400 ProcessGraphInvalid).
    """

    body_bytes: int = 16 * 2**20
    body_seconds: float = 120.0
    header_bytes: int = 32 * 2**10
    url_characters: int = 8 * 2**10
    processes_per_user: int = 500
    process_bytes_per_user: int = 100 * 2**20
    jobs_per_user: int = 1000
    job_bytes_per_user: int = 100 * 2**20
    queued_per_user: int = 100
    synchronous_per_user: int = 8
    answer_seconds: float = 60.0
    login_failures: int = 20
    login_window_s: float = 300.0
    graph: GraphLimits = field(default_factory=GraphLimits)


def parse_limits(texts: Iterable[str]) -> Limits:
    """The limits with some changed, by texts such as `jobs_per_user=50` and `graph.nodes=2000`.

    Raises
    ------
    InvalidParameter
        There is no such limit, or it is no number above 0 (a whole one where the limit counts).
    """
    limits = Limits()
    for text in texts:
        name, _, number = text.partition("=")
        known = _numbers(limits)
        if name not in known:
            raise InvalidParameter(f"there is no limit {name!r}; there are {', '.join(known)}")
        change: Json = {name.removeprefix("graph."): _above_zero(text, number, type(known[name]))}
        if name in change:
            limits = replace(limits, **change)
        else:
            limits = replace(limits, graph=replace(limits.graph, **change))
    if limits.graph.depth > GraphLimits().depth:
        raise InvalidParameter(
            f"graph.depth is at most {GraphLimits().depth}, got {limits.graph.depth}: deeper graphs would "
            "exhaust the stack of whoever walks through them"
        )
    return limits


def _numbers(limits: Limits) -> dict[str, int | float]:
    own = asdict(limits)
    graph = own.pop("graph")
    return own | {f"graph.{name}": number for name, number in graph.items()}


def _above_zero(text: str, number: str, kind: type[int | float]) -> float:
    try:
        value = kind(number)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        wanted = "a whole number" if kind is int else "a number"
        raise InvalidParameter(f"a limit is {wanted} above 0, got {text!r}")
    return value
