import os
import sys

import pytest

from openeo_udf_fusion.bench.memory import MIB, CommandFailed, peak_rss_mib

HOLD = "import time; held = bytearray({mib} * 2**20); time.sleep(0.3); del held; time.sleep(0.2)"


def peak(program: str) -> float:
    return peak_rss_mib([sys.executable, "-c", program], os.environ)


def test_the_most_that_was_held_counts_not_what_is_left():
    assert 40 < peak(HOLD.format(mib=50)) - peak(HOLD.format(mib=0)) < 60


def test_children_are_added():
    call = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD.format(mib=50)!r}])"
    assert peak(call) - peak(HOLD.format(mib=0)) > 40


def test_what_the_measuring_process_holds_is_not_counted():
    bare = peak(HOLD.format(mib=0))
    held = bytearray(60 * MIB)
    assert abs(peak(HOLD.format(mib=0)) - bare) < 10
    assert len(held) == 60 * MIB


def test_a_command_that_fails_is_named():
    with pytest.raises(CommandFailed, match="status 3"):
        peak("raise SystemExit(3)")
