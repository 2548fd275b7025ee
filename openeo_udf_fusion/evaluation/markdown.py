"""The tables of the README, from the same JSON as everything else."""

from collections.abc import Sequence

from openeo_udf_fusion.evaluation import summary
from openeo_udf_fusion.evaluation.figures import arrow, distinct
from openeo_udf_fusion.evaluation.verdicts import GATE_PLATFORM
from openeo_udf_fusion.jsontypes import Json


def tables(result: Json) -> str:
    """Gap filling, translation and the gates in Markdown."""
    pixels = result["data"]["pixels_scored"]
    parts = [
        f"Gap filling, MODIS alone: {pixels} pixels that the scoring network never saw, RMSE x 1000 (mean of "
        "the 7 bands); ratio: RMSE over the best simple method's of each band, mean of the bands, with its "
        "95 % interval.",
        gap_table(result),
        *([line] if (line := summary.untouched(result)) else []),
        *summary.lengths_left_out(result),
        f"Translation, semi-real VIIRS of {GATE_PLATFORM}: RMSE x 1000.",
        *[translation_table(result, direction) for direction in distinct(result["translation"], "direction")],
        "Gates:",
        table(["gate", "verdict", "numbers"], summary.verdict_rows(result["verdicts"])),
        f"`{result['command']}`",
    ]
    return "\n\n".join(parts) + "\n"


def gap_table(result: Json) -> str:
    """Methods, ratio and coverage by gap length; means are over the bands that have cells."""
    rows = result["gap_filling"]
    methods, gaps = distinct(rows, "method"), distinct(rows, "gap_days")
    means = {row["gap_days"]: row for row in result["gap_ratio_mean"]}
    covered = {row["gap_days"]: row for row in result["gap_coverage"] if row["band"] == "all"}
    lines = []
    for gap in gaps:
        errors = [
            mean([r["rmse"] for r in rows if r["gap_days"] == gap and r["method"] == m]) for m in methods
        ]
        ratio, inside = means[gap], covered[gap]
        lines.append(
            [
                f"{gap} days",
                *(thousandfold(error) for error in errors),
                f"{ratio['ratio']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})",
                f"{100 * inside['coverage80']:.1f} % ± {100 * inside['half_width']:.1f}",
            ]
        )
    return table(["gap", *methods, "ratio", "80 % intervals cover"], lines)


def translation_table(result: Json, direction: str) -> str:
    """Methods by bands for one direction."""
    rows = [
        r for r in result["translation"] if r["direction"] == direction and r["platform"] == GATE_PLATFORM
    ]
    bands = distinct(rows, "band")
    at = {(row["method"], row["band"]): row["rmse"] for row in rows}
    lines = [[name, *(thousandfold(at[name, b]) for b in bands)] for name in distinct(rows, "method")]
    return table([arrow(direction), *bands], lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def thousandfold(value: float | None) -> str:
    """A number for a table in thousandths; a dash for none."""
    return "–" if value is None else f"{1000 * value:.1f}"


def mean(found: Sequence[float | None]) -> float | None:
    """The mean of those of a few numbers that are known; None if none is."""
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None
