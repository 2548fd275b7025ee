"""GeoTIFFs: their numbers, their bands, and damage."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.local.collections import get_collection
from tests.local.collection_files import geotiff


def test_a_geotiff_of_several_bands_goes_by_descriptions(data: Path):
    values = np.random.default_rng(0).random((2, 5, 6), dtype=np.float32)
    geotiff(data / "c" / "2022-01-01.tif", values)
    with rasterio.open(data / "c" / "2022-01-01.tif", "r+") as file:
        file.descriptions = ("red", "nir")
    cube = get_collection(data, "c").open(bands=["nir", "red"])
    np.testing.assert_array_equal(cube.squeeze("t"), values[::-1])


def test_scale_offset_and_nodata_of_a_geotiff_are_applied(data: Path):
    geotiff(data / "c" / "rain_2022-01-01.tif", np.array([[1, 2], [3, -9]], np.int16), nodata=-9)
    with rasterio.open(data / "c" / "rain_2022-01-01.tif", "r+") as file:
        file.scales, file.offsets = (0.5,), (10.0,)
    cube = get_collection(data, "c").open()
    np.testing.assert_array_equal(cube.squeeze(), np.array([[10.5, 11.0], [11.5, np.nan]], np.float32))


def test_a_truncated_geotiff_fails_when_it_is_read(data: Path):
    path = data / "c" / "a_2022-01-01.tif"
    geotiff(path, np.random.default_rng(0).random((300, 300), dtype=np.float32), tiled=True)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InvalidCollection, match=r"a_2022-01-01\.tif cannot be read"):
        get_collection(data, "c").open().compute()
