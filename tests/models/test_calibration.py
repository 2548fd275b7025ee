import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import calibration as module
from openeo_udf_fusion.models.calibration import Calibration
from openeo_udf_fusion.models.merging import FAR_DAYS, Grid
from openeo_udf_fusion.models.satfusenet import Estimate

KNOTS = [2, 11, 81]
BANDS = {"modis": 7, "viirs": 8}


def stored(share: float = 0.5, inflation: float = 2.0) -> dict:
    """A calibration as a card has it: every kind alike, but observed days as they are."""
    found: dict = {
        "gap_days": KNOTS,
        "pixels": {"centre": [0.4] * 15, "precision": np.eye(15).tolist(), "limit": 1.0},
    }
    for sensor, bands in BANDS.items():
        alike = {"share": [share] * bands, "inflation": [inflation] * bands}
        over_days = {key: [value] * len(KNOTS) for key, value in alike.items()}
        found[sensor] = {
            "observed": {"share": [1.0] * bands, "inflation": [1.0] * bands},
            "translated": alike,
            "bridged": over_days,
            "beyond": over_days,
            "floor": [1.5] * bands,
        }
    return found


def estimate(before: list[float], after: list[float]) -> Estimate:
    """One pixel, a query per distance, all MODIS bands."""

    def spread(values: list[float]) -> torch.Tensor:
        return torch.tensor(values)[None, :, None].expand(1, -1, 7)

    base = torch.full((1, len(before), 7), 0.2)
    return Estimate(base + 0.1, base * 0 + 0.01, base, spread(before), spread(after))


KNOWN = torch.tensor([0.9])
CALM = torch.full((1, 40, 7), 0.2)


def apply(card: dict, given: Estimate, strangeness=KNOWN, seen_on=(), values=CALM):
    """Location and sigma of MODIS; the queries are the grid's first days, of which some were observed."""
    queries = given.base.shape[1]
    valid = torch.zeros(values.shape, dtype=torch.bool)
    valid[:, queries:] = True
    valid[:, list(seen_on)] = True
    own = Grid(torch.where(valid, values, 0.0), valid)
    return Calibration.from_json(card).apply(given, own, torch.arange(queries), strangeness, "modis")


def test_share_and_inflation_apply_off_the_observed_days():
    given = estimate([0, 0, 5, FAR_DAYS], [0, 0, 6, 9])
    location, sigma = apply(stored(), given, seen_on=[0])
    np.testing.assert_allclose(location[0, :, 0], [0.3, 0.25, 0.25, 0.25], rtol=1e-6)
    np.testing.assert_allclose(sigma[0, :, 0], [0.01, 0.02, 0.02, 0.02], rtol=1e-6)


def test_between_knots_the_factor_grows_with_the_gap():
    card = stored()
    card["modis"]["bridged"]["inflation"] = [[1.0] * 7, [2.0] * 7, [4.0] * 7]
    lengths = np.array([1, 2, 5, 11, 30, 81, 300])
    _, sigma = apply(card, estimate(list(np.ones(7)), list(lengths - 1.0)))
    expected = np.interp(np.log1p(lengths), np.log1p(KNOTS), [1.0, 2.0, 4.0])
    np.testing.assert_allclose(sigma[0, :, 3] / 0.01, expected, rtol=1e-5)


@pytest.mark.parametrize("strangeness", [1.001 + module.RAMP, 7.0])
def test_of_a_stranger_the_base_alone_counts_and_the_correction_is_doubt(strangeness):
    given = estimate([5], [6])
    location, sigma = apply(stored(), given, torch.tensor([strangeness]))
    np.testing.assert_array_equal(location, given.base)
    np.testing.assert_allclose(sigma, np.hypot(0.02, 0.1), rtol=1e-5)


def test_distrust_grows_without_a_step():
    """What two runtimes find of one pixel differs by rounding, and so may what they make of it."""
    given = estimate([5], [6])
    steps = torch.linspace(0.99, 1.01 + module.RAMP, 2000)
    found = [apply(stored(), given, strangeness[None]) for strangeness in steps]
    location, sigma = (np.array([float(each[part][0, 0, 0]) for each in found]) for part in (0, 1))
    assert location[0] == pytest.approx(0.25)
    assert location[-1] == pytest.approx(0.2)
    assert (np.diff(location) <= 0).all()
    assert (np.diff(sigma) >= 0).all()
    steepest = 0.1 / module.RAMP * float(steps[1] - steps[0])
    assert np.abs(np.diff(location)).max() <= 1.01 * steepest
    assert np.abs(np.diff(sigma)).max() <= 1.01 * steepest


