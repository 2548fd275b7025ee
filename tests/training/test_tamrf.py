import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models import cards, tamrf
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.tamrf_attention import time_code
from openeo_udf_fusion.training import tamrf as training
from openeo_udf_fusion.training import (
    tamrf_campaign,
    tamrf_losses,
    tamrf_start,
    tamrf_steps,
    tamrf_validation,
)
from openeo_udf_fusion.training.tamrf_ls2s2 import read_ls2s2
from openeo_udf_fusion.training.tamrf_patches import Habits, draw_patch
from openeo_udf_fusion.training.tamrf_sites import (
    BELGIUM,
    HELD_OUT,
    is_held_out,
    is_validation,
    read_belgium,
    within,
)
from openeo_udf_fusion.training.tamrf_start import Schedule

from .tamrf import made_up
from .test_tamrf_sites import write_ls2s2

TINY = tamrf.Config(
    features=8,
    growth=4,
    dense_blocks=1,
    time_code=16,
    layers=1,
    heads=2,
    mlp=16,
    clear_only=True,
    anchored=True,
    compared=True,
    carried=True,
)
HABITS = Habits(size_px=12, most_s2=12, most_l8=6, queries=4)
QUICK = Schedule(steps=4, warmup_steps=2, validate_every=2, sharpening_steps=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(training, "CONFIGS", {"small": TINY})
    monkeypatch.setattr(training, "HABITS", {"small": HABITS})


@pytest.fixture(scope="module")
def site():
    return made_up(days=240, size=12)


def belgium():
    """A made-up site that goes by the name of the one of which something is held out."""
    return made_up(BELGIUM, days=360, size=12, start=17_560)


def same(one, other):
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# --- a run


def test_a_resumed_training_ends_as_an_uninterrupted_one(site, tmp_path, monkeypatch):
    whole, told = training.train([site], tmp_path / "whole", QUICK)

    class Stopped(Exception):
        pass

    def stop(step, score):
        if step == 2:
            monkeypatch.setattr(training, "one_step", interrupted)

    def interrupted(*args):
        raise Stopped

    with monkeypatch.context() as patched:
        real = training.one_step
        with pytest.raises(Stopped):
            training.train([site], tmp_path / "parts", QUICK, told=stop)
        patched.setattr(training, "one_step", real)
        resumed, retold = training.train([site], tmp_path / "parts", QUICK, resume=True)
    same(whole, resumed)
    assert told == retold


def test_the_same_seed_gives_the_same_network_and_another_another(site, tmp_path):
    one, two, other = (
        training.train([site], tmp_path / name, replace(QUICK, seed=seed))[0]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    same(one, two)
    with pytest.raises(AssertionError):
        same(one, other)


@pytest.mark.parametrize(
    ("change", "words"), [({"seed": 3}, "other settings"), ({"learning_rate": 1e-4}, "other settings")]
)
def test_a_checkpoint_of_other_settings_is_refused(site, tmp_path, change, words):
    training.train([site], tmp_path, QUICK)
    with pytest.raises(InvalidParameter, match=words):
        training.train([site], tmp_path, replace(QUICK, **change), resume=True)


def test_a_checkpoint_of_other_sites_is_refused(site, tmp_path):
    training.train([site], tmp_path, QUICK)
    with pytest.raises(InvalidParameter, match="other sites"):
        training.train([made_up(days=240, size=12, seed=1)], tmp_path, QUICK, resume=True)


def test_training_sees_neither_held_out_nor_validation_dates():
    whole = belgium()
    run = training.run_of([whole], QUICK, None)
    for sensor in ("l8", "s2"):
        days = run.sites[0].days(sensor)
        assert not is_validation(run.sites[0], sensor).any()
        assert not within(days, HELD_OUT).any()
        assert len(days) < len(whole.days(sensor)) - is_held_out(whole, sensor).sum()
    for trial in run.trials:
        assert not any(within(o.days, HELD_OUT).any() for o in trial.given.values())
        assert not within(trial.days, HELD_OUT).any()


def test_of_sites_on_disk_the_last_chooses_the_weights(tmp_path):
    for name in ("a", "b"):
        write_ls2s2(tmp_path / name)
    own, watched = training.parted(read_ls2s2(tmp_path))
    assert [each.name for each in own] == ["a"]
    assert [(each.name, each.shape) for each in watched] == [("b", (12, 12))]
    assert training.parted(read_ls2s2(tmp_path / "a"))[1] == []


# --- the start


def test_an_untrained_network_interpolates_and_ignores_bands_no_site_has(site, monkeypatch):
    monkeypatch.setattr(training, "CONFIGS", {"small": replace(TINY, carried=False)})
    run = training.run_of([site], QUICK, None)
    model = training.started(run, "cpu").model
    fuser = Fuser(model, training.SUPPORT_DAYS)
    assert tamrf_validation.score(tamrf_validation.errors(fuser, run.trials), run.trials) == pytest.approx(1)
    torch.nn.init.normal_(model.decoder[-1].weight, std=0.1)
    tamrf_start.silence(model, "lr", np.arange(8) == 0)
    series = {
        "lr": torch.rand(3, 8, 4, 4),
        "lr_days": torch.tensor([0, 9, 30]),
        "query_days": torch.tensor([4, 9]),
    }
    other = {**series, "lr": series["lr"].clone()}
    other["lr"][:, 0] += 1
    one, two = (tamrf.predict(model, **each) for each in (series, other))
    torch.testing.assert_close(one[1], two[1])
    torch.testing.assert_close(one[0][:, 1:], two[0][:, 1:])
    torch.testing.assert_close(one[0][:, 0] + 1, two[0][:, 0])


def test_statistics_are_those_of_clear_pixels(site):
    found = tamrf_start.statistics([site], np.random.default_rng(0))
    o, clear = site.observed["s2"], site.clear["s2"]
    np.testing.assert_allclose(found["s2"].mean[4], o.values[:, 4][clear].mean(), rtol=1e-5)
    np.testing.assert_allclose(found["s2"].std[4], o.values[:, 4][clear].std(), rtol=1e-4)
    assert found["l8"].seen.tolist() == [False] + [True] * 7
    assert found["l8"].mean[0] == found["l8"].mean[1]
    assert 0.28 < found["l8"].mean[7] < 0.33


def test_a_band_without_values_or_neighbour_is_refused(site):
    blind = replace(site, clear=site.clear | {"s2": np.zeros_like(site.clear["s2"])})
    with pytest.raises(InvalidParameter, match="s2_B02"):
        tamrf_start.statistics([blind], np.random.default_rng(0))


def test_attention_begins_as_kernels_in_time_of_several_widths():
    torch.manual_seed(0)
    model = tamrf.Tamrf(tamrf_start.CONFIGS["small"])
    config, attention = model.config, model.cross.attention
    tamrf_start.look_nearby(attention, config)
    attention.project.bias.data.zero_()
    days = torch.tensor([100, 103, 130])
    codes = torch.zeros(3, config.width)
    codes[:, config.features : config.features + config.time_code] = time_code(days, config.time_code)
    asked, offered = attention.asked(codes[:1]), attention.offered(codes)[:, : config.width]
    heads = (asked * offered).reshape(3, config.heads, -1).sum(-1)
    assert (heads[0] > heads[1]).all()
    assert (heads[1] > heads[2]).all()
    fall = heads[0] - heads[1]
    assert (fall[:-1] > fall[1:]).all()


# --- a step


def test_steps_lead_downhill(site):
    run = training.run_of([site], replace(QUICK, learning_rate=3e-3), None)
    state = training.started(run, "cpu")
    torch.manual_seed(0)
    patch = draw_patch(run.sites, run.habits, np.random.default_rng(3))
    losses = []
    for _ in range(12):
        loss = tamrf_steps.loss_of(state.model, patch, run.schedule, None)
        losses.append(loss.item())
        state.update(loss, 0.9)
    assert losses[-1] < 0.9 * losses[0]


def test_surface_temperature_teaches_on_given_dates_alone(site):
    run = training.run_of([site], QUICK, None)
    model = training.started(run, "cpu").model
    torch.nn.init.normal_(model.decoder[-1].weight, std=0.1)
    bias = model.decoder[-1].bias
    taught = {True: [], False: []}
    for seed in range(30):
        patch = draw_patch(run.sites, run.habits, np.random.default_rng(seed))
        if "l8" not in patch.targets or not patch.targets["l8"].valid.any():
            continue
        bias.grad = None
        tamrf_steps.loss_of(model, patch, run.schedule, None).backward()
        given = ~patch.hidden["l8"] & (patch.targets["l8"].valid[:, 7].mean((1, 2)) >= 0.5)
        taught[bool(given.any())].append(float(bias.grad[7]))
    assert all(taught[True])
    assert taught[False]
    assert not any(taught[False])


def test_a_cloud_costs_something_where_it_is_asked_for(site):
    model = training.started(training.run_of([site], QUICK, None), "cpu").model
    habits, costs = replace(HABITS, clear_only=False, queries=20), {True: [], False: []}
    for seed in range(12):
        patch = draw_patch([site], habits, np.random.default_rng(seed))
        if "s2" in patch.targets:
            values = tamrf_steps.in_units(patch.targets["s2"].values, "s2", torch.device("cpu"))
            truth = model.standardised(values, "hr")
            for wanted, found in costs.items():
                found.append(float(tamrf_steps.cloud_loss(patch, "s2", truth, truth, wanted)))
    assert max(costs[True]) > 0
    assert max(costs[False]) == 0


def test_the_loss_of_detail_reaches_coarse_bands(site):
    class Difference(torch.nn.Module):
        def forward(self, one, other):
            return (one - other).abs().mean()

    model = training.started(training.run_of([site], QUICK, None), "cpu").model
    made = {
        "l8": torch.randn(2, 8, 12, 12, requires_grad=True),
        "s2": torch.randn(2, 10, 12, 12, requires_grad=True),
    }
    tamrf_steps.detail_loss(model, made, Difference()).backward()
    assert (made["l8"].grad.abs().sum((0, 2, 3)) > 0).all()
    coarse = [band for band in range(10) if band not in tamrf_losses.REFERENCES]
    assert (made["s2"].grad.abs().sum((0, 2, 3))[coarse] > 0).all()


# --- to files


def test_a_training_writes_weights_with_a_card_that_says_how(tmp_path):
    card = tamrf_campaign.train_network([belgium(), made_up("other", 240, 12, seed=1)], tmp_path, QUICK)
    read = cards.read("tamrf", tmp_path)
    assert read.untrained == {"l8": ("B1",)}
    assert read.support_days == training.SUPPORT_DAYS
    assert read.training["command"].startswith(
        "openeo-udf-fusion train tamrf --data DIR --out OUT --size small"
    )
    assert "off" in read.training["loss_of_detail"]
    held_out = read.skill["held_out"]
    assert {name.split(", ")[1] for name in held_out["trials"]} == {"gap", "no s2", "no l8"}
    assert "rmse_of_sen2like" in held_out["beside_sen2like"]
    content = json.loads(card.read_text())
    assert content["properties"]["mlm:hyperparameters"]["compared"]
    model = tamrf.load(card.with_suffix(".safetensors"))
    assert model.config == replace(TINY, detailed=True)
    assert read.training["sharpening"]["steps"] == 2
    assert read.skill["sharpening_held_out"][0]["site"] == BELGIUM


def test_sharpening_is_learned_last_and_leaves_all_else_as_it_is(tmp_path):
    sites = [belgium(), made_up("other", 240, 12, seed=1)]
    before, _ = training.train(sites, tmp_path / "bare", QUICK)
    both = tamrf_campaign.train_network(sites, tmp_path / "both", QUICK)
    again = tamrf_campaign.train_sharpening(both.parent, sites, tmp_path / "again", QUICK)
    one, other = (tamrf.load(card.with_suffix(".safetensors")) for card in (both, again))
    same(one, other)
    kept = {name: value for name, value in one.state_dict().items() if not name.startswith("detail.")}
    assert kept.keys() == before.state_dict().keys()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(kept[name], value, rtol=0, atol=0)
    assert cards.read("tamrf", again.parent).training == cards.read("tamrf", both.parent).training


def test_without_held_out_dates_the_card_says_so(tmp_path, site):
    model = training.started(training.run_of([site], QUICK, None), "cpu").model
    assert "nothing was held out" in tamrf_campaign.held_out_skill(model, [site])["note"]


def test_both_sensors_of_a_gap_are_told_by_one_prediction(site):
    trials = tamrf_validation.trials([site], is_validation)
    assert [trial.name.split(", ")[1:] for trial in trials] == [
        ["gap", "l8"],
        ["gap", "s2"],
        ["no s2", "s2"],
        ["no l8", "l8"],
    ]

    class Counted:
        asked = 0

        def fuse(self, given, days, first, sensors):
            self.asked += 1
            return {s: np.zeros((len(days), 8 if s == "l8" else 10, 12, 12), np.float32) for s in sensors}

    counted = Counted()
    found = tamrf_validation.errors(counted, trials)
    assert counted.asked == 3
    for error, trial in zip(found, trials, strict=True):
        squares = [(trial.truth[:, b][trial.known[:, b]] ** 2).mean() for b in range(1, len(error))]
        np.testing.assert_allclose(error[1:], np.sqrt(squares), rtol=1e-5)


# --- what is shipped


def test_the_shipped_card_says_how_its_weights_were_trained():
    card, shipped = cards.read("tamrf"), Schedule()
    for option in (f"--steps {shipped.steps} ", f"--learning-rate {shipped.learning_rate:g} "):
        assert option in card.training["command"]
    assert card.training["held_out"]["dates"] == [list(interval) for interval in HELD_OUT]
    assert card.untrained == {"l8": ("B1",)}
    assert card.training["validation"]["score"] < 1


@pytest.mark.slow
def test_the_shipped_card_quotes_what_is_measured(shared_data):
    model = tamrf.load(cards.FOLDER / "tamrf.safetensors")
    measured = tamrf_campaign.held_out_skill(model, [read_belgium(shared_data / BELGIUM)])
    quoted = cards.read("tamrf").skill["held_out"]
    assert measured["held_out"]["score"] == pytest.approx(quoted["score"], abs=0.002)
    for name, trial in measured["held_out"]["trials"].items():
        assert trial["rmse"] == pytest.approx(quoted["trials"][name]["rmse"], rel=0.02)
    beside = quoted["beside_sen2like"]
    assert all(beside["rmse"][band] < beside["rmse_of_sen2like"][band] for band in beside["rmse"])
