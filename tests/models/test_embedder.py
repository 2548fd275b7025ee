"""Laws of embedding cubes: a pixel's code is its surroundings' alone, whatever comes with it."""

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models import embedder
from openeo_udf_fusion.models.embedder import Embedder, from_int8, to_int8
from openeo_udf_fusion.models.s1s2_embedding import Config, S1S2Embedding, SensorConfig
from openeo_udf_fusion.models.series import Observations

S1 = SensorConfig("s1", ("VV", "VH"), (-8.0, -16.0), (4.0, 3.0), (-30.0,) * 2, (5.0,) * 2, 20, 2)
S2 = SensorConfig("s2", ("B02", "B04", "B08"), (0.1,) * 3, (0.1,) * 3, (0.0,) * 3, (1.0,) * 3, 40, 3)
CALIBRATION = {"s2": {"days": [0, 20], "sigma": [[0.01] * 3, [0.03] * 3], "none": [0.2] * 3}}
FIRST = 17_500
QUERY = np.array([FIRST + 50, FIRST + 3, FIRST + 21, FIRST + 50], np.int32)


@pytest.fixture(scope="module")
def model() -> Embedder:
    torch.manual_seed(0)
    config = Config((S1, S2), code=4, width=8, token=16, hidden=24, decoder=16)
    return Embedder(S1S2Embedding(config), CALIBRATION)


@pytest.fixture
def observed() -> dict[str, Observations]:
    rng = np.random.default_rng(0)
    shapes = {"s1": (2, 14), "s2": (3, 11)}
    made = {}
    for name, (bands, count) in shapes.items():
        days = FIRST + np.sort(rng.choice(80, count, replace=False)).astype(np.int32)
        noise = rng.normal(0, 1, (count, bands, 20, 24)).astype(np.float32)
        values = -12 + 3 * noise if name == "s1" else 0.2 + 0.05 * noise
        valid = np.broadcast_to(rng.uniform(size=(count, 1, 20, 24)) < 0.6, values.shape).copy()
        values[~valid] = np.nan
        made[name] = Observations(values, valid, days)
    return made


def crop(observed, rows, columns):
    return {
        s: Observations(o.values[..., rows, columns], o.valid[..., rows, columns], o.days)
        for s, o in observed.items()
    }


def test_the_order_of_dates_and_queries_does_not_matter(model, observed):
    rng = np.random.default_rng(1)
    shuffled = {
        s: Observations(*(a[p] for a in o))
        for s, o in observed.items()
        for p in [rng.permutation(len(o.days))]
    }
    whole = model.embed(observed, QUERY, ["s2"])
    np.testing.assert_array_equal(model.embed(shuffled, QUERY, ["s2"]).code, whole.code)
    np.testing.assert_allclose(model.embed(observed, QUERY[::-1]).code[::-1], whole.code, atol=1e-6)
    np.testing.assert_allclose(model.embed(observed, QUERY[1:2]).code, whole.code[1:2], atol=1e-6)
    np.testing.assert_array_equal(whole.code[0], whole.code[3])


def test_tiles_with_the_margin_equal_the_whole(model, observed, monkeypatch):
    whole = model.embed(observed, QUERY).code
    margin = model.config.margin_px
    part = model.embed(crop(observed, slice(3, 20), slice(2, 24)), QUERY).code
    np.testing.assert_allclose(part[..., margin:, margin:], whole[..., 3 + margin :, 2 + margin :], atol=1e-5)
    monkeypatch.setattr(embedder, "TILE_PX", 7)
    monkeypatch.setattr(embedder, "FRAMES", 3)
    monkeypatch.setattr(embedder, "QUERIES", 1)
    np.testing.assert_allclose(model.embed(observed, QUERY).code, whole, atol=1e-5)


def test_a_pixel_does_not_know_its_batch(model, observed):
    """Pixels farther than the margin may be anything at all; the published code's attention mixed them."""
    whole = model.embed(observed, QUERY).code
    rng = np.random.default_rng(2)
    for name, series in observed.items():
        values = series.values.copy()
        values[..., 8:] = values[..., 8:] * rng.uniform(0.5, 2, values[..., 8:].shape)
        observed[name] = series._replace(values=values)
    changed = model.embed(observed, QUERY).code
    np.testing.assert_allclose(changed[..., 0], whole[..., 0], atol=1e-6)
    assert np.nanmax(np.abs(changed[..., 8:] - whole[..., 8:])) > 1e-3


