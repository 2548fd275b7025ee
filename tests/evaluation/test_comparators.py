"""The shipped comparators, and the laws that any weights of theirs keep."""

import json
import shutil

import numpy as np
import pytest

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.evaluation.comparators import dsen2, stored, utilise
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_sites import BELGIUM, read_belgium

DAYS = (17_500 + 6 * np.arange(12)).astype(np.int32)
MODULES = {"dsen2": dsen2, "utilise": utilise}
MOST_BYTES = 1_000_000


@pytest.fixture(params=MODULES)
def module(request):
    return MODULES[request.param]


def observations(seed=0, size=16):
    """Fields that brighten, with clouds."""
    rng = np.random.default_rng(seed)
    level = np.array([0.04, 0.06, 0.05, 0.13, 0.26, 0.31, 0.31, 0.33, 0.19, 0.16])[:, None, None]
    day = np.arange(len(DAYS))[:, None, None, None]
    values = level * (0.8 + 0.03 * day + 0.1 * rng.random((len(DAYS), 1, size, size)))
    valid = np.broadcast_to(rng.random((len(DAYS), 1, size, size)) < 0.9, values.shape).copy()
    return {"s2": Observations(values.astype(np.float32), valid, DAYS)}


def test_card_and_weights_are_small_and_belong_together(module):
    card = cards.read(module.NAME, stored.FOLDER)
    file = stored.FOLDER / card.weights_file
    assert file.stat().st_size < MOST_BYTES
    module.load()
    assert "openeo-udf-fusion train tamrf --network " + module.NAME in card.training["command"]
    assert card.training["sites_sha256"]
    assert card.receptive_field_px == module.load().config.margin_px


def test_the_cards_skill_was_measured_on_held_out_dates(module):
    row = cards.read(module.NAME, stored.FOLDER).skill["held_out"][0]
    assert row["site"] == BELGIUM
    assert row["dates"] >= 4


def test_what_was_not_valid_has_no_say(module):
    observed = observations()
    one = module.predict(observed, DAYS[3:5]).mean
    series = observed["s2"]
    spoilt = np.where(series.valid, series.values, np.float32(np.nan))
    other = module.predict({"s2": series._replace(values=spoilt)}, DAYS[3:5]).mean
    np.testing.assert_array_equal(one, other)


def test_the_order_of_dates_and_of_questions_does_not_matter(module):
    observed, asked = observations(), DAYS[[2, 5, 7]]
    series = observed["s2"]
    order = np.random.default_rng(1).permutation(len(DAYS))
    turned = {"s2": Observations(*(part[order] for part in series))}
    found = module.predict(observed, asked).mean
    np.testing.assert_allclose(module.predict(turned, asked).mean, found, atol=1e-6)
    np.testing.assert_allclose(module.predict(observed, asked[::-1]).mean[::-1], found, atol=1e-6)


def test_images_of_a_day_count_as_their_mean(module):
    series = observations()["s2"]
    twice = Observations(*(np.concatenate([part, part[4:5]]) for part in series))
    one, other = (module.predict({"s2": each}, DAYS[4:5]).mean for each in (series, twice))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_other_sensors_are_not_read_and_sentinel2_is_needed(module):
    observed = observations()
    beside = observed | {"l8": observed["s2"]}
    np.testing.assert_array_equal(
        module.predict(observed, DAYS[:1]).mean, module.predict(beside, DAYS[:1]).mean
    )
    with pytest.raises(InvalidParameter, match="s2 are needed"):
        module.predict({"l8": observed["s2"]}, DAYS[:1])
    with pytest.raises(InvalidParameter, match="answers 's2' alone"):
        module.predict(beside, DAYS[:1], "l8")


def test_dsen2_answers_its_own_dates_and_keeps_bands_of_10_m():
    observed = observations()
    found = dsen2.predict(observed, np.array([DAYS[0], DAYS[0] + 1], np.int32)).mean
    fine = dsen2.load().config.places_of_fine
    values, valid, _ = observed["s2"]
    np.testing.assert_array_equal(found[0, fine], np.where(valid, values, np.float32(np.nan))[0, fine])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(np.isfinite(found[0]), valid[0])


def test_utilise_answers_between_its_dates_alone():
    asked = np.array([DAYS[0] - 1, DAYS[0] + 2, DAYS[5], DAYS[-1] + 1], np.int32)
    found = utilise.predict(observations(), asked).mean
    np.testing.assert_array_equal(np.isfinite(found).all((1, 2, 3)), [False, True, True, False])


def test_other_bytes_are_refused(module, tmp_path):
    for suffix in ("json", "safetensors"):
        shutil.copy(stored.FOLDER / f"{module.NAME}.{suffix}", tmp_path)
    file = tmp_path / f"{module.NAME}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(CorruptWeights, match="not what the card promises"):
        module.load(tmp_path)


def test_dsen2_does_on_the_belgian_site_what_its_card_says(shared_data):
    from openeo_udf_fusion.training.dsen2 import skill

    site = read_belgium(shared_data / BELGIUM)
    promised = cards.read("dsen2", stored.FOLDER).skill["held_out"][0]
    measured = json.loads(json.dumps(skill(dsen2.load(), [site])))["held_out"][0]
    for method, table in promised["rmse_at_20m_from_40m"].items():
        assert measured["rmse_at_20m_from_40m"][method] == pytest.approx(table, abs=2e-5)


def test_utilise_does_on_the_belgian_site_what_its_card_says(shared_data):
    from openeo_udf_fusion.training.utilise import skill

    site = read_belgium(shared_data / BELGIUM)
    promised = cards.read("utilise", stored.FOLDER).skill["held_out"][0]
    measured = json.loads(json.dumps(skill(utilise.load(), [site])))["held_out"][0]
    for method, table in promised["rmse"].items():
        assert measured["rmse"][method] == pytest.approx(table, abs=2e-5)


def test_a_seen_pixel_is_made_anew():
    """U-TILISE gives back approximately what it saw, as its docstring says, not exactly."""
    observed = observations()
    values, valid, _ = observed["s2"]
    apart = np.abs(utilise.predict(observed, DAYS[5:6]).mean[0] - values[5])[valid[5]]
    assert 0 < np.median(apart) < 0.1
