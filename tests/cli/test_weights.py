import json
import shlex
import shutil

import pytest

from openeo_udf_fusion.errors import CorruptWeights
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.training import onnx_export


@pytest.fixture
def copied(tmp_path):
    """Card and files in a folder of their own."""
    folder = tmp_path / "models"
    folder.mkdir()
    for suffix in ("json", "safetensors", "onnx"):
        shutil.copy(cards.FOLDER / f"satfusenet.{suffix}", folder)
    return folder


def states(done):
    return {file["file"]: file["state"] for file in json.loads(done.stdout)["models"]["satfusenet"]["files"]}


def test_the_list_names_files_hashes_and_runtimes(command):
    done = command("weights", "list")
    card = cards.read("satfusenet")
    assert done.status == 0
    for part in (card.name, card.version, card.weights_file, card.sha256, card.onnx.file, card.onnx.sha256):
        assert part in done.stdout
    assert json.loads(command("weights", "list", "--json").stdout)["runtimes"] == {
        "torch": None,
        "onnx": None,
    }


def test_what_is_shipped_is_verified(command):
    done = command("weights", "verify", "satfusenet", "--json")
    assert done.status == 0
    assert states(done) == {"satfusenet.safetensors": "present", "satfusenet.onnx": "present"}


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_a_corrupt_file_fails_and_an_absent_one_does_not(command, copied, suffix):
    file = copied / f"satfusenet.{suffix}"
    file.write_bytes(file.read_bytes()[:-1])
    done = command("weights", "verify", "--folder", copied)
    assert done.status == 1
    assert f"{file.name} are not what the card promises" in done.stdout
    file.unlink()
    done = command("weights", "verify", "--folder", copied, "--json")
    assert done.status == 0
    assert states(done)[file.name] == "absent"


def test_without_any_file_it_fails(command, copied):
    for suffix in ("safetensors", "onnx"):
        (copied / f"satfusenet.{suffix}").unlink()
    assert command("weights", "verify", "--folder", copied).status == 1


def test_an_empty_folder_and_an_unknown_name_are_explained(command, tmp_path):
    done = command("weights", "list", "--folder", tmp_path)
    assert (done.status, "there is no model in" in done.stderr) == (1, True)
    done = command("weights", "verify", "presto")
    assert (done.status, "there is no model 'presto'" in done.stderr) == (1, True)


def test_one_whole_model_does_not_excuse_another_without_files(command, copied):
    card = json.loads((copied / "satfusenet.json").read_text())
    card["properties"]["mlm:name"] = "other"
    for asset in card["assets"].values():
        asset["href"] = asset["href"].replace("satfusenet", "other")
    (copied / "other.json").write_text(json.dumps(card))
    assert command("weights", "verify", "satfusenet", "--folder", copied).status == 0
    done = command("weights", "verify", "--folder", copied)
    assert done.status == 1
    assert "other: none of its files is there" in done.stdout


def test_the_export_that_an_error_advises_mends_it(command, copied, tmp_path, monkeypatch):
    folder = copied.rename(tmp_path / "my models")
    content = (folder / "satfusenet.onnx").read_bytes()
    monkeypatch.setattr(onnx_export, "export", lambda network: content)
    card = json.loads((folder / "satfusenet.json").read_text())
    del card["assets"]["onnx"]
    (folder / "satfusenet.json").write_text(json.dumps(card))
    with pytest.raises(CorruptWeights) as failure:
        weights.load("satfusenet", runtime="onnx", folder=folder)
    program, *words = shlex.split(str(failure.value).partition("; run: ")[2])
    assert program == "openeo-udf-fusion"
    assert command(*words).status == 0
    cards.read.cache_clear()  # a process of its own would read the card anew
    assert weights.load("satfusenet", runtime="onnx", folder=folder).network.runtime.name == "onnx"


def test_an_export_says_size_and_difference(command, copied, tmp_path, monkeypatch):
    content = (copied / "satfusenet.onnx").read_bytes()
    monkeypatch.setattr(onnx_export, "export", lambda network: content)
    done = command("weights", "export-onnx", "--folder", copied, "--out", tmp_path / "out", "--json")
    assert done.status == 0
    about = json.loads(done.stdout)["exported"]["satfusenet"]
    assert about["size"] == len(content)
    assert 0 < about["largest_difference"] < 1e-4
    assert (tmp_path / "out" / "satfusenet.onnx").read_bytes() == content
    assert command("weights", "verify", "--folder", tmp_path / "out").status == 0


def test_what_has_no_onnx_graph_is_not_exported(command, copied, tmp_path):
    for suffix in ("json", "safetensors"):
        shutil.copy(cards.FOLDER / f"s1s2_embedding.{suffix}", copied)
    (copied / "satfusenet.json").unlink()
    assert command("weights", "export-onnx", "--folder", copied, "--out", tmp_path).status == 0
    assert not list(tmp_path.glob("*.onnx"))
    done = command("weights", "export-onnx", "s1s2_embedding", "--folder", copied, "--out", tmp_path)
    assert (done.status, "is needed here" in done.stderr) == (1, True)
