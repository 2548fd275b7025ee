"""Evaluate the Sentinel-1/2 embedding: clear dates hidden under simulated clouds, drawn again from the code.

Every frame asked for lies in a window of days that no training ever saw, neither as input nor as target;
around it all other Sentinel-2 frames are hidden for a gap of a given length, up to 60 days: as long as clouds
last in Belgium, and where radar can tell most. Scored are all gaps and days together (`pooled`), the long
gaps of the growing season, and each gap apart in the strip in space that no training saw either and in the
rest of the site.

The shipped network's held-out dates are 14 of every 60 days. With the networks of three further folds, which
hold as many others out each and are trained alike, nearly every clear date is scored once, by a network that
never saw it.

One site and one season is an anecdote. Held-out dates come in blocks of 14 days, and dates of a block are no
independent witnesses: whole blocks are what the bootstrap draws. The intervals tell how the result hangs on
the dates of this site, not what it is elsewhere; blocks of different folds are neighbours in time, which
makes them somewhat too narrow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from openeo_udf_fusion import __version__
from openeo_udf_fusion.evaluation.s1s2_errors import Bools, Doubles, Draws, Errors
from openeo_udf_fusion.evaluation.s1s2_rivals import FUSED, LINE, Image, draw_again, methods
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.training import s1s2_sites
from openeo_udf_fusion.training.s1s2_sites import Site
from openeo_udf_fusion.training.s1s2_validation import Case, cases

Progress = Callable[[str], None]
NOTE = (
    "held-out clear dates with all frames around them hidden; one site is an anecdote, and the intervals "
    "come from few blocks of dates."
)
QUANTILE_80 = 1.2815515655446004
"""Half the width of the central 80 % of a standard normal distribution."""
LONG_HALF_GAP = 20
GROWING_SEASON = (3, 10)
"""First and last month."""
POOLS = {
    "all": "all gaps, dates and columns",
    "long gaps in season": "gaps of 40 and 60 days, March to October",
    "strip": "all gaps and dates, columns that no training saw",
    "shipped network": "the dates held out of the shipped network, all gaps and columns",
}


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    half_gaps
        Days to either side of a held-out date within which all frames are hidden.
    resamples, seed
        Of the bootstrap over blocks of dates.
    dates
        At most so many held-out dates; None for all.
    """

    half_gaps: tuple[int, ...] = (5, 15, 20, 30)
    resamples: int = 2000
    seed: int = 0
    dates: int | None = None

    @property
    def draws(self) -> Draws:
        """Those of the bootstrap."""
        return Draws(self.resamples, self.seed)


QUICK = Settings(half_gaps=(15,), resamples=200, dates=2)


def evaluate(
    data: Path,
    embedder: Embedder,
    settings: Settings,
    command: str,
    progress: Progress = lambda _: None,
    alone: Mapping[str, Embedder] | None = None,
    folds: Mapping[int, Embedder] | None = None,
) -> Json:
    """Reconstruct held-out clear dates under simulated clouds.

    Parameters
    ----------
    data
        A site, or a folder of sites; see `training.s1s2_sites`.
    embedder
        The embedding; trained without the days and the strip that `training.s1s2_sites` holds out.
    settings
        How much is measured.
    command
        What the reader can run to get the same.
    progress
        Is told what has been done.
    alone
        By sensor, networks trained with that sensor alone to see; without them those rows are missing.
    folds
        By fold, networks trained without the days that it holds out; without them the shipped network's
        days alone are scored.

    Returns
    -------
    Json
        `pooled`: for each of `POOLS` a row per method with RMSE and MAE per band in reflectance, their ratios
        to the line's (mean over bands) and 95 % intervals, and `fused_over`, the fused code against each
        other method, with the days to the nearest clear value (10 %, 50 % and 90 % of the images);
        `reconstruction` and `comparison`: the same by gap and part of the site; `coverage`: of the intervals
        that sigma promises.
    """
    networks = {0: embedder, **(folds or {})}
    sites = s1s2_sites.read_sites(data)
    parts = [
        measure([replace(site, fold=fold) for site in sites], network, alone or {}, settings, progress)
        for fold, network in networks.items()
    ]
    errors = Errors.of(parts)
    rows, comparisons, covered = [], [], []
    for half_gap in settings.half_gaps:
        for part, is_strip in (("strip", True), ("rest", False)):
            found = errors.take((errors.half_gap == half_gap) & (errors.is_strip == is_strip))
            if found.images:
                labels = {"half_gap_days": half_gap, "part": part, **found.counts()}
                rows += [labels | row for row in found.rows(LINE, settings.draws)]
                comparisons += [labels | row for row in found.against(FUSED, settings.draws)]
                covered.append(labels | {"coverage80": round(found.coverage(), 4)})
    return {
        "command": command,
        "package_version": __version__,
        "settings": asdict(settings),
        "sites": [site.name for site in sites],
        "folds": list(networks),
        "methods": methods(alone or {}),
        "pools": POOLS,
        "parts": {
            "strip": "columns and dates that no training saw",
            "rest": "dates that no training saw, columns of which it saw other dates",
        },
        "pooled": pooled(errors, settings),
        "reconstruction": rows,
        "comparison": comparisons,
        "coverage": covered,
    }


