import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation.comparators import dsen2 as stored_dsen2
from openeo_udf_fusion.evaluation.comparators import utilise as stored_utilise
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import comparators, dsen2, utilise
from openeo_udf_fusion.training.tamrf_sites import BELGIUM, HELD_OUT, Site, is_held_out, is_validation

SMALL = {
    "dsen2": (dsen2, replace(dsen2.SHAPE, features=4, blocks=1), dsen2.Habits(size_px=8, batch=2)),
    "utilise": (
        utilise,
        replace(utilise.SHAPE, widths=(4, 8), block_days=30, support_days=30),
        utilise.Habits(size_px=8, most_dates=6),
    ),
}
STORED = {"dsen2": stored_dsen2, "utilise": stored_utilise}
SCHEDULE = comparators.Schedule(steps=4, learning_rate=1e-3, warmup_steps=2, validate_every=2)


@pytest.fixture(params=SMALL)
def name(request):
    return request.param


def a_site(size=12, hidden_level=0.0, seed=0):
    """The Belgian site's name and a date every eight days; `hidden_level` is added to what is held out."""
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64("2017-09-01"), np.datetime64("2018-11-01"), 8).astype(np.int32)
    values = 0.1 + 0.2 * rng.random((len(days), 10, size, size), np.float32)
    seen = Observations(values, np.ones(values.shape, bool), days)
    site = Site(BELGIUM, {"s2": seen}, {"s2": rng.random((len(days), size, size)) < 0.95})
    values[is_held_out(site, "s2")] += hidden_level
    return site


def trained(name, folder, site=None, schedule=SCHEDULE, **options):
    module, config, habits = SMALL[name]
    torch.set_num_threads(1)
    return module.train([site or a_site()], folder, schedule, config, habits, **options)


def weights_of(card):
    return card.with_suffix(".safetensors").read_bytes()


def test_what_is_written_can_be_read_and_predicts(name, tmp_path):
    card = trained(name, tmp_path)
    assert card == tmp_path / f"{name}.json"
    observed = a_site().observed
    found = STORED[name].predict(observed, observed["s2"].days[3:5], folder=tmp_path).mean
    assert found.shape == (2, 10, 12, 12)
    assert np.isfinite(found).all()


def test_the_card_tells_how_to_train_again(name, tmp_path):
    trained(name, tmp_path)
    card = cards.read(name, tmp_path)
    assert f"--network {name}" in card.training["command"]
    assert "--steps 4 --learning-rate 0.001 --seed 2018" in card.training["command"]
    assert card.training["held_out"][BELGIUM] == [list(block) for block in HELD_OUT]
    assert card.bands["s2"][0] == "B02"
    row = card.skill["held_out"][0]
    errors = next(value for key, value in row.items() if key.startswith("rmse"))
    assert row["dates"] > 0
    assert all(0 < error < 1 for table in errors.values() for error in table.values())


def test_what_is_held_out_has_no_say(name, tmp_path):
    one = trained(name, tmp_path / "one")
    other = trained(name, tmp_path / "other", a_site(hidden_level=0.3))
    assert weights_of(one) == weights_of(other)
    assert weights_of(one) != weights_of(trained(name, tmp_path / "third", a_site(seed=1)))


