"""The report: one printable page from the JSON of an evaluation."""

from collections.abc import Callable, Mapping, Sequence

from openeo_udf_fusion.evaluation import certificate, figures, page, summary
from openeo_udf_fusion.evaluation.page import Cell
from openeo_udf_fusion.evaluation.verdicts import measured
from openeo_udf_fusion.jsontypes import Json

Render = Callable[[Json], str]
SEMI_REAL = (
    "MODIS is measured. Every VIIRS on this page is semi-real: made of measured MODIS with measured and "
    "simulated spectra, the instruments' response functions and assumed noise. Skill on real VIIRS was not "
    "measured."
)


def render(result: Json, drop_in: Render = certificate.section) -> str:
    """The page as HTML that needs no other file.

    Parameters
    ----------
    result
        Of `satfusenet.evaluate`.
    drop_in
        Turns `result["drop_in"]`, the drop-in certificate, into a section of HTML.
    """
    sections = [
        head(result),
        verdicts(result),
        gaps(result),
        honesty(result),
        surfaces(result),
        with_viirs(result),
        translation(result),
        real(result),
    ]
    if result["drop_in"] is not None:
        sections.append(drop_in(result["drop_in"]))
    else:
        sections += [page.heading("Drop-in certificate"), page.paragraph(result["drop_in_not_evaluated"])]
    return page.document("SatFuseNet: what it can do, and what it cannot", [*sections, method(result)])


def head(result: Json) -> str:
    """What was done, in plain words."""
    data = result["data"]
    quick = (
        "A quick look at a few pixels: it shows that everything runs. Its numbers and verdicts mean nothing."
    )
    return "".join(
        [
            page.paragraph(quick) if "--quick" in result["command"] else "",
            page.paragraph(
                f"{data['pixels_scored']} of {data['pixels']} pixels with a year of measured MODIS, each "
                "scored by a network that has not seen it. All methods answer for the same hidden "
                "observations; intervals are 95 % by resampling whole pixels."
            ),
            page.paragraph(SEMI_REAL),
            page.columns(
                page.heading("Where it wins", 3) + page.bullets(summary.wins(result)),
                page.heading("Where it loses", 3) + page.bullets(summary.losses(result)),
            ),
        ]
    )


def verdicts(result: Json) -> str:
    """The gates."""
    rows = [
        [gate, Cell(answer, {"holds": "win", "does not hold": "loss"}.get(answer, "")), detail]
        for gate, answer, detail in summary.verdict_rows(result["verdicts"])
    ]
    return page.heading("The gates") + page.table("", ["gate", "verdict", "numbers"], rows, "verdicts")


def gaps(result: Json) -> str:
    """Gap filling, MODIS alone."""
    rows, pictures = result["gap_filling"], result["curves"]
    lengths = figures.distinct(rows, "gap_days")
    parts = [
        page.heading("Filling gaps of MODIS alone"),
        page.picture(figures.rmse_against_gap(rows), "RMSE over the length of the gap, per band."),
        page.picture(
            figures.ratio_per_band(result["gap_ratio"], result["gap_ratio_mean"]),
            "RMSE of SatFuseNet over that of the best simple method of each band and gap, with 95 % "
            "intervals; below 1 is better.",
        ),
        *[scores(rows, {"gap_days": gap}, "rmse", f"RMSE x 1000, gaps of {gap} days") for gap in lengths],
        ratio_table(result["gap_ratio"], lengths),
        *([page.paragraph(line)] if (line := summary.untouched(result)) else []),
        *[scores(rows, {"gap_days": gap}, "crps", f"CRPS x 1000, gaps of {gap} days") for gap in lengths],
        page.picture(
            figures.rmse_of_pixels(pictures["rmse_of_pixels"]),
            "Share of pixels whose RMSE over all bands is below the value.",
        ),
    ]
    if pictures["scatter_gaps"]:
        caption = "Predicted over observed reflectance in gaps of 20 days; darker is more cells."
        parts.append(page.picture(figures.scatter(pictures["scatter_gaps"]), caption))
    return "".join(parts)


