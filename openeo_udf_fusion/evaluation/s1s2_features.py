"""What the Sentinel-1/2 embedding is good for as it is: a linear probe, neighbours, smoothness in time.

Nothing is trained but the probe, on labels of other parts of the site. Beside the code stands what a user
would take without it: reflectance on the line in time between clear dates, and the mean backscatter around.
One site with a handful of classes is an anecdote, and is called one.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import __version__
from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder, from_int8, to_int8
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import s1s2_sites
from openeo_udf_fusion.training.s1s2_sites import Site

Floats = NDArray[np.float64]
Days = NDArray[np.int32]
STEP_DAYS = 15
BLOCK_PX = 16
"""Side of the blocks that a split in space keeps together: a field lies in few of them."""
FOLDS = 4
BUFFER_PX = 7
"""What is held out is farther from what is learned from: so far a code looks around its pixel."""
RIDGE = 1.0
NEIGHBOURS = 10
RADAR_REACH_DAYS = 12
UNLABELLED = 0
SMALLEST_CLASS = 20
LABEL_FILES = "OUTPUT*.nc"
NOTE = (
    "one site and a handful of classes: an anecdote. The encoder saw the site's images in its training, "
    "though no label of it."
)


def evaluate(data: Path, embedder: Embedder, command: str) -> Json:
    """Score the codes of a labelled site as features.

    Parameters
    ----------
    data
        A folder with a site (`training.s1s2_sites`) and its labels, `OUTPUT*.nc`: variables (y, x) on the
        site's grid, 0 where nothing is known.
    embedder
        The embedding.
    command
        What the reader can run to get the same.

    Returns
    -------
    Json
        `probe` and `neighbours`, a row per kind of label and features, and `smoothness`.

    Raises
    ------
    InvalidCollection
        There are no labels, or they lie on another grid.
    """
    site = s1s2_sites.read_site(data)
    labels = read_labels(data, site)
    days = season(site, STEP_DAYS)
    features = features_of(site, embedder, days)
    return {
        "command": command,
        "package_version": __version__,
        "note": NOTE,
        "dates": [str(np.datetime64(int(day), "D")) for day in days],
        "probe": [
            {"labels": kind, "features": name, **probe(values, known)}
            for kind, known in labels.items()
            for name, values in features.items()
        ],
        "neighbours": [
            {"labels": kind, "features": name, **neighbours(values, known)}
            for kind, known in labels.items()
            for name, values in features.items()
        ],
        "smoothness": smoothness(site, embedder),
    }


def read_labels(data: Path, site: Site) -> dict[str, NDArray[np.int64]]:
    """Labels (y, x) by kind; those of too small a class are unknown, and kinds of one class left out."""
    files = sorted(data.glob(LABEL_FILES))
    if not files:
        raise InvalidCollection(
            f"{data} has no labels: a file {LABEL_FILES} with variables (y, x) was needed"
        )
    found = {}
    for file in files:
        with xr.open_dataset(file, mask_and_scale=False) as opened:
            kinds = {str(name): opened[name].values for name in opened.data_vars if opened[name].ndim == 2}
        for kind, values in kinds.items():
            if values.shape != site.shape:
                raise InvalidCollection(f"{file}: {kind} is {values.shape}, the site {site.shape}")
            known = values.astype(np.int64)
            codes, counts = np.unique(known, return_counts=True)
            known[np.isin(known, codes[counts < SMALLEST_CLASS])] = UNLABELLED
            if len(np.unique(known[known != UNLABELLED])) > 1:
                found[kind] = known
    return found


# --- features


def season(site: Site, step: int) -> Days:
    """Days of the growing season of the site's last whole year, March to October."""
    last = int(min(series.days.max() for series in site.observed.values()))
    year = np.datetime64(last, "D").astype("datetime64[Y]")
    if np.datetime64(f"{year}-10-31").astype(int) > last:
        year = year - 1
    first, end = (np.datetime64(f"{year}-{part}").astype(int) for part in ("03-01", "11-01"))
    return np.arange(first, end, step, dtype=np.int32)


