"""Every answer against the OpenAPI document of openEO API 1.2.0."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

DOCUMENT = "openeo-api-1.2.0.yaml"


def as_json_schema(value):
    """OpenAPI 3.0 to JSON Schema.

    `nullable` becomes a type, and `oneOf` becomes `anyOf`: the document's alternatives overlap (any
    parameter's schema is "Generic", and "Process Graph", and "Datacube").
    """
    if isinstance(value, list):
        return [as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {
        "anyOf" if key == "oneOf" else key: as_json_schema(item)
        for key, item in value.items()
        if key not in ("discriminator", "nullable")
    }
    return {"anyOf": [{"type": "null"}, schema]} if value.get("nullable") is True else schema


@pytest.fixture(scope="session")
def document(shared_data) -> dict:
    path: Path = shared_data / "schemas" / DOCUMENT
    if not path.is_file():
        pytest.skip(f"the OpenAPI document is not at {path}")
    return as_json_schema(yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@pytest.fixture(scope="session")
def problems(document) -> Callable[..., list[str]]:
    """What is wrong with an answer to an operation of the API."""

    def find(answer, path: str, method: str = "get", status: str = "200") -> list[str]:
        escaped = path.replace("/", "~1")
        response = document["paths"][path][method]["responses"][status]
        reference = response.get("$ref", f"#/paths/{escaped}/{method}/responses/{status}")
        schema = document | {"$ref": f"{reference}/content/application~1json/schema"}
        errors = Draft7Validator(schema).iter_errors(answer)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]

    return find


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/openeo",
        "/conformance",
        "/file_formats",
        "/udf_runtimes",
        "/collections",
        "/processes",
    ],
)
def test_discovery_is_as_the_api_says(shared, problems, path):
    assert problems(shared("GET", path).json(), path) == []


def test_a_collection_is_as_the_api_says(shared, problems):
    collection = shared("GET", "/collections/modis").json()
    assert collection["cube:dimensions"]["bands"]["values"] == ["modis_B1", "modis_B2"]
    assert problems(collection, "/collections/{collection_id}") == []


def test_accounts_are_as_the_api_says(shared, problems):
    assert problems(shared("GET", "/me").json(), "/me") == []
    token = shared("GET", "/credentials/basic", headers={"Authorization": "Basic YTpi"}).json()
    assert problems(token, "/credentials/basic") == []


def test_user_processes_are_as_the_api_says(client, graph, problems):
    parameter = {"name": "x", "description": "x", "schema": {"type": "number"}}
    client("PUT", "/process_graphs/mine", json=graph("one") | {"parameters": [parameter]})
    assert problems(client("GET", "/process_graphs").json(), "/process_graphs") == []
    path = "/process_graphs/{process_graph_id}"
    assert problems(client("GET", "/process_graphs/mine").json(), path) == []
    assert problems(client("POST", "/validation", json=graph("one")).json(), "/validation", "post") == []


def test_jobs_are_as_the_api_says(client, problems):
    job = client.run("several", title="Two days", description="Of *January*.", plan="free", budget=2.5)
    failed = client.run("udf")
    assert problems(client("GET", "/jobs").json(), "/jobs") == []
    for each in (job, failed):
        assert problems(client("GET", f"/jobs/{each}").json(), "/jobs/{job_id}") == []
        assert problems(client("GET", f"/jobs/{each}/logs").json(), "/jobs/{job_id}/logs") == []
    results = "/jobs/{job_id}/results"
    assert problems(client("GET", f"/jobs/{job}/results").json(), results) == []
    assert problems(client("GET", f"/jobs/{failed}/results").json(), results, status="424") == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("GET", "/jobs/nothing"), ("POST", "/jobs"), ("DELETE", "/jobs")],
)
def test_errors_are_as_the_api_says(shared, problems, method, path):
    assert problems(shared(method, path).json(), "/jobs", status="4XX") == []


def test_the_check_finds_what_is_wrong(problems):
    assert problems({"jobs": [{"id": "a b", "status": "lost", "created": "x"}]}, "/jobs")


def test_only_paths_of_the_api_are_advertised(shared, document):
    for endpoint in shared("GET", "/").json()["endpoints"]:
        operations = document["paths"][endpoint["path"]]
        assert {method.lower() for method in endpoint["methods"]} <= operations.keys()
