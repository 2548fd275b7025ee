"""`schemathesis` on every operation that the server offers, with the official document as the judge."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import advertised, exemptions, graphs, openapi
from tests.conformance.graphs import COLLECTION
from tests.conformance.served import PASSWORD, USER, Served, finish_a_job, serve

HERE = Path(__file__).parent
ALONE, CHAINED = "examples,coverage,fuzzing", "stateful"
FINISHED_JOBS = 15
CONFIG = """
[generation]
database = "none"
max-examples = {examples}

[phases.stateful]
max-steps = 12

[phases.stateful.generation]
max-examples = {chains}

[auth.openapi.Basic]
username = "{user}"
password = "{password}"
"""


@dataclass(frozen=True)
class Run:
    """What a run of schemathesis said: its exit code, its output, statuses by operation, what was excused."""

    code: int
    output: str
    statuses: dict[str, dict[str, int]]
    excused: dict[str, int]

    def codes(self, method: str, path: str) -> set[str]:
        """Which statuses an operation answered with."""
        return set(self.statuses.get(f"{method} {path}", {}))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory) -> Iterator[Served]:
    """A server of its own: what asks it so much leaves it full of jobs and processes."""
    with serve(tmp_path_factory.mktemp("fuzzed"), {USER: PASSWORD}) as served:
        yield served


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Iterator[Served]:
    """A server of its own that has a few finished jobs, for requests that follow one another."""
    with serve(tmp_path_factory.mktemp("walked"), {USER: PASSWORD}) as served:
        for _ in range(FINISHED_JOBS):
            finish_a_job(served)
        yield served


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory) -> Iterator[Served]:
    """A server of its own that asks for no credentials, and has a few finished jobs."""
    with serve(tmp_path_factory.mktemp("unguarded"), {}) as served:
        for _ in range(FINISHED_JOBS):
            finish_a_job(served)
        yield served


@pytest.fixture(scope="module")
def offered(fuzzed, unguarded) -> set[tuple[str, str]]:
    """What the server says that it has, with accounts and without."""
    assert advertised.listed(fuzzed) == advertised.listed(unguarded)
    return advertised.listed(fuzzed)


@pytest.fixture(scope="module")
def prepared(document, offered) -> dict:
    """The document, cut down to what is offered, with links and examples."""
    fitted = openapi.with_null(openapi.with_overlap(openapi.offered(document, offered)))
    return openapi.with_links(openapi.with_examples(fitted, COLLECTION, graphs.VALID))


def run(
    document: dict,
    server: Served,
    folder: Path,
    phases: str,
    *,
    examples: int = 40,
    chains: int = 200,
    asked_by: str = exemptions.USER,
) -> Run:
    config = (HERE / "schemathesis.toml").read_text()
    config += CONFIG.format(examples=examples, chains=chains, user=USER, password=PASSWORD)
    if server.token:
        config += f'\n[auth.openapi.Bearer]\nbearer = "basic//{server.token}"\n'
    (folder / "schemathesis.toml").write_text(config)
    (folder / "openapi.json").write_text(json.dumps(document, default=str))
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--config-file", str(folder / "schemathesis.toml"), "run", str(folder / "openapi.json")]
    command += ["--url", server.url, "--no-color", "--phases", phases]
    environment = os.environ | {
        "PYTHONPATH": str(HERE.parents[1]),
        "OPENEO_CONFORMANCE_TALLY": str(folder / "tally.json"),
        "OPENEO_CONFORMANCE_ASKED_BY": asked_by,
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    output, tally = done.stdout + done.stderr, folder / "tally.json"
    assert tally.is_file(), f"schemathesis did not start:\n{output}"
    return Run(done.returncode, output, **json.loads(tally.read_text()))


@pytest.fixture(scope="module")
def authenticated(prepared, fuzzed, tmp_path_factory) -> Run:
    """Each operation for itself, with token and password."""
    return run(prepared, fuzzed, tmp_path_factory.mktemp("authenticated"), ALONE)


@pytest.fixture(scope="module")
def chained(prepared, walked, tmp_path_factory) -> Run:
    """One operation after the other along the links."""
    return run(prepared, walked, tmp_path_factory.mktemp("chained"), CHAINED)


@pytest.fixture(scope="module")
def unauthenticated(prepared, fuzzed, tmp_path_factory) -> Run:
    """Each operation for itself, asked by somebody who has not logged in."""
    folder = tmp_path_factory.mktemp("unauthenticated")
    return run(prepared, fuzzed.without_token(), folder, ALONE, examples=10, asked_by=exemptions.STRANGER)


@pytest.fixture(scope="module")
def anybody(prepared, unguarded, tmp_path_factory) -> Run:
    """An open server, asked a smaller number of all of these but for the coverage, which would be long."""
    return run(
        openapi.without_security(prepared),
        unguarded,
        tmp_path_factory.mktemp("anybody"),
        "examples,fuzzing,stateful",
        examples=10,
        chains=40,
        asked_by=exemptions.ANYBODY,
    )


@pytest.mark.timeout(900)
def test_every_answer_to_the_user_conforms(authenticated):
    assert authenticated.code == 0, authenticated.output


@pytest.mark.timeout(900)
def test_every_answer_along_a_chain_conforms(chained):
    assert chained.code == 0, chained.output


@pytest.mark.timeout(900)
def test_every_answer_to_a_stranger_conforms(unauthenticated):
    assert unauthenticated.code == 0, unauthenticated.output


@pytest.mark.timeout(900)
def test_every_answer_of_an_open_server_conforms(anybody):
    assert anybody.code == 0, anybody.output


def test_exemptions_are_exceptions(authenticated, chained, unauthenticated, anybody, excused):
    """What is not counted is printed by run; more of it than was granted has a cause that nobody has seen."""
    runs = {
        "alone": authenticated,
        "chained": chained,
        "strangers": unauthenticated,
        "open server": anybody,
    }
    for name, run in runs.items():
        excused[name] = run.excused
        assert exemptions.too_many(run.excused) == {}, name


def test_every_operation_succeeds_at_least_once(authenticated, chained, offered):
    assert silent(offered, authenticated, chained) == []


def test_every_operation_of_an_open_server_succeeds_at_least_once(anybody, offered):
    assert silent(offered, anybody) == []


def silent(offered: set[tuple[str, str]], *runs: Run) -> list[tuple[str, str]]:
    """The operations that have not succeeded in any of the runs, so that no answer of theirs was judged."""
    return [
        operation
        for operation in sorted(offered)
        if not any(code[0] == "2" for run in runs for code in run.codes(*operation))
    ]


def test_every_operation_was_asked_without_a_token(unauthenticated, offered, document):
    for method, path in sorted(offered):
        codes = unauthenticated.codes(method, path)
        assert codes, f"{method} {path} was never asked"
        if openapi.is_protected(document, method, path):
            assert "401" in codes, f"{method} {path} answered {codes} to strangers"
            assert not any(code[0] == "2" for code in codes), f"{method} {path} let a stranger in"
