import numpy as np
import pytest
import torch

from openeo_udf_fusion.models.calibration import Calibration
from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.training import calibration as module
from openeo_udf_fusion.training.calibration import (
    Rows,
    fit,
    gaps,
    inflate,
    least_sigma,
    residuals,
    shares,
    table,
    translated_table,
)
from openeo_udf_fusion.training.translation import fit_translations


def made_rows(share: float, spread: float, gap: float = 21, count: int = 20_000, seed: int = 0) -> Rows:
    """The truth lies at a share of the correction, off by `spread` times what sigma says; no unrest."""
    rng = np.random.default_rng(seed)
    base, correction = rng.uniform(0.1, 0.5, count), rng.normal(0, 0.05, count)
    truth = base + share * correction + rng.normal(0, 0.01 * spread, count)
    fields = truth, base, base + correction, np.full(count, 0.01), np.full(count, gap), np.zeros(count)
    return Rows(*(each.astype(np.float32) for each in fields))


def test_the_share_that_counts_is_found():
    rows = [made_rows(0.6, 1), made_rows(0.6, 2, seed=1)]
    np.testing.assert_allclose(shares(rows, [np.ones(20_000)] * 2), 0.6, atol=0.01)


def test_a_correction_that_only_harms_is_left_out():
    rows = [made_rows(-0.3, 1)] * 2
    np.testing.assert_array_equal(shares(rows, [np.ones(20_000)] * 2), 0)


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_inflation_makes_intervals_hold_what_they_say(spread):
    rows = made_rows(1.0, spread)
    factor = inflate(rows, 1.0, np.ones(20_000), floor=1.0)
    assert factor == pytest.approx(spread, rel=0.03)
    fresh = made_rows(1.0, spread, seed=1)
    held = np.abs(fresh.truth - fresh.location) <= module.CENTRAL_80 * factor * fresh.sigma
    assert held.mean() == pytest.approx(0.8, abs=0.01)


def test_a_gap_counts_at_its_own_knot():
    rows = module.stack([made_rows(1.0, 1.0, gap=6), made_rows(0.2, 3.0, gap=81)])
    found = table([rows, rows], floor=1.0)
    knots = list(module.GAP_DAYS)
    short, long = knots.index(6), knots.index(81)
    np.testing.assert_allclose(found["share"][short], 1.0, atol=0.02)
    np.testing.assert_allclose(found["share"][long], 0.2, atol=0.02)
    np.testing.assert_allclose(found["inflation"][short], 1.0, rtol=0.04)
    np.testing.assert_allclose(found["inflation"][long], 3.0, rtol=0.04)


def test_bands_that_are_alike_pass_as_they_are():
    found = translated_table([made_rows(0.8, 1), made_rows(0.8, 1)], 0.0, [False, True])
    assert found["share"] == [pytest.approx(0.8, abs=0.02), 0]


@pytest.mark.parametrize("unrest", [0.01, 0.03])
def test_the_floor_holds_what_the_networks_own_spread_does_not(unrest):
    rng = np.random.default_rng(0)
    quiet = made_rows(1.0, 0.0)
    error = rng.normal(0, unrest, 20_000).astype(np.float32)
    restless = quiet._replace(truth=quiet.location + error, restless=np.full_like(error, 0.8 * unrest))
    factor = least_sigma(restless)
    held = np.abs(error) <= module.CENTRAL_80 * np.maximum(quiet.sigma, factor * 0.8 * unrest)
    assert held.mean() == pytest.approx(0.8, abs=0.01)
    assert least_sigma(made_rows(1.0, 0.5)) == 0


def test_gaps_lie_between_observations():
    seen = np.zeros((8, 60), bool)
    seen[:, 5:50] = True
    hidden = gaps(seen, 12, np.random.default_rng(2))
    assert (hidden.sum(1) == 12).all()
    assert not hidden[:, :6].any()
    assert not hidden[:, 49:].any()


def test_what_is_fitted_loads_and_knows_the_training(make_pairs, tiny, monkeypatch):
    for name, value in {"HIDDEN_DAYS": {3: 1, 10: 1}, "COMPOSITE_DAYS": (1, 8), "REPEATS": 1}.items():
        monkeypatch.setattr(module, name, value)
    model, pairs = SatFuseNet(tiny), make_pairs(pixels=8)
    found = residuals(model, pairs)
    assert set(found) == {(s, kind) for s in ("modis", "viirs") for kind in (*module.KINDS, "directional")}
    assert all((rows.gap == 0).all() for rows in found["modis", "translated"])
    assert all((rows.gap > 0).all() for rows in found["viirs", "bridged"])
    loaded = Calibration.from_json(fit(model, [found], pairs))
    series = module.series_of(pairs, np.arange(8))
    truth = module.on_grid(series, series, pairs.first_day[:8]).truth
    for known in (["modis", "viirs"], ["modis"], ["viirs"]):
        shown = {s: Grid(g.values * (s in known), g.valid & (s in known)) for s, g in truth.items()}
        mask = torch.cat([shown[s].valid.any(1) for s in ("modis", "viirs")], -1)
        centres = model.centres(shown)
        assert float(loaded.strangeness(centres, mask).max()) < 1
        bright = {sensor: centre + 0.9 for sensor, centre in centres.items()}
        assert float(loaded.strangeness(bright, mask).min()) > 1


@pytest.mark.parametrize("product", ["nbar", "directional"])
def test_pairs_of_one_product_are_enough(make_pairs, tiny, monkeypatch, product):
    for name, value in {"HIDDEN_DAYS": {3: 1}, "COMPOSITE_DAYS": (8,), "REPEATS": 1}.items():
        monkeypatch.setattr(module, name, value)
    model, pairs = SatFuseNet(tiny), make_pairs(pixels=8)
    pairs.product[:] = product
    fit_translations(model, pairs)
    found = fit(model, [residuals(model, pairs)], pairs)
    assert found["modis"]["floor"][0] >= 0
    Calibration.from_json(found)


def test_the_floor_is_that_of_the_calibrated_interval():
    rows = [made_rows(1.0, 1.0)]
    error = np.random.default_rng(3).normal(0, 0.05, 20_000).astype(np.float32)
    restless = rows[0]._replace(truth=rows[0].location + error, restless=np.full_like(error, 0.04))
    together = {"translated": rows, "bridged": rows, "beyond": rows}
    floor = module.tables_of(together, [restless], [False])["floor"]
    held = np.abs(error) <= module.CENTRAL_80 * np.maximum(0.01, floor[0] * 0.04)
    assert held.mean() == pytest.approx(0.8, abs=0.02)
