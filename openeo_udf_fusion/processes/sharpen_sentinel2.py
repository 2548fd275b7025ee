"""Sentinel-2's bands of 20 m at 10 m, on its own dates."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from openeo_udf_fusion import sensors
from openeo_udf_fusion.cubes import Values
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.parameters import check_choice
from openeo_udf_fusion.processes import landsat_sentinel2 as shared
from openeo_udf_fusion.processes.image_series import COARSE_GSD_M, labelled
from openeo_udf_fusion.processes.landsat_scenes import OPTICAL, Scene, clear_on_days, scene_of
from openeo_udf_fusion.processes.landsat_sentinel2 import warning_of as warning_of
from openeo_udf_fusion.processes.layers import check_overlap, own_parameters

NAME = "sharpen_sentinel2"
SENSOR = OPTICAL
COMPENSATION_PX = 4
"""So far does the compensation look, beyond the network: `models.reflectance_residual`, which needs torch."""


def sharpen_sentinel2(
    cube: xr.DataArray | xr.Dataset,
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = "acquisition",
    days_to_observation: bool = False,
    precision: Precision = "float32",
    model: str = shared.MODEL,
    landsat_cell_offset_px: Sequence[int] = (0, 0),
) -> xr.DataArray:
    """Sharpen the bands of 20 m of Sentinel-2 to 10 m, by its bands of 10 m and its other dates.

    What the network makes of a band of 20 m that was seen clear is compensated on the day: what it lacks at
    20 m of what was measured is put back.

    Parameters
    ----------
    cube : DataArray or Dataset
        As `fuse_landsat_sentinel2` takes it; at least one band of 20 m (`s2_B05`, `s2_B06`, `s2_B07`,
        `s2_B8A`, `s2_B11`, `s2_B12`) on the grid of 10 m is needed. Values that were repeated 2 x 2 times to
        get there are interpolated, others are taken as they are. Landsat helps if the cube has it.
    dates : str or list of dates
        "acquisition" (the dates on which Sentinel-2 has any value in the chunk: they may differ from tile to
        tile where swaths end), or the dates themselves. At most 200.
    days_to_observation : bool
        Adds `days_to_own_observation` by Sentinel-2, and `days_to_observation` by either sensor.
    precision : "float32" or "bfloat16"
        Of the network; bfloat16 where the model's card says that it was checked.
    temporal_extent, model, landsat_cell_offset_px
        As `fuse_landsat_sentinel2` takes them.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): `B02`..`B12` and `provenance` as `fuse_landsat_sentinel2` has it. Of the
        bands of 10 m (`B02`, `B03`, `B04`, `B08`) what was seen clear on the day survives unchanged; the
        bands of 20 m are the network's, compensated where they were seen clear. Under clouds all bands are
        its estimate from other dates: mask by `provenance` 0 to have what was seen alone.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> sharp = sharpen_sentinel2(cube, ["2018-05-01", "2018-10-01"])  # doctest: +SKIP
    >>> seen = sharp.where(sharp.sel(bands="provenance") == 0)  # doctest: +SKIP
    """
    parameters = own_parameters(locals())
    bands = output_bands(days_to_observation, model)
    check_choice("precision", precision, ("float32", "bfloat16"))
    offset = shared.check_offset(landsat_cell_offset_px)
    card, given = shared.card_of(model), labelled(cube)
    coarse = [band for band in card.bands[SENSOR] if _gsd_m(band) == COARSE_GSD_M]
    shared.require(given, NAME, SENSOR, coarse, "which it sharpens")
    query = shared.query_at_acquisitions(dates, temporal_extent, given, SENSOR)
    first_day = shared.day_zero(temporal_extent, dates, query)
    check_overlap(given, query, card.support_days)

    request = shared.Request(card, query, first_day, (SENSOR,), precision)
    scene = scene_of(given, card, offset)
    values = shared.fused(weights.load_fusion(model), scene, request)
    _keep_observed(values[SENSOR], scene, request)
    layers = shared.layers_of(scene, request, values, days_to_observation)
    result = shared.result_of(cube, scene, request, layers, bands)
    result.attrs = shared.attributes(NAME, "Sentinel-2 at 10 m", request, parameters, bands, given)
    return result


def output_bands(days_to_observation: bool = False, model: str = shared.MODEL) -> list[str]:
    """Return the labels of the result's bands, in order; raises InvalidParameter for an unknown choice."""
    return shared.labels(shared.card_of(model), (SENSOR,), days_to_observation)


def _gsd_m(band: str) -> float | None:
    known = sensors.SENTINEL2.band(band)
    return known.gsd_m if known else None


def _keep_observed(values: Values, scene: Scene, request: shared.Request) -> None:
    """Put what was seen clear back: bands of 10 m as they were, into those of 20 m what they lack of it."""
    # It needs torch, which publishing a process does not.
    from openeo_udf_fusion.models.reflectance_residual import compensate

    seen = clear_on_days(scene, SENSOR, request.query_days)
    if seen is None:
        return
    found, there = seen
    for place, band in enumerate(request.card.bands[SENSOR]):
        if _gsd_m(band) == COARSE_GSD_M:
            shared.compensate_days(values[:, place], found[:, place], there[:, place], compensate)
        else:
            np.copyto(values[:, place], found[:, place], where=there[:, place])
