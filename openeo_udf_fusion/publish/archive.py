"""Build the archive that a worker of a backend unpacks: this package, weights and a runtime for CPUs.

The same content gives the same bytes. What the workers bring themselves (numpy, xarray, pystac, the openEO
client) is left out unless asked for: the backend has imported its own before any UDF runs, and a second copy
on `sys.path` would be mixed with it.
"""

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

from openeo_udf_fusion import __version__
from openeo_udf_fusion.errors import InvalidParameter, StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.processes import self_test
from openeo_udf_fusion.publish import archive_wheels as wheels
from openeo_udf_fusion.publish.archive_wheels import Runtime, Sources, Target
from openeo_udf_fusion.udfs import ARCHIVE_FOLDER

PACKAGE = "openeo_udf_fusion"
MANIFEST = "openeo_udf_fusion_archive.json"
UDF_PATH = (
    *("__init__", "errors", "jsontypes", "parameters", "sensors", "quality_flags", "periods", "cubes"),
    *("provenance", "models", "baselines", "processes", "udfs"),
)
"""The modules and sub-packages that a UDF may import; the rest of this package is for other machines."""

_WEIGHTS: dict[Runtime, str] = {"onnx": ".onnx", "torch": ".safetensors"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_USELESS_FOLDERS = {"__pycache__", "test", "tests"}
_USELESS_SUFFIXES = {".a", ".pyc", ".pyi", ".pyo"}
_USELESS_IN_TORCH = ("torch/include", "torch/share", "torch/bin/[!t]*", "torch/bin/test_*")
"""Headers, build files and test programs; `torch/bin/torch_shm_manager` is needed to import torch."""
_INSTALLERS_NOTES = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


@dataclass(frozen=True)
class Built:
    """A finished archive.

    Attributes
    ----------
    path : Path
        Where it lies.
    size, unpacked : int
        In bytes, of the file and of what it holds.
    manifest : dict
        What it says of itself.
    """

    path: Path
    size: int
    unpacked: int
    manifest: Json


def build(
    runtime: Runtime,
    target: Target,
    out: Path,
    *,
    include_base: bool = False,
    sources: Sources | None = None,
) -> Built:
    """Build an archive; it appears under its name when it is whole.

    Parameters
    ----------
    runtime : "onnx" or "torch"
        What runs the networks on the workers; torch is some six times larger.
    target : Target
        The workers' Python, C library and processor.
    out : Path
        The folder to write to; it is made where it is missing.
    include_base : bool
        Put in numpy, xarray, pystac and the openEO client too, for workers that lack them.
    sources : Sources, optional
        Where pip looks, beside its own configuration.

    Raises
    ------
    InvalidParameter
        An unknown runtime, or a Python that this package does not run on.
    UnavailableWheel
        Something that is needed has no wheel for the target.
    CorruptWeights
        Weights of this package are missing or damaged, or a graph was exported from others.
    StorageFailed
        The folder cannot be written to.
    """
    if runtime not in wheels.RUNTIMES:
        raise InvalidParameter(f"runtime is one of {', '.join(wheels.RUNTIMES)}, got {runtime!r}")
    wheels.check_python(target)
    sources = sources or Sources()
    base = wheels.base_requirements(target)
    roots = wheels.runtime_requirements(runtime, target)
    found = wheels.resolve([*roots, *base], target, sources)
    chosen = wheels.kept(
        [*roots, *(base if include_base else ())], found, () if include_base else _names(base), target
    )
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / ARCHIVE_FOLDER
        wheels.unpack(chosen, target, sources, folder)
        manifest = _manifest(runtime, target, _contents(folder), [] if include_base else base)
        _strip(folder)
        _copy_package(runtime, folder)
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        path = out / file_name(runtime, target, include_base)
        unpacked = _zip(folder, path)
    return Built(path, path.stat().st_size, unpacked, manifest)


def file_name(runtime: Runtime, target: Target, include_base: bool = False) -> str:
    """Return the name of an archive's file; it tells versions, runtimes and targets apart."""
    base = "-base" if include_base else ""
    return f"{PACKAGE}-{__version__}-{runtime}{base}-{target.tag}.zip"


def job_option(url: str) -> str:
    """Return the value for `udf-dependency-archives` that unpacks an archive where the UDFs look for it."""
    return f"{url}#{ARCHIVE_FOLDER}"


def _names(requirements: Iterable[Requirement]) -> list[str]:
    return [requirement.name for requirement in requirements]


# --- content


def _manifest(
    runtime: Runtime,
    target: Target,
    others: Iterable[Json],
    expected: Iterable[Requirement],
) -> Json:
    """Return what the archive says of itself; nothing of when or where it was built."""
    own = _described(metadata.distribution(wheels.DISTRIBUTION)) | {"version": __version__}
    return {
        "format": 1,
        "package": PACKAGE,
        "version": __version__,
        "runtime": runtime,
        "python": target.python,
        "glibc": target.glibc,
        "machine": target.machine,
        "folder": ARCHIVE_FOLDER,
        "contents": [own, *others],
        "expected_on_worker": sorted(str(requirement) for requirement in expected),
        "weights": _weights(runtime),
        "self_test": {"checksum": self_test.EXPECTED, "tolerance": self_test.TOLERANCE},
    }


def _contents(folder: Path) -> list[Json]:
    """Return name, version and licence of every unpacked distribution."""
    return sorted(
        (_described(found) for found in metadata.distributions(path=[str(folder)])),
        key=lambda described: str(described["name"]).lower(),
    )


def _described(distribution: metadata.Distribution) -> Json:
    about, prefix = distribution.metadata, "License :: OSI Approved :: "
    # Some put the whole text of their licence into the old field.
    stated = _field(about, "License-Expression") or _field(about, "License").strip().split("\n")[0]
    classifiers = about.get_all("Classifier") or []
    classified = [text.removeprefix(prefix) for text in classifiers if text.startswith(prefix)]
    licence = stated or ", ".join(classified) or "see its dist-info folder"
    return {"name": about["Name"], "version": distribution.version, "licence": licence}


def _field(about: metadata.PackageMetadata, name: str) -> str:
    """A field of a distribution's metadata, or nothing; some finders raise where it is missing."""
    return about[name] or "" if name in about else ""


def _weights(runtime: Runtime) -> list[Json]:
    """Return file and SHA-256 of every model that the runtime can run; each is verified."""
    found = []
    for name in cards.names():
        card = cards.read(name)
        if runtime == "torch":
            file, digest = card.weights_file, card.sha256
            weights.verified(cards.FOLDER / file, digest)
        elif card.onnx is not None:
            file, digest = card.onnx.file, card.onnx.sha256
            weights.verified_onnx(card, cards.FOLDER)
        else:
            continue
        found.append({"model": name, "file": f"{PACKAGE}/models/{file}", "sha256": digest})
    return found


def _copy_package(runtime: Runtime, folder: Path) -> None:
    """Copy what a UDF may import, and of the weights those that the runtime reads."""
    others = {suffix for own, suffix in _WEIGHTS.items() if own != runtime}
    with resources.as_file(resources.files(PACKAGE)) as source:
        for file in sorted(source.rglob("*")):
            relative = file.relative_to(source)
            useless = file.suffix in others | _USELESS_SUFFIXES or _USELESS_FOLDERS & set(relative.parts)
            if file.is_file() and not useless and relative.parts[0].removesuffix(".py") in UDF_PATH:
                target = folder / PACKAGE / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    licence = _licence_text()
    if licence is not None:
        (folder / PACKAGE / "LICENSE").write_text(licence, encoding="utf-8")


def _licence_text() -> str | None:
    """Find the licence: in the metadata of an installed package, or beside the package in a checkout."""
    installed = metadata.distribution(wheels.DISTRIBUTION)
    for name in ("licenses/LICENSE", "LICENSE"):
        text = installed.read_text(name)
        if text is not None:
            return text
    beside = Path(str(installed.locate_file("LICENSE")))
    return beside.read_text(encoding="utf-8") if beside.is_file() else None


def _strip(folder: Path) -> None:
    """Remove what no UDF reads; licences stay."""
    folder.mkdir(exist_ok=True)
    useless = [folder / "bin", *(found for pattern in _USELESS_IN_TORCH for found in folder.glob(pattern))]
    useless += [path for path in folder.rglob("*") if path.name in _USELESS_FOLDERS and path.is_dir()]
    for path in useless:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in folder.rglob("*"):
        note = path.parent.suffix == ".dist-info" and path.name in _INSTALLERS_NOTES
        if path.is_file() and (note or path.suffix in _USELESS_SUFFIXES):
            path.unlink()


# --- the file


def _zip(folder: Path, path: Path) -> int:
    """Write a folder's files as a zip, under a temporary name first; returns their size in bytes."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            size = sum(_add(archive, file, folder) for file in _files(folder))
        os.replace(temporary, path)
    except OSError as error:
        raise StorageFailed(
            f"{path} could not be written: {error.strerror or error}; nothing was left under that name"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _files(folder: Path) -> Iterator[Path]:
    return iter(
        sorted((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.relative_to(folder).as_posix())
    )


def _add(archive: zipfile.ZipFile, file: Path, folder: Path) -> int:
    """Add a file without its date and owner, which say nothing of its content."""
    entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    executable = file.stat().st_mode & stat.S_IXUSR
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    with file.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return file.stat().st_size
