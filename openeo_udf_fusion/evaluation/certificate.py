"""The drop-in certificate as a section of the report."""

from openeo_udf_fusion.evaluation import gpp_figure, gpp_summary, page
from openeo_udf_fusion.evaluation.page import Cell
from openeo_udf_fusion.jsontypes import Json


def section(found: Json) -> str:
    """What GPP models say of VIIRS in MODIS's place; of `dropin.certify`."""
    caption = "What replaces MODIS, against MODIS itself: dots with 95 % intervals over places."
    return "".join(
        [
            page.heading(found["title"]),
            *[words(part) for part in gpp_summary.summary(found).split("\n\n")],
            page.picture(gpp_figure.figure(found), caption),
            scores(found),
            differences(found),
            page.bullets([f"Not used: {name}. {why}." for name, why in found["not_used"].items()]),
            page.bullets(
                [f"{each['for']}: {each['citation']}, doi:{each['doi']}" for each in found["sources"]]
            ),
        ]
    )


def words(part: str) -> str:
    """A paragraph, or several lines as a list."""
    lines = part.splitlines()
    return page.paragraph(part) if len(lines) == 1 else page.paragraph(lines[0]) + page.bullets(lines[1:])


def scores(found: Json) -> str:
    """RMSE, R2 and bias of every GPP model and input."""
    rows = [
        [
            row["model"],
            found["inputs"][row["input"]],
            f"{row['rmse']:.3f}",
            f"{row['r2']:.3f}",
            f"{row['bias']:+.3f}",
        ]
        for row in found["scores"]
    ]
    return page.table(
        "GPP at towers not trained on (gC m-2 d-1)", ["GPP model", "fed with", "RMSE", "R2", "bias"], rows
    )


def differences(found: Json) -> str:
    """Paired differences of RMSE with their intervals."""
    rows = [
        [
            row["model"],
            found["inputs"][row["input"]],
            found["inputs"][row["against"]],
            Cell(
                f"{row['rmse_difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
                "win" if row["high"] < 0 else "loss" if row["low"] > 0 else "",
            ),
            f"{100 * row['relative']:+.1f} %",
        ]
        for row in found["differences"]
    ]
    head = ["GPP model", "fed with", "against", "difference of RMSE (95 % interval)", "relative"]
    return page.table("Loss (+) or gain (-) in RMSE, paired (gC m-2 d-1)", head, rows)
