import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training import checkpoints
from openeo_udf_fusion.training.satfusenet import Run, climate

from .conftest import Whole


def test_a_resumed_training_ends_as_an_uninterrupted_one(make_run, tmp_path):
    run, file = make_run(steps=4), tmp_path / "checkpoint.pt"
    whole = run.begin()
    run.go_on(whole, lambda: None)
    first = run.begin()
    run.step(first)
    run.step(first)
    run.validate(first)
    checkpoints.save(first, file, run.identity)
    second = run.begin()
    checkpoints.restore(second, file, run.identity)
    run.go_on(second, lambda: None)
    assert second.step == whole.step == 4
    assert second.best_score == whole.best_score
    for one, other in zip(second.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_checkpoint_of_other_settings_is_refused(make_run, tmp_path):
    run, file = make_run(steps=4), tmp_path / "checkpoint.pt"
    checkpoints.save(run.begin(), file, run.identity)
    other = make_run(steps=5)
    with pytest.raises(InvalidParameter, match="other settings"):
        checkpoints.restore(other.begin(), file, other.identity)


def test_a_checkpoint_of_other_samples_is_refused(make_run, make_pairs, tmp_path):
    run, file = make_run(steps=4), tmp_path / "checkpoint.pt"
    checkpoints.save(run.begin(), file, run.identity)
    other = Run(Whole(make_pairs(seed=1)), make_pairs(seed=2), run.schedule, run.config)
    with pytest.raises(InvalidParameter, match="other samples"):
        checkpoints.restore(other.begin(), file, other.identity)


def test_a_training_that_ended_early_does_not_go_on(make_run):
    run = make_run(steps=400, validate_every=1, patience=2, learning_rate=10.0)
    state = run.begin()
    run.go_on(state, lambda: None)
    ended = state.step
    assert ended < 400
    run.go_on(state, lambda: None)
    assert state.step == ended


def test_training_improves_on_other_pixels(make_run):
    run = make_run(steps=150)
    state = run.begin()
    run.validate(state)
    before = state.best_score
    run.go_on(state, lambda: None)
    assert state.best_score < 0.9 * before


def test_the_climate_of_a_normal_variable_is_known():
    values = np.random.default_rng(0).normal(0.3, 0.02, (400, 50, 1)).astype(np.float32)
    crps, variance = climate(values, np.ones_like(values, bool))
    assert float(crps) == pytest.approx(0.02 / np.sqrt(np.pi), rel=0.02)
    assert float(variance) == pytest.approx(0.02**2, rel=0.02)
