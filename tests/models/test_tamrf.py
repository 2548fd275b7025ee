import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, InvalidWeights
from openeo_udf_fusion.models import psf, tamrf
from openeo_udf_fusion.models.tamrf_carry import PACE

SHARED = Path(os.environ.get("OPENEO_UDF_FUSION_DATA", Path(__file__).parents[2] / "../shared/data"))
PARITY = SHARED / "tamrf_parity"
MTF = {"lr": [0.3] * 7 + [0.2], "hr": [1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3]}
RATIO = {"lr": [3] * 7 + [9], "hr": [1, 1, 1, 2, 2, 2, 1, 2, 2, 2]}
SMALL = tamrf.Config(
    features=8, growth=4, dense_blocks=1, time_code=8, sensor_code=4, layers=1, heads=2, mlp=16
)
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason=f"needs the reference's outputs in {PARITY}")


@pytest.fixture(scope="module")
def reference():
    with np.load(PARITY / "io.npz") as archive:
        return {name: torch.from_numpy(archive[name][0]) for name in archive}


@pytest.fixture(scope="module")
def official():
    return tamrf.load(PARITY / "random_s1t3.ckpt")


@pytest.fixture
def small():
    torch.manual_seed(3)
    return tamrf.Tamrf(SMALL).eval()


