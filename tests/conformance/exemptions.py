"""Which findings of schemathesis the prose of the API permits; README.md has the same list for people.

Each one names its operations and the codes of its errors, holds under a condition where one can be checked,
and is counted: more than it grants in one run is a failure.
"""

from collections.abc import Callable
from dataclasses import dataclass

REJECTED, ACCEPTED = "RejectedPositiveData", "AcceptedNegativeData"
STILL_THERE, UNASKED = "UseAfterFree", "IgnoredAuth"

JOBS = {
    "DELETE /jobs/{job_id}",
    "DELETE /jobs/{job_id}/results",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/logs",
    "GET /jobs/{job_id}/results",
    "PATCH /jobs/{job_id}",
    "POST /jobs/{job_id}/results",
}
PROCESSES = {"DELETE /process_graphs/{process_graph_id}", "GET /process_graphs/{process_graph_id}"}
STORED_GRAPHS = {"PATCH /jobs/{job_id}", "POST /jobs", "PUT /process_graphs/{process_graph_id}"}

WRONG_GRAPHS = {
    "CollectionNotFound",
    "FormatUnsupported",
    "ProcessGraphInvalid",
    "ProcessParameterInvalid",
    "ProcessParameterRequired",
    "ProcessParameterUnsupported",
    "ProcessUnsupported",
}
USER, STRANGER, ANYBODY = "user", "stranger", "anybody"
"""Who asks: somebody with a token, somebody without one, somebody of whom an open server wants none."""


@dataclass(frozen=True)
class Finding:
    """What schemathesis holds against an answer, and what is known of the request."""

    kind: str
    operation: str
    status: int
    body: object
    is_there: bool
    asked_by: str
    needs_token: bool
    has_empty_graph: bool
    freed: str = ""

    @property
    def code(self) -> str | None:
        """The code of the error, if the answer has one."""
        return self.body.get("code") if isinstance(self.body, dict) else None


@dataclass(frozen=True)
class Exemption:
    """A kind of finding, of some operations, with some codes (None: no error); how many a run may have."""

    kind: str
    operations: frozenset[str]
    codes: frozenset[str | None]
    at_most: int
    when: Callable[[Finding], bool] = lambda finding: True

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is not to be counted against the server."""
        same = (self.kind, True, True) == (
            finding.kind,
            finding.operation in self.operations,
            finding.code in self.codes,
        )
        return same and self.when(finding)


def _exemption(kind, operations, codes, at_most, when=lambda finding: True) -> Exemption:
    return Exemption(kind, frozenset(operations), frozenset(codes), at_most, when)


def _lists_errors(finding: Finding) -> bool:
    return isinstance(finding.body, dict) and bool(finding.body.get("errors"))


EXEMPTIONS = {
    "no such job": _exemption(REJECTED, JOBS, {"JobNotFound"}, 900, lambda found: not found.is_there),
    "no such stored process": _exemption(
        REJECTED, PROCESSES, {"ProcessGraphNotFound"}, 100, lambda found: not found.is_there
    ),
    "no such collection": _exemption(
        REJECTED,
        {"GET /collections/{collection_id}"},
        {"CollectionNotFound"},
        60,
        lambda found: not found.is_there,
    ),
    "unknown process or no result": _exemption(
        REJECTED, {"POST /result"}, {"ProcessGraphInvalid", "ProcessUnsupported"}, 60
    ),
    "empty process graph": _exemption(
        REJECTED,
        STORED_GRAPHS | {"POST /result"},
        {"ProcessGraphInvalid", "RequestInvalid"},
        150,
        lambda found: found.has_empty_graph,
    ),
    "job without results yet": _exemption(
        REJECTED, {"GET /jobs/{job_id}/results"}, {"JobNotFinished", "JobNotStarted"}, 150
    ),
    "job that failed": _exemption(
        REJECTED,
        {"GET /jobs/{job_id}/results"},
        WRONG_GRAPHS,
        60,
        lambda found: found.status == 424,
    ),
    "job that is queued or runs": _exemption(REJECTED, {"PATCH /jobs/{job_id}"}, {"JobLocked"}, 20),
    "no property of a job": _exemption(REJECTED, {"PATCH /jobs/{job_id}"}, {"NoDataForUpdate"}, 40),
    "no such log entry": _exemption(REJECTED, {"GET /jobs/{job_id}/logs"}, {"RequestInvalid"}, 100),
    "validation by a stranger": _exemption(
        REJECTED,
        {"POST /validation"},
        {"AuthenticationRequired"},
        1000,
        lambda found: found.asked_by == STRANGER,
    ),
    "log-in that an open server does not need": _exemption(
        UNASKED,
        {"GET /credentials/basic"},
        {None},
        20,
        lambda found: found.asked_by == ANYBODY,
    ),
    "stopped, not removed": _exemption(
        STILL_THERE,
        JOBS,
        {None, "JobNotStarted", "JobNotFinished"},
        60,
        lambda found: found.freed.startswith("DELETE /jobs/") and found.freed.endswith("/results"),
    ),
    "found by validation": _exemption(ACCEPTED, {"POST /validation"}, {None}, 250, _lists_errors),
}
STRANGERS = "stranger without a right token"
REFUSED = {(401, "AuthenticationRequired"), (403, "TokenInvalid")}


def of(finding: Finding) -> str | None:
    """The name of the exemption that covers a finding; None if it counts."""
    if finding.kind == REJECTED and finding.asked_by == STRANGER and finding.needs_token:
        return STRANGERS if (finding.status, finding.code) in REFUSED else None
    return next((name for name, exemption in EXEMPTIONS.items() if exemption.covers(finding)), None)


def too_many(counts: dict[str, int]) -> dict[str, int]:
    """What a run was excused more often than granted."""
    return {
        name: count
        for name, count in counts.items()
        if name != STRANGERS and count > EXEMPTIONS[name].at_most
    }
