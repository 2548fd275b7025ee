"""The picture of a harmonised scene."""

import matplotlib.pyplot as plt
import pytest

from openeo_udf_fusion import cubes
from openeo_udf_fusion.demo.picture import cloudiest_common_date, draw
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs
from openeo_udf_fusion.sensors import FUSED_BANDS

EXTENT = ["2022-04-15", "2022-08-01"]


@pytest.fixture(scope="module")
def observed(make_cube):
    return make_cube(days=108, y=4, x=5, flags=True, first=EXTENT[0])


@pytest.fixture(scope="module")
def harmonised(observed):
    return harmonize_modis_viirs(observed, temporal_extent=EXTENT, uncertainty="quantiles")


def test_the_picture_is_written_whole_and_alone(observed, harmonised, tmp_path):
    draw(observed, harmonised, tmp_path / "scene.png", title="made up")
    picture = plt.imread(tmp_path / "scene.png")
    assert picture.shape[0] > 500
    assert picture.shape[1] > 500
    assert picture.std() > 0.05
    assert [file.name for file in tmp_path.iterdir()] == ["scene.png"]
    assert plt.get_fignums() == []


def test_the_date_shown_is_one_of_the_result_in_summer_and_partly_cloudy(observed, harmonised):
    modis = cubes.sensor_arrays(observed, "modis", FUSED_BANDS["modis"])
    date = cloudiest_common_date(modis, harmonised)
    assert date in harmonised["t"].values.astype("datetime64[D]")
    assert 5 <= int(str(date)[5:7]) <= 9
    clear = modis.valid[modis.days == date.astype(int)].any(1).mean()
    assert 0 < clear < 1
