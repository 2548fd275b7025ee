import numpy as np
import pytest

from openeo_udf_fusion.evaluation.gpp_comparison import Resamples, compare, differences
from openeo_udf_fusion.evaluation.gpp_towers import Towers


@pytest.fixture(scope="module")
def towers() -> Towers:
    """GPP made of near infrared and light, at 12 towers of 10 places."""
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(12), 15)
    weather = rng.uniform(0.5, 1, (len(site), 10)) * 250
    hls = rng.uniform(0.05, 0.4, (len(site), 6))
    return Towers(
        site=site,
        names=np.array([f"T{number}" for number in range(12)]),
        place=np.minimum(site, 9),
        day=rng.integers(17_000, 18_000, len(site)).astype(np.int32),
        hls=hls,
        weather=weather,
        plant_type=np.where(site < 6, "ENF", "GRA"),
        gpp=hls[:, 0] * weather[:, 7] / 10 + rng.normal(0, 0.3, len(site)),
    )


@pytest.fixture(scope="module")
def modis(towers) -> np.ndarray:
    """(2, n, 7): near infrared carries GPP."""
    rng = np.random.default_rng(1)
    bands = rng.uniform(0.02, 0.05, (2, len(towers), 7))
    bands[..., 1] = towers.hls[:, 0] + 0.05
    return bands


def test_equal_inputs_differ_by_exactly_nothing(towers, modis):
    tables, _ = compare(towers, {"modis": modis, "viirs": modis, "satfusenet": modis.copy()}, seed=3)
    assert len(tables["differences"]) == 2 * 5
    for row in tables["differences"]:
        assert (row["rmse_difference"], row["low"], row["high"]) == (0, 0, 0)
    for row in tables["departures"]:
        assert row["rms"] == row["mean"] == {"value": 0, "low": 0, "high": 0}
    assert all(row["usable_without_retraining"] for row in tables["verdicts"])


def test_the_worse_an_input_the_larger_its_loss_and_its_departure(towers, modis):
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, modis.shape)
    fed = {"modis": modis, "better": modis + 0.02 * noise, "worse": modis + 0.1 * noise}
    tables, _ = compare(towers, fed, seed=3)
    for model in ("kernel ridge", "light use"):
        score = {r["input"]: r["rmse"] for r in tables["scores"] if r["model"] == model}
        moved = {r["input"]: r["rms"]["value"] for r in tables["departures"] if r["model"] == model}
        assert score["modis"] < score["better"] < score["worse"]
        assert 0 < moved["better"] < moved["worse"]
        verdict = {
            r["input"]: r["usable_without_retraining"] for r in tables["verdicts"] if r["model"] == model
        }
        assert verdict["worse"] is False


def test_a_constant_shift_of_gpp_is_its_departure(towers, modis):
    darker = modis.copy()
    darker[..., 1] = 0.6  # far outside: the light-use model follows in a straight line
    tables, _ = compare(towers, {"modis": modis, "brighter": darker}, seed=3)
    row = next(r for r in tables["departures"] if r["model"] == "light use")
    assert row["mean"]["value"] > 0
    assert row["rms"]["value"] >= row["mean"]["value"]


def test_a_comparison_depends_on_its_inputs_and_seed_alone(towers, modis):
    fed = {"modis": modis, "viirs": modis * 1.1}
    assert compare(towers, fed, seed=3)[0] == compare(towers, fed, seed=3)[0]
    assert compare(towers, fed, seed=3)[0]["scores"] != compare(towers, fed, seed=4)[0]["scores"]


def test_intervals_come_from_whole_places():
    place = np.repeat([0, 1, 2, 3], 25)
    resampled = Resamples(place, draws=3, seed=0)
    constant = np.broadcast_to(place.astype(float), (1, 3, 100))
    means = resampled.over_draws(resampled.over_places(constant))[:, 0]
    assert set(np.round(means * 4)) <= set(range(13))  # means of four whole places
    np.testing.assert_allclose(means * 4, np.round(means * 4), atol=1e-9)
    assert means.std() > 0.3


def test_places_weigh_by_their_rows():
    place = np.repeat([0, 1], [90, 10])
    error = np.where(place == 0, 1.0, 3.0)[None]
    row = next(iter(differences({"modis": error, "other": 2 * error}, [("other", "modis")], place, 0)))
    assert row["rmse_difference"] == pytest.approx(np.sqrt((90 + 9 * 10) / 100))
    assert row["relative"] == pytest.approx(1)
