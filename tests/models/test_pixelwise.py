from collections.abc import Callable

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models import pixelwise, weights
from openeo_udf_fusion.models.pixelwise import pixel_blocks
from openeo_udf_fusion.models.series import Observations

FIRST = 18_000
QUERY = np.arange(FIRST - 10, FIRST + 130, 3, dtype=np.int32)
CLOSE = {"rtol": 0, "atol": 2e-5}
TARGETS = pytest.mark.parametrize("target", ["modis", "viirs"])
LEVELS = (0.1, 0.5, 0.9)


def reordered(series: Observations, order) -> Observations:
    return Observations(series.values[order], series.valid[order], series.days[order])


@TARGETS
def test_the_order_of_dates_changes_nothing(model, make_observed, target):
    observed = make_observed()
    rng = np.random.default_rng(1)
    shuffled = {s: reordered(o, rng.permutation(len(o.days))) for s, o in observed.items()}
    expected, found = (model.predict(o, QUERY, target) for o in (observed, shuffled))
    np.testing.assert_allclose(found.mean, expected.mean, **CLOSE)
    np.testing.assert_allclose(found.sigma, expected.sigma, **CLOSE)


def test_the_order_and_choice_of_queries_change_nothing(model, make_observed):
    observed = make_observed()
    everything = model.predict(observed, QUERY, "modis").mean
    np.testing.assert_allclose(model.predict(observed, QUERY[::-5], "modis").mean, everything[::-5], **CLOSE)


@TARGETS
def test_empty_days_around_the_observations_change_nothing(model, make_observed, target):
    observed = make_observed()
    expected = model.predict(observed, QUERY, target)
    wider = {}
    for sensor, series in observed.items():
        shape = (2, *series.values.shape[1:])
        wider[sensor] = Observations(
            np.concatenate([series.values, np.full(shape, np.nan, np.float32)]),
            np.concatenate([series.valid, np.zeros(shape, bool)]),
            np.concatenate([series.days, np.array([FIRST - 700, FIRST + 900], np.int32)]),
        )
    far = np.array(
        [FIRST - 650, *QUERY, FIRST + 650], np.int32
    )  # the window itself grows, over more than one block
    found = model.predict(wider, far, target)
    np.testing.assert_allclose(found.mean[1:-1], expected.mean, **CLOSE)
    np.testing.assert_allclose(found.sigma[1:-1], expected.sigma, **CLOSE)


def test_other_pixels_change_nothing(model, make_observed):
    observed = make_observed(y=9, x=11)
    together = model.predict(observed, QUERY, "viirs").mean
    alone = {
        s: Observations(o.values[:, :, 4:5, 7:8], o.valid[:, :, 4:5, 7:8], o.days)
        for s, o in observed.items()
    }
    np.testing.assert_allclose(
        model.predict(alone, QUERY, "viirs").mean[:, :, 0, 0], together[:, :, 4, 7], **CLOSE
    )


def test_strided_views_are_read_like_their_copies(model, make_observed):
    observed = make_observed(y=4, x=5)
    flipped = {
        s: Observations(o.values[:, :, ::-1].swapaxes(2, 3), o.valid[:, :, ::-1].swapaxes(2, 3), o.days)
        for s, o in observed.items()
    }
    expected = model.predict(observed, QUERY, "modis").mean[:, :, ::-1].swapaxes(2, 3)
    np.testing.assert_allclose(model.predict(flipped, QUERY, "modis").mean, expected, **CLOSE)


def test_days_per_pixel_equal_shared_days(model, make_observed):
    observed = make_observed()
    per_pixel = {
        s: Observations(o.values, o.valid, np.broadcast_to(o.days[:, None, None], o.values[:, 0].shape))
        for s, o in observed.items()
    }
    expected, found = (model.predict(o, QUERY, "modis") for o in (observed, per_pixel))
    np.testing.assert_allclose(found.mean, expected.mean, **CLOSE)