def honesty(result: Json) -> str:
    """Whether the stated uncertainty is true."""
    rows = result["curves"]["distributions"]
    return "".join(
        [
            page.heading("Are the intervals honest?"),
            page.picture(
                figures.coverage_per_gap(result["gap_coverage"]),
                "Share of hidden observations inside the 80 % intervals of SatFuseNet, with 95 % intervals.",
            ),
            page.picture(
                figures.reliability(rows),
                "Reliability: observed less nominal coverage of central intervals. Above 0: too wide; "
                "below: too narrow. Grey: within 2 %.",
            ),
            page.picture(figures.pit(rows), "PIT histograms of SatFuseNet; flat is calibrated."),
            page.picture(
                figures.spread_against_error(rows),
                "RMSE against stated sigma, in twelve bins of equal size; on the line is calibrated.",
            ),
        ]
    )


def surfaces(result: Json) -> str:
    """Snow, snow-free ground and land cover apart."""
    rows = result["gap_filling_by_surface"]
    parts = [
        page.heading("Snow and snow-free ground apart"),
        page.paragraph(result["data"]["snow_rule"], note=True),
    ]
    for surface in figures.distinct(rows, "surface"):
        for gap in figures.distinct(rows, "gap_days"):
            where = {"surface": surface, "gap_days": gap}
            parts.append(scores(rows, where, "rmse", f"RMSE x 1000, {surface}, gaps of {gap} days"))
    return "".join(parts)


def with_viirs(result: Json) -> str:
    """Gap filling with VIIRS at hand."""
    rows = result["gap_filling_with_viirs"]
    if not rows:
        return ""
    parts = [page.heading("Filling gaps of MODIS with (semi-real) VIIRS at hand")]
    for days, words in (("viirs_seen", "days that VIIRS saw"), ("viirs_missed", "days that VIIRS missed")):
        for gap in figures.distinct(rows, "gap_days"):
            where = {"days": days, "gap_days": gap}
            parts.append(scores(rows, where, "rmse", f"RMSE x 1000, gaps of {gap} days, {words}"))
    return "".join(parts)


def translation(result: Json) -> str:
    """Both directions of translation."""
    rows, pictures = result["translation"], result["curves"]
    if not rows:
        return page.heading("Translation") + page.paragraph(result["translation_not_evaluated"])
    parts = [
        page.heading("Translation between the sensors"),
        page.paragraph(result["data"]["viirs"], note=True),
        page.picture(
            figures.nse_difference(result["translation_nse_difference"]),
            "NSE of SatFuseNet less that of the MLP, per band, with 95 % intervals; above 0 is better.",
        ),
    ]
    for direction in figures.distinct(rows, "direction"):
        for platform in figures.distinct(rows, "platform"):
            where = {"direction": direction, "platform": platform}
            words = f"{figures.arrow(direction)}, {platform}"
            parts.append(scores(rows, where, "rmse", f"RMSE x 1000, {words}"))
            parts.append(scores(rows, where, "nse", f"NSE, {words}", factor=1, digits=4))
            swath = f"RMSE x 1000, {words}, both sensors directional"
            parts.append(scores(result["translation_directional"], where, "rmse", swath))
        drawn = [row for row in pictures["scatter_translation"] if row["direction"] == direction]
        caption = f"{figures.arrow(direction)}: predicted over observed; darker is more cells."
        parts.append(page.picture(figures.scatter(drawn), caption))
    return "".join(parts)


