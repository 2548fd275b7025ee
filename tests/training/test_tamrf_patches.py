from dataclasses import replace

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import tamrf_patches
from openeo_udf_fusion.training.tamrf_patches import Habits, draw_patch, simulated_landsat, thinned, turned
from openeo_udf_fusion.training.tamrf_sites import Site

from .tamrf import made_up

PLAIN = Habits(size_px=12, band_dropout=0, simulated=0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def site():
    return made_up()


@pytest.mark.parametrize("seed", range(12))
def test_what_is_hidden_is_not_given(site, seed):
    patch = draw_patch([site], PLAIN, rng(seed))
    for sensor, hidden in patch.hidden.items():
        given = patch.inputs[sensor].days if sensor in patch.inputs else np.empty(0)
        days = patch.targets[sensor].days
        np.testing.assert_array_equal(hidden, ~np.isin(days, given))
        assert np.isin(days, patch.queries).all()
    assert any(hidden.any() for hidden in patch.hidden.values())
    assert len(patch.queries) <= PLAIN.queries


@pytest.mark.parametrize("seed", range(6))
def test_clouds_are_neither_given_nor_told(site, seed):
    patch = draw_patch([site], PLAIN, rng(seed))
    for part in (patch.inputs, patch.targets):
        for o in part.values():
            shown = o.values[o.valid]
            assert shown[shown < 2].max() < 0.55  # under clouds it is half as much again
    raw = draw_patch([site], replace(PLAIN, clear_only=False, most_s2=70, most_l8=30), rng(seed))
    assert any(o.valid[:, 1:].all() for o in raw.inputs.values())


def test_days_of_all_parts_count_from_one_day_near_the_period(site):
    firsts = []
    for seed in range(30):
        patch = draw_patch([site], PLAIN, rng(seed))
        firsts.append(min(o.days.min() for o in (*patch.inputs.values(), *patch.targets.values())))
        assert abs(firsts[-1]) <= PLAIN.shift_days + 40
        assert patch.queries.max() <= PLAIN.shift_days + PLAIN.slice_days[1]
    assert np.ptp(firsts) > 100


def test_turning_keeps_both_sensors_on_the_same_ground(site):
    for seed in range(8):
        part = turned(site.crop(0, 3, 12), rng(seed))
        day = np.intersect1d(part.observed["l8"].days, part.observed["s2"].days)[0]
        coarse, fine = (o.values[o.days == day][0] for o in (part.observed["l8"], part.observed["s2"]))
        means = fine[2].reshape(4, 3, 4, 3).mean((1, 3))
        assert np.corrcoef(means.ravel(), coarse[3].ravel())[0, 1] > 0.99


def test_no_more_dates_than_wanted_and_each_shows_ground(site):
    for seed in range(8):
        part = thinned(site, replace(PLAIN, most_s2=9, most_l8=4), rng(seed))
        assert 4 <= len(part.observed["s2"].days) <= 9
        assert 2 <= len(part.observed["l8"].days) <= 4
        assert all(clear.any((1, 2)).all() for clear in part.clear.values())


def test_a_simulated_landsat_image_is_what_its_cells_see(monkeypatch):
    monkeypatch.setattr(tamrf_patches, "SIMULATED_GAIN", 0)
    monkeypatch.setattr(tamrf_patches, "SIMULATED_OFFSET", 0)
    values = np.full((2, 10, 24, 24), 0.3, np.float32)
    clear = np.ones((2, 24, 24), bool)
    clear[1, 4, 4] = False
    valid = np.ones(values.shape, bool)
    valid[:, 9] = False
    site = Site("flat", {"s2": Observations(values, valid, np.array([5, 9], np.int32))}, {"s2": clear})
    made = simulated_landsat(site, np.array([True, True]), 2, rng())
    assert made.days.tolist() == [3, 7]
    assert [bool(v) for v in made.valid[0].all((1, 2))] == [False, True, True, True, True, True, False, False]
    for place, (slope, offset) in ((1, (0.9778, -0.004)), (5, (0.9994, -0.0007))):
        np.testing.assert_allclose(made.values[0, place], 0.3 * slope + offset, atol=1e-5)
    assert not made.valid[1, :, 1, 1].any()
    assert made.valid[1, 1].sum() == 63


def test_simulated_images_stand_on_hidden_days_alone(site):
    found = 0
    for seed in range(20):
        alone = made_up(sensors=("s2",))
        patch = draw_patch([alone], replace(PLAIN, simulated=0.5), rng(seed))
        if "l8" in patch.inputs:
            found += 1
            assert not np.isin(patch.inputs["l8"].days, patch.inputs["s2"].days).any()
            assert not patch.inputs["l8"].valid[:, 7].any()
            assert "l8" not in patch.targets
    assert found > 5


def test_dropped_bands_are_missing_on_every_date_and_still_told(site):
    lost = 0
    for seed in range(20):
        patch = draw_patch([site], replace(PLAIN, band_dropout=1), rng(seed))
        for o in patch.inputs.values():
            seen = o.valid.any((0, 2, 3))
            lost += not seen[1:].all()
        if "s2" in patch.targets:
            assert patch.targets["s2"].valid.any((2, 3)).any(0).all() or not patch.targets["s2"].valid.any()
    assert lost > 10


def test_a_site_of_both_sensors_is_drawn_twice_as_often(site):
    alone, generator = made_up("alone", sensors=("s2",)), rng()
    drawn = [tamrf_patches.one_of([site, alone], generator).name for _ in range(600)]
    assert 350 < drawn.count("made_up") < 450


def test_a_site_too_small_or_too_dark_is_refused(site):
    with pytest.raises(InvalidParameter, match="squares of 30 px"):
        draw_patch([site], Habits(size_px=30), rng())
    dark = Site("dark", site.observed, {s: np.zeros_like(c) for s, c in site.clear.items()})
    with pytest.raises(InvalidParameter, match="too little ground"):
        draw_patch([dark], PLAIN, rng())
