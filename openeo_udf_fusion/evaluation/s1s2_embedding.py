"""Evaluate the Sentinel-1/2 embedding: clear dates hidden under simulated clouds, drawn again from the code.

Every frame asked for lies in a window of days that no training ever saw, neither as input nor as target;
around it all other Sentinel-2 frames are hidden for a gap of a given length. Scored apart are the strip in
space that no training saw either, and the rest of the site. One site and one season is an anecdote: the
intervals tell how the result hangs on the dates of this site, not what it is elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder, from_int8, to_int8
from openeo_udf_fusion.training import s1s2_sites
from openeo_udf_fusion.training.s1s2_sites import Site
from openeo_udf_fusion.training.s1s2_validation import (
    Case,
    cases,
    interpolate,
    own_reconstruction,
    with_sensors,
)

Doubles = NDArray[np.float64]
Progress = Callable[[str], None]
LINE = "linear"
FUSED = "fused"
LEVEL = 0.8
NOTE = (
    "held-out clear dates with all frames around them hidden; one site is an anecdote. The fused code is "
    "better than linear interpolation and than Sentinel-1 alone; over Sentinel-2 alone it gains about 2 % in "
    "RMSE, not distinguishable from none."
)
QUANTILE_80 = 1.2815515655446004
"""Half the width of the central 80 % of a standard normal distribution."""


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    half_gaps
        Days to either side of a held-out date within which all frames are hidden.
    resamples, seed
        Of the bootstrap over dates.
    dates
        At most so many held-out dates; None for all.
    """

    half_gaps: tuple[int, ...] = (5, 15, 25)
    resamples: int = 2000
    seed: int = 0
    dates: int | None = None


QUICK = Settings(half_gaps=(15,), resamples=200, dates=2)
METHODS = {
    LINE: "line in time between the nearest clear values of the pixel",
    "s1_only": "fused code without any Sentinel-2 frame",
    "s2_only": "fused code without any Sentinel-1 frame",
    "s2_own": "Sentinel-2's own code, which fusion takes no part in",
    FUSED: "fused code",
    "fused_int8": "fused code as it comes back from int8",
}


