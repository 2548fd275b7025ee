"""Archives hold what a worker lacks, are the same every time, and are checked as a backend uses them.

The wheels are tiny fakes in a folder: pip is real, and asks no index.
"""

import base64
import hashlib
import json
import os
import re
import sys
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from openeo_udf_fusion import __version__, udfs
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.errors import (
    InvalidArchive,
    InvalidParameter,
    SelfTestFailed,
    StorageFailed,
    UnavailableWheel,
    UnmetRequirement,
)
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish import archive, archive_check, archive_wheels
from openeo_udf_fusion.publish.archive_wheels import Sources, Target
from tests.test_layers import UDF_PATH

BASE = ("numpy", "openeo", "pystac", "xarray")
LINUX = "manylinux_2_28_x86_64"
TARGET = Target("3.11", "2.28", "x86_64")


# --- wheels made for the tests


def write_wheel(
    folder: Path,
    name: str,
    version: str = "9.9",
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
    licence: str = "MIT",
) -> None:
    """Write a wheel that pip takes."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"]
    lines += [f"Requires-Dist: {need}\n" for need in requires]
    content = {
        f"{stem}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": "".join(lines),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/licenses/LICENSE": "do as you like\n",
    }
    record = []
    with zipfile.ZipFile(folder / f"{stem}-{version}-{tag}.whl", "w") as wheel:
        for path, text in content.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(text)}\n")
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """What an onnx archive needs, and what the workers have."""
    folder = tmp_path_factory.mktemp("wheels")
    write_wheel(
        folder,
        "onnxruntime",
        tag=f"cp311-cp311-{LINUX}",
        requires=(
            "numpy>=1",
            "flat-buffers",
            'windows-only; sys_platform == "win32"',
            'old; python_version<"3"',
        ),
        files={
            "onnxruntime/tests/test_it.py": "",
            "onnxruntime/backend/test/data.py": "",
            "onnxruntime/lib.pyi": "",
            "onnxruntime/old.pyc": "",
            "onnxruntime/contest.py": "",
        },
    )
    write_wheel(folder, "flat-buffers", requires=("typing-things",), licence="Apache-2.0")
    write_wheel(folder, "typing-things")
    for name in BASE:
        write_wheel(folder, name, "2099.1", requires=("only-the-base-needs-me",))
    write_wheel(folder, "only-the-base-needs-me")
    return folder


@pytest.fixture
def sources(wheels) -> Sources:
    return Sources(str(wheels), no_index=True)


@pytest.fixture(autouse=True)
def no_other_wheels(monkeypatch):
    """Let the machine's own configuration of pip bring nothing in."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture(scope="module")
def built(wheels, tmp_path_factory) -> archive.Built:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        out = tmp_path_factory.mktemp("out")
        return archive.build("onnx", TARGET, out, sources=Sources(str(wheels), no_index=True))


@pytest.fixture(scope="module")
def names(built) -> list[str]:
    with zipfile.ZipFile(built.path) as file:
        return file.namelist()


# --- targets


