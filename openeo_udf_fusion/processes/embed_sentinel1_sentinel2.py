"""A few numbers per pixel and date out of Sentinel-1 and Sentinel-2, clouds or not."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from openeo_udf_fusion import cubes, sensors
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.series import LEVELS, MISSING_LEVEL, Observations
from openeo_udf_fusion.parameters import check_choice, check_flag
from openeo_udf_fusion.periods import Days, output_dates, parse_extent
from openeo_udf_fusion.processes import layers as result_layers
from openeo_udf_fusion.processes.layers import Layers

MODEL = "s1s2_embedding"
RADAR, OPTICAL = "s1", "s2"
MOST_DATES = 400
"""Of one result: a year of days and a month. A tile of 64 pixels then takes 65 MB, reconstruction 230."""
POSSIBLE_DB = (-60.0, 40.0)
"""Backscatter beyond it is no measurement."""
NODATA_MARKS = (-9999, -32768)
"""What files without a stated nodata hold where there is none."""
LARGEST_MEDIAN_POWER = 10.0
SMALLEST_MEDIAN_POWER = -1.0
"""Noise taken off leaves values a little below 0, decibels lie far below."""
LIKE_POWER = (-0.1, 1.0)
LARGEST_SHARE_LIKE_POWER = 0.9
ENOUGH_VALUES = 100
"""To judge a unit by: one strange pixel is no reason to end a job."""
VALIDITY = (
    "nothing_within_reach",
    "sentinel1_alone",
    "sentinel2_alone",
    "both_sensors",
    "sentinel2_clear_on_this_day",
    "not_clear_on_this_day",
)
"""What a code rests on, by the value of `validity`; the last only with dates="clear", where no code is."""


def embed_sentinel1_sentinel2(
    cube: xr.DataArray | xr.Dataset,
    temporal_extent: Sequence[str] | None = None,
    dates: str | Sequence[str] = "P1D",
    s1_unit: Literal["linear", "dB"] = "linear",
    encoding: Literal["float32", "int8"] = "float32",
    reconstruct: bool = False,
    days_to_observation: bool = False,
    margin_days: int = 0,
) -> xr.DataArray:
    """Embed every pixel: a compact code per date, from which both sensors' bands can be drawn again.

    Parameters
    ----------
    cube : DataArray or Dataset
        Backscatter `s1_VV`, `s1_VH` and/or surface reflectance 0-1 `s2_B02`..`s2_B08`, `s2_B8A`, `s2_B11`,
        `s2_B12` on one grid of 10 m, NaN where missing; any of them may be missing, a whole sensor too.
        Names without a sensor (`B02`, `VV`) are understood. With `s2_SCL` only vegetation, bare ground and
        water count (4, 5, 6); without it every Sentinel-2 value that is there counts as clear.
    temporal_extent : (start, end), optional
        Left-closed; needed for periods, limits dates of acquisition.
    dates : str or list of dates
        An ISO 8601 period ("P1D" is every day); "clear", the dates of Sentinel-2, each with values only where
        it saw the ground; "acquisition", every date of the cube; or the dates themselves. At most 400.
    s1_unit : "linear" or "dB"
        Whether backscatter is linear power or in decibels; it is not guessed.
    encoding : "float32" or "int8"
        float32 is -1..1; int8 gives the whole numbers -127..127 of which the 127th part is the code.
    reconstruct : bool
        Adds `B02`..`B12`, the cloud-free reflectance drawn from the code alone, and `<band>_sigma`.
    days_to_observation : bool
        Adds a band with the days to the nearest clear observation by Sentinel-2.
    margin_days : int
        So many days at both ends of `temporal_extent` only serve the others and are not in the result.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x): `e0`..`e7`, on request reconstruction and sigma, `validity` (0 nothing
        within reach, 1 Sentinel-1 alone, 2 Sentinel-2 alone, 3 both, 4 Sentinel-2 clear on this very day,
        5 not clear on this day, only with dates="clear"),
        on request `days_to_observation`. Where `validity` is 0 or 5 everything else is NaN. Observations
        reach 90 days and 7 pixels far; frames of Sentinel-1 beyond 45 days only tell what changed since
        Sentinel-2 saw the ground.

    Raises
    ------
    MissingBands, InvalidCube, InvalidParameter, NoDataAvailable, CorruptWeights, UnmetRequirement
        Each says what was needed, what came and what to do.

    Examples
    --------
    >>> code = embed_sentinel1_sentinel2(cube, ["2022-01-01", "2022-07-01"], s1_unit="dB")  # doctest: +SKIP
    """
    parameters = result_layers.own_parameters(locals())
    bands = output_bands(reconstruct, days_to_observation)
    check_choice("s1_unit", s1_unit, ("linear", "dB"))
    check_choice("encoding", encoding, ("float32", "int8"))
    card = cards.read(MODEL)
    given = _labelled(cubes.canonical(cube))
    present = cubes.sensors_in(given, card.bands)
    arrays = {name: observations(given, name, card.bands[name], s1_unit) for name in present}
    query = _query(dates, _inner(temporal_extent, margin_days, dates), given)
    query_days = cubes.day_numbers(query)
    result_layers.check_overlap(given, query, card.support_days)

    layers = _embedded(arrays, query_days, encoding, reconstruct)
    clear = _clear(arrays.get(OPTICAL), query_days, layers["e0"].shape)
    layers["validity"][clear] = VALIDITY.index("sentinel2_clear_on_this_day")
    if dates == "clear":
        result_layers.refuse({name: layers[name] for name in bands}, ~clear)
        layers["validity"][~clear] = VALIDITY.index("not_clear_on_this_day")

    result = cubes.assemble({band: layers[band] for band in bands}, query, like=cube)
    result.attrs = _attributes(card, parameters, bands)
    return result


def output_bands(reconstruct: bool = False, days_to_observation: bool = False) -> list[str]:
    """Return the labels of the result's bands, in order; raises InvalidParameter for an unknown choice."""
    check_flag("reconstruct", reconstruct)
    check_flag("days_to_observation", days_to_observation)
    card = cards.read(MODEL)
    drawn = card.bands[OPTICAL] if reconstruct else ()
    extra = ["days_to_observation"] if days_to_observation else []
    return [*_codes(card), *drawn, *(f"{band}_sigma" for band in drawn), "validity", *extra]


