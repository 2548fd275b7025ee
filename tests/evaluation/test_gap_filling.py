import numpy as np
import pytest

from openeo_udf_fusion.evaluation import gap_filling, series
from openeo_udf_fusion.evaluation.gap_filling import VIIRS_MISSED, VIIRS_SAW, Companion
from openeo_udf_fusion.evaluation.methods import alike
from openeo_udf_fusion.models.series import Prediction


class Spy:
    """Answers with zeros, and keeps what it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, observed, query_days, target):
        self.given.append(observed)
        zeros = np.zeros((len(query_days), *observed[target].values.shape[1:]), np.float32)
        return Prediction(zeros, zeros + 1, zeros[None, :0])


@pytest.fixture(scope="module")
def found(folder):
    return series.read(folder)


def test_what_is_scored_is_hidden_from_every_method(found):
    spy = Spy()
    cells = gap_filling.fill(found, {"spy": alike(spy, len(found))}, 20, 4, 1)
    (given,) = spy.given
    truth = np.repeat(found.valid[:-1], 4, axis=0).transpose(1, 2, 0)[:, :, None]
    hidden = truth & ~given["modis"].valid
    assert len(cells) == hidden.sum() > 1000
    assert (hidden.any(axis=(1, 2)).sum(axis=0) <= 20).all()
    np.testing.assert_allclose(cells.truth, given["modis"].values[hidden])


def test_cells_know_their_pixel_and_band(found):
    cells = gap_filling.fill(found, {"spy": alike(Spy(), len(found))}, 10, 3, 1)
    for pixel, band in ((0, 3), (7, 6)):
        own = (cells.pixel == pixel) & (cells.band == band)
        assert np.isin(cells.truth[own], found.values[pixel, :, band][found.valid[pixel, :, band]]).all()
    assert 11 not in cells.pixel  # it was never observed


def test_small_parts_give_the_same_cells_as_one_large(found, monkeypatch):
    whole = gap_filling.fill(found, {"spy": alike(Spy(), len(found))}, 10, 3, 1)
    monkeypatch.setattr(gap_filling, "COPIES", 7)
    parts = gap_filling.fill(found, {"spy": alike(Spy(), len(found))}, 10, 3, 1)
    one, other = (np.lexsort((c.truth, c.band, c.pixel)) for c in (whole, parts))
    np.testing.assert_array_equal(whole.truth[one], parts.truth[other])
    np.testing.assert_array_equal(whole.group[one], parts.group[other])


def test_viirs_is_not_hidden(found):
    values = np.full((*found.values.shape[:2], 8), 0.2, np.float32)
    valid = np.zeros(values.shape, bool)
    valid[:, ::2] = True
    spy = Spy()
    cells = gap_filling.fill(found, {"spy": alike(spy, len(found))}, 10, 2, 1, Companion(values, valid))
    assert spy.given[0]["viirs"].valid[::2].all()
    assert set(np.unique(cells.group)) == {VIIRS_SAW, VIIRS_MISSED}
