import numpy as np

from openeo_udf_fusion.evaluation.methods import Method, alike
from openeo_udf_fusion.models.series import Observations, Prediction

DAYS = np.arange(5, dtype=np.int32)


def constant(value):
    def predict(observed, query_days, target):
        shape = (len(query_days), 7, *observed[target].values.shape[2:])
        return Prediction(
            np.full(shape, value, np.float32), np.full(shape, value / 2, np.float32), np.empty(0)
        )

    return predict


def observed(count):
    return {
        "modis": Observations(np.zeros((5, 7, 1, count), np.float32), np.ones((5, 7, 1, count), bool), DAYS)
    }


def test_each_pixel_is_answered_by_the_function_that_may_score_it():
    method = Method([constant(1), constant(2)], np.array([0, 1, 1]))
    found = method(observed(4), DAYS, "modis", np.array([2, 0, 0, 1]))
    np.testing.assert_array_equal(found.mean[0, 0, 0], [2, 1, 1, 2])
    np.testing.assert_array_equal(found.sigma[4, 1, 0], [1, 0.5, 0.5, 1])


def test_a_pixel_that_nobody_may_score_has_no_answer():
    found = Method([constant(1)], np.array([0, -1]))(observed(2), DAYS, "modis", np.array([0, 1]))
    assert np.isnan(found.mean[..., 1]).all()
    assert (found.mean[..., 0] == 1).all()


def test_no_series_have_an_empty_answer_of_the_right_shape():
    found = Method([constant(1), constant(2)], np.array([0, 1]))(
        observed(0), DAYS, "modis", np.empty(0, np.int64)
    )
    assert found.mean.shape == found.sigma.shape == (5, 7, 1, 0)


def test_one_function_for_all():
    found = alike(constant(3), 2)(observed(3), DAYS, "modis", np.array([0, 1, 1]))
    assert (found.mean == 3).all()
