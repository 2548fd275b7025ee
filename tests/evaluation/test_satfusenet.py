import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation import markdown, report, satfusenet, series
from openeo_udf_fusion.evaluation.networks import Network
from openeo_udf_fusion.models import cards

FILL = -32768
TINY = replace(satfusenet.QUICK, gap_days=(5, 20), repeats=2, resamples=300, pixels=None)


def save(folder, refl):
    (folder / "nbar_series").mkdir()
    np.savez(folder / "nbar_series" / "series.npz", refl=refl, scale=1e-4, fill=FILL)


@pytest.fixture(scope="module")
def result(folder, unspoilt):
    return satfusenet.evaluate(folder, TINY, "the command", trained=unspoilt)


def test_gap_filling_has_a_row_per_band_gap_and_method(result):
    rows = result["gap_filling"]
    assert {(row["band"], row["gap_days"], row["method"]) for row in rows} == {
        (f"B{band}", gap, method)
        for band in range(1, 8)
        for gap in (5, 20)
        for method in ("linear", "whittaker", "seasonal", "fluxneteo", "satfusenet")
    }
    assert len(rows) == 70
    assert all({"rmse", "crps", "coverage80"} <= set(row) for row in rows)


def test_all_methods_are_scored_on_the_same_cells(result):
    for gap in (5, 20):
        assert (
            len({r["cells"] for r in result["gap_filling"] if (r["gap_days"], r["band"]) == (gap, "B1")}) == 1
        )


def test_the_ratio_is_that_of_the_rows(result):
    at = {(row["band"], row["gap_days"], row["method"]): row["rmse"] for row in result["gap_filling"]}
    for row in result["gap_ratio"]:
        expected = (
            at[row["band"], row["gap_days"], "satfusenet"] / at[row["band"], row["gap_days"], row["baseline"]]
        )
        assert row["ratio"] == pytest.approx(expected, rel=1e-3)
        assert row["low"] <= row["ratio"] <= row["high"]


def test_surfaces_and_land_cover_stand_apart_and_add_up(result):
    surfaces = {row["surface"] for row in result["gap_filling_by_surface"]}
    assert surfaces == {"snow", "snow_free", "land cover: forest"}

    def cells(rows, **wanted):
        chosen = {"band": "B2", "gap_days": 20, "method": "linear"} | wanted
        return sum(row["cells"] for row in rows if all(row[key] == value for key, value in chosen.items()))

    apart = sum(cells(result["gap_filling_by_surface"], surface=name) for name in ("snow", "snow_free"))
    assert apart == cells(result["gap_filling"])


def test_it_says_what_was_not_there_to_measure(result):
    assert result["translation"] == []
    assert "spectral_responses" in result["translation_not_evaluated"]
    assert result["drop_in"] is None
    assert result["verdicts"]["translation_beats_mlp"]["holds"] is None
    assert result["networks"][0]["pixels_scored"] == 12
    assert result["data"]["pixels_without_any_observation"] == 1


def test_the_whole_is_json_and_the_same_every_time(result, folder, unspoilt):
    again = satfusenet.evaluate(folder, TINY, "the command", trained=unspoilt)
    assert json.dumps(again, allow_nan=False) == json.dumps(result, allow_nan=False)


def test_pixels_that_all_networks_saw_are_left_out(folder, result):
    names = series.read(folder).fingerprints
    trained = [Network("shipped", cards.FOLDER, frozenset(names[:4]))]
    found = satfusenet.evaluate(folder, replace(TINY, gap_days=(5,)), "", trained=trained)
    assert found["data"]["pixels_scored"] == 8
    assert found["networks"][-1]["pixels_left_out_since_all_saw_them"] == 4
    assert found["gap_filling"][0]["cells"] < result["gap_filling"][0]["cells"]
    with pytest.raises(InvalidParameter, match="12 pixels"):
        satfusenet.evaluate(folder, TINY, "", trained=[Network("shipped", cards.FOLDER, frozenset(names))])


