"""What the processes that fuse Landsat and Sentinel-2 share: dates, the network's input and its answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from openeo_udf_fusion import cubes, provenance
from openeo_udf_fusion.cubes import DayNumbers, Mask, Values
from openeo_udf_fusion.errors import InvalidParameter, MissingBands
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.parameters import check_flag
from openeo_udf_fusion.periods import Days, output_dates, parse_extent, period_dates
from openeo_udf_fusion.processes import layers as result_layers
from openeo_udf_fusion.processes.landsat_cells import CELL_PX
from openeo_udf_fusion.processes.landsat_scenes import (
    LANDSAT,
    OPTICAL,
    SENSORS,
    Scene,
    days_to_own,
    observed,
    of_band,
    traced,
)
from openeo_udf_fusion.processes.layers import Layers

if TYPE_CHECKING:
    from openeo_udf_fusion.models.fuser import Fuser

MODEL = "tamrf"
TITLES: Mapping[str, str] = {LANDSAT: "Landsat", OPTICAL: "Sentinel-2"}
TEMPERATURE = "LST"
NOT_IN_CUBE = "bands_not_in_cube"
"""Attribute of a result that names the bands which rest on others alone."""
TWICE_MONTHLY = "twice_monthly"
MEANINGS = (
    "seen_clear_by_this_sensor_on_the_day",
    "seen_clear_by_the_other_sensor_on_the_day",
    "between_observations",
    "far_from_observations",
    "refused",
)
"""Of the codes of provenance: on whatever day, what comes out is the network's estimate."""
MOST_DATES = 200
"""Of one result: 18 bands on a tile of 96 pixels with its margins take some 350 MB."""


class Request(NamedTuple):
    """What is asked of the network.

    Attributes
    ----------
    card
        Of the network.
    query
        Dates of the result.
    first_day
        Day 0, since 1970-01-01.
    sensors
        Those to return, Landsat first.
    precision
        Of the network.
    """

    card: cards.Card
    query: Days
    first_day: int
    sensors: tuple[str, ...]
    precision: Precision = "float32"

    @property
    def query_days(self) -> DayNumbers:
        """Since 1970-01-01."""
        return cubes.day_numbers(self.query)


# --- parameters


