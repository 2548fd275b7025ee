import json
import re
import shutil

import matplotlib.image
import numpy as np
import pytest

from openeo_udf_fusion.errors import CorruptWeights, FusionError, InvalidParameter
from openeo_udf_fusion.evaluation import dropin
from openeo_udf_fusion.evaluation.gpp_models import MODELS
from openeo_udf_fusion.evaluation.gpp_towers import read_towers
from openeo_udf_fusion.models import cards

INPUTS = {"modis", "viirs", "satfusenet", "ridge", "viirs_retrained"}


@pytest.fixture(scope="module")
def certificate(shared_data):
    return dropin.certify(shared_data, draws=2)


def test_the_network_of_a_folder_is_certified(shared_data, certificate, tmp_path):
    shutil.copy(cards.FOLDER / "satfusenet.json", tmp_path)
    with pytest.raises(CorruptWeights, match=re.escape(str(tmp_path))):
        dropin.certify(shared_data, draws=1, weights_folder=tmp_path)
    assert certificate["network"]["weights_sha256"] == cards.read("satfusenet").sha256


def test_a_missing_folder_is_named_with_what_to_do(tmp_path):
    with pytest.raises(FusionError, match="hls_gpp"):
        dropin.certify(tmp_path)


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "hls_gpp").mkdir()
    file = tmp_path / "hls_gpp" / "data_train_hls_37sites_v0_1.csv"
    file.write_text("SITE_ID,date,GPP\nA,2020-01-01,1\n")
    with pytest.raises(InvalidParameter, match="b2"):
        dropin.certify(tmp_path)


def test_no_draws_make_no_certificate(tmp_path):
    with pytest.raises(InvalidParameter, match="got 0"):
        dropin.certify(tmp_path, draws=0)


def test_it_is_plain_json_and_says_that_it_is_semi_real(certificate):
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate
    assert certificate["semi_real"] is True
    assert "Semi-real" in certificate["note"]
    assert all(source["doi"].startswith("10.") for source in certificate["sources"])


def test_every_model_is_scored_with_every_input(certificate):
    scored = {(row["model"], row["input"]) for row in certificate["scores"]}
    assert scored == {(model, name) for model in MODELS for name in INPUTS}
    compared = {
        (row["model"], row["input"]) for row in certificate["differences"] if row["against"] == "modis"
    }
    assert compared == {(model, name) for model in MODELS for name in INPUTS - {"modis"}}


def test_differences_are_those_of_the_scores_and_lie_in_their_intervals(certificate):
    rmse = {(row["model"], row["input"]): row["rmse"] for row in certificate["scores"]}
    for row in certificate["differences"]:
        expected = rmse[row["model"], row["input"]] - rmse[row["model"], row["against"]]
        assert row["rmse_difference"] == pytest.approx(expected, abs=1e-9)
        assert row["low"] < row["rmse_difference"] < row["high"]


def test_the_verdict_follows_from_intervals_and_margin(certificate):
    rmse = {row["model"]: row["rmse"] for row in certificate["scores"] if row["input"] == "modis"}
    high = {(row["model"], row["input"], row["against"]): row["high"] for row in certificate["differences"]}
    for row in certificate["verdicts"]:
        below = high[row["model"], row["input"], "modis"] < 0.05 * rmse[row["model"]]
        assert row["usable_without_retraining"] is below
    of_network = [
        r["usable_without_retraining"] for r in certificate["verdicts"] if r["input"] == "satfusenet"
    ]
    assert certificate["usable_without_retraining"] is all(of_network)


def test_gpp_models_tell_something_of_places_they_never_saw(certificate):
    assert all(row["r2"] > 0.6 for row in certificate["scores"] if row["input"] == "modis")


def test_translated_bands_are_nearer_to_modis_where_the_sensors_differ_most(certificate):
    rmse = {(row["input"], row["band"]): row["rmse"] for row in certificate["reflectance"]}
    assert rmse["satfusenet", "B7"] < 0.7 * rmse["viirs", "B7"]
    assert rmse["ridge", "B7"] < 0.7 * rmse["viirs", "B7"]


def test_translations_of_one_tower_do_not_depend_on_others(shared_data):
    towers = read_towers(shared_data)
    few = towers.take(towers.site < 5)
    rng = np.random.default_rng(0)
    viirs = rng.uniform(0.05, 0.4, (2, len(few), 8))
    one = few.take(few.site == 1)
    method = dropin.identity.predict
    whole, alone = (
        dropin.translate(few, viirs, method),
        dropin.translate(one, viirs[:, few.site == 1], method),
    )
    np.testing.assert_array_equal(whole[:, few.site == 1], alone)
    np.testing.assert_allclose(alone[..., 0], viirs[:, few.site == 1, 0], rtol=1e-6)  # B1 is I1


def test_the_summary_states_losses_as_well_as_wins(certificate):
    text = dropin.summary(certificate)
    for row in certificate["differences"]:
        if row["against"] == "modis":
            assert f"{row['rmse_difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" in text
    assert certificate["note"] in text
    lost = dict(
        certificate, verdicts=[row | {"usable_without_retraining": False} for row in certificate["verdicts"]]
    )
    assert "NOT shown to be usable: VIIRS as it is, SatFuseNet's synthetic MODIS" in dropin.summary(lost)


def test_the_figure_is_drawn(certificate, tmp_path):
    dropin.figure(certificate).savefig(tmp_path / "figure.png")
    assert matplotlib.image.imread(tmp_path / "figure.png").std() > 0.05