def test_a_network_that_does_not_tell_what_it_saw_is_named(folder):
    untold = [Network("given", cards.FOLDER, None)]
    with pytest.raises(InvalidParameter, match=r"pixels_sha256.*given"):
        satfusenet.evaluate(folder, TINY, "", trained=untold)


def test_towers_without_response_functions_are_no_reason_to_fail(folder, unspoilt, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "hls_gpp").mkdir()
    found = satfusenet.evaluate(tmp_path, replace(TINY, gap_days=(5,)), "", trained=unspoilt)
    assert found["drop_in"] is None
    assert "spectral_responses" in found["drop_in_not_evaluated"]
    assert "hls_gpp" not in found["drop_in_not_evaluated"]


def test_a_gap_that_fits_nowhere_is_left_out_and_named(stored, unspoilt, tmp_path):
    save(tmp_path, stored[:, :60])
    found = satfusenet.evaluate(tmp_path, replace(TINY, gap_days=(5, 80)), "", trained=unspoilt * 2)
    assert {row["gap_days"] for row in found["gap_filling"]} == {5}
    (left_out,) = found["data"]["gap_lengths_left_out"]
    assert left_out["gap_days"] == 80
    for result in (found, satfusenet.evaluate(tmp_path, replace(TINY, gap_days=(80,)), "", trained=unspoilt)):
        assert "Gaps of 80 days were not scored" in report.render(result)
        assert "Gaps of 80 days were not scored" in markdown.tables(result)


def test_a_band_that_was_never_observed_is_left_out_and_counted(stored, unspoilt, tmp_path):
    refl = stored.copy()
    refl[..., 4] = FILL
    save(tmp_path, refl)
    found = satfusenet.evaluate(tmp_path, replace(TINY, gap_days=(20,)), "", trained=unspoilt)
    blind = [row for row in found["gap_ratio"] if row["ratio"] is None]
    assert [row["band"] for row in blind] == ["B5"]
    assert found["verdicts"]["ratio_to_best_baseline"]["not_measured"] == 1
    seen = [row["ratio"] for row in found["gap_ratio"] if row["band"] != "B5"]
    assert found["gap_ratio_mean"][0]["ratio"] == pytest.approx(np.mean(seen), rel=1e-3)
    json.dumps(found, allow_nan=False)
    assert "without a measurement" in report.render(found)
    assert "without a measurement" in markdown.tables(found)


def test_pixels_that_settings_were_chosen_on_stand_apart(result, folder, unspoilt, monkeypatch):
    assert result["gap_ratio_mean_untouched"] == []
    names = "".join(series.read(folder).fingerprints)
    monkeypatch.setattr(series, "TUNING_SERIES_SHA256", hashlib.sha256(names.encode()).hexdigest())
    monkeypatch.setattr(series, "TUNING_PIXELS", 4)
    found = satfusenet.evaluate(folder, replace(TINY, gap_days=(5,)), "", trained=unspoilt)
    (row,) = found["gap_ratio_mean_untouched"]
    assert row["pixels"] <= 8
    assert row["ratio"] != found["gap_ratio_mean"][0]["ratio"]
    line = f"5 d {row['ratio']:.3f} ("
    assert line in report.render(found)
    assert line in markdown.tables(found)


def test_the_report_needs_nothing_else(result):
    text = report.render(result)
    assert text.startswith("<!DOCTYPE html>")
    assert "<script" not in text
    assert "http" not in text
    assert text.count("data:image/png;base64,") >= 7
    assert "Where it wins" in text
    assert "Where it loses" in text


def test_the_readme_table_is_of_the_same_numbers(result):
    text = markdown.tables(result)
    linear = np.mean(
        [r["rmse"] for r in result["gap_filling"] if (r["gap_days"], r["method"]) == (20, "linear")]
    )
    (line,) = (line for line in text.splitlines() if line.startswith("| 20 days"))
    assert line.split(" | ")[1] == f"{1000 * linear:.1f}"
