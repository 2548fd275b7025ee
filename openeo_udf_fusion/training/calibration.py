"""Fit how far to trust a network, from what networks say of places that they did not see.

Two tables over the ways a value comes about (models/calibration.py): the share of the correction that counts
is the least-squares one, so that the base, the simple method, comes through where the network knows no
better; the inflation makes the central 80 % interval hold 80 % (split conformal prediction on scaled
residuals, Lei et al. 2018, doi:10.1080/01621459.2017.1307116, smoothed over neighbouring gap lengths). The
floor does so on directional products, of whose restlessness the inflation knows nothing: on real composites
where there are some, else on simulated ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.calibration import Calibration, looks, restlessness
from openeo_udf_fusion.models.merging import FAR_DAYS, Grid
from openeo_udf_fusion.models.satfusenet import OTHER, Estimate, SatFuseNet
from openeo_udf_fusion.training.batches import BIN_DAYS, Series, on_grid, query_positions, series_of
from openeo_udf_fusion.training.composites import Withheld
from openeo_udf_fusion.training.masks import sparse_days, visible_bands
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.translation import ALIKE

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
GAP_DAYS = (2, 6, 11, 21, 41, 81, 161)
"""Knots: days from the observation before to the one after, or to the nearest where one side has none."""
HIDDEN_DAYS = {1: 10, 3: 10, 5: 10, 10: 10, 20: 10, 40: 6, 80: 3, 160: 3}
"""Lengths of the gaps, and how many of each in a sample. In a short one hardly anything happens: a share that
a few events decide needs many."""
KINDS = ("translated", "bridged", "beyond")
ROUNDS = 3
"""The floor depends on the other tables, and they on it: after so many turns neither moves."""
COMPOSITE_DAYS = (1, 4, 8, 16)
"""Directional products come daily, or as composites that take one day out of so many."""
REPEATS = 3
SAMPLES_PER_PIXEL = 2
CENTRAL_80 = 1.2815516
LOOKS_NOISE = 0.03
"""Spread added to every direction of what pixels look like, in roots of reflectance."""
LIMIT_MARGIN = 1.25
SUBSETS = 24
BATCH = 64
SEED = 4711


class Rows(NamedTuple):
    """Cells of one band, all (n,): truth, base, network's location and sigma, gap in days, restlessness."""

    truth: Floats
    base: Floats
    location: Floats
    sigma: Floats
    gap: Floats
    restless: Floats


Residuals = dict[tuple[str, str], list[Rows]]
"""By target sensor and kind, a list over bands."""


@torch.no_grad()
def residuals(model: SatFuseNet, pairs: Pairs) -> Residuals:
    """What a network says where values are hidden of series that it did not see."""
    rng = np.random.default_rng(SEED)
    found: dict[tuple[str, str], list[list[Rows]]] = {}
    steady = "nbar" if (pairs.product == "nbar").any() else "directional"
    for product, ways in ((steady, situations), ("directional", composites)):
        chosen = some_samples(pairs, product, rng)
        for start in range(0, len(chosen), BATCH):
            truth = series_of(pairs, chosen[start : start + BATCH])
            days = pairs.first_day[chosen[start : start + BATCH]].astype(np.int64)
            for target in OTHER:
                for kind, inputs, hidden in ways(truth, target, rng):
                    rows = ask(model, inputs, truth, days, target, hidden)
                    found.setdefault((target, kind), []).append(rows)
    return {key: stack_bands(lists) for key, lists in found.items()}


