import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training import tamrf_strategies as strategies
from openeo_udf_fusion.training.tamrf_strategies import ODDS, STRATEGIES, draw, union

DAYS = {
    "l8": np.arange(17000, 17365, 16, dtype=np.int32),
    "s2": np.union1d(np.arange(17001, 17365, 5), [17032]).astype(np.int32),
}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ODDS)
def test_what_training_hides_is_what_it_must_tell(name):
    split = STRATEGIES[name](DAYS, rng())
    for sensor, days in DAYS.items():
        np.testing.assert_array_equal(split.inputs[sensor], ~split.targets[sensor])
        assert split.inputs[sensor].shape == days.shape
    np.testing.assert_array_equal(split.queries, union(DAYS))


def test_random_masking_hides_the_share_that_was_drawn():
    many = {"s2": np.arange(4000, dtype=np.int32)}
    shares = [strategies.random_masking(many, rng(seed)).targets["s2"].mean() for seed in range(50)]
    assert min(shares) > 0.17
    assert max(shares) < 0.73
    assert np.ptp(shares) > 0.3


def test_a_gap_is_one_interval_of_its_length():
    for seed in range(30):
        split = strategies.gaps(DAYS, rng(seed))
        away = np.concatenate([DAYS[s][split.targets[s]] for s in DAYS])
        given = np.concatenate([DAYS[s][split.inputs[s]] for s in DAYS])
        assert not ((given > away.min()) & (given < away.max())).any()
        assert 20 <= np.ptp(away) < 90


def test_a_sensor_that_is_left_out_is_left_out_whole():
    assert not strategies.no_hr(DAYS, rng()).inputs["s2"].any()
    assert strategies.no_hr(DAYS, rng()).inputs["l8"].all()
    assert not strategies.no_lr(DAYS, rng()).inputs["l8"].any()


def test_forecasts_know_the_past_alone_and_backcasts_the_future():
    for seed in range(20):
        for strategy, sign in ((strategies.forecast, 1), (strategies.backcast, -1)):
            split = strategy(DAYS, rng(seed))
            away = np.concatenate([DAYS[s][split.targets[s]] for s in DAYS])
            given = np.concatenate([DAYS[s][split.inputs[s]] for s in DAYS])
            assert (sign * away).min() > (sign * given).max()
            edge = (away.min() if sign > 0 else given.min()) - 17000
            assert 65 <= edge <= 305


def test_conjunctions_are_days_of_both_sensors():
    conjunct = np.intersect1d(DAYS["l8"], DAYS["s2"])
    assert {17016, 17032} <= set(conjunct)
    for name in ("CONJLR2HR", "HRNOCONJ2HR", "LRuHRNOCONJ2HR"):
        split = STRATEGIES[name](DAYS, rng())
        np.testing.assert_array_equal(split.queries, conjunct)
        np.testing.assert_array_equal(DAYS["s2"][split.targets["s2"]], conjunct)
        assert not (split.inputs["s2"] & split.targets["s2"]).any()
    only = STRATEGIES["CONJLR2HR"](DAYS, rng())
    np.testing.assert_array_equal(DAYS["l8"][only.inputs["l8"]], conjunct)
    assert not STRATEGIES["HRNOCONJ2HR"](DAYS, rng()).inputs["l8"].any()
    assert STRATEGIES["LRuHRNOCONJ2HR"](DAYS, rng()).inputs["l8"].all()


def test_tolerance_widens_conjunctions():
    few = strategies.both_to_sentinel2(DAYS, rng()).targets["s2"]
    more = strategies.both_to_sentinel2(DAYS, rng(), tolerance_days=2).targets["s2"]
    assert (few <= more).all()
    assert few.sum() < more.sum()


def test_level_3a_asks_for_the_1st_and_15th():
    split = STRATEGIES["L3A"](DAYS, rng())
    dates = [str(np.datetime64(int(day), "D")) for day in split.queries]
    assert {date[-2:] for date in dates} == {"01", "15"}
    assert len(dates) in (23, 24, 25)


def test_custom_days_are_compared_where_something_was_seen():
    split = strategies.at_days(DAYS, np.array([17032, 17016, 17003, 17016]))
    np.testing.assert_array_equal(split.queries, [17003, 17016, 17032])
    assert [split.targets[s].sum() for s in ("l8", "s2")] == [2, 2]


def test_drawn_strategies_follow_their_odds():
    generator, count = rng(), dict.fromkeys(ODDS, 0)
    for _ in range(1600):
        count[draw(DAYS, generator)[0]] += 1
    for name, odds in ODDS.items():
        assert abs(count[name] - 100 * odds) < 5 * np.sqrt(100 * odds)


def test_a_draw_leaves_something_to_give_and_something_to_tell():
    for days in ({"s2": np.array([5, 9], np.int32)}, {"s2": DAYS["s2"], "l8": DAYS["l8"][:0]}):
        for seed in range(30):
            _, split = draw(days, rng(seed))
            assert strategies.some(split.inputs)
            assert strategies.some(split.targets)


def test_one_date_is_not_enough():
    with pytest.raises(InvalidParameter, match="two are needed"):
        draw({"s2": np.array([5], np.int32)}, rng())


def test_conjunctions_need_both_sensors():
    with pytest.raises(InvalidParameter, match="l8"):
        STRATEGIES["CONJLR2HR"]({"s2": DAYS["s2"]}, rng())
