import numpy as np
import pytest
import torch

from openeo_udf_fusion.training.s1s2_chips import Habits, Prepared, draw
from openeo_udf_fusion.training.s1s2_embedding import config_of
from openeo_udf_fusion.training.s1s2_sites import training_part

from .s1s2 import made_up

PLAIN = {"gain": 0.0, "offset_db": 0.0, "stretch": 0.0, "clouded": 0.0, "lost": 0.0}


@pytest.fixture(scope="module")
def site():
    return made_up()


@pytest.fixture(scope="module")
def config(site):
    return config_of([site])


@pytest.fixture(scope="module")
def prepared(site, config):
    return [Prepared.of(training_part(site), config)]


def chips(prepared, config, count=40, only=None, **habits):
    rng = np.random.default_rng(0)
    return [draw(prepared, config, Habits(size_px=8, **habits), rng, only) for _ in range(count)]


def test_a_day_in_a_gap_is_asked_for_and_not_shown(prepared, config):
    hidden = 0
    for chip in chips(prepared, config, no_gap=0.0, without_s2=0.0, visible_queries=0, **PLAIN):
        asked = chip.query[chip.truth["s2"][1].flatten(1).any(1)]
        assert len(asked)
        if "s2" in chip.frames:
            assert not np.isin(asked.numpy(), chip.frames["s2"].days.numpy()).any()
            hidden += len(asked)
    assert hidden > 20


def test_what_is_shown_on_the_day_is_what_was_there(prepared, config):
    compared = 0
    for chip in chips(prepared, config, no_gap=1.0, without_s2=0.0, **PLAIN):
        truth, valid = chip.truth["s2"]
        for frame, day in enumerate(chip.frames["s2"].days):
            for at in torch.nonzero(chip.query == day).flatten().tolist():
                known = valid[at]
                if known.any():
                    torch.testing.assert_close(chip.frames["s2"].values[frame][known], truth[at][known])
                    compared += 1
    assert compared > 20


def test_all_habits_together_leave_chips_whole(prepared, config):
    without = {"s1": 0, "s2": 0}
    for chip in chips(prepared, config, 80):
        for name, frames in chip.frames.items():
            assert (
                frames.values.shape
                == frames.valid.shape
                == (len(frames.days), *chip.truth[name][0].shape[1:])
            )
            assert (frames.values[~frames.valid] == 0).all()
            assert (frames.days.diff() > 0).all()
        for name in without:
            without[name] += name not in chip.frames
    assert all(0 < count < 40 for count in without.values())


@pytest.mark.parametrize("only", ["s1", "s2"])
def test_a_chip_of_one_sensor_has_no_other(prepared, config, only):
    for chip in chips(prepared, config, 5, only):
        assert set(chip.frames) == set(chip.truth) == {only}
        assert chip.truth[only][1].any()


def test_a_seed_repeats_the_chips(prepared, config):
    for one, other in zip(chips(prepared, config, 5), chips(prepared, config, 5), strict=True):
        torch.testing.assert_close(one.query, other.query)
        torch.testing.assert_close(one.truth["s2"], other.truth["s2"])
