import hashlib

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation import series
from openeo_udf_fusion.evaluation.series import SNOW, SNOW_FREE, UNKNOWN


def test_any_file_name_is_read_with_scale_fill_and_fingerprint(folder, stored):
    found = series.read(folder)
    np.testing.assert_allclose(
        found.values[0][found.valid[0]], stored[0][stored[0] != -32768] * 1e-4, rtol=1e-6
    )
    assert not found.valid[-1].any()
    assert found.fingerprints[3] == hashlib.sha256(stored[3].tobytes()).hexdigest()[:8]
    assert found.land_cover[0] == "forest"


def test_the_same_pixel_in_two_files_counts_once(folder, stored, tmp_path):
    (tmp_path / "nbar_series").mkdir()
    for name in ("a", "b"):
        np.savez(tmp_path / "nbar_series" / f"{name}.npz", refl=stored[:5], scale=1e-4, fill=-32768)
    found = series.read(tmp_path)
    assert len(found) == 5
    assert (found.row == range(5)).all()


def save(folder, refl, name="a", **more):
    (folder / "nbar_series").mkdir(exist_ok=True)
    np.savez(folder / "nbar_series" / f"{name}.npz", refl=refl, scale=1e-4, fill=-32768, **more)


def test_the_days_are_those_of_the_file(stored, tmp_path):
    dates = np.arange("2019-06-01", "2019-10-09", dtype="datetime64[D]")
    save(tmp_path, stored[:5], dates=dates)
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.days, dates.astype(int))
    np.testing.assert_array_equal(found.take(np.array([1])).days, found.days)


def test_a_file_without_dates_is_of_2012(folder):
    assert series.read(folder).days[0] == np.datetime64("2012-01-01").astype(int)


@pytest.mark.parametrize("dates", [np.arange(129), np.arange(130) * 8])
def test_dates_that_are_not_consecutive_days_are_refused(stored, tmp_path, dates):
    save(tmp_path, stored[:5], dates=dates.astype("datetime64[D]"))
    with pytest.raises(InvalidParameter, match=r"consecutive days.*130"):
        series.read(tmp_path)


def test_series_of_different_years_are_refused(stored, tmp_path):
    for name, start in (("a", 0), ("b", 365)):
        save(tmp_path, stored[:5], name, dates=np.arange(start, start + 130).astype("datetime64[D]"))
    with pytest.raises(InvalidParameter, match=r"1970-01-01, 1971-01-01"):
        series.read(tmp_path)


def test_the_pixels_of_trials_are_told_by_the_fingerprints_of_all(shared_data, folder):
    whole = series.read(shared_data)
    tried = np.random.default_rng(43).permutation(300)[:60]
    np.testing.assert_array_equal(np.flatnonzero(~series.untouched(whole)), np.sort(tried))
    assert series.untouched(whole.take(np.arange(299))) is None
    assert series.untouched(series.read(folder)) is None


def test_series_of_different_lengths_are_refused(stored, tmp_path):
    (tmp_path / "nbar_series").mkdir()
    for name, days in (("a", 130), ("b", 100)):
        np.savez(tmp_path / "nbar_series" / f"{name}.npz", refl=stored[:, :days], scale=1e-4, fill=-32768)
    with pytest.raises(InvalidParameter, match=r"equally long.*100.*130"):
        series.read(tmp_path)


@pytest.mark.parametrize(
    ("b2", "b4", "b6", "seen", "expected"),
    [
        (0.7, 0.8, 0.1, True, SNOW),
        (0.3, 0.1, 0.2, True, SNOW_FREE),
        (0.05, 0.08, 0.01, True, SNOW_FREE),  # water has a high NDSI, and a dark B2
        (0.7, 0.8, 0.1, False, UNKNOWN),
    ],
)
def test_snow_is_told_by_its_index_and_its_brightness(b2, b4, b6, seen, expected):
    values = np.array([0.1, b2, 0.1, b4, 0.1, b6, 0.1], np.float32)[None, None]
    valid = np.ones(values.shape, bool)
    valid[..., 5] = seen
    assert series.surface(values, valid)[0, 0] == expected
