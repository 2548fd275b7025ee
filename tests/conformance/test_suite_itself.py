"""The general tests of `openeo-test-suite` as they are, where an environment has them (README.md says how)."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conformance import graphs, openapi
from tests.conformance.served import PASSWORD, USER, serve

INTERPRETER = os.environ.get("OPENEO_TEST_SUITE_PYTHON")
TESTS = "openeo_test_suite.tests.general.test_compliance"
HOW_MANY = 42

NOT_OURS = {
    "test_GET_service_types",
    "test_GET_credentials_oidc",
    "test_GET_jobs_job_id_estimate",
    "test_PUT_process_graphs_process_id",
    "test_POST_result",
}
"""What fails, and is to fail: README.md says why of each."""

PROCESS = {"categories": [], "deprecated": False, "process_graph": graphs.copied()}
JOB = {"title": "test", "description": None, "plan": "none", "budget": None, "process": PROCESS}
PAYLOADS = {
    "put_process_graphs": PROCESS,
    "post_jobs": JOB,
    "patch_jobs": JOB | {"title": "changed"},
    "post_result": JOB,
    "post_validation": PROCESS,
    "empty_payload": {},
}
"""By the folder in which the suite looks for them."""

pytestmark = pytest.mark.skipif(
    not INTERPRETER, reason="OPENEO_TEST_SUITE_PYTHON names no interpreter that has openeo-test-suite"
)


def write_assets(folder: Path, document: dict) -> None:
    """Lay out what the suite's repository has and its wheel has not."""
    folder.mkdir()
    (folder / "openapi.json").write_text(json.dumps(openapi.as_json_schema(document), default=str))
    for name, payload in PAYLOADS.items():
        (folder / "payloads" / name).mkdir(parents=True)
        (folder / "payloads" / name / "one.json").write_text(json.dumps(payload))


@pytest.mark.timeout(300)
def test_the_suite_finds_what_is_known_and_no_more(document, tmp_path):
    write_assets(tmp_path / "suite", document)
    command = [INTERPRETER, "-m", "pytest", "-p", "openeo_test_suite.lib.pytest_plugin", "-p", "suite_plugin"]
    command += ["-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-rfE", "--pyargs", TESTS]
    with serve(tmp_path, {USER: PASSWORD}) as served:
        environment = os.environ | {
            "OPENEO_CONFORMANCE_TOKEN": f"basic//{served.token}",
            "PYTHONPATH": str(Path(__file__).parent),
        }
        done = subprocess.run(
            [*command, "-U", served.url],
            cwd=tmp_path / "suite",
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    output = done.stdout + done.stderr
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S*::(test_\w+)", done.stdout, re.MULTILINE))
    assert failed == NOT_OURS, output
    assert f"{len(NOT_OURS)} failed, {HOW_MANY - len(NOT_OURS)} passed" in done.stdout, output
