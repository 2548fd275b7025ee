"""Check an archive as a backend uses it: unpacked, in a fresh interpreter, by the self-test's UDF text."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from openeo_udf_fusion.errors import InvalidArchive, InvalidParameter, SelfTestFailed, UnmetRequirement
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.archive import MANIFEST, PACKAGE
from openeo_udf_fusion.udfs import with_archive

_ADVICE = "build it anew with: openeo-udf-fusion archive build"
_TIMEOUT_S = 600
_RUN = """
import json, sys
sys.path += json.loads(sys.argv[1])
import numpy, xarray
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code
times = numpy.array(["2022-03-01", "2022-03-02"], "datetime64[ns]")
coords = {"t": times, "bands": ["any"], "y": [1.5, 0.5], "x": [0.5, 1.5]}
cube = xarray.DataArray(numpy.zeros((2, 1, 2, 2), "float32"), coords, ("t", "bands", "y", "x"))
data = UdfData(datacube_list=[XarrayDataCube(cube)], user_context={})
result = run_udf_code(sys.stdin.read(), data).get_datacube_list()[0].get_array()
from openeo_udf_fusion.processes import self_test
bands = {str(b): float(result.sel(bands=b).values.flat[0]) for b in result.bands.values}
print(json.dumps({"bands": bands, "from": self_test.__file__, "report": self_test.report()._asdict()}))
"""


def check(file: Path, python: str | None = None) -> Json:
    """Unpack an archive, run its self-test as a backend would, and return the report.

    Parameters
    ----------
    file : Path
        The archive.
    python : str, optional
        A worker's interpreter, with what the backend has installed. By default this one, which then sees
        nothing but the archive, the standard library and the distributions that the archive expects of a
        worker.

    Returns
    -------
    dict
        What `processes.self_test.report` says there, and `warnings`: which libraries of the interpreter are
        other than the archive expects.

    Raises
    ------
    InvalidArchive
        The file is no archive of this package, or is damaged.
    InvalidParameter
        This interpreter is not the one that the archive is for.
    SelfTestFailed
        The self-test did not run, or its checksum is wrong.
    """
    with TemporaryDirectory() as scratch:
        manifest = _unpacked(file, Path(scratch))
        if python is None:
            _check_interpreter(manifest)
            beside = Path(scratch) / "base"
            _link_base(manifest["expected_on_worker"], beside)
            found = _run([sys.executable, "-I", "-S"], [str(beside)], manifest, Path(scratch))
        else:
            found = _run([python, "-I"], [], manifest, Path(scratch))
    return _judged(found, manifest)


def read_manifest(file: Path) -> Json:
    """Return what an archive says of itself.

    Raises
    ------
    InvalidArchive
        The file is no archive of this package.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest: Json = json.loads(archive.read(MANIFEST))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InvalidArchive(f"{file} is no archive of {PACKAGE}: {error}; {_ADVICE}") from error
    if manifest.get("format") != 1:
        raise InvalidArchive(f"{file} has format {manifest.get('format')}, this version reads 1; {_ADVICE}")
    return manifest


def _unpacked(file: Path, scratch: Path) -> Json:
    """Unpack an archive into the folder of its name, and check the weights."""
    manifest = read_manifest(file)
    folder = scratch / manifest["folder"]
    with zipfile.ZipFile(file) as archive:
        try:
            _check_names(archive.namelist())
            archive.extractall(folder)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InvalidArchive(f"{file} cannot be unpacked: {error}; {_ADVICE}") from error
    for weights in manifest["weights"]:
        own = folder / weights["file"]
        found = sha256(own.read_bytes()).hexdigest() if own.is_file() else "no such file"
        if found != weights["sha256"]:
            raise InvalidArchive(
                f"{weights['file']} in {file} needs the sha256 {weights['sha256']}, it has {found}; {_ADVICE}"
            )
    return manifest


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"the entry {name!r} leads out of the folder")


def _check_interpreter(manifest: Json) -> None:
    here = (f"{sys.version_info.major}.{sys.version_info.minor}", os.uname().machine, sys.platform)
    there = (manifest["python"], manifest["machine"], "linux")
    if here != there:
        raise InvalidParameter(
            f"the archive is for Python {there[0]} on {there[2]} {there[1]}, this is {here[0]} on {here[2]} "
            f"{here[1]}; give --python, the interpreter of a worker's image"
        )