def _codes(card: cards.Card) -> list[str]:
    return [f"e{number}" for number in range(card.hyperparameters["code"])]


# --- what comes in


def _labelled(cube: xr.DataArray) -> xr.DataArray:
    """Take a bare `B04` for Sentinel-2's: no other sensor here has such a band."""
    names = [str(name) for name in cube["bands"].values]
    labels = [name if sensors.band_of(name) else _of_optical(name) for name in names]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InvalidCube(
            f"each band may appear once, the cube repeats {repeated}; rename or drop one of them"
        )
    return cube.assign_coords(bands=labels)


def _of_optical(name: str) -> str:
    return sensors.canonical_label(name, OPTICAL) or name


def observations(cube: xr.DataArray, sensor: str, bands: Sequence[str], unit: str) -> Observations:
    """Return the frames of a sensor of a canonical cube in which anything is valid, in the model's unit.

    Raises
    ------
    InvalidCube
        If values cannot be in the unit that was stated.
    """
    if sensor == RADAR:
        labels = [f"{RADAR}_{band}" for band in bands]
        found = _backscatter(cube.reindex(bands=labels).values.astype(np.float32, copy=False), unit)
        arrays = cubes.SensorArrays(*found, cubes.day_numbers(cubes.days_of(cube)))
    else:
        arrays = cubes.sensor_arrays(cube, sensor, bands)
    seen = arrays.valid.any((1, 2, 3))
    return Observations(arrays.values[seen], arrays.valid[seen], arrays.days[seen])


