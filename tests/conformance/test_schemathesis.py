"""`schemathesis` on every operation that the server offers, with the official document as the judge."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import graphs, openapi
from tests.conformance.graphs import COLLECTION
from tests.conformance.served import PASSWORD, USER, Served, finish_a_job, serve

HERE = Path(__file__).parent
UNAUTHENTICATED_EXAMPLES = "10"
FINISHED_JOBS = 15


@dataclass(frozen=True)
class Run:
    """What a run of schemathesis said: its exit code, its output, and the statuses by operation."""

    code: int
    output: str
    statuses: dict[str, dict[str, int]]

    def codes(self, method: str, path: str) -> set[str]:
        """Which statuses an operation answered with."""
        return set(self.statuses.get(f"{method} {path}", {}))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory) -> Iterator[Served]:
    """A server of its own: what asks it so much leaves it full of jobs and processes."""
    with serve(tmp_path_factory.mktemp("fuzzed"), {USER: PASSWORD}) as served:
        yield served


@pytest.fixture(scope="module")
def offered(document, fuzzed) -> set[tuple[str, str]]:
    """What the server says that it has."""
    return openapi.advertised(fuzzed("GET", "/").json())


@pytest.fixture(scope="module")
def prepared(document, offered, tmp_path_factory) -> Path:
    """The document, cut down to what is offered, with links and examples."""
    fitted = openapi.with_null(openapi.with_overlap(openapi.offered(document, offered)))
    fitted = openapi.with_links(openapi.with_examples(fitted, COLLECTION, graphs.VALID))
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(fitted, default=str))
    return path


def run(document: Path, server: Served, folder: Path, *arguments: str) -> Run:
    config = (HERE / "schemathesis.toml").read_text()
    if server.token:
        config += f'\n[auth.openapi.Bearer]\nbearer = "basic//{server.token}"\n'
        config += f'\n[auth.openapi.Basic]\nusername = "{USER}"\npassword = "{PASSWORD}"\n'
    (folder / "schemathesis.toml").write_text(config)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--config-file", str(folder / "schemathesis.toml"), "run", str(document), "--url", server.url]
    environment = os.environ | {
        "PYTHONPATH": str(HERE.parents[1]),
        "OPENEO_CONFORMANCE_TALLY": str(folder / "tally.json"),
        "OPENEO_CONFORMANCE_ANONYMOUS": "" if server.token else "1",
    }
    done = subprocess.run(
        [*command, "--no-color", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    output, tally = done.stdout + done.stderr, folder / "tally.json"
    assert tally.is_file(), f"schemathesis did not start:\n{output}"
    return Run(done.returncode, output, json.loads(tally.read_text()))


@pytest.fixture(scope="module")
def authenticated(prepared, fuzzed, tmp_path_factory) -> Run:
    """Each operation for itself, with token and password."""
    folder = tmp_path_factory.mktemp("authenticated")
    return run(prepared, fuzzed, folder, "--phases", "examples,coverage,fuzzing")


@pytest.fixture(scope="module")
def chained(prepared, tmp_path_factory) -> Run:
    """One operation after the other along the links, on a server of its own that has a few finished jobs."""
    with serve(tmp_path_factory.mktemp("fresh"), {USER: PASSWORD}) as fresh:
        for _ in range(FINISHED_JOBS):
            finish_a_job(fresh)
        return run(prepared, fresh, tmp_path_factory.mktemp("chained"), "--phases", "stateful")


@pytest.fixture(scope="module")
def unauthenticated(prepared, fuzzed, tmp_path_factory) -> Run:
    """Each operation for itself, asked by somebody who has not logged in."""
    folder = tmp_path_factory.mktemp("unauthenticated")
    arguments = ("--phases", "examples,coverage,fuzzing", "--max-examples", UNAUTHENTICATED_EXAMPLES)
    return run(prepared, fuzzed.without_token(), folder, *arguments)


@pytest.mark.timeout(900)
def test_every_answer_to_the_user_conforms(authenticated):
    assert authenticated.code == 0, authenticated.output


@pytest.mark.timeout(900)
def test_every_answer_along_a_chain_conforms(chained):
    assert chained.code == 0, chained.output


@pytest.mark.timeout(900)
def test_every_answer_to_a_stranger_conforms(unauthenticated):
    assert unauthenticated.code == 0, unauthenticated.output


def test_every_operation_succeeds_at_least_once(authenticated, chained, offered):
    silent = [
        (method, path)
        for method, path in sorted(offered)
        if not any(code[0] == "2" for code in authenticated.codes(method, path) | chained.codes(method, path))
    ]
    assert silent == []


def test_every_operation_was_asked_without_a_token(unauthenticated, offered, document):
    for method, path in sorted(offered):
        codes = unauthenticated.codes(method, path)
        assert codes, f"{method} {path} was never asked"
        if openapi.is_protected(document, method, path):
            assert "401" in codes, f"{method} {path} answered {codes} to strangers"
            assert not any(code[0] == "2" for code in codes), f"{method} {path} let a stranger in"


def test_the_server_never_failed(fuzzed, authenticated, unauthenticated):
    log = fuzzed.log.read_text()
    assert "openEO API at" in log
    assert "unexpected failure" not in log