def images(sensor, dates, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(dates, len(SMALL.bands(sensor)), size, size, generator=generator)


def series_of(reference, *sensors):
    given = {}
    for sensor in sensors:
        given[sensor] = reference[f"{sensor}_dn"].float() / 1e4
        given[f"{sensor}_days"] = reference[f"{sensor}_doy"]
    return given


def far(one, other):
    return (one - other).abs().max().item()


# --- the published network


@needs_parity
def test_the_published_network_has_its_published_size(official):
    assert sum(p.numel() for p in official.parameters()) == 2_329_250
    assert sum(p.numel() for p in official.encoder["hr"].parameters()) == 762_176
    assert sum(p.numel() for p in official.encoder["lr"].parameters()) == 797_952


@needs_parity
def test_its_parts_give_what_the_reference_gives(official, reference):
    given = {
        s: tamrf.Series(reference[f"{s}_dn"].float() / 1e4, reference[f"{s}_doy"]) for s in tamrf.SENSORS
    }
    with torch.inference_mode():
        features = tamrf.encode(official, given)
        tokens = official.tokens(
            features[8:16, 8:16].flatten(0, 1), official.codes({s: g.days for s, g in given.items()})
        )
        encoded = official.encoded(tokens).reshape(8, 8, 12, 136)
        queries = official.queries(reference["query_doy"])
    assert far(features[:, :, :2].permute(2, 3, 0, 1), reference["lr_features"]) < 1e-5
    assert far(features[:, :, 5:7].permute(2, 3, 0, 1), reference["hr_features"]) < 1e-5
    assert far(encoded.permute(2, 3, 0, 1), reference["encoded"]) < 1e-5
    assert far(queries[:, 64:128], reference["pe_query"]) == 0


@needs_parity
@pytest.mark.parametrize(
    ("sensors", "suffix"), [(("lr", "hr"), ""), (("hr",), "_only_hr_input"), (("lr",), "_only_lr_input")]
)
def test_predictions_are_those_of_the_reference(official, reference, sensors, suffix):
    lr, hr = tamrf.predict(official, **series_of(reference, *sensors), query_days=reference["query_doy"])
    assert far(lr, reference[f"pred_lr{suffix}"]) < 1e-6
    assert far(hr, reference[f"pred_hr{suffix}"]) < 1e-6


@needs_parity
def test_decoded_values_before_their_scale_are_those_of_the_reference(official, reference):
    plain = tamrf.built(official.config, official.state_dict(), "copy").eval()
    for sensor in tamrf.SENSORS:
        plain.get_buffer(f"{sensor}_mean").zero_()
        plain.get_buffer(f"{sensor}_std").fill_(1)
    given = series_of(reference, "lr", "hr")
    for sensor in tamrf.SENSORS:
        given[sensor] = official.standardised(given[sensor], sensor)
    both = tamrf.predict(plain, **given, query_days=reference["query_doy"])
    assert far(torch.cat(both, 1), reference["decoded_std"]) < 1e-5


@needs_parity
@pytest.mark.parametrize("sensor", tamrf.SENSORS)
def test_the_point_spread_is_that_of_the_reference(reference, sensor):
    seen = psf.blurred(reference[f"pred_{sensor}"], MTF[sensor], RATIO[sensor])
    seen = psf.coarser(seen, 3) if sensor == "lr" else seen
    assert far(seen, reference[f"pred_{sensor}_downscaled"]) < 1e-6


@needs_parity
def test_tiles_with_a_border_of_zeros_are_those_of_the_reference(official, reference):
    """The reference pads an image with zeros, cuts tiles of 12 pixels with a margin of 6, and joins them."""
    given = series_of(reference, "lr", "hr")
    given["hr"] = torch.nn.functional.pad(given["hr"], (6,) * 4)
    given["lr"] = torch.nn.functional.pad(given["lr"], (2,) * 4)
    out = {sensor: torch.empty_like(reference[f"pred_{sensor}"]) for sensor in tamrf.SENSORS}
    for y in (0, 12):
        for x in (0, 12):
            part = dict(given)
            part["hr"] = given["hr"][..., y : y + 24, x : x + 24]
            part["lr"] = given["lr"][..., y // 3 : y // 3 + 8, x // 3 : x // 3 + 8]
            tile = tamrf.predict(official, **part, query_days=reference["query_doy"])
            for sensor, values in zip(tamrf.SENSORS, tile, strict=True):
                out[sensor][..., y : y + 12, x : x + 12] = values[..., 6:18, 6:18]
    assert far(out["lr"], reference["tiled12_m6_lr"]) < 1e-6
    assert far(out["hr"], reference["tiled12_m6_hr"]) < 1e-6


# --- laws, at a small size


def given(size=12, hr_dates=4, lr_dates=3):
    return {
        "hr": images("hr", hr_dates, size),
        "hr_days": torch.tensor([3, 40, 90, 200])[:hr_dates],
        "lr": images("lr", lr_dates, size // 3, seed=1),
        "lr_days": torch.tensor([10, 60, 150])[:lr_dates],
        "query_days": torch.tensor([0, 77, 300]),
    }


def close(one, other, tolerance=1e-5):
    return all(far(a, b) < tolerance for a, b in zip(one, other, strict=True))


def test_streaming_gives_what_the_parts_give_at_once(small):
    series = given()
    lr, hr = tamrf.predict(small, **series)
    with torch.inference_mode():
        features = [small.encoder[s](small.standardised(series[s], s)) for s in tamrf.SENSORS]
        flat = torch.cat(features).permute(2, 3, 0, 1).flatten(0, 1)
        tokens = small.tokens(flat, small.codes({s: series[f"{s}_days"] for s in tamrf.SENSORS}))
        queries = small.queries(series["query_days"]).expand(len(flat), -1, -1)
        answers = small.cross(queries, small.encoded(tokens)).reshape(12, 12, 3, -1).permute(2, 3, 0, 1)
        whole = small.decoded(answers)
    assert close((lr, hr), (whole["lr"], whole["hr"]))


def test_the_order_of_dates_changes_nothing(small):
    series = given()
    turned = {**series, "hr": series["hr"].flip(0), "hr_days": series["hr_days"].flip(0)}
    assert close(tamrf.predict(small, **series), tamrf.predict(small, **turned))


def test_a_queried_day_does_not_depend_on_the_others(small):
    series = given()
    alone = tamrf.predict(small, **{**series, "query_days": series["query_days"][1:2]})
    assert close([each[1:2] for each in tamrf.predict(small, **series)], alone)


def test_strips_and_chunks_leave_no_seam(small, monkeypatch):
    series = given(size=24)
    whole = tamrf.predict(small, **series)
    monkeypatch.setattr(tamrf, "STRIP_ROWS", 5)
    monkeypatch.setitem(tamrf.CHUNK_PX, "cpu", 7)
    assert close(whole, tamrf.predict(small, **series))


def test_tiles_with_real_overlap_equal_the_whole(small):
    """One dense block of five convolutions, three more and the decoder's two look ten pixels far at 10 m."""
    series = given(size=72)
    whole = tamrf.predict(small, **series)
    part = {**series, "hr": series["hr"][..., :48], "lr": series["lr"][..., :16]}
    tile = tamrf.predict(small, **part)
    assert close([each[..., :12] for each in whole], [each[..., :12] for each in tile])


@pytest.mark.parametrize("missing", ["hr", "lr"])
def test_one_sensor_alone_yields_both(small, missing):
    series = {name: each for name, each in given().items() if not name.startswith(missing)}
    lr, hr = tamrf.predict(small, **series)
    assert lr.shape == (3, 8, 12, 12)
    assert hr.shape == (3, 10, 12, 12)
    assert torch.isfinite(lr).all()


def test_bfloat16_stays_near(small):
    lr, hr = tamrf.predict(small, **given())
    half_lr, half_hr = tamrf.predict(small, **given(), precision="bfloat16")
    assert half_hr.dtype == torch.float32
    assert 0 < far(hr, half_hr) < 0.02
    assert far(lr, half_lr) < 0.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hr": None, "lr": None}, "at least one sensor"),
        ({"hr": torch.zeros(4, 9, 12, 12)}, r"\(t, 10, y, x\)"),
        ({"hr_days": torch.tensor([1])}, "4 images and 1 days"),
        ({"lr": torch.zeros(3, 8, 5, 4)}, "must cover"),
    ],
)
def test_what_does_not_fit_is_refused(small, change, words):
    with pytest.raises(InvalidCube, match=words):
        tamrf.predict(small, **(given() | change))


# --- what is missing


def anchored(**more):
    torch.manual_seed(4)
    return tamrf.Tamrf(replace(SMALL, clear_only=True, anchored=True, **more)).eval()


def masks(series, share=0.4):
    """What is valid where some bands of some pixels are missing on every date."""
    generator = torch.Generator().manual_seed(5)
    return {
        f"{sensor}_valid": torch.rand(series[sensor].shape, generator=generator) > share
        for sensor in tamrf.SENSORS
    }


def alike(one, other, tolerance=1e-6):
    """Missing where the other is, and close where it is not."""
    same = all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(one, other, strict=True))
    return same and close([a.nan_to_num() for a in one], [b.nan_to_num() for b in other], tolerance)