def test_an_unobserved_cell_may_have_any_day(model, make_observed):
    observed = make_observed()
    series = observed["modis"]
    days = np.array(np.broadcast_to(series.days[:, None, None], series.values[:, 0].shape))
    days[~series.valid.any(1)] = np.iinfo(np.int32).min
    strange = observed | {"modis": Observations(series.values, series.valid, days)}
    expected, found = (model.predict(o, QUERY, "modis") for o in (observed, strange))
    np.testing.assert_allclose(found.mean, expected.mean, **CLOSE)


def test_observations_of_one_day_count_as_their_mean(model, make_observed):
    observed = make_observed()
    series = observed["modis"]
    values = np.where(series.valid, series.values, np.float32(0))
    doubled = Observations(
        np.concatenate([values + 0.01, values - 0.01]).astype(np.float32),
        np.concatenate([series.valid, series.valid]),
        np.concatenate([series.days, series.days]),
    )
    expected, found = (model.predict(o, QUERY, "viirs") for o in (observed, observed | {"modis": doubled}))
    np.testing.assert_allclose(found.mean, expected.mean, **CLOSE)


def test_what_is_not_valid_does_not_leak(model, make_observed):
    observed = make_observed()
    spoiled = {
        s: Observations(np.where(o.valid, o.values, 9e9), o.valid, o.days) for s, o in observed.items()
    }
    expected, found = (model.predict(o, QUERY, "modis") for o in (observed, spoiled))
    np.testing.assert_array_equal(found.mean, expected.mean)


@TARGETS
def test_an_absent_sensor_is_an_all_missing_one(model, make_observed, target):
    observed = make_observed()
    viirs = observed["viirs"]
    nothing = observed | {"viirs": Observations(viirs.values, np.zeros_like(viirs.valid), viirs.days)}
    expected, found = (model.predict(o, QUERY, target) for o in ({"modis": observed["modis"]}, nothing))
    np.testing.assert_allclose(found.mean, expected.mean, **CLOSE)
    assert np.isfinite(found.mean).all()


def test_a_pixel_without_observations_stays_missing(model, make_observed):
    observed = make_observed()
    for series in observed.values():
        series.valid[:, :, 1, 2] = False
    found = model.predict(observed, QUERY, "modis", LEVELS)
    for part in (found.mean, found.sigma, found.quantiles):
        assert np.isnan(part[..., 1, 2]).all()
        assert np.isfinite(np.delete(part.reshape(*part.shape[:-2], -1), 5, -1)).all()


def test_without_any_observation_all_is_missing(model, make_observed):
    observed = make_observed()
    for series in observed.values():
        series.valid[:] = False
    assert np.isnan(model.predict(observed, QUERY, "modis", LEVELS).quantiles).all()


def test_without_queries_the_result_is_empty(model, make_observed):
    found = model.predict(make_observed(), QUERY[:0], "viirs", LEVELS)
    assert found.mean.shape == (0, 8, 2, 3)
    assert found.quantiles.shape == (3, 0, 8, 2, 3)


@TARGETS
def test_quantiles_rise_and_stay_physical_for_absurd_input(model, make_observed, target):
    observed = make_observed()
    rng = np.random.default_rng(3)
    wild = {
        s: Observations(rng.uniform(-3, 5, o.values.shape).astype(np.float32), o.valid, o.days)
        for s, o in observed.items()
    }
    found = model.predict(wild, QUERY, target, LEVELS)
    assert (np.diff(found.quantiles, axis=0) >= 0).all()
    assert (np.diff(model.predict(observed, QUERY, target, LEVELS).quantiles, axis=0) > 0).all()
    for part in (found.mean, found.quantiles):
        assert part.min() >= np.float32(-0.01)
        assert part.max() <= np.float32(1.6)
    np.testing.assert_allclose(found.quantiles[1], found.mean, atol=1e-6)
    assert (found.sigma > 0).all()
    assert found.mean.dtype == found.sigma.dtype == found.quantiles.dtype == np.float32


