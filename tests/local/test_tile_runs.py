"""Runs over tiles: equal to the whole, counted, and stopped without a trace."""

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from openeo_udf_fusion.errors import Cancelled, InvalidCube
from openeo_udf_fusion.local import executor, tiles
from tests.local.graphs import (
    blur,
    callback,
    code,
    given,
    load,
    make_cube,
    node,
    of,
    process,
    read,
    store,
    udf,
    workspace,
)


def window(cube, y, x, size):
    """The sum over a neighbourhood, missing counted as 0, as BLUR makes it."""
    padded = np.pad(np.nan_to_num(cube.values), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = cube.shape[2:]
    return sum(
        padded[:, :, dy : dy + rows, dx : dx + columns] for dy, dx in itertools.product(range(3), range(3))
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(
    tile=st.integers(4, 20),
    rows=st.integers(4, 19),
    columns=st.integers(4, 19),
    size=st.integers(4, 9),
    twice=st.booleans(),
)
def test_tiled_equals_whole(tmp_path_factory, tile, rows, columns, size, twice):
    folder = tmp_path_factory.mktemp("ragged")
    cube = store(make_cube(rows, columns, dates=2), folder, "demo")
    nodes = {"a": load("demo"), "b": blur("a", size)} | ({"c": blur("b", 4)} if twice else {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE_PX", tile)
        patch.setattr(tiles, "MINIMAL_TILE_PX", 1)
        tiled = executor.run(process(**nodes), workspace(folder), folder / "out")
    once = cube.copy(data=window(cube, 1, 1, 3))
    expected = once.copy(data=window(once, 1, 1, 3)) if twice else once
    np.testing.assert_allclose(read(tiled).values, expected.values, rtol=1e-5)
    np.testing.assert_array_equal(
        executor.load(process(**nodes), workspace(folder)).values, read(tiled).values
    )


def test_every_tile_has_its_own_result(cube, folder, tmp_path, small_tiles):
    """The parser's callables remember the first result of a callback for good."""
    doubled = {
        "a": load("demo"),
        "b": node("apply", data=of("a"), process=callback(m=node("add", x=given("x"), y=1))),
    }
    result = read(executor.run(process(**doubled), workspace(folder), tmp_path))
    np.testing.assert_allclose(result.values, cube.values + 1, rtol=1e-6)


def test_a_udf_on_the_lazy_whole_equals_the_tiled_one(cube, folder, tmp_path, small_tiles):
    same = {"a": load("demo"), "b": blur("a")}
    lazily = {**same, "k": node("apply_kernel", data=of("b"), kernel=[[1]])}
    tiled = executor.run(process(**same), workspace(folder), tmp_path / "1")
    whole = executor.run(process(**lazily), workspace(folder), tmp_path / "2")
    assert (tiled.metadata["tiled"], whole.metadata["tiled"]) == (True, False)
    np.testing.assert_allclose(read(tiled).values, read(whole).values, rtol=1e-6)


def test_a_cancelled_run_leaves_no_file(cube, folder, tmp_path, small_tiles):
    steps = []
    with pytest.raises(Cancelled):
        executor.run(
            process(a=load("demo"), b=blur("a")),
            workspace(folder),
            tmp_path,
            progress=steps.append,
            cancelled=lambda: len(steps) >= 2,
        )
    assert 2 <= len(steps) < steps[0].total
    assert list(tmp_path.iterdir()) == []


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")")[-1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_udf_started_ends_with_it(cube, folder, tmp_path):
    started = tmp_path / "pid"
    hangs = code(
        "import subprocess, time\n"
        "pid = subprocess.Popen(['sleep', '600']).pid\n"
        f"open('{started}.new', 'w').write(str(pid))\n"
        f"__import__('os').rename('{started}.new', '{started}')\n"
        "time.sleep(600)\nreturn cube"
    )
    nodes = {"a": load("demo"), "b": node("apply", data=of("a"), process=udf(hangs, data="x"))}
    with pytest.raises(Cancelled):
        executor.run(process(**nodes), workspace(folder), tmp_path / "out", cancelled=started.exists)
    pid = int(started.read_text())
    for _ in range(50):
        if not is_running(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the process that the UDF started is still there")


def test_a_udf_that_hangs_is_killed_when_the_run_is_cancelled(cube, folder, tmp_path):
    asked = itertools.count()
    hangs = code("import time\ntime.sleep(600)\nreturn cube")
    nodes = {"a": load("demo"), "b": node("apply", data=of("a"), process=udf(hangs, data="x"))}
    with pytest.raises(Cancelled):
        executor.run(process(**nodes), workspace(folder), tmp_path, cancelled=lambda: next(asked) > 5)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_tiles(cube, folder, tmp_path, small_tiles):
    steps = []
    executor.run(
        process(a=load("demo")),
        workspace(folder),
        tmp_path / "exact.nc",
        format="netCDF",
        progress=steps.append,
    )
    assert [step.done for step in steps] == list(range(1, steps[0].total + 1))
    assert steps[0].total == 9
    assert all(step.pixels_per_s > 0 for step in steps)
    assert (tmp_path / "exact.nc").is_file()


def test_tiles_with_other_dates_are_refused_with_advice(cube, folder, tmp_path, small_tiles):
    irregular = code("return cube[: 2 + int(cube.x[0] > 500_050)]")
    nodes = {
        "a": load("demo"),
        "b": node("apply_dimension", data=of("a"), dimension="t", process=udf(irregular)),
    }
    with pytest.raises(InvalidCube, match="regular dates"):
        executor.run(process(**nodes), workspace(folder), tmp_path)
    assert list(tmp_path.iterdir()) == []
