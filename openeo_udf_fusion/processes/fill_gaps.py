"""Fill the gaps of any bands in time, each sensor on its own, with uncertainty and provenance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from openeo_udf_fusion import cubes, provenance, sensors
from openeo_udf_fusion.baselines import fluxneteo, linear, seasonal, whittaker
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.parameters import check_choice, check_flag
from openeo_udf_fusion.periods import output_dates
from openeo_udf_fusion.processes import band_groups
from openeo_udf_fusion.processes import layers as result_layers
from openeo_udf_fusion.processes.layers import Layers, Uncertainty

MODEL = "satfusenet"
Method = Literal["linear", "whittaker", "seasonal", "fluxneteo", "satfusenet"]
FILLERS = {
    "linear": linear.predict,
    "whittaker": whittaker.predict,
    "seasonal": seasonal.predict,
    "fluxneteo": fluxneteo.predict,
}
"""Methods that fill any band of any sensor; satfusenet fills those that it was trained on."""
TITLES: Mapping[str, str] = {
    "linear": "linear interpolation in time",
    "whittaker": "Whittaker smoother (Eilers 2003, doi 10.1021/ac034173t)",
    "seasonal": "median seasonal cycle and Whittaker-smoothed anomalies (Eilers 2003, doi 10.1021/ac034173t)",
    "fluxneteo": "moving medians, median seasonal cycle (Walther et al. 2022, doi 10.5194/bg-19-2805-2022)",
}


def fill_gaps(
    cube: xr.DataArray | xr.Dataset,
    method: Method = "linear",
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = "acquisition",
    uncertainty: Uncertainty = "sigma",
    smooth: bool = False,
    days_to_observation: bool = False,
    support_days: int = 80,
) -> xr.DataArray:
    """Fill the gaps of every band in time; a good observation survives.

    Parameters
    ----------
    cube : DataArray or Dataset
        Any bands in any units, NaN where missing. Bands of reflectance that the alias table knows
        (`modis_B1`, `viirs_I1`, `s2_B04`, `l8_B4`, ...) must be 0-1; others (an index, a temperature) are
        filled as they are. QA bands of a sensor (`modis_state_1km`, `viirs_QF1`, `s2_SCL`, `l8_QA_PIXEL`,
        `<sensor>_quality_<band>`) mask its bands; where the cube knows no other sensor, also those of
        unknown name, such as an NDVI beside `s2_SCL`. `<sensor>_day_of_year` dates each pixel of a composite.
    method : "linear", "whittaker", "seasonal", "fluxneteo" or "satfusenet"
        The first four fill any band from its own series; satfusenet fills bands of MODIS or VIIRS from all
        bands of the same sensor.
    temporal_extent : (start, end), optional
        Left-closed; needed for periods, and limits acquisition dates.
    dates : str or list of dates
        "acquisition" (the cube's own dates), an ISO 8601 period ("P8D" restarts on 1 January, "P1M" is the
        1st), or the dates themselves.
    uncertainty : "none", "sigma" or "quantiles"
        Adds `<band>_sigma` (one standard deviation), or `<band>_q10`, `<band>_q50`, `<band>_q90`: the spread
        of what would have been observed on that day.
    smooth : bool
        Give the method's estimate on observed days too.
    days_to_observation : bool
        Adds a band with the days to the nearest observation of any band.
    support_days : int
        A value is refused where its band was not observed within so many days.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): the bands in their order and units (`modis_B1` is `B1` where there is one
        sensor only), their uncertainty, and `provenance`: 0 observed, 2 interpolated, 3 seasonal or
        extrapolated, 4 refused, the worst over bands; a refused band is NaN. Reflectance lies within -0.01
        and 1.6, the range of a valid one.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> ndvi = fill_gaps(cube, "whittaker", ["2022-01-01", "2023-01-01"], "P10D")  # doctest: +SKIP
    """
    parameters = result_layers.own_parameters(locals())
    check_choice("method", method, (*FILLERS, MODEL))
    check_flag("smooth", smooth)
    _check_support(method, support_days)
    given = cubes.canonical(cube)
    given = given.assign_coords(bands=band_groups.known_labels(given["bands"].values))
    groups = band_groups.groups_of(given["bands"].values.tolist())
    names = band_groups.result_names(groups)
    bands = result_layers.labels(_in_order(given, names), uncertainty, days_to_observation)
    _check_distinct(bands)
    query = output_dates(dates, temporal_extent, cubes.days_of(given))
    query_days = cubes.day_numbers(query)
    result_layers.check_overlap(given, query, support_days)

    layers: Layers = {}
    traces: list[provenance.Trace] = []
    for group in groups:
        arrays = cubes.band_arrays(given, group.sensor, group.labels)
        prediction = _predict(method, given, group, arrays, query_days, result_layers.levels(uncertainty))
        if dates == "acquisition":
            # A composite's label stands for all its pixels, on whichever day each was taken.
            arrays = cubes.at_labels(arrays, given)
        own = result_layers.of_prediction(prediction, [names[label] for label in group.labels], uncertainty)
        _limit(own, group.labels, names)
        if not smooth:
            _keep_observed(own, group.labels, names, *cubes.on_days(arrays, query_days))
        traced = _traced(arrays, query_days, support_days, method)
        traced = [provenance.refuse_strangers(trace, prediction.strangeness) for trace in traced]
        _refuse(own, group.labels, names, traced)
        layers |= own
        traces += traced
    layers |= _worst(traces)

    result = cubes.assemble({band: layers[band] for band in bands}, query, like=cube)
    result.attrs = _attributes(parameters, band_groups.described(cube, groups, names), bands)
    return result


def output_bands(
    bands: Iterable[str], uncertainty: Uncertainty = "sigma", days_to_observation: bool = False
) -> list[str]:
    """Return the labels of the result's bands for a cube with these bands, in order.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter
        If there is nothing to fill, labels would clash, or a choice is unknown.
    """
    known = band_groups.known_labels(bands)
    names = band_groups.result_names(band_groups.groups_of(known))
    own = [names[label] for label in known if label in names]
    found = result_layers.labels(own, uncertainty, days_to_observation)
    _check_distinct(found)
    return found


# --- bands


def _in_order(cube: xr.DataArray, names: Mapping[str, str]) -> list[str]:
    return [names[label] for label in cube["bands"].values.tolist() if label in names]


def _check_distinct(bands: Sequence[str]) -> None:
    repeated = sorted({band for band in bands if bands.count(band) > 1})
    if repeated:
        raise InvalidCube(
            f"the result would have several bands {repeated}: is the cube a result already? choose the bands "
            "to fill with cube.filter_bands(...), or rename them with cube.rename_labels('bands', ...)"
        )


def _check_support(method: str, support_days: object) -> None:
    if not isinstance(support_days, int) or isinstance(support_days, bool) or support_days < 1:
        raise InvalidParameter(f"support_days must be a whole number of days above 0, got {support_days!r}")
    longest = cards.read(MODEL).support_days
    if method == MODEL and support_days > longest:
        raise InvalidParameter(
            f"{MODEL} was trained and scored up to {longest} days from an observation, support_days is "
            f"{support_days}; give less, or take another method: {', '.join(FILLERS)}"
        )


# --- values


def _predict(
    method: str,
    cube: xr.DataArray,
    group: band_groups.Group,
    arrays: cubes.SensorArrays,
    query_days: cubes.DayNumbers,
    levels: Sequence[float],
) -> Prediction:
    """Return mean and spread of a group's bands (query, bands, y, x)."""
    if method == MODEL:
        return _by_model(cube, group, query_days, levels)
    return FILLERS[method]({"own": Observations(*arrays)}, query_days, "own", levels)


