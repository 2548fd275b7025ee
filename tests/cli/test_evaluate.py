import json
import shutil

import numpy as np
import pytest

from openeo_udf_fusion.cli import evaluate
from openeo_udf_fusion.evaluation import networks, satfusenet
from openeo_udf_fusion.models import cards


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A data folder with a few made-up pixels, and the shipped weights as a network that saw no pixel."""
    data, weights = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    season = 2000 + 800 * np.sin(np.arange(200) / 30 + rng.uniform(0, 6, (6, 1)))[..., None]
    refl = (season * rng.uniform(0.5, 1.5, (6, 1, 7)) + rng.normal(0, 30, (6, 200, 7))).astype(np.int16)
    refl[rng.random((6, 200)) < 0.2] = -32768
    (data / "nbar_series").mkdir()
    np.savez(data / "nbar_series" / "a_name_of_its_own.npz", refl=refl, scale=1e-4, fill=-32768)
    shutil.copy(cards.FOLDER / "satfusenet.safetensors", weights)
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text(encoding="utf-8"))
    card["properties"]["fusion:training"]["pixels_sha256"] = []
    (weights / "satfusenet.json").write_text(json.dumps(card), encoding="utf-8")
    return data, weights


def test_json_is_one_object_beside_a_report(command, folders, tmp_path):
    data, weights = folders
    report = tmp_path / "new" / "report.html"
    done = command(
        *(
            "evaluate",
            "satfusenet",
            "--data",
            data,
            "--weights",
            weights,
            "--quick",
            "--json",
            "--report",
            report,
        )
    )
    assert done.status == 0, done.stderr
    result = json.loads(done.stdout)
    assert {
        *(
            "gap_filling",
            "gap_filling_by_surface",
            "gap_ratio",
            "gap_ratio_mean",
            "gap_coverage",
            "translation",
        ),
        *(
            "real_directional",
            "networks",
            "data",
            "command",
            "package_version",
            "verdicts",
            "curves",
            "drop_in",
        ),
    } <= set(result)
    assert (
        result["command"] == "openeo-udf-fusion evaluate satfusenet --data DIR --json --weights DIR --quick"
    )
    assert result["data"]["files"] == ["a_name_of_its_own.npz"]
    written = report.read_text(encoding="utf-8")
    assert written.startswith("<!DOCTYPE html>")
    assert "A quick look at a few pixels" in written
    assert "pixels" in done.stderr


def test_markdown_prints_the_tables(command, folders):
    data, weights = folders
    done = command(*("evaluate", "satfusenet", "--data", data, "--weights", weights, "--quick", "--markdown"))
    assert done.status == 0
    assert "| 80 days |" in done.stdout


def test_the_card_gets_the_skill_of_the_network_in_the_folder(folders):
    data, weights = folders
    trained = networks.given(weights)
    result = satfusenet.evaluate(data, satfusenet.QUICK, "the command", trained=trained)
    evaluate.write_skill(result, weights)
    skill = json.loads((weights / "satfusenet.json").read_text(encoding="utf-8"))["properties"][
        "fusion:skill"
    ]
    assert skill["pixels"] == 6
    for gap in skill["gap_filling_modis_alone"].values():
        assert gap["ratio_mean"]["ratio"] > 0


def test_no_card_is_written_after_a_quick_look(command, tmp_path):
    done = command("evaluate", "satfusenet", "--data", tmp_path, "--quick", "--card")
    assert done.status == 2
    assert "not allowed with" in done.stderr


def test_a_folder_without_series_is_explained(command, tmp_path):
    done = command("evaluate", "satfusenet", "--data", tmp_path, "--quick")
    assert done.status == 1
    assert "nbar_series" in done.stderr
