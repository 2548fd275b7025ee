"""What an evaluation found, in plain words: losses stand beside wins."""

from collections.abc import Sequence

from openeo_udf_fusion.evaluation.figures import arrow
from openeo_udf_fusion.evaluation.series import TUNING_PIXELS
from openeo_udf_fusion.evaluation.verdicts import COVERAGE, TOLERANCE, measured
from openeo_udf_fusion.jsontypes import Json

GATES = {
    "ratio_to_best_baseline": "Never worse than the best simple method",
    "mean_ratio": "Better on average than the best simple method",
    "coverage80": "80 % intervals cover 80 %",
    "translation_below_ridge": "Translation better than the all-band ridge",
    "translation_beats_mlp": "Translation better than the MLP",
}
ANSWERS = {True: "holds", False: "does not hold", None: "not measured"}
SHOWN_LOSSES = 8


def verdict_rows(verdicts: Json) -> list[tuple[str, str, str]]:
    """Gate, answer and the numbers that decide."""
    found = [(GATES[name], ANSWERS[verdicts[name]["holds"]], detail(name, verdicts[name])) for name in GATES]
    aim = verdicts["aim"]
    return [*found, ("Aim, no gate: further ahead in long gaps", ANSWERS[aim["holds"]], ratios(aim["gaps"]))]


def detail(name: str, verdict: Json) -> str:
    """The numbers that decide a gate, and how many of them there should be more."""
    left_out = verdict["not_measured"]
    return numbers(name, verdict) + (f"; {left_out} without a measurement, left out" if left_out else "")


def untouched(result: Json) -> str | None:
    """The mean ratios on pixels that no setting of the training was chosen by; None where not known."""
    rows = measured(result["gap_ratio_mean_untouched"], "ratio", "low", "high")
    if not rows:
        return None
    found = "; ".join(
        f"{row['gap_days']} d {row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})" for row in rows
    )
    return (
        f"The training's settings were chosen by trials on {TUNING_PIXELS} of the known pixels; the mean "
        f"ratio to the best simple method on at most {max(row['pixels'] for row in rows)} others: {found}."
    )


def lengths_left_out(result: Json) -> list[str]:
    """Sentences about lengths of gaps that were not scored."""
    rows = result["data"]["gap_lengths_left_out"]
    return [f"Gaps of {row['gap_days']} days were not scored: {row['reason']}." for row in rows]


def numbers(name: str, verdict: Json) -> str:
    """The numbers that decide a gate, as text."""
    if name == "mean_ratio":
        return ratios(verdict["gaps"])
    if name == "coverage80":
        return "; ".join(
            f"{row['gap_days']} d {percent(row['coverage80'])} (80 ± {percent(row['tolerance'])})"
            for row in verdict["gaps"]
        )
    if name == "ratio_to_best_baseline":
        worst = verdict["worst"]
        if worst is None:
            return ""
        return (
            f"{len(verdict['losses'])} of the bands and gaps beyond; the highest upper end is "
            f"{worst['high']:.3f} ({worst['band']}, {worst['gap_days']} d, {worst['ratio']:.3f} over "
            f"{worst['baseline']})"
        )
    lost = [f"{row['band']} ({arrow(row['direction'])})" for row in verdict["losses"]]
    return f"lost: {', '.join(lost)}" if lost else "no band is lost"


def ratios(gaps: Sequence[Json]) -> str:
    """Mean ratios with what was required."""
    return "; ".join(f"{row['gap_days']} d {row['ratio']:.3f} (≤ {row['required']:.2f})" for row in gaps)


def wins(result: Json) -> list[str]:
    """Sentences about what is better beyond doubt."""
    lines = []
    for row in measured(result["gap_ratio_mean"], "ratio", "low", "high"):
        if row["high"] < 1:
            lines.append(
                f"Gaps of {row['gap_days']} days: RMSE {less(row['ratio'])} below the best simple method's, "
                f"mean over the bands (95 % interval of the ratio {row['low']:.3f} to {row['high']:.3f})."
            )
    rows = measured(result["gap_ratio"], "high")
    sure = [row for row in rows if row["high"] < 1]
    lines.append(f"Beyond doubt better in {len(sure)} of {len(rows)} bands and gap lengths.")
    return lines + translation_lines(result, won=True) + composite_lines(result["real_directional"], won=True)


