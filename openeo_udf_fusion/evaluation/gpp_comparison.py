"""GPP by models trained on MODIS and fed with something else: scores, paired differences, a verdict."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import resampling
from openeo_udf_fusion.evaluation.gpp_models import MODELS, folds_of, held_out
from openeo_udf_fusion.evaluation.gpp_towers import Towers
from openeo_udf_fusion.evaluation.resampling import Interval
from openeo_udf_fusion.jsontypes import Json

Doubles = NDArray[np.float64]
MARGIN = 0.05
"""What a user may lose and still call it usable: the share of the RMSE with MODIS itself."""
RESAMPLES = 4000
TRUTH, AS_IT_IS, SYNTHETIC, RIDGE, RETRAINED = "modis", "viirs", "satfusenet", "ridge", "viirs_retrained"


def compare(towers: Towers, fed: Mapping[str, Doubles], seed: int) -> tuple[Json, dict[str, Json]]:
    """Score GPP models trained on MODIS with each of the inputs.

    Parameters
    ----------
    towers
        With n rows.
    fed
        (d, n, 7) reflectance by name, d draws of spectra and noise; "modis" is what models are trained on.
    seed
        Of the folds and the resampling.

    Returns
    -------
    Json
        Rows: `scores`, `differences`, `departures`, `departure_differences`, `verdicts`, `by_plant_type`.
    dict
        RMSE (d,) by model and input.
    """
    fold = folds_of(towers.place, seed)
    result: dict[str, list[Json]] = {"scores": [], "differences": [], "departures": []}
    result |= {"departure_differences": [], "verdicts": [], "by_plant_type": []}
    of_draws: dict[str, Json] = {}
    for name in MODELS:
        gpp = predict(name, towers, fed, fold)
        error = {key: found - towers.gpp for key, found in gpp.items()}
        departure = {key: gpp[key] - gpp[TRUTH] for key in fed if key != TRUTH}
        found: dict[str, list[Json]] = {
            "scores": [{"input": key} | score(each, towers.gpp) for key, each in error.items()],
            "differences": list(differences(error, contests(list(error)), towers.place, seed)),
            "departures": list(departures(departure, towers.place, seed)),
            "by_plant_type": list(by_plant_type(error, towers)),
        }
        rivals = [pair for pair in contests(list(departure)) if TRUTH not in pair]
        found["departure_differences"] = list(differences(departure, rivals, towers.place, seed))
        found["verdicts"] = list(verdicts(found["differences"], MARGIN * found["scores"][0]["rmse"]))
        of_draws[name] = {key: rmse(each) for key, each in error.items()}
        for table, rows in found.items():
            result[table] += [{"model": name} | row for row in rows]
    return dict(result), of_draws


def predict(
    model: str, towers: Towers, fed: Mapping[str, Doubles], fold: NDArray[np.int64]
) -> dict[str, Doubles]:
    """GPP (d, n) by input; each draw has models of its own, trained on that draw's MODIS.

    Where VIIRS as it is takes part, a model trained on it anew does so too.
    """
    found: dict[str, list[Doubles]] = {key: [] for key in (TRUTH, *fed)}
    known = towers.weather, towers.gpp, fold
    for draw, modis in enumerate(fed[TRUTH]):
        inputs = {key: bands[draw] for key, bands in fed.items()}
        for key, gpp in held_out(MODELS[model], modis, inputs, *known).items():
            found[key].append(gpp)
        if AS_IT_IS in fed:
            anew = held_out(MODELS[model], inputs[AS_IT_IS], {RETRAINED: inputs[AS_IT_IS]}, *known)
            found.setdefault(RETRAINED, []).append(anew[RETRAINED])
    return {key: np.stack(each) for key, each in found.items()}


def rmse(error: Doubles) -> Doubles:
    """Root mean square over the last axis."""
    return np.asarray(np.sqrt((error**2).mean(axis=-1)))


def score(error: Doubles, gpp: Doubles) -> Json:
    """RMSE and bias in gC m-2 d-1 and R2 of errors (d, n), means over the draws."""
    explained = 1 - (error**2).mean(axis=-1) / gpp.var()
    return {"rmse": float(rmse(error).mean()), "r2": float(explained.mean()), "bias": float(error.mean())}


def contests(names: list[str]) -> list[tuple[str, str]]:
    """Which inputs are compared: each with MODIS, and SatFuseNet's with the other ways to use VIIRS."""
    with_truth = [(name, TRUTH) for name in names if name != TRUTH]
    if SYNTHETIC not in names:
        return with_truth
    return with_truth + [(SYNTHETIC, name) for name in names if name not in (SYNTHETIC, TRUTH)]


