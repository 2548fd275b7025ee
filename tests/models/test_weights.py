import hashlib
import re
import shutil
import tomllib

import pytest

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.models import cards, weights


@pytest.fixture
def copied(tmp_path):
    """Card and weights in a folder of their own."""
    for suffix in ("json", "safetensors"):
        shutil.copy(cards.FOLDER / f"satfusenet.{suffix}", tmp_path)
    return tmp_path


def test_loading_twice_gives_the_same_object():
    first = weights.load("satfusenet", device="cpu")
    assert weights.load("satfusenet", device="cpu") is first
    assert weights.load("satfusenet", device="cpu", precision="bfloat16") is not first


def test_a_whole_copy_loads(copied):
    assert weights.load("satfusenet", device="cpu", folder=copied).network.bands["modis"][0] == "B1"


def test_missing_weights_are_named(copied):
    (copied / "satfusenet.safetensors").unlink()
    with pytest.raises(CorruptWeights, match=r"satfusenet\.safetensors are missing"):
        weights.load("satfusenet", device="cpu", folder=copied)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""]
)
def test_damaged_weights_are_refused(copied, damage):
    file = copied / "satfusenet.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorruptWeights, match="not what the card promises: sha256"):
        weights.load("satfusenet", device="cpu", folder=copied)


def test_unknown_names_and_precisions_are_refused():
    with pytest.raises(InvalidParameter, match=r"known are \[.*'satfusenet'"):
        weights.load("satfusenot")
    with pytest.raises(InvalidParameter, match="float16"):
        weights.load("satfusenet", precision="float16")


def test_the_card_promises_the_shipped_bytes():
    card = cards.read("satfusenet")
    content = (cards.FOLDER / card.weights_file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert len(content) < 2_000_000


def test_the_extras_that_errors_name_are_there(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"'\.\[(\w+)\]'", weights.INSTALL + weights.INSTALL_TORCH))
    assert named == {"torch", "onnx"}
    assert named <= extras.keys()
