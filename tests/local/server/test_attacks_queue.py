"""Runs without end, queues that one user fills, and users who are gone but whose jobs are not."""

import threading

import pytest

from openeo_udf_fusion.local.server.accounts_file import remove
from openeo_udf_fusion.local.server.errors import AccountsUnreadable
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.run_rules import RunRules
from openeo_udf_fusion.local.server.turns import Turns

from .conftest import PASSWORDS


@pytest.fixture
def two(serve, users_file):
    """A server of ada and eve, seen by either."""
    with serve(users=users_file) as ada:
        ada.log_in("ada", PASSWORDS["ada"])
        eve = ada.again()
        eve.log_in("eve", PASSWORDS["eve"])
        yield ada, eve
        ada.executor.gate.set()


# --- time


def test_a_job_that_takes_too_long_ends_with_an_error_that_names_the_option(serve):
    with serve(run_timeout_s=0.05) as client:
        job = client.create("wait")
        client.start(job)
        client.wait(job, "error")
        failed = client("GET", f"/jobs/{job}/results")
        assert (failed.status_code, failed.json()["code"]) == (424, "JobCancelled")
        assert "0.05 s" in failed.json()["message"]
        assert "--run-timeout" in failed.json()["message"]


def test_a_synchronous_run_that_takes_too_long_ends_the_same_way(serve, graph):
    with serve(run_timeout_s=0.05) as client:
        ended = client("POST", "/result", json={"process": graph("wait")})
        assert (ended.status_code, ended.json()["code"]) == (400, "JobCancelled")
        assert "--run-timeout" in ended.json()["message"]


def test_a_run_is_over_when_its_time_is():
    now = [5.0]
    over = RunRules(timeout_s=10.0, clock=lambda: now[0]).begin("ada")
    assert over() is None
    now[0] = 15.0
    assert over() is None
    now[0] = 15.1
    assert "10 s" in over()
    assert RunRules(clock=lambda: now[0]).begin("ada")() is None


# --- turns


def test_users_take_turns(two):
    ada, eve = two
    first = ada.create("wait")
    ada.start(first)
    ada.wait(first, "running")
    of_ada = [ada.create("several") for _ in range(3)]
    for job in of_ada:
        ada.start(job)
    of_eve = eve.create("store")
    eve.start(of_eve)
    ada.executor.gate.set()
    ada.wait(of_ada[-1], "finished")
    assert ada.executor.runs == ["wait", "several", "store", "several", "several"]


def test_turns_go_around_in_the_order_of_arrival():
    turns = Turns()
    for job in ("a1", "a2", "a3", "b1", "c1", "b2"):
        turns.put(job, job[0])
    assert [turns.get() for _ in range(4)] == ["a1", "b1", "c1", "a2"]
    turns.put("c2", "c")
    assert [turns.get() for _ in range(3)] == ["b2", "a3", "c2"]


def test_whoever_waits_for_a_turn_gets_it_or_the_end():
    turns, got = Turns(), []
    waiting = [threading.Thread(target=lambda: got.append(turns.get())) for _ in range(2)]
    for thread in waiting:
        thread.start()
    turns.put("a1", "a")
    turns.close()
    for thread in waiting:
        thread.join(10)
    assert None in got
    assert set(got) <= {None, "a1"}


# --- users who are gone


def test_the_jobs_of_a_removed_user_end(two, users_file):
    ada, eve = two
    running, queued = ada.create("wait"), ada.create("several")
    ada.start(running)
    ada.wait(running, "running")
    ada.start(queued)
    of_eve = eve.create("one")
    eve.start(of_eve)
    remove(users_file, "ada")
    eve.wait(of_eve, "finished")
    eve.until(lambda: eve("GET", "/health").json()["jobs"] == {"queued": 0, "running": 0})
    assert ada.executor.runs == ["wait", "one"]


def test_a_file_of_accounts_that_cannot_be_read_ends_no_run():
    def unreadable(user: str) -> bool:
        raise AccountsUnreadable("not now")

    assert RunRules(is_user=unreadable).begin("ada")() is None
    assert "no account" in RunRules(is_user=lambda user: False).begin("ada")()


# --- validations


def test_a_user_has_so_many_validations_checked_at_a_time(serve, graph):
    held, entered = threading.Event(), threading.Semaphore(0)

    with serve(limits=Limits(synchronous_per_user=2)) as client:

        def check(process, workspace):
            entered.release()
            held.wait(30)
            return []

        client.executor.check = check
        sent = [
            threading.Thread(target=client, args=("POST", "/validation"), kwargs={"json": graph("one")})
            for _ in range(2)
        ]
        try:
            for thread in sent:
                thread.start()
            assert all(entered.acquire(timeout=30) for _ in sent)
            refused = client("POST", "/validation", json=graph("one"))
            assert (refused.status_code, refused.json()["code"]) == (429, "TooManyRequests")
        finally:
            held.set()
            for thread in sent:
                thread.join()
        assert client("POST", "/validation", json=graph("one")).json() == {"errors": []}


# --- the state folder


def test_others_have_no_business_in_a_state_folder_that_was_there(serve, tmp_path):
    state = tmp_path / "there"
    state.mkdir()
    state.chmod(0o777)
    with serve(state=state):
        assert state.stat().st_mode & 0o777 == 0o700
