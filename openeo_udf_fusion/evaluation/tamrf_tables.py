"""The tables of TAMRF's evaluation, for the README and the report alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from openeo_udf_fusion.evaluation import markdown as md
from openeo_udf_fusion.evaluation.figures import distinct
from openeo_udf_fusion.evaluation.tamrf_methods import COMPENSATED
from openeo_udf_fusion.jsontypes import Json

LST = "LST"
Key = tuple[str, str, str]
SENSORS = {"s2": "Sentinel-2", "l8": "Landsat"}


class Table(NamedTuple):
    """A caption, the names of columns, and rows of texts."""

    caption: str
    head: list[str]
    rows: list[list[str]]


def tables(result: Json) -> list[Table]:
    """All of them, but the rows band by band."""
    return [
        reflectance(result),
        temperature(result),
        sharpening(result),
        ratios(result),
        beside_the_paper(result),
    ]


def markdown(result: Json) -> str:
    """The README's block: a table of each task with all methods, and the rest to unfold."""
    parts = [intro(result), *folded("What the names of strategies and methods mean", legend(result))]
    for table in (reflectance(result), temperature(result), sharpening(result)):
        parts += in_markdown(table)
    parts += [
        verdict_line(result),
        *folded("All ratios with their intervals", in_markdown(ratios(result))),
        *folded("The paper's own numbers", in_markdown(beside_the_paper(result))),
        *folded("How it was measured", ["\n".join(f"- {note}" for note in result["notes"])]),
        f"`{result['command']}`",
    ]
    return "\n\n".join(parts) + "\n"


def in_markdown(table: Table) -> list[str]:
    """A table under its caption."""
    return [table.caption, md.table(table.head, table.rows)]


def folded(title: str, parts: Sequence[str]) -> list[str]:
    """What opens with a click."""
    return [f"<details><summary>{title}</summary>", *parts, "</details>"]


def legend(result: Json) -> list[str]:
    """What the strategies that were asked hide, and who the methods are."""
    hidden = [[name, result["strategies"][name]] for name in distinct(result["rows"], "strategy")]
    known = [[name, text] for name, text in result["methods"].items()]
    return [
        md.table(["strategy", "what is shown or hidden"], hidden),
        md.table(["method", "what it is"], known),
    ]


def intro(result: Json) -> str:
    """What was done."""
    blocks = ", ".join(f"{first} to {last}" for first, last in result["settings"]["blocks"])
    return (
        f"One site of 640 m in Belgium; drawn are its clear images of {blocks}, which no training saw. The "
        "networks know other dates of the same ground: this is skill in time, not in space. All methods of a "
        "row are scored on the same cells."
    )


def keys(result: Json, tasks: Sequence[str]) -> list[Key]:
    """Task, strategy and sensor of what was scored."""
    found = [(r["task"], r["strategy"], r["sensor"]) for r in result["rows"] if r["task"] in tasks]
    return list(dict.fromkeys(found))


def of(result: Json, key: Key, temperature: bool = False) -> list[Json]:
    """Rows with an RMSE of one key, of reflectance or of temperature."""
    return [
        r
        for r in result["rows"]
        if (r["task"], r["strategy"], r["sensor"]) == key
        and (r["band"] == LST) == temperature
        and r["rmse"] is not None
    ]


def means(rows: Sequence[Json], score: str) -> dict[str, float | None]:
    """By method the mean of a score over the bands that all methods of these rows draw."""
    methods = distinct(rows, "method")
    bands = [{r["band"] for r in rows if r["method"] == m} for m in methods]
    common = set.intersection(*bands) if bands else set()
    return {m: md.mean([r[score] for r in rows if r["method"] == m and r["band"] in common]) for m in methods}


def label(key: Key) -> str:
    """The name of a row."""
    task, strategy, sensor = key
    return f"{task.replace('_', ' ')}, {strategy}, {SENSORS[sensor]}"


def reflectance(result: Json) -> Table:
    """RMSE of gap filling and fusion."""
    found = {key: of(result, key) for key in keys(result, ("gap_filling", "fusion"))}
    methods = [m for m in result["methods"] if any(m in distinct(rows, "method") for rows in found.values())]
    lines = []
    for key, rows in found.items():
        mean = means(rows, "rmse")
        best = best_of(mean)
        count = len({r["band"] for r in rows if set(mean) <= methods_of(rows, r["band"])})
        texts = [emphasised(mean.get(m), best, md.thousandfold(mean.get(m))) for m in methods]
        lines.append([label(key), str(max(r["dates"] for r in rows)), str(count), *texts])
    return Table(
        "Gap filling and spatio-temporal fusion: RMSE x 1000 in reflectance after the point spread function, "
        "the mean of the bands that all methods of a row draw; the best in bold.",
        ["task, strategy, drawn", "dates", "bands", *methods],
        lines,
    )


