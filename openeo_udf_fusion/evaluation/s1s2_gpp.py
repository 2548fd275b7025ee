"""GPP of flux towers from the Sentinel-1/2 embedding of the tower's pixel, at towers left out.

Needs a folder with towers that both Sentinels saw:

    DIR/gpp.csv       columns site, date, gpp (gC m-2 d-1)
    DIR/<site>/       S1*.nc and S2*.nc around the tower, as `training.s1s2_sites` reads them; the tower
                      stands in the middle

`train s1s2_embedding --backend` fetches such a site from any openEO backend. GPP of a day is estimated from a
window of 90 days that ends with it, by ridge regression; whole towers are left out of the fit in turn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from openeo_udf_fusion import __version__
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation.gpp_models import folds_of
from openeo_udf_fusion.evaluation.s1s2_features import mean_around, on_the_line
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import s1s2_sites

Doubles = NDArray[np.float64]
TABLE = "gpp.csv"
COLUMNS = ("site", "date", "gpp")
WINDOW_DAYS, STEP_DAYS = 90, 10
YEAR_DAYS = 365.25
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
FEWEST_SITES = 3
FEATURES = {
    "code": "the embedding through the 90 days",
    "reflectance and backscatter": "Sentinel-2 on the line between clear dates, Sentinel-1's mean around",
    "day of year": "the mean season of the other towers: what knowing nothing of the place gives",
}


@dataclass(frozen=True)
class Rows:
    """A row per tower and day.

    Attributes
    ----------
    site
        (n,) number of the tower.
    gpp
        (n,) gC m-2 d-1.
    features
        (n, m) by name.
    """

    site: NDArray[np.int64]
    gpp: Doubles
    features: Mapping[str, Doubles]


def evaluate(
    folder: Path, embedder: Embedder, command: str, progress: Callable[[str], None] = lambda _: None
) -> Json:
    """Score GPP at towers left out.

    Raises
    ------
    InvalidParameter
        The table is missing or lacks columns, or there are fewer than three towers with images.
    InvalidCollection
        A tower's images cannot be read.
    """
    names, rows = read(folder, embedder, progress)
    fold = folds_of(rows.site, seed=0)
    scored = []
    for name, values in rows.features.items():
        guess = held_out(values, rows.gpp, rows.site, fold)
        scored.append({"features": name} | score(guess, rows.gpp, rows.site))
    return {
        "command": command,
        "package_version": __version__,
        "towers": names,
        "days": len(rows.gpp),
        "window_days": WINDOW_DAYS,
        "features": FEATURES,
        "gpp": scored,
    }


def read(folder: Path, embedder: Embedder, progress: Callable[[str], None]) -> tuple[list[str], Rows]:
    """Names of the towers, and all their days that have features."""
    table = read_table(folder)
    names = [str(name) for name in table["site"].unique() if (folder / str(name)).is_dir()]
    if len(names) < FEWEST_SITES:
        raise InvalidParameter(
            f"{folder} has images of {len(names)} towers of {TABLE}; {FEWEST_SITES} or more were needed: "
            "put each tower's S1*.nc and S2*.nc into a folder of the tower's name"
        )
    parts = []
    for number, name in enumerate(names):
        own = table[table["site"] == name]
        days = own["date"].to_numpy("datetime64[D]").astype(np.int32)
        site = s1s2_sites.read_site(folder / name)
        found = features_of(site.observed, embedder, days)
        parts.append(Rows(np.full(len(days), number), own["gpp"].to_numpy(np.float64), found))
        progress(f"{name}: {len(days)} days of GPP")
    return names, complete(parts)


def read_table(folder: Path) -> pd.DataFrame:
    """The table of GPP without missing values."""
    file = folder / TABLE
    if not file.is_file():
        raise InvalidParameter(
            f"there is no {file}; a table with the columns {', '.join(COLUMNS)} was needed"
        )
    table = pd.read_csv(file, dtype={"site": str})
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InvalidParameter(f"{file} lacks the columns {missing}; it has {list(table.columns)}")
    return table.dropna(subset=list(COLUMNS))


def features_of(
    observed: Mapping[str, Observations], embedder: Embedder, days: NDArray[np.int32]
) -> dict[str, Doubles]:
    """Features (n, m) of the pixel in the middle, for windows that end with the days."""
    near = around_the_middle(observed, embedder.config.margin_px)
    wanted = days[:, None] - np.arange(WINDOW_DAYS - STEP_DAYS, -1, -STEP_DAYS, dtype=np.int32)
    distinct, place = np.unique(wanted, return_inverse=True)
    asked = distinct.astype(np.int32)
    y, x = (size // 2 for size in next(iter(near.values())).values.shape[2:])
    alone = {
        sensor: Observations(
            series.values[..., [y], :][..., [x]], series.valid[..., [y], :][..., [x]], series.days
        )
        for sensor, series in near.items()
    }
    code = embedder.embed(near, asked)
    plain = np.concatenate([on_the_line(alone["s2"], asked), mean_around(alone["s1"], asked)], 1)
    phase = 2 * np.pi * days[:, None] / YEAR_DAYS * np.arange(1, 4)
    # Beyond the reach of both sensors nothing is known, whichever features.
    unseen = np.isnan(code.code[:, 0, y, x])
    plain[unseen] = np.nan

    def windows(values: NDArray[np.float32]) -> Doubles:
        return values[place.reshape(wanted.shape)].reshape(len(days), -1).astype(np.float64)

    return {
        "code": windows(code.code[:, :, y, x]),
        "reflectance and backscatter": windows(plain[:, :, 0, 0]),
        "day of year": np.concatenate([np.sin(phase), np.cos(phase)], 1),
    }


def around_the_middle(observed: Mapping[str, Observations], margin: int) -> dict[str, Observations]:
    """What the middle's code depends on."""
    found = {}
    for sensor, series in observed.items():
        y, x = (size // 2 for size in series.values.shape[2:])
        square = (..., slice(max(0, y - margin), y + margin + 1), slice(max(0, x - margin), x + margin + 1))
        found[sensor] = Observations(series.values[square], series.valid[square], series.days)
    return found


def complete(parts: list[Rows]) -> Rows:
    """All rows that have every feature."""
    features = {name: np.concatenate([part.features[name] for part in parts]) for name in FEATURES}
    whole = np.all([np.isfinite(values).all(1) for values in features.values()], axis=0)
    return Rows(
        np.concatenate([part.site for part in parts])[whole],
        np.concatenate([part.gpp for part in parts])[whole],
        {name: values[whole] for name, values in features.items()},
    )


def held_out(features: Doubles, gpp: Doubles, site: NDArray[np.int64], fold: NDArray[np.int64]) -> Doubles:
    """GPP (n,) of each row by a ridge that never saw its tower; the penalty is chosen on the others alike."""
    guess = np.empty(len(gpp))
    for number in np.unique(fold):
        here = fold == number
        penalty = chosen(features[~here], gpp[~here], site[~here])
        guess[here] = ridge(features[~here], gpp[~here], features[here], penalty)
    return guess


def chosen(features: Doubles, gpp: Doubles, site: NDArray[np.int64]) -> float:
    """The penalty with the least squared error at towers left out."""
    fold = folds_of(site, seed=1)
    if len(np.unique(fold)) == 1:
        return PENALTIES[len(PENALTIES) // 2]
    errors = []
    for penalty in PENALTIES:
        off = [
            gpp[fold == n] - ridge(features[fold != n], gpp[fold != n], features[fold == n], penalty)
            for n in np.unique(fold)
        ]
        errors.append(float(np.square(np.concatenate(off)).mean()))
    return PENALTIES[int(np.argmin(errors))]


def ridge(known: Doubles, gpp: Doubles, asked: Doubles, penalty: float) -> Doubles:
    """GPP (k,) at the rows asked, never negative."""
    centre, spread = known.mean(0), known.std(0)
    scale = np.where(spread > 0, spread, 1)
    x = (known - centre) / scale
    gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ (gpp - gpp.mean()) / len(x))
    return np.asarray(np.maximum((asked - centre) / scale @ weight + gpp.mean(), 0), np.float64)


def score(guess: Doubles, gpp: Doubles, site: NDArray[np.int64]) -> Json:
    """RMSE and bias in gC m-2 d-1, R2 over all days, and the median R2 over towers."""
    error = guess - gpp
    by_tower = [
        1 - np.square(error[site == n]).mean() / gpp[site == n].var()
        for n in np.unique(site)
        if gpp[site == n].var() > 0
    ]
    return {
        "rmse": round(float(np.sqrt(np.square(error).mean())), 4),
        "r2": round(float(1 - np.square(error).mean() / gpp.var()), 4),
        "bias": round(float(error.mean()), 4),
        "median_r2_of_towers": round(float(np.median(by_tower)), 4),
    }


def lines(result: Json) -> str:
    """A line per kind of features."""
    table = [
        f"{len(result['towers'])} towers, {result['days']} days",
        "features                      RMSE     R2",
    ]
    table += [f"{row['features']:28}  {row['rmse']:.3f}  {row['r2']:.3f}" for row in result["gpp"]]
    return "\n".join(table)
