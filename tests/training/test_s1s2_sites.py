from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.training import s1s2_sites
from openeo_udf_fusion.training.s1s2_sites import (
    is_test,
    is_validation,
    read_sites,
    strip_start,
    training_part,
)

from .s1s2 import made_up, write


def test_files_become_both_sensors_on_the_fine_grid(tmp_path):
    site = made_up()
    write(site, tmp_path)
    (read,) = read_sites(tmp_path)
    twice = (..., np.repeat(np.arange(0, 14, 2), 2)[:, None], np.repeat(np.arange(0, 24, 2), 2))
    clear = site.observed["s2"].valid[twice]
    np.testing.assert_array_equal(read.observed["s2"].valid, clear)
    fine, found = site.observed["s2"].values, read.observed["s2"].values
    np.testing.assert_allclose(found[:, 0], np.where(clear[:, 0], fine[:, 0], 0), atol=5.1e-5)
    np.testing.assert_allclose(found[:, 9], np.where(clear[:, 9], fine[twice][:, 9], 0), atol=5.1e-5)
    np.testing.assert_allclose(read.observed["s1"].values, site.observed["s1"].values[twice], atol=5.1e-5)
    for name in ("s1", "s2"):
        np.testing.assert_array_equal(read.observed[name].days, site.observed[name].days)


def test_sites_lie_in_a_folder_or_one_level_below(tmp_path):
    for name in ("one", "other"):
        write(made_up(days=30), tmp_path / name)
    assert [site.name for site in read_sites(tmp_path)] == ["one", "other"]
    assert [site.name for site in read_sites(tmp_path / "one")] == ["one"]


def spoil(folder, pattern, change):
    (file,) = folder.glob(pattern)
    with xr.open_dataset(file, mask_and_scale=False) as opened:
        cube = opened.load()
    change(cube).to_netcdf(file)


@pytest.mark.parametrize(
    ("pattern", "change", "message"),
    [
        ("S2_L2A_20m.nc", lambda c: c.drop_vars("SCL"), "no Sentinel-2 file has SCL"),
        ("S2_L2A_20m.nc", lambda c: c.isel(timestamp=slice(1, None)), "different dates"),
        ("S2_L2A_10m.nc", lambda c: c.rename(timestamp="when"), "none of the time dimensions"),
        ("S1_GRD_20m.nc", lambda c: 10 ** (c * 1e-5), "Sentinel-1 in dB was needed"),
        ("S2_L2A_*0m.nc", None, "holds no site"),
        ("S1_GRD_20m.nc", None, r"needs both S2\*.nc and S1\*.nc"),
    ],
)
def test_what_is_no_site_is_refused(tmp_path, pattern, change, message):
    write(made_up(days=30), tmp_path)
    if change:
        spoil(tmp_path, pattern, change)
    else:
        for file in tmp_path.glob(pattern):
            file.unlink()
    with pytest.raises(InvalidCollection, match=message):
        read_sites(tmp_path)


def test_digital_numbers_are_refused(tmp_path):
    write(made_up(days=30), tmp_path)
    for file in ("S2_L2A_10m.nc", "S2_L2A_20m.nc"):
        spoil(tmp_path, file, lambda c: c.drop_attrs())
    with pytest.raises(InvalidCollection, match="reflectance 0-1 was needed, the median is"):
        read_sites(tmp_path)


def test_training_sees_neither_the_strip_nor_the_days_held_out():
    site = made_up(days=240)
    part = training_part(site)
    assert part.shape[1] == strip_start(24) - s1s2_sites.BUFFER_PX == 11
    days = part.observed["s2"].days
    assert not (is_test(days) | is_validation(days)).any()
    whole = site.observed["s2"].days
    assert len(days) + is_test(whole).sum() + is_validation(whole).sum() == len(whole)
    assert is_test(whole).any()
    assert is_validation(whole).any()
    assert not (is_test(whole) & is_validation(whole)).any()


def test_folds_hold_different_days_out():
    days = np.arange(17_000, 17_240, dtype=np.int32)
    held = np.stack([is_test(days, fold) for fold in range(s1s2_sites.FOLDS)])
    assert held.sum(0).max() == 1
    assert held.sum() == 4 * 4 * 14
    for fold, site in ((fold, replace(made_up(days=240), fold=fold)) for fold in range(s1s2_sites.FOLDS)):
        part = training_part(site)
        assert part.fold == fold
        left = part.observed["s2"].days
        assert not (is_test(left, fold) | is_validation(left, fold)).any()
        assert (is_test(left, (fold + 1) % s1s2_sites.FOLDS)).any()


def test_sites_are_read_for_a_fold(tmp_path):
    write(made_up(days=30), tmp_path)
    assert [site.fold for site in read_sites(tmp_path, 3)] == [3]