def evaluate(
    data: Path,
    embedder: Embedder,
    settings: Settings,
    command: str,
    progress: Progress = lambda _: None,
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

    Returns
    -------
    Json
        `reconstruction`: a row per gap, part of the site and method, with RMSE and MAE per band in
        reflectance, their ratios to the line's (mean over bands) and 95 % intervals; `comparison`: the fused
        code against each other method; `coverage`: of the intervals that sigma promises.
    """
    sites = s1s2_sites.read_sites(data)
    rows, comparisons, covered = [], [], []
    for half_gap in settings.half_gaps:
        errors = measure(sites, embedder, half_gap, settings, progress)
        for part in ("strip", "rest"):
            found = errors.part(part)
            if found.dates:
                labels = {"half_gap_days": half_gap, "part": part, "dates": found.dates}
                rows += [labels | row for row in found.rows(settings)]
                comparisons += [labels | row for row in found.against(settings)]
                covered.append(labels | {"coverage80": round(found.coverage(), 4)})
    return {
        "command": command,
        "package_version": __version__,
        "settings": asdict(settings),
        "sites": [site.name for site in sites],
        "methods": METHODS,
        "parts": {
            "strip": "columns and dates that no training saw",
            "rest": "dates that no training saw, columns of which it saw other dates",
        },
        "reconstruction": rows,
        "comparison": comparisons,
        "coverage": covered,
    }


@dataclass(frozen=True)
class Errors:
    """Sums of errors per date and part of the site, method and band.

    Pixels of one date are no independent witnesses: dates are what the bootstrap draws.

    Attributes
    ----------
    cells, inside
        (dates, bands): valid cells, and those in the interval that sigma promises.
    absolute, squared
        (methods, dates, bands): sums of errors and of their squares.
    is_strip
        (dates,)
    """

    cells: Doubles
    inside: Doubles
    absolute: Doubles
    squared: Doubles
    is_strip: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Sequence["Errors"]) -> "Errors":
        """All of several."""
        return cls(
            np.concatenate([p.cells for p in parts]),
            np.concatenate([p.inside for p in parts]),
            np.concatenate([p.absolute for p in parts], 1),
            np.concatenate([p.squared for p in parts], 1),
            np.concatenate([p.is_strip for p in parts]),
        )

    @property
    def dates(self) -> int:
        """How many."""
        return len(self.cells)

    def take(self, chosen: NDArray[np.bool_]) -> "Errors":
        """Some of the dates."""
        return Errors(
            self.cells[chosen],
            self.inside[chosen],
            self.absolute[:, chosen],
            self.squared[:, chosen],
            self.is_strip[chosen],
        )

    def part(self, name: str) -> "Errors":
        """The dates of the strip, or of the rest, that have a cell."""
        return self.take((self.is_strip == (name == "strip")) & (self.cells.sum(1) > 0))

    def coverage(self) -> float:
        """Share of the observations in the central 80 % that the fused code's sigma promises."""
        return float(self.inside.sum() / self.cells.sum())

    def rows(self, settings: Settings) -> list[Json]:
        """A row per method: errors per band, and over the line's."""
        return [
            {
                "method": name,
                "rmse": by_band(np.sqrt(self.squared[m].sum(0) / self.cells.sum(0))),
                "mae": by_band(self.absolute[m].sum(0) / self.cells.sum(0)),
                "rmse_ratio_to_linear": self.ratio(self.squared, name, LINE, settings, root=True),
                "mae_ratio_to_linear": self.ratio(self.absolute, name, LINE, settings),
            }
            for m, name in enumerate(METHODS)
        ]

    def against(self, settings: Settings) -> list[Json]:
        """The fused code's errors over each other method's."""
        return [
            {
                "fused_over": name,
                "rmse": self.ratio(self.squared, FUSED, name, settings, root=True),
                "mae": self.ratio(self.absolute, FUSED, name, settings),
            }
            for name in METHODS
            if not name.startswith(FUSED)
        ]

    def ratio(
        self, sums: Doubles, own: str, other: str, settings: Settings, *, root: bool = False
    ) -> dict[str, float]:
        """Mean over bands of one method's error over another's, with its 95 % interval over dates."""
        names = list(METHODS)
        top, bottom = sums[names.index(own)], sums[names.index(other)]
        rng = np.random.default_rng([settings.seed, self.dates])
        draws = rng.multinomial(self.dates, np.full(self.dates, 1 / self.dates), settings.resamples)

        def mean_ratio(weights: NDArray[np.integer]) -> Doubles:
            share = (weights @ top) / np.maximum(weights @ bottom, 1e-12)
            return np.asarray((np.sqrt(share) if root else share).mean(-1))

        low, high = np.quantile(mean_ratio(draws), (0.025, 0.975))
        whole = mean_ratio(np.ones(self.dates, np.int64))
        return {"ratio": round(float(whole), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def measure(
    sites: Sequence[Site], embedder: Embedder, half_gap: int, settings: Settings, progress: Progress
) -> Errors:
    """Errors of all methods on the held-out dates of all sites; only where every method has a value."""
    parts = []
    for site in sites:
        hidden = s1s2_sites.is_test(site.observed["s2"].days)
        strip = s1s2_sites.strip_start(site.shape[1])
        for number, case in enumerate(cases(site, hidden, hidden, half_gap)):
            if settings.dates is not None and number >= settings.dates:
                break
            drawn, sigma = draw_again(embedder, case)
            parts += add_up(case, drawn, sigma, strip)
            day = np.datetime64(case.day, "D")
            progress(f"{site.name} {day}, hidden for {half_gap} days to either side")
    return Errors.of(parts)


def draw_again(embedder: Embedder, case: Case) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Sentinel-2 (b, y, x) by every method, and the sigma of the fused code's."""
    day = np.array([case.day], np.int32)

    def from_code(*sensors: str) -> NDArray[np.float32]:
        found = embedder.embed(with_sensors(case.seen, sensors), day, ["s2"])
        return np.asarray(found.reconstruction["s2"][0], np.float32)

    both = embedder.embed(case.seen, day, ["s2"])
    stored = embedder.draw(from_int8(to_int8(both.code)), "s2")[0]
    sigma = np.asarray(both.sigma["s2"][0], np.float32)
    return {
        LINE: interpolate(case),
        "s1_only": from_code("s1"),
        "s2_only": from_code("s2"),
        "s2_own": own_reconstruction(embedder.model, case),
        FUSED: both.reconstruction["s2"][0],
        "fused_int8": stored,
    }, sigma


def add_up(
    case: Case, drawn: Mapping[str, NDArray[np.float32]], sigma: NDArray[np.float32], strip: int
) -> list[Errors]:
    """Sums over the strip, and over the rest without the buffer beside the strip."""
    estimates = np.stack([drawn[name] for name in METHODS])
    valid = case.valid & np.isfinite(estimates).all(0)
    error = np.where(valid, np.abs(estimates - case.truth), 0).astype(np.float64)
    inside = valid & (error[list(METHODS).index(FUSED)] <= QUANTILE_80 * sigma)
    found = []
    for columns in (slice(strip, None), slice(0, strip - s1s2_sites.BUFFER_PX)):
        off = error[..., columns]
        found.append(
            Errors(
                valid[..., columns].sum((1, 2), dtype=np.float64)[None],
                inside[..., columns].sum((1, 2), dtype=np.float64)[None],
                off.sum((2, 3))[:, None],
                np.square(off).sum((2, 3))[:, None],
                np.array([columns.start == strip]),
            )
        )
    return found


def for_card(result: Json) -> Json:
    """What a card says of the skill."""
    return {
        "command": result["command"].replace(" --json", " --card"),
        "note": NOTE,
        "parts": result["parts"],
        "methods": METHODS,
        "reconstruction": [row for row in result["reconstruction"] if row["method"] != LINE],
        "linear": [row for row in result["reconstruction"] if row["method"] == LINE],
        "comparison": result["comparison"],
        "coverage": result["coverage"],
    }


def lines(result: Json) -> str:
    """A line per gap, part and method: errors over the line's, with intervals over dates."""
    table = ["gap_days  part   dates  method      rmse/linear           mae/linear"]
    for row in result["reconstruction"]:
        texts = [
            "{ratio:.3f} ({low:.3f}-{high:.3f})".format(**row[f"{score}_ratio_to_linear"])
            for score in ("rmse", "mae")
        ]
        gap = f"+-{row['half_gap_days']}"
        table.append(f"{gap:8}  {row['part']:5}  {row['dates']:5}  {row['method']:10}  {'   '.join(texts)}")
    return "\n".join(table)


def by_band(values: Doubles) -> dict[str, float]:
    """A number for each band of Sentinel-2."""
    return {band: round(float(value), 5) for band, value in zip(s1s2_sites.S2_BANDS, values, strict=True)}
