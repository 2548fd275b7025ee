import numpy as np

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.evaluation import directional
from openeo_udf_fusion.models.series import Observations, Prediction


def test_each_step_is_read_on_its_own_day():
    query = np.array([10, 12, 19], np.int32)
    mean = np.array([1.0, 2.0, 3.0], np.float32)[:, None, None, None]
    days = np.array([19, 10], np.int32)[:, None, None]
    found = directional.on_own_days(Prediction(mean, mean / 10, mean[None, :0]), query, days)
    np.testing.assert_array_equal(found.mean[:, 0, 0, 0], [3, 1])


def test_a_linear_scene_is_filled_without_error():
    days = (np.arange(40) * 8)[:, None, None] + np.random.default_rng(1).integers(0, 8, (40, 6, 15))
    values = np.repeat((0.1 + 0.001 * days)[:, None], 7, axis=1).astype(np.float32)
    scene = Observations(values, np.ones(values.shape, bool), days.astype(np.int32))
    cells = directional.score(scene, {"linear": linear.predict}, 30, 3, lambda _: None)
    inner = (cells.truth > 0.12) & (cells.truth < 0.38)
    np.testing.assert_allclose(cells.mean["linear"][inner], cells.truth[inner], atol=1e-5)
    assert inner.any()


def test_a_folder_without_the_scene_says_so(tmp_path):
    found = directional.evaluate(tmp_path, {}, 10, 100, 0, lambda _: None)
    assert found["rows"] == []
    assert "munich_modis" in found["not_evaluated"]