def methods_of(rows: Sequence[Json], band: str) -> set[str]:
    """The methods that draw a band."""
    return {r["method"] for r in rows if r["band"] == band}


def temperature(result: Json) -> Table:
    """RMSE of surface temperature."""
    found = {
        key: {r["method"]: r["rmse"] for r in of(result, key, temperature=True)}
        for key in keys(result, ("gap_filling", "thermal_sharpening"))
        if key[2] == "l8"
    }
    methods = [m for m in result["methods"] if any(m in each for each in found.values())]
    lines = []
    for key, scores in found.items():
        best = best_of(scores)
        texts = [emphasised(scores.get(m), best, f"{scores[m]:.2f}" if m in scores else "–") for m in methods]
        lines.append([label(key), *texts])
    return Table(
        "Surface temperature: RMSE in kelvin at 30 m, after the point spread function. In thermal sharpening "
        "the image of the date is an input, and putting its residuals back pulls a result towards it.",
        ["task, strategy, drawn", *methods],
        lines,
    )


def sharpening(result: Json) -> Table:
    """All scores of band sharpening, the mean of the six bands of 20 m."""
    lines = []
    for key in keys(result, ("band_sharpening",)):
        rows = of(result, key)
        scores = {name: means(rows, name) for name in ("rmse", "fr_db", "fr_gain_db", "brisque")}
        for m in distinct(rows, "method"):
            lines.append(
                [
                    key[1],
                    m,
                    md.thousandfold(scores["rmse"][m]),
                    *(decimal(scores[name][m]) for name in ("fr_db", "fr_gain_db", "brisque")),
                ]
            )
    return Table(
        "Band sharpening, the mean of Sentinel-2's six bands of 20 m. ALL: at 10 m, where RMSE (x 1000) only "
        "says whether the measured 20 m come back after the point spread function, detail is relative to the "
        "10 m bands (FR) and to the bicubic band (gain), and lower BRISQUE is better. WALD: one scale "
        "further up, against measured bands.",
        ["strategy", "method", "RMSE x 1000", "FR (dB)", "gain (dB)", "BRISQUE"],
        lines,
    )


def ratios(result: Json) -> Table:
    """RMSE of TAMRF over each comparator, with intervals."""
    chosen = [r for r in result["comparison"] if r["band"] in ("mean", LST)]
    lines = [
        [
            label((r["task"], r["strategy"], r["sensor"])) + (", LST" if r["band"] == LST else ""),
            r["method"],
            r["baseline"],
            interval_text(r),
            verdict(r),
            r["drawn"],
        ]
        for r in chosen
        if r["method"].removesuffix(COMPENSATED) != r["baseline"].removesuffix(COMPENSATED)
        and worth_telling(r)
    ]
    return Table(
        "RMSE of TAMRF over a comparator's (mean of the bands both draw; below 1: TAMRF is better) with the "
        "95 % interval from drawing dates with replacement, or 3 x 3 blocks of dates where there are fewer "
        "than five: those are narrower than few dates deserve.",
        ["task, strategy, drawn", "TAMRF", "over", "ratio", "", "drawn"],
        lines,
    )


def interval_text(row: Json) -> str:
    """A ratio with its interval; a dash where the other made no error at all."""
    return (
        "–"
        if None in (row["ratio"], row["low"])
        else f"{row['ratio']:.3f} ({row['low']:.3f}–{row['high']:.3f})"
    )


def worth_telling(row: Json) -> bool:
    """Reflectance of Landsat is that of the plain network, compensated or not: told once."""
    sharpened = row["band"] == LST or row["sensor"] == "s2"
    return sharpened or not row["method"].endswith(COMPENSATED)


def verdict(row: Json) -> str:
    """In a word; nothing where there is no ratio."""
    if row["low"] is None:
        return "no difference shown"
    return "better" if row["high"] < 1 else "worse" if row["low"] > 1 else "no difference shown"


def verdict_line(result: Json) -> str:
    """How often TAMRF is better and worse, in a sentence."""
    words = [line[4] for line in ratios(result).rows]
    counts = {word: words.count(word) for word in ("better", "worse", "no difference shown")}
    return (
        f"Of {len(words)} ratios of RMSE with their 95 % intervals TAMRF is better in {counts['better']}, "
        f"worse in {counts['worse']}, and in {counts['no difference shown']} no difference is shown."
    )


