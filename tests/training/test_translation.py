import numpy as np
import torch

from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import OTHER, Config, SatFuseNet
from openeo_udf_fusion.training.batches import draw
from openeo_udf_fusion.training.translation import ALIKE, fit_translations, halves


def test_calibration_recovers_a_linear_translation(pairs, tiny):
    model = SatFuseNet(tiny)
    fit_translations(model, pairs)
    truth = draw(pairs, 16, np.random.default_rng(0), vary=False).truth
    for target, other in OTHER.items():
        moved: Grid = model.merge_into(target).translate(truth[other])
        both = moved.valid & truth[target].valid
        off = torch.where(both, (moved.values - truth[target].values).abs(), 0).amax((0, 1))
        for name, error in zip(tiny.bands(target), off, strict=True):
            assert (float(error) < 0.005) is (name not in ALIKE[target])


def test_bands_that_are_alike_stay_as_they_are(pairs, tiny):
    rng = np.random.default_rng(1)
    alike = pairs.modis[..., list(Config().viirs_partner)]
    noise = (0.002 * rng.normal(size=(*alike.shape[:2], 1))).astype(np.float32)
    pairs.viirs[...] = np.where(pairs.viirs_valid, alike + noise, 0)
    model = SatFuseNet(tiny)
    fit_translations(model, pairs)
    for target, source in OTHER.items():
        translation = model.merge_into(target).translate
        expected = np.eye(len(tiny.bands(source)))[translation.partner]
        np.testing.assert_array_equal(translation.weight.numpy(), expected)
        assert not translation.bias.any()


def test_samples_of_one_place_are_judged_by_its_others(pairs):
    half = halves(pairs)
    np.testing.assert_array_equal(half, np.arange(len(pairs)) % 2 == 1)


def test_places_with_one_sample_take_turns(pairs):
    single = pairs.take(np.arange(0, len(pairs), 2))
    np.testing.assert_array_equal(halves(single), single.pixel % 2 == 0)
