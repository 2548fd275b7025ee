import json

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training.points import Point, chunks, extent, geojson, read_points


@pytest.fixture
def write(tmp_path):
    def to(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return to


@pytest.mark.parametrize(
    "text",
    [
        "pixel,longitude,latitude,land_cover\n7,11.5,48.1,forest\n9,-3.25,40,\n",
        "\ufeffLat,Lon,ID,IGBP\n48.1,11.5,7,forest\n40,-3.25,9,\n",
        "x, y, id, landcover\n11.5,48.1,7,forest\n-3.25,40,9,\n",
    ],
)
def test_tables_are_read_by_the_usual_names(write, text):
    assert read_points(write("p.csv", text)) == [Point(7, 11.5, 48.1, "forest"), Point(9, -3.25, 40.0)]


def test_points_without_numbers_are_counted(write):
    assert [p.pixel for p in read_points(write("p.csv", "lon,lat,id\n1,2,DE-Hai\n3,4,FR-Pue\n"))] == [0, 1]


def test_geojson_is_read_and_written(write):
    points = [Point(7, 11.5, 48.1), Point(9, -3.25, 40.0)]
    assert read_points(write("p.geojson", json.dumps(geojson(points)))) == points


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "a,b\n1,2\n", "point 0 needs numbers in 'longitude' and 'latitude'"),
        ("p.csv", "lon,lat\n1,\n", "point 0 needs numbers"),
        ("p.csv", "lon,lat\n500000,5650000\n", "needed are degrees in EPSG:4326"),
        ("p.csv", "lon,lat,pixel\n1,2,3\n1,3,3\n", "a number of its own"),
        ("p.csv", "lon,lat\n", "holds no points"),
        ("p.geojson", '{"type": "Point", "coordinates": [1, 2]}', "needed is a GeoJSON FeatureCollection"),
        ("p.geojson", "{", "cannot be read as points"),
        (
            "p.geojson",
            '{"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon"}}]}',
            "needed are Point geometries, got Polygon",
        ),
    ],
)
def test_other_files_are_refused(write, name, text, message):
    with pytest.raises(InvalidParameter, match=message):
        read_points(write(name, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidParameter, match=r"none\.csv cannot be read"):
        read_points(tmp_path / "none.csv")


def test_chunks_hold_every_point_once_and_only_neighbours():
    points = [Point(n, -170 + 3.7 * (n % 90), -60 + 1.3 * (n % 87)) for n in range(400)]
    found = chunks(points, 7)
    assert sorted(p.pixel for chunk in found for p in chunk) == list(range(400))
    for chunk in found:
        assert len(chunk) <= 7
        for coordinate in ("longitude", "latitude"):
            values = [getattr(point, coordinate) for point in chunk]
            assert max(values) - min(values) < 5
    assert found == chunks(points, 7)


def test_the_extent_leaves_room_for_pixels_at_any_latitude():
    box = extent([Point(0, 10.0, 70.0), Point(1, 11.0, 71.0)])
    assert box["west"] < 10 - 0.05
    assert box["east"] > 11 + 0.05
    assert (box["south"], box["north"]) == pytest.approx((69.98, 71.02))
    assert extent([Point(0, 180.0, 90.0)])["east"] == 180.0