def _backscatter(values: cubes.Values, unit: str) -> tuple[cubes.Values, cubes.Mask]:
    """Return backscatter in dB, and where it is a measurement.

    Raises
    ------
    InvalidCube
        If the values cannot be in the unit that was stated.
    """
    there = np.isfinite(values) & ~np.isin(values, NODATA_MARKS)
    if unit == "linear":
        there &= values != 0  # the border of a scene
        _check_power(values[there])
        there &= values > 0
        values = 10 * np.log10(np.where(there, values, np.float32(1)))
    else:
        _check_decibels(values[there])
    lowest, highest = POSSIBLE_DB
    return values, there & (values >= lowest) & (values <= highest)


def _check_power(sample: cubes.Values) -> None:
    """Raise InvalidCube unless values can be linear power; those a little below 0 are noise taken off."""
    if sample.size < ENOUGH_VALUES:
        return
    middle = float(np.median(sample))
    if middle < SMALLEST_MEDIAN_POWER:
        raise InvalidCube(
            f"s1_unit is 'linear', but the median of Sentinel-1 is {middle:.4g} and power is never negative: "
            "decibels? then give s1_unit='dB'"
        )
    if middle > LARGEST_MEDIAN_POWER:
        raise InvalidCube(
            f"s1_unit is 'linear', but the median of Sentinel-1 is {middle:.4g}, far above any ground's "
            "power of about 0.01 to 1: digital numbers? calibrate them first (sar_backscatter), or apply "
            "their scale"
        )


def _check_decibels(sample: cubes.Values) -> None:
    """Raise InvalidCube unless values can be decibels."""
    if sample.size < ENOUGH_VALUES:
        return
    middle = float(np.median(sample))
    lowest, highest = LIKE_POWER
    share = float(((sample > lowest) & (sample < highest)).mean())
    if share > LARGEST_SHARE_LIKE_POWER:
        raise InvalidCube(
            f"s1_unit is 'dB', but {share:.0%} of Sentinel-1 lies between {lowest} and {highest} (median "
            f"{middle:.4g}), where the ground's decibels rarely are: linear power? then give s1_unit='linear'"
        )
    if middle > POSSIBLE_DB[1]:
        raise InvalidCube(
            f"s1_unit is 'dB', but the median of Sentinel-1 is {middle:.4g}, above any ground's: digital "
            "numbers? calibrate them first (sar_backscatter)"
        )
    if middle < POSSIBLE_DB[0]:
        raise InvalidCube(
            f"s1_unit is 'dB', but the median of Sentinel-1 is {middle:.4g}, far below any ground's -40 to "
            "10: stored integers? apply their scale first"
        )


# --- dates


def _inner(
    temporal_extent: Sequence[str] | None, margin_days: object, dates: str | Sequence[str]
) -> Sequence[str] | None:
    """Return the extent of the result."""
    if not isinstance(margin_days, int) or isinstance(margin_days, bool) or margin_days < 0:
        raise InvalidParameter(f"margin_days must be a whole number of days from 0, got {margin_days!r}")
    if not margin_days:
        return temporal_extent
    if temporal_extent is None or not isinstance(dates, str):
        raise InvalidParameter(
            f"margin_days={margin_days} shortens temporal_extent, and needs one with dates that it limits: a "
            "period, 'clear' or 'acquisition'; leave margin_days at 0, or give those"
        )
    start, end = parse_extent(temporal_extent)
    inner = start + np.timedelta64(margin_days, "D"), end - np.timedelta64(margin_days, "D")
    if inner[0] >= inner[1]:
        raise InvalidParameter(
            f"margin_days={margin_days} at both ends leaves nothing of temporal_extent "
            f"{list(temporal_extent)}; give a longer extent, or a smaller margin"
        )
    return [str(day) for day in inner]


def _query(dates: str | Sequence[str], extent: Sequence[str] | None, cube: xr.DataArray) -> Days:
    """Return the dates of the result."""
    if dates == "clear":
        query = output_dates("acquisition", extent, _optical_days(cube))
    else:
        query = output_dates(dates, extent, cubes.days_of(cube))
    if len(query) > MOST_DATES:
        raise InvalidParameter(
            f"dates={dates!r} asks for {len(query)} dates, one result has {MOST_DATES} at most; "
            "give a shorter temporal_extent, or a longer period such as 'P5D'"
        )
    return query


