"""A drop-in certificate in plain words, from its JSON: losses as well as wins."""

from collections.abc import Sequence

from openeo_udf_fusion.evaluation.gpp_comparison import AS_IT_IS, RETRAINED, RIDGE, SYNTHETIC, TRUTH
from openeo_udf_fusion.jsontypes import Json

LABELS = {
    AS_IT_IS: "VIIRS as it is",
    SYNTHETIC: "SatFuseNet's synthetic MODIS",
    RIDGE: "the ridge's synthetic MODIS",
    RETRAINED: "VIIRS with the GPP model trained on it anew",
}


def summary(certificate: Json) -> str:
    """Say what a certificate found: the verdict, its basis, a paragraph a GPP model, the limits."""
    data, made = certificate["data"], certificate["settings"]
    basis = (
        f"{data['towers']} towers at {data['places']} places, {data['rows']} days of "
        f"{data['first_day'][:4]} to {data['last_day'][:4]}, {made['draws']} draws of spectra and noise; "
        "each place is predicted by a model that never saw it. GPP in gC m-2 d-1; in brackets the 95 % "
        "interval over places."
    )
    models = list(dict.fromkeys(row["model"] for row in certificate["scores"]))
    paragraphs = [headline(certificate), basis, *(of_model(certificate, model) for model in models)]
    if data["rows_refused"]:
        paragraphs.append(f"{data['rows_refused']} rows are left out: a method gave no value there.")
    return "\n\n".join([*paragraphs, certificate["note"]])


def headline(certificate: Json) -> str:
    """Which inputs are usable without retraining under every GPP model, and which are not."""
    rows: Sequence[Json] = certificate["verdicts"]
    within = {
        name: all(row["usable_without_retraining"] for row in rows if row["input"] == name)
        for name in dict.fromkeys(row["input"] for row in rows)
    }
    margin = f"{100 * certificate['settings']['margin']:.0f} % of the RMSE with MODIS"
    parts = []
    for passed, word in ((True, "Usable without retraining"), (False, "NOT shown to be usable")):
        names = [LABELS[name] for name, usable in within.items() if usable is passed]
        if names:
            parts.append(f"{word}: {', '.join(names)}.")
    rule = f"Usable means: at the upper end of the interval an input loses less than {margin}."
    blunt = "The test does not single out SatFuseNet: VIIRS as it is passes too."
    return " ".join([*parts, rule] + [blunt] * (within.get(AS_IT_IS, False) and within.get(SYNTHETIC, False)))


def of_model(certificate: Json, model: str) -> str:
    """What the certificate says of one GPP model, a line per statement."""

    def rows(table: str) -> list[Json]:
        return [row for row in certificate[table] if row["model"] == model]

    modis = next(row for row in rows("scores") if row["input"] == TRUTH)
    lines = [
        f"{model.capitalize()}: with MODIS RMSE {modis['rmse']:.2f}, R2 {modis['r2']:.2f}, "
        f"bias {modis['bias']:+.2f}."
    ]
    for row in rows("differences"):
        if row["against"] == TRUTH:
            lines.append(
                f"With {LABELS[row['input']]}: RMSE {interval(row, 'rmse_difference', 3)} against MODIS."
            )
    for row in rows("departures"):
        lines.append(
            f"{capital(LABELS[row['input']])} moves GPP from what MODIS gives by "
            f"{interval(row['mean'], 'value', 2)} on average, {interval(row['rms'], 'value', 2, '')} in root "
            "mean square."
        )
    return "\n".join([*lines, *(rivalry(row) for row in rows("departure_differences"))])


def rivalry(row: Json) -> str:
    """Whether SatFuseNet's input moves GPP less than another one, as far as the interval tells."""
    other, words = LABELS[row["against"]], interval(row, "rmse_difference", 3)
    if row["high"] < 0:
        return f"SatFuseNet's moves GPP less than {other}: {words} in root mean square."
    if row["low"] > 0:
        return f"SatFuseNet's moves GPP MORE than {other}: {words} in root mean square."
    return f"SatFuseNet's is no better and no worse than {other} as far as one can tell: {words}."


def interval(row: Json, name: str, digits: int, sign: str = "+") -> str:
    """An estimate with its interval."""
    estimate, low, high = (format(row[key], f"{sign}.{digits}f") for key in (name, "low", "high"))
    return f"{estimate} [{low}, {high}]"


def capital(words: str) -> str:
    """The words as a sentence begins."""
    return words[0].upper() + words[1:]
