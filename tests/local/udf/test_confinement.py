"""UDFs that attack: they are ended, the reason is told, and neither the server nor another user notices."""

import json
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from openeo_udf_fusion.errors import Cancelled, InvalidParameter, UdfFailed
from openeo_udf_fusion.local.udf import confinement
from openeo_udf_fusion.local.udf import process as udf_process
from openeo_udf_fusion.local.udf.confinement import Confinement, environment, server_confinement
from openeo_udf_fusion.local.udf.pool import close_processes
from openeo_udf_fusion.local.udf.runner import MAX_LINES, UdfRunner
from openeo_udf_fusion.udfs import is_shipped, source
from tests.local.graphs import code, make_cube

pytestmark = pytest.mark.timeout(120)
MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="a limit that only Linux keeps")


@pytest.fixture
def run():
    """Run a UDF in a process of its own; returns the result and the log."""
    runners = []

    def run(body, *, cancelled=lambda: False, owner="", runner=None, **limits):
        log = []
        if runner is None:
            runner = UdfRunner(log.append, cancelled, Confinement(**limits), owner)
            runners.append(runner)
        result = runner.run(code(body), make_cube(2, 2).drop_vars("spatial_ref"), {}, None)
        return result, log

    yield run
    for runner in runners:
        runner.close()


@pytest.fixture(scope="module", autouse=True)
def no_process_stays():
    yield
    close_processes()


PIPE = "import os, sys\npipe = int(sys.argv[1])\n"
EVIL = """
import pickle
class Evil:
    def __reduce__(self):
        return open, ({path!r}, 'w')
"""


@pytest.mark.parametrize(
    "attack",
    [
        "data = pickle.dumps(Evil())\nos.write(pipe, len(data).to_bytes(8, 'big') + data)\nos._exit(0)",
        "cube.attrs['evil'] = Evil()\nreturn cube",
        "return xr.DataArray(np.full((1, 1), Evil()), dims=('y', 'x'))",
    ],
    ids=["framed", "attribute", "values"],
)
def test_a_pickle_runs_nothing_in_the_server(run, tmp_path, attack):
    try:
        result, _ = run(PIPE + EVIL.format(path=str(tmp_path / "ran")) + attack)
        assert "evil" not in result.attrs
    except UdfFailed:
        pass
    assert not (tmp_path / "ran").exists()


def test_half_an_answer_holds_nobody(run):
    """Not even with a grandchild that keeps the pipe open."""
    half = "os.write(pipe, (100).to_bytes(8, 'big') + b'{')\nif os.fork():\n    os._exit(0)\n"
    with pytest.raises(UdfFailed, match="ended with exit code 0"):
        run(f"{PIPE}{half}import time\ntime.sleep(600)")


def test_a_udf_that_answers_by_halves_can_be_cancelled(run):
    asked = iter([False] * 20 + [True] * 1000)
    with pytest.raises(Cancelled):
        run(PIPE + "os.write(pipe, b'\\0')\nimport time\ntime.sleep(600)", cancelled=lambda: next(asked))


def test_it_sees_no_secret_of_the_server(run, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENEO_UDF_FUSION_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("LC_ALL", "C")
    with (tmp_path / "secret").open("w") as file, socket.socket() as listening:
        os.set_inheritable(file.fileno(), True)
        os.set_inheritable(listening.fileno(), True)
        result, _ = run(
            "import json, os, resource, sys\n"
            "import stat\n"
            "files = []\n"
            "for fd in range(256):\n"
            "    try:\n"
            "        found = os.fstat(fd)\n"
            "        files.append([found.st_dev, found.st_ino, stat.S_ISSOCK(found.st_mode)])\n"
            "    except OSError:\n"
            "        pass\n"
            "cube.attrs['saw'] = json.dumps({'env': dict(os.environ), 'files': files,"
            " 'stdin': sys.stdin.read(), 'cwd': os.getcwd(), 'umask': os.umask(0),"
            " 'core': resource.getrlimit(resource.RLIMIT_CORE)[1]})\n"
            "open('kept', 'w').close()\n"
            "return cube"
        )
    saw = json.loads(result.attrs["saw"])
    assert "hunter2" not in result.attrs["saw"]
    assert saw["env"]["LC_ALL"] == "C"
    assert saw["env"]["HOME"] == saw["env"]["TMPDIR"]
    secret = (tmp_path / "secret").stat()
    assert [secret.st_dev, secret.st_ino, False] not in saw["files"]
    assert sum(is_socket for _, _, is_socket in saw["files"]) == 1  # the pipe
    assert (saw["stdin"], saw["umask"], saw["core"]) == ("", 0o077, 0)
    assert os.path.exists(saw["cwd"] + "/kept")
    close_processes()
    assert not os.path.exists(saw["cwd"])


def test_the_environment_is_a_list_of_what_is_known(tmp_path):
    ours = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "DATABASE_URL": "postgres://u:p@h", "PYTHONPATH": "/a"}
    given = environment(tmp_path, ours)
    assert (given["PATH"], given["OMP_NUM_THREADS"]) == ("/bin", "2")
    assert "DATABASE_URL" not in given
    assert given["PYTHONPATH"].endswith(f"{os.pathsep}/a")


