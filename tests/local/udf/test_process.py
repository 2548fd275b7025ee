"""Ending the process of a UDF: all that is its, and nothing that is not."""

import os
import subprocess
import sys

import psutil
import pytest

from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.process import Process

STARTS_A_CHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=sys.stdin)"
)


@pytest.fixture
def ended():
    """A process that has ended and was waited for."""
    process = Process(Confinement(wrapper=("false",)))
    process._process.wait()
    yield process
    process.kill()


def test_a_number_that_somebody_else_got_is_left_alone(ended, monkeypatch):
    stranger = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_CHILD + "; input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        while not psutil.Process(stranger.pid).children():
            assert stranger.poll() is None
        monkeypatch.setattr(ended._process, "pid", stranger.pid)
        assert ended.look_for_children() == []
        ended.kill()
        assert stranger.poll() is None
        assert psutil.Process(stranger.pid).children()[0].status() != psutil.STATUS_ZOMBIE
    finally:
        os.killpg(stranger.pid, 9)
        stranger.wait()


def test_what_is_left_of_its_group_ends(tmp_path):
    told = tmp_path / "pid"
    code = "import subprocess; child = subprocess.Popen(['sleep', '600']); "
    code += f"open({str(told)!r}, 'w').write(str(child.pid))"
    process = Process(Confinement(wrapper=(sys.executable, "-c", code)))
    process._process.wait()
    child = psutil.Process(int(told.read_text()))
    assert child.is_running()
    process.kill()
    assert child.wait(20) is None or not child.is_running()