def features_of(site: Site, embedder: Embedder, days: Days) -> dict[str, Floats]:
    """Features (pixels, m) through the season by name."""
    code = embedder.embed(site.observed, days).code
    optical, radar = on_the_line(site.observed["s2"], days), mean_around(site.observed["s1"], days)
    alone = {
        f"code of {title} alone": embedder.embed({sensor: site.observed[sensor]}, days).code
        for sensor, title in (("s1", "Sentinel-1"), ("s2", "Sentinel-2"))
    }
    by_name = {
        "code": code,
        "code, int8": from_int8(to_int8(code)),
        **alone,
        "reflectance": optical,
        "reflectance and backscatter": np.concatenate([optical, radar], 1),
    }
    return {name: rows(values) for name, values in by_name.items()}


def rows(values: NDArray[np.float32]) -> Floats:
    """(t, m, y, x) as standardised (y x, t m); what is missing is the mean."""
    flat = values.reshape(-1, values.shape[2] * values.shape[3]).T.astype(np.float64)
    centre, spread = np.nanmean(flat, 0), np.nanstd(flat, 0)
    return np.asarray(np.nan_to_num((flat - centre) / np.where(spread > 0, spread, 1)), np.float64)


def on_the_line(series: Observations, days: Days) -> NDArray[np.float32]:
    """Values (day, bands, y, x) on the line in time between valid ones; NaN without any."""
    return np.asarray(linear.predict({"s2": series}, days, "s2").mean, np.float32)


def mean_around(series: Observations, days: Days) -> NDArray[np.float32]:
    """Means (day, bands, y, x) of the valid values around each day."""
    found = []
    for day in days:
        near = np.abs(series.days - day) <= RADAR_REACH_DAYS
        seen = series.valid[near]
        total = np.where(seen, series.values[near], 0).sum(0)
        found.append(np.where(seen.any(0), total / np.maximum(seen.sum(0), 1), np.nan))
    return np.stack(found).astype(np.float32)


# --- space


