"""The document, and two servers: one with an account, one open to this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import openapi
from tests.conformance.served import OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, Served, serve


def pytest_collection_modifyitems(items) -> None:
    """Everything in this folder is part of `make conformance` and of nothing else."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.conformance)


@pytest.fixture(scope="session")
def document(api_document) -> dict:
    """The official OpenAPI document; the run fails where it is missing or not the one that was published."""
    return api_document


@pytest.fixture(scope="session")
def judge(document) -> openapi.Judge:
    """What finds the differences between an answer and its schema."""
    return openapi.Judge(document)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory) -> Iterator[Served]:
    """A server with two accounts, and a token for the first of them."""
    accounts = {USER: PASSWORD, OTHER_USER: OTHER_PASSWORD}
    with serve(tmp_path_factory.mktemp("guarded"), accounts) as served:
        yield served


@pytest.fixture(scope="session")
def open_server(tmp_path_factory) -> Iterator[Served]:
    """A server that asks for no credentials."""
    with serve(tmp_path_factory.mktemp("open"), {}) as served:
        yield served
