"""From a prediction to the layers of a result: what the processes that predict series share."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import __version__, cubes, provenance
from openeo_udf_fusion.errors import NoDataAvailable
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.cards import Card
from openeo_udf_fusion.models.series import Prediction
from openeo_udf_fusion.parameters import check_choice, check_flag
from openeo_udf_fusion.periods import Days

Uncertainty = Literal["none", "sigma", "quantiles"]
QUANTILES: Mapping[str, float] = {"q10": 0.1, "q50": 0.5, "q90": 0.9}

Layers = dict[str, NDArray[np.float32]]
"""Each band of a result by its label, (t, y, x)."""


def labels(bands: Sequence[str], uncertainty: Uncertainty, days_to_observation: bool) -> list[str]:
    """Return the labels of a result's bands, in order; raises InvalidParameter for an unknown choice."""
    check_choice("uncertainty", uncertainty, ("none", "sigma", "quantiles"))
    check_flag("days_to_observation", days_to_observation)
    suffixes = {"none": (), "sigma": ("sigma",), "quantiles": tuple(QUANTILES)}[uncertainty]
    extra = ["days_to_observation"] if days_to_observation else []
    return [*bands, *(f"{band}_{suffix}" for band in bands for suffix in suffixes), "provenance", *extra]


def levels(uncertainty: Uncertainty) -> tuple[float, ...]:
    """Return the levels of the quantiles that a model is asked for."""
    return tuple(QUANTILES.values()) if uncertainty == "quantiles" else ()


def check_overlap(cube: xr.DataArray, query: Days, support_days: int) -> None:
    """Refuse a cube whose dates are far from the wanted ones: that is a mistake, not a cloudy year."""
    acquired, margin = cubes.days_of(cube), np.timedelta64(support_days, "D")
    if acquired.min() > query.max() + margin or acquired.max() < query.min() - margin:
        raise NoDataAvailable(
            f"the cube's dates ({acquired.min()} to {acquired.max()}) and the wanted ones ({query.min()} to "
            f"{query.max()}) are more than {support_days} days apart; check temporal_extent and dates"
        )


def of_prediction(prediction: Prediction, bands: Sequence[str], uncertainty: Uncertainty) -> Layers:
    """Return mean and spread of every band as layers."""
    found: Layers = {band: prediction.mean[:, place] for place, band in enumerate(bands)}
    for place, band in enumerate(bands):
        if uncertainty == "sigma":
            found[f"{band}_sigma"] = prediction.sigma[:, place]
        if uncertainty == "quantiles":
            found |= {
                f"{band}_{name}": prediction.quantiles[level, :, place]
                for level, name in enumerate(QUANTILES)
            }
    return found


def keep_observed(
    found: Layers,
    band: str,
    values: NDArray[np.float32],
    seen: NDArray[np.bool_],
    limits: tuple[float, float] | None,
) -> None:
    """Put a band's observations (t, y, x) back in place and move its quantiles along, within the limits.

    The model's spread stays.
    """
    for name in QUANTILES:
        if f"{band}_{name}" in found:
            moved = found[f"{band}_{name}"] + (values - found[band])
            moved = moved if limits is None else np.clip(moved, *limits)
            np.copyto(found[f"{band}_{name}"], moved, where=seen)
    np.copyto(found[band], values, where=seen)


def refuse(found: Mapping[str, NDArray[np.float32]], refused: NDArray[np.bool_]) -> None:
    """Take the values of layers away where they are refused."""
    for layer in found.values():
        np.copyto(layer, np.nan, where=refused)


def own_parameters(local: Json) -> Json:
    """Return a process's parameters as they were given: its `locals()` at its first line, but the cube."""
    return {name: value for name, value in local.items() if name != "cube"}


def attributes(
    process: str, title: str, made_by: str, about: Json, parameters: Json, of_bands: Mapping[str, Json]
) -> Json:
    """Return what a reader of the file must know, as CF attributes.

    Parameters
    ----------
    process, title : str
        The process's id, and what its result is.
    made_by : str
        The method or the model, with its version.
    about : dict
        More of it, as `model_attributes` gives it.
    parameters : dict
        The process's own, as they were given.
    of_bands : mapping of label to dict
        Attributes of each band.
    """
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "source": f"{made_by}, openeo_udf_fusion {__version__}",
        "process": process,
        "package_version": __version__,
        **about,
        "parameters": json.dumps(parameters, default=list),
        "band_attrs": dict(of_bands),
    }


def attributes_by_model(
    process: str,
    title: str,
    card: Card,
    parameters: Json,
    of_bands: Mapping[str, Json],
    also: Json | None = None,
) -> Json:
    """Return the same of what a model made; `also` follows what is said of it."""
    made_by, about = f"{card.name} {card.version}", model_attributes(card) | (also or {})
    return attributes(process, title, made_by, about, parameters, of_bands)


def model_attributes(card: Card) -> Json:
    """Return which weights made a result."""
    return {"model": card.name, "model_sha256": card.sha256}


def band_attributes(band: str, described: Mapping[str, str], bands: Sequence[str]) -> Json:
    """Return the CF attributes of a band of a result.

    Parameters
    ----------
    band : str
        Label of the band.
    described : mapping
        `long_name` of the quantity itself, and `standard_name` and `units` where they are known.
    bands : sequence of str
        Labels of all bands of the result.
    """
    _, _, suffix = band.rpartition("_")
    long_name = described["long_name"]
    if suffix == "sigma":
        spread = dict(described) | {"long_name": f"{long_name}: one standard deviation"}
        if "standard_name" in described:
            spread["standard_name"] = f"{described['standard_name']} standard_error"
        return spread
    if suffix in QUANTILES:
        return dict(described) | {"long_name": f"{long_name}: {QUANTILES[suffix]:.0%} quantile"}
    companions = [f"{band}_{name}" for name in ("sigma", *QUANTILES) if f"{band}_{name}" in bands]
    return dict(described) | {"ancillary_variables": " ".join([*companions, "provenance"])}


def provenance_attributes(worst: str) -> Json:
    """Return the CF attributes of the band `provenance`; `worst` says over what it is the worst."""
    return {
        "long_name": f"how the values of this date and pixel came about, the worst over {worst}",
        "standard_name": "status_flag",
        "flag_values": list(range(len(provenance.MEANINGS))),
        "flag_meanings": " ".join(provenance.MEANINGS),
    }
