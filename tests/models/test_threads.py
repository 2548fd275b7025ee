from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import pytest
import torch

from openeo_udf_fusion.models import torch_runtime
from openeo_udf_fusion.models.threads import pool_of_cores, side_by_side
from openeo_udf_fusion.models.torch_runtime import callers_threads, pool_of_callers_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_item_is_done_once(threads: int) -> None:
    done: list[int] = []
    side_by_side(done.append, range(50), pool_of_callers_threads())
    assert sorted(done) == list(range(50))


def test_workers_use_one_core_and_the_caller_keeps_its_own(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    side_by_side(
        lambda _: seen.append((get_ident(), torch.get_num_threads())), range(50), pool_of_callers_threads()
    )
    assert {count for _, count in seen} == {1}
    assert len({thread for thread, _ in seen}) <= threads
    assert torch.get_num_threads() == threads


def test_threads_born_later_find_the_number_as_it_was(threads: int) -> None:
    side_by_side(lambda _: None, range(3), pool_of_callers_threads())
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == threads


def test_callers_at_once_share_the_workers(threads: int) -> None:
    seen: set[int] = set()

    def call(_: int) -> None:
        if threads > 1:
            side_by_side(lambda _: seen.add(get_ident()), range(20), pool_of_callers_threads())

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(call, range(8)))
    assert len(seen) <= threads


def test_an_error_reaches_the_caller_and_leaves_the_rest_undone(threads: int) -> None:
    done: list[int] = []

    def fail_at_three(item: int) -> None:
        if item == 3:
            raise ValueError("three")
        done.append(item)

    with pytest.raises(ValueError, match="three"):
        side_by_side(fail_at_three, range(10_000), pool_of_callers_threads())
    assert len(done) < 10_000


@pytest.mark.parametrize("count", [1, 3])
def test_the_pool_of_onnx_is_as_large_as_the_cores(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    seen: set[int] = set()
    side_by_side(lambda _: seen.add(get_ident()), range(50), pool_of_cores())
    assert (seen == {get_ident()}) if count == 1 else (get_ident() not in seen and len(seen) <= count)


@pytest.mark.parametrize(("granted", "used"), [(1, 1), (2, 2), (99, 3)])
def test_torch_takes_no_more_cores_than_are_granted(
    granted: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch_runtime, "granted", lambda: granted)
    torch.set_num_threads(3)
    try:
        seen: set[tuple[int, int]] = set()
        side_by_side(
            lambda _: seen.add((get_ident(), torch.get_num_threads())), range(50), pool_of_callers_threads()
        )
        assert callers_threads() == used
        assert len(seen) <= used
        assert {count for _, count in seen} == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