@linux
def test_memory_is_limited_and_the_limit_is_named(run):
    with pytest.raises(UdfFailed, match=r"(?s)MemoryError.*700 MiB.*--udf-memory"):
        run("return cube + np.ones(2**30).sum()", memory_bytes=700 * MIB)


def test_what_it_starts_counts(run, monkeypatch):
    """Forks, each within its own limit, in a session of their own and with shared memory."""
    monkeypatch.setattr(udf_process, "LIBRARIES_BYTES", 0)
    body = (
        "import mmap, os, time\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        os.setsid()\n"
        "        held = mmap.mmap(-1, 200 * 2**20)\n"
        "        for page in range(0, len(held), 4096):\n"
        "            held[page] = 1\n"
        "        time.sleep(600)\n"
        "time.sleep(600)"
    )
    with pytest.raises(UdfFailed, match=r"what it started held .* 500 MiB are allowed.*--udf-memory"):
        run(body, memory_bytes=500 * MIB, timeout_s=60)


def test_time_is_limited_and_the_limit_is_named(run):
    with pytest.raises(UdfFailed, match=r"longer than the 0.3 s .* --udf-timeout"):
        run("import time\ntime.sleep(600)", timeout_s=0.3)


def test_nothing_goes_on_after_a_killed_udf(run, tmp_path):
    """Neither what it started, nor what that started and left in a session of its own."""
    pids = tmp_path / "pids"
    body = (
        "import os, subprocess, sys, time\n"
        f"pids = open({str(pids)!r}, 'a')\n"
        "print(os.getpid(), file=pids, flush=True)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, file=pids, flush=True)\n"
        "if not os.fork():\n"
        "    if not os.fork():\n"
        "        os.setsid()\n"
        "        print(os.getpid(), file=pids, flush=True)\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "time.sleep(600)"
    )
    with pytest.raises(Cancelled):
        run(body, cancelled=lambda: pids.exists() and pids.read_text().count("\n") == 3)
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 3
    for pid in started:
        assert _ends(pid)


def _ends(pid):
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@linux
def test_cpu_time_is_limited_without_a_server(run):
    """The kernel ends it: nobody has to watch."""
    with pytest.raises(UdfFailed, match="1 s of CPU time"):
        run("while True: pass", cpu_s=1)


def test_files_are_limited(run):
    with pytest.raises(UdfFailed, match="File too large"):
        run("open('large', 'wb').write(bytes(2**21))\nreturn cube", file_bytes=MIB)


def test_output_is_limited(run):
    body = (
        "import os\n"
        "for _ in range(2000):\n"
        "    print('x' * 100_000)\n"
        "for _ in range(2000):\n"
        "    os.write(1, b'y' * 100_000)\n"
        "print('z' * 10**8)\n"
        "return cube"
    )
    _, log = run(body)
    assert sum(len(entry.message) for entry in log) < 12_000_000
    assert "dropped" in log[-1].message


@pytest.mark.slow
def test_the_last_words_are_the_last(run):
    with pytest.raises(UdfFailed, match=r"(?s)exit code 7.*the end") as failed:
        run("import os\nos.write(2, b'y' * 10**7 + b'the end')\nos._exit(7)")
    assert len(str(failed.value)) < 10_000