@pytest.mark.parametrize(
    ("target", "first", "last"),
    [
        (Target("3.11", "2.28", "x86_64"), "manylinux_2_28_x86_64", "manylinux1_x86_64"),
        (Target("3.12", "2.17", "aarch64"), "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    ],
)
def test_wheels_for_older_libraries_run_too(target, first, last):
    tags = target.platforms()
    assert (tags[0], tags[-1]) == (first, last)
    assert len(set(tags)) == len(tags)
    assert not any("2_29" in tag for tag in tags)


@pytest.mark.parametrize(
    "wrong", [{"python": "3"}, {"python": "3.11.7"}, {"glibc": "musl"}, {"machine": "arm"}]
)
def test_a_target_that_is_none_is_refused(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(InvalidParameter, match=rf"{name}.*{re.escape(repr(value))}"):
        Target(**wrong)


def test_markers_are_those_of_the_target():
    there = Target("3.12", "2.28", "aarch64").environment("onnx")
    assert Requirement('x; python_version=="3.12" and platform_machine=="aarch64"').marker.evaluate(there)
    assert Requirement('x; sys_platform=="linux" and extra=="onnx"').marker.evaluate(there)
    assert not Requirement('x; os_name=="nt"').marker.evaluate(there)


def test_a_python_that_is_too_old_is_refused(sources, tmp_path):
    needed = metadata.metadata("openeo-udf-fusion")["Requires-Python"]
    with pytest.raises(InvalidParameter, match=rf"{re.escape(needed)}.*3\.8"):
        archive.build("onnx", Target("3.8"), tmp_path, sources=sources)
    assert list(tmp_path.iterdir()) == []


# --- what is in it


def test_it_holds_the_runtime_with_its_needs_and_not_the_workers_own(built, names):
    folders = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert folders == {
        *("openeo_udf_fusion", "onnxruntime", "flat_buffers", "typing_things"),
        archive.MANIFEST,
    }
    assert {Requirement(text).name for text in built.manifest["expected_on_worker"]} == set(BASE)


def test_it_holds_every_module_that_a_udf_may_import_and_no_other(names):
    assert {"__init__", *archive.UDF_PATH} == {"__init__", *UDF_PATH}
    own = {name.split("/")[1].removesuffix(".py") for name in names if name.startswith("openeo_udf_fusion/")}
    assert own == {*archive.UDF_PATH, "LICENSE"}


def test_the_weights_are_those_that_the_runtime_reads(built, names):
    models = [name for name in names if name.startswith("openeo_udf_fusion/models/")]
    assert not [name for name in models if name.endswith(".safetensors")]
    exported = {card.onnx.file for card in map(cards.read, cards.names()) if card.onnx is not None}
    assert {f"openeo_udf_fusion/models/{name}.json" for name in cards.names()} <= set(models)
    stated = {weights["file"]: weights["sha256"] for weights in built.manifest["weights"]}
    assert set(stated) == {f"openeo_udf_fusion/models/{file}" for file in exported} <= set(models)
    with zipfile.ZipFile(built.path) as file:
        assert stated == {name: hashlib.sha256(file.read(name)).hexdigest() for name in stated}


def test_tests_bytecode_and_the_installers_notes_are_left_out_and_licences_stay(names):
    assert not [name for name in names if re.search(r"(^|/)(tests?|__pycache__)/|\.py[ci]$", name)]
    assert not [name for name in names if name.endswith(("/RECORD", "/INSTALLER", "/direct_url.json"))]
    assert "onnxruntime/contest.py" in names
    assert "onnxruntime-9.9.dist-info/licenses/LICENSE" in names


def test_the_manifest_says_what_is_inside(built):
    with zipfile.ZipFile(built.path) as file:
        assert json.loads(file.read(archive.MANIFEST)) == built.manifest
    assert built.manifest["contents"] == [
        {"name": "openeo-udf-fusion", "version": __version__, "licence": "Apache-2.0"},
        {"name": "flat-buffers", "version": "9.9", "licence": "Apache-2.0"},
        {"name": "onnxruntime", "version": "9.9", "licence": "MIT"},
        {"name": "typing-things", "version": "9.9", "licence": "MIT"},
    ]
    assert {key: built.manifest[key] for key in ("runtime", "python", "glibc", "machine", "folder")} == {
        "runtime": "onnx",
        "python": "3.11",
        "glibc": "2.28",
        "machine": "x86_64",
        "folder": udfs.ARCHIVE_FOLDER,
    }


def test_sizes_are_those_of_the_file(built):
    with zipfile.ZipFile(built.path) as file:
        assert built.unpacked == sum(entry.file_size for entry in file.infolist())
    assert built.size == built.path.stat().st_size


def test_the_same_content_gives_the_same_bytes(built, wheels, tmp_path, capsys):
    links = ["--find-links", str(wheels), "--no-index"]
    assert main(["archive", "build", "--runtime", "onnx", "--out", str(tmp_path), *links]) == 0
    (again,) = tmp_path.iterdir()
    assert again.name == built.path.name
    assert again.read_bytes() == built.path.read_bytes()
    printed = capsys.readouterr().out
    assert f"{built.size / 1e6:.1f} MB" in printed
    assert f'"udf-dependency-archives": ["https://example.org/{again.name}#fusion_deps"]' in printed


def test_the_name_tells_version_runtime_and_target(built):
    assert built.path.name == f"openeo_udf_fusion-{__version__}-onnx-cp311-{LINUX}.zip"
    assert archive.job_option("https://x.org/a.zip") == f"https://x.org/a.zip#{udfs.ARCHIVE_FOLDER}"


@pytest.mark.slow
def test_the_workers_own_are_put_in_on_request(sources, tmp_path):
    built = archive.build("onnx", TARGET, tmp_path, include_base=True, sources=sources)
    inside = {entry["name"] for entry in built.manifest["contents"]}
    assert {*BASE, "only-the-base-needs-me", "onnxruntime"} <= inside
    assert built.manifest["expected_on_worker"] == []
    assert "-base-" in built.path.name


# --- wheels


def test_what_only_the_target_needs_is_found_too(tmp_path):
    write_wheel(tmp_path, "a-root", requires=('needed-there; python_version=="3.99"',))
    write_wheel(tmp_path, "needed-there")
    there = Target("3.99")
    found = archive_wheels.resolve([Requirement("a-root")], there, Sources(str(tmp_path), no_index=True))
    chosen = archive_wheels.kept([Requirement("a-root")], found, (), there)
    assert [wheel.name for wheel in chosen] == ["a-root", "needed-there"]
    assert [wheel.name for wheel in archive_wheels.kept([Requirement("a-root")], found, (), TARGET)] == [
        "a-root"
    ]


@pytest.mark.parametrize("target", [Target("3.12"), Target("3.11", "2.27")], ids=["python", "glibc"])
def test_a_target_without_a_wheel_is_an_error_that_names_both(sources, tmp_path, target):
    with pytest.raises(UnavailableWheel, match=rf"{re.escape(str(target))}.*onnxruntime"):
        archive.build("onnx", target, tmp_path / "out", sources=sources)
    assert not (tmp_path / "out").exists()


def test_a_newer_c_library_runs_wheels_for_older_ones(sources):
    roots = archive_wheels.runtime_requirements("onnx", TARGET)
    assert "onnxruntime" in archive_wheels.resolve(roots, Target("3.11", "2.34"), sources)


@pytest.mark.slow
def test_torch_without_a_build_for_cpus_is_refused(tmp_path):
    for name in ("einops", "safetensors"):
        write_wheel(tmp_path, name)
    write_wheel(tmp_path, "torch", archive_wheels.TORCH_VERSION, requires=("cuda-toolkit",))
    for name in BASE:
        write_wheel(tmp_path, name, "2099.1")
    links = Sources(str(tmp_path), no_index=True)
    with pytest.raises(UnavailableWheel, match="build of its own"):
        archive.build("torch", TARGET, tmp_path / "out", sources=links)
    write_wheel(tmp_path, "torch", f"{archive_wheels.TORCH_VERSION}+cpu", files={"torch/include/a.h": ""})
    built = archive.build("torch", TARGET, tmp_path / "out", sources=links)
    with zipfile.ZipFile(built.path) as file:
        inside = file.namelist()
    assert "torch/__init__.py" in inside
    assert "torch/include/a.h" not in inside
    assert "openeo_udf_fusion/models/satfusenet.safetensors" in inside
    assert not [name for name in inside if name.endswith(".onnx")]


def test_torch_is_of_the_version_that_the_tests_ran_with(repository):
    pinned = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"torch=={archive_wheels.TORCH_VERSION}" in pinned


def test_a_constraint_chooses_the_version(tmp_path):
    for version in ("9.1", "9.9"):
        write_wheel(tmp_path, "flat-buffers", version)
    (tmp_path / "pins.txt").write_text("flat-buffers==9.1\n")
    pinned = Sources(str(tmp_path), no_index=True, constraint=tmp_path / "pins.txt")
    found = archive_wheels.resolve([Requirement("flat-buffers")], TARGET, pinned)
    assert found["flat-buffers"].version == "9.1"


def test_an_unknown_runtime_is_refused(tmp_path):
    with pytest.raises(InvalidParameter, match="onnx, torch"):
        archive.build("jax", TARGET, tmp_path)


def test_metadata_that_knows_no_such_extra_is_an_error(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=2"])
    with pytest.raises(UnmetRequirement, match="extra 'onnx'"):
        archive_wheels.runtime_requirements("onnx", TARGET)


# --- the file


def test_a_folder_that_cannot_be_written_leaves_what_was_there(built, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_wheels, "resolve", lambda *_: {})
    monkeypatch.setattr(archive_wheels, "kept", lambda *_: [])
    (tmp_path / built.path.name).write_text("the one before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_add", full)
    with pytest.raises(StorageFailed, match="No space left"):
        archive.build("onnx", TARGET, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [built.path.name]
    assert (tmp_path / built.path.name).read_text() == "the one before"


# --- the check


def with_changed(built: archive.Built, out: Path, changes: dict[str, bytes | None]) -> Path:
    """Copy an archive with some files replaced, or (None) left out."""
    path = out / built.path.name
    with zipfile.ZipFile(built.path) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = changes.get(entry.filename, old.read(entry))
            if content is not None:
                new.writestr(entry, content)
        for name in changes.keys() - set(old.namelist()):
            new.writestr(name, changes[name])
    return path


DOOR = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "onnxruntime", {folder!r} + "/__init__.py", submodule_search_locations=[{folder!r}]
)
sys.modules["onnxruntime"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
"""Stands for the installed onnxruntime: a copy of it would make each of these tests megabytes larger."""


@pytest.fixture(scope="module")
def usable(wheels, tmp_path_factory) -> archive.Built:
    """An archive that runs here."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("usable")
    for wheel in wheels.iterdir():
        if not wheel.name.startswith("onnxruntime"):
            (folder / wheel.name).symlink_to(wheel)
    installed = metadata.distribution("onnxruntime").locate_file("onnxruntime")
    code = DOOR.format(folder=str(Path(str(installed)).absolute()))
    write_wheel(folder, "onnxruntime", files={"onnxruntime/__init__.py": code}, requires=("flat-buffers",))
    here = Target(f"3.{sys.version_info.minor}", machine=os.uname().machine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        out = tmp_path_factory.mktemp("usable_out")
        return archive.build("onnx", here, out, sources=Sources(str(folder), no_index=True))


@pytest.fixture
def remembered(usable, monkeypatch) -> None:
    """Let an archive say again what it said when it ran, whatever its manifest says now."""
    monkeypatch.setattr(archive_check, "_run", lambda *_: said_by(usable.path))


@cache
def said_by(file: Path) -> Json:
    """What the self-test of an archive says, run once."""
    with pytest.MonkeyPatch.context() as patch:
        said, run = [], archive_check._run
        patch.setattr(archive_check, "_run", lambda *given: said.append(run(*given)) or said[-1])
        archive_check.check(file)
    return said[0]


def test_a_good_archive_passes_and_reports_what_ran(usable):
    report = said_by(usable.path)["report"]
    assert report["passed"]
    assert (report["runtime"], report["version"]) == ("onnx", __version__)
    assert set(report["libraries"]) == set(BASE)
    assert "not there" not in report["libraries"].values()


def test_nothing_but_the_archive_and_the_workers_own_is_seen(usable, tmp_path):
    code = b"import importlib.util\nassert importlib.util.find_spec('pytest') is None, 'leaks'\n"
    name = "openeo_udf_fusion/__init__.py"
    with zipfile.ZipFile(usable.path) as file:
        own = file.read(name)
    archive_check.check(with_changed(usable, tmp_path, {name: own + code}))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"openeo_udf_fusion/models/satfusenet.onnx": b"x"},
            InvalidArchive,
            "satfusenet.onnx.*needs the sha256",
        ),
        ({"openeo_udf_fusion/models/satfusenet.onnx": None}, InvalidArchive, "no such file"),
        ({"openeo_udf_fusion/cubes.py": None}, SelfTestFailed, "cubes"),
        ({"onnxruntime/__init__.py": b"raise ImportError('wrong glibc')"}, SelfTestFailed, "onnxruntime"),
        ({archive.MANIFEST: None}, InvalidArchive, archive.MANIFEST),
        ({archive.MANIFEST: b'{"format": 2}'}, InvalidArchive, "format 2"),
        ({"../outside": b"x"}, InvalidArchive, "leads out"),
    ],
    ids=["damaged", "no weights", "no module", "no runtime", "no manifest", "of later", "leading out"],
)
def test_a_spoilt_archive_is_an_error_that_says_what_is_wrong(usable, tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        archive_check.check(with_changed(usable, tmp_path, changes))


def restated(built: archive.Built, **changes: object) -> dict[str, bytes | None]:
    return {archive.MANIFEST: json.dumps(built.manifest | changes).encode()}


def test_a_wrong_checksum_fails(usable, remembered, tmp_path):
    stated = {"checksum": usable.manifest["self_test"]["checksum"] + 1e-3, "tolerance": 2e-5}
    with pytest.raises(SelfTestFailed, match="checksum should be"):
        archive_check.check(with_changed(usable, tmp_path, restated(usable, self_test=stated)))


@pytest.mark.parametrize("claim", [{"version": "9.9"}, {"runtime": "torch"}])
def test_what_ran_must_be_what_it_says(usable, remembered, tmp_path, claim):
    with pytest.raises(SelfTestFailed, match="the archive says"):
        archive_check.check(with_changed(usable, tmp_path, restated(usable, **claim)))


@pytest.mark.parametrize("claim", [{"python": "3.99"}, {"machine": "riscv64"}])
def test_another_interpreter_is_asked_for(usable, tmp_path, claim):
    with pytest.raises(InvalidParameter, match="--python"):
        archive_check.check(with_changed(usable, tmp_path, restated(usable, **claim)))


def test_an_interpreter_that_has_the_package_proves_nothing(usable, tmp_path):
    elsewhere = said_by(usable.path) | {"from": "/opt/venv/site-packages/openeo_udf_fusion/self_test.py"}
    worker = tmp_path / "python"
    worker.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(elsewhere)}\nEND\n")
    worker.chmod(0o755)
    with pytest.raises(SelfTestFailed, match="did not use the archive"):
        archive_check.check(usable.path, str(worker))


def test_an_interpreter_that_is_none_is_an_error(usable, tmp_path):
    with pytest.raises(SelfTestFailed, match="could not run"):
        archive_check.check(usable.path, str(tmp_path / "python"))


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_file_that_is_no_archive_is_an_error(tmp_path, content):
    file = tmp_path / "a.zip"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArchive, match="no archive"):
        archive_check.check(file)


# --- the command


def test_as_json_it_is_one_object(built, monkeypatch, capsys):
    monkeypatch.setattr(archive, "build", lambda *_, **__: built)
    assert main(["archive", "build", "--runtime", "onnx", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["path"]).stat().st_size == facts["size"]
    assert facts["job_option"] == f"https://example.org/{built.path.name}#{udfs.ARCHIVE_FOLDER}"
    assert facts["manifest"] == built.manifest


def test_the_check_is_a_command_too(usable, remembered, capsys):
    assert main(["archive", "check", str(usable.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    assert main(["archive", "check", str(usable.path)]) == 0
    assert "works" in capsys.readouterr().out


def test_what_is_wrong_is_said_without_a_traceback(tmp_path, capsys):
    assert main(["archive", "check", str(tmp_path / "none.zip")]) == 1
    assert "ArchiveInvalid" in capsys.readouterr().err


# --- the real thing


@pytest.mark.slow
@pytest.mark.network
def test_a_real_archive_for_onnx_works(tmp_path, repository, monkeypatch):
    monkeypatch.undo()
    here = Target(f"3.{sys.version_info.minor}", machine=os.uname().machine)
    pins = Sources(constraint=repository / "constraints.txt")
    built = archive.build("onnx", here, tmp_path, sources=pins)
    assert built.size < 60e6
    assert archive_check.check(built.path)["runtime"] == "onnx"
