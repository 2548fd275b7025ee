from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding, SensorConfig, with_witness
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import s1s2_calibration, s1s2_campaign
from openeo_udf_fusion.training.s1s2_chips import Habits
from openeo_udf_fusion.training.s1s2_embedding import Run, Schedule, config_of, schedule_of, train
from openeo_udf_fusion.training.s1s2_validation import cases, interpolate, validation_cases, validation_error

from .s1s2 import made_up

HABITS = Habits(size_px=8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def site():
    return made_up()


@pytest.fixture(scope="module")
def tiny(site):
    return replace(config_of([site]), width=8, kernels=4, token=16, hidden=16, decoder=16)


def quick(stage, steps=4, **more):
    return replace(schedule_of(stage, steps), **{"validate_every": 2, "warmup_steps": 2} | more)


def same(one, other):
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_bands_are_described_by_the_part_trained_on(site):
    config = config_of([site])
    held_out = made_up(seed=5)
    spoilt = site.observed["s2"].values.copy()
    spoilt[..., -8:] = held_out.observed["s2"].values[..., -8:] * 2
    other = replace(site, observed=site.observed | {"s2": site.observed["s2"]._replace(values=spoilt)})
    assert config_of([other]) == config
    assert config.sensor("s1").centre[0] == pytest.approx(-12, abs=2.5)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_resumed_training_ends_as_an_uninterrupted_one(site, tiny, tmp_path, stage, monkeypatch):
    for folder in ("whole", "parts"):
        train([site], tmp_path / folder, quick(1), tiny, HABITS)
    whole, record = train([site], tmp_path / "whole", quick(stage), tiny, HABITS)
    real, stopped = Run.step, []

    def stop_after_two(run, state):
        if state.step == 2 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        real(run, state)

    (tmp_path / "parts" / "stage2.pt").unlink(missing_ok=True)
    monkeypatch.setattr(Run, "step", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train([site], tmp_path / "parts", quick(stage), tiny, HABITS)
    resumed, other = train([site], tmp_path / "parts", quick(stage), tiny, HABITS, resume=True)
    assert stopped
    assert other == record
    same(resumed, whole)


def test_checkpoints_of_other_runs_are_refused(site, tiny, tmp_path):
    with pytest.raises(InvalidParameter, match="train --stage 1 first"):
        train([site], tmp_path, quick(2), tiny, HABITS)
    train([site], tmp_path, quick(1), tiny, HABITS)
    with pytest.raises(InvalidParameter, match="other settings"):
        train([site], tmp_path, quick(1, steps=6), tiny, HABITS, resume=True)
    with pytest.raises(InvalidParameter, match="other sites"):
        train([made_up(seed=3)], tmp_path, quick(1), tiny, HABITS, resume=True)
    with pytest.raises(InvalidParameter, match="another shape"):
        train([site], tmp_path, quick(2), replace(tiny, width=16), HABITS)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_encoders_stay_as_stage_1_made_them_unless_they_have_a_rate(site, tiny, tmp_path, rate):
    train([site], tmp_path, quick(1), tiny, HABITS)
    second, _ = train([site], tmp_path, quick(2, encoder_rate=rate), tiny, HABITS)
    begun = torch.load(tmp_path / "stage1.pt", weights_only=True)["best"]
    stayed = [torch.equal(v, begun[n]) for n, v in second.state_dict().items() if n.startswith("encoders.")]
    assert all(stayed) == (rate == 0.0)


def test_stage_3_teaches_the_witness_alone_and_nothing_worse(site, tiny, tmp_path):
    common = ([site], tmp_path)
    train(*common, quick(1), tiny, HABITS)
    base, _ = train(*common, quick(2), tiny, HABITS)
    grown = with_witness(base, "s1", 24)
    taught, record = train(*common, quick(3, 10), grown.config, HABITS, base=grown)
    assert record["validation_score"] <= round(validation_error(base, [site]), 5)
    weights = grown.state_dict()
    changed = {name for name, value in taught.state_dict().items() if not torch.equal(value, weights[name])}
    assert all(name.startswith("fusion.contrasts.") for name in changed)
    assert bool(changed) == (record["best_step"] > 0)


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_a_network_of_one_sensor_never_sees_the_other(site, tiny, tmp_path, sensor, monkeypatch):
    train([site], tmp_path, quick(1), tiny, HABITS)
    shown = []
    real = S1S2Embedding.encode
    monkeypatch.setattr(
        S1S2Embedding,
        "encode",
        lambda self, frames, query: shown.append({*frames}) or real(self, frames, query),
    )
    _, record = train([site], tmp_path, quick(2, sees=(sensor,)), tiny, HABITS)
    assert len(shown) == 4
    assert all(frames == {sensor} for frames in shown)
    assert record["sees"] == (sensor,)


def with_toy(site):
    """The site with a third sensor that alone knows a pattern of stripes."""
    pattern = np.where(np.arange(site.shape[1]) % 4 < 2, 1.0, -1.0)
    values = np.broadcast_to(pattern, (36, 1, *site.shape)).astype(np.float32)
    days = site.observed["s2"].days[0] + np.arange(0, 180, 5, dtype=np.int32)
    toy = Observations(values, np.ones(values.shape, np.bool_), days)
    return replace(site, observed={**site.observed, "toy": toy})


def test_a_third_sensor_is_added_with_the_other_encoders_frozen(site, tiny, tmp_path):
    """Its encoder alone in stage 1, fusion anew in stage 2; the fused code takes up what it alone knows."""
    train([site], tmp_path / "two", quick(1), tiny, HABITS)
    toy = SensorConfig("toy", ("pattern",), (0.0,), (1.0,), (-2.0,), (2.0,), reach_days=30, code=2)
    three, richer = replace(tiny, sensors=(*tiny.sensors, toy)), with_toy(site)
    habits = replace(HABITS, stretch=0.0)
    once = {"validate_every": 1000, "learning_rate": 1e-2, "average": 0.9}
    known = tmp_path / "two" / "stage1.pt"
    train([richer], tmp_path / "three", quick(1, 60, sees=("toy",), **once), three, habits, stage_1=known)
    both = quick(2, 60, sees=("s1", "s2", "toy"), encoder_rate=0.0, **once)
    model, _ = train([richer], tmp_path / "three", both, three, habits)
    begun = torch.load(known, weights_only=True)["best"]
    for name, value in model.state_dict().items():
        if name.startswith(("encoders.s1", "encoders.s2")):
            torch.testing.assert_close(value, begun[name], rtol=0, atol=0)
    days = richer.observed["toy"].days[10:16]
    drawn = Embedder(model).embed(richer.observed, days, ["toy"]).reconstruction["toy"]
    off = drawn - richer.observed["toy"].values[10:16]
    assert np.square(off).mean() < 0.3, "of a variance of 1"


def test_training_improves_on_days_it_never_saw(site, tiny, tmp_path):
    fresh = Run([site], quick(2), tiny, HABITS).begin().average.eval()
    before = validation_error(fresh, [site])
    once = {"validate_every": 1000, "learning_rate": 4e-3}
    train([site], tmp_path, replace(quick(1, 40), **once), tiny, HABITS)
    _, record = train([site], tmp_path, replace(quick(2, 80), **once), tiny, HABITS)
    assert record["validation_score"] < 0.8 * before


def test_a_held_out_frame_is_never_seen(site):
    whole = site.observed["s2"]
    for case in validation_cases([site], half_gaps=[9]):
        assert case.truth.shape[-1] == 11
        away = np.abs(case.seen["s2"].days - case.day)
        assert away.min() > 9
        frame = list(whole.days).index(case.day)
        np.testing.assert_array_equal(case.truth, whole.values[frame][..., :11])


def test_the_line_runs_between_the_nearest_clear_dates(site):
    asked = np.zeros(len(site.observed["s2"].days), bool)
    asked[6] = True
    (case,) = cases(site, asked, asked, 0)
    s2, line = site.observed["s2"], interpolate(case)
    both = s2.valid[5, 0] & s2.valid[7, 0]
    np.testing.assert_allclose(line[:, both], ((s2.values[5] + s2.values[7]) / 2)[:, both], atol=1e-6)


def test_sigma_is_fitted_to_cover_and_grows(site, tiny):
    torch.manual_seed(0)
    embedder = Embedder(S1S2Embedding(tiny))
    table = s1s2_calibration.fit(embedder, [site])["s2"]
    sigma = np.array(table["sigma"])
    assert sigma.shape == (len(s1s2_calibration.KNOTS), 10)
    assert (np.diff(sigma, axis=0) >= 0).all()
    assert (np.array(table["none"]) >= sigma[-1]).all()
    errors = np.random.default_rng(0).normal(0, 0.05, (10, 50_000)).astype(np.float32)
    np.testing.assert_allclose(s1s2_calibration.of_errors(np.abs(errors)), 0.05, rtol=0.05)
    assert s1s2_calibration.of_errors(errors[:, :10]) is None


def test_a_stage_writes_what_can_be_loaded(site, tmp_path):
    schedule = replace(schedule_of(1, 2), validate_every=2)
    assert s1s2_campaign.train_stage([site], tmp_path, schedule, 4) == [tmp_path / "stage1.pt"]
    schedule = replace(schedule_of(2, 2), validate_every=2)
    files = s1s2_campaign.train_stage([site], tmp_path, schedule, 4)
    assert [file.name for file in files] == ["s1s2_embedding.json", "s1s2_embedding.safetensors"]
    loaded = weights.load_embedding(device="cpu", folder=tmp_path)
    found = loaded.embed(site.observed, site.observed["s2"].days[:2], ["s2"])
    assert found.code.shape == (2, 4, 14, 24)
    assert np.isfinite(found.sigma["s2"]).all()


def test_the_schedule_of_each_stage_takes_steps_and_seed():
    assert schedule_of(2) == Schedule()
    first = schedule_of(1, 7, seed=3)
    assert (first.stage, first.steps, first.seed) == (1, 7, 3)


def test_sites_that_cannot_teach_are_refused(site, tiny):
    s2 = site.observed["s2"]
    blind = s2.valid.copy()
    blind[:, 3] = False
    no_band = replace(site, observed=site.observed | {"s2": s2._replace(valid=blind)})
    with pytest.raises(InvalidParameter, match=r"have none of \['B05'\]"):
        config_of([no_band])
    brief = made_up(days=28)
    with pytest.raises(InvalidParameter, match=r"no Sentinel-2 frame .* on validation days"):
        validation_error(S1S2Embedding(tiny), [brief])
