"""How many processor cores this process may use: those it may run on, and those a container may take."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

MOST = 8
"""Every core takes memory, and a worker shares its machine with others; OMP_NUM_THREADS may ask for more."""

CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """Return how many to use: as OMP_NUM_THREADS states, else those granted, `MOST` at most."""
    return stated() or min(granted(), MOST)


def stated() -> int | None:
    """Return the number in OMP_NUM_THREADS, if it holds one."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def granted() -> int:
    """Return on how many cores this process may run, and as many as its container's quota lasts for."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return here if limit is None else max(1, min(here, math.ceil(limit)))


def quota() -> float | None:
    """Return the least number of cores that a control group around this process may use; None without any."""
    found = [limit for folder in _folders() for limit in (_version_2(folder), _version_1(folder)) if limit]
    return min(found, default=None)


def _folders() -> Iterator[Path]:
    """Yield the process's control groups with all around them, as far as they can be seen from here."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = CGROUPS / controllers
        # A container may see the path that its host does, which is not there: then the top is its own group.
        own = top / path.strip("/")
        while own != top:
            yield own
            own = own.parent
        yield top


def _version_2(folder: Path) -> float | None:
    quota, *period = _words(folder / "cpu.max")
    return int(quota) / int(period[0]) if quota.isdecimal() and period else None


def _version_1(folder: Path) -> float | None:
    quota, period = _words(folder / "cpu.cfs_quota_us")[0], _words(folder / "cpu.cfs_period_us")[0]
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split() or [""]
    except OSError:
        return [""]