def test_all_calls_of_a_run_share_the_lines(run):
    log = []
    runner = UdfRunner(log.append, lambda: False)
    for _ in range(MAX_LINES // 1000 + 2):
        run("for n in range(1000): print(n)\nreturn cube", runner=runner)
    assert len(log) == MAX_LINES + 1
    assert "no more are kept" in log[-1].message


def test_a_result_far_larger_than_its_chunk_is_refused(run):
    big = "return xr.DataArray(np.zeros((2, 2, 1, 80_000_000), 'f4'), dims=('t', 'bands', 'y', 'x'))"
    with pytest.raises(UdfFailed, match=r"arrays of 128\d+ bytes.*256 MiB"):
        run(big)


def test_a_long_error_is_cut(run):
    with pytest.raises(UdfFailed) as failed:
        run("raise ValueError('x' * 10**7)")
    assert len(str(failed.value)) < 30_000


@pytest.mark.parametrize(("owner", "remembered"), [("ada", True), ("bob", False)])
def test_what_one_owner_leaves_no_other_finds(run, owner, remembered):
    run("np.left_behind = True\nreturn cube", owner="ada")
    result, _ = run("return cube * 0 + float(hasattr(np, 'left_behind'))", owner=owner)
    assert bool(result.max() == 1) is remembered


def test_on_a_server_no_other_run_finds_it(run):
    limits = {"memory_bytes": 2000 * MIB, "shared": False}
    first = UdfRunner(lambda entry: None, lambda: False, Confinement(**limits), "ada")
    look = (
        "import os\nseen = float(hasattr(np, 'left_behind'))\nnp.left_behind = True\n"
        "return (cube.fillna(0) * 0 + seen).assign_attrs(pid=os.getpid())"
    )
    assert run(look, runner=first)[0].max() == 0
    result, _ = run(look, runner=first)
    assert result.max() == 1  # one run keeps its process from chunk to chunk
    pid = result.attrs["pid"]
    assert psutil.pid_exists(pid)
    first.close()
    assert not psutil.pid_exists(pid)
    assert run(look, owner="ada", **limits)[0].max() == 0


@pytest.mark.slow
def test_a_wrapper_is_put_before_the_interpreter(run, tmp_path):
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nexport WRAPPED="$1"\nshift\nexec "$@"\n')
    wrapper.chmod(0o755)
    result, _ = run(
        "import os\nreturn cube * 0 + float(os.environ['WRAPPED'] == os.getcwd())",
        wrapper=(str(wrapper), "{folder}"),
    )
    assert result.max() == 1


LOOK = """
import os, socket
processes = [name for name in os.listdir('/proc') if name.isdigit()]
seen = [os.path.exists({path!r}), len(processes) > 9]
try:
    socket.create_connection(('127.0.0.1', {port}), 2)
    seen.append(True)
except OSError:
    seen.append(False)
open('mine', 'w').close()
return cube.assign_attrs(seen=seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_the_sandbox_of_the_readme_hides_files_processes_and_the_network(run, repository):
    readme = (repository / "backend_config" / "embedded" / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"'(bwrap .*)'", readme)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as state, socket.create_server(("127.0.0.1", 0)) as port:
        (Path(state) / "secret").write_text("of another user")
        installed = "--ro-bind /opt/openeo-udf-fusion /opt/openeo-udf-fusion"
        assert installed in line
        here = {sys.prefix, sys.base_prefix, str(repository / "openeo_udf_fusion")} - {"/usr"}
        line = line.replace(installed, " ".join(f"--ro-bind {path} {path}" for path in sorted(here)))
        look = LOOK.format(path=f"{state}/secret", port=port.getsockname()[1])
        assert run(look)[0].attrs["seen"] == [True, True, True]
        try:
            result, _ = run(look, wrapper=tuple(shlex.split(line)))
        except UdfFailed as error:
            if "bwrap:" in str(error):
                pytest.skip(f"no namespaces can be made here: {error}")
            raise
        assert result.attrs["seen"] == [False, False, False]


def test_a_wrapper_that_does_not_exist_is_named(run):
    with pytest.raises(UdfFailed, match="no process could be started"):
        run("return cube", wrapper=("/nowhere/bwrap",))


def test_a_comment_that_ends_early_is_no_shipped_udf():
    """Python ends a line at a carriage return; what follows would run inside the server."""
    shipped = source("harmonize_modis_viirs")
    assert is_shipped(shipped)
    assert not is_shipped(shipped.replace("# dependencies", "# \rimport os\n# dependencies"))


def test_the_time_of_the_cores_is_that_of_the_cores_granted(monkeypatch):
    monkeypatch.setattr(confinement, "granted", lambda: 3)
    assert server_confinement(timeout_s=20).cpu_s == 3 * 20 + 10
    assert server_confinement(timeout_s=None).cpu_s is None


def test_limits_travel_on_a_command_line():
    limits = server_confinement(300 * MIB, 4.5, ("bwrap", "--unshare-net"))
    assert Confinement.from_json(limits.to_json()) == limits
    assert replace(limits, memory_bytes=None) != limits


def test_less_memory_than_an_idle_process_has_is_refused():
    with pytest.raises(InvalidParameter, match="256 MiB"):
        server_confinement(memory_bytes=100 * MIB)


def test_numbers_survive_a_confined_run(run):
    cube = make_cube(2, 2)
    result, _ = run("return cube * 2", memory_bytes=2000 * MIB, timeout_s=60, cpu_s=60, file_bytes=MIB)
    np.testing.assert_array_equal(result, cube * 2)
