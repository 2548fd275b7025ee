import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training.satfusenet import Schedule, climate, restore, save_checkpoint, train

from .conftest import Whole


def test_a_resumed_training_ends_as_an_uninterrupted_one(make_run, tmp_path):
    run, file = make_run(steps=4), tmp_path / "checkpoint.pt"
    whole = run.begin()
    run.go_on(whole, lambda: None)
    first = run.begin()
    run.step(first)
    run.step(first)
    run.validate(first)
    save_checkpoint(first, file, run)
    second = run.begin()
    restore(second, file, run)
    run.go_on(second, lambda: None)
    assert second.step == whole.step == 4
    assert second.best_score == whole.best_score
    for one, other in zip(second.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_checkpoint_of_other_settings_is_refused(make_run, tmp_path):
    run, file = make_run(steps=4), tmp_path / "checkpoint.pt"
    save_checkpoint(run.begin(), file, run)
    other = make_run(steps=5)
    with pytest.raises(InvalidParameter, match="other settings"):
        restore(other.begin(), file, other)


def test_resuming_from_a_checkpoint_and_other_weights_at_once_is_refused(pairs, tiny, make_run, tmp_path):
    schedule = Schedule(steps=1, batch=4, validate_every=1)
    trained, watched = pairs.of_pixels(np.arange(12)), pairs.of_pixels(np.array([12, 13]))
    model, record = train(Whole(trained), watched, tmp_path, schedule, tiny)
    assert record["best_step"] == 1
    save_file(model.state_dict(), tmp_path / "start.safetensors")
    with pytest.raises(InvalidParameter, match="either --start or --resume"):
        train(
            Whole(trained),
            watched,
            tmp_path,
            schedule,
            tiny,
            start=tmp_path / "start.safetensors",
            resume=True,
        )


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
