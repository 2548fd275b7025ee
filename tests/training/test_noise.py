import numpy as np

from openeo_udf_fusion.training.noise import Noise, Sky, disturb_viirs, overcast, under_the_sky

NO_NOISE = Noise(0, 0, 0, 0, 8, 0, 0, 0, 0)
CLEAR_SKY = Sky((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))


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


def test_drift_grows_and_never_exceeds_what_it_says():
    viirs = np.full((200, 100, 8), 0.5, np.float32)
    drifted = disturb_viirs(viirs, Noise(0, 0, 0.02, 0, 8, 0, 0, 0, 0), np.random.default_rng(3)) / 0.5 - 1
    assert np.abs(drifted).max() <= 0.0201
    assert np.std(drifted[:, -1] - drifted[:, 0]) > 0.005


def test_straight_down_through_clear_air_nothing_changes():
    nbar = np.random.default_rng(0).uniform(0, 1, (4, 30, 7)).astype(np.float32)
    seen = under_the_sky(nbar, "modis", CLEAR_SKY, np.random.default_rng(1))
    np.testing.assert_allclose(seen, nbar, atol=1e-6)


def test_a_directional_product_is_rougher_and_hazier_in_the_blue():
    nbar = np.full((200, 64, 7), 0.2, np.float32)
    seen = under_the_sky(nbar, "modis", Sky(), np.random.default_rng(2))
    rough = np.abs(np.diff(seen, axis=1)).mean((0, 1))
    assert (rough > 0.005).all()
    hazy = under_the_sky(nbar, "modis", Sky((0, 0), (0.01, 0.01), (0, 0), (0, 0)), np.random.default_rng(3))
    spread = hazy.std((0, 1))
    assert spread[2] > 2 * spread[0] * 0.7 > spread[6]


def test_a_sensor_sees_no_more_than_there_is():
    valid = np.random.default_rng(0).uniform(size=(50, 366, 8)) < 0.8
    seen = overcast(valid, np.random.default_rng(1))
    assert (valid | ~seen).all()
    assert 0.5 < seen.sum() / valid.sum() < 0.95