def card_of(model: str) -> cards.Card:
    """Return the card of a fusion of both sensors, of the package or of the operator's folder of models.

    Raises
    ------
    InvalidParameter
        No such model, or one of other sensors.
    """
    if not isinstance(model, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", model):
        raise InvalidParameter(f"model is the name of a card, such as {MODEL!r}; got {model!r}")
    card = cards.read(model, cards.folder_of(model))
    if set(card.bands) != set(SENSORS):
        raise InvalidParameter(
            f"model must be one that fuses {list(SENSORS)}, such as {MODEL!r}; {model!r} has the sensors "
            f"{list(card.bands)}"
        )
    return card


def check_offset(offset: object) -> tuple[int, int]:
    """Return row and column at which a cell of Landsat begins; raises InvalidParameter."""
    fits = isinstance(offset, Sequence) and not isinstance(offset, str) and len(offset) == 2
    if not fits or not all(type(part) is int and 0 <= part < CELL_PX for part in offset):  # type: ignore[attr-defined]
        raise InvalidParameter(
            "landsat_cell_offset_px is [row, column] of the pixel at which a cell of 30 m begins, each 0, 1 "
            f"or 2; got {offset!r}"
        )
    return offset[0], offset[1]  # type: ignore[index]


def query_of(dates: str | Sequence[str], extent: Sequence[str] | None, acquired: Days) -> Days:
    """Return the dates of a result: what `output_dates` knows, and the 1st and 15th of each month.

    Raises
    ------
    InvalidParameter
        As `output_dates`; also for more than `MOST_DATES`.
    """
    chosen = dates
    if isinstance(dates, str) and dates == TWICE_MONTHLY:
        if extent is None:
            raise InvalidParameter(f"dates={dates!r} needs a temporal_extent: give [start, end], or a list")
        start, end = parse_extent(extent)
        fortnight = np.timedelta64(14, "D")
        firsts = period_dates("P1M", start - fortnight, end)
        both = np.sort(np.concatenate([firsts, firsts + fortnight]))
        chosen = [str(day) for day in both if start <= day < end]
    elif isinstance(dates, str) and dates != "acquisition" and not dates.startswith("P"):
        raise InvalidParameter(
            f"dates must be {TWICE_MONTHLY!r}, 'acquisition', an ISO 8601 period such as 'P8D' or 'P1M', "
            f"or a list of dates; got {dates!r}"
        )
    query = output_dates(chosen, extent, acquired)
    if len(query) > MOST_DATES:
        raise InvalidParameter(
            f"dates={dates!r} asks for {len(query)} dates, one result has {MOST_DATES} at most; give a "
            "shorter temporal_extent, or fewer dates"
        )
    return query


def day_zero(extent: Sequence[str] | None, dates: str | Sequence[str], query: Days) -> int:
    """Return the day from which the network counts: the start of the period, or the first listed date.

    Raises
    ------
    InvalidParameter
        Neither was given: the first date of a chunk differs from tile to tile.
    """
    if extent is not None:
        return int(parse_extent(extent)[0].astype(np.int64))
    if isinstance(dates, str):
        raise InvalidParameter(
            f"dates={dates!r} needs a temporal_extent: the network counts days from its start, and no tile "
            "may count from its own first date; give [start, end], or list the dates"
        )
    return int(query.min().astype(np.int64))


def query_at_acquisitions(
    dates: str | Sequence[str], extent: Sequence[str] | None, cube: xr.DataArray, sensor: str
) -> Days:
    """Return the dates on which a sensor was there, or those listed; raises InvalidParameter."""
    if isinstance(dates, str) and dates != "acquisition":
        raise InvalidParameter(
            f"dates are 'acquisition', those of {TITLES[sensor]}, or a list of dates; got {dates!r}"
        )
    return query_of(dates, extent, cubes.days_seen(cube, sensor))


def require(cube: xr.DataArray, process: str, sensor: str, names: Sequence[str], why: str) -> None:
    """Raise MissingBands unless the cube has one of a sensor's bands at least."""
    needed = [f"{sensor}_{name}" for name in names]
    found = cube["bands"].values.tolist()
    if not set(needed) & set(found):
        raise MissingBands(
            f"{process} needs {needed[0] if len(needed) == 1 else f'one of {needed} at least'}, {why}; the "
            f"cube has {found}; rename its bands with cube.rename_labels('bands', ...)"
        )


# --- labels


def returned(card: cards.Card, sensor: str) -> tuple[str, ...]:
    """Bands of a sensor that the network learned; one that no training showed it is not given out."""
    return tuple(band for band in card.bands[sensor] if band not in card.untrained.get(sensor, ()))


def labels(card: cards.Card, sensors: Sequence[str], days_to_observation: bool) -> list[str]:
    """Return the labels of a result's bands, in order; raises InvalidParameter for what is no flag."""
    check_flag("days_to_observation", days_to_observation)
    found = [named(sensor, band, sensors) for sensor in sensors for band in returned(card, sensor)]
    found += [named(sensor, "provenance", sensors) for sensor in sensors]
    if days_to_observation:
        found += [named(sensor, "days_to_own_observation", sensors) for sensor in sensors]
        found.append("days_to_observation")
    return found


def named(sensor: str, name: str, sensors: Sequence[str]) -> str:
    """The label of a band: with its sensor where several are returned."""
    return name if len(sensors) == 1 else f"{sensor}_{name}"


# --- what comes out


def fused(fuser: "Fuser", scene: Scene, request: Request) -> dict[str, Values]:
    """Return all bands of the sensors asked for, (query, bands, y, x) in the window; NaN where unknown."""
    seen = observed(scene, request.card)
    if scene.window is None or not seen:
        y, x = (0, 0) if scene.window is None else scene.window.shape
        return {
            sensor: np.full((len(request.query), len(request.card.bands[sensor]), y, x), np.nan, np.float32)
            for sensor in request.sensors
        }
    return fuser.fuse(seen, request.query_days, request.first_day, request.sensors, request.precision)


def compensate_days(
    band: Values, measured: Values, there: Mask, compensate: Callable[[Values, Values], Values]
) -> None:
    """Compensate a band (query, y, x) on each day on which any of it was measured, in place."""
    for day in np.flatnonzero(there.any((1, 2))):
        known = np.where(there[day], measured[day], np.float32(np.nan))[None]
        band[day] = compensate(band[day : day + 1], known)[0]


def layers_of(scene: Scene, request: Request, values: Mapping[str, Values], distances: bool) -> Layers:
    """Return the bands of a result in the window: values, where they come from, and how near, on request.

    What lies farther than the card's `support_days` from every clear observation is refused; a temperature
    also where that holds for every clear temperature, since reflectance does not tell the weather.
    """
    found: Layers = {}
    for sensor in request.sensors:
        code, nearest = traced(scene, sensor, request.query_days, request.card.support_days)
        code[np.isnan(values[sensor]).any(1)] = provenance.REFUSED
        own = {
            named(sensor, band, request.sensors): values[sensor][:, place]
            for place, band in enumerate(request.card.bands[sensor])
        }
        result_layers.refuse(own, code == provenance.REFUSED)
        if TEMPERATURE in request.card.bands[sensor]:
            label = named(sensor, TEMPERATURE, request.sensors)
            result_layers.refuse({label: own[label]}, _without_temperature(scene, sensor, request))
        found |= own
        found[named(sensor, "provenance", request.sensors)] = code.astype(np.float32)
        if distances:
            label = named(sensor, "days_to_own_observation", request.sensors)
            found[label] = days_to_own(scene, sensor, request.query_days, request.card.support_days)
            found["days_to_observation"] = nearest
    return found


def _without_temperature(scene: Scene, sensor: str, request: Request) -> Mask:
    """Where no clear temperature is within reach, (query, y, x) in the window."""
    support_days = request.card.support_days
    alone = of_band(scene, sensor, request.card.bands[sensor].index(TEMPERATURE))
    return ~(days_to_own(alone, sensor, request.query_days, support_days) <= support_days)


def result_of(
    cube: xr.DataArray | xr.Dataset, scene: Scene, request: Request, layers: Layers, bands: Sequence[str]
) -> xr.DataArray:
    """Return the cube of these bands, on all pixels of the cube that came in."""
    whole: Layers = {}
    for band in bands:
        beyond = provenance.REFUSED if band.endswith("provenance") else np.nan
        if scene.window is None:
            whole[band] = np.full((len(request.query), *scene.shape), beyond, np.float32)
        else:
            whole[band] = scene.window.put_back(layers[band], scene.shape, beyond)
    return cubes.assemble(whole, request.query, like=cube)


def attributes(
    process: str,
    title: str,
    request: Request,
    parameters: Json,
    bands: Sequence[str],
    given: xr.DataArray,
) -> Json:
    """Return what a reader of the file must know, as CF attributes; `given` is the cube of `labelled`."""
    card = request.card
    there = set(given["bands"].values.tolist())
    lacking = [
        f"{sensor}_{band}"
        for sensor in request.sensors
        for band in card.bands[sensor]
        if named(sensor, band, request.sensors) in bands and f"{sensor}_{band}" not in there
    ]
    dropped = [
        f"{sensor}_{band}"
        for sensor in request.sensors
        for band in card.bands[sensor]
        if band in card.untrained.get(sensor, ())
    ]
    told = {"bands_left_out": dropped, NOT_IN_CUBE: lacking}
    unlike = {name: " ".join(labels) for name, labels in told.items() if labels}
    of_bands = {band: _band_attributes(band, request.sensors, bands) for band in bands}
    return result_layers.attributes_by_model(process, title, card, parameters, of_bands, unlike)


def warning_of(result: xr.DataArray) -> str | None:
    """Return what a user must be warned of: a misspelt band looks like one that a site lacks."""
    lacking = result.attrs.get(NOT_IN_CUBE)
    if lacking is None:
        return None
    return (
        f"the cube has no {', '.join(lacking.split())}: estimated from other bands, which is far less "
        "certain, and missing for temperature; if the cube should have them, check their names"
    )


def _band_attributes(band: str, sensors: Sequence[str], bands: Sequence[str]) -> Json:
    sensor, name = (sensors[0], band) if len(sensors) == 1 else _parts(band)
    if name == "provenance":
        about = result_layers.provenance_attributes(f"{TITLES[sensor]}'s bands")
        return about | {"flag_meanings": " ".join(MEANINGS)}
    if name == "days_to_observation":
        return {"long_name": "days to the nearest clear observation by either sensor", "units": "day"}
    if name == "days_to_own_observation":
        return {"long_name": f"days to the nearest clear observation by {TITLES[sensor]}", "units": "day"}
    kelvin = name == TEMPERATURE
    quantity = "land surface temperature" if kelvin else f"surface reflectance, band {name}"
    return {
        "long_name": f"{TITLES[sensor]} {quantity}",
        "standard_name": "surface_temperature" if kelvin else "surface_bidirectional_reflectance",
        "units": "K" if kelvin else "1",
        "ancillary_variables": named(sensor, "provenance", sensors),
    }


def _parts(band: str) -> tuple[str, str]:
    """Sensor and name of a label; what stands for both sensors has no prefix."""
    sensor, _, name = band.partition("_")
    return (sensor, name) if sensor in SENSORS else (OPTICAL, band)
