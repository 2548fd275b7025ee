"""One continuous series out of MODIS and VIIRS: the target's bands on any date, with their uncertainty."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from openeo_udf_fusion import cubes, provenance, sensors
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.parameters import check_choice, check_flag
from openeo_udf_fusion.periods import output_dates
from openeo_udf_fusion.processes import layers as result_layers
from openeo_udf_fusion.processes.layers import Layers, Uncertainty

MODEL = "satfusenet"
Target = Literal["modis", "viirs"]


def harmonize_modis_viirs(
    cube: xr.DataArray | xr.Dataset,
    target: Target = "modis",
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = "P8D",
    uncertainty: Uncertainty = "sigma",
    smooth: bool = False,
    days_to_observation: bool = False,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> xr.DataArray:
    """Harmonise MODIS and VIIRS surface reflectance into one gap-free series of the target sensor.

    Parameters
    ----------
    cube : DataArray or Dataset
        Surface reflectance 0-1, NaN where missing, with bands `modis_B1`..`modis_B7` and/or `viirs_I1`,
        `viirs_I2`, `viirs_M3`, `viirs_M4`, `viirs_M5`, `viirs_M8`, `viirs_M10`, `viirs_M11`; any of them may
        be missing. Where it also has `modis_state_1km`, `viirs_QF1` (`viirs_QF2`, `viirs_QF7`) or
        `<sensor>_quality_<band>`, clouds and bad inversions are masked; where it has `modis_day_of_year`,
        each pixel of a composite is taken at its own day.
    target : "modis" or "viirs"
        The sensor whose bands come out.
    temporal_extent : (start, end), optional
        Left-closed; needed for periods, and limits acquisition dates.
    dates : str or list of dates
        "acquisition", an ISO 8601 period ("P8D" restarts on 1 January, "P1M" is the 1st), or the dates
        themselves. The pixels of a composite with `modis_day_of_year` count as observed on their own days;
        with "acquisition", on the composite's date.
    uncertainty : "none", "sigma" or "quantiles"
        Adds `<band>_sigma` (one standard deviation), or `<band>_q10`, `<band>_q50`, `<band>_q90`: the spread
        of what the target's product would report on that day, given all observations. On an observed day it
        is the model's spread about its own estimate. The product's own accuracy comes on top.
    smooth : bool
        Give the model's estimate on observed days too. By default a good observation of the target survives
        unchanged.
    days_to_observation : bool
        Adds a band with the days to the nearest observation by either sensor.
    precision : "float32" or "bfloat16"
        Of the network; the latter is faster on processors that have it, and refused where onnxruntime stands
        in for torch.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): the target's bands, their uncertainty, and `provenance`: 0 observed,
        1 translated on the same day, 2 interpolated, 3 seasonal or extrapolated, 4 refused (all values NaN),
        the worst over bands.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> result = harmonize_modis_viirs(cube, "modis", ["2022-01-01", "2023-01-01"])  # doctest: +SKIP
    >>> red, sigma = result.sel(bands="B1"), result.sel(bands="B1_sigma")  # doctest: +SKIP
    """
    parameters = result_layers.own_parameters(locals())
    bands = output_bands(target, uncertainty, days_to_observation)
    check_flag("smooth", smooth)
    check_choice("precision", precision, ("float32", "bfloat16"))
    given = cubes.canonical(cube)
    card = cards.read(MODEL)
    present = cubes.sensors_in(given, card.bands)
    query = output_dates(dates, temporal_extent, cubes.days_of(given))
    query_days = cubes.day_numbers(query)
    arrays = {sensor: cubes.sensor_arrays(given, sensor, card.bands[sensor]) for sensor in present}
    result_layers.check_overlap(given, query, card.support_days)

    predictor = weights.load(card.name, precision=precision)
    levels = result_layers.levels(uncertainty)
    observed = {sensor: Observations(*each) for sensor, each in arrays.items()}
    prediction = predictor.predict(observed, query_days, target, levels)

    if dates == "acquisition":
        # A composite's label stands for all its pixels, on whichever day each was taken.
        arrays = {sensor: cubes.at_labels(each, given) for sensor, each in arrays.items()}
    other = next(sensor for sensor in card.bands if sensor != target)
    partners = card.hyperparameters[f"{target}_partner"]
    traced = provenance.trace(arrays.get(target), arrays.get(other), partners, query_days, card.support_days)
    traced = provenance.refuse_strangers(traced, prediction.strangeness)
    layers = result_layers.of_prediction(prediction, card.bands[target], uncertainty)
    if target in arrays and not smooth:
        _keep_observed(layers, card.bands[target], *cubes.on_days(arrays[target], query_days))
    result_layers.refuse(layers, traced.code == provenance.REFUSED)
    layers["provenance"] = traced.code.astype(np.float32)
    layers["days_to_observation"] = traced.days_to_observation

    result = cubes.assemble({band: layers[band] for band in bands}, query, like=cube)
    result.attrs = _attributes(card, parameters, bands)
    return result


def output_bands(
    target: Target = "modis", uncertainty: Uncertainty = "sigma", days_to_observation: bool = False
) -> list[str]:
    """Return the labels of the result's bands, in order; raises InvalidParameter for an unknown choice."""
    check_choice("target", target, list(sensors.FUSED_BANDS))
    return result_layers.labels(sensors.FUSED_BANDS[target], uncertainty, days_to_observation)


def _keep_observed(layers: Layers, bands: Sequence[str], values: cubes.Values, seen: cubes.Mask) -> None:
    """Put the observations back in place."""
    for place, band in enumerate(bands):
        result_layers.keep_observed(layers, band, values[:, place], seen[:, place], sensors.VALID_REFLECTANCE)


def _attributes(card: cards.Card, parameters: Json, bands: Sequence[str]) -> Json:
    return result_layers.attributes_by_model(
        "harmonize_modis_viirs",
        "Harmonised MODIS and VIIRS surface reflectance",
        card,
        parameters,
        {band: _band_attributes(band, str(parameters["target"]), bands) for band in bands},
    )


def _band_attributes(band: str, sensor: str, bands: Sequence[str]) -> Json:
    if band == "provenance":
        return result_layers.provenance_attributes("bands")
    if band == "days_to_observation":
        return {"long_name": "days to the nearest observation by either sensor", "units": "day"}
    described = {
        "long_name": f"{sensor.upper()} surface reflectance, band {band.partition('_')[0]}",
        "standard_name": "surface_bidirectional_reflectance",
        "units": "1",
    }
    return result_layers.band_attributes(band, described, bands)