def _by_model(
    cube: xr.DataArray, group: band_groups.Group, query_days: cubes.DayNumbers, levels: Sequence[float]
) -> Prediction:
    """Let the network read all of the sensor's bands and return those of the group."""
    card = cards.read(MODEL)
    positions = _positions(group, card)
    sensor = str(group.sensor)
    observed = Observations(*cubes.sensor_arrays(cube, sensor, card.bands[sensor]))
    whole = weights.load(MODEL).predict({sensor: observed}, query_days, sensor, levels)
    return whole._replace(
        mean=whole.mean[:, positions],
        sigma=whole.sigma[:, positions],
        quantiles=whole.quantiles[:, :, positions],
    )


def _positions(group: band_groups.Group, card: cards.Card) -> list[int]:
    """Return the position of each band among the model's; raises MissingBands if it does not know one."""
    known = {
        f"{sensor}_{name}": place for sensor, own in card.bands.items() for place, name in enumerate(own)
    }
    stand_ins = {
        other: known[label] for label, other in sensors.STAND_INS.items() if label not in group.labels
    }
    places = stand_ins | known
    strangers = sorted(label for label in group.labels if label not in places)
    if strangers:
        raise MissingBands(
            f"{MODEL} fills bands of modis or viirs ({', '.join(known)}), not {strangers}; leave those out "
            f"with cube.filter_bands(...), or take a method that fills any band: {', '.join(FILLERS)}"
        )
    return [places[label] for label in group.labels]