def blocks(shape: tuple[int, int]) -> NDArray[np.int64]:
    """The number of the block of each pixel (y, x)."""
    across = -(-shape[1] // BLOCK_PX)
    row, column = np.indices(shape) // BLOCK_PX
    return np.asarray(row * across + column, np.int64)


def fold_of(block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks dealt out to folds at random, the same every time."""
    order = np.random.default_rng(0).permutation(int(block.max()) + 1)
    return np.asarray(order[block] % FOLDS, np.int64)


def apart_from(held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels (y, x) that are farther than the buffer from all that are held out."""
    near = np.pad(held_out, BUFFER_PX)
    window = np.lib.stride_tricks.sliding_window_view(near, (2 * BUFFER_PX + 1, 2 * BUFFER_PX + 1))
    return np.logical_not(window.any((2, 3)))


def probe(features: Floats, labels: NDArray[np.int64]) -> Json:
    """Linear probe: least squares on one-hot classes with a ridge, by folds of blocks with a buffer.

    `never_learned` names the classes that some fold had to guess without a pixel to learn them from.
    """
    flat = labels.ravel()
    known, fold = flat != UNLABELLED, fold_of(blocks(labels.shape))
    classes = np.unique(flat[known])
    guess = np.full(len(flat), UNLABELLED)
    unlearned: set[int] = set()
    for number in range(FOLDS):
        here = (fold == number).ravel() & known
        learn = apart_from(fold == number).ravel() & known
        unlearned |= {*flat[here].tolist()} - {*flat[learn].tolist()}
        if here.any() and learn.any():
            guess[here] = classes[predicted(features[learn], flat[learn], features[here], classes).argmax(1)]
    scored = known & (guess != UNLABELLED)
    recall = {int(c): float((guess[scored & (flat == c)] == c).mean()) for c in classes}
    return {
        "classes": len(classes),
        "pixels": int(scored.sum()),
        "accuracy": round(float((guess[scored] == flat[scored]).mean()), 4),
        "balanced_accuracy": round(float(np.mean([*recall.values()])), 4),
        "recall": {str(c): round(share, 4) for c, share in recall.items()},
        "never_learned": sorted(unlearned),
    }


def predicted(known: Floats, labels: NDArray[np.int64], asked: Floats, classes: NDArray[np.int64]) -> Floats:
    """Scores (n, classes); every class weighs the same."""
    hot = (labels[:, None] == classes).astype(np.float64)
    weight = 1 / np.maximum(hot.sum(0), 1)[hot.argmax(1)]
    bordered = np.concatenate([known, np.ones((len(known), 1))], 1)
    penalty = RIDGE * np.eye(bordered.shape[1]) * weight.sum() / len(known)
    solved = np.linalg.solve(
        bordered.T @ (bordered * weight[:, None]) + penalty, bordered.T @ (hot * weight[:, None])
    )
    return np.asarray(np.concatenate([asked, np.ones((len(asked), 1))], 1) @ solved)


def neighbours(features: Floats, labels: NDArray[np.int64]) -> Json:
    """Share of a pixel's nearest in feature space that have its label, and by chance.

    Pixels count that lie in other blocks, and farther from the own block than a code looks around.
    """
    flat, block = labels.ravel(), blocks(labels.shape).ravel()
    known = flat != UNLABELLED
    values, own, home = features[known], flat[known], block[known]
    squared = (values**2).sum(1)
    same, chance = [], []
    for number in np.unique(home):
        here, other = home == number, apart_from(block.reshape(labels.shape) == number).ravel()[known]
        if not other.any():
            continue
        distance = squared[other] - 2 * values[here] @ values[other].T
        nearest = np.argpartition(distance, min(NEIGHBOURS, other.sum() - 1), 1)[:, :NEIGHBOURS]
        same.append((own[other][nearest] == own[here][:, None]).mean(1))
        chance.append((own[other] == own[here][:, None]).mean(1))
    return {
        "neighbours": NEIGHBOURS,
        "same_label": round(float(np.concatenate(same).mean()), 4),
        "by_chance": round(float(np.concatenate(chance).mean()), 4),
    }


# --- time


def smoothness(site: Site, embedder: Embedder) -> Json:
    """How much codes move from day to day, beside how much they move through the season.

    `step` is the mean size of a day's step in parts of the standard deviation through the season, on days on
    which a sensor looked and on others; `wiggle` is the way that a code goes in parts of the way of its own
    moving mean over 15 days: 1 is smooth.
    """
    days = season(site, 1)
    code = embedder.embed(site.observed, days).code
    spread = np.nanstd(code, 0)
    step = np.abs(np.diff(code, axis=0)) / np.where(spread > 0, spread, np.nan)
    seen = {s: np.isin(days[1:], o.days) for s, o in site.observed.items()}
    any_sensor = np.any([*seen.values()], axis=0)
    parts: Mapping[str, NDArray[np.bool_]] = {
        "all": np.ones_like(any_sensor),
        **{f"days of {s}": days_seen for s, days_seen in seen.items()},
        "other days": ~any_sensor,
    }
    return {
        "days": len(days),
        "step": {name: round(float(np.nanmean(step[p])), 4) for name, p in parts.items() if p.any()},
        "wiggle": round(float(np.nanmedian(way(code[7:-7]) / way(moving_mean(code, 15)))), 4),
    }


def way(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each number goes in all (n, y, x)."""
    total = np.abs(np.diff(code, axis=0)).sum(0)
    return np.where(total > 0, total, np.nan).astype(np.float32)


def moving_mean(code: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Means over windows in time, without the ends."""
    window = np.lib.stride_tricks.sliding_window_view(code, width, axis=0)
    return np.asarray(window.mean(-1), np.float32)


def lines(result: Json) -> str:
    """Tables for a reader."""
    table = [
        result["note"],
        "",
        "labels  features                      accuracy  balanced  like neighbours (chance)",
    ]
    for row, near in zip(result["probe"], result["neighbours"], strict=True):
        table.append(
            f"{row['labels']:6}  {row['features']:28}  {row['accuracy']:8.3f}  "
            f"{row['balanced_accuracy']:8.3f}  {near['same_label']:.3f} ({near['by_chance']:.3f})"
        )
    unlearned = {row["labels"]: row["never_learned"] for row in result["probe"] if row["never_learned"]}
    table += [f"{kind}: nothing to learn {classes} from in some fold" for kind, classes in unlearned.items()]
    steps = ", ".join(f"{name} {size:.3f}" for name, size in result["smoothness"]["step"].items())
    return "\n".join(
        [*table, "", f"step a day / spread: {steps}; wiggle {result['smoothness']['wiggle']:.2f}"]
    )
