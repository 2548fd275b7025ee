import numpy as np
import pytest

from openeo_udf_fusion.baselines import identity
from openeo_udf_fusion.evaluation import fits, series, translation
from openeo_udf_fusion.evaluation.methods import alike
from openeo_udf_fusion.evaluation.series import Series, to_cube
from openeo_udf_fusion.models.series import Prediction
from openeo_udf_fusion.training.pairs import Pairs

PIXELS, DAYS = 12, 60
KEYS = [f"{pixel:08x}" for pixel in range(PIXELS)]


def make_pairs(factor=1.1):
    """VIIRS is MODIS times a factor (p,) or one for all, band by partner band."""
    rng = np.random.default_rng(0)
    modis = rng.uniform(0.05, 0.5, (PIXELS, DAYS, 7)).astype(np.float32)
    viirs = modis[..., list(identity.partners("viirs"))] * np.reshape(factor, (-1, 1, 1)).astype(np.float32)
    modis_valid = np.repeat(rng.random((PIXELS, DAYS, 1)) < 0.8, 7, axis=2)
    viirs_valid = np.repeat(rng.random((PIXELS, DAYS, 1)) < 0.8, 8, axis=2)
    known = np.full(PIXELS, np.nan, np.float32)
    text, day = np.full(PIXELS, ""), np.full(PIXELS, 15_340, np.int32)
    pixel = np.arange(PIXELS)
    return Pairs(pixel, text, text, day, known, known, text, modis, modis_valid, viirs, viirs_valid)


@pytest.fixture
def scored() -> Series:
    sample = make_pairs()
    names = np.array(KEYS)
    return Series(sample.modis, sample.modis_valid, names, np.full(PIXELS, ""), np.arange(PIXELS))


class Oracle:
    """Knows the truth of both sensors."""

    def __init__(self, sample):
        self.truth = {"modis": sample.modis, "viirs": sample.viirs}

    def __call__(self, observed, query_days, target):
        assert target not in observed
        mean = to_cube(self.truth[target])
        return Prediction(mean, np.full_like(mean, 0.01), mean[None, :0])


def test_only_days_that_both_saw_are_scored(scored):
    sample = make_pairs()
    cells = translation.translate(sample, {"as it is": alike(identity.predict, PIXELS)}, "modis", scored.days)
    both = sample.modis_valid & sample.viirs_valid.any(axis=-1, keepdims=True)
    assert len(cells) == both.sum()
    np.testing.assert_allclose(cells.mean["as it is"], 1.1 * cells.truth, rtol=1e-5)


def test_an_oracle_beats_everything_by_its_whole_error(scored):
    sample = make_pairs(np.linspace(0.9, 1.2, PIXELS))
    methods = {
        target: {**each, "satfusenet": alike(Oracle(sample), PIXELS)}
        for target, each in fits.fit(sample, scored, 3, 1).items()
    }
    found = translation.evaluate({"NOAA-20": sample}, methods, scored.days, 200, lambda _: None)
    of_oracle = [row for row in found.rows if row["method"] == "satfusenet"]
    assert len(of_oracle) == 15
    assert all(row["rmse"] == 0 and row["nse"] == 1 for row in of_oracle)
    assert all(row["ratio"] == 0 for row in found.ratios)
    assert {row["baseline"] for row in found.nse_differences} == {"identity", "band_linear", "ridge", "mlp"}
    assert all(row["low"] > 0 for row in found.nse_differences)


def test_no_pixel_is_scored_with_a_fit_that_saw_it(scored):
    strange = 4
    factor = np.full(PIXELS, 1.1)
    factor[strange] = 3.0
    methods = fits.fit(make_pairs(factor), scored, 3, 1)["viirs"]
    slopes = [predict.__self__.slope for predict in methods["band_linear"].predict]
    own = methods["band_linear"].chosen[strange]
    np.testing.assert_allclose(slopes[own], 1.1, rtol=1e-3)
    for other in set(range(3)) - {own}:
        assert (np.abs(slopes[other] - 1.1) > 0.01).all()


def test_held_out_pairs_are_in_the_order_of_the_series(shared_data):
    some = series.read(shared_data).take([200, 3, 77])
    found = translation.held_out_pairs(shared_data, some, "nbar")
    assert list(found) == ["NOAA-20", "NOAA-21"]
    for platform, sample in found.items():
        assert set(sample.platform) == {platform}
        np.testing.assert_array_equal(sample.pixel, [200, 3, 77])
        np.testing.assert_array_equal(sample.modis, some.values)
