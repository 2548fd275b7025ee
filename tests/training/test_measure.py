import numpy as np

from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.training.measure import draw_gaps, gaps, translation


class Oracle:
    """Knows the truth, with an honest spread of 0.01."""

    def __init__(self, truth):
        self.truth = truth

    def predict(self, observed, query_days, target):
        noise = np.random.default_rng(0).normal(0, 0.01, self.truth[target].values.shape)
        mean = (self.truth[target].values + noise).astype(np.float32)
        return Prediction(mean, np.full_like(mean, 0.01), mean[None, :0])


def make_truth():
    rng = np.random.default_rng(1)
    days = np.arange(100, dtype=np.int32)
    return {
        sensor: Observations(
            rng.uniform(0.1, 0.4, (100, bands, 1, 20)).astype(np.float32),
            np.ones((100, bands, 1, 20), bool),
            days,
        )
        for sensor, bands in (("modis", 7), ("viirs", 8))
    }


def test_an_honest_oracle_is_measured_as_one():
    truth = make_truth()
    for result in (translation(Oracle(truth), truth, "modis"), gaps(Oracle(truth), truth, 10)):
        np.testing.assert_allclose(list(result["rmse"].values()), 0.01, rtol=0.1)
        np.testing.assert_allclose(list(result["coverage_80"].values()), 0.8, atol=0.05)


def test_the_comparators_are_scored_on_the_same_cells():
    truth = make_truth()
    found = translation(Oracle(truth), truth, "modis")
    expected = np.sqrt(np.mean((truth["viirs"].values[:, 0] - truth["modis"].values[:, 0]) ** 2))
    assert abs(found["rmse_identity"]["B1"] - expected) < 1e-4
    assert found["cells"] == truth["modis"].values.size


def test_gaps_lie_between_observations():
    valid = np.zeros((60, 2, 1, 8), bool)
    valid[5:50] = True
    hidden = draw_gaps(valid, 12, np.random.default_rng(2))
    assert (hidden.sum(0) == 12).all()
    assert not hidden[:6].any()
    assert not hidden[49:].any()
