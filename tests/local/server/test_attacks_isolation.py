"""One user against another, over HTTP: nothing of ada's exists for eve."""

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.datastructures import URL
from starlette.requests import Request

from openeo_udf_fusion.local.server.accounts_file import put, remove
from openeo_udf_fusion.local.server.jobs import JobStore

from .conftest import PASSWORDS


def path_of(client, href: str) -> str:
    """Path and query of a link of the server."""
    assert href.startswith(client.url)
    return href.removeprefix(client.url)


def result_links(client, job: str) -> dict[str, str]:
    """The signed links of a finished job: the collection itself, and its first file."""
    document = client("GET", f"/jobs/{job}/results").json()
    (canonical,) = [link["href"] for link in document["links"] if link["rel"] == "canonical"]
    first = next(iter(document["assets"].values()))["href"]
    return {"canonical": path_of(client, canonical), "asset": path_of(client, first)}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"title": "eve's"}),
        ("DELETE", "", None),
        ("GET", "/logs", None),
        ("GET", "/results", None),
        ("POST", "/results", None),
        ("DELETE", "/results", None),
        ("GET", "/results/assets/result.nc", None),
    ],
)
def test_a_job_of_another_user_does_not_exist(ada, eve, method, path, body):
    job = ada.run("one", title="ada's")
    before = ada("GET", f"/jobs/{job}").json()
    refused = eve(method, f"/jobs/{job}{path}", json=body)
    unknown = eve(method, f"/jobs/{'0' * 32}{path}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (404, "JobNotFound")
    assert refused.json()["message"].replace(job, "0" * 32) == unknown.json()["message"]
    assert ada("GET", f"/jobs/{job}").json() == before


def test_a_running_job_of_another_user_cannot_be_stopped(ada, eve):
    job = ada.create("wait")
    ada.start(job)
    ada.wait(job, "running")
    assert eve("DELETE", f"/jobs/{job}/results").status_code == 404
    assert ada("GET", f"/jobs/{job}").json()["status"] == "running"
    ada("DELETE", f"/jobs/{job}")


def test_everybody_lists_their_own_jobs_alone(ada, eve):
    of_ada, of_eve = ada.create("one"), eve.create("one")
    listed = [{job["id"] for job in client("GET", "/jobs").json()["jobs"]} for client in (ada, eve)]
    assert of_ada in listed[0] - listed[1]
    assert of_eve in listed[1] - listed[0]
    assert not listed[0] & listed[1]


def test_nobody_says_whose_job_it_is(ada, eve, graph):
    """`owner` is no property of the API: given, it changes nothing."""
    made = eve("POST", "/jobs", json={"process": graph("one"), "owner": "ada", "id": "0" * 32})
    job = made.headers["OpenEO-Identifier"]
    eve("PATCH", f"/jobs/{job}", json={"title": "x", "owner": "ada"})
    assert ada("GET", f"/jobs/{job}").status_code == 404
    assert eve("GET", f"/jobs/{job}").status_code == 200


def test_stored_processes_are_everybodys_own(ada, eve, graph):
    ada("PUT", "/process_graphs/secret", json=graph("one") | {"summary": "ada's"})
    for method in ("GET", "DELETE"):
        refused = eve(method, "/process_graphs/secret")
        assert (refused.status_code, refused.json()["code"]) == (404, "ProcessGraphNotFound")
    assert eve("GET", "/process_graphs").json()["processes"] == []
    eve("PUT", "/process_graphs/secret", json=graph("several") | {"summary": "eve's"})
    assert ada("GET", "/process_graphs/secret").json()["summary"] == "ada's"
    eve("DELETE", "/process_graphs/secret")
    assert ada("GET", "/process_graphs/secret").status_code == 200
    ada("DELETE", "/process_graphs/secret")


@pytest.mark.parametrize("namespace", [None, "user", "ada", "@ada", "user-ada/secret", "../user-ada"])
def test_the_process_of_another_user_is_never_used(serve_for_real, users_file, namespace):
    with serve_for_real(users=users_file) as ada:
        eve = ada.again()
        ada.log_in("ada", PASSWORDS["ada"])
        eve.log_in("eve", PASSWORDS["eve"])
        own = {"n": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
        assert ada("PUT", "/process_graphs/secret", json={"process_graph": own}).status_code == 200
        call = {"process_id": "secret", "namespace": namespace, "arguments": {}, "result": True}
        found = [
            client("POST", "/validation", json={"process_graph": {"n": call}}).json()["errors"]
            for client in (ada, eve)
        ]
        assert (found[0] == []) == (namespace in (None, "user"))
        assert found[1][0]["code"] in ("ProcessUnsupported", "PermissionsInsufficient")
        assert "add" not in found[1][0]["message"]


def test_a_user_called_as_a_folder_gets_a_folder_of_their_own(serve, users_file, hashes, graph):
    for name in ("..", ".", "ADA", "user-ada"):
        put(users_file, name, hashes["ada"])
    with serve(users=users_file) as client:
        for name in ("ada", "..", ".", "ADA", "user-ada"):
            client.log_in(name, PASSWORDS["ada"])
            assert client("GET", "/process_graphs").json()["processes"] == []
            assert client("PUT", "/process_graphs/p", json=graph("one")).status_code == 200
        stored = sorted(path.parent.name for path in client.state.rglob("p.json"))
    assert stored == ["user-.", "user-..", "user-^A^D^A", "user-ada", "user-user-ada"]


# --- signed links


@pytest.mark.parametrize("link", ["canonical", "asset"])
def test_a_signed_link_opens_what_it_was_made_for(ada, link):
    path = result_links(ada, ada.run("several"))[link]
    anybody = ada.again()
    assert anybody("GET", path).status_code == 200
    assert anybody("GET", path.partition("?")[0]).status_code == 401


@pytest.mark.parametrize("link", ["canonical", "asset"])
@pytest.mark.parametrize(
    "change", ["expires", "signature", "job", "file", "no signature", "empty signature", "twice"]
)
def test_an_altered_link_opens_nothing(ada, eve, link, change):
    of_ada, of_eve = ada.run("several"), eve.run("several")
    parts = urlsplit(result_links(ada, of_ada)[link])
    path, query = parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}
    if change == "expires":
        query["expires"] = str(int(query["expires"]) + 1)
    elif change == "signature":
        query["signature"] = query["signature"][:-1] + ("0" if query["signature"][-1] != "0" else "1")
    elif change == "job":
        path = path.replace(of_ada, of_eve)
    elif change == "file":
        path = f"{path.partition('/results')[0]}/results/assets/result_2022-01-09.tif"
    elif change == "no signature":
        del query["signature"]
    elif change == "empty signature":
        query["signature"] = ""
    else:
        query = {"signature": "0" * 64, "expires": query["expires"]}
    refused = eve.again()("GET", f"{path}?{urlencode(query)}")
    assert refused.status_code in (401, 403)
    assert refused.json()["code"] in ("TokenInvalid", "AuthenticationRequired")


@pytest.mark.parametrize("naive", [False, True])
def test_a_host_name_makes_no_other_path_of_a_link(ada, eve, naive, monkeypatch):
    """The URL of a request is put together with its Host, by some versions of starlette as it came."""
    own, wanted = (result_links(who, who.run("several"))["asset"] for who in (eve, ada))
    if naive:

        def url(self):
            path, query = self.scope["path"], self.scope["query_string"].decode()
            return URL(f"http://{self.headers['host']}{path}?{query}")

        monkeypatch.setattr(Request, "url", property(url))
    path, _, query = own.partition("?")
    for host in (f"x{path}?", f"x{path}#", f"x{path}", f"x{path}?{query}&y="):
        refused = eve.again()("GET", f"{wanted.partition('?')[0]}?{query}", headers={"Host": host})
        assert refused.status_code in (400, 403)


@pytest.mark.parametrize("extra", ["user=eve", "owner=eve", "expires=9999999999"])
def test_what_is_added_to_a_link_means_nothing(ada, eve, extra):
    """The first `expires` would be read by one, the last by another: a second one never helps."""
    path = result_links(ada, ada.run("several"))["asset"]
    answered = eve.again()("GET", f"{path}&{extra}")
    assert answered.status_code == (403 if extra.startswith("expires") else 200)


@pytest.mark.parametrize("link", ["canonical", "asset"])
def test_a_link_ends_with_its_job(ada, link):
    job = ada.run("several")
    path = result_links(ada, job)[link]
    ada("DELETE", f"/jobs/{job}")
    refused = ada.again()("GET", path)
    assert (refused.status_code, refused.json()["code"]) == (404, "JobNotFound")


@pytest.mark.parametrize("link", ["canonical", "asset"])
def test_a_link_ends_with_its_user(serve, users_file, link):
    with serve(users=users_file) as client:
        client.log_in("ada", PASSWORDS["ada"])
        path = result_links(client, client.run("several"))[link]
        assert client.again()("GET", path).status_code == 200
        remove(users_file, "ada")
        refused = client.again()("GET", path)
        assert (refused.status_code, refused.json()["code"]) == (403, "TokenInvalid")


def test_the_signature_of_another_server_opens_nothing(serve, ada, tmp_path):
    path = result_links(ada, ada.run("several"))["asset"]
    with serve(state=tmp_path / "other") as other:
        assert other("GET", path).json()["code"] == "TokenInvalid"


# --- what earlier versions left


def of_an_earlier_version(state) -> str:
    """A job and a stored process without owners."""
    jobs = JobStore(state / "jobs")
    job = jobs.create({"process": {"process_graph": {}}}, "x")
    file = state / "jobs" / job.id / "job.json"
    properties = json.loads(file.read_text())
    del properties["owner"]
    file.write_text(json.dumps(properties))
    (state / "process_graphs").mkdir()
    (state / "process_graphs" / "old.json").write_text('{"id": "old", "process_graph": {}}')
    return job.id


@pytest.mark.parametrize("accounts", [{}, {"user": "ada", "password": PASSWORDS["ada"]}])
def test_the_only_user_inherits_what_has_no_owner(serve, tmp_path, accounts):
    job = of_an_earlier_version(tmp_path / "state")
    for _ in range(2):  # it is written down: the second start finds it owned
        with serve(**accounts) as client:
            if accounts:
                client.log_in(*accounts.values())
            assert [found["id"] for found in client("GET", "/jobs").json()["jobs"]] == [job]
            assert [found["id"] for found in client("GET", "/process_graphs").json()["processes"]] == ["old"]


def test_of_several_users_none_inherits(serve, users_file, tmp_path, caplog):
    job = of_an_earlier_version(tmp_path / "state")
    with serve(users=users_file) as client:
        for user, password in PASSWORDS.items():
            client.log_in(user, password)
            assert client("GET", "/jobs").json()["jobs"] == []
            assert client("GET", f"/jobs/{job}").status_code == 404
            assert client("GET", "/process_graphs").json()["processes"] == []
    assert "1 jobs of an earlier version belong to nobody" in caplog.text
    assert "1 stored processes of an earlier version belong to nobody" in caplog.text
