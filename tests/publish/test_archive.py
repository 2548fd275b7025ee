"""Archives hold what a worker lacks, and are the same every time."""

import hashlib
import json
import re
import zipfile
from email import message_from_string
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from openeo_udf_fusion import __version__, udfs
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.errors import CorruptWeights, StorageFailed
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.publish import archive, archive_wheels
from tests.publish.wheels import BASE, LINUX, TARGET
from tests.test_layers import UDF_PATH

pytestmark = pytest.mark.usefixtures("no_other_wheels")


@pytest.fixture(scope="module")
def names(built) -> list[str]:
    with zipfile.ZipFile(built.path) as file:
        return file.namelist()


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


def test_metadata_that_raises_where_a_field_is_missing_can_be_read(tmp_path, monkeypatch):
    """As that of the package importlib_metadata does, once anything has imported it."""

    class Strict(Message):
        def __getitem__(self, name: str) -> str:
            if name not in self:
                raise KeyError(name)
            return str(super().__getitem__(name))

    folder = tmp_path / "made-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\nLicense: MIT\n")
    strict = property(lambda found: message_from_string(found.read_text("METADATA"), Strict))
    monkeypatch.setattr(metadata.PathDistribution, "metadata", strict)
    assert archive._contents(tmp_path) == [{"name": "made", "version": "1.0", "licence": "MIT"}]


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


def test_a_graph_of_other_weights_is_not_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_wheels, "resolve", lambda *_: {})
    monkeypatch.setattr(archive_wheels, "kept", lambda *_: [])
    monkeypatch.setattr(cards.Card, "fingerprint", "of other weights")
    with pytest.raises(CorruptWeights, match="exported from other weights"):
        archive.build("onnx", TARGET, tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- the command


def test_as_json_it_is_one_object(built, monkeypatch, capsys):
    monkeypatch.setattr(archive, "build", lambda *_, **__: built)
    assert main(["archive", "build", "--runtime", "onnx", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["path"]).stat().st_size == facts["size"]
    assert facts["job_option"] == f"https://example.org/{built.path.name}#{udfs.ARCHIVE_FOLDER}"
    assert facts["manifest"] == built.manifest