def test_a_training_goes_on_where_it_stopped(name, tmp_path, monkeypatch):
    whole = trained(name, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(comparators, "one_step", stopping_after(2))
        with pytest.raises(KeyboardInterrupt):
            trained(name, tmp_path / "part")
    assert not (tmp_path / "part" / f"{name}.json").exists()
    assert weights_of(trained(name, tmp_path / "part", resume=True)) == weights_of(whole)


def stopping_after(steps):
    going_on = comparators.one_step

    def one_step(state, task, schedule):
        if state.step == steps:
            raise KeyboardInterrupt
        going_on(state, task, schedule)

    return one_step


def test_another_trainings_checkpoint_is_refused(name, tmp_path):
    trained(name, tmp_path)
    with pytest.raises(InvalidParameter, match="other settings"):
        trained(name, tmp_path, schedule=replace(SCHEDULE, steps=5), resume=True)
    with pytest.raises(InvalidParameter, match="other sites"):
        trained(name, tmp_path, a_site(seed=1), resume=True)


def test_a_band_never_seen_is_named(name, tmp_path):
    site = a_site()
    site.observed["s2"].valid[:, 3] = False
    with pytest.raises(InvalidParameter, match="clear values of B05"):
        trained(name, tmp_path, site)


def test_sites_without_validation_dates_are_refused(name, tmp_path):
    site = replace(a_site(), name="elsewhere")
    site = site.on({"s2": ~is_validation(site, "s2")})
    with pytest.raises(InvalidParameter, match="elsewhere"):
        trained(name, tmp_path, site)


@pytest.mark.parametrize(("level", "words"), [(np.inf, "lower learning rate"), (0.0, "show nothing")])
def test_a_score_that_is_no_number_ends_a_training(tmp_path, level, words):
    model = torch.nn.Linear(2, 1)
    task = comparators.Task(
        "some",
        [a_site()],
        {},
        {},
        lambda network, rng: network(torch.ones(1, 2)).square().sum() + level * network.bias.sum(),
        lambda network: np.nan,
    )
    with pytest.raises(InvalidParameter, match=f"some scores nan .* after 2 steps.*{words}"):
        comparators.run(model, task, SCHEDULE, tmp_path, resume=False)
    assert not list(tmp_path.iterdir())


def test_large_sites_are_read_in_squares():
    class OnDisk:
        shape = (500, 490)

        def __init__(self):
            self.asked = []

        def crop(self, top, left, size):
            self.asked.append((top, left, size))
            return a_site(size)

    site, small = OnDisk(), a_site()
    found = comparators.in_memory([site, small], seed=1)
    assert found[-1] is small
    assert len(found) == comparators.SQUARES + 1
    for top, left, size in site.asked:
        assert size == comparators.SQUARE_PX
        assert top % 6 == left % 6 == 0
        assert 0 <= top <= 500 - size
        assert 0 <= left <= 490 - size


def test_centre_and_spread_are_of_clear_pixels_alone():
    site = a_site()
    values = site.observed["s2"].values
    values[~np.broadcast_to(site.clear["s2"][:, None], values.shape)] = 9
    centre, spread = comparators.centre_and_spread([site])
    np.testing.assert_allclose(centre, 0.2, atol=0.03)
    assert max(spread) < 0.1


# --- DSen2


def test_bands_of_20_m_are_found_again_below_their_interpolation():
    rng = np.random.default_rng(2)
    native = rng.random((2, 3, 8, 9), np.float32)
    fine = np.stack([dsen2.doubled(band) for band in native.swapaxes(0, 1)], 1)
    np.testing.assert_allclose(dsen2.native(fine), native, atol=2e-3)
    assert np.abs(dsen2.cell_means(fine) - native).max() > 0.05


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_pairs_are_made_where_the_sites_20_m_pixels_are(corner):
    rng = np.random.default_rng(3)
    native = rng.random((2, 10, 8, 8), np.float32)
    fine = np.stack([dsen2.doubled(band) for band in native.swapaxes(0, 1)], 1)
    top, left = corner
    values = fine[:, :, top:, left:]
    seen = Observations(values, np.ones(values.shape, bool), np.array([1, 2], np.int32))
    site = Site("s", {"s2": seen}, {"s2": np.ones((2, *values.shape[2:]), bool)}, corner)
    made = dsen2.pairs(site, np.array([False, True]), dsen2.SHAPE)
    coarse = dsen2.SHAPE.places_of_coarse
    truth = native[1:, coarse, top:, left:][..., : made.truth.shape[2], : made.truth.shape[3]]
    inside = np.s_[..., 3:-3, 3:-3]
    np.testing.assert_allclose(made.truth[inside], truth[inside], atol=0.03)
    assert made.inputs.shape == (1, 10, *made.truth.shape[2:])


def test_pairs_leave_out_clouds_and_what_is_missing():
    site = a_site(16)
    site.clear["s2"][:] = True
    site.clear["s2"][0, 4, 5] = False
    site.observed["s2"].valid[1, 3] = False  # a band
    made = dsen2.pairs(site, np.arange(len(site.clear["s2"])) < 2, dsen2.SHAPE)
    coarse = dsen2.SHAPE.places_of_coarse
    assert np.isnan(made.truth[0, :, 2, 2]).all()
    assert np.isfinite(made.truth[0]).all(0).sum() == 63
    assert np.isnan(made.truth[1, coarse.index(3)]).all()
    assert np.isfinite(np.delete(made.truth[1], coarse.index(3), 0)).all()


def test_what_stands_in_a_gap_is_not_learned():
    site = a_site(96)
    site.clear["s2"][:] = True
    site.observed["s2"].valid[0, :, 44:52, 44:52] = False
    first = np.arange(len(site.clear["s2"])) == 0
    made = []
    for filler in (0.0, 1.0):
        site.observed["s2"].values[0, :, 44:52, 44:52] = filler
        made.append(dsen2.pairs(site, first, dsen2.SHAPE))
    for one, other in zip(*made, strict=True):
        assert np.isfinite(one).any()
        np.testing.assert_allclose(one, other, atol=1e-4)  # an interpolation undone looks far


def test_an_image_as_good_as_its_interpolation_scores_the_same():
    _, config, _ = SMALL["dsen2"]
    model = dsen2.DSen2(config)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    site = a_site(16)
    watched = dsen2.usable(dsen2.pairs(site, np.arange(len(site.clear["s2"])) < 3, config), dsen2.Habits())
    own, interpolated = dsen2.errors(model, watched)
    np.testing.assert_allclose(own, interpolated, rtol=1e-4)


# --- U-TILISE


def sample(seed=0, **options):
    _, config, habits = SMALL["utilise"]
    site = a_site()
    watched = np.zeros(len(site.clear["s2"]), bool)
    watched[::5] = True
    series = utilise.series_of(site, watched)
    rng = np.random.default_rng(seed)
    return utilise.draw([series], config, replace(habits, **options), rng), series, config


@pytest.mark.parametrize("seed", range(8))
def test_what_is_hidden_is_not_in_a_sample(seed):
    drawn, _, config = sample(seed, borrowed=1.0)
    days, queries = drawn.days.numpy(), drawn.queries.numpy()
    assert (np.diff(days) > 0).all()
    assert 0 <= days.min() <= days.max() < config.block_days + 2 * config.support_days
    empty = ~drawn.valid.numpy().any((1, 2, 3))
    assert empty[queries].any()
    assert set(np.flatnonzero(empty)) <= set(queries)
    assert not (drawn.valid.numpy()[queries] & np.isnan(drawn.truth.numpy())).any()


@pytest.mark.parametrize("seed", range(4))
def test_validation_dates_are_no_targets(seed):
    drawn, series, _ = sample(seed)
    watched = series.images[series.watched]
    for image in drawn.truth.numpy():
        known = image[np.isfinite(image)]
        assert not any(np.isin(known, other).all() for other in watched)


def test_the_loss_is_the_mean_error_in_spreads():
    _, config, _ = SMALL["utilise"]
    config = replace(config, spread=(0.5,) * 10)
    drawn, _, _ = sample()

    class Off(torch.nn.Module):
        def forward(self, images, valid, days, queries):
            return drawn.truth.nan_to_num(7.0) + 0.1

    assert float(utilise.loss(Off(), drawn, config)) == pytest.approx(0.2, rel=1e-3)


def test_watched_dates_are_hidden_when_they_are_scored():
    _, config, _ = SMALL["utilise"]
    torch.manual_seed(0)
    model = utilise.Utilise(config).eval()
    site = a_site()
    watched = np.zeros(len(site.clear["s2"]), bool)
    watched[[5, 9]] = True
    found = utilise.errors(model, utilise.series_of(site, watched))
    site.observed["s2"].values[watched] += 0.5  # the truth alone moves: the answers do not
    moved = utilise.errors(model, utilise.series_of(site, watched))
    assert (moved[1] > found[1] + 0.3).all()
    assert json.dumps(comparators.bands_table(found[0], config.bands)).count("B") == 10
