"""What holds for every endpoint: errors, methods, CORS, limits, and that no client's text becomes a path."""

import http.client
import json
from contextlib import closing
from urllib.parse import quote

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.endpoints import ENDPOINTS
from openeo_udf_fusion.local.server.settings import Settings

NODE = {"process_id": "one", "arguments": {}, "result": True}


BAD_NODE = {"process_id": "one", "arguments": {"data": [{"from_node": ["x"]}]}}
BAD_CALLBACK = {"process_id": "one", "arguments": {"process": {"process_graph": [1]}}}
GRAPH = {"process_graph": {"n": NODE}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "NotFound"),
        ("GET", "/jobs/", None, 404, "NotFound"),
        ("DELETE", "/jobs", None, 405, "MethodNotAllowed"),
        ("GET", "/collections/nothing", None, 404, "CollectionNotFound"),
        ("GET", "/process_graphs/nothing", None, 404, "ProcessGraphNotFound"),
        ("DELETE", "/process_graphs/nothing", None, 404, "ProcessGraphNotFound"),
        ("PUT", "/process_graphs/no-id", {"process_graph": {"node": NODE}}, 400, "ProcessParameterInvalid"),
        ("PUT", "/process_graphs/an_id", {}, 400, "ProcessGraphMissing"),
        ("PUT", "/process_graphs/an_id", {"process_graph": {}}, 400, "ProcessGraphInvalid"),
        (
            "PUT",
            "/process_graphs/an_id",
            {"process_graph": {"n": {"process_id": "x"}}},
            400,
            "ProcessGraphInvalid",
        ),
        ("PUT", "/process_graphs/an_id", {"process_graph": {"n": BAD_NODE}}, 400, "ProcessGraphInvalid"),
        ("PUT", "/process_graphs/an_id", {"process_graph": {"n": BAD_CALLBACK}}, 400, "ProcessGraphInvalid"),
        ("PUT", "/process_graphs/an_id", GRAPH | {"parameters": [{"name": "x"}]}, 400, "RequestInvalid"),
        (
            "PUT",
            "/process_graphs/an_id",
            GRAPH | {"returns": {"schema": {"type": "x"}}},
            400,
            "RequestInvalid",
        ),
        ("GET", "/jobs/nothing", None, 404, "JobNotFound"),
        ("PATCH", "/jobs/nothing", {"title": "x"}, 404, "JobNotFound"),
        ("DELETE", "/jobs/nothing", None, 404, "JobNotFound"),
        ("GET", "/jobs/nothing/logs", None, 404, "JobNotFound"),
        ("GET", "/jobs/nothing/results", None, 404, "JobNotFound"),
        ("POST", "/jobs/nothing/results", None, 404, "JobNotFound"),
        ("DELETE", "/jobs/nothing/results", None, 404, "JobNotFound"),
        ("GET", "/jobs?limit=0", None, 400, "RequestInvalid"),
        ("GET", "/jobs?limit=many", None, 400, "RequestInvalid"),
        ("POST", "/jobs", {}, 400, "RequestInvalid"),
        ("POST", "/jobs", [], 400, "RequestInvalid"),
        ("POST", "/jobs", {"process": {}}, 400, "ProcessGraphMissing"),
        ("POST", "/jobs", {"process": {"process_graph": []}}, 400, "ProcessGraphInvalid"),
        ("POST", "/jobs", {"process": {"process_graph": {"n": NODE}}, "budget": -1}, 400, "RequestInvalid"),
        ("POST", "/jobs", {"process": {"process_graph": {"n": NODE}}, "title": 1}, 400, "RequestInvalid"),
        (
            "POST",
            "/jobs",
            {"process": {"process_graph": {"n": NODE}}, "log_level": "x"},
            400,
            "RequestInvalid",
        ),
        ("PUT", "/process_graphs/mine", {"summary": "no graph"}, 400, "ProcessGraphMissing"),
        (
            "POST",
            "/result",
            {"process": {"process_graph": {"n": NODE | {"process_id": "udf"}}}},
            400,
            "UdfFailed",
        ),
        (
            "POST",
            "/result",
            {"process": {"process_graph": {"n": NODE | {"process_id": "bug"}}}},
            500,
            "Internal",
        ),
    ],
)
def test_errors_are_openeo_errors(shared, method, path, body, status, code):
    response = shared(method, path, json=body)
    error = response.json()
    assert (response.status_code, error["code"]) == (status, code)
    assert error["message"]
    assert error["id"]
    assert error["links"] == []
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_a_bug_is_logged_with_its_id_and_told_without_its_details(client, caplog):
    body = {"process": {"process_graph": {"n": NODE | {"process_id": "bug"}}}}
    error = client("POST", "/result", json=body).json()
    assert "secret" not in json.dumps(error)
    (record,) = [record for record in caplog.records if error["id"] in record.getMessage()]
    assert "a secret path" in str(record.exc_info[1])


