import numpy as np
import pytest

from openeo_udf_fusion.evaluation import tamrf_trials
from openeo_udf_fusion.evaluation.tamrf_trials import NEAR_DAYS, day_of, window

from .fusion_site import BLOCK, made_up

GAP = 30


@pytest.fixture(scope="module")
def site():
    return made_up()


@pytest.fixture(scope="module")
def gaps(site):
    return list(tamrf_trials.gap_trials(site, [BLOCK], GAP, seed=0))


@pytest.fixture(scope="module")
def fusions(site):
    return list(tamrf_trials.fusion_trials(site, [BLOCK], GAP))


def shown_days(trial, sensor):
    return trial.shown.days(sensor)


def test_only_clear_dates_of_the_block_are_drawn(site, gaps, fusions):
    first, last = map(day_of, BLOCK)
    for trial in gaps + fusions + list(tamrf_trials.sharpening_trials(site, [BLOCK])):
        for target in trial.targets:
            assert first - NEAR_DAYS <= site.days(target.sensor)[target.place] <= last + NEAR_DAYS
            assert site.clear[target.sensor][target.place].all()
            assert target.day in trial.days


def test_what_is_drawn_is_never_shown(site, gaps, fusions):
    for trial in gaps + fusions:
        for target in trial.targets:
            assert site.days(target.sensor)[target.place] not in shown_days(trial, target.sensor)


@pytest.mark.parametrize(
    ("strategy", "is_shown"),
    [
        ("GAPS", lambda days, start, stop: (days < start) | (days > stop)),
        ("FORECAST", lambda days, start, stop: days < start),
        ("BACKCAST", lambda days, start, stop: days > stop),
    ],
)
def test_gaps_of_thirty_days_hide_both_sensors(site, gaps, strategy, is_shown):
    start, stop = window(BLOCK, GAP)
    assert stop - start + 1 == GAP
    (trial,) = [t for t in gaps if t.strategy == strategy]
    assert trial.sensors == ("s2", "l8")
    for sensor in ("s2", "l8"):
        days = site.days(sensor)
        np.testing.assert_array_equal(shown_days(trial, sensor), days[is_shown(days, start, stop)])


def test_a_window_is_never_shorter_than_its_block():
    first, last = map(day_of, BLOCK)
    assert window(BLOCK, 3) == (first, last)


def test_random_halves_draw_each_date_once(site, gaps):
    halves = [t for t in gaps if t.strategy == "RANDOM"]
    drawn = [target for trial in halves for target in trial.targets]
    every = next(t for t in gaps if t.strategy == "GAPS").targets
    assert sorted(drawn, key=str) == sorted(every, key=str)
    assert sum(len(shown_days(t, "s2")) for t in halves) == len(site.days("s2"))


def test_a_missing_sensor_is_what_is_drawn(gaps):
    for strategy, absent in (("NOHR", "s2"), ("NOLR", "l8")):
        (trial,) = [t for t in gaps if t.strategy == strategy]
        assert absent not in trial.shown.observed
        assert trial.sensors == (absent,)


def test_fusion_is_asked_for_landsats_day_and_shown_what_the_strategy_says(site, fusions):
    assert {t.strategy for t in fusions} == {"CONJLR2HR", "HRNOCONJ2HR", "LRuHRNOCONJ2HR", "LRuHRGAPS2HR"}
    for trial in fusions:
        (target,) = trial.targets
        assert target.day in site.days("l8")
        if trial.strategy == "CONJLR2HR":
            assert list(trial.shown.observed) == ["l8"]
            assert shown_days(trial, "l8").tolist() == [target.day]
            continue
        away = GAP // 2 if trial.strategy == "LRuHRGAPS2HR" else NEAR_DAYS
        assert (np.abs(shown_days(trial, "s2") - target.day) > away).all()
        with_landsat = trial.strategy.startswith("LRu")
        assert len(shown_days(trial, "l8")) == (len(site.days("l8")) if with_landsat else 0)
