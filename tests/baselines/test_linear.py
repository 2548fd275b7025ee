import numpy as np
import pytest

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.models.series import Observations


def test_the_line_runs_through_its_observations_and_is_constant_outside():
    values = np.array([0.1, 0.5, 0.3], np.float32).reshape(3, 1, 1, 1)
    series = Observations(values, np.ones_like(values, bool), np.array([10, 20, 30], np.int32))
    found = linear.predict({"ndvi": series}, np.array([0, 10, 15, 30, 99], np.int32), "ndvi")
    np.testing.assert_allclose(found.mean[:, 0, 0, 0], [0.1, 0.1, 0.3, 0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_numpy(make_series, seed):
    series = make_series(days=90, share=0.3, seed=seed)
    query = np.arange(series.days.min() - 9, series.days.max() + 9, dtype=np.int32)
    found = linear.predict({"any": series}, query, "any").mean
    order = np.argsort(series.days)
    for cell in np.ndindex(series.values.shape[1:]):
        known = series.valid[(order, *cell)]
        days, values = series.days[order][known], series.values[(order, *cell)][known]
        np.testing.assert_allclose(found[(slice(None), *cell)], np.interp(query, days, values), atol=1e-6)


def test_what_was_observed_survives_to_the_bit(make_series):
    series = make_series()
    found = linear.predict({"any": series}, series.days, "any").mean
    np.testing.assert_array_equal(found[series.valid], series.values[series.valid])
