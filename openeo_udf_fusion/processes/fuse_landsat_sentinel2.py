"""All bands of Landsat and Sentinel-2 at 10 m on any date, out of both sensors' series, clouds or not."""

from collections.abc import Sequence

import xarray as xr

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.parameters import check_choice
from openeo_udf_fusion.processes import landsat_sentinel2 as shared
from openeo_udf_fusion.processes.image_series import labelled
from openeo_udf_fusion.processes.landsat_scenes import SENSORS, scene_of
from openeo_udf_fusion.processes.landsat_sentinel2 import warning_of as warning_of
from openeo_udf_fusion.processes.layers import check_overlap, own_parameters

NAME = "fuse_landsat_sentinel2"


def fuse_landsat_sentinel2(
    cube: xr.DataArray | xr.Dataset,
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = shared.TWICE_MONTHLY,
    sensors: Sequence[str] = SENSORS,
    days_to_observation: bool = False,
    precision: Precision = "float32",
    model: str = shared.MODEL,
    landsat_cell_offset_px: Sequence[int] = (0, 0),
) -> xr.DataArray:
    """Fuse Landsat-8/9 and Sentinel-2 image series: every band of both at 10 m on the dates asked for.

    Parameters
    ----------
    cube : DataArray or Dataset
        Surface reflectance 0-1 `l8_B1`..`l8_B7` and kelvin `l8_LST`, `s2_B02`..`s2_B08`, `s2_B8A`, `s2_B11`,
        `s2_B12`, NaN where missing, all on one grid of 10 m; any of them may be missing, a whole sensor too.
        `l9_...` counts as `l8_...`. With `s2_SCL` and `l8_QA_PIXEL` (Collection 1: `l8_pixel_qa`) clouds are
        known; without them every value that is there counts as clear.
    temporal_extent : (start, end), optional
        Left-closed. The network counts days from its start. Needed unless `dates` is a list; then the first
        of the list is day 0.
    dates : str or list of dates
        "twice_monthly" (the 1st and 15th of each month), an ISO 8601 period ("P8D" restarts on 1 January,
        "P1M" is the 1st), "acquisition" (every date of the cube), or the dates themselves. At most 200.
    sensors : list
        Which to return: "l8", "s2" or both.
    days_to_observation : bool
        Adds `days_to_own_observation` of each sensor returned, and `days_to_observation` by either.
    precision : "float32" or "bfloat16"
        Of the network; bfloat16 for Sentinel-2 alone, and where the model's card says that it was checked.
    model : str
        Name of the card: of this package, or of the folder that OPENEO_UDF_FUSION_MODELS names.
    landsat_cell_offset_px : (row, column)
        The pixel of the cube, 0 to 2, at which a cell of Landsat's 30 m begins.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): with both sensors `l8_B1`..`l8_LST`, `s2_B02`..`s2_B12`, `l8_provenance`,
        `s2_provenance`; with one its bands and `provenance` without the prefix. Provenance is the worst over
        those bands of a sensor that the cube has: 0 seen clear by this sensor on this day, 1 by the other,
        2 between clear observations at most 80 days apart, 3 farther, or beyond the last one, 4 refused (all
        values NaN): no clear observation within the card's `support_days`. All values are the network's
        estimate, also where provenance is 0. Bands that the network never learned are left out; those that
        the cube lacks rest on others (attribute `bands_not_in_cube`). `l8_LST` is NaN where no clear
        temperature lies within `support_days`.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> fused = fuse_landsat_sentinel2(cube, ["2018-01-01", "2019-01-01"])  # doctest: +SKIP
    >>> green = fused.sel(bands="s2_B03").where(fused.sel(bands="s2_provenance") < 3)  # doctest: +SKIP
    """
    parameters = own_parameters(locals())
    bands = output_bands(sensors, days_to_observation, model)
    check_choice("precision", precision, ("float32", "bfloat16"))
    offset = shared.check_offset(landsat_cell_offset_px)
    card, given = shared.card_of(model), labelled(cube)
    query = shared.query_of(dates, temporal_extent, cubes.days_of(given))
    first_day = shared.day_zero(temporal_extent, dates, query)
    cubes.sensors_in(given, card.bands)
    check_overlap(given, query, card.support_days)

    request = shared.Request(card, query, first_day, _ordered(sensors), precision)
    scene = scene_of(given, card, offset)
    values = shared.fused(weights.load_fusion(model), scene, request)
    layers = shared.layers_of(scene, request, values, days_to_observation)
    result = shared.result_of(cube, scene, request, layers, bands)
    title = "Landsat and Sentinel-2 fused at 10 m"
    result.attrs = shared.attributes(NAME, title, request, parameters, bands, given)
    return result


def output_bands(
    sensors: Sequence[str] = SENSORS, days_to_observation: bool = False, model: str = shared.MODEL
) -> list[str]:
    """Return the labels of the result's bands, in order; raises InvalidParameter for an unknown choice."""
    return shared.labels(shared.card_of(model), _ordered(sensors), days_to_observation)


def _ordered(sensors: Sequence[str]) -> tuple[str, ...]:
    """The sensors, Landsat first."""
    fits = isinstance(sensors, Sequence) and not isinstance(sensors, str) and len(sensors) > 0
    if not fits or set(sensors) - set(SENSORS) or len(set(sensors)) != len(sensors):
        raise InvalidParameter(f"sensors is a list of one or both of {list(SENSORS)}, got {sensors!r}")
    return tuple(sensor for sensor in SENSORS if sensor in sensors)
