"""A network of TAMRF that corrects an interpolation: what is compared, what is carried, what is detailed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.tamrf_carry import PACE

from .small_tamrf import SMALL, alike, anchored, far, given, masks


def test_an_anchored_network_that_corrects_nothing_interpolates_linearly():
    model = anchored()
    for parameter in model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    model.lr_mean.fill_(0.3)
    series = given()
    series |= masks(series)
    series["lr_valid"][:, 0] = False  # a band that was never seen
    lr, hr = tamrf.predict(model, **series)
    assert far(lr[:, 0], torch.tensor(0.3)) < 1e-6
    for band, y, x in [(0, 0, 0), (3, 5, 7), (9, 11, 2)]:
        clear = series["hr_valid"][:, band, y, x]
        known = series["hr"][clear, band, y, x]
        line = np.interp(series["query_days"], series["hr_days"][clear], known)
        np.testing.assert_allclose(hr[:, band, y, x], line, atol=1e-6)


def test_what_was_never_seen_does_not_reach_into_what_was():
    model = anchored()
    model.lr_mean.fill_(0.3)
    lr, valid = torch.full((2, 8, 6, 7), 0.25), torch.ones(2, 8, 6, 7, dtype=torch.bool)
    valid[..., 4:], valid[:, 2] = False, False
    days, query = torch.tensor([0, 40]), torch.tensor([20])
    made = model.anchors({"lr": tamrf.Series(lr, days, valid)}, query)["lr"]
    seen = np.delete(made[0], 2, 0)[..., :12]
    np.testing.assert_allclose(seen, 0.25, atol=1e-6)
    np.testing.assert_allclose(made[0, 2], 0.3, atol=1e-6)  # a band that was never seen anywhere


def test_an_anchored_network_adds_its_corrections_to_the_interpolation():
    model, bare, series = anchored(), tamrf.Tamrf(SMALL).eval(), given()
    bare.load_state_dict(model.state_dict())
    parts = {s: tamrf.Series(series[s], series[f"{s}_days"]) for s in tamrf.SENSORS}
    lines = model.anchors(parts, series["query_days"])
    corrections = tamrf.predict(bare, **series)
    added = [lines[s] + part for s, part in zip(tamrf.SENSORS, corrections, strict=True)]
    assert alike(tamrf.predict(model, **series), added)


# --- compared


def test_each_sensor_is_compared_with_the_others_interpolation():
    model, series = anchored(compared=True), given()
    model.hr_std.fill_(0.5)
    series["hr_valid"] = torch.ones_like(series["hr"], dtype=torch.bool)
    series["hr_valid"][:, 6, 3:6, 3:6] = False  # B08, which has no like
    series["hr_valid"][:, 2, 6:9, 3:6] = False  # B04 of a whole pixel of Landsat
    parts = {s: tamrf.Series(series[s], series[f"{s}_days"], series.get(f"{s}_valid")) for s in tamrf.SENSORS}
    found = model.departures(parts)
    assert {s: tuple(each.shape) for s, each in found.items()} == {"lr": (3, 14, 4, 4), "hr": (4, 16, 12, 12)}
    line = np.interp(series["lr_days"], series["hr_days"], series["hr"][:, 2, 3:6, 3:6].mean((1, 2)))
    np.testing.assert_allclose(found["lr"][:, 8 + 2, 1, 1], series["lr"][:, 3, 1, 1] - line, atol=1e-6)
    assert (found["lr"][:, 8 + 2, 2, 1] == 0).all()
    assert (found["hr"][:, 10 + 2, 6:9, 3:6] == 0).all()
    flat = {**parts, "lr": tamrf.Series(torch.full_like(series["lr"], 0.2), series["lr_days"])}
    np.testing.assert_allclose(
        model.departures(flat)["hr"][:, 10 + 1], (series["hr"][:, 1] - 0.2) / 0.5, atol=1e-6
    )


def test_each_image_is_compared_with_the_sensors_own_other_days():
    model, series = anchored(compared=True), given()
    found = model.departures({"hr": tamrf.Series(series["hr"], series["hr_days"])})["hr"]
    assert (found[:, 10:] == 0).all()
    order = np.argsort(series["hr_days"])
    for place, date in enumerate(order):
        others = np.delete(order, place)
        line = np.interp(series["hr_days"][date], series["hr_days"][others], series["hr"][others, 4, 5, 6])
        assert abs(found[date, 4, 5, 6] - (series["hr"][date, 4, 5, 6] - line)) < 1e-6


def test_the_only_image_is_compared_with_nothing():
    model, series = anchored(compared=True), given()
    found = model.departures({"lr": tamrf.Series(series["lr"][:1], series["lr_days"][:1])})
    assert (found["lr"] == 0).all()


# --- carried and detailed


def correcting_nothing(**more):
    """A network whose decoder adds nothing to the interpolation."""
    model = anchored(compared=True, carried=True, **more)
    for parameter in model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return model


def test_what_landsat_differs_is_carried_to_sentinel2_and_held_by_its_own_dates():
    model = correcting_nothing()
    hr, lr = torch.full((2, 10, 12, 12), 0.2), torch.full((1, 8, 4, 4), 0.3)
    series = {
        "hr": hr,
        "hr_days": torch.tensor([0, 60]),
        "lr": lr,
        "lr_days": torch.tensor([30]),
        "query_days": torch.tensor([0, 20, 30]),
    }
    made = tamrf.predict(model, **series)[1]
    kernel = model.carry["hr"].theirs
    trust, reach = float(PACE * kernel.trust[0].detach()), float((PACE * kernel.reach[0].detach()).exp())

    def counts(apart):
        return np.exp(trust - apart / reach)

    for place, (away, before, after) in enumerate([(30, 0, 60), (10, 20, 40), (0, 30, 30)]):
        share = counts(away) / (1 + counts(away) + counts(before) + counts(after))
        np.testing.assert_allclose(made[place, 2], 0.2 + 0.1 * share, atol=1e-6)
    np.testing.assert_allclose(made[:, 4], 0.2, atol=1e-6)  # B06, which has no like
    alone = {name: each for name, each in series.items() if not name.startswith("lr")}
    np.testing.assert_allclose(tamrf.predict(model, **alone)[1], 0.2, atol=1e-6)


@pytest.mark.parametrize("name", ["carried", "detailed"])
def test_nothing_is_carried_or_detailed_without_an_interpolation(name):
    with pytest.raises(InvalidParameter, match=f"`{name}` must be `anchored` too"):
        replace(SMALL, **{name: True})


def test_bands_of_20_m_that_were_seen_have_the_detail_of_their_own_image():
    bare, detailed = (anchored(compared=True, carried=True, detailed=choice) for choice in (False, True))
    detailed.load_state_dict(detailed.state_dict() | bare.state_dict())
    series = given()
    valid = torch.rand(series["hr"].shape) > 0.3
    series |= {"hr_valid": valid, "query_days": series["hr_days"][[1]]}
    series["query_days"] = torch.cat([series["query_days"], series["hr_days"].max()[None] + 7])
    one, two = (tamrf.predict(model, **series) for model in (bare, detailed))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1][1], two[1][1])
    changed, coarse = one[1][0] != two[1][0], detailed.config.coarse
    seen = torch.zeros_like(changed)
    seen[coarse] = valid[1, coarse]
    assert torch.equal(changed, seen)
    lonely = {name: series[name][1:2] for name in ("hr", "hr_days", "hr_valid")}
    alone = tamrf.predict(detailed, **lonely, query_days=series["query_days"])[1]
    assert far(alone[0][seen], two[1][0][seen]) < 1e-6
    with torch.no_grad():
        detailed.detail.last.weight.zero_()
        detailed.detail.last.bias.zero_()
    plain = tamrf.predict(detailed, **series)[1][0]
    assert far(plain[seen], series["hr"][1][seen]) < 1e-6


def test_detail_of_sentinel2_is_carried_to_landsat():
    model = correcting_nothing()
    pattern = torch.rand(12, 12)
    series = {
        "hr": pattern.expand(1, 10, 12, 12),
        "hr_days": torch.tensor([8]),
        "lr": torch.full((2, 8, 4, 4), 0.5),
        "lr_days": torch.tensor([0, 16]),
        "query_days": torch.tensor([8]),
    }
    lr = tamrf.predict(model, **series)[0][0]
    ratio = (lr[1] - 0.5) / (pattern - 0.5)
    assert ratio.min() > 0
    assert ratio.max() - ratio.min() < 1e-4
    np.testing.assert_allclose(lr[7], 0.5, atol=1e-6)  # surface temperature has no like