def strangeness_of(reflectance: float, known=slice(None)) -> float:
    """Of a pixel whose bands are all alike, of which some are known."""
    centres = {sensor: torch.full((1, bands), reflectance) for sensor, bands in BANDS.items()}
    mask = torch.zeros(1, 15, dtype=torch.bool)
    mask[:, known] = True
    return float(Calibration.from_json(stored()).strangeness(centres, mask))


@pytest.mark.parametrize("reflectance", [0.0, 0.16, 0.5, 1.5])
def test_strangeness_is_the_distance_from_the_known_per_band(reflectance):
    expected = abs(np.sqrt(reflectance) - 0.4)
    assert strangeness_of(reflectance) == pytest.approx(expected, abs=1e-6)
    assert strangeness_of(reflectance, known=slice(3, 5)) == pytest.approx(expected, abs=1e-6)


def test_a_band_that_was_never_seen_says_nothing():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(15, 15))
    covariance = mixing @ mixing.T + np.eye(15)
    card = stored()
    card["pixels"]["precision"] = np.linalg.inv(covariance).tolist()
    away = rng.normal(0, 0.1, 15)
    looks = np.square(0.4 + away)
    centres = {"modis": torch.tensor(looks[None, :7]).float(), "viirs": torch.tensor(looks[None, 7:]).float()}
    mask = torch.tensor(rng.uniform(size=(1, 15)) < 0.5)
    some = np.flatnonzero(mask[0])
    expected = away[some] @ np.linalg.solve(covariance[np.ix_(some, some)], away[some]) / len(some)
    found = Calibration.from_json(card).strangeness(centres, mask)
    assert float(found) == pytest.approx(np.sqrt(expected), rel=1e-3)


def test_every_row_of_a_table_is_reached_by_its_own_kind():
    rows = module.row_of(
        estimate([0, 0, 1, 900, 3, FAR_DAYS, FAR_DAYS], [0, 0, 1, 900, FAR_DAYS, 7, 700]),
        torch.zeros(1, 7, 7, dtype=torch.bool).index_fill(1, torch.tensor([0]), True),
    )
    assert rows[0, :, 0].tolist() == [
        module.OBSERVED,
        module.TRANSLATED,
        module.BRIDGED + 2,
        module.BEYOND + module.LONGEST_DAYS,
        module.BEYOND + 3,
        module.BEYOND + 7,
        module.BEYOND + module.LONGEST_DAYS,
    ]


def test_a_line_is_at_rest_however_steep_and_sparse():
    values = torch.linspace(0, 1, 60)[None, :, None].expand(1, -1, 2)
    valid = torch.zeros(1, 60, 2, dtype=torch.bool)
    valid[:, ::7, 0] = valid[:, 3:30, 1] = True
    np.testing.assert_allclose(module.restlessness(Grid(values, valid)), 0, atol=1e-6)


@pytest.mark.parametrize("every", [1, 8, 16])
def test_noise_is_unrest_at_any_step(every):
    values = torch.normal(0.2, 0.02, (1, 16_000, 1), generator=torch.manual_seed(0))
    valid = torch.zeros_like(values, dtype=torch.bool)
    valid[:, ::every] = True
    expected = np.sqrt(2 / np.pi) * np.sqrt(1.5) * 0.02
    assert float(module.restlessness(Grid(values, valid))) == pytest.approx(expected, rel=0.1)


def test_too_few_or_far_observations_tell_nothing():
    valid = torch.zeros(1, 200, 1, dtype=torch.bool)
    valid[:, ::40] = True
    assert float(module.restlessness(Grid(torch.rand(1, 200, 1), valid))) == 0


def test_the_spread_is_no_less_than_the_pixels_unrest():
    values = torch.tensor([0.2, 0.3] * 20)[None, :, None].expand(1, -1, 7)
    _, sigma = apply(stored(), estimate([5], [6]), values=values)
    np.testing.assert_allclose(sigma, 1.5 * 0.1, rtol=1e-5)
