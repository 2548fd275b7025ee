import numpy as np
import torch

from openeo_udf_fusion.training.batches import MARGIN_DAYS, Noise, disturb_viirs, draw, query_positions

NO_NOISE = Noise(0, 0, 0, 0, 8, 0, 0, 0, 0)


def test_without_noise_viirs_stays_as_it_is():
    viirs = np.random.default_rng(0).uniform(0, 1, (4, 30, 8)).astype(np.float32)
    np.testing.assert_allclose(disturb_viirs(viirs, NO_NOISE, np.random.default_rng(1)), viirs, atol=1e-6)


def test_noise_has_the_size_it_says():
    viirs = np.full((400, 60, 8), 0.5, np.float32)
    rng = np.random.default_rng(2)
    daily = disturb_viirs(viirs, Noise(0, 0, 0, 0, 8, 0.015, 0, 0, 0), rng)
    assert abs(daily.std(1).mean() - 0.0075) < 5e-4
    slow = disturb_viirs(viirs, Noise(0, 0, 0, 0.012, 8, 0, 0, 0, 0), rng)
    assert abs(slow.std() - 0.006) < 5e-4
    lag = [np.corrcoef(slow[:, t, 0], slow[:, t + 8, 0])[0, 1] for t in range(0, 50, 10)]
    assert abs(np.mean(lag) - np.exp(-1)) < 0.1


def test_a_batch_hides_only_what_the_truth_holds(pairs):
    batch = draw(pairs, np.arange(12), 16, Noise(), np.random.default_rng(3))
    days = pairs.modis.shape[1]
    for sensor, truth in batch.truth.items():
        seen = batch.inputs[sensor]
        assert (truth.valid | ~seen.valid).all()
        assert (seen.values[~seen.valid] == 0).all()
        assert truth.values.shape[1] % MARGIN_DAYS == 0
        inside = torch.zeros(truth.valid.shape[1], dtype=torch.bool)
        inside[query_positions(days)] = True
        assert not truth.valid[:, ~inside].any()
    assert (batch.first_day % MARGIN_DAYS == 0).all()


def test_the_same_seed_draws_the_same_batch(pairs):
    one, two = (draw(pairs, np.arange(12), 4, Noise(), np.random.default_rng(4)) for _ in range(2))
    torch.testing.assert_close(one.inputs["viirs"].values, two.inputs["viirs"].values)
