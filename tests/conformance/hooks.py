"""What schemathesis is told beyond the OpenAPI document: two more checks, and which findings the API permits.

The command line of schemathesis loads this module. `OPENEO_CONFORMANCE_TALLY` names the file that gets, per
operation, how often it answered with each status, and, per exemption, how many findings were not counted.
`OPENEO_CONFORMANCE_ASKED_BY` says who asks, one of `exemptions`.
"""

import atexit
import collections
import json
import os
from pathlib import Path

import schemathesis

from tests.conformance import error_codes, exemptions, openapi
from tests.conformance.graphs import COLLECTION

ASKED_BY = os.environ.get("OPENEO_CONFORMANCE_ASKED_BY", exemptions.USER)
_statuses: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
_excused: collections.Counter = collections.Counter()
_there: set[str] = {COLLECTION, "other"}
"""The identifiers that the server has given, or taken, and that nobody has deleted since."""


@schemathesis.check
def errors_are_openeo_errors(ctx, response, case) -> None:
    """Whatever fails says so in an openEO error object with a known code that fits its status."""
    if case.method.upper() == case.operation.method.upper():
        _statuses[case.operation.label][str(response.status_code)] += 1
        _note_what_is_there(case, response)
    if response.status_code < 400:
        return
    failed_job = case.operation.label == "GET /jobs/{job_id}/results"
    problems = error_codes.flaws(response.status_code, _json(response), failed_job)
    if problems:
        raise AssertionError("; ".join(problems))


@schemathesis.check
def strangers_are_sent_away(ctx, response, case) -> None:
    """Without a token, what belongs to a user answers 401 or 403, and never anything else."""
    if ASKED_BY != exemptions.STRANGER or not _needs_token(case) or case.method.upper() == "OPTIONS":
        return
    if response.status_code not in (401, 403) and not _misses_the_route(response):
        raise AssertionError(f"this needs a token, yet it answered {response.status_code} without one")


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """Keep a finding unless an exemption says that the API permits it."""
    name = exemptions.of(
        exemptions.Finding(
            kind=type(failure).__name__,
            operation=case.operation.label,
            status=response.status_code,
            body=_json(response),
            is_there=_identifier(case) in _there,
            asked_by=ASKED_BY,
            needs_token=_needs_token(case),
            has_empty_graph=_has_empty_graph(case.body),
            freed=getattr(failure, "free", ""),
        )
    )
    if name is not None:
        _excused[name] += 1
    return name is None


def _note_what_is_there(case, response) -> None:
    label, identifier = case.operation.label, _identifier(case)
    if label == "POST /jobs" and response.status_code == 201:
        _there.update(response.headers["openeo-identifier"])
    elif label == "GET /jobs" and response.status_code == 200:
        _there.update(job["id"] for job in _json(response)["jobs"])
    elif label == "PUT /process_graphs/{process_graph_id}" and response.status_code == 200:
        _there.add(identifier)
    elif response.status_code == 204 and label.startswith("DELETE ") and not label.endswith("/results"):
        _there.discard(identifier)


def _identifier(case) -> str | None:
    return next((str(value) for value in (case.path_parameters or {}).values()), None)


def _has_empty_graph(value: object) -> bool:
    if isinstance(value, dict):
        return value.get("process_graph") == {} or any(map(_has_empty_graph, value.values()))
    return isinstance(value, list) and any(map(_has_empty_graph, value))


def _needs_token(case) -> bool:
    return openapi.needs_token(case.operation.definition.raw)


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
        tally = {"statuses": _statuses, "excused": _excused}
        Path(path).write_text(json.dumps(tally, indent=1, sort_keys=True))


atexit.register(_write_tally)