def pooled(errors: Errors, settings: Settings) -> list[Json]:
    """Rows of all gaps and days together, by pool and method."""
    found = []
    for name in POOLS:
        some = errors.take(in_pool(errors, name))
        if some.images:
            labels = {"pool": name, **some.counts(), "coverage80": round(some.coverage(), 4)}
            over = {row.pop("fused_over"): row for row in some.against(FUSED, settings.draws)}
            for row in some.rows(LINE, settings.draws):
                fused_over = {"fused_over": over[row["method"]]} if row["method"] in over else {}
                found.append(labels | row | fused_over)
    return found


def in_pool(errors: Errors, name: str) -> Bools:
    """The images (images,) of a pool."""
    if name == "strip":
        return errors.is_strip
    if name == "shipped network":
        return np.asarray(errors.fold == 0)
    month = errors.day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    first, last = GROWING_SEASON
    long = (errors.half_gap >= LONG_HALF_GAP) & (month >= first) & (month <= last)
    return long if name == "long gaps in season" else np.ones(errors.images, np.bool_)


def measure(
    sites: Sequence[Site],
    embedder: Embedder,
    alone: Mapping[str, Embedder],
    settings: Settings,
    progress: Progress,
) -> Errors:
    """Errors of all methods on the held-out dates of all sites; only where every method has a value."""
    parts = []
    for site in sites:
        hidden = s1s2_sites.is_test(site.observed["s2"].days, site.fold)
        strip = s1s2_sites.strip_start(site.shape[1])
        for half_gap in settings.half_gaps:
            for case in islice(cases(site, hidden, hidden, half_gap), settings.dates):
                drawn, sigma = draw_again(embedder, case, alone)
                parts += add_up(case, drawn, sigma, strip, half_gap, site.fold)
                day = np.datetime64(case.day, "D")
                progress(f"{site.name} {day}, hidden for {half_gap} days to either side")
    found = Errors.of(parts)
    return found.take(found.cells.sum(1) > 0)


def add_up(
    case: Case, drawn: Mapping[str, Image], sigma: Image, strip: int, half_gap: int, fold: int = 0
) -> list[Errors]:
    """Sums over the strip, and over the rest without the buffer beside the strip."""
    estimates = np.stack([*drawn.values()])
    valid = case.valid & np.isfinite(estimates).all(0)
    away = days_to_clear(case)
    error = np.where(valid, np.abs(estimates - case.truth), 0).astype(np.float64)
    inside = valid & (error[[*drawn].index(FUSED)] <= QUANTILE_80 * sigma)
    found = []
    for columns in (slice(strip, None), slice(0, strip - s1s2_sites.BUFFER_PX)):
        off = error[..., columns]
        found.append(
            Errors(
                methods=tuple(drawn),
                cells=valid[..., columns].sum((1, 2), dtype=np.float64)[None],
                inside=inside[..., columns].sum((1, 2), dtype=np.float64)[None],
                absolute=off.sum((2, 3))[None],
                squared=np.square(off).sum((2, 3))[None],
                is_strip=np.array([columns.start == strip]),
                day=np.array([case.day], np.int64),
                half_gap=np.array([half_gap], np.int64),
                to_clear=np.array([np.nanmean(away[:, columns])]),
                fold=np.array([fold], np.int64),
            )
        )
    return found


