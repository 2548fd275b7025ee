"""The official OpenAPI document, cut down to what a server offers and made fit for validators."""

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

DOCUMENT = Path(__file__).with_name("openeo-api-1.2.0.yaml")
SHA256 = "7f5fb779aeaf23ea1b88fc310fc46c4afe8d07c6af9a75393f4a402dd2b343ec"
METHODS = ("get", "put", "post", "patch", "delete")

ALWAYS = ("/", "/.well-known/openeo")
"""Every server has these; GET / need not list itself."""


def load(path: Path = DOCUMENT) -> dict:
    """The document as it was published, of which README.md says where from.

    Raises
    ------
    ValueError
        When the file is not that document to the byte: a judge whom somebody has changed is none.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path} is not the API's document: its SHA-256 is {found}, not {SHA256}")
    return yaml.load(content.decode(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def operations(document: dict) -> Iterator[tuple[str, str]]:
    """(method, path) of every operation, the method in upper case."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path


def advertised(capabilities: dict) -> set[tuple[str, str]]:
    """(method, path) of what the answer to GET / lists, and of what every server has."""
    listed = {
        (method, endpoint["path"])
        for endpoint in capabilities["endpoints"]
        for method in endpoint["methods"]
        if method != "OPTIONS"
    }
    return listed | {("GET", path) for path in ALWAYS}


def is_protected(document: dict, method: str, path: str) -> bool:
    """Whether the API demands a bearer token."""
    return needs_token(document["paths"][path][method.lower()])


def needs_token(operation: dict) -> bool:
    """Whether an operation of the document is for those alone who have a bearer token."""
    security = operation.get("security") or [{}]
    return {} not in security and all("Bearer" in scheme for scheme in security)


def without_security(document: dict) -> dict:
    """A copy in which nothing asks for a token, as on an open server."""
    free = copy.deepcopy(document)
    for method, path in operations(free):
        if is_protected(document, method, path):
            del free["paths"][path][method.lower()]["security"]
    return free


def offered(document: dict, wanted: set[tuple[str, str]]) -> dict:
    """A copy with only the wanted operations."""
    reduced = copy.deepcopy(document)
    for method, path in operations(document):
        if (method, path) not in wanted:
            del reduced["paths"][path][method.lower()]
    reduced["paths"] = {
        path: item for path, item in reduced["paths"].items() if any(method in item for method in METHODS)
    }
    return reduced


def with_overlap(value):
    """`oneOf` as `anyOf`.

    The alternatives of the document overlap: any parameter's schema is "Generic" and "Process Graph" and
    "Datacube" at once, and a validator that takes `oneOf` literally would refuse the document's own examples.
    """
    if isinstance(value, list):
        return [with_overlap(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "anyOf" if key == "oneOf" else key: with_overlap(item)
        for key, item in value.items()
        if key != "discriminator"
    }


def with_null(document: dict) -> dict:
    """A copy in which the metadata of a process may be null.

    A process graph with metadata says so of these, and then takes it back by the schema that it extends.
    """
    lenient = copy.deepcopy(document)
    properties = lenient["components"]["schemas"]["process"]["properties"]
    for name in ("id", "summary", "description", "parameters", "returns"):
        properties[name] = {"allOf": [properties[name]], "nullable": True}
    return lenient


def as_json_schema(value):
    """OpenAPI 3.0 to JSON Schema: overlapping alternatives, and `nullable` as a type."""
    return _nullable(with_overlap(value))


def _nullable(value):
    if isinstance(value, list):
        return [_nullable(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _nullable(item) for key, item in value.items() if key != "nullable"}
    return {"anyOf": [{"type": "null"}, schema]} if value.get("nullable") is True else schema


def with_links(document: dict) -> dict:
    """A copy that says which answer has the identifiers that other operations take.

    The prose of the API says it; `schemathesis` reads it as OpenAPI links and walks along them.
    """
    linked = copy.deepcopy(document)
    for (method, path, status), (prefix, parameter, expression) in _LINKS.items():
        answer = linked["paths"].get(path, {}).get(method, {}).get("responses", {}).get(status)
        if answer is not None:
            answer["links"] = {
                f"{follower} {target}": {
                    "operationId": linked["paths"][target][follower.lower()]["operationId"],
                    "parameters": {parameter: expression},
                }
                for follower, target in operations(linked)
                if target.startswith(prefix)
            }
    return linked


_LINKS = {
    ("post", "/jobs", "201"): ("/jobs/{job_id}", "job_id", "$response.header.OpenEO-Identifier"),
    ("get", "/jobs", "200"): ("/jobs/{job_id}", "job_id", "$response.body#/jobs/0/id"),
    ("post", "/jobs/{job_id}/results", "202"): ("/jobs/{job_id}", "job_id", "$request.path.job_id"),
    ("put", "/process_graphs/{process_graph_id}", "200"): (
        "/process_graphs/{process_graph_id}",
        "process_graph_id",
        "$request.path.process_graph_id",
    ),
    ("get", "/collections", "200"): (
        "/collections/{collection_id}",
        "collection_id",
        "$response.body#/collections/0/id",
    ),
}


def with_examples(document: dict, collection: str, graphs: dict[str, dict]) -> dict:
    """A copy whose requests have examples that this server can run.

    Parameters
    ----------
    collection
        The id of a collection that the server has.
    graphs
        Process graphs by name; the document's own examples name collections of elsewhere.
    """
    fitted = copy.deepcopy(document)
    fitted["components"]["schemas"]["collection_id"]["example"] = collection
    wrapped = {name: {"value": {"process": {"process_graph": graph}}} for name, graph in graphs.items()}
    plain = {name: {"value": {"process_graph": graph}} for name, graph in graphs.items()}
    for method, path, examples in (
        ("post", "/jobs", wrapped),
        ("post", "/result", wrapped),
        ("post", "/validation", plain),
        ("put", "/process_graphs/{process_graph_id}", plain),
    ):
        content = fitted["paths"][path][method]["requestBody"]["content"]["application/json"]
        content.pop("example", None)
        content["examples"] = examples
    return fitted


class Judge:
    """Says what is wrong with an answer, by the schemas of the document."""

    def __init__(self, document: dict) -> None:
        self._document = as_json_schema(document)

    def problems(self, answer: object, path: str, method: str = "get", status: str = "200") -> list[str]:
        """Where, and how, the JSON of an answer to an operation differs from its schema; empty if nowhere."""
        escaped = path.replace("/", "~1")
        response = self._document["paths"][path][method]["responses"][status]
        reference = response.get("$ref", f"#/paths/{escaped}/{method}/responses/{status}")
        schema = self._document | {"$ref": f"{reference}/content/application~1json/schema"}
        errors = Draft7Validator(schema).iter_errors(answer)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]
