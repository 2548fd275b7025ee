"""What a model's card says of its skill: the few numbers of an evaluation that a user decides by."""

from openeo_udf_fusion.jsontypes import Json

MODEL = "satfusenet"


def for_card(result: Json) -> Json:
    """RMSE by band, its ratio to the best baseline's, coverage and verdicts, of `satfusenet.evaluate`.

    All numbers are reflectance except ratios, NSE and coverage (a share).
    """
    gaps = {str(row["gap_days"]): row for row in result["gap_ratio_mean"]}
    return {
        "command": result["command"],
        "package_version": result["package_version"],
        "pixels": result["data"]["pixels_scored"],
        "networks": result["networks"],
        "gap_filling_modis_alone": {days: of_gap(result, int(days), mean) for days, mean in gaps.items()},
        "translation": translation(result),
        "holds": {
            name: verdict["holds"]
            for name, verdict in result["verdicts"].items()
            if isinstance(verdict, dict)
        },
    }


def translation(result: Json) -> Json:
    """By direction, platform and band, beside the RMSE of the other sensor's values as they are."""
    key = ("direction", "platform", "band")
    rows = result["translation"]
    as_it_is = {tuple(row[k] for k in key): row["rmse"] for row in rows if row["method"] == "identity"}
    found: Json = {}
    for row in rows:
        if row["method"] == MODEL:
            scores = {name: row[name] for name in ("rmse", "nse", "crps", "coverage80")}
            scores["rmse_identity"] = as_it_is[tuple(row[k] for k in key)]
            found.setdefault(row["direction"], {}).setdefault(row["platform"], {})[row["band"]] = scores
    return found


def of_gap(result: Json, days: int, mean: Json) -> Json:
    """One gap length: RMSE by band beside that of the best baseline, the mean ratio, and the coverage."""
    rows = [row for row in result["gap_filling"] if row["gap_days"] == days]
    at = {(row["method"], row["band"]): row["rmse"] for row in rows}
    best = {row["band"]: row["baseline"] for row in result["gap_ratio"] if row["gap_days"] == days}
    (covered,) = (r for r in result["gap_coverage"] if r["gap_days"] == days and r["band"] == "all")
    return {
        "rmse": {band: at[MODEL, band] for band in best},
        "rmse_best_baseline": {band: {"rmse": at[name, band], "method": name} for band, name in best.items()},
        "ratio_mean": {name: mean[name] for name in ("ratio", "low", "high")},
        "coverage80": {name: covered[name] for name in ("coverage80", "half_width")},
    }
