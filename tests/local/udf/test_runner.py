"""The subprocesses of UDFs end when nobody waits for them any more."""

import os
import signal
import subprocess
import sys
import time

import pytest

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import Cancelled
from openeo_udf_fusion.local import tile_runs
from openeo_udf_fusion.local.udf.runner import UdfRunner
from tests.local.graphs import code, make_cube


@pytest.mark.timeout(60)
def test_a_failure_ends_the_udfs_of_other_tiles(tmp_path):
    """Ctrl-C, say, which does not reach their session."""
    started = tmp_path / "started"
    slow = code(f"import time\nopen('{started}', 'w').close()\ntime.sleep(600)\nreturn cube")
    runner = UdfRunner(lambda entry: None, lambda: False)
    tiles = []

    def interrupted():
        with tile_runs.tile_threads(runner) as pool:
            tiles.append(pool.submit(runner.run, slow, make_cube(2, 2), {}, None))
            while not started.exists():
                time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(tiles[0].exception(), Cancelled)


ORPHAN = """
from openeo_udf_fusion.local.udf.runner import UdfRunner
from tests.local.graphs import code, make_cube
slow = code("import os, time\\nprint(1, file=open({started!r}, 'w'))\\n"
            "open({pid!r}, 'w').write(str(os.getpid()))\\ntime.sleep(600)\\nreturn cube")
UdfRunner(lambda entry: None, lambda: False).run(slow, make_cube(2, 2), {{}}, None)
"""


@pytest.mark.timeout(90)
def test_a_killed_parent_leaves_no_udf_behind(tmp_path, repository):
    pid_file = tmp_path / "pid"
    text = ORPHAN.format(started=str(tmp_path / "started"), pid=str(pid_file))
    parent = subprocess.Popen([sys.executable, "-c", text], cwd=repository)
    while not (pid_file.exists() and pid_file.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    udf = int(pid_file.read_text())
    deadline = time.monotonic() + 20
    while _runs(udf) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(udf)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_shipped_udf_inspects_is_in_the_log_of_its_run():
    log = []
    runner = UdfRunner(log.append, lambda: False)
    runner.run(udfs.source("self_test"), make_cube(2, 2), {}, None)
    (entry,) = (entry for entry in log if "self-test" in entry.message)
    assert entry.level == "info"
    assert "runtime" in entry.message


def test_every_run_says_once_what_its_network_runs_on():
    """However many tiles it has, and whatever runs before it in this process have loaded and said."""
    context = {"method": "satfusenet", "temporal_extent": ["2020-01-05", "2020-01-07"], "dates": "P1D"}
    cube = make_cube(1, 2).isel(bands=[0]).assign_coords(bands=["modis_B1"]).astype("float32")
    for _ in range(2):
        log = []
        runner = UdfRunner(log.append, lambda: False)
        for place in (0, 1):
            runner.run(udfs.source("fill_gaps"), cube.isel(x=[place]), context, None)
        assert len([entry for entry in log if "satfusenet runs on" in entry.message]) == 1
