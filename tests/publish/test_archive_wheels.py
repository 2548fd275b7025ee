"""Archives get the wheels of their target, whichever machine builds them."""

import re
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from openeo_udf_fusion.errors import InvalidParameter, UnavailableWheel, UnmetRequirement
from openeo_udf_fusion.publish import archive, archive_wheels
from openeo_udf_fusion.publish.archive_wheels import Sources, Target
from tests.publish.wheels import BASE, TARGET, write_wheel

pytestmark = pytest.mark.usefixtures("no_other_wheels")


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
