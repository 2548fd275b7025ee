"""A process takes the cores that it is given, by whomever."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from openeo_udf_fusion.models import cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Factory: a machine with so many cores, control groups of its own, and this process in some of them."""
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def make(count: int, own: str = "", files: dict[str, str] | None = None) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)
        (tmp_path / "cgroup").write_text(own)
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    return make


@pytest.mark.parametrize(("stated", "count"), [("1", 1), ("3", 3), ("2,1", 2), (" 4 ", 4), ("64", 64)])
def test_the_number_of_cores_is_the_stated_one(machine, stated, count, monkeypatch) -> None:
    machine(2, "0::/\n", {"cpu.max": "100000 100000\n"})
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert cores.cores() == count


@pytest.mark.parametrize("stated", ["", "0", "all", "-2"])
def test_without_a_number_it_is_that_of_the_cores_granted(machine, stated, monkeypatch) -> None:
    machine(3)
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert cores.cores() == 3


V2, V1 = "0::{}\n", "5:memory:/x\n4:cpu,cpuacct:{}\n1:name=systemd:/y\n"


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        (V2.format("/"), {"cpu.max": "200000 100000\n"}, 2),
        (V2.format("/"), {"cpu.max": "150000 100000\n"}, 2),
        (V2.format("/"), {"cpu.max": "5000 100000\n"}, 1),
        (V2.format("/"), {"cpu.max": "max 100000\n"}, 6),
        (V2.format("/"), {"cpu.max": "900000 100000\n"}, 6),
        (V2.format("/pod/app"), {"pod/cpu.max": "300000 100000\n", "pod/app/cpu.max": "max 100000\n"}, 3),
        (V2.format("/pod/app"), {"pod/cpu.max": "300000 100000\n", "pod/app/cpu.max": "100000 100000\n"}, 1),
        (V2.format("/only/the/host/sees/it"), {"cpu.max": "200000 100000\n"}, 2),
        (
            V1.format("/job"),
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            V1.format("/docker/abc"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        (
            V1.format("/"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            6,
        ),
        (V2.format("/"), {"cpu.max": ""}, 6),
        ("", {}, 6),
    ],
)
def test_a_containers_quota_counts(machine, own, files, count) -> None:
    machine(6, own, files)
    assert cores.cores() == count


def test_a_large_machine_is_not_taken_whole(machine) -> None:
    machine(96)
    assert cores.granted() == 96
    assert cores.cores() == cores.MOST


def test_without_control_groups_there_is_no_quota(machine, tmp_path) -> None:
    machine(2)
    (tmp_path / "cgroup").unlink()
    assert cores.quota() is None