def real(result: Json) -> str:
    """Real directional data."""
    found = result["real_directional"]
    title = page.heading("Real directional composites")
    if not found["rows"]:
        return title + page.paragraph(found["not_evaluated"])
    mean = found["ratio_mean"]
    return "".join(
        [
            title,
            page.paragraph(found["note"], note=True),
            scores(found["rows"], {}, "rmse", "RMSE x 1000 of withheld composites"),
            scores(found["rows"], {}, "coverage80", "Coverage of 80 % intervals", factor=100, digits=1),
            page.paragraph(
                f"Mean over the bands of RMSE over the best simple method's: {mean['ratio']:.3f} "
                f"({mean['low']:.3f} to {mean['high']:.3f})."
            ),
        ]
    )


def method(result: Json) -> str:
    """How to get the same."""
    data = result["data"]
    networks = [
        [str(row["network"]), str(row["version"]), row["weights_sha256"][:12], str(row["pixels_scored"])]
        for row in result["networks"]
        if row["network"] is not None
    ]
    left_out = result["networks"][-1]["pixels_left_out_since_all_saw_them"]
    lines = [
        f"Command: {result['command']} (openeo-udf-fusion {result['package_version']}).",
        f"Series: {', '.join(data['files'])}; {left_out} pixels left out since every network has seen them; "
        f"{data['pixels_without_any_observation']} without any observation.",
        f"Gaps: {data['gaps']}.",
        f"Fitted translators: {data['fitted_baselines']}.",
        "The best simple method is chosen per band and gap on the scored cells themselves, in its favour.",
        "Intervals resample the pixels of this sample; they say nothing about other years or products.",
    ]
    return "".join(
        [
            page.heading("How it was measured"),
            page.bullets(lines),
            page.table("Networks", ["network", "version", "weights", "pixels scored"], networks),
        ]
    )


def scores(
    rows: Sequence[Json],
    where: Mapping[str, object],
    score: str,
    caption: str,
    factor: float = 1000,
    digits: int = 1,
) -> str:
    """A table of one score, methods by bands; the best of each band stands out."""
    own = [row for row in rows if all(row[key] == value for key, value in where.items())]
    if not own:
        return ""
    bands = figures.distinct(own, "band")
    at = {(row["method"], row["band"]): row[score] for row in own}
    best = {
        band: best_of(score, [at[name, band] for name in figures.distinct(own, "method")]) for band in bands
    }
    lines = []
    for name in figures.distinct(own, "method"):
        found = [at[name, band] for band in bands]
        texts = ["–" if value is None else f"{factor * value:.{digits}f}" for value in found]
        marks = [
            "best" if value is not None and value == best[band] else ""
            for band, value in zip(bands, found, strict=True)
        ]
        lines.append([name, *map(Cell, texts, marks)])
    return page.table(caption, ["method", *bands], lines)


def best_of(score: str, found: Sequence[float | None]) -> float | None:
    """The best value of a score; for coverage the one nearest to what was promised."""
    known = [value for value in found if value is not None]
    if not known:
        return None
    if score.startswith("coverage"):
        return min(known, key=lambda value: abs(value - float(score.removeprefix("coverage")) / 100))
    return max(known) if score == "nse" else min(known)


def ratio_cell(row: Json) -> Cell:
    """A ratio with its interval; a dash where there was nothing to score."""
    if not measured([row], "ratio", "low", "high"):
        return Cell("–")
    mark = "win" if row["high"] < 1 else "loss" if row["ratio"] > 1 else ""
    return Cell(f"{row['ratio']:.3f} ({row['low']:.2f}–{row['high']:.2f})", mark)


def ratio_table(rows: Sequence[Json], lengths: Sequence[str]) -> str:
    """RMSE over the best baseline's with its interval, gaps by bands."""
    bands = figures.distinct(rows, "band")
    lines = []
    for gap in lengths:
        own = {row["band"]: row for row in rows if row["gap_days"] == gap}
        lines.append([f"{gap} days", *(ratio_cell(own[band]) for band in bands)])
    return page.table("RMSE over the best simple method's (95 % interval)", ["gap", *bands], lines)