def losses(result: Json) -> list[str]:
    """Sentences about what is worse, or might be."""
    lines = []
    for row in measured(result["gap_ratio_mean"], "ratio", "low", "high"):
        if row["high"] >= 1:
            word = "no better than" if row["low"] <= 1 else "worse than"
            lines.append(
                f"Gaps of {row['gap_days']} days: {word} the best simple method, mean over the bands "
                f"{row['ratio']:.3f} (95 % interval {row['low']:.3f} to {row['high']:.3f})."
            )
    rows = measured(result["gap_ratio"], "ratio", "low", "high")
    behind = sorted((r for r in rows if r["ratio"] > 1), key=lambda row: -row["ratio"])
    lines.append(f"Behind on the scored cells in {len(behind)} of {len(rows)} bands and gap lengths.")
    if len(rows) < len(result["gap_ratio"]):
        lines.append(f"Nothing to score in {len(result['gap_ratio']) - len(rows)} bands and gap lengths.")
    lines += [
        f"{row['band']}, {row['gap_days']} days: RMSE {row['ratio']:.3f} times that of {row['baseline']} "
        f"({row['low']:.3f} to {row['high']:.3f})."
        for row in behind[:SHOWN_LOSSES]
    ]
    lines += translation_lines(result, won=False) + composite_lines(result["real_directional"], won=False)
    covered = measured(result["gap_coverage"], "coverage80")
    outside = [row for row in covered if abs(row["coverage80"] - COVERAGE) > TOLERANCE]
    lines.append(
        f"Intervals: {len(outside)} of {len(covered)} coverages (bands and gap lengths) are more than 2 % "
        "from 80 %."
    )
    return lines + lengths_left_out(result)


def translation_lines(result: Json, *, won: bool) -> list[str]:
    """Bands in which translation beats a fitted baseline, or does not."""
    lines = []
    for baseline in ("ridge", "mlp"):
        known = measured(result["translation_nse_difference"], "difference", "low")
        rows = [row for row in known if row["baseline"] == baseline]
        picked = [row for row in rows if (row["low"] > 0 if won else row["difference"] <= 0)]
        if rows and (picked or won):
            named = ", ".join(f"{r['band']} ({arrow(r['direction'])}, {r['platform']})" for r in picked)
            verb = "beyond doubt better than" if won else "worse than"
            listed = f": {named}" if not won else ""
            lines.append(f"Translation {verb} {baseline} in {len(picked)} of {len(rows)} bands{listed}.")
    return lines


def composite_lines(found: Json, *, won: bool) -> list[str]:
    """What withheld composites of a real directional scene say."""
    if not found["rows"]:
        return []
    ratio, covered = found["ratio_mean"], found["coverage"][0]
    lines = []
    if measured([ratio], "ratio", "low", "high") and (ratio["high"] < 1) is won:
        lines.append(
            f"Real directional composites ({found['collection']}): RMSE {ratio['ratio']:.3f} times the best "
            f"simple method's, mean over the bands ({ratio['low']:.3f} to {ratio['high']:.3f})."
        )
    sure = measured([covered], "coverage80", "half_width")
    if sure and (abs(covered["coverage80"] - COVERAGE) <= max(TOLERANCE, covered["half_width"])) is won:
        lines.append(
            f"Real directional composites ({found['collection']}): 80 % intervals cover "
            f"{percent(covered['coverage80'])} (± {percent(covered['half_width'])})."
        )
    return lines


def less(ratio: float) -> str:
    """How far a ratio lies below 1."""
    return percent(1 - ratio)


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.1f} %"
