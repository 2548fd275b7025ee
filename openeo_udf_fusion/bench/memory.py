"""How much memory a command takes: the high-water mark of its process, and its children on top."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from openeo_udf_fusion.errors import FusionError

MIB = 2**20
POLL_S = 0.05


class CommandFailed(FusionError, RuntimeError):
    """A command that is measured did not end well."""

    code = "Internal"
    status = 500


def peak_rss_mib(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a command and return the most memory it held, in MiB.

    Raises
    ------
    CommandFailed
        It ended with a status other than 0.
    """
    own, children = 0, 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                own = max(own, high_water(process))
                children = max(children, sum(map(_rss, process.children(recursive=True))))
            except psutil.NoSuchProcess:
                continue
            time.sleep(POLL_S)
    if running.returncode:
        raise CommandFailed(
            f"{' '.join(command)} ended with status {running.returncode}; its stderr says why"
        )
    return (own + children) / MIB


def high_water(process: psutil.Process) -> int:
    """Return the most memory in bytes that a process has held so far; now's, where only Linux knows better.

    The figure of getrusage will not do: a child inherits that of the process that started it.
    """
    status = Path(f"/proc/{process.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    return max(peak, _rss(process))


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
