"""Laws of the Sentinel-1/2 network: masks, and what a further sensor changes and what not."""

from dataclasses import replace

import pytest
import torch

from openeo_udf_fusion.models.s1s2_embedding import (
    Config,
    Contrast,
    Features,
    Frames,
    S1S2Embedding,
    SensorConfig,
    bracket,
    parts_to_train,
    with_sensor,
    with_witness,
)


def sensor(name: str, bands: int, reach: int = 30, level: int = 0) -> SensorConfig:
    names = tuple(f"b{n}" for n in range(bands))
    return SensorConfig(
        name, names, (0.0,) * bands, (1.0,) * bands, (-5.0,) * bands, (5.0,) * bands, reach, 3, level
    )


@pytest.fixture
def model() -> S1S2Embedding:
    torch.manual_seed(0)
    sensors = (sensor("s1", 2, level=10), sensor("s2", 4))
    made = S1S2Embedding(Config(sensors, code=5, width=8, token=16, hidden=24, decoder=16)).eval()
    for layer in (made.fusion.contrasts["s2_s1"].hidden, made.fusion.contrasts["s2_s1"].code):
        torch.nn.init.normal_(layer.weight, std=0.3)  # a fresh one is silent
    return made


@pytest.fixture
def frames() -> dict[str, Frames]:
    """Both sensors on their own days, a third of the cells of the second one missing."""
    torch.manual_seed(1)
    made = {}
    for name, bands, count in (("s1", 2, 9), ("s2", 4, 6)):
        values = torch.randn(count, bands, 12, 10)
        seen = torch.rand(count, 1, 12, 10) < (1.0 if name == "s1" else 0.66)
        valid = seen.expand_as(values).clone()
        days = torch.arange(count) * (3.0 if name == "s1" else 5.0)
        made[name] = Frames(torch.where(valid, values, 0.0), valid, days)
    return made


QUERY = torch.tensor([4.0, 11.0, 12.5])


def reflected(model: S1S2Embedding, frames: dict[str, Frames]) -> torch.Tensor:
    with torch.inference_mode():
        return model(frames, QUERY)


def test_a_cloudy_pixel_is_as_one_beyond_the_edge(model, frames):
    s2 = frames["s2"]
    valid = s2.valid.clone()
    valid[..., 8:] = False
    clouded = {"s2": Frames(torch.where(valid, s2.values, 0.0), valid, s2.days)}
    cut = {"s2": Frames(s2.values[..., :8], s2.valid[..., :8], s2.days)}
    codes = [reflected(model, each).reshape(3, 12, -1, 5)[:, :, :8] for each in (clouded, cut)]
    torch.testing.assert_close(*codes)


def test_one_pixel_far_away_changes_nothing(model, frames):
    """The receptive field is what the configuration says, and no farther."""
    margin = model.config.margin_px
    whole = reflected(model, frames).reshape(3, 12, 10, 5)
    changed = frames["s1"].values.clone()
    changed[..., 0, 0] += 3
    other = reflected(model, frames | {"s1": frames["s1"]._replace(values=changed)}).reshape(3, 12, 10, 5)
    far = whole != other
    assert far[:, 0, 0].any()
    assert far[:, : margin + 1, : margin + 1].any()
    assert not far[:, margin + 1 :].any()
    assert not far[:, :, margin + 1 :].any()


def test_codes_are_bounded_and_time_is_relative(model, frames):
    first = reflected(model, frames)
    assert first.abs().max() <= 1
    moved = {s: f._replace(days=f.days + 400) for s, f in frames.items()}
    with torch.inference_mode():
        torch.testing.assert_close(model(moved, QUERY + 400), first)


def test_frames_beyond_the_reach_do_not_count(model, frames):
    s1 = frames["s1"]
    far = Frames(
        torch.cat([s1.values, s1.values + 2]),
        torch.cat([s1.valid, s1.valid]),
        torch.cat([s1.days, s1.days + 60]),
    )
    torch.testing.assert_close(reflected(model, frames | {"s1": far}), reflected(model, frames))


@pytest.mark.parametrize(
    ("day", "seen", "expected", "step", "known"),
    [
        (3.0, (1, 1, 1), 3.0, 10.0, (1, 1)),
        (10.0, (1, 1, 1), 10.0, 0.0, (1, 1)),
        (12.0, (1, 0, 1), 12.0, 30.0, (1, 1)),
        (12.0, (1, 1, 0), 10.0, 0.0, (1, 0)),
        (4.0, (0, 0, 1), 30.0, 0.0, (0, 1)),
        (4.0, (0, 0, 0), 0.0, 0.0, (0, 0)),
        (-95.0, (1, 1, 1), 0.0, 0.0, (0, 0)),
    ],
)
def test_the_bracket_is_the_line_between_the_nearest(day, seen, expected, step, known):
    days = torch.tensor([0.0, 10.0, 30.0])
    share = torch.tensor(seen, dtype=torch.float32)[:, None]
    raw = (days * share[:, 0])[:, None, None]
    features = Features(raw, raw[..., :0], share, raw[..., :0], days)
    line, difference, circumstances = bracket(features, days - torch.tensor([[day]]), reach_days=90)
    assert float(line) == pytest.approx(expected, abs=1e-5)
    assert float(difference) == pytest.approx(step, abs=1e-5)
    assert tuple(circumstances[0, 0, :2].tolist()) == known


