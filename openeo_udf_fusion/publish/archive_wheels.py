"""Which wheels an archive needs on a backend's workers, and pip's help in getting them.

pip resolves and unpacks; where it looks is pip's own configuration. What it cannot do is done here: evaluate
markers for the target instead of for this machine, and leave out what the workers have already.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from openeo_udf_fusion.errors import InvalidParameter, UnavailableWheel, UnmetRequirement
from openeo_udf_fusion.jsontypes import Json

DISTRIBUTION = "openeo-udf-fusion"
Runtime = Literal["onnx", "torch"]
RUNTIMES: tuple[Runtime, ...] = ("onnx", "torch")
MACHINES = ("x86_64", "aarch64")
TORCH_VERSION = "2.13.0"
"""Named exactly: a CPU build is a local version (`+cpu`), which no range of versions can ask for."""

_LEGACY_TAGS = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
"""PEP 600: what the tags before it stand for."""
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}


@dataclass(frozen=True)
class Target:
    """The Python, C library and processor of a backend's workers.

    Parameters
    ----------
    python : str
        Such as "3.11"; CPython.
    glibc : str
        The version that `ldd --version` prints on a worker, such as "2.28"; wheels for it or older ones fit.
    machine : "x86_64" or "aarch64"
        What `uname -m` prints there.

    Raises
    ------
    InvalidParameter
        If one of them is not of that form.
    """

    python: str = "3.11"
    glibc: str = "2.28"
    machine: str = "x86_64"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d{1,2}", self.python):
            raise InvalidParameter(f"python is two numbers such as 3.11, got {self.python!r}")
        if not re.fullmatch(r"2\.\d{1,2}", self.glibc):
            raise InvalidParameter(f"glibc is two numbers such as 2.28, got {self.glibc!r}")
        if self.machine not in MACHINES:
            raise InvalidParameter(f"machine is one of {', '.join(MACHINES)}, got {self.machine!r}")

    def __str__(self) -> str:
        return f"Python {self.python}, glibc {self.glibc}, {self.machine}"

    @property
    def tag(self) -> str:
        """The target in a file's name, such as cp311-manylinux_2_28_x86_64."""
        return f"cp{self.python.replace('.', '')}-{self.platforms()[0]}"

    def platforms(self) -> list[str]:
        """Return every platform tag whose wheels run there, the newest first."""
        minor, oldest = int(self.glibc.split(".")[1]), _OLDEST_GLIBC[self.machine]
        tags = []
        for version in range(minor, oldest - 1, -1):
            tags.append(f"manylinux_2_{version}_{self.machine}")
            if (2, version) in _LEGACY_TAGS:
                tags.append(f"{_LEGACY_TAGS[2, version]}_{self.machine}")
        return tags or [f"manylinux_2_{minor}_{self.machine}"]

    def environment(self, extra: str = "") -> dict[str, str]:
        """Return the values of PEP 508's markers there."""
        there = {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
        return {
            **{name: str(value) for name, value in default_environment().items()},
            **there,
            "extra": extra,
        }


@dataclass(frozen=True)
class Sources:
    """Where pip looks, beside or instead of what its own configuration says.

    Parameters
    ----------
    find_links : path or URL, optional
        A folder or page of wheels.
    no_index : bool
        Ask no index: only `find_links`.
    constraint : path, optional
        A file of versions, as pip takes it.
    """

    find_links: str | None = None
    no_index: bool = False
    constraint: Path | None = None

    def options(self) -> list[str]:
        """Return pip's options."""
        options = [] if self.find_links is None else ["--find-links", self.find_links]
        options += ["--no-index"] if self.no_index else []
        return options + ([] if self.constraint is None else ["--constraint", str(self.constraint)])


@dataclass(frozen=True)
class Wheel:
    """A distribution that pip found for the target.

    Attributes
    ----------
    name, version : str
        As its metadata states them.
    requires : tuple of str
        Its requirements, with markers and extras.
    """

    name: str
    version: str
    requires: tuple[str, ...]


def base_requirements(target: Target) -> list[Requirement]:
    """Return what this package needs with any runtime: what a worker of the backend has already."""
    return _of_package(target, "")


def runtime_requirements(runtime: Runtime, target: Target) -> list[Requirement]:
    """Return what this package needs for a runtime, of torch the build for CPUs."""
    base = {canonicalize_name(requirement.name) for requirement in base_requirements(target)}
    found = [r for r in _of_package(target, runtime) if canonicalize_name(r.name) not in base]
    if not found:
        raise UnmetRequirement(
            f"the metadata of the installed {DISTRIBUTION} has no extra {runtime!r}; install it again"
        )
    return [Requirement(f"torch=={TORCH_VERSION}+cpu") if r.name == "torch" else r for r in found]


def check_python(target: Target) -> None:
    """Raise InvalidParameter where this package does not run on the target's Python."""
    needed = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    if needed and not SpecifierSet(needed).contains(f"{target.python}.0"):
        raise InvalidParameter(
            f"{DISTRIBUTION} needs Python {needed}, the target has {target.python}; choose a worker image "
            "with a newer Python (job option image-name)"
        )


def resolve(requirements: Sequence[Requirement], target: Target, sources: Sources) -> dict[str, Wheel]:
    """Find wheels that satisfy the requirements on the target, and their own requirements.

    Returns
    -------
    dict of normalised name to Wheel

    Raises
    ------
    UnavailableWheel
        Where there is none; the message is pip's.
    """
    asked = [_without_marker(requirement) for requirement in requirements]
    while True:
        found = _report(asked, target, sources)
        missing = [
            _without_marker(need)
            for wheel in found.values()
            for need in needs(wheel, (), target)
            if canonicalize_name(need.name) not in found
        ]
        if not missing:
            return found
        # pip evaluates markers for the machine it runs on: what only the target needs is asked for by name.
        asked += missing


def kept(
    roots: Iterable[Requirement], found: Mapping[str, Wheel], without: Iterable[str], target: Target
) -> list[Wheel]:
    """Return the wheels that the roots need, stopping at names that the workers have already."""
    stop, chosen = {canonicalize_name(name) for name in without}, dict[str, Wheel]()
    open_ends = list(roots)
    while open_ends:
        requirement = open_ends.pop()
        name = canonicalize_name(requirement.name)
        if name in stop or name in chosen:
            continue
        chosen[name] = found[name]
        open_ends += needs(found[name], requirement.extras, target)
    return [chosen[name] for name in sorted(chosen)]


def needs(wheel: Wheel, extras: Iterable[str], target: Target) -> list[Requirement]:
    """Return a wheel's own requirements on the target."""
    stated = [Requirement(text) for text in wheel.requires]
    wanted = ("", *extras)
    return [
        r for r in stated if r.marker is None or any(r.marker.evaluate(target.environment(e)) for e in wanted)
    ]


def unpack(wheels: Iterable[Wheel], target: Target, sources: Sources, folder: Path) -> None:
    """Unpack wheels into a folder that can be put on `sys.path`."""
    pinned = [f"{wheel.name}=={wheel.version}" for wheel in wheels]
    if pinned:
        _pip(["--no-deps", "--no-compile", "--target", str(folder), *pinned], target, sources)


def _of_package(target: Target, extra: str) -> list[Requirement]:
    try:
        stated = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise UnmetRequirement(
            f"{DISTRIBUTION} is not installed, and its metadata says what it needs; pip install the checkout"
        ) from error
    requirements = [Requirement(text) for text in stated]
    environment = target.environment(extra)
    chosen = [r for r in requirements if r.marker is None or r.marker.evaluate(environment)]
    return [r for r in chosen if canonicalize_name(r.name) != DISTRIBUTION]


def _without_marker(requirement: Requirement) -> Requirement:
    plain = Requirement(str(requirement))
    plain.marker = None
    return plain


def _report(requirements: Iterable[Requirement], target: Target, sources: Sources) -> dict[str, Wheel]:
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--report", str(report)]
        options += ["--target", str(Path(scratch) / "none"), *(str(r) for r in requirements)]
        _pip(options, target, sources)
        content: Json = json.loads(report.read_text(encoding="utf-8"))
    wheels = [_wheel(entry["metadata"]) for entry in content["install"]]
    return {canonicalize_name(wheel.name): wheel for wheel in wheels}


def _wheel(stated: Json) -> Wheel:
    return Wheel(stated["name"], stated["version"], tuple(stated.get("requires_dist", ())))


def _pip(options: Sequence[str], target: Target, sources: Sources) -> None:
    """Run `pip install` for the target; its own words are in the error."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", target.python]
    command += [part for tag in target.platforms() for part in ("--platform", tag)]
    done = subprocess.run([*command, *sources.options(), *options], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        said = " ".join(line.removeprefix("ERROR:").strip() for line in lines) or done.stderr.strip()[-500:]
        raise UnavailableWheel(f"pip found no wheels for {target}: {_short(said)}{_advice(said)}")


def _short(said: str) -> str:
    """Shorten the long list of versions that pip prints."""
    return re.sub(r"\(from versions: ([^)]{80})[^)]*\)", r"(from versions: \1, ...)", said)


def _advice(said: str) -> str:
    if "No module named pip" in said:
        return "; install pip into this environment"
    if "+cpu" in said:
        return (
            "; torch for CPUs is a build of its own: tell pip where it is (its configuration, or "
            "--find-links), or build with --runtime onnx"
        )
    return "; try another --python or --glibc, or give wheels with --find-links"
