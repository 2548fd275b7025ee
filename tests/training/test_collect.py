"""Real pairs by way of an openEO backend: what is collected is what is in the files at these points."""

import json

import numpy as np
import openeo
import pytest
import xarray as xr
from pyproj import Transformer

from openeo_udf_fusion import cubes
from openeo_udf_fusion.demo.sample import CRS_MODIS, write_sample
from openeo_udf_fusion.errors import InvalidParameter, NoDataAvailable
from openeo_udf_fusion.local import backend
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training import collect as module
from openeo_udf_fusion.training.collect import Plan, collect
from openeo_udf_fusion.training.points import Point
from openeo_udf_fusion.training.sampling import choose_format, find_source
from openeo_udf_fusion.training.store import open_store

SIZE_PX = 6
EXTENT = ("2023-06-01", "2023-07-01")
ROWS, COLUMNS = (0, 2, 5, 2), (1, 3, 5, 4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Generated daily MODIS and VIIRS with clouds, flags and fill values."""
    folder = tmp_path_factory.mktemp("scene")
    write_sample(folder, size_px=SIZE_PX)
    return folder


@pytest.fixture(scope="module")
def url(scene):
    with backend(scene) as url:
        yield url


@pytest.fixture(scope="module")
def connection(url):
    return openeo.connect(url)


@pytest.fixture(scope="module")
def files(scene) -> xr.DataArray:
    """Both sensors as a cube, read by xarray alone."""
    parts = []
    for sensor in ("modis", "viirs"):
        with xr.open_dataset(scene / sensor / f"{sensor}_2023.nc") as opened:
            parts.append(opened.drop_vars("crs").load().to_dataarray("bands"))
    cube = xr.concat(parts, "bands").rename(time="t").transpose("t", "bands", "y", "x")
    return cube.sel(t=slice(EXTENT[0], "2023-06-30")).astype(np.float32)


@pytest.fixture(scope="module")
def points(files) -> list[Point]:
    """Four points, somewhere in their pixels."""
    to_degrees = Transformer.from_crs(CRS_MODIS, 4326, always_xy=True)
    rng = np.random.default_rng(3)
    found = []
    for number, (row, column) in enumerate(zip(ROWS, COLUMNS, strict=True)):
        x, y = files["x"].values[column], files["y"].values[row]
        longitude, latitude = to_degrees.transform(*(np.array([x, y]) + rng.uniform(-220, 220, 2)))
        found.append(Point(100 + number, float(longitude), float(latitude), "cropland"))
    return found


@pytest.fixture
def make_plan(connection, points):
    def make(**changes) -> Plan:
        sources = {
            sensor: find_source(sensor, sensor, connection.describe_collection(sensor), scale=1.0)
            for sensor in ("modis", "viirs")
        }
        known = {
            "points": points,
            "temporal_extent": EXTENT,
            "sources": sources,
            "platform": "S-NPP",
            "product": "directional",
            "chunk": 3,
            "format": choose_format(connection.list_file_formats()),
        }
        return Plan(**{**known, **changes})

    return make


def expected(files, sensor):
    """What is valid at the points, straight from the arrays: (point, day, band)."""
    arrays = cubes.sensor_arrays(cubes.canonical(files), sensor, FUSED_BANDS[sensor])
    days = np.arange(*np.array(EXTENT, "datetime64[D]")).astype(int).astype(np.int32)
    values, valid = cubes.on_days(arrays, days)
    return tuple(np.moveaxis(each[:, :, ROWS, COLUMNS], 2, 0) for each in (values, valid))


def test_the_pairs_are_those_of_the_files(connection, make_plan, files, points, tmp_path):
    seen = []
    done = collect(connection, make_plan(), tmp_path / "real", progress=lambda *step: seen.append(step))
    assert (done.failed, done.left_out) == ({}, 0)
    pairs = open_store(tmp_path / "real").pool([p.pixel for p in points], memory_bytes=1 << 30, seed=0).at(0)
    order = np.argsort(pairs.pixel)
    assert pairs.pixel[order].tolist() == [100, 101, 102, 103]
    for sensor in ("modis", "viirs"):
        values, valid = expected(files, sensor)
        assert 0.2 < valid.mean() < 0.9
        np.testing.assert_array_equal(getattr(pairs, f"{sensor}_valid")[order], valid)
        np.testing.assert_allclose(getattr(pairs, sensor)[order], values, atol=5.1e-5)
    np.testing.assert_allclose(pairs.longitude[order], [p.longitude for p in points], rtol=1e-6)
    assert set(pairs.land_cover) == {"cropland"}
    assert set(pairs.first_day) == {int(np.datetime64(EXTENT[0], "D").astype(int))}
    assert done.store.record["kind"] == "real"
    assert done.store.record["sources"]["modis"]["bands"]["modis_state_1km"] == "modis_state_1km"
    assert [step[1:] for step in (seen[0], seen[-1])] == [(0, 4), (4, 4)]
    assert [path.name for path in tmp_path.iterdir()] == ["real"]


def test_a_year_is_a_sample(connection, make_plan, points, tmp_path):
    plan = make_plan(temporal_extent=("2022-12-30", "2023-01-20"), points=points[:1])
    done = collect(connection, plan, tmp_path / "real")
    assert done.left_out == 1  # there is no 2022
    assert done.store.samples.first_day.tolist() == [int(np.datetime64("2023-01-01", "D").astype(int))]
    assert done.store.samples.days.tolist() == [19]


class Flaky:
    """A connection over which one job goes wrong, until it is mended, or somebody pulls the plug."""

    def __init__(self, connection, broken: str = "", interrupted_at: int = 0) -> None:
        self._connection, self.broken, self.created = connection, broken, []
        self._interrupted_at = interrupted_at

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def create_job(self, graph, title):
        self.created.append(title)
        if len(self.created) == self._interrupted_at:
            raise KeyboardInterrupt
        if self.broken and title.endswith(self.broken):
            graph = json.loads(json.dumps(graph).replace('"mean"', '"no_such_reducer"'))
        return self._connection.create_job(graph, title=title)


def test_what_failed_is_told_and_fetched_by_the_next_run(connection, make_plan, tmp_path):
    flaky = Flaky(connection, "00001_viirs")
    first = collect(flaky, make_plan(), tmp_path / "real")
    assert list(first.failed) == ["00001_viirs"]
    assert "no_such_reducer" in first.failed["00001_viirs"]
    assert len(first.store.samples) == 3
    assert len(flaky.created) == 4
    assert sorted(path.name for path in (tmp_path / "real.parts").glob("*.parquet")) == [
        "00000_modis.parquet",
        "00000_viirs.parquet",
        "00001_modis.parquet",
    ]
    flaky.broken, flaky.created = "", []
    second = collect(flaky, make_plan(), tmp_path / "real")
    assert flaky.created == ["training pairs 00001_viirs"]
    assert (second.failed, len(second.store.samples)) == ({}, 4)
    assert not (tmp_path / "real.parts").exists()


def test_a_job_that_was_left_running_is_awaited(connection, make_plan, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        collect(Flaky(connection, interrupted_at=2), make_plan(), tmp_path / "real")
    assert [path.name for path in (tmp_path / "real.parts").glob("*.job")] == ["00000_modis.job"]
    again = Flaky(connection)
    assert len(collect(again, make_plan(), tmp_path / "real").store.samples) == 4
    assert again.created == [
        f"training pairs {part}" for part in ("00000_viirs", "00001_modis", "00001_viirs")
    ]


def test_a_collection_is_resumed_with_the_same_settings_alone(connection, make_plan, tmp_path):
    collect(Flaky(connection, "00001_viirs"), make_plan(), tmp_path / "real")
    with pytest.raises(InvalidParameter, match="begun with other settings"):
        collect(connection, make_plan(platform="NOAA-20"), tmp_path / "real")


def test_an_output_that_is_taken_is_refused_before_any_job(connection, make_plan, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    flaky = Flaky(connection)
    with pytest.raises(InvalidParameter, match="is there already"):
        collect(flaky, make_plan(), tmp_path)
    assert flaky.created == []


def test_points_elsewhere_are_an_error_that_says_so(connection, make_plan, tmp_path):
    plan = make_plan(points=[Point(0, 140.0, -30.0)])
    with pytest.raises(NoDataAvailable, match=r"no chunk of points is complete, 2 jobs failed.*00000_modis"):
        collect(connection, plan, tmp_path / "real")


def test_a_wrong_scale_is_found_before_anything_is_kept(connection, make_plan, points, tmp_path):
    metadata = connection.describe_collection("modis")
    sources = {s: find_source(s, s, connection.describe_collection(s), 1.0) for s in ("modis", "viirs")}
    sources["modis"] = find_source("modis", "modis", metadata, scale=10_000.0)
    with pytest.raises(NoDataAvailable, match="reflectance of modis must be 0-1"):
        collect(connection, make_plan(sources=sources), tmp_path / "real")


def test_years_are_split_where_they_begin():
    spans = [len(days) for days in module._years(("2019-12-30", "2021-01-02"))]
    assert spans == [2, 366, 1]
