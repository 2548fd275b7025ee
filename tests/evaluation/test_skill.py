import json

from openeo_udf_fusion.evaluation import satfusenet, skill


def test_the_card_quotes_the_rows(folder, unspoilt):
    settings = satfusenet.Settings(gap_days=(5,), repeats=1, resamples=100)
    result = satfusenet.evaluate(folder, settings, "the command", trained=unspoilt)
    quoted = skill.for_card(result)
    rows = {(row["method"], row["band"]): row["rmse"] for row in result["gap_filling"]}
    gap = quoted["gap_filling_modis_alone"]["5"]
    assert gap["rmse"]["B3"] == rows["satfusenet", "B3"]
    assert gap["rmse_best_baseline"]["B3"]["rmse"] == min(
        v for k, v in rows.items() if k[1] == "B3" and k[0] != "satfusenet"
    )
    assert gap["coverage80"]["coverage80"] == result["gap_coverage"][0]["coverage80"]
    for direction, platforms in quoted["translation"].items():
        for platform, bands in platforms.items():
            for row in result["translation"]:
                if (row["direction"], row["platform"], row["method"]) == (direction, platform, "identity"):
                    assert bands[row["band"]]["rmse_identity"] == row["rmse"]
    assert quoted["command"] == "the command"
    assert len(json.dumps(quoted)) < 6000
