"""The gates that a network must pass, computed from the rows of an evaluation."""

from collections.abc import Callable, Mapping, Sequence

from openeo_udf_fusion.evaluation.tables import ALL_BANDS
from openeo_udf_fusion.jsontypes import Json

HIGHEST_RATIO = 1.02
MEAN_RATIO = {5: 1.00, 10: 1.00, 20: 0.93, 40: 0.90, 80: 0.76}
AIM = {20: 0.88, 40: 0.80, 80: 0.65}
COVERAGE, TOLERANCE = 0.80, 0.02
GATE_PLATFORM = "NOAA-20"


def verdicts(result: Mapping[str, Sequence[Json]]) -> Json:
    """Whether each gate holds, with the numbers that decide; None where nothing was measured.

    Parameters
    ----------
    result
        The rows `gap_ratio`, `gap_ratio_mean`, `gap_coverage`, `translation` and
        `translation_nse_difference` of an evaluation. Rows without a number, as of a band that was never
        observed, are left out and counted.
    """
    found: Json = {
        "ratio_to_best_baseline": highest_ratio(result["gap_ratio"]),
        "mean_ratio": mean_ratio(result["gap_ratio_mean"], MEAN_RATIO),
        "coverage80": coverage(result["gap_coverage"]),
        "translation_below_ridge": translation_below_ridge(result["translation"]),
        "translation_beats_mlp": translation_beats_mlp(result["translation_nse_difference"]),
    }
    holds = [each["holds"] for each in found.values()]
    return {
        "all_hold": None if None in holds else all(holds),
        **found,
        "aim": mean_ratio(result["gap_ratio_mean"], AIM) | {"is_a_gate": False},
    }


def highest_ratio(rows: Sequence[Json]) -> Json:
    """The upper end of the RMSE ratio's interval, in every band at every gap length."""
    known = measured(rows, "ratio", "high")
    worst = max(known, key=lambda row: row["high"], default=None)
    return {
        "rule": f"RMSE over the best baseline's: its 95 % interval ends at {HIGHEST_RATIO} or below",
        "holds": decided(known, lambda row: row["high"] <= HIGHEST_RATIO),
        "not_measured": len(rows) - len(known),
        "worst": worst,
        "losses": [row for row in known if row["high"] > HIGHEST_RATIO],
    }


def mean_ratio(rows: Sequence[Json], required: Mapping[int, float]) -> Json:
    """The mean over the bands of the RMSE ratio, at every gap length."""
    known = measured(rows, "ratio")
    gaps = [
        {**row, "required": required[row["gap_days"]], "holds": row["ratio"] <= required[row["gap_days"]]}
        for row in known
        if row["gap_days"] in required
    ]
    return {
        "rule": "mean over the bands of RMSE over the best baseline's, at most the required",
        "holds": decided(gaps, lambda row: row["holds"]),
        "not_measured": len(rows) - len(known),
        "gaps": gaps,
    }


def coverage(rows: Sequence[Json]) -> Json:
    """How near the 80 % intervals come to 80 %, all bands together; single bands are shown beside."""
    known = measured(rows, "coverage80", "half_width")
    judged = [
        row
        | {
            "tolerance": max(TOLERANCE, row["half_width"]),
            "holds": abs(row["coverage80"] - COVERAGE) <= max(TOLERANCE, row["half_width"]),
        }
        for row in known
    ]
    pooled = [row for row in judged if row["band"] == ALL_BANDS]
    return {
        "rule": "80 % intervals cover 80 % within max(2 %, the half-width of their 95 % interval), all bands "
        "together at every gap length",
        "holds": decided(pooled, lambda row: row["holds"]),
        "not_measured": len(rows) - len(known),
        "gaps": pooled,
        "single_bands_outside": [row for row in judged if row["band"] != ALL_BANDS and not row["holds"]],
    }


def translation_below_ridge(rows: Sequence[Json]) -> Json:
    """Translation against the all-band ridge: RMSE on VIIRS of the platform that no fit has seen."""
    at = {(r["direction"], r["platform"], r["band"], r["method"]): r["rmse"] for r in rows}
    compared = [
        {
            "direction": key[0],
            "platform": key[1],
            "band": key[2],
            "rmse": rmse,
            "ridge": at[(*key[:3], "ridge")],
        }
        for key, rmse in at.items()
        if key[3] == "satfusenet"
    ]
    known = measured(compared, "rmse", "ridge")
    gate = [row for row in known if row["platform"] == GATE_PLATFORM]
    return {
        "rule": f"RMSE below the all-band ridge's for every band in both directions, {GATE_PLATFORM}",
        "holds": decided(gate, lambda row: row["rmse"] < row["ridge"]),
        "not_measured": len(compared) - len(known),
        "losses": [row for row in gate if row["rmse"] >= row["ridge"]],
        "losses_on_other_platforms": [
            row for row in known if row not in gate and row["rmse"] >= row["ridge"]
        ],
    }


def translation_beats_mlp(rows: Sequence[Json]) -> Json:
    """Translation against the MLP: a higher NSE in every band."""
    against = [row for row in rows if row["baseline"] == "mlp"]
    known = measured(against, "difference", "low")
    gate = [row for row in known if row["platform"] == GATE_PLATFORM]
    return {
        "rule": f"NSE above the MLP's for every band in both directions, {GATE_PLATFORM}",
        "holds": decided(gate, lambda row: row["difference"] > 0),
        "not_measured": len(against) - len(known),
        "losses": [row for row in gate if row["difference"] <= 0],
        "wins_beyond_doubt": sum(row["low"] > 0 for row in gate),
        "losses_on_other_platforms": [row for row in known if row not in gate and row["difference"] <= 0],
    }


def measured(rows: Sequence[Json], *columns: str) -> list[Json]:
    """The rows that have a number in all of these columns."""
    return [row for row in rows if all(row[column] is not None for column in columns)]


def decided(rows: Sequence[Json], holds: Callable[[Json], bool]) -> bool | None:
    """Whether something holds in all rows; None if there are none."""
    return all(holds(row) for row in rows) if rows else None
