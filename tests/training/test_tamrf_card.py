"""Cards of TAMRF networks, own and published, and what loads by them."""

import json
from dataclasses import replace

import jsonschema
import pytest
import torch
from referencing import Registry
from referencing.jsonschema import DRAFT7

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter, InvalidWeights
from openeo_udf_fusion.models import cards, tamrf, weights
from openeo_udf_fusion.training import tamrf_card

SMALL = tamrf.Config(
    features=8, growth=4, dense_blocks=1, time_code=8, sensor_code=4, layers=1, heads=2, mlp=16
)
TRAINING = {"kind": "real", "command": "train tamrf", "note": "One site."}


def model_of(config=SMALL):
    torch.manual_seed(2)
    return tamrf.Tamrf(config).eval()


@pytest.fixture
def written(tmp_path):
    config = replace(SMALL, clear_only=True, anchored=True)
    tamrf_card.write(model_of(config), TRAINING, {"rmse": 0.01}, tmp_path, "mine", support_days=75)
    return tmp_path


def anything(uri):
    """Schemas that the MLM one refers to are not at hand: whatever they ask for is granted."""
    return DRAFT7.create_resource({"definitions": {}, "$id": uri})


def same_weights(one, other):
    tensors = other.state_dict()
    return all(torch.equal(tensor, tensors[name]) for name, tensor in one.state_dict().items())


def test_what_was_written_loads_again(written):
    loaded = tamrf.load(written / "mine.safetensors")
    assert loaded.config == replace(SMALL, clear_only=True, anchored=True)
    assert same_weights(model_of(loaded.config), loaded)
    fuser = weights.load_fusion("mine", device="cpu", folder=written)
    assert fuser.support_days == 75
    assert fuser.precisions == ("float32",)
    assert fuser.config == loaded.config
    assert weights.load_fusion("mine", device="cpu", folder=written) is fuser


def test_the_card_says_what_a_process_needs(written):
    card = cards.read("mine", written)
    assert card.bands == {"l8": SMALL.lr, "s2": SMALL.hr}
    assert card.receptive_field_px == SMALL.receptive_field_px
    assert (card.training, card.skill) == (TRAINING, {"rmse": 0.01})
    text = json.loads((written / "mine.json").read_text())["properties"]
    assert text["description"].endswith("One site.")
    assert all("clear" in given["description"] for given in text["mlm:input"])


def test_cards_are_valid_mlm_items(written, shared_data):
    tamrf_card.write_published(model_of(), {"file": "x.ckpt"}, written)
    schema = json.loads((shared_data / "schemas" / "stac-mlm.json").read_text())
    schema["$defs"]["DataType"] = {"enum": ["float32"]}
    schema["$defs"]["ProcessingExpression"] = {"type": "null"}
    for name in ("mine", "tamrf_published"):
        card = json.loads((written / f"{name}.json").read_text())
        jsonschema.Draft7Validator(schema, registry=Registry(retrieve=anything)).validate(card)


def test_a_published_card_claims_no_licence_and_says_how_clouds_go_in(tmp_path):
    tamrf_card.write_published(model_of(), {"file": "x.ckpt"}, tmp_path)
    card = cards.read("tamrf_published", tmp_path)
    properties = json.loads((tmp_path / "tamrf_published.json").read_text())["properties"]
    assert properties["license"] == "other"
    assert card.training["checkpoint"] == {"file": "x.ckpt"}
    assert "raw" in card.training["clouds"]
    assert all("clouds included" in given["description"] for given in properties["mlm:input"])


@pytest.mark.parametrize("scale", [1, 300])
def test_bfloat16_is_offered_where_it_is_near_float32(tmp_path, scale):
    model = model_of()
    with torch.no_grad():
        model.decoder[-1].weight *= scale
    tamrf_card.write_published(model, {}, tmp_path)
    card = cards.read("tamrf_published", tmp_path)
    assert 0 < card.skill["bfloat16"]["rmse"] < card.skill["bfloat16"]["largest_difference"]
    near = card.skill["bfloat16"]["largest_difference"] <= tamrf_card.LARGEST_OF_BFLOAT16
    assert near == (scale == 1)
    assert card.precisions == (("float32", "bfloat16") if near else ("float32",))


def test_a_folder_of_ones_own_is_found_by_the_environment(written, monkeypatch):
    with pytest.raises(InvalidParameter, match="no model 'mine'"):
        weights.load_fusion("mine")
    monkeypatch.setenv(cards.FOLDER_VARIABLE, str(written))
    assert weights.load_fusion("mine", device="cpu").support_days == 75


def test_the_runtime_is_told(written):
    told = []
    with weights.reporting(lambda data, message: told.append((data["model"], message))):
        weights.load_fusion("mine", device="cpu", folder=written)
        weights.load_fusion("mine", device="cpu", folder=written)
    assert len(told) == 1
    assert told[0][0] == "mine"
    assert "torch" in told[0][1]
    assert "mine" in [name for name, _ in weights.loaded()]


def test_damaged_weights_and_models_of_another_kind_are_refused(written):
    file = written / "mine.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptWeights, match="not what the card promises"):
        weights.load_fusion("mine", folder=written)
    with pytest.raises(
        InvalidParameter, match=r"satfusenet is of \['modis', 'viirs'\]; one of \['l8', 's2'\]"
    ):
        weights.load_fusion("satfusenet")
    with pytest.raises(InvalidParameter, match="is needed here"):
        weights.load("mine", folder=written)


def test_weights_of_another_size_than_the_card_says_are_refused(written):
    card = json.loads((written / "mine.json").read_text())
    card["properties"]["mlm:hyperparameters"]["growth"] = 5
    (written / "mine.json").write_text(json.dumps(card))
    cards.read.cache_clear()
    with pytest.raises(InvalidWeights, match="tensors differ"):
        tamrf.load(written / "mine.safetensors")


def test_a_card_may_name_its_weights_as_it_likes(written):
    (written / "mine.safetensors").rename(written / "renamed.safetensors")
    card = json.loads((written / "mine.json").read_text())
    card["assets"]["weights"]["href"] = "./renamed.safetensors"
    (written / "mine.json").write_text(json.dumps(card))
    cards.read.cache_clear()
    assert weights.load_fusion("mine", device="cpu", folder=written).bands["s2"][0] == "B02"


def test_a_card_of_a_later_version_is_refused(written):
    card = json.loads((written / "mine.json").read_text())
    card["properties"]["mlm:hyperparameters"]["mixture"] = True
    (written / "mine.json").write_text(json.dumps(card))
    cards.read.cache_clear()
    with pytest.raises(InvalidWeights, match=r"later version .* states \['mixture'\]; install"):
        tamrf.load(written / "mine.safetensors")
