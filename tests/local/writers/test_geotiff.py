"""GeoTIFFs are COGs, one a date, with names that tell the date."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.local.formats import write
from tests.local.results import cube, read_back


def test_geotiffs_are_cogs_with_names_and_overviews(tmp_path: Path):
    whole = cube(dates=("2022-01-01", "2022-01-09"), bands=("B1", "provenance"), size=(700, 600))
    files = write(whole, tmp_path / "r.tif", "GTiff")
    assert [file.name for file in files] == ["r_2022-01-01.tif", "r_2022-01-09.tif"]
    with rasterio.open(files[1]) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"]
        assert file.overviews(1)
        assert file.descriptions == ("B1", "provenance")
        assert np.isnan(file.nodata)
        np.testing.assert_array_equal(file.read(), whole[1])


@pytest.mark.parametrize(
    ("dates", "names"),
    [
        (("2022-01-01",), ["r.tif"]),
        (("2022-01-01", "2022-01-01"), ["r_2022-01-01.tif", "r_2022-01-01_2.tif"]),
        (("2022-01-01", "2022-01-01T10:30"), ["r_2022-01-01T000000.tif", "r_2022-01-01T103000.tif"]),
    ],
)
def test_names_of_geotiffs(tmp_path: Path, dates: tuple[str, ...], names: list[str]):
    whole = cube(dates, size=(4, 4))
    assert [file.name for file in write(whole, tmp_path / "c" / "r.tif", "GTiff")] == names
    np.testing.assert_array_equal(read_back(tmp_path / "c", "r.tif").values, whole.values)


def test_a_geotiff_cannot_hold_uneven_coordinates(tmp_path: Path):
    uneven = cube(size=(3, 3)).assign_coords(x=[0.0, 1.0, 5.0])
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        write(uneven, tmp_path / "r.tif", "GTiff")
    assert not list(tmp_path.iterdir())