def differences(
    error: Mapping[str, Doubles], pairs: list[tuple[str, str]], place: NDArray[np.int64], seed: int
) -> Iterator[Json]:
    """Paired differences of the RMSE of errors (d, n), with 95 % intervals."""
    names = list(error)
    squared = np.stack([error[name] ** 2 for name in names])
    resampled = Resamples(place, squared.shape[1], seed)
    drawn = resampled.over_draws(np.sqrt(resampled.over_places(squared)))  # (r, inputs)
    whole = np.sqrt(squared.mean(axis=-1)).mean(axis=-1)
    for name, other in pairs:
        one, two = names.index(name), names.index(other)
        interval = resampling.percentiles(whole[one] - whole[two], drawn[:, one] - drawn[:, two])
        row = {"input": name, "against": other} | as_json(interval, "rmse_difference")
        yield row | {"relative": float((whole[one] - whole[two]) / whole[two]) if whole[two] > 0 else None}


def departures(departure: Mapping[str, Doubles], place: NDArray[np.int64], seed: int) -> Iterator[Json]:
    """How far GPP (d, n) moves when MODIS is replaced: root mean square and mean, with 95 % intervals.

    The tower's GPP plays no part in it, so the GPP model's own error does not hide what the input does.
    """
    for name, each in departure.items():
        resampled = Resamples(place, len(each), seed)
        squared = resampled.over_places(each[None] ** 2)
        spread = resampling.percentiles(rmse(each).mean(), resampled.over_draws(np.sqrt(squared))[:, 0])
        mean = resampling.percentiles(
            each.mean(), resampled.over_draws(resampled.over_places(each[None]))[:, 0]
        )
        yield {"input": name, "rms": as_json(spread, "value"), "mean": as_json(mean, "value")}


def as_json(interval: Interval, name: str) -> Json:
    """An interval as plain numbers; `name` is what the estimate is called."""
    return {name: float(interval.estimate), "low": float(interval.low), "high": float(interval.high)}


class Resamples(NamedTuple):
    """Whole places and whole draws of spectra and noise, drawn with replacement: both are samples.

    Neighbouring towers and the days of one tower are no independent witnesses: the clusters are drawn,
    doi:10.1111/j.1467-9868.2007.00593.x.
    """

    place: NDArray[np.int64]
    draws: int
    seed: int

    def over_places(self, values: Doubles) -> Doubles:
        """Means over the rows of each resample: (i, d, n) -> (r, i, d)."""
        distinct, index = np.unique(self.place, return_inverse=True)
        member = np.eye(len(distinct))[index]  # (n, p)
        weight = resampling.draw_weights(len(distinct), RESAMPLES, self.seed)  # (r, p)
        total = np.einsum("idp,rp->rid", values @ member, weight)
        return np.asarray(total / (weight @ member.sum(axis=0))[:, None, None])

    def over_draws(self, values: Doubles) -> Doubles:
        """Means over the draws of each resample: (r, i, d) -> (r, i)."""
        share = resampling.draw_weights(self.draws, RESAMPLES, self.seed + 1) / self.draws
        return np.asarray(np.einsum("rid,rd->ri", values, share))


def verdicts(rows: list[Json], limit: float) -> Iterator[Json]:
    """Whether the upper end of an input's loss against MODIS stays below a limit in gC m-2 d-1."""
    for row in rows:
        if row["against"] == TRUTH and row["input"] != RETRAINED:
            usable = bool(row["high"] < limit)
            yield {"input": row["input"], "upper_end": row["high"], "limit": limit} | {
                "usable_without_retraining": usable
            }


def by_plant_type(error: Mapping[str, Doubles], towers: Towers) -> Iterator[Json]:
    """RMSE of each input where each plant type grows: too few towers each for an interval."""
    for kind in np.unique(towers.plant_type):
        here = towers.plant_type == kind
        row = {"plant_type": str(kind), "towers": len(np.unique(towers.site[here])), "rows": int(here.sum())}
        yield row | {"rmse": {key: float(rmse(each[:, here]).mean()) for key, each in error.items()}}