@pytest.fixture(params=["plain", "anchored", "carried"])
def either(request, small):
    return (
        small
        if request.param == "plain"
        else anchored(**dict.fromkeys(("compared", "carried", "detailed"), request.param == "carried"))
    )


@pytest.mark.parametrize("sensor", tamrf.SENSORS)
def test_a_masked_date_is_as_good_as_left_out(either, sensor):
    series = given()
    keep = torch.arange(len(series[sensor])) != 1
    masked = series | {f"{sensor}_valid": keep[:, None, None].expand(-1, *series[sensor].shape[-2:])}
    masked[sensor] = series[sensor].clone()
    masked[sensor][1] = torch.nan
    without = series | {sensor: series[sensor][keep], f"{sensor}_days": series[f"{sensor}_days"][keep]}
    assert alike(tamrf.predict(either, **masked), tamrf.predict(either, **without))


def test_a_date_that_a_pixel_lacks_is_left_out_for_that_pixel(small):
    features = torch.rand(5, 7, SMALL.features)
    seen = torch.rand(5, 7) > 0.4
    seen[0], seen[1], seen[2] = True, False, torch.arange(7) == 3
    days, query = torch.arange(7) * 20, torch.tensor([5, 66])
    with torch.inference_mode():
        together = small.answered(features, small.folded({"hr": days}, query), seen)
        for pixel in (0, 2, 3, 4):
            own = small.folded({"hr": days[seen[pixel]]}, query)
            alone = small.answered(features[pixel : pixel + 1, seen[pixel]], own)
            assert far(together[pixel], alone[0]) < 1e-6
    assert torch.isfinite(together).all()


def test_masks_that_leave_all_valid_change_no_bit(either):
    series = given()
    masked = {f"{s}_valid": torch.ones_like(series[s], dtype=torch.bool) for s in tamrf.SENSORS}
    plain, whole = tamrf.predict(either, **series), tamrf.predict(either, **series, **masked)
    assert all(torch.equal(a, b) for a, b in zip(plain, whole, strict=True))


def test_the_order_of_dates_changes_nothing_where_some_are_masked(either):
    series = given()
    series |= masks(series)
    series["lr_days"][2] = series["lr_days"][0]  # two on one day
    turned = dict(series)
    for sensor in tamrf.SENSORS:
        for name in (sensor, f"{sensor}_days", f"{sensor}_valid"):
            turned[name] = series[name].flip(0)
    assert alike(tamrf.predict(either, **series), tamrf.predict(either, **turned))


def test_nobody_looks_at_what_is_missing(either):
    series = given()
    series |= masks(series)
    other = series | {s: series[s].where(series[f"{s}_valid"], torch.nan) for s in tamrf.SENSORS}
    assert alike(tamrf.predict(either, **series), tamrf.predict(either, **other), 1e-12)


def test_a_pixel_without_any_token_is_missing_and_no_other(either):
    series = given()
    series["hr_valid"] = torch.ones(4, 12, 12, dtype=torch.bool)
    series["lr_valid"] = torch.ones(3, 4, 4, dtype=torch.bool)
    series["hr_valid"][:, 2:5, 3:7] = False
    series["lr_valid"][:, 1, 1] = False  # rows and columns 3 to 5 at 10 m
    lost = torch.zeros(12, 12, dtype=torch.bool)
    lost[3:5, 3:6] = True
    for values in tamrf.predict(either, **series):
        assert torch.equal(values.isnan(), lost.expand_as(values))


