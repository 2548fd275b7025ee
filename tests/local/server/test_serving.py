"""The server as a process of its own: `openeo-udf-fusion serve`, killed, and on a full disk."""

import argparse
import contextlib
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import openeo
import pytest
import requests

from openeo_udf_fusion.cli import serve
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local import backend

SERVE = "import argparse, sys; from openeo_udf_fusion.cli import serve; p = argparse.ArgumentParser(); "
SERVE += "serve.add_parser(p.add_subparsers()); sys.exit(serve.run(p.parse_args(['serve', *sys.argv[1:]])))"


@contextlib.contextmanager
def serving(data: Path, state: Path, *options: str, **settings):
    """Run the command on a free port; yields its URL and the process."""
    command = [sys.executable, "-c", SERVE, "--data", data, "--state", state, "--port", "0", *options]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **settings
    ) as process:
        try:
            log = ""
            while not (found := re.search(r"openEO API at (http://\S+)", log)):
                line = process.stderr.readline()
                assert line, log
                log += line
            requests.get(found[1] + "/health", timeout=30)
            yield found[1], process
        finally:
            process.kill()


def test_the_command_serves_until_it_is_interrupted(data, tmp_path):
    with serving(data, tmp_path / "state") as (url, process):
        assert openeo.connect(url).list_collection_ids() == ["modis", "other"]
        process.send_signal(signal.SIGINT)
        output, log = process.communicate(timeout=30)
    assert output == ""
    assert "Traceback" not in log


@pytest.fixture(scope="module")
def full_disk(data, tmp_path_factory):
    """A server none of whose files may grow beyond 30 kB: writing more fails as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    state = tmp_path_factory.mktemp("full")
    with serving(data, state, preexec_fn=limit) as (url, process):
        yield openeo.connect(url), state, process


@pytest.mark.parametrize("format", ["netCDF", "GTiff", "Zarr", "Parquet"])
def test_a_full_disk_is_an_error_of_the_job_and_leaves_nothing(full_disk, format):
    connection, state, _ = full_disk
    cube = connection.load_collection("modis")
    fine = cube.process("resample_spatial", data=cube, resolution=0.2, method="bilinear")
    job = fine.create_job(out_format=format).start()
    while job.status() in ("queued", "running"):
        pass
    assert job.status() == "error"
    assert job.logs()[-1]["code"] == "StorageFailure"
    assert {path.name for path in (state / "jobs" / job.job_id).iterdir()} == {"job.json", "logs.jsonl"}
    assert not list((state / "scratch").iterdir())


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--user", "ada"], ["--data", "/nowhere"]])
def test_what_would_be_unsafe_or_useless_does_not_start(data, tmp_path, options):
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    arguments = ["serve", "--data", str(data), "--state", str(tmp_path), "--port", "0", *options]
    with pytest.raises(InvalidParameter):
        serve.run(parser.parse_args(arguments))


def test_a_port_in_use_is_named(data):
    with backend(data) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(InvalidParameter, match=str(port)), backend(data, port=port):
            pass
