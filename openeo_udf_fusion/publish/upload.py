"""Put processes on a backend: which, what stops it, what is told, and leaving alone what is not ours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

from openeo_udf_fusion.errors import BackendFailed, FusionError, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish import backend_checks, validation
from openeo_udf_fusion.publish.backend import Backend
from openeo_udf_fusion.publish.comparison import Standing, fingerprint, marked, standing
from openeo_udf_fusion.publish.findings import Finding, errors

DIAGNOSTIC = "testing"
"""Category of processes that look at a backend's workers: nothing that its users should come upon."""

Result = Literal["created", "updated", "unchanged", "refused", "failed"]

_WHOSE = {
    "foreign": "the process there is not one of this package",
    "changed": "the process there was published by version {version} of this package and changed by hand",
}


def chosen(processes: Mapping[str, Json], names: Sequence[str] | None = None) -> dict[str, Json]:
    """Return the processes of some names; without names all but diagnostics.

    Raises
    ------
    InvalidParameter
        There is no process of a name.
    """
    unknown = sorted(set(names or ()) - processes.keys())
    if unknown:
        raise InvalidParameter(f"there is no process {unknown}; there are {sorted(processes)}")
    return {
        name: process
        for name, process in processes.items()
        if (DIAGNOSTIC not in process.get("categories", ()) if names is None else name in names)
    }


def flaws(processes: Mapping[str, Json]) -> list[Finding]:
    """Find what is wrong with processes themselves: with any of it none should be published."""
    return errors(validation.validate_all(processes))


@dataclass(frozen=True)
class Survey:
    """What there is to know before processes are published on a backend.

    Attributes
    ----------
    obstacles : list of Finding
        What the backend lacks, without which the processes cannot run: with any of it none should be
        published.
    warnings : list of str
        What a user should know and decide upon.
    """

    obstacles: list[Finding]
    warnings: list[str]


def survey(backend: Backend, processes: Mapping[str, Json]) -> Survey:
    """Ask a backend about processes before they are published there.

    What its own validation objects to is a warning: backends disagree on graphs with open parameters. So are
    predefined processes of the same ids.

    Raises
    ------
    BackendFailed
    Unauthenticated
        Nobody is logged in, and the backend wants that.
    """
    lacking = backend_checks.missing_parts(backend, processes.values())
    obstacles = errors(lacking)
    if obstacles:
        return Survey(obstacles, [])
    _check_login(backend, processes)
    warnings = [finding.message for finding in lacking]
    objections = errors(backend_checks.objections(backend, processes.values()))
    warnings += [f"the backend's validation objects: {finding}" for finding in objections]
    both = sorted(processes.keys() & backend.process_ids())
    if both:
        warnings.append(
            f"{backend.url} has predefined processes of the ids {both}; callers choose with namespace "
            "'backend' or 'user'"
        )
    return Survey([], warnings)


def _check_login(backend: Backend, processes: Mapping[str, Json]) -> None:
    """Raise Unauthenticated where nobody is logged in: once, since every process would meet it."""
    with suppress(BackendFailed):  # what is wrong with one process is its outcome
        for process_id in list(processes)[:1]:
            backend.stored(process_id)


@dataclass(frozen=True)
class Outcome:
    """What became of one process.

    Attributes
    ----------
    process : str
        Its id.
    result : str
        "created", "updated", "unchanged", "refused" (not ours to replace) or "failed".
    message : str
        Why it was refused or failed, or what a user should know; may be empty.
    namespace : str, optional
        What callers give as `namespace`: the public URL that the backend names, else "user", which means the
        processes of whoever is logged in.
    """

    process: str
    result: Result
    message: str = ""
    namespace: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the backend has the process now (or, in a dry run, would)."""
        return self.result not in ("refused", "failed")

    def to_json(self) -> Json:
        """Return it for scripts."""
        return asdict(self)


def publish(
    backend: Backend,
    processes: Iterable[Json],
    *,
    public: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Iterator[Outcome]:
    """Publish processes one by one, yielding what became of each; one that fails does not stop the others.

    Parameters
    ----------
    backend
        Logged in.
    processes
        As they are built; the mark is added here.
    public
        Make them visible to other users. Otherwise they stay as visible as they are, private at first.
    overwrite
        Replace processes that are not of this package, or were changed by hand.
    dry_run
        Only say what would be done.
    """
    for process in processes:
        try:
            yield _publish(backend, process, public, overwrite, dry_run)
        except FusionError as error:
            yield Outcome(process["id"], "failed", str(error))


def _publish(backend: Backend, process: Json, public: bool, overwrite: bool, dry_run: bool) -> Outcome:
    process_id = process["id"]
    there = backend.stored(process_id)
    found = standing(process, there)
    if not found.replaceable and not overwrite:
        return Outcome(process_id, "refused", _refusal(found))
    if found.state == "same" and (is_public(there) or not public):
        return Outcome(process_id, "unchanged", namespace=namespace(there))
    result: Result = "created" if found.state == "absent" else "updated"
    if dry_run:
        return Outcome(process_id, result)
    backend.store(marked(process), public or is_public(there))
    stored = backend.stored(process_id)
    if stored is None or fingerprint(stored) != fingerprint(process):
        raise BackendFailed(f"{backend.url} took {process_id!r}, but what it has now is not what was sent")
    message = "; ".join(_shortfalls(process, stored, public))
    return Outcome(process_id, result, message, namespace(stored))


def _shortfalls(process: Json, stored: Json, public: bool) -> Iterator[str]:
    """What a user should know of a process that was stored."""
    if standing(process, stored).state == "changed":
        yield "the backend rewrites its texts, so that an update will need --overwrite"
    if public and stored.get("public") is False:
        yield "the backend keeps it private"
    elif public and namespace(stored) == "user":
        yield "the backend names no public URL for it"


def _refusal(found: Standing) -> str:
    whose = _WHOSE[found.state].format(version=found.version)
    return f"{whose}; to replace it for good, give --overwrite"


def is_public(stored: Json | None) -> bool:
    """Whether a stored process is visible to others: as it says, else by whether it has a public URL."""
    if stored is None:
        return False
    said = stored.get("public")
    return _canonical(stored) is not None if said is None else bool(said)


def namespace(stored: Json | None) -> str:
    """Return the `namespace` under which callers find a stored process.

    The URL of a private process is of no use to others, so it is not told.
    """
    address = _canonical(stored) if stored is not None and is_public(stored) else None
    return "user" if address is None else address


def _canonical(stored: Json) -> str | None:
    links = stored.get("links") or []
    return next((link["href"] for link in links if link.get("rel") == "canonical"), None)