@TARGETS
@pytest.mark.parametrize("kept", [{"modis": [0, 1]}, {"viirs": [0, 1]}, {"viirs": [2, 3, 4, 5, 6, 7]}])
def test_a_subset_of_bands_is_enough(model, make_observed, target, kept):
    observed = make_observed()
    for sensor, bands in kept.items():
        others = np.setdiff1d(np.arange(observed[sensor].values.shape[1]), bands)
        observed[sensor].valid[:, others] = False
        observed = {sensor: observed[sensor]}
    assert np.isfinite(model.predict(observed, QUERY, target).mean).all()


def test_what_was_seen_that_day_is_nearly_returned(model, make_observed):
    observed = make_observed()
    series = observed["modis"]
    error = np.abs(model.predict(observed, series.days, "modis").mean - series.values)[series.valid]
    assert np.quantile(error, 0.9) < 0.02


def test_bfloat16_stays_close(model, make_observed):
    observed = make_observed()
    narrow = weights.load("satfusenet", device="cpu", runtime="torch", precision="bfloat16")
    expected, found = (m.predict(observed, QUERY, "modis") for m in (model, narrow))
    assert np.abs(found.mean - expected.mean).max() < 0.2 * expected.sigma.max()


def test_tiles_and_batches_change_nothing(model, make_observed, monkeypatch):
    observed = make_observed(y=5, x=7)
    whole = model.predict(observed, QUERY, "modis", LEVELS)
    monkeypatch.setattr(pixelwise, "PIXEL_DAYS", 4 * 160)
    for rows, columns in pixel_blocks(5, 7, 9):
        tile = {
            s: Observations(o.values[:, :, rows, columns], o.valid[:, :, rows, columns], o.days)
            for s, o in observed.items()
        }
        found = model.predict(tile, QUERY, "modis", LEVELS)
        for part, expected in zip(found, whole, strict=True):
            np.testing.assert_allclose(part, expected[..., rows, columns], **CLOSE)


@pytest.mark.parametrize(("y", "x", "pixels"), [(1, 1, 64), (7, 5, 64), (3, 200, 64), (5, 4, 1), (2, 3, 6)])
def test_blocks_cover_every_pixel_once(y, x, pixels):
    count = np.zeros((y, x), int)
    for rows, columns in pixel_blocks(y, x, pixels):
        count[rows, columns] += 1
        assert count[rows, columns].size <= pixels
    assert (count == 1).all()


def test_a_day_of_another_century_is_refused(model, make_observed):
    observed = make_observed()
    observed["modis"].days[3] = 2_000_000
    with pytest.raises(InvalidCube, match="2000000, more than a century"):
        model.predict(observed, QUERY, "modis")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda o: (o, "landsat", ()), InvalidParameter, "landsat"),
        (lambda o: (o | {"s2": o["modis"]}, "modis", ()), InvalidParameter, "s2"),
        (lambda o: (o, "modis", (0.1, 1.0)), InvalidParameter, "between 0 and 1"),
        (
            lambda o: ({"modis": o["viirs"]}, "modis", ()),
            InvalidCube,
            r"modis needs values and valid \(t, 7, y, x\)",
        ),
        (lambda o: (o | {"modis": smaller(o["modis"])}, "modis", ()), InvalidCube, "one grid"),
        (lambda o: ({}, "modis", ()), InvalidCube, "one grid"),
    ],
)
def test_what_the_model_cannot_read_is_refused(model, make_observed, change: Callable, error, message):
    observed, target, levels = change(make_observed())
    with pytest.raises(error, match=message):
        model.predict(observed, QUERY, target, levels)


def smaller(series: Observations) -> Observations:
    return Observations(series.values[:, :, :1], series.valid[:, :, :1], series.days)


def test_repeated_and_shuffled_queries_are_answered_like_single_ones(model, make_observed):
    observed = make_observed()
    days = np.sort(np.concatenate([s.days for s in observed.values()]))
    first, last = (int(days[0]) // 4 - 1) * 4, (int(days[-1]) // 4 + 2) * 4
    query = np.random.default_rng(0).integers(days[0], days[-1] + 1, last - first).astype(np.int32)
    found = model.predict(observed, query, "modis").mean
    expected = model.predict(observed, np.unique(query), "modis").mean
    np.testing.assert_allclose(found, expected[np.searchsorted(np.unique(query), query)], **CLOSE)
