import numpy as np
import torch

from openeo_udf_fusion.training import batches
from openeo_udf_fusion.training.batches import MARGIN_DAYS, draw, query_positions, series_of

EVERYONE = np.arange(28)


def test_a_batch_hides_only_what_the_truth_holds(pairs):
    batch = draw(pairs, 16, np.random.default_rng(3))
    days = pairs.modis.shape[1]
    for sensor, truth in batch.truth.items():
        seen = batch.inputs[sensor]
        assert (truth.valid | ~seen.valid).all()
        assert (seen.values[~seen.valid] == 0).all()
        assert truth.values.shape[1] % batches.BIN_DAYS == 0
        inside = torch.zeros(truth.valid.shape[1], dtype=torch.bool)
        inside[query_positions(days)] = True
        assert not truth.valid[:, ~inside].any()
    assert (batch.first_day % batches.BIN_DAYS == 0).all()


def test_the_first_day_is_that_of_the_grid(pairs):
    truth = series_of(pairs, EVERYONE[:3])
    batch = batches.on_grid(truth, truth, np.array([15_340, 15_344, 15_348]))
    np.testing.assert_array_equal(batch.first_day, np.array([15_340, 15_344, 15_348]) - MARGIN_DAYS)
    np.testing.assert_array_equal(
        batch.truth["modis"].values[:, query_positions(pairs.modis.shape[1])], truth["modis"][0]
    )


def test_the_same_seed_draws_the_same_batch(pairs):
    one, two = (draw(pairs, 4, np.random.default_rng(4)) for _ in range(2))
    torch.testing.assert_close(one.inputs["viirs"].values, two.inputs["viirs"].values)


def test_a_mixture_lies_between_its_places_and_never_joins_products(pairs):
    flat = pairs.take(EVERYONE)
    directional = flat.product == "directional"
    for values, valid in series_of(flat, EVERYONE).values():
        values[...] = np.where(directional[:, None, None], 0.9, 0.1)
        valid[...] = True
    flat = type(flat)(
        **{**vars(flat), "modis": np.where(directional[:, None, None], 0.9, 0.1) + 0 * flat.modis}
    )
    mixed = batches.mix(series_of(flat, EVERYONE), flat, EVERYONE, np.random.default_rng(0))
    values, valid = mixed["modis"]
    np.testing.assert_allclose(values[directional][valid[directional]], 0.9, rtol=1e-6)
    np.testing.assert_allclose(values[~directional][valid[~directional]], 0.1, rtol=1e-6)


def test_a_mixture_is_known_where_both_places_are(pairs):
    series = series_of(pairs, EVERYONE)
    mixed = batches.mix(series, pairs, EVERYONE, np.random.default_rng(1))
    for sensor, (values, valid) in mixed.items():
        assert (series[sensor][1] | ~valid).all()
        changed = np.abs(values - series[sensor][0]).max((1, 2)) > 1e-6
        assert changed.any()


def test_bending_moves_days_of_both_sensors_together(pairs):
    days = pairs.modis.shape[1]
    clock = np.broadcast_to(np.arange(days, dtype=np.float32)[:, None], (5, days, 1))
    series = {"modis": (clock.copy(), clock > -1), "viirs": (clock.copy(), clock > -1)}
    bent = batches.bend(series, np.random.default_rng(2))
    np.testing.assert_array_equal(bent["modis"][0], bent["viirs"][0])
    moved = (bent["modis"][0] - clock + days / 2) % days - days / 2
    assert 0 < np.abs(moved).max() < days / 3


def test_dimming_leaves_the_sensors_ratio(pairs):
    series = series_of(pairs, EVERYONE)
    dimmed = batches.dim(series, np.random.default_rng(3))
    red, red_before = dimmed["modis"][0][..., 0], series["modis"][0][..., 0]
    imagery, imagery_before = dimmed["viirs"][0][..., 0], series["viirs"][0][..., 0]
    both = (red_before > 0) & (imagery_before > 0)
    np.testing.assert_allclose(
        (red / np.where(both, red_before, 1))[both],
        (imagery / np.where(both, imagery_before, 1))[both],
        rtol=1e-4,
    )
