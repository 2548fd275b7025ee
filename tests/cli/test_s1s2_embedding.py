"""`train s1s2_embedding` and `evaluate s1s2_embedding` from the command line."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from openeo_udf_fusion.local import backend
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.training.s1s2_sites import S1_BANDS, S2_BANDS, read_site
from tests.training.s1s2 import made_up, write


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def site():
    return made_up(days=140)


def test_both_stages_then_an_evaluation_into_the_card(command, site, tmp_path):
    write(site, tmp_path / "data")
    common = ("--data", tmp_path / "data", "--out", tmp_path / "out", "--steps", 2, "--code", 5)
    first = command("train", "s1s2_embedding", "--stage", 1, *common, "--json")
    assert first.status == 0, first.stderr
    assert json.loads(first.stdout) == {"stage": 1, "files": [str(tmp_path / "out" / "stage1.pt")]}
    second = command("train", "s1s2_embedding", "--stage", 2, *common)
    assert second.status == 0, second.stderr
    card = cards.read("s1s2_embedding", tmp_path / "out")
    assert card.hyperparameters["code"] == 5
    assert "--stage 1" in card.training["commands"][0]
    assert str(tmp_path) not in json.dumps(card.training)

    scored = (
        "evaluate",
        "s1s2_embedding",
        "--data",
        tmp_path / "data",
        "--weights",
        tmp_path / "out",
        "--quick",
    )
    done = command(*scored, "--json")
    assert done.status == 0, done.stderr
    assert len(json.loads(done.stdout)["reconstruction"]) == 16
    nothing = command(*scored, "--alone", tmp_path / "out")
    assert nothing.status == 1
    assert "--sensors s2" in nothing.stderr
    alone = command("train", "s1s2_embedding", "--stage", 2, "--sensors", "s2", *common, "--json")
    assert alone.status == 0, alone.stderr
    trained = cards.read("s1s2_embedding", tmp_path / "out" / "s2_alone").training["commands"]
    assert ["--sensors s2" in line for line in trained] == [False, True]
    both = json.loads(command(*scored, "--alone", tmp_path / "out", "--json").stdout)
    assert "s2_trained" in both["methods"]
    assert both["command"].endswith("--alone DIR")
    none = command(*scored, "--folds", tmp_path / "out")
    assert none.status == 1
    assert "--fold 1" in none.stderr
    for stage in (1, 2):
        fold = ("--data", tmp_path / "data", "--out", tmp_path / "out" / "3", "--steps", 2, "--code", 5)
        assert command("train", "s1s2_embedding", "--stage", stage, *fold, "--fold", 3).status == 0
    held_out = cards.read("s1s2_embedding", tmp_path / "out" / "3").training["held_out"]
    assert (held_out["fold"], held_out["test_days"], held_out["validation_days"]) == (3, [45, 59], [15, 22])
    folds = json.loads(command(*scored, "--folds", tmp_path / "out", "--json").stdout)
    assert folds["folds"] == [0, 3]
    table = command(*scored, "--markdown")
    assert table.stdout.startswith("| fused code over |")
    refused = command(*scored, "--report", tmp_path / "page.html")
    assert refused.status == 1
    assert "no --report" in refused.stderr


def test_stage_3_goes_on_from_the_weights_of_stage_2_once(command, site, tmp_path):
    write(site, tmp_path / "data")
    common = ("--data", tmp_path / "data", "--out", tmp_path / "out", "--steps", 2)
    for stage in (1, 2, 3):
        done = command("train", "s1s2_embedding", "--stage", stage, *common)
        assert done.status == 0, done.stderr
    card = cards.read("s1s2_embedding", tmp_path / "out")
    assert ["--stage 3" in line for line in card.training["commands"]] == [False, False, True]
    assert {"stage_2", "stage_3"} <= {*card.training}
    again = command("train", "s1s2_embedding", "--stage", 3, *common)
    assert again.status == 1
    assert "has been through stage 3" in again.stderr


def test_stage_1_teaches_every_sensor(command, site, tmp_path):
    write(site, tmp_path / "data")
    common = ("--data", tmp_path / "data", "--out", tmp_path)
    done = command("train", "s1s2_embedding", "--stage", 1, "--sensors", "s2", *common)
    assert done.status == 1
    assert "--sensors is for stage 2" in done.stderr


def test_stage_2_needs_stage_1(command, site, tmp_path):
    write(site, tmp_path / "data")
    done = command("train", "s1s2_embedding", "--stage", 2, "--data", tmp_path / "data", "--out", tmp_path)
    assert done.status == 1
    assert "train --stage 1 first" in done.stderr


# --- from a backend


@pytest.fixture(scope="module")
def collections(tmp_path_factory, site):
    """The site as a backend has it: digital numbers, backscatter as power, one grid."""
    folder = tmp_path_factory.mktemp("collections")
    y = 5_000_000.0 - 10 * (np.arange(site.shape[0]) + 0.5)
    x = 500_000.0 + 10 * (np.arange(site.shape[1]) + 0.5)
    for name, series in site.observed.items():
        values = series.values if name == "s2" else 10 ** (series.values / 10)
        bands = dict(zip(S2_BANDS if name == "s2" else S1_BANDS, np.moveaxis(values, 1, 0), strict=True))
        if name == "s2":
            bands = {band: np.round(cube * 1e4) for band, cube in bands.items()}
            bands["SCL"] = np.where(series.valid[:, 0], 4.0, 9.0)
        times = series.days.astype("datetime64[D]").astype("datetime64[ns]")
        cube = xr.Dataset(
            {band: (("t", "y", "x"), cube.astype(np.float32)) for band, cube in bands.items()},
            {"t": times, "y": y, "x": x},
        ).rio.write_crs(32632)
        (folder / name).mkdir()
        cube.to_netcdf(folder / name / f"{name}.nc")
        sensor = {"scale": 1, "offset": 0}
        (folder / name / "collection.json").write_text(json.dumps({"bands": dict.fromkeys(bands, sensor)}))
    return folder


def test_a_site_is_fetched_from_a_backend(command, collections, site, tmp_path):
    with backend(collections) as url:
        done = command(
            *("train", "s1s2_embedding", "--stage", 1, "--steps", 1, "--out", tmp_path / "out"),
            *("--data", tmp_path / "site", "--backend", url, "--temporal-extent", "2017-08-01", "2018-06-01"),
            *("--spatial-extent", 9.0, 45.14, 9.004, 45.16),
            *("--s1-collection", "s1", "--s2-collection", "s2"),
        )
    assert done.status == 0, done.stderr
    fetched = read_site(tmp_path / "site")
    assert sorted(file.name for file in (tmp_path / "site").iterdir()) == ["S1_GRD.nc", "S2_L2A.nc"]
    for name, tolerance in (("s1", 1e-4), ("s2", 6e-5)):
        one, other = fetched.observed[name], site.observed[name]
        np.testing.assert_array_equal(one.days, other.days)
        np.testing.assert_array_equal(one.valid, other.valid)
        np.testing.assert_allclose(one.values, other.values, atol=tolerance)


def test_a_backend_without_an_extent_is_refused(command, tmp_path):
    done = command(
        "train", "s1s2_embedding", "--stage", 1, "--data", tmp_path, "--backend", "http://127.0.0.1:9"
    )
    assert done.status == 1
    assert "--spatial-extent and --temporal-extent" in done.stderr
