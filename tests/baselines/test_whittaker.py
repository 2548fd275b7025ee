import numpy as np
import pytest
import whittaker_eilers

from openeo_udf_fusion.baselines import whittaker
from openeo_udf_fusion.models.series import Observations


def oracle(values, seen, lmbda):
    smoother = whittaker_eilers.WhittakerSmoother(
        lmbda=lmbda, order=2, data_length=len(values), weights=seen.astype(float).tolist()
    )
    return np.array(smoother.smooth(np.where(seen, values, 0).astype(float).tolist()))


@pytest.mark.parametrize("lmbda", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("share", [0.9, 0.4, 0.08])
def test_it_equals_the_library_between_the_outermost_observations(make_series, lmbda, share):
    series = make_series(days=365, bands=3, share=share, seed=int(10 * share))
    order = np.argsort(series.days)
    found = whittaker.predict({"any": series}, series.days[order], "any", (), lmbda).mean
    for cell in np.ndindex(series.values.shape[1:]):
        seen, values = series.valid[(order, *cell)], series.values[(order, *cell)]
        between = slice(seen.argmax(), len(seen) - seen[::-1].argmax())
        expected = oracle(values, seen, lmbda)[between]
        np.testing.assert_allclose(found[(between, *cell)], expected, rtol=0, atol=1e-6)


def test_beyond_them_it_is_constant_where_the_library_runs_off(make_series):
    series = make_series(days=60, bands=1, y=1, x=1, share=0.5)
    order = np.argsort(series.days)
    seen = series.valid[order, 0, 0, 0]
    first, last = series.days[order][seen][[0, -1]]
    query = np.array([first - 200, first, last, last + 200], np.int32)
    found = whittaker.predict({"any": series}, query, "any").mean[:, 0, 0, 0]
    assert found[0] == found[1]
    assert found[2] == found[3]


def test_long_series_with_long_gaps_keep_their_precision():
    rng = np.random.default_rng(0)
    days = 5000
    values = np.sin(np.arange(days) / 58)[:, None] * 0.2 + 0.3 + rng.normal(0, 0.02, (days, 4))
    seen = rng.random((days, 4)) < 0.05
    seen[1000:1700] = False
    found = whittaker.smooth(values, seen, 100.0)
    weighted = seen.astype(float)
    for series in range(4):
        normal = weighted[:, series] * (found[:, series] - values[:, series])
        second = np.diff(found[:, series], 2)
        inner = slice(seen[:, series].argmax() + 2, days - seen[::-1, series].argmax() - 2)
        gradient = normal[inner] + 100.0 * np.convolve(second, [1, -2, 1])[inner]
        assert np.abs(gradient).max() < 1e-6


def test_two_observations_give_the_line_between_them():
    values = np.array([0.2, 0.6], np.float32).reshape(2, 1, 1, 1)
    series = Observations(values, np.ones_like(values, bool), np.array([0, 40], np.int32))
    found = whittaker.predict({"any": series}, np.array([0, 10, 20, 40, 90], np.int32), "any").mean
    np.testing.assert_allclose(found[:, 0, 0, 0], [0.2, 0.3, 0.4, 0.6, 0.6], atol=1e-6)


def test_more_lambda_is_smoother(make_series):
    series = make_series()
    query = np.sort(series.days)
    rough, smooth = (whittaker.predict({"any": series}, query, "any", (), lmbda).mean for lmbda in (1.0, 1e4))
    assert (
        np.abs(np.diff(smooth, 2, axis=0)).mean((0, 2, 3)) < np.abs(np.diff(rough, 2, axis=0)).mean((0, 2, 3))
    ).all()
