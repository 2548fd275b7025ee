"""The limits of the command line, met by a server that is a process of its own; and how it stops."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import openeo
import psutil
import pytest
from openeo.rest import OpenEoApiError

from openeo_udf_fusion.cli import serve
from openeo_udf_fusion.cli.quantities import days, seconds, size_bytes
from tests.local.server.conftest import until
from tests.local.server.test_serving import serving

pytestmark = pytest.mark.timeout(120)

HEADER = """
import os
import time
import numpy as np
import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
"""


def udf(body):
    return openeo.UDF(HEADER + "".join(f"    {line}\n" for line in body.splitlines()))


def test_limits_are_kept_and_named_and_secrets_hidden(data, tmp_path):
    password = {**os.environ, "OPENEO_UDF_FUSION_PASSWORD": "correct-horse"}
    options = ["--user", "ada", "--udf-timeout", "3", "--udf-memory", "1500MB"]
    with serving(data, tmp_path / "state", *options, env=password) as (url, _):
        connection = openeo.connect(url).authenticate_basic("ada", "correct-horse")
        cube = connection.load_collection("modis")
        with pytest.raises(OpenEoApiError, match=r"UdfFailed.*longer than the 3 s.*--udf-timeout"):
            cube.apply(udf("time.sleep(600)")).download(tmp_path / "never.nc")
        if sys.platform == "linux":
            with pytest.raises(OpenEoApiError, match=r"(?s)UdfFailed.*1431 MiB of memory.*--udf-memory"):
                cube.apply(udf("return cube + np.ones(2**31).sum()")).download(tmp_path / "never.nc")
        with pytest.raises(OpenEoApiError) as told:
            cube.apply(udf("raise ValueError(dict(os.environ))")).download(tmp_path / "never.nc")
        assert "correct-horse" not in str(told.value)
        cube.apply(udf("return cube * 2")).download(tmp_path / "fine.nc")
    assert (tmp_path / "fine.nc").exists()
    assert not (tmp_path / "never.nc").exists()


def test_a_terminated_server_ends_in_time_and_leaves_no_process(data, tmp_path):
    """Within 30 s (TimeoutStopSec of the unit), also while a UDF runs; the job is not lost."""
    state, started = tmp_path / "state", tmp_path / "started"
    with serving(data, state) as (url, process):
        cube = openeo.connect(url).load_collection("modis")
        slow = udf(f"open({str(started)!r}, 'w').close()\ntime.sleep(600)")
        job = cube.apply(slow).create_job(out_format="netCDF").start()
        until(started.exists)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        log = process.stderr.read()
        assert process.wait(30) == 0
    assert below
    assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert "Traceback" not in log
    stored = (state / "jobs" / job.job_id / "job.json").read_text()
    assert '"status": "queued"' in stored


HIDING = """
import ctypes
from openeo_udf_fusion.local.udf.confinement import hide_from_udfs
PR_GET_DUMPABLE = 3
before = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE)
hide_from_udfs()
print(before, ctypes.CDLL(None).prctl(PR_GET_DUMPABLE))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_a_process_can_hide_its_memory_from_others_of_its_account():
    told = subprocess.run([sys.executable, "-c", HIDING], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["1", "0"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="nothing is hidden from root")
def test_a_server_hides_its_environment_from_udfs(data, tmp_path):
    with serving(data, tmp_path / "state") as (_, process), pytest.raises(PermissionError):
        Path(f"/proc/{process.pid}/environ").read_bytes()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 500_000_000),
        ("4GiB", 2**32),
        ("4G", 2**32),
        ("1.5 GB", 1_500_000_000),
        ("7", 7),
        ("none", None),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "-1", "4 giga", "0", "GB", "1e9"])
def test_other_sizes_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        size_bytes(text)


def test_times_are_above_nothing():
    assert (seconds("1.5"), seconds("none"), days("30")) == (1.5, None, 30.0)
    for text in ("0", "-1", "nan", "inf", "soon"):
        with pytest.raises(argparse.ArgumentTypeError):
            days(text)


def test_days_beyond_all_calendars_are_refused():
    assert days("365000") == 365_000
    for text in ("365001", "1e300"):
        with pytest.raises(argparse.ArgumentTypeError, match="none for ever"):
            days(text)


def test_the_command_passes_everything_on(data, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "openeo_udf_fusion.local.server.serving.serve", lambda settings, *rest: seen.append(settings)
    )
    monkeypatch.setattr("openeo_udf_fusion.local.server.logs.install", seen.append)
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    given = ["--udf-memory", "2GiB", "--udf-timeout", "5", "--udf-wrapper", "bwrap --bind {folder} '/a b'"]
    given += ["--keep-jobs", "30", "--disk-quota", "100GB", "--user-quota", "10GB", "--log-format", "json"]
    serve.run(parser.parse_args(["serve", "--data", str(data), "--state", str(tmp_path), *given]))
    log_format, settings = seen
    assert log_format == "json"
    assert (settings.udf.memory_bytes, settings.udf.timeout_s) == (2**31, 5.0)
    assert settings.udf.wrapper == ("bwrap", "--bind", "{folder}", "/a b")
    assert (settings.keep_jobs_s, settings.disk_quota_bytes, settings.user_quota_bytes) == (
        30 * 86_400,
        100 * 10**9,
        10 * 10**9,
    )
    assert not settings.udf.shared
