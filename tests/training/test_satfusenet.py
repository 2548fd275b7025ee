import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.satfusenet import OTHER, SatFuseNet
from openeo_udf_fusion.training.batches import Noise, draw
from openeo_udf_fusion.training.satfusenet import calibrate, load_pairs, restore, save_checkpoint


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


def test_training_improves_on_other_pixels(make_run):
    run = make_run(steps=150)
    state = run.begin()
    run.validate(state)
    before = state.best_score
    run.go_on(state, lambda: None)
    assert state.best_score < 0.9 * before


def test_calibration_recovers_a_linear_translation(pairs, tiny):
    model = SatFuseNet(tiny)
    quiet = Noise(0, 0, 0, 0, 8, 0, 0, 0, 0)
    batch = draw(pairs, np.arange(12), 64, quiet, np.random.default_rng(0))
    calibrate(model, batch)
    for target, other in OTHER.items():
        moved = model.merge_into(target).translate(batch.truth[other])
        both = moved.valid & batch.truth[target].valid
        error = (moved.values - batch.truth[target].values)[both].abs().max()
        assert float(error) < 0.005


def test_a_folder_without_the_data_is_named(tmp_path):
    with pytest.raises(InvalidParameter, match="mcd43a4_300px_2012"):
        load_pairs(tmp_path, ("S-NPP",), 1, 0)
