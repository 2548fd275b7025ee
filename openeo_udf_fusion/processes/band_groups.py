"""Which bands of a cube are measured, whose they are, and what they are called and mean in a result."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import xarray as xr

from openeo_udf_fusion import sensors
from openeo_udf_fusion.errors import MissingBands
from openeo_udf_fusion.jsontypes import Json

_KEPT = ("long_name", "standard_name", "units")


class Group(NamedTuple):
    """The bands of a cube that are masked and dated alike: of one sensor, or of none that is known."""

    sensor: str | None
    labels: list[str]


def known_labels(bands: Iterable[object]) -> list[str]:
    """Return the labels of the alias table; beside one known sensor, a bare `B04` is that sensor's."""
    labels = [sensors.canonical_label(str(band)) or str(band) for band in bands]
    present = sensors_of(labels)
    if len(present) != 1:
        return labels
    named = [sensors.canonical_label(label, present[0]) or label for label in labels]
    return named if len(set(named)) == len(named) else labels


def sensors_of(labels: Iterable[str]) -> list[str]:
    """Return the sensors to which any of the labels belongs."""
    known = (sensors.band_of(label) for label in labels)
    return sorted({found[0].id for found in known if found})


def groups_of(labels: Sequence[str]) -> list[Group]:
    """Return the measured bands by sensor; those of unknown name belong to the only sensor, if there is one.

    Raises
    ------
    MissingBands
        If there are flags and days of acquisition alone.
    """
    present = sensors_of(labels)
    alone = present[0] if len(present) == 1 else None
    groups: dict[str | None, list[str]] = {}
    for label in labels:
        found = sensors.band_of(label)
        if found is None or found[1].kind not in ("qa", "auxiliary"):
            groups.setdefault(found[0].id if found else alone, []).append(label)
    if not groups:
        raise MissingBands(
            f"a band with measurements is needed, the cube has {sorted(labels)}: nothing but flags and days; "
            "load the measured bands too"
        )
    return [Group(sensor, own) for sensor, own in groups.items()]


def result_names(groups: Sequence[Group]) -> dict[str, str]:
    """Return what each band is called in a result: without its sensor where there is one only."""
    labels = [label for group in groups for label in group.labels]
    present = sensors_of(labels)
    if len(present) == 1:
        plain = {label: label.removeprefix(f"{present[0]}_") for label in labels}
        if len(set(plain.values())) == len(labels):
            return plain
    return {label: label for label in labels}


def described(
    cube: xr.DataArray | xr.Dataset, groups: Sequence[Group], names: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return long_name, standard_name and units by the result's name of each band, as far as they are known.

    What the cube says of a band (a variable's attributes, `band_attrs`, or of all bands the attributes of the
    cube itself) beats the facts of its sensor.
    """
    stated = _stated(cube)
    everywhere = {} if isinstance(cube, xr.Dataset) else cube.attrs
    found = {}
    for label in (label for group in groups for label in group.labels):
        own = stated.get(label, everywhere)
        found[names[label]] = _facts(label) | {key: str(own[key]) for key in _KEPT if key in own}
    return found


def _stated(cube: xr.DataArray | xr.Dataset) -> dict[str, Json]:
    if isinstance(cube, xr.Dataset):
        attributes = {str(name): dict(variable.attrs) for name, variable in cube.data_vars.items()}
    else:
        attributes = dict(cube.attrs.get("band_attrs", {}))
    return dict(zip(known_labels(attributes), attributes.values(), strict=True))


def _facts(label: str) -> dict[str, str]:
    """Return what is known of a sensor's band."""
    known = sensors.band_of(label)
    if known is None:
        return {}
    sensor, band = known
    quantity, standard_name = {
        "reflectance": ("surface reflectance", "surface_bidirectional_reflectance"),
        "temperature": ("surface temperature", "surface_temperature"),
    }.get(band.kind, (str(band.kind), None))
    facts = {"long_name": f"{sensor.id.upper()} {quantity}, band {band.name}", "units": band.units}
    return facts if standard_name is None else facts | {"standard_name": standard_name}
