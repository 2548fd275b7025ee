"""Synchronous processing."""

import io
import socket
import threading
import zipfile

import pytest


def test_one_file_comes_as_it_is(client, graph):
    response = client("POST", "/result", json={"process": graph("one"), "budget": 1, "plan": "free"})
    assert response.content == b"CDF" + bytes(5000)
    assert response.headers["Content-Type"] == "application/x-netcdf"
    client.until(lambda: not list((client.state / "scratch").iterdir()))


def test_several_files_come_as_a_zip(client, graph):
    response = client("POST", "/result", json={"process": graph("several")})
    assert response.headers["Content-Type"] == "application/zip"
    names = zipfile.ZipFile(io.BytesIO(response.content)).namelist()
    assert names == ["result_2022-01-01.tif", "result_2022-01-09.tif"]
    client.until(lambda: not list((client.state / "scratch").iterdir()))


def test_a_zarr_store_comes_as_a_zip_with_the_store_at_its_root(client, graph):
    response = client("POST", "/result", json={"process": graph("store")})
    assert sorted(zipfile.ZipFile(io.BytesIO(response.content)).namelist()) == ["B1/0", "zarr.json"]


@pytest.mark.parametrize(("process_id", "status"), [("udf", 400), ("full", 500), ("bug", 500)])
def test_a_failure_leaves_no_files(client, graph, process_id, status):
    assert client("POST", "/result", json={"process": graph(process_id)}).status_code == status
    assert not list((client.state / "scratch").iterdir())


def test_the_server_answers_while_it_computes(client, graph):
    thread = threading.Thread(
        target=client, args=("POST", "/result"), kwargs={"json": {"process": graph("wait")}}
    )
    thread.start()
    try:
        assert client("GET", "/health").json()["status"] == "ok"
        assert client("GET", f"/jobs/{client.run('one')}").json()["status"] == "finished"
        assert thread.is_alive()
    finally:
        client.executor.gate.set()
        thread.join()


def test_a_client_that_hangs_up_ends_its_run(client):
    body = b'{"process": {"process_graph": {"n": {"process_id": "wait", "arguments": {}, "result": true}}}}'
    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /result HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        client.until(lambda: client.executor.runs)
    client.until(lambda: not list((client.state / "scratch").iterdir()))
    assert not client.executor.gate.is_set()


def test_a_server_that_stops_tells_those_who_wait(serve, graph):
    answers = []
    with serve() as client:
        ask = threading.Thread(
            target=lambda: answers.append(client("POST", "/result", json={"process": graph("wait")}))
        )
        ask.start()
        client.until(lambda: client.executor.runs)
    ask.join()
    assert (answers[0].status_code, answers[0].json()["code"]) == (400, "JobCancelled")


def test_validation_tells_what_is_wrong_and_is_itself_a_success(client, graph):
    response = client("POST", "/validation", json=graph("one"))
    assert (response.status_code, response.json()) == (200, {"errors": []})


def test_a_missing_graph_is_a_finding_of_the_validation(shared):
    response = shared("POST", "/validation", json={"summary": "no graph"})
    assert response.status_code == 200
    assert [error["code"] for error in response.json()["errors"]] == ["ProcessGraphMissing"]


@pytest.mark.parametrize("nodes", [{}, None, {"a": {}}, {"a": {"process_id": "b-c", "arguments": {}}}])
def test_a_graph_that_is_not_well_formed_is_a_finding_of_the_validation(shared, nodes):
    response = shared("POST", "/validation", json={"process_graph": nodes})
    assert response.status_code == 200
    assert [error["code"] for error in response.json()["errors"]] == ["ProcessGraphInvalid"]
