"""Laws of fusing cubes: units and years are private affairs, and what is missing stays missing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.baselines import naive_interpolation
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.series import Observations

SMALL = tamrf.Config(
    features=8, growth=4, dense_blocks=1, time_code=8, sensor_code=4, layers=1, heads=2, mlp=16
)
FIRST = 17_500
QUERY = np.array([FIRST + 300, FIRST + 3, FIRST + 21, FIRST + 300], np.int32)
BOTH = ("float32", "bfloat16")


def fuser_of(config=SMALL, support_days=60):
    torch.manual_seed(0)
    model = tamrf.Tamrf(config)
    model.lr_mean.fill_(0.2)
    model.lr_mean[-1] = 0.29
    model.lr_std.fill_(0.1)
    model.lr_std[-1] = 0.01
    return Fuser(model, support_days, BOTH)


@pytest.fixture(params=["plain", "anchored"])
def fuser(request):
    return fuser_of(replace(SMALL, anchored=request.param == "anchored"))


def series(sensor, count, size=4, span=360, seed=0):
    rng = np.random.default_rng([seed, len(sensor), count])
    bands, side = (8, size) if sensor == "l8" else (10, 3 * size)
    values = rng.uniform(0, 0.5, (count, bands, side, side)).astype(np.float32)
    if sensor == "l8":
        values[:, -1] = rng.uniform(270, 310, values[:, -1].shape)
    days = FIRST + np.sort(rng.choice(span, count, replace=False)).astype(np.int32)
    return Observations(values, np.ones(values.shape, bool), days)


@pytest.fixture
def observed():
    return {"l8": series("l8", 5), "s2": series("s2", 7)}


def same(one, other, atol=1e-6):
    assert one.keys() == other.keys()
    for sensor in one:
        scale = np.array([1000 if sensor == "l8" and b == 7 else 1 for b in range(one[sensor].shape[1])])
        np.testing.assert_allclose(
            one[sensor] / scale[:, None, None], other[sensor] / scale[:, None, None], atol=atol
        )


def test_units_are_those_of_the_field(fuser, observed):
    made = fuser.fuse(observed, QUERY, FIRST)
    lr, hr = tamrf.predict(
        fuser.model,
        hr=torch.from_numpy(observed["s2"].values),
        hr_days=torch.from_numpy(observed["s2"].days) - FIRST,
        lr=torch.from_numpy(observed["l8"].values / np.array([1] * 7 + [1000], np.float32)[:, None, None]),
        lr_days=torch.from_numpy(observed["l8"].days) - FIRST,
        query_days=torch.from_numpy(QUERY) - FIRST,
    )
    assert {sensor: values.dtype for sensor, values in made.items()} == {"l8": "float32", "s2": "float32"}
    np.testing.assert_allclose(made["s2"], hr, atol=1e-6)
    np.testing.assert_allclose(made["l8"][:, :7], lr[:, :7], atol=1e-6)
    np.testing.assert_allclose(made["l8"][:, 7], 1000 * lr[:, 7], atol=1e-3)
    assert (made["l8"][:, 7] > 250).all()


def test_the_order_of_dates_and_queries_does_not_matter(fuser, observed):
    turned = {s: Observations(*(part[::-1] for part in o)) for s, o in observed.items()}
    whole = fuser.fuse(observed, QUERY, FIRST)
    same(fuser.fuse(turned, QUERY, FIRST), whole)
    same({s: v[::-1] for s, v in fuser.fuse(observed, QUERY[::-1], FIRST).items()}, whole)
    same(fuser.fuse(observed, QUERY[1:2], FIRST), {s: v[1:2] for s, v in whole.items()})
    np.testing.assert_allclose(whole["s2"][0], whole["s2"][3], atol=1e-6)


def test_threads_do_not_disturb_one_another(fuser):
    scenes = [{"l8": series("l8", 4, seed=n), "s2": series("s2", 5, seed=n)} for n in range(6)]
    for scene in scenes:
        scene["s2"].valid[1:, :, :6] = False
    one_by_one = [fuser.fuse(scene, QUERY, FIRST) for scene in scenes]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda scene: fuser.fuse(scene, QUERY, FIRST), scenes))
    for one, other in zip(one_by_one, together, strict=True):
        same(one, other, atol=0)


@pytest.mark.parametrize("alone", ["l8", "s2"])
def test_one_sensor_alone_yields_both_and_only_what_is_asked_for(fuser, observed, alone):
    made = fuser.fuse({alone: observed[alone]}, QUERY, FIRST)
    assert {s: v.shape for s, v in made.items()} == {"l8": (4, 8, 12, 12), "s2": (4, 10, 12, 12)}
    assert all(np.isfinite(values).all() for values in made.values())
    (only,) = fuser.fuse({alone: observed[alone]}, QUERY, FIRST, sensors=["s2"]).items()
    assert only[0] == "s2"
    np.testing.assert_array_equal(only[1], made["s2"])


def test_a_sensor_never_valid_is_as_good_as_missing(fuser, observed):
    nothing = observed["l8"]._replace(valid=np.zeros_like(observed["l8"].valid))
    same(
        fuser.fuse({"s2": observed["s2"]}, QUERY, FIRST),
        fuser.fuse({"s2": observed["s2"], "l8": nothing}, QUERY, FIRST),
    )


def test_pixels_without_anything_valid_are_missing(fuser, observed):
    observed["s2"].valid[:, :, :6] = False
    observed["l8"].valid[:, :, :1] = False  # rows 0 to 2
    for values in fuser.fuse(observed, QUERY, FIRST).values():
        assert np.isnan(values[:, :, :3]).all()
        assert np.isfinite(values[:, :, 3:]).all()


@pytest.mark.parametrize("dates", [0, 3])
def test_without_anything_valid_all_is_missing(fuser, dates):
    values = np.full((dates, 10, 12, 12), np.nan, np.float32)
    empty = Observations(
        values, np.zeros(values.shape, bool), np.arange(FIRST, FIRST + dates, dtype=np.int32)
    )
    made = fuser.fuse({"s2": empty}, QUERY, FIRST)
    assert made["l8"].shape == (4, 8, 12, 12)
    assert np.isnan(made["l8"]).all()
    assert np.isnan(made["s2"]).all()
    assert fuser.fuse({"s2": empty}, QUERY[:0], FIRST)["s2"].shape == (0, 10, 12, 12)


def test_a_later_year_is_answered_as_a_first_one_from_what_is_within_reach(fuser):
    """Years are counted from the first day of the period, not from the first date of a tile."""
    long = series("s2", 40, span=1100)
    query = np.array([FIRST + 365 + 100, FIRST + 365 + 364], np.int32)
    reach = (long.days >= FIRST + 365 - 60) & (long.days < FIRST + 730 + 60)
    near = Observations(*(part[reach] for part in long))
    whole = fuser.fuse({"s2": long}, query, FIRST)
    same(fuser.fuse({"s2": near}, query, FIRST), whole, atol=0)
    same(fuser.fuse({"s2": near}, query, FIRST + 365), whole, atol=0)


def test_a_period_of_a_year_is_one_piece(fuser, monkeypatch):
    calls = []
    predict = tamrf.predict
    monkeypatch.setattr(tamrf, "predict", lambda *a, **k: calls.append(k) or predict(*a, **k))
    fuser.fuse({"s2": series("s2", 5)}, np.array([FIRST, FIRST + 364], np.int32), FIRST)
    assert len(calls) == 1
    fuser.fuse({"s2": series("s2", 5)}, np.array([FIRST - 1, FIRST, FIRST + 365], np.int32), FIRST)
    assert len(calls) == 4
    assert [k["query_days"].tolist() for k in calls] == [[0, 364], [364], [0], [0]]


def test_bfloat16_is_for_reflectance_alone(fuser, observed):
    exact = fuser.fuse(observed, QUERY, FIRST, ["s2"])["s2"]
    coarse = fuser.fuse(observed, QUERY, FIRST, ["s2"], "bfloat16")["s2"]
    assert 0 < np.abs(coarse - exact).max() < 0.02
    with pytest.raises(InvalidParameter, match="too coarse for surface temperature"):
        fuser.fuse(observed, QUERY, FIRST, precision="bfloat16")
    with pytest.raises(InvalidParameter, match="not in 'bfloat16'"):
        Fuser(fuser.model, 60).fuse(observed, QUERY, FIRST, ["s2"], "bfloat16")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda o: {"s1": o["s2"]}, InvalidParameter, r"\['l8', 's2'\] are needed; got \['s1'\]"),
        (lambda o: {}, InvalidParameter, "one sensor or more"),
        (lambda o: {"s2": o["s2"]._replace(days=o["s2"].days[1:])}, InvalidCube, r"days \(6,\)"),
        (lambda o: o | {"s2": series("s2", 3, size=5)}, InvalidCube, "must cover the pixels of s2"),
    ],
)
def test_what_does_not_fit_is_refused(fuser, observed, change, error, words):
    with pytest.raises(error, match=words):
        fuser.fuse(change(observed), QUERY, FIRST)


@pytest.mark.parametrize("size", [11, 22])  # 33 and 66 rows: the last strip needs no row anew
def test_any_height_is_decoded_strip_by_strip(size):
    observed = {"s2": series("s2", 3, size)}
    found = fuser_of().fuse(observed, QUERY[:1], FIRST, ["s2"])
    assert np.isfinite(found["s2"]).all()


def test_a_network_that_corrects_nothing_is_naive_interpolation(observed):
    fuser = fuser_of(replace(SMALL, anchored=True))
    for parameter in fuser.model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    rng = np.random.default_rng(7)
    for series_of_one in observed.values():
        series_of_one.valid[1:] = rng.uniform(size=series_of_one.valid[1:].shape) < 0.6
    made = fuser.fuse(observed, QUERY, FIRST)
    for sensor, values in made.items():
        line = naive_interpolation.predict(observed, QUERY, sensor).mean
        np.testing.assert_allclose(values, line, rtol=1e-6, atol=1e-6)


def test_what_comes_in_is_left_as_it_was(observed):
    before = {s: Observations(*(part.copy() for part in o)) for s, o in observed.items()}
    fuser_of().fuse(observed, QUERY, FIRST)
    for sensor, parts in observed.items():
        for one, other in zip(parts, before[sensor], strict=True):
            np.testing.assert_array_equal(one, other)
