"""What backends answer, in the forms they have for it."""

import numpy as np
import pandas as pd
import pytest

from openeo_udf_fusion.errors import InvalidCube, MissingBands, UnsupportedFormat
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training.points import Point
from openeo_udf_fusion.training.sampling import (
    build_graph,
    choose_format,
    find_source,
    observations,
    read_result,
)
from openeo_udf_fusion.udps.deployments import PUBLISHED

SOURCE = PUBLISHED.sources["modis"]
NAMES = [*SOURCE.bands.values(), *SOURCE.flags.values()]
CLEAR, CLOUDY = 1 << 3, 1 | 1 << 10
DATES = ["2020-01-05", "2020-01-06", "2020-01-07"]
BANDS = {"type": "bands"}


def table(points: int = 2) -> pd.DataFrame:
    """Stored numbers, fill values and flags, the rows in no order."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([DATES, range(points)], names=["date", "feature_index"])
    values = rng.integers(0, 6000, (len(index), len(NAMES))).astype(float)
    frame = pd.DataFrame(values, index=index, columns=NAMES)
    frame["state_1km"] = CLEAR
    frame.loc[("2020-01-06", 1), "state_1km"] = CLOUDY
    frame.loc[("2020-01-07", 0), "sur_refl_b03"] = -28672
    frame.loc[("2020-01-05", 1), :] = np.nan
    return frame.reset_index().sample(frac=1, random_state=0)


def by_position(frame):
    return frame.rename(columns={name: f"avg(band_{place})" for place, name in enumerate(NAMES)})


def written(frame: pd.DataFrame, folder, form: str):
    stamps = frame.assign(date=frame["date"] + "T00:00:00.000Z")
    if form == "csv by name":
        frame.to_csv(folder / "r.csv", index=False)
    elif form == "csv by position":
        by_position(stamps).to_csv(folder / "r.csv", index=False)
    elif form == "csv of averages":
        stamps.rename(columns={name: f"avg({name})" for name in NAMES}).to_csv(folder / "r.csv", index=False)
    elif form == "parquet":
        frame.assign(date=pd.to_datetime(stamps["date"])).to_parquet(folder / "r.parquet")
    else:
        cube = by_position(frame).rename(columns=lambda name: name.removeprefix("avg(").removesuffix(")"))
        cube["t"] = pd.to_datetime(cube.pop("date"))
        dataset = cube.rename(columns={"feature_index": "feature"}).set_index(["feature", "t"]).to_xarray()
        dataset = dataset.drop_vars("feature").assign_coords(lat=("feature", [48.0, 49.0]))
        dataset.to_netcdf(folder / "r.nc")
    return next(folder.iterdir())


@pytest.mark.parametrize("form", ["csv by name", "csv by position", "csv of averages", "parquet", "netcdf"])
def test_every_form_gives_the_same_observations(tmp_path, form):
    frame = table()
    rows = read_result(written(frame, tmp_path, form), SOURCE, 2)
    arrays = observations(rows, "modis", SOURCE, 2)
    truth = frame.set_index(["date", "feature_index"])
    assert arrays.values.shape == (3, 7, 1, 2)
    assert arrays.days.tolist() == list(np.array(DATES, "datetime64[D]").astype(int))
    for step, date in enumerate(DATES):
        for point in range(2):
            valid = arrays.valid[step, :, 0, point]
            if (date, point) in [("2020-01-06", 1), ("2020-01-05", 1)]:
                assert not valid.any()
                continue
            stored = truth.loc[(date, point), NAMES[:7]].to_numpy(float)
            np.testing.assert_array_equal(valid, stored > -100)
            np.testing.assert_allclose(arrays.values[step, valid, 0, point], stored[valid] * 1e-4, rtol=1e-5)


def test_two_swaths_of_a_day_are_both_kept(tmp_path):
    twice = pd.concat([table(), table()])
    rows = read_result(written(twice, tmp_path, "csv by name"), SOURCE, 2)
    arrays = observations(rows, "modis", SOURCE, 2)
    assert len(arrays.days) == 6
    assert arrays.valid[:3].sum() == arrays.valid[3:].sum() > 0


def test_flags_that_were_averaged_are_refused(tmp_path):
    frame = table()
    frame["state_1km"] = 8.5
    rows = read_result(written(frame, tmp_path, "csv by name"), SOURCE, 2)
    with pytest.raises(InvalidCube, match=r"modis_state_1km holds 8.5, flags are whole numbers"):
        observations(rows, "modis", SOURCE, 2)


def test_stored_numbers_taken_for_reflectance_are_refused(tmp_path):
    rows = read_result(written(table(), tmp_path, "csv by name"), SOURCE, 2)
    source = find_source("modis", "MOD09GA", {}, scale=1.0)
    with pytest.raises(InvalidCube, match="stored integers"):
        observations(rows, "modis", source, 2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f.drop(columns="sur_refl_b05"), MissingBands, "no band 'sur_refl_b05'"),
        (lambda f: f.drop(columns="date"), InvalidCube, "needs a column date or t or time"),
        (lambda f: f.assign(feature_index=f["feature_index"] + 5), InvalidCube, "asked for were 2"),
    ],
)
def test_other_tables_are_refused(tmp_path, change, error, message):
    change(table()).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(error, match=message):
        read_result(tmp_path / "r.csv", SOURCE, 2)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(UnsupportedFormat, match=r"r\.tif"):
        read_result(tmp_path / "r.tif", SOURCE, 2)
    with pytest.raises(UnsupportedFormat, match="the backend writes"):
        choose_format({"output": {"GTiff": {}}})


def test_csv_is_preferred_by_whatever_name():
    assert choose_format({"output": {"netCDF": {}, "PARQUET": {}, "csv": {}}}) == "csv"
    assert choose_format({"output": {"netCDF": {}, "PARQUET": {}}}) == "PARQUET"


# --- which bands to ask for


def metadata(names) -> dict:
    return {"cube:dimensions": {"x": {"type": "spatial"}, "spectral": {**BANDS, "values": names}}}


def test_bands_are_found_by_the_products_names():
    names = ["SurfReflect_QF1_1", "SurfReflect_QF2_1", "SurfReflect_QF5_1", "SolarZenith_1"]
    names += [f"SurfReflect_{band}_1" for band in ("I1", "I2", "M3", "M4", "M5", "M8", "M10", "M11")]
    source = find_source("viirs", "VNP09GA", metadata(names), 1e-4)
    assert source.bands["viirs_M11"] == "SurfReflect_M11_1"
    assert source.flags == {"viirs_QF1": "SurfReflect_QF1_1", "viirs_QF2": "SurfReflect_QF2_1"}
    assert list(source.bands) == [f"viirs_{band}" for band in FUSED_BANDS["viirs"]]


def test_bands_of_the_same_pass_band_stand_in():
    names = [f"Nadir_Reflectance_{band}" for band in ("I1", "M7", "M3", "M4", "M5", "M8", "I3", "M11")]
    bands = find_source("viirs", "VNP43", metadata(names), 1e-4).bands
    assert (bands["viirs_M7"], bands["viirs_I3"]) == ("Nadir_Reflectance_M7", "Nadir_Reflectance_I3")


def test_missing_bands_are_named():
    with pytest.raises(MissingBands, match=r"collection 'X' has no modis_B2, .*; it has B01, B03"):
        find_source("modis", "X", metadata(["B01", "B03"]), 1e-4)


def test_a_collection_without_bands_in_its_metadata_is_taken_for_the_product():
    assert find_source("modis", "MOD09GA", {}, 1e-4).bands == SOURCE.bands


def test_the_graph_asks_for_stored_values_at_the_points():
    points = [Point(7, 11.5, 48.1), Point(9, 12.5, 48.2)]
    graph = build_graph(points, ("2020-01-01", "2021-01-01"), SOURCE)
    assert [node["process_id"] for node in graph.values()] == [
        "load_collection",
        "aggregate_spatial",
        "save_result",
    ]
    load, sample, save = graph.values()
    assert load["arguments"]["bands"] == NAMES
    assert load["arguments"]["spatial_extent"]["west"] < 11.5
    features = sample["arguments"]["geometries"]["features"]
    assert [feature["geometry"]["coordinates"] for feature in features] == [[11.5, 48.1], [12.5, 48.2]]
    assert (save["arguments"]["format"], save["result"]) == ("CSV", True)
