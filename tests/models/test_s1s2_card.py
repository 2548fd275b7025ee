"""The shipped Sentinel-1/2 embedding: its card, its bytes, and the skill that the card states."""

import hashlib
import json

import jsonschema
import pytest
from referencing import Registry

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
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


def test_the_stated_skill_has_fused_surely_before_the_line_and_sentinel1():
    """On dates that no training saw, all rows.

    Over Sentinel-2 alone: less error on average, and no row is sure.
    """
    comparison = cards.read(NAME).skill["comparison"]
    assert {(row["half_gap_days"], row["part"]) for row in comparison} == {
        (gap, part) for gap in (5, 15, 25) for part in ("strip", "rest")
    }
    for row in comparison:
        if row["fused_over"] in ("linear", "s1_only"):
            assert row["rmse"]["high"] < 1, row
    against_s2 = [row["rmse"] for row in comparison if row["fused_over"] == "s2_only"]
    assert sum(rmse["ratio"] for rmse in against_s2) / len(against_s2) < 1
    assert all(rmse["low"] < 1 < rmse["high"] for rmse in against_s2)
    assert "not distinguishable from none" in cards.read(NAME).skill["note"]


@pytest.mark.slow
def test_the_stated_skill_is_what_is_measured(shared_data):
    from openeo_udf_fusion.evaluation import s1s2_embedding

    settings = s1s2_embedding.Settings(half_gaps=(15,), resamples=100)
    folder = shared_data / "belgium_landsat_sentinel"
    result = s1s2_embedding.evaluate(folder, weights.load_embedding(device="cpu"), settings, "")
    stated = [row for row in cards.read(NAME).skill["reconstruction"] if row["half_gap_days"] == 15]
    found = [row for row in result["reconstruction"] if row["method"] != "linear"]
    for one, other in zip(stated, found, strict=True):
        assert (one["part"], one["method"]) == (other["part"], other["method"])
        for band, rmse in one["rmse"].items():
            assert other["rmse"][band] == pytest.approx(rmse, rel=0.01)
