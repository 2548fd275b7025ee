"""The laws of TAMRF at a small size, with all kinds of masks."""

import pytest
import torch

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models import tamrf

from .small_tamrf import SMALL, alike, anchored, close, far, given, masks


@pytest.fixture
def small():
    torch.manual_seed(3)
    return tamrf.Tamrf(SMALL).eval()


@pytest.fixture(params=["plain", "anchored", "carried"])
def either(request, small):
    return (
        small
        if request.param == "plain"
        else anchored(**dict.fromkeys(("compared", "carried", "detailed"), request.param == "carried"))
    )


# --- laws


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


@pytest.mark.parametrize(
    "valid",
    [torch.ones(3, 12, 12, dtype=torch.bool), torch.ones(4, 12, 12), torch.ones(12, dtype=torch.bool)],
)
def test_masks_that_do_not_fit_are_refused(small, valid):
    with pytest.raises(InvalidCube, match="hr_valid must be bool"):
        tamrf.predict(small, **given(), hr_valid=valid)


# --- training


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


# --- how far it looks


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