def _optical_days(cube: xr.DataArray) -> Days:
    """Return the dates of Sentinel-2, clear or not, lest they differ from tile to tile; else all dates.

    Raises
    ------
    InvalidParameter
        The cube has no band of Sentinel-2. (A tile without a value of it has all dates.)
    """
    if not any(str(label).startswith(f"{OPTICAL}_") for label in cube["bands"].values):
        raise InvalidParameter(
            "dates='clear' are the dates of Sentinel-2, of which the cube has no band; give a period such as "
            "'P1D', 'acquisition' or a list of dates"
        )
    return cubes.days_seen(cube, OPTICAL)


# --- what comes out


def _embedded(
    arrays: Mapping[str, Observations], query_days: cubes.DayNumbers, encoding: str, reconstruct: bool
) -> Layers:
    """Return all that the model can tell, but for the days on which Sentinel-2 saw the ground."""
    model = weights.load_embedding(MODEL)
    found = model.embed(arrays, query_days, (OPTICAL,) if reconstruct else ())
    whole = np.round(found.code * LEVELS)
    code = whole if encoding == "int8" else found.code
    layers: Layers = {f"e{number}": code[:, number] for number in range(code.shape[1])}
    if reconstruct:
        # What is drawn again is what a reader of the stored numbers can draw.
        drawn = (
            model.draw(whole / np.float32(LEVELS), OPTICAL)
            if encoding == "int8"
            else found.reconstruction[OPTICAL]
        )
        for place, band in enumerate(model.config.sensor(OPTICAL).bands):
            layers |= {band: drawn[:, place], f"{band}_sigma": found.sigma[OPTICAL][:, place]}
    away = found.days_to_observation
    seen = [np.isfinite(away[sensor]) for sensor in (RADAR, OPTICAL)]
    layers["validity"] = (seen[0] + 2 * seen[1]).astype(np.float32)
    layers["days_to_observation"] = away[OPTICAL]
    return layers


def _clear(optical: Observations | None, query_days: cubes.DayNumbers, shape: tuple[int, ...]) -> cubes.Mask:
    """Return where Sentinel-2 saw the ground on the very day."""
    clear = np.zeros(shape, np.bool_)
    if optical is not None:
        for frame, day in enumerate(optical.days):
            clear[query_days == day] |= optical.valid[frame].any(0)
    return clear


def _attributes(card: cards.Card, parameters: Json, bands: Sequence[str]) -> Json:
    return result_layers.attributes_by_model(
        "embed_sentinel1_sentinel2",
        "Embedding of Sentinel-1 and Sentinel-2",
        card,
        parameters,
        {band: _band_attributes(band, card, parameters, bands) for band in bands},
    )


def _band_attributes(band: str, card: cards.Card, parameters: Json, bands: Sequence[str]) -> Json:
    codes = _codes(card)
    if band in codes:
        about = f"embedding, number {codes.index(band)} of {len(codes)}"
        stored = {"scale_factor": 1 / LEVELS, "_FillValue": MISSING_LEVEL, "dtype": "int8"}
        packed = stored if parameters["encoding"] == "int8" else {}
        return {"long_name": about, "units": "1", "ancillary_variables": "validity", **packed}
    if band == "validity":
        return {
            "long_name": "what the embedding of this date and pixel rests on",
            "standard_name": "status_flag",
            "flag_values": list(range(len(VALIDITY))),
            "flag_meanings": " ".join(VALIDITY),
        }
    if band == "days_to_observation":
        return {"long_name": "days to the nearest clear observation by Sentinel-2", "units": "day"}
    described = {
        "long_name": f"S2 surface reflectance drawn from the embedding, band {band.partition('_')[0]}",
        "standard_name": "surface_bidirectional_reflectance",
        "units": "1",
    }
    drawn = result_layers.band_attributes(band, described, bands)
    if "ancillary_variables" in drawn:
        drawn["ancillary_variables"] = drawn["ancillary_variables"].replace("provenance", "validity")
    return drawn
