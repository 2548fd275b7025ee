"""What the process of a user's UDF may use, and what it gets to see of the server.

Against mistakes and carelessness, and so that one user's UDF does not end the server of all. It is no
sandbox: the process runs under the account of the server, may read what that may read, and may use the
network. Whoever needs more gives a `wrapper`.
"""

import ctypes
import json
import os
import resource
import site
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import openeo_udf_fusion
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.cores import granted

GIB = 2**30
SEEN = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
    *("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "SSL_CERT_FILE", "VIRTUAL_ENV", "PYTHONHASHSEED"),
)
SEEN_PREFIXES = ("LC_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_")
OPEN_FILES = 1024
LEAST_MEMORY_BYTES = 256 * 2**20
"""The interpreter with numpy, xarray and openeo holds 200 MiB."""
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVILEGES = 38


@dataclass(frozen=True)
class Confinement:
    """The limits of one process of a UDF; None: none.

    Attributes
    ----------
    memory_bytes
        On Linux no more data memory can be had (RLIMIT_DATA: mapped libraries, of torch say, do not count);
        everywhere the process is ended, with what it started, when all of them together hold more.
    timeout_s
        Wall time of one call, that is of one chunk.
    cpu_s
        CPU time of one call, all cores together; it ends what goes on after a killed server, too.
    file_bytes
        Of every file that it writes.
    shared
        Whether the process may be used by later runs of the same owner; otherwise it ends with its run.
    wrapper
        A command and its arguments to put before the interpreter (`bwrap`, `systemd-run --scope`);
        `{folder}` in it becomes the one folder that the process must be able to write to.
    """

    memory_bytes: int | None = None
    timeout_s: float | None = None
    cpu_s: float | None = None
    file_bytes: int | None = None
    shared: bool = True
    wrapper: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the command line of the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Confinement":
        """The reverse of `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "wrapper": tuple(values["wrapper"])})


def server_confinement(
    memory_bytes: int | None = 4 * GIB, timeout_s: float | None = 600.0, wrapper: tuple[str, ...] = ()
) -> Confinement:
    """What a server grants UDFs that are not its own.

    Raises
    ------
    InvalidParameter
        The memory is less than a process has before it runs anything.
    """
    if memory_bytes is not None and memory_bytes < LEAST_MEMORY_BYTES:
        raise InvalidParameter(
            f"a UDF needs {LEAST_MEMORY_BYTES >> 20} MiB of memory and more (with torch 400), "
            f"--udf-memory gives {memory_bytes / 2**20:.0f}"
        )
    cpu_s = None if timeout_s is None else timeout_s * granted() + 10
    return Confinement(memory_bytes, timeout_s, cpu_s, file_bytes=GIB, shared=False, wrapper=wrapper)


def environment(folder: Path, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the process: nothing that could be a secret, and `folder` for its files."""
    seen = {name: value for name, value in ours.items() if name in SEEN or name.startswith(SEEN_PREFIXES)}
    package = str(Path(openeo_udf_fusion.__file__).resolve().parents[1])
    paths = [package, *filter(None, ours.get("PYTHONPATH", "").split(os.pathsep))]
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
    return {
        **seen,
        **own,
        "PYTHONPATH": os.pathsep.join(paths),
        # HOME is another one: packages that were installed for the user are found all the same.
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def confine(limits: Confinement) -> None:
    """Set the limits of this very process, for good; called before any code of a user."""
    os.umask(0o077)
    _limit(resource.RLIMIT_CORE, 0)
    if limits.memory_bytes is not None and sys.platform == "linux":
        _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    if limits.file_bytes is not None:
        _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
        _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if sys.platform == "linux":
        _as_linux_does()


def allow_cpu_time(limits: Confinement) -> None:
    """Start to count the CPU time of one call."""
    if limits.cpu_s is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + limits.cpu_s) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(
            resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def hide_from_udfs() -> None:
    """Keep the memory and the environment of this process from others of the same account (Linux, not root).

    A UDF runs under the account of the server; without this it could read the server's environment in /proc.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowest, lowest))


def _as_linux_does() -> None:
    libc = ctypes.CDLL(None)
    # What it starts and leaves stays below it, where the server finds it, and gains no rights by sudo.
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with suppress(OSError):
        # When the machine runs out of memory this one goes, not the server.
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
