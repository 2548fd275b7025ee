"""Archives are checked as a backend uses them."""

import json
import os
import re
import sys
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from openeo_udf_fusion import __version__
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.errors import InvalidArchive, InvalidParameter, SelfTestFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish import archive, archive_check
from openeo_udf_fusion.publish.archive_wheels import Sources, Target
from tests.publish.wheels import BASE, given_wheels_only, write_wheel

pytestmark = pytest.mark.usefixtures("no_other_wheels")


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
        given_wheels_only(patch)
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


def test_older_libraries_than_expected_are_warned_of(usable, remembered, tmp_path, capsys):
    assert archive_check.check(usable.path)["warnings"] == []
    expected = [*usable.manifest["expected_on_worker"], "a-library>=1", "xarray>=9999"]
    archived = with_changed(usable, tmp_path, restated(usable, expected_on_worker=expected))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_check, "_link_base", lambda *_: None)
        none, old = archive_check.check(archived)["warnings"]
        assert main(["archive", "check", str(archived)]) == 0
    assert none == "the archive expects a-library>=1 of a worker, this interpreter has none"
    assert re.fullmatch(r"the archive expects xarray>=9999 of a worker, this interpreter has 20\S+", old)
    assert old in capsys.readouterr().err


def test_another_python_than_the_archives_fails(usable, tmp_path):
    ran = said_by(usable.path)
    ran = ran | {"report": ran["report"] | {"python": "3.99.1"}}
    worker = tmp_path / "python"
    worker.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(ran)}\nEND\n")
    worker.chmod(0o755)
    with pytest.raises(SelfTestFailed, match=r"the interpreter is 3\.99\.1.*--python 3\.99"):
        archive_check.check(usable.path, str(worker))


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


def test_the_check_is_a_command_too(usable, remembered, capsys):
    assert main(["archive", "check", str(usable.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    assert main(["archive", "check", str(usable.path)]) == 0
    assert "works" in capsys.readouterr().out


def test_what_is_wrong_is_said_without_a_traceback(tmp_path, capsys):
    assert main(["archive", "check", str(tmp_path / "none.zip")]) == 1
    said = capsys.readouterr().err
    assert "is no archive" in said
    assert "Traceback" not in said


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