def days_to_clear(case: Case) -> Doubles:
    """Days (y, x) to the nearest clear value that may be seen; NaN without any."""
    series = case.seen["s2"]
    away = np.abs(series.days - case.day).astype(np.float64)[:, None, None]
    nearest = np.where(series.valid.any(1), away, np.inf).min(0)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def for_card(result: Json) -> Json:
    """What a card says of the skill."""
    return {
        "command": result["command"].replace(" --json", " --card"),
        "note": f"{NOTE} {verdict(result['pooled'])}",
        "pools": result["pools"],
        "folds": result["folds"],
        "parts": result["parts"],
        "methods": result["methods"],
        "pooled": result["pooled"],
        "comparison": result["comparison"],
        "coverage": result["coverage"],
    }


def verdict(rows: Sequence[Json]) -> str:
    """What the fused code is surely better than, by RMSE over all gaps and dates, and what not."""
    over = {
        row["method"]: row["fused_over"]["rmse"]
        for row in rows
        if row["pool"] == "all" and "fused_over" in row
    }
    parts = {
        "better than": [name for name, rmse in over.items() if rmse["high"] < 1],
        "not distinguishable from": [name for name, rmse in over.items() if rmse["low"] <= 1 <= rmse["high"]],
        "worse than": [name for name, rmse in over.items() if rmse["low"] > 1],
    }
    told = [
        f"{how} " + ", ".join(f"{name} ({interval(over[name])})" for name in names)
        for how, names in parts.items()
        if names
    ]
    return "The fused code is " + "; ".join(told) + "."


def lines(result: Json) -> str:
    """Tables for a reader: all together, then by gap and part; errors over the line's with intervals."""
    table = ["all together         method      rmse/linear           mae/linear            fused/it, rmse"]
    for row in result["pooled"]:
        texts = [interval(row[f"{score}_ratio_to_linear"]) for score in ("rmse", "mae")]
        if "fused_over" in row:
            texts.append(interval(row["fused_over"]["rmse"]))
        table.append(f"{row['pool']:19}  {row['method']:10}  {'   '.join(texts)}")
    table += ["", "gap_days  part   dates  method      rmse/linear           mae/linear"]
    for row in result["reconstruction"]:
        texts = [interval(row[f"{score}_ratio_to_linear"]) for score in ("rmse", "mae")]
        gap = f"+-{row['half_gap_days']}"
        table.append(f"{gap:8}  {row['part']:5}  {row['dates']:5}  {row['method']:10}  {'   '.join(texts)}")
    return "\n".join(table)


COLUMNS = (("rmse", "all"), ("rmse", "long gaps in season"), ("mae", "all"), ("rmse", "shipped network"))
"""Of the README's table: score and pool."""


def markdown(result: Json) -> str:
    """The table of the README: the fused code's error over each other method's."""
    heads = [f"{score.upper()}, {pool}" for score, pool in COLUMNS]
    table = [f"| fused code over | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    by_pool = {(row["pool"], row["method"]): row.get("fused_over") for row in result["pooled"]}
    for method, about in result["methods"].items():
        found = [(score, by_pool.get((pool, method))) for score, pool in COLUMNS]
        if all(over for _, over in found):
            cells = [interval(over[score]) for score, over in found if over]
            table.append(f"| {about} | {' | '.join(cells)} |")
    return "\n".join(table) + "\n"


def interval(ratio: Mapping[str, float]) -> str:
    """A ratio and its interval."""
    return "{ratio:.3f} ({low:.3f}-{high:.3f})".format(**ratio)