def _run(command: list[str], path: list[str], manifest: Json, folder: Path) -> Json:
    """Run the self-test's UDF in a fresh interpreter whose working folder holds the unpacked one."""
    text = with_archive("self_test", manifest["folder"])
    try:
        done = subprocess.run(
            [*command, "-c", _RUN, json.dumps(path)],
            input=text,
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SelfTestFailed(f"the self-test could not run: {error}") from error
    if done.returncode:
        raise SelfTestFailed(f"the self-test did not run to its end: {_last_lines(done.stderr)}")
    found: Json = json.loads(done.stdout.splitlines()[-1])
    return found


def _last_lines(text: str) -> str:
    """Return the exception of a traceback, and where it came from."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it said nothing"


def _judged(found: Json, manifest: Json) -> Json:
    report, stated = found["report"], manifest["self_test"]
    # The report is the archive's own word; the manifest was written where it was built.
    right = abs(report["checksum"] - stated["checksum"]) <= stated["tolerance"]
    expected = {"version": manifest["version"], "runtime": manifest["runtime"]}
    differs = {key: report[key] for key, value in expected.items() if report[key] != value}
    if manifest["folder"] not in Path(found["from"]).parts:
        raise SelfTestFailed(
            f"the interpreter has {PACKAGE} {report['version']} installed and did not use the archive; take "
            "one without it, as a worker's would be"
        )
    if differs:
        raise SelfTestFailed(f"the archive says {expected}, what ran is {differs}")
    if report["python"].split(".")[:2] != manifest["python"].split("."):
        raise SelfTestFailed(
            f"the archive is for Python {manifest['python']}, the interpreter is {report['python']}; "
            f"{_ADVICE} --python {'.'.join(report['python'].split('.')[:2])}"
        )
    if not right or found["bands"]["passed"] != 1:
        raise SelfTestFailed(
            f"the checksum should be {stated['checksum']} within {stated['tolerance']}, it is "
            f"{report['checksum']}; do not use this archive: {_ADVICE}"
        )
    return dict(report) | {"warnings": list(_unexpected(report["libraries"], manifest))}


def _unexpected(libraries: Mapping[str, str], manifest: Json) -> Iterator[str]:
    """Say which libraries are others than the archive expects of a worker: nobody tried it with those."""
    for requirement in map(Requirement, manifest["expected_on_worker"]):
        version = libraries.get(requirement.name)
        if version is None or version == "not there":
            yield f"the archive expects {requirement} of a worker, this interpreter has none"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"the archive expects {requirement} of a worker, this interpreter has {version}"


# --- what a worker brings


def _link_base(expected: Iterable[str], folder: Path) -> None:
    """Stand in for a worker's site-packages: links to what is expected there, and to nothing else."""
    folder.mkdir()
    for distribution in _closure(Requirement(text) for text in expected):
        for name in _top_level(distribution):
            link = folder / name
            if not os.path.lexists(link):
                link.symlink_to(Path(str(distribution.locate_file(name))).absolute())


def _closure(roots: Iterable[Requirement]) -> Iterator[metadata.Distribution]:
    """Yield the installed distributions that some requirements stand for, with what they need themselves."""
    seen, open_ends = set[str](), list(roots)
    while open_ends:
        requirement = open_ends.pop()
        key = canonicalize_name(requirement.name)
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError as error:
            raise UnmetRequirement(
                f"a check without --python needs {requirement.name} here, in a worker's place; install it"
            ) from error
        yield distribution
        stated = [Requirement(text) for text in distribution.requires or []]
        open_ends += [r for r in stated if r.marker is None or r.marker.evaluate({"extra": ""})]


def _top_level(distribution: metadata.Distribution) -> set[str]:
    """Return the files and folders of a distribution directly under site-packages."""
    tops = {file.parts[0] for file in distribution.files or []}
    return {top for top in tops if top != ".." and re.fullmatch(r"[\w.\-+]+", top) and top != "__pycache__"}
