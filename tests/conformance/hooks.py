"""What schemathesis is told beyond the OpenAPI document: two more checks, and which findings the API permits.

The command line of schemathesis loads this module. `OPENEO_CONFORMANCE_TALLY` names the file that gets, per
operation, how often it answered with each status.
"""

import atexit
import collections
import json
import os
from pathlib import Path

import schemathesis

from tests.conformance import error_codes

ANONYMOUS = os.environ.get("OPENEO_CONFORMANCE_ANONYMOUS") == "1"
BEYOND_SCHEMAS = {
    "CollectionNotFound",
    "FormatUnsupported",
    "ProcessGraphInvalid",
    "ProcessParameterInvalid",
    "ProcessParameterRequired",
    "ProcessParameterUnsupported",
    "ProcessUnsupported",
}
"""What can be wrong with a process graph that no JSON schema can see."""
STATES = {
    "GET /jobs/{job_id}/results": {"JobNotFinished", "JobNotStarted"},
    "GET /jobs/{job_id}/logs": {"RequestInvalid"},
    "PATCH /jobs/{job_id}": {"JobLocked", "NoDataForUpdate"},
    "POST /jobs": {"StorageQuotaExceeded"},
    "PUT /process_graphs/{process_graph_id}": {"StorageQuotaExceeded"},
}
"""What a well-formed request may be told, by operation: the job is not so far, there is no such log entry,
the user has as many jobs as are granted."""

_tally: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


@schemathesis.check
def errors_are_openeo_errors(ctx, response, case) -> None:
    """Whatever fails says so in an openEO error object with a known code that fits its status."""
    if case.method.upper() == case.operation.method.upper():
        _tally[case.operation.label][str(response.status_code)] += 1
    if response.status_code < 400:
        return
    failed_job = case.operation.label == "GET /jobs/{job_id}/results"
    problems = error_codes.flaws(response.status_code, _json(response), failed_job)
    if problems:
        raise AssertionError("; ".join(problems))


@schemathesis.check
def strangers_are_sent_away(ctx, response, case) -> None:
    """Without a token, what belongs to a user answers 401 or 403, and never anything else."""
    if not ANONYMOUS or not _needs_token(case) or case.method.upper() == "OPTIONS":
        return
    if response.status_code not in (401, 403) and not _misses_the_route(response):
        raise AssertionError(f"this needs a token, yet it answered {response.status_code} without one")


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """Keep a finding unless the prose of the API permits what the schema forbids."""
    finding, code = type(failure).__name__, (_json(response) or {}).get("code")
    if finding == "RejectedPositiveData":
        # A job that has failed answers 424 with the error that it failed of.
        return response.status_code != 424 and not _is_wrong_beyond_schemas(code, case)
    if finding == "AcceptedNegativeData":
        return not _is_found_by_validation(case, response)
    if finding == "UseAfterFree":
        # This DELETE stops a job; it has no effect on one that has finished, and takes nothing away.
        return not failure.free.startswith("DELETE /jobs/") or not failure.free.endswith("/results")
    return True


def _is_wrong_beyond_schemas(code: str | None, case) -> bool:
    if code in BEYOND_SCHEMAS:
        return case.operation.method.upper() in ("POST", "PUT", "PATCH")
    if code == "RequestInvalid" and _has_empty_graph(case.body):
        return True
    return code in STATES.get(case.operation.label, ())


def _has_empty_graph(value: object) -> bool:
    if isinstance(value, dict):
        return value.get("process_graph") == {} or any(map(_has_empty_graph, value.values()))
    return isinstance(value, list) and any(map(_has_empty_graph, value))


def _is_found_by_validation(case, response) -> bool:
    # POST /validation succeeds by finding what is wrong.
    return case.operation.label == "POST /validation" and bool((_json(response) or {}).get("errors"))


def _needs_token(case) -> bool:
    security = case.operation.definition.raw.get("security") or [{}]
    return {} not in security and all("Bearer" in scheme for scheme in security)


def _misses_the_route(response) -> bool:
    # A path parameter with a slash, or a method that the path does not take, asks for something else.
    return (_json(response) or {}).get("code") in ("NotFound", "MethodNotAllowed")


def _json(response):
    try:
        return response.json()
    except ValueError:
        return None


def _write_tally() -> None:
    path = os.environ.get("OPENEO_CONFORMANCE_TALLY")
    if path:
        Path(path).write_text(json.dumps(_tally, indent=1, sort_keys=True))


atexit.register(_write_tally)
