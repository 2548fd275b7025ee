"""The subprocesses of UDFs end when nobody waits for them any more."""

import time

import pytest

from openeo_udf_fusion.errors import Cancelled
from openeo_udf_fusion.local import executor
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
        with executor._pool(runner) as pool:
            tiles.append(pool.submit(runner.run, slow, make_cube(2, 2), {}, None))
            while not started.exists():
                time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(tiles[0].exception(), Cancelled)