@pytest.mark.parametrize(
    ("text", "content_type", "status", "code"),
    [
        (b"{half", "application/json", 400, "RequestInvalid"),
        (b"", "application/json", 400, "RequestInvalid"),
        (b"\xff\xfe\x00", "application/json", 400, "RequestInvalid"),
        (b'{"process": NaN}', "application/json", 400, "RequestInvalid"),
        (b"[" * 100_000, "application/json", 400, "RequestInvalid"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "application/json", 400, "RequestInvalid"),
        (b"{}", "text/plain", 400, "ContentTypeInvalid"),
        (b" " * 2_000_000, "application/json", 413, "RequestTooLarge"),
    ],
)
def test_a_body_that_is_no_json_is_refused(shared, text, content_type, status, code):
    response = shared("POST", "/jobs", data=text, headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_text_that_no_file_encodes_goes_in_and_out_unharmed(shared):
    job = shared.create("one", title="\ud800 ü 山")
    assert shared("GET", f"/jobs/{job}").json()["title"] == "\ud800 ü 山"


def test_the_table_of_endpoints_is_what_the_application_serves(data, tmp_path):
    app = create_app(Settings(data, tmp_path / "state"))
    served = {
        path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()
    }
    assert served == {endpoint.path: set(endpoint.methods) for endpoint in ENDPOINTS}


def test_the_capabilities_list_what_is_there(shared):
    for endpoint in shared("GET", "/").json()["endpoints"]:
        path = endpoint["path"].replace("{", "").replace("}", "")
        preflight = shared("OPTIONS", path)
        assert preflight.status_code == 204
        assert preflight.content == b""
        allowed = preflight.headers["Access-Control-Allow-Methods"].split(", ")
        assert set(allowed) - {"OPTIONS", "HEAD"} == set(endpoint["methods"])
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert preflight.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/", "/collections/modis", "/jobs", "/nowhere", "/jobs/nothing"])
def test_head_is_get_without_the_body(shared, path):
    get, head = shared("GET", path), shared("HEAD", path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_other_methods_are_named(shared):
    response = shared("POST", "/jobs/nothing")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}


ESCAPES = [
    "../secret",
    "..",
    ".",
    "/etc/passwd",
    "..\\secret",
    "%2e%2e%2fsecret",
    "job.json",
    "../job.json",
    "a\0b",
    "~",
    "result.nc/../../job.json",
    "x" * 5000,
    "ü",
]


def raw(url: str, method: str, path: str, body: dict | None) -> tuple[int, bytes]:
    """Send a path as it is; requests would resolve its dots."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    with closing(connection):
        text = json.dumps(body) if body else None
        connection.request(method, path, body=text, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_id_or_name_leads_out_of_its_folder(client, escape):
    around = client.state.parent
    (around / "secret").write_text("secret")
    (around / "secret.json").write_text(json.dumps({"id": "secret", "process_graph": {"n": NODE}}))
    job = client.run("one")
    files = sorted(str(path) for path in around.rglob("*"))
    text = quote(escape, safe="")
    for method, path in [
        ("GET", f"/collections/{text}"),
        ("GET", f"/process_graphs/{text}"),
        ("DELETE", f"/process_graphs/{text}"),
        ("PUT", f"/process_graphs/{text}"),
        ("GET", f"/jobs/{text}"),
        ("DELETE", f"/jobs/{text}"),
        ("PATCH", f"/jobs/{text}"),
        ("POST", f"/jobs/{text}/results"),
        ("DELETE", f"/jobs/{text}/results"),
        ("GET", f"/jobs/{text}/results"),
        ("GET", f"/jobs/{text}/logs"),
        ("GET", f"/jobs/{job}/results/assets/{text}"),
    ]:
        body = (
            {"process_graph": {"n": NODE}}
            if method == "PUT"
            else {"title": "x"}
            if method == "PATCH"
            else None
        )
        status, answer = raw(client.url, method, path, body)
        assert 400 <= status < 500, (method, path, answer)
        assert b'"secret"' not in answer
    assert sorted(str(path) for path in around.rglob("*")) == files


def test_a_state_folder_serves_one_server(serve, data, tmp_path):
    with serve(), pytest.raises(InvalidParameter, match="another server"):
        create_app(Settings(data, tmp_path / "state"))


def test_the_data_folder_must_be_there(tmp_path):
    with pytest.raises(InvalidParameter, match="does not exist"):
        Settings(tmp_path / "nothing", tmp_path)
