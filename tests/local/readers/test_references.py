"""Files of a data folder that would read others: refused, whatever their name says."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import ForbiddenPath, InvalidCollection
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.readers.references import require_self_contained
from tests.local.referring_files import TRAPS, write_traps


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data folder whose collections all refer to a file beside it, and `sound`, which does not."""
    base = tmp_path_factory.mktemp("references")
    (base / "data" / "sound").mkdir(parents=True)
    values = np.arange(90, dtype="f4").reshape(3, 6, 5) / 100
    coords = {
        "t": np.array(["2022-06-01", "2022-06-09", "2022-06-17"], "datetime64[ns]"),
        "y": 5_330_000.0 - 20.0 * np.arange(6),
        "x": 690_000.0 + 20.0 * np.arange(5),
    }
    bands = {"modis_B1": (("t", "y", "x"), values, {"grid_mapping": "crs"}), "crs": xr.DataArray(0)}
    bands["crs"].attrs["crs_wkt"] = "EPSG:32632"
    xr.Dataset(bands, coords).to_netcdf(base / "secret.nc")
    shutil.copy(base / "secret.nc", base / "data" / "sound" / "cube.nc")
    write_traps(base / "secret.nc", base / "data")
    return base / "data"


def test_a_file_with_all_in_itself_is_read(data):
    assert dict(get_collection(data, "sound").open().sizes) == {"t": 3, "bands": 1, "y": 6, "x": 5}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_file_that_reads_another_is_refused(data, trap):
    with pytest.raises((ForbiddenPath, InvalidCollection)):
        get_collection(data, f"trap_{trap}").open().compute()


@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap != "vrt"])
def test_the_error_names_what_is_elsewhere(data, trap):
    with pytest.raises(ForbiddenPath, match=r"cube\.nc has 'modis_B1' in another file"):
        require_self_contained(data / f"trap_{trap}" / "cube.nc")


def test_references_in_groups_are_found_and_those_inside_allowed(tmp_path):
    file = tmp_path / "cube.nc"
    with h5py.File(file, "w") as opened:
        opened["a/b/values"] = np.zeros(3)
        opened["c"] = h5py.SoftLink("/a/b/values")
        opened["a/up"] = opened["a"]  # a ring of groups
    require_self_contained(file)
    with h5py.File(file, "r+") as opened:
        opened["a/b/out"] = h5py.ExternalLink("elsewhere.nc", "/")
    with pytest.raises(ForbiddenPath, match="'a/b/out'"):
        require_self_contained(file)


def test_classic_netcdf_refers_to_nothing(tmp_path):
    xr.Dataset({"a": ("x", np.zeros(3))}).to_netcdf(tmp_path / "classic.nc", format="NETCDF3_CLASSIC")
    require_self_contained(tmp_path / "classic.nc")