def beside_the_paper(result: Json) -> Table:
    """The paper's numbers, and ours of the same band where there is one."""
    strategies = {"gap_filling": "GAPS", "fusion": "LRuHRNOCONJ2HR"}
    lines = []
    for theirs in result["paper"]:
        strategy = strategies.get(theirs["task"], "ALL")
        for score, name in (("rmse", "RMSE"), ("fr_db", "FR (dB)"), ("brisque", "BRISQUE")):
            if theirs[score] is None:
                continue
            own = [
                r
                for r in result["rows"]
                if (r["task"], r["strategy"], r["sensor"], r["band"])
                == (theirs["task"], strategy, theirs["sensor"], theirs["band"])
                and r["method"] == ours_of(theirs["method"], result["models"])
            ]
            found = own[0][score] if own else None
            lines.append(
                [
                    theirs["task"].replace("_", " "),
                    f"{SENSORS[theirs['sensor']]} {theirs['band']}",
                    f"{theirs['method']}: {name}",
                    f"{theirs[score]:g}",
                    "–" if found is None else f"{found:.3g}" + gain_text(own[0], score),
                ]
            )
    return Table(
        "Beside them what Michel and Inglada 2025 report (doi:10.1016/j.rse.2025.115159): other sites, other "
        "weights, another margin, and LST not in whole kelvin; not one table with ours.",
        ["task", "band", "score", "the paper's", "ours, this site"],
        lines,
    )


def gain_text(row: Json, score: str) -> str:
    """Frequency restoration in the other way too, for the paper's reference is not known to us."""
    gain = row["fr_gain_db"]
    return f" ({decimal(gain)} over bicubic)" if score == "fr_db" and gain is not None else ""


def ours_of(theirs: str, models: Sequence[str]) -> str:
    """Our method beside one of the paper's."""
    if theirs == "DMS":
        return "dms"
    return models[0] + (COMPENSATED if "residuals" in theirs else "")


def every_row(result: Json, task: str) -> Table:
    """All rows of a task, band by band."""
    lines = [
        [
            r["strategy"],
            SENSORS[r["sensor"]],
            r["band"],
            r["method"],
            "–"
            if r["rmse"] is None
            else f"{r['rmse']:.3f}"
            if r["band"] == LST
            else md.thousandfold(r["rmse"]),
            *(decimal(r[name]) for name in ("fr_db", "fr_gain_db", "brisque")),
            str(r["cells"]),
            str(r["dates"]),
        ]
        for r in result["rows"]
        if r["task"] == task
    ]
    head = ["strategy", "sensor", "band", "method", "RMSE", "FR", "gain", "BRISQUE", "cells", "dates"]
    return Table(f"{task.replace('_', ' ')}: RMSE x 1000 (LST: K), FR and gain in dB", head, lines)


def best_of(scores: Mapping[str, float | None]) -> float | None:
    """The lowest of several; none where there is nothing to compare."""
    known = [value for value in scores.values() if value is not None]
    return min(known) if len(known) > 1 else None


def emphasised(value: float | None, best: float | None, text: str) -> str:
    """A text in bold if it is the best."""
    return f"**{text}**" if value is not None and value == best else text


def decimal(value: float | None) -> str:
    """A number with one decimal; a dash for none."""
    return "–" if value is None else f"{value:.1f}"


def for_card(result: Json, model: str) -> Json:
    """What the card of a model says: RMSE beside the other methods', and its ratios to theirs, by task.

    `rmse` in reflectance is the mean of the bands that all methods of a task draw, as in `reflectance`;
    `ratio` holds estimate and ends of the 95 % interval, of the bands that both draw.
    """
    tasks = ("gap_filling", "fusion", "band_sharpening", "thermal_sharpening")
    own = [r for r in result["comparison"] if r["method"] in (model, model + COMPENSATED)]
    found: Json = {
        "command": result["command"],
        "about": intro(result),
        "rmse": {},
        "kelvin": {},
        "ratio": {},
    }
    for key in keys(result, tasks):
        for name, is_temperature in (("rmse", False), ("kelvin", True)):
            if rows := of(result, key, is_temperature):
                found[name][label(key)] = means(rows, "rmse")
    for r in own:
        other = r["baseline"]
        if r["band"] in ("mean", LST) and worth_telling(r) and not other.startswith("tamrf"):
            task = label((r["task"], r["strategy"], r["sensor"])) + (", LST" if r["band"] == LST else "")
            line = found["ratio"].setdefault(task, {})
            line[f"{r['method']}/{other}"] = [r["ratio"], r["low"], r["high"]]
    return found