def some_samples(pairs: Pairs, product: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """A few samples of each place and of one product."""
    order = rng.permutation(np.flatnonzero(pairs.product == product))
    _, first = np.unique(pairs.pixel[order], return_index=True)
    rest = np.delete(order, first)
    _, second = np.unique(pairs.pixel[rest], return_index=True)
    return np.sort(np.concatenate([order[first], rest[second]])) if SAMPLES_PER_PIXEL > 1 else order[first]


def situations(truth: Series, target: str, rng: np.random.Generator) -> Iterator[tuple[str, Series, Bools]]:
    """Kinds of cells: what the network may read, and where (p, t) the target is asked for."""
    values, valid = truth[target]
    other_values, other_valid = truth[OTHER[target]]
    nothing = np.zeros_like(other_valid)
    everywhere = np.ones(valid.shape[:2], dtype=np.bool_)
    only_other = {target: (values, np.zeros_like(valid)), OTHER[target]: truth[OTHER[target]]}
    yield "translated", only_other, everywhere
    for length, repeats in HIDDEN_DAYS.items():
        for _ in range(repeats):
            hidden = gaps(np.asarray(valid.any(-1)), length, rng)
            shown = {target: (values, valid & ~hidden[..., None]), OTHER[target]: (other_values, nothing)}
            yield "bridged", shown, hidden
    for _ in range(REPEATS):
        margin = min(40, valid.shape[1] // 3)
        cut = rng.integers(margin, valid.shape[1] - margin, (len(valid), 1))
        after = np.arange(valid.shape[1]) >= cut
        hidden = np.where(rng.uniform(size=(len(valid), 1)) < 0.5, after, ~after)
        yield (
            "beyond",
            {target: (values, valid & ~hidden[..., None]), OTHER[target]: (other_values, nothing)},
            hidden,
        )


def composites(truth: Series, target: str, rng: np.random.Generator) -> Iterator[tuple[str, Series, Bools]]:
    """Directional products, daily or composed, of which a third of the days is asked for."""
    values, valid = truth[target]
    other_values, other_valid = truth[OTHER[target]]
    for period in COMPOSITE_DAYS:
        taken = np.stack([sparse_days(rng, valid.shape[1], period) for _ in valid])
        hidden = taken & (rng.uniform(size=taken.shape) < 1 / 3)
        shown = {
            target: (values, valid & (taken & ~hidden)[..., None]),
            OTHER[target]: (other_values, np.zeros_like(other_valid)),
        }
        yield "directional", shown, hidden


@torch.no_grad()
def real_composites(model: SatFuseNet, withheld: Withheld) -> list[Rows]:
    """What a network says of withheld steps of a real directional scene, a list over bands."""
    series, days = withheld.observed, withheld.observed.days.astype(np.int64)
    first = int(days.min()) // BIN_DAYS * BIN_DAYS
    day = (days[:, 0] - first).T  # (p t)
    place = np.arange(len(day))[:, None]
    shape = len(day), int(day.max()) + 1, len(model.config.modis)
    values, shown, hidden = np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, bool)
    known = series.valid | withheld.hidden
    for grid, mask in ((shown, series.valid), (hidden, withheld.hidden)):
        np.logical_or.at(grid, (place, day), mask[:, :, 0].transpose(2, 0, 1))
    # A step without a valid band may bear any day, another's too: its zeros must not overwrite that one.
    measured = np.where(known, series.values, np.float32(-1))[:, :, 0].transpose(2, 0, 1)
    np.maximum.at(values, (place, day), measured)
    viirs = np.zeros((*shape[:2], len(model.config.viirs)), np.float32)
    truth: Series = {"modis": (values, shown | hidden), "viirs": (viirs, np.zeros(viirs.shape, bool))}
    inputs: Series = {**truth, "modis": (values, shown)}
    return ask(model, inputs, truth, np.full(len(day), first), "modis", np.asarray(hidden.any(-1)))


def gaps(seen: Bools, length: int, rng: np.random.Generator) -> Bools:
    """One gap a pixel (p, t), observed before and after it."""
    hidden = np.zeros_like(seen)
    for pixel, days in enumerate(seen):
        known = np.flatnonzero(days)
        if known.size and known[-1] - known[0] > length:
            start = int(rng.integers(known[0] + 1, known[-1] - length + 1))
            hidden[pixel, start : start + length] = True
    return hidden


def ask(
    model: SatFuseNet, inputs: Series, truth: Series, days: NDArray[np.int64], target: str, hidden: Bools
) -> list[Rows]:
    """A list over bands of what the network says where the target is hidden and known."""
    batch = on_grid(inputs, truth, days)
    query = query_positions(hidden.shape[1])
    estimate: Estimate = model(batch.inputs, batch.first_day, query, target)
    values, valid = truth[target]
    before, after = estimate.days_before.numpy(), estimate.days_after.numpy()
    gap = np.where(np.maximum(before, after) >= FAR_DAYS, np.minimum(before, after), before + after)
    restless = np.broadcast_to(restlessness(batch.inputs[target]).numpy(), values.shape)
    fields = values, *(e.numpy() for e in (estimate.base, estimate.location, estimate.sigma)), gap, restless
    only_translated = inputs[target][1].sum() == 0
    asked = valid & hidden[..., None] & ((before == 0) if only_translated else (gap < FAR_DAYS))
    return [
        Rows(*(each[..., band][asked[..., band]].astype(np.float32) for each in fields))
        for band in range(values.shape[-1])
    ]


def stack(parts: Sequence[Rows]) -> Rows:
    """Several lots of rows as one."""
    return Rows(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def stack_bands(lists: Sequence[Sequence[Rows]]) -> list[Rows]:
    """Several lots of rows by band as one."""
    return [stack(parts) for parts in zip(*lists, strict=True)]


def fit(model: SatFuseNet, others: Sequence[Residuals], seen: Pairs, composites: Sequence[Rows] = ()) -> Json:
    """The calibration of a network as its card stores it.

    Parameters
    ----------
    model
        The network.
    others
        What networks of the same training say of places that they did not see.
    seen
        Samples that the network was trained on: what it knows by sight.
    composites
        What the network says of a real directional scene, by band; empty if there is none.
    """
    calibration: Json = {
        "method": "share: least squares on the base; inflation: conformal, central 80 %; by days of the gap",
        "fitted_on": "places that the networks asked did not see, in artificial gaps of NBAR series; "
        f"the floor on {'real MOD09A1 of one scene' if composites else 'simulated directional series'}",
        "gap_days": list(GAP_DAYS),
        "pixels": acquaintance(model, seen),
    }
    for target in OTHER:
        together = {
            kind: stack_bands([each[target, kind] for each in others if (target, kind) in each])
            for kind in (*KINDS, "directional")
        }
        alike = [target == "viirs" and name in ALIKE[target] for name in model.config.bands(target)]
        calibration[target] = tables_of(together, composites or together["directional"], alike)
    return calibration


def tables_of(
    together: Mapping[str, Sequence[Rows]], restless: Sequence[Rows], alike: Sequence[bool]
) -> Json:
    """One target's tables; the floor is that which their own intervals need where series are restless."""
    bands = len(alike)
    tables: Json = {"observed": {"share": [1.0] * bands, "inflation": [1.0] * bands}}
    floor = 0.0
    for _ in range(ROUNDS):
        tables["translated"] = translated_table(together["translated"], floor, alike)
        for kind in ("bridged", "beyond"):
            tables[kind] = table(together[kind], floor)
        floor = least_floor(restless, tables["bridged"])
    return tables | {"floor": [round(floor, 3)] * bands}


def least_floor(restless: Sequence[Rows], bridged: Json) -> float:
    """How many times the restlessness the spread must be: the median of what the bands need."""
    needed = []
    for band, rows in enumerate(restless):
        share, inflation = (
            interpolated(rows.gap, [knot[band] for knot in bridged[name]]) for name in ("share", "inflation")
        )
        location = rows.base + share * (rows.location - rows.base)
        needed.append(least_sigma(rows._replace(location=location, sigma=rows.sigma * inflation)))
    return float(np.median(needed)) if needed else 0.0


def interpolated(gap: Floats, values: Sequence[float]) -> Floats:
    """Values at the knots, for gaps (n,) of any length; between knots linear in the gap's logarithm."""
    return np.interp(np.log1p(gap), np.log1p(GAP_DAYS), values).astype(np.float32)


def translated_table(rows: Sequence[Rows], floor: float, alike: Sequence[bool]) -> Json:
    """Share and inflation of each band (bands,) for the day on which the other sensor observed.

    Bands that are `alike` in both sensors pass as they are.
    """
    everything = [np.ones_like(each.gap) for each in rows]
    share = np.where(alike, 0.0, shares(rows, everything))
    inflation = [inflate(*each, floor) for each in zip(rows, share, everything, strict=True)]
    return {"share": rounded(share), "inflation": rounded(inflation)}


def table(rows: Sequence[Rows], floor: float) -> Json:
    """Share and inflation (knots, bands) by the length of the gap."""
    share, inflation = [], []
    for knot in range(len(GAP_DAYS)):
        weights = [hat(each.gap, knot) for each in rows]
        parts = shares(rows, weights)
        share.append(rounded(parts))
        inflation.append(rounded([inflate(*each, floor) for each in zip(rows, parts, weights, strict=True)]))
    return {"share": share, "inflation": inflation}


def hat(gap: Floats, knot: int) -> Floats:
    """How much a gap (n,) belongs to a knot: 1 there, falling to 0 at its neighbours, in logarithms."""
    at = np.log1p(np.array(GAP_DAYS, dtype=np.float64))
    hats = np.eye(len(GAP_DAYS))[knot]
    return np.asarray(np.interp(np.log1p(gap), at, hats), dtype=np.float32)


def shares(rows: Sequence[Rows], weights: Sequence[Floats]) -> NDArray[np.float64]:
    """The part (bands,) of the correction with the least squared error, drawn to the bands' common one."""
    wanted, made = np.zeros(len(rows)), np.zeros(len(rows))
    for band, (each, weight) in enumerate(zip(rows, weights, strict=True)):
        correction, error = (each.location - each.base).astype(np.float64), each.truth - each.base
        scale = max(float((weight * np.square(error)).sum()), 1e-12)
        wanted[band] = (weight * correction * error).sum() / scale
        made[band] = (weight * np.square(correction)).sum() / scale
    common = wanted.sum() / max(made.sum(), 1e-9)
    pull = made.mean()
    return np.asarray(np.clip((wanted + pull * common) / np.maximum(made + pull, 1e-9), 0.0, 1.0))


def inflate(rows: Rows, share: float, weight: Floats, floor: float) -> float:
    """The factor of sigma with which the central 80 % interval holds 80 % of the weighted cells.

    Cells that the floor holds already need no factor.
    """
    error = np.abs(rows.truth - rows.base - share * (rows.location - rows.base)) / CENTRAL_80
    needed = np.where(error <= floor * rows.restless, 0, error / rows.sigma)
    return quantile(needed, weight)


def least_sigma(rows: Rows) -> float:
    """How many times the restlessness the spread must be for the central 80 % interval to hold 80 %.

    Cells that the network's own spread holds already need none.
    """
    error = np.abs(rows.truth - rows.location) / CENTRAL_80
    needed = np.where(error <= rows.sigma, 0, error / np.maximum(rows.restless, 1e-4))
    return quantile(needed, np.ones_like(needed), low=0.0)


def quantile(needed: Floats, weight: Floats, low: float = 0.3) -> float:
    """The factor that is enough for 80 % of the weight; 1 where nothing has any."""
    order = np.argsort(needed)
    total = np.cumsum(weight[order], dtype=np.float64)
    if not total.size or total[-1] < 1:
        return 1.0
    return float(np.clip(needed[order][np.searchsorted(total, 0.8 * total[-1])], low, 10.0))


@torch.no_grad()
def acquaintance(model: SatFuseNet, seen: Pairs) -> Json:
    """What pixels look like that the network knows: mean, precision, the farthest of them with a margin.

    The farthest is looked for with all bands, with one sensor, and with the usual subsets of bands.
    """
    series = series_of(seen, np.arange(len(seen)))
    batch = on_grid(series, series, seen.first_day.astype(np.int64))
    known = torch.cat([batch.truth[sensor].valid.any(1) for sensor in OTHER], -1)
    found = looks(model.centres(batch.truth))[known.all(-1)].double().numpy()
    centre = found.mean(0)
    covariance = np.cov(found, rowvar=False) + LOOKS_NOISE**2 * np.eye(len(centre))
    precision = np.linalg.inv(covariance)
    tables = {sensor: torch.empty(0) for sensor in OTHER}
    measure = Calibration(
        tables, tables, tables, torch.from_numpy(centre).float(), torch.from_numpy(precision).float(), 1.0
    )
    rng = np.random.default_rng(SEED)
    farthest = 0.0
    for _ in range(SUBSETS):
        bands = visible_bands(rng)
        bands[str(rng.choice(list(OTHER)))] &= rng.uniform() < 0.5
        shown = {
            s: Grid(g.values * torch.from_numpy(bands[s]), g.valid & torch.from_numpy(bands[s]))
            for s, g in batch.truth.items()
        }
        known = torch.cat([shown[sensor].valid.any(1) for sensor in OTHER], -1)
        distance = measure.strangeness(model.centres(shown), known)
        farthest = max(farthest, float(distance.max()))
    return {
        "centre": [round(float(v), 6) for v in centre],
        "precision": [[round(float(v), 3) for v in row] for row in precision],
        "limit": round(LIMIT_MARGIN * farthest, 4),
    }


def rounded(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Three digits are more than the data tell."""
    return [round(float(value), 3) for value in values]
