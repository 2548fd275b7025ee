"""Landsat's surface temperature at 10 m, on its own dates."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from openeo_udf_fusion import provenance
from openeo_udf_fusion.cubes import Values
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import landsat_sentinel2 as shared
from openeo_udf_fusion.processes.image_series import labelled
from openeo_udf_fusion.processes.landsat_scenes import (
    LANDSAT,
    OPTICAL,
    Scene,
    clear_on_days,
    of_band,
    scene_of,
)
from openeo_udf_fusion.processes.layers import check_overlap, own_parameters

NAME = "sharpen_landsat_thermal"
SENSOR, BAND = LANDSAT, shared.TEMPERATURE
COMPENSATION_PX = 18
"""So far does the compensation look, beyond the network: `models.thermal_residual`, which needs torch."""


def sharpen_landsat_thermal(
    cube: xr.DataArray | xr.Dataset,
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = "acquisition",
    days_to_observation: bool = False,
    model: str = shared.MODEL,
    landsat_cell_offset_px: Sequence[int] = (0, 0),
) -> xr.DataArray:
    """Sharpen the land surface temperature of Landsat-8/9 to 10 m, by Sentinel-2 and Landsat's reflectance.

    What the network makes is compensated on the day: seen at the radiometer's resolution it agrees with what
    was measured, wherever that is clear.

    Parameters
    ----------
    cube : DataArray or Dataset
        As `fuse_landsat_sentinel2` takes it; `l8_LST` in kelvin and at least one band of Sentinel-2 are
        needed, Landsat's reflectance helps. The network runs in float32: bfloat16 is too coarse for it.
    dates : str or list of dates
        "acquisition" (the dates on which Landsat has any value in the chunk: they may differ from tile to
        tile where swaths end), or the dates themselves. At most 200.
    days_to_observation : bool
        Adds `days_to_own_observation` of the temperature, and `days_to_observation` by either sensor.
    temporal_extent, model, landsat_cell_offset_px
        As `fuse_landsat_sentinel2` takes them.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): `LST` in kelvin and `provenance` of the temperature: 0 seen clear on this
        day, 1 by Sentinel-2 alone, 2 between clear observations at most 80 days apart, 3 farther, or beyond
        the last one, 4 refused (NaN): no clear temperature within the card's `support_days`. Only where it is
        0 a measurement of the day stands behind the level; elsewhere it is the network's estimate.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> sharp = sharpen_landsat_thermal(cube, ["2018-05-01", "2018-10-01"])  # doctest: +SKIP
    >>> seen = sharp.sel(bands="LST").where(sharp.sel(bands="provenance") == 0)  # doctest: +SKIP
    """
    parameters = own_parameters(locals())
    bands = output_bands(days_to_observation, model)
    offset = shared.check_offset(landsat_cell_offset_px)
    card, given = shared.card_of(model), labelled(cube)
    shared.require(given, NAME, SENSOR, [BAND], "which it sharpens")
    shared.require(given, NAME, OPTICAL, card.bands[OPTICAL], "which has the detail of 10 m")
    query = shared.query_at_acquisitions(dates, temporal_extent, given, SENSOR)
    first_day = shared.day_zero(temporal_extent, dates, query)
    check_overlap(given, query, card.support_days)

    request = shared.Request(card, query, first_day, (SENSOR,))
    scene = scene_of(given, card, offset)
    values = shared.fused(weights.load_fusion(model), scene, request)
    place = card.bands[SENSOR].index(BAND)
    _compensate(values[SENSOR], scene, request, place)
    layers = shared.layers_of(of_band(scene, SENSOR, place), request, values, days_to_observation)
    layers["provenance"][np.isnan(layers[BAND])] = provenance.REFUSED
    result = shared.result_of(cube, scene, request, layers, bands)
    title = "Landsat land surface temperature at 10 m"
    result.attrs = shared.attributes(NAME, title, request, parameters, bands, given)
    return result


def output_bands(days_to_observation: bool = False, model: str = shared.MODEL) -> list[str]:
    """Return the labels of the result's bands, in order; raises InvalidParameter for an unknown choice."""
    found = shared.labels(shared.card_of(model), (SENSOR,), days_to_observation)
    return [BAND, *found[found.index("provenance") :]]


def _compensate(values: Values, scene: Scene, request: shared.Request, place: int) -> None:
    """Make the temperature, at this place among the bands, agree with what was seen clear, in place."""
    # It needs torch, which publishing a process does not.
    from openeo_udf_fusion.models.thermal_residual import compensate

    seen = clear_on_days(scene, SENSOR, request.query_days)
    if seen is not None:
        measured, there = seen
        shared.compensate_days(values[:, place], measured[:, place], there[:, place], compensate)