def test_without_any_token_all_is_missing(either):
    series = given()
    masked = {f"{s}_valid": torch.zeros_like(series[s], dtype=torch.bool) for s in tamrf.SENSORS}
    for values, bands in zip(tamrf.predict(either, **series, **masked), (8, 10), strict=True):
        assert values.shape == (3, bands, 12, 12)
        assert values.isnan().all()


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

    for place, (away, near, far) in enumerate([(30, 0, 60), (10, 20, 40), (0, 30, 30)]):
        share = counts(away) / (1 + counts(away) + counts(near) + counts(far))
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


@pytest.mark.parametrize("share", [0, 0.6])
def test_training_sees_what_a_prediction_gives(either, share):
    series = given()
    series |= masks(series, share) if share else {}
    with torch.no_grad():
        assert alike(either(**series), tamrf.predict(either, **series))


def test_training_reaches_every_weight_even_beside_missing_pixels():
    model, series = anchored(), given()
    series |= masks(series, 0.6)
    series["hr_valid"][:, :, :3, :3] = series["lr_valid"][:, :, 0, 0] = False
    made = model(**series)
    assert made[0].isnan().any()
    sum(values[values.isfinite()].square().mean() for values in made).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_tiles_that_overlap_by_the_receptive_field_equal_the_whole(either):
    series = given(size=120)
    series |= masks(series, 0.7)
    whole = tamrf.predict(either, **series)
    seen = 12 + -(-either.config.receptive_field_px // 3) * 3
    part = dict(series)
    for name in (*tamrf.SENSORS, "lr_valid", "hr_valid"):
        part[name] = series[name][..., : seen if name.startswith("hr") else seen // 3]
    tile = tamrf.predict(either, **part)
    assert alike([each[..., :12] for each in tile], [each[..., :12] for each in whole], 1e-5)


def test_beyond_the_receptive_field_nothing_matters_and_within_it_does(small):
    series = {"lr": torch.rand(1, 8, 1, 40), "lr_days": torch.tensor([1]), "query_days": torch.tensor([1])}
    other = series | {"lr": series["lr"].clone()}
    other["lr"][..., 20] += 10
    with torch.no_grad():
        for part in small.encoder.parameters():
            part.abs_()  # so that nothing stops at a rectifier
    changed = tamrf.predict(small, **series)[0] != tamrf.predict(small, **other)[0]
    places = changed.flatten(0, 2).any(0).nonzero()[:, 0]
    reach = max(62 - places.min(), places.max() - 60)
    assert small.config.receptive_field_px - 3 <= reach <= small.config.receptive_field_px


def test_the_published_network_looks_60_pixels_far():
    assert tamrf.Config().receptive_field_px == 60


@pytest.mark.parametrize(
    "valid",
    [torch.ones(3, 12, 12, dtype=torch.bool), torch.ones(4, 12, 12), torch.ones(12, dtype=torch.bool)],
)
def test_masks_that_do_not_fit_are_refused(small, valid):
    with pytest.raises(InvalidCube, match="hr_valid must be bool"):
        tamrf.predict(small, **given(), hr_valid=valid)


# --- checkpoints


def test_what_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "notes.ckpt"
    file.write_text("not a checkpoint")
    with pytest.raises(InvalidWeights, match="cannot be read"):
        tamrf.load(file)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InvalidWeights, match="cannot be read"):
        tamrf.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({"state_dict": {"first.weight": torch.zeros(3)}}, tmp_path / "other.ckpt")
    with pytest.raises(InvalidWeights, match="tensors differ"):
        tamrf.load(tmp_path / "other.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(InvalidWeights, match="no dict of tensors"):
        tamrf.load(tmp_path / "list.ckpt")


@needs_parity
def test_names_of_compiled_checkpoints_are_understood(tmp_path, official):
    content = torch.load(PARITY / "random_s1t3.ckpt", weights_only=True)
    renamed = {
        name.replace("the_modules.encoder.", "the_modules.encoder._orig_mod."): value
        for name, value in content["state_dict"].items()
    } | {"cca_loss_instance.weight": torch.zeros(2)}
    torch.save({"state_dict": renamed}, tmp_path / "compiled.ckpt")
    again = tamrf.load(tmp_path / "compiled.ckpt").state_dict()
    assert all(torch.equal(again[name], value) for name, value in official.state_dict().items())