def _limits(label: str) -> tuple[float, float] | None:
    return sensors.VALID_REFLECTANCE if cubes.is_reflectance(label) else None


def _limit(layers: Layers, labels: Sequence[str], names: Mapping[str, str]) -> None:
    """Keep estimates of reflectance in the range of a valid one, which a smoother may leave in a gap."""
    for label in labels:
        limits = _limits(label)
        for suffix in ("", *(f"_{name}" for name in result_layers.QUANTILES)):
            layer = layers.get(f"{names[label]}{suffix}")
            if layer is not None and limits is not None:
                np.clip(layer, *np.array(limits, np.float32), out=layer)


def _keep_observed(
    layers: Layers, labels: Sequence[str], names: Mapping[str, str], values: cubes.Values, seen: cubes.Mask
) -> None:
    """Put the observations back in place."""
    for place, label in enumerate(labels):
        kept = values[:, place], seen[:, place], _limits(label)
        result_layers.keep_observed(layers, names[label], *kept)


# --- provenance


def _traced(
    arrays: cubes.SensorArrays, query_days: cubes.DayNumbers, support_days: int, method: str
) -> list[provenance.Trace]:
    """Trace each band alone; bands that were seen alike (the usual case) share one trace."""
    # What a median of a window does not reach, the seasonal cycle fills.
    longest = 2 * fluxneteo.REACH_DAYS if method == "fluxneteo" else provenance.LONGEST_INTERPOLATED_GAP_DAYS
    traces: list[provenance.Trace] = []
    for place in range(arrays.values.shape[1]):
        alike = (p for p in range(place) if np.array_equal(arrays.valid[:, p], arrays.valid[:, place]))
        first = next(alike, None)
        if first is not None:
            traces.append(traces[first])
            continue
        own = arrays._replace(values=arrays.values[:, [place]], valid=arrays.valid[:, [place]])
        traces.append(provenance.trace(own, None, (0,), query_days, support_days, longest))
    return traces


def _refuse(
    layers: Layers, labels: Sequence[str], names: Mapping[str, str], traces: Sequence[provenance.Trace]
) -> None:
    """Take away each band's values where they are refused."""
    for label, trace in zip(labels, traces, strict=True):
        of_band = {band: layer for band, layer in layers.items() if _is_of(band, names[label])}
        result_layers.refuse(of_band, trace.code == provenance.REFUSED)


def _is_of(band: str, name: str) -> bool:
    return band == name or band in {f"{name}_{suffix}" for suffix in ("sigma", *result_layers.QUANTILES)}


def _worst(traces: Sequence[provenance.Trace]) -> Layers:
    """Return the worst code over bands, and the days to the nearest observation of any."""
    code, days = traces[0].code, traces[0].days_to_observation
    for trace in traces[1:]:
        code, days = np.maximum(code, trace.code), np.fmin(days, trace.days_to_observation)
    return {"provenance": code.astype(np.float32), "days_to_observation": days}


# --- attributes


def _attributes(parameters: Json, described: Mapping[str, dict[str, str]], bands: Sequence[str]) -> Json:
    method = str(parameters["method"])
    return result_layers.attributes(
        "fill_gaps",
        "Gap-filled series",
        method,
        {"method": TITLES[method]} if method in TITLES else _model_attributes(),
        parameters,
        {band: about for band in bands if (about := _band_attributes(band, described, bands))},
    )


def _model_attributes() -> Json:
    card = cards.read(MODEL)
    return {"method": f"{card.name} {card.version}"} | result_layers.model_attributes(card)


def _band_attributes(band: str, described: Mapping[str, dict[str, str]], bands: Sequence[str]) -> Json:
    if band == "provenance":
        return result_layers.provenance_attributes("bands")
    if band == "days_to_observation":
        return {"long_name": "days to the nearest observation of any band", "units": "day"}
    name = next(name for name in described if _is_of(band, name))
    if band == name and not described[name]:
        return {}  # a backend may know more of it, and what is said here would hide that
    return result_layers.band_attributes(band, {"long_name": name} | described[name], bands)
