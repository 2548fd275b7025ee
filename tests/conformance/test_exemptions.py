"""What is not counted is no wider than its reason: the same answer elsewhere, or to others, is a finding."""

from dataclasses import replace

import pytest

from tests.conformance import exemptions
from tests.conformance.exemptions import ACCEPTED, REJECTED, STILL_THERE, UNASKED, Finding
from tests.conformance.served import unexpected


def rejected(operation: str, status: int, code: str, **known) -> Finding:
    facts = dict.fromkeys(("is_there", "needs_token", "has_empty_graph"), False)
    facts["asked_by"] = exemptions.USER
    return Finding(REJECTED, operation, status, {"code": code, "message": "x"}, **facts | known)


STRANGER = {"asked_by": exemptions.STRANGER, "needs_token": True}
RESULTS = "GET /jobs/{job_id}/results"
STOPPED = replace(rejected(RESULTS, 200, ""), kind=STILL_THERE, body={}, freed="DELETE /jobs/1/results")
LISTED = replace(rejected("POST /validation", 200, ""), kind=ACCEPTED, body={"errors": [{"code": "x"}]})
LOG_IN = replace(LISTED, kind=UNASKED, operation="GET /credentials/basic", asked_by=exemptions.ANYBODY)


@pytest.mark.parametrize(
    ("permitted", "change"),
    [
        (rejected("GET /jobs/{job_id}", 404, "JobNotFound"), {"is_there": True}),
        (rejected("GET /jobs/{job_id}", 404, "JobNotFound"), {"operation": "GET /jobs"}),
        (rejected("GET /collections/{collection_id}", 404, "CollectionNotFound"), {"is_there": True}),
        (rejected("POST /result", 400, "ProcessUnsupported"), {"operation": "POST /jobs"}),
        (
            rejected("POST /jobs", 400, "ProcessGraphInvalid", has_empty_graph=True),
            {"has_empty_graph": False},
        ),
        (rejected(RESULTS, 424, "ProcessUnsupported"), {"status": 400}),
        (rejected(RESULTS, 424, "ProcessUnsupported"), {"operation": "GET /jobs/{job_id}"}),
        (rejected(RESULTS, 424, "ProcessUnsupported"), {"body": {"code": "Internal"}}),
        (rejected("GET /me", 401, "AuthenticationRequired", **STRANGER), {"asked_by": exemptions.USER}),
        (rejected("GET /me", 401, "AuthenticationRequired", **STRANGER), {"needs_token": False}),
        (rejected("GET /me", 401, "AuthenticationRequired", **STRANGER), {"status": 403}),
        (
            rejected("POST /validation", 401, "AuthenticationRequired", asked_by=exemptions.STRANGER),
            {"asked_by": exemptions.USER},
        ),
        (STOPPED, {"freed": "DELETE /jobs/1"}),
        (LISTED, {"body": {"errors": []}}),
        (LISTED, {"operation": "POST /jobs"}),
        (LOG_IN, {"asked_by": exemptions.USER}),
        (LOG_IN, {"operation": "GET /me"}),
    ],
)
def test_an_exemption_ends_where_its_reason_does(permitted, change):
    assert exemptions.of(permitted) is not None
    assert exemptions.of(replace(permitted, **change)) is None


@pytest.mark.parametrize("name", exemptions.EXEMPTIONS)
def test_more_than_granted_is_found(name):
    granted = exemptions.EXEMPTIONS[name].at_most
    assert exemptions.too_many({name: granted}) == {}
    assert exemptions.too_many({name: granted + 1}) == {name: granted + 1}


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 10:00:00 ERROR openeo_udf_fusion.local.server.responses: 1f unexpected failure",
        "2026-01-01 10:00:00 ERROR openeo_udf_fusion.local.server.worker: job 1f failed unexpectedly",
        "Traceback (most recent call last):",
    ],
)
def test_errors_are_found_in_a_log(line):
    assert unexpected(f"2026-01-01 10:00:00 INFO access: GET / 200\n{line}\n") == [line]
