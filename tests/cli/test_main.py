import re
import subprocess
import sys

import pytest

import openeo_udf_fusion
from openeo_udf_fusion.cli import main


def test_help_lists_every_command(command):
    done = command("--help")
    assert done.status == 0
    assert {"run", "udp", "serve", "demo", "train"} <= set(re.findall(r"\w+", done.stdout))


def test_the_version(command):
    assert command("--version").stdout.split() == ["openeo-udf-fusion", openeo_udf_fusion.__version__]


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["--nothing"], ["run"], ["run", "x", "--data"], ["udp", "burn"], ["udp", "check", "--x"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(command, arguments):
    done = command(*arguments)
    assert done.status == 2
    assert "usage: openeo-udf-fusion" in done.stderr
    assert done.stdout == ""


def test_an_explained_error_is_one_line_and_ends_with_1(command, tmp_path):
    done = command("udp", "check", "--out", tmp_path)
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"openeo-udf-fusion: {tmp_path} ")


@pytest.mark.parametrize(
    ("arguments", "usage", "meant"),
    [
        (["run", "x", "--dta", "d", "-o", "o.nc"], "openeo-udf-fusion run", "--data"),
        (["run", "x", "--data", "d", "-o", "o.nc", "--worker-s=2"], "openeo-udf-fusion run", "--workers"),
        (["udp", "check", "--requirment", "none"], "openeo-udf-fusion udp check", "--requirement"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_usage_of_its_command(command, arguments, usage, meant):
    done = command(*arguments)
    assert done.status == 2
    assert done.stderr.startswith(f"usage: {usage} [-h]")
    assert f"did you mean {meant} instead of" in done.stderr


def test_a_stop_while_commands_are_imported_is_no_traceback(command, monkeypatch):
    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_commands", stopped)
    done = command("run")
    assert (done.status, done.stderr) == (130, "openeo-udf-fusion: stopped\n")


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "openeo_udf_fusion.cli.main", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()[-1]) == (0, openeo_udf_fusion.__version__)
