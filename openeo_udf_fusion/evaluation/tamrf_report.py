"""The page of TAMRF's evaluation: tables, intervals and images, in one HTML file."""

from collections.abc import Sequence

from openeo_udf_fusion.evaluation import page, tamrf_pictures, tamrf_tables
from openeo_udf_fusion.evaluation.figures import distinct
from openeo_udf_fusion.evaluation.page import Cell
from openeo_udf_fusion.evaluation.tamrf import Scene
from openeo_udf_fusion.evaluation.tamrf_tables import Table
from openeo_udf_fusion.jsontypes import Json

PICTURED = (
    ("gap_filling", "GAPS"),
    ("fusion", "CONJLR2HR"),
    ("fusion", "LRuHRNOCONJ2HR"),
    ("fusion", "LRuHRGAPS2HR"),
    ("band_sharpening", "ALL"),
    ("band_sharpening", "WALD"),
    ("thermal_sharpening", "ALL"),
)


def render(result: Json, scenes: Sequence[Scene]) -> str:
    """The page as HTML that needs no other file."""
    sections = [
        page.paragraph(tamrf_tables.intro(result)),
        page.paragraph(tamrf_tables.verdict_line(result)),
        page.bullets(result["notes"]),
        page.heading("Methods and strategies"),
        page.table("", ["method", "what it is"], [[*item] for item in result["methods"].items()]),
        page.table(
            "", ["strategy", "what is shown or hidden"], [[*item] for item in result["strategies"].items()]
        ),
        page.heading("Scores"),
        *[of_table(table) for table in tamrf_tables.tables(result)],
        *[
            page.picture(
                tamrf_pictures.forest(result, model),
                f"RMSE of {model} over each comparator's, mean of the bands both draw, with 95 % intervals.",
            )
            for model in result["models"]
            if any(row["method"] == model for row in result["comparison"])
        ],
        page.heading("Images"),
        *[
            page.picture(tamrf_pictures.of_scene(scene), tamrf_pictures.caption(scene))
            for scene in scenes
            if (scene.trial.task, scene.trial.strategy) in PICTURED
        ],
        page.heading("Band by band"),
        *[of_table(tamrf_tables.every_row(result, task)) for task in distinct(result["rows"], "task")],
        page.heading("How to repeat it"),
        page.paragraph(result["command"]),
    ]
    return page.document("TAMRF: Landsat and Sentinel-2 fused, on dates that no training saw", sections)


def of_table(table: Table) -> str:
    """A table as HTML; what is bold in Markdown is marked."""
    rows = [[marked(text) for text in row] for row in table.rows]
    return page.table(table.caption, table.head, rows)


def marked(text: str) -> str:
    """A cell with its mark."""
    if text.startswith("**"):
        return Cell(text.strip("*"), "best")
    return Cell(text, {"better": "win", "worse": "loss"}.get(text, ""))
