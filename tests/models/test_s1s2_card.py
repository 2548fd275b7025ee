"""The shipped Sentinel-1/2 embedding: its card, its bytes, and the skill that the card states."""

import hashlib
import json

import jsonschema
import pytest
from referencing import Registry

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.evaluation import s1s2_rivals
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.training.s1s2_sites import S1_BANDS, S2_BANDS

from .test_cards import anything

NAME = "s1s2_embedding"


def test_the_card_is_a_valid_mlm_item(shared_data):
    schema = json.loads((shared_data / "schemas" / "stac-mlm.json").read_text())
    schema["$defs"]["DataType"] = {"enum": ["float32"]}
    schema["$defs"]["ProcessingExpression"] = {"type": "null"}
    card = json.loads((cards.FOLDER / f"{NAME}.json").read_text())
    jsonschema.Draft7Validator(schema, registry=Registry(retrieve=anything)).validate(card)


def test_the_card_states_what_a_process_needs():
    card, loaded = cards.read(NAME), weights.load_embedding(device="cpu")
    assert card.bands == {"s1": S1_BANDS, "s2": S2_BANDS}
    assert card.receptive_field_px == loaded.config.margin_px == 7
    assert card.support_days == 90
    assert card.training["kind"] == "real"
    assert "One site" in card.training["note"]
    assert weights.load_embedding(device="cpu") is loaded


def test_the_card_promises_the_shipped_bytes():
    card = cards.read(NAME)
    content = (cards.FOLDER / card.weights_file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert len(content) < 2_000_000


def test_damaged_or_unknown_weights_are_refused(tmp_path):
    card = cards.read(NAME)
    (tmp_path / f"{NAME}.json").write_bytes((cards.FOLDER / f"{NAME}.json").read_bytes())
    (tmp_path / card.weights_file).write_bytes((cards.FOLDER / card.weights_file).read_bytes()[:-1])
    with pytest.raises(CorruptWeights, match="not what the card promises"):
        weights.load_embedding(folder=tmp_path)
    with pytest.raises(InvalidParameter, match="no model 'presto'"):
        weights.load_embedding("presto")


def test_the_stated_skill_says_what_is_sure_and_what_not():
    """On dates that no training saw, all gaps together: the intervals come from blocks of dates."""
    skill = cards.read(NAME).skill
    assert {row["pool"] for row in skill["pooled"]} == {*skill["pools"]}
    every = {row["method"]: row for row in skill["pooled"] if row["pool"] == "all"}
    assert {*every} == {*skill["methods"]} >= {"linear", "whittaker", "kernel_mean", "s1_only", "s2_only"}
    for name in ("linear", "whittaker", "kernel_mean", "s1_only", "s2_only"):
        assert every[name]["fused_over"]["rmse"]["high"] < 1, name
        assert every[name]["fused_over"]["mae"]["high"] < 1, name
    own = {row["method"]: row for row in skill["pooled"] if row["pool"] == "shipped network"}
    beside_s2 = own["s2_only"]["fused_over"]["rmse"]
    assert beside_s2["ratio"] < 1 < beside_s2["high"], "too few dates of the shipped network alone"
    assert skill["folds"] == [0, 1, 2, 3]


def test_networks_of_the_folds_are_those_of_the_same_data():
    shipped = cards.read(NAME)
    for fold in (1, 2, 3):
        card = cards.read(NAME, s1s2_rivals.SHIPPED_FOLDS / str(fold))
        assert card.training["sites_sha256"] == shipped.training["sites_sha256"]
        assert card.training["held_out"]["fold"] == fold
        assert all(command.endswith(f"--fold {fold}") for command in card.training["commands"])
        assert card.hyperparameters["code"] == shipped.hyperparameters["code"]


@pytest.mark.slow
def test_the_stated_skill_is_what_is_measured(shared_data):
    from openeo_udf_fusion.evaluation import s1s2_embedding

    settings = s1s2_embedding.Settings(half_gaps=(15,), resamples=100)
    folder = shared_data / "belgium_landsat_sentinel"
    folds = s1s2_rivals.trained_folds(s1s2_rivals.SHIPPED_FOLDS)
    shipped = weights.load_embedding(device="cpu")
    result = s1s2_embedding.evaluate(folder, shipped, settings, "", folds=folds)
    stated = {
        (row["part"], row["fused_over"]): row["rmse"]["ratio"]
        for row in cards.read(NAME).skill["comparison"]
        if row["half_gap_days"] == 15
    }
    for row in result["comparison"]:
        assert row["rmse"]["ratio"] == pytest.approx(stated[row["part"], row["fused_over"]], rel=0.01)
