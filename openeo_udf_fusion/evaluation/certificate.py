"""The drop-in certificate as a section of the report."""

from openeo_udf_fusion.evaluation import page
from openeo_udf_fusion.evaluation.page import Cell
from openeo_udf_fusion.jsontypes import Json


def section(found: Json) -> str:
    """Scores and paired differences of GPP models fed with VIIRS in MODIS's place; of `dropin.certify`."""
    data, settings = found["data"], found["settings"]
    if found["usable_without_retraining"]:
        verdict = "Models trained on MODIS can be fed with synthetic MODIS as they are"
    else:
        verdict = "It is not shown that models trained on MODIS can be fed with synthetic MODIS as they are"
    return "".join(
        [
            page.heading(found["title"]),
            page.paragraph(
                f"{verdict}: the upper end of the 95 % interval of the loss in RMSE was to stay below "
                f"{100 * settings['margin']:.0f} % of the RMSE with MODIS itself, for every GPP model."
            ),
            page.paragraph(found["note"], note=True),
            page.paragraph(
                f"{data['rows']} clear days at {data['towers']} flux towers, {data['first_day']} to "
                f"{data['last_day']}; no GPP model was trained at the place where it is scored.",
                note=True,
            ),
            scores(found),
            differences(found),
            page.bullets([f"{name}: {why}." for name, why in found["not_used"].items()]),
            page.bullets(
                [f"{each['for']}: {each['citation']}, doi:{each['doi']}" for each in found["sources"]]
            ),
        ]
    )


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