# --- a witness of change


def changes(model, frames, query=QUERY):
    known = model.encode(frames, query)
    witness, contrast = model.encoder("s1"), model.fusion.contrasts["s2_s1"]
    at_line = witness.level(known["s1"], known["s2"].days)
    return contrast.change(known["s2"], at_line, witness.level(known["s1"], query), query)


def test_a_witness_tells_change_and_not_level(model, frames):
    s1 = frames["s1"]
    with torch.inference_mode():
        still = changes(model, frames | {"s1": s1._replace(values=torch.full_like(s1.values, 3.0))})
        later = (s1.days > 10).float()[:, None, None, None].expand_as(s1.values)
        risen = changes(model, frames | {"s1": s1._replace(values=later)}, torch.tensor([20.0]))
    assert still.abs().max() < 0.2, "of 3"
    assert risen.min() >= 0, "zero where the line saw nothing"
    assert risen.median() > 0.1


def test_a_witness_is_silent_where_one_side_saw_nothing(model, frames):
    nothing = Frames(torch.zeros(1, 2, 12, 10), torch.zeros(1, 2, 12, 10, dtype=torch.bool), torch.zeros(1))
    dark = Frames(torch.zeros(1, 4, 12, 10), torch.zeros(1, 4, 12, 10, dtype=torch.bool), torch.zeros(1))
    with torch.inference_mode():
        assert (changes(model, frames | {"s1": nothing}) == 0).all()
        assert (changes(model, frames | {"s2": dark}) == 0).all()


def test_a_fresh_contrast_corrects_nothing(model):
    torch.manual_seed(3)
    fresh = Contrast(model.config.sensors[1], model.config.sensors[0], model.config)
    told = fresh.hidden(torch.randn(2, 7, fresh.hidden.in_features))
    assert (told == 0).all()
    assert (fresh.code.weight == 0).all()


def test_a_sensor_that_saw_nothing_is_as_one_left_out(model, frames):
    s2 = frames["s2"]
    blind = Frames(torch.zeros_like(s2.values), torch.zeros_like(s2.valid), s2.days)
    torch.testing.assert_close(
        reflected(model, frames | {"s2": blind}), reflected(model, {"s1": frames["s1"]})
    )


# --- a third sensor


def test_a_third_sensor_is_learned_with_the_other_encoders_frozen(model, frames, one_thread):
    """A toy sensor that alone knows a pattern: the fused code takes it up, the others' encoders stay."""
    torch.manual_seed(2)
    grown = with_sensor(model, sensor("toy", 1))
    before = {name: value.clone() for name, value in grown.state_dict().items()}
    pattern = torch.randn(4, 1, 12, 10)
    toy = Frames(pattern, torch.ones_like(pattern, dtype=torch.bool), torch.tensor([4.0, 8.0, 12.0, 16.0]))
    seen, query = frames | {"toy": toy}, toy.days[:3]
    truth = pattern[:3].flatten(2).transpose(1, 2)

    def error() -> torch.Tensor:
        return (grown.decode(grown(seen, query), "toy") - truth).square().mean()

    optimizer = torch.optim.AdamW(parts_to_train(grown, new=["toy"]), 3e-3, weight_decay=0.0)
    first = float(error().detach())
    for _ in range(60):
        loss = error()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(error().detach()) < 0.3 * first

    changed = {n for n, value in grown.state_dict().items() if not torch.equal(value, before[n])}
    assert {name.split(".")[0] for name in changed} == {"encoders", "fusion", "decoders"}
    assert {n.split(".")[1] for n in changed if n.startswith("encoders")} == {"toy"}
    assert "fusion.join.toy.weight" in changed


def test_a_new_sensor_that_is_absent_leaves_the_codes_as_they_were(model, frames):
    grown = with_sensor(model, sensor("toy", 1)).eval()
    torch.testing.assert_close(reflected(grown, frames), reflected(model, frames))


def test_a_sensor_is_found_by_its_id():
    config = Config((sensor("s1", 2), sensor("s2", 4)))
    assert config.sensor("s2").bands == ("b0", "b1", "b2", "b3")
    assert replace(config, dilations=(1, 2)).margin_px == 3


def test_a_fresh_witness_leaves_the_codes_as_they_were(frames):
    torch.manual_seed(0)
    config = Config((sensor("s1", 2), sensor("s2", 4)), code=5, width=8, token=16, hidden=24, decoder=16)
    plain = S1S2Embedding(config).eval()
    grown = with_witness(plain, "s1", 10).eval()
    assert [(a.id, b.id) for a, b in grown.config.pairs] == [("s2", "s1")]
    torch.testing.assert_close(reflected(grown, frames), reflected(plain, frames), rtol=0, atol=0)


def test_support_is_that_of_the_witness_too(model):
    config = model.config
    assert config.support_days("s1") == config.support_days("s2") == 30
    assert Config((sensor("s1", 2, 12, level=10), sensor("s2", 4))).support_days("s1") == 30
    assert Config((sensor("s1", 2, 12), sensor("s2", 4))).support_days("s1") == 12