def test_what_is_not_valid_is_not_read(model, observed):
    whole = model.embed(observed, QUERY).code
    for series in observed.values():
        series.values[~series.valid] = 9e9
    np.testing.assert_array_equal(model.embed(observed, QUERY).code, whole)


def test_several_frames_of_one_day_are_their_mean(model, observed):
    s2 = observed["s2"]
    twice = Observations(
        np.concatenate([s2.values - 0.01, s2.values + 0.01]),
        np.tile(s2.valid, (2, 1, 1, 1)),
        np.tile(s2.days, 2),
    )
    both = model.embed(observed | {"s2": twice}, QUERY).code
    np.testing.assert_allclose(both, model.embed(observed, QUERY).code, atol=1e-5)


def test_days_to_the_nearest_observation(model, observed):
    found = model.embed(observed, QUERY).days_to_observation
    for name, reach in (("s1", 20), ("s2", 40)):
        series = observed[name]
        away = np.abs(series.days[:, None] - QUERY).astype(float)  # (t q)
        expected = np.where(series.valid.any(1)[:, None], away[..., None, None], np.inf).min(0)
        expected[expected > reach] = np.nan
        np.testing.assert_array_equal(found[name], expected)


def test_where_nothing_was_seen_there_is_no_code(model, observed):
    for series in observed.values():
        series.valid[..., :3, :4] = False
    found = model.embed(observed, QUERY, ["s1", "s2"])
    assert np.isnan(found.code[..., :3, :4]).all()
    assert np.isfinite(found.code[..., 3:, 4:]).all()
    for result in (*found.reconstruction.values(), found.sigma["s2"]):
        np.testing.assert_array_equal(np.isnan(result[:, 0]), np.isnan(found.code[:, 0]))
    far = model.embed(observed, np.array([FIRST + 900]), ["s2"])
    assert np.isnan(far.code).all()
    assert np.isnan(far.reconstruction["s2"]).all()


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_one_sensor_is_enough(model, observed, name):
    alone = model.embed({name: observed[name]}, QUERY, ["s2"])
    seen = np.isfinite(alone.days_to_observation[name])
    np.testing.assert_array_equal(np.isfinite(alone.code[:, 0]), seen)
    assert seen.mean() > 0.9
    assert np.nanmax(np.abs(alone.code - model.embed(observed, QUERY).code)) > 1e-3
    other = {"s1": "s2", "s2": "s1"}[name]
    assert np.isnan(alone.days_to_observation[other]).all()


def test_sigma_grows_with_the_distance_to_a_clear_date(model, observed):
    found = model.embed(observed, QUERY, ["s2", "s1"])
    away = found.days_to_observation["s2"]
    expected = np.where(np.isnan(away), 0.2, 0.01 + 0.02 * np.clip(away, 0, 20) / 20)
    expected[np.isnan(found.code[:, 0])] = np.nan
    np.testing.assert_allclose(found.sigma["s2"][:, 1], expected, rtol=1e-5)
    assert np.isnan(found.sigma["s1"]).all()
    alone = model.embed({"s1": observed["s1"]}, QUERY, ["s2"])
    np.testing.assert_allclose(alone.sigma["s2"][np.isfinite(alone.sigma["s2"])], 0.2)


def test_a_code_survives_int8_and_draws_the_same(model, observed):
    found = model.embed(observed, QUERY, ["s2"])
    np.testing.assert_allclose(model.draw(found.code, "s2"), found.reconstruction["s2"], atol=1e-6)
    stored = to_int8(np.append(found.code, np.nan).astype(np.float32))
    assert stored.dtype == np.int8
    assert stored[-1] == -128
    back = from_int8(stored)
    assert np.isnan(back[-1])
    np.testing.assert_allclose(back[:-1], found.code.ravel(), atol=0.5 / 127 + 1e-6)


def test_what_cannot_be_read_is_refused(model, observed):
    with pytest.raises(InvalidParameter, match=r"knows the sensors \['s1', 's2'\], not \['l8'\]"):
        model.embed({"l8": observed["s1"]}, QUERY)
    with pytest.raises(InvalidCube, match=r"s1 needs .* \('VV', 'VH'\)"):
        model.embed({"s1": observed["s2"]}, QUERY)
    with pytest.raises(InvalidCube, match="one grid of pixels"):
        model.embed({"s1": observed["s1"], **crop({"s2": observed["s2"]}, slice(5), slice(5))}, QUERY)
