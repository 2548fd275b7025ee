"""Fetch a site for the Sentinel-1/2 embedding from any openEO backend, in the layout of other sites."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openeo
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.sensors import canonical_label
from openeo_udf_fusion.training.s1s2_sites import S1_BANDS, S2_BANDS, TIME_NAMES, read_site

WANTED = {"s1": S1_BANDS, "s2": (*S2_BANDS, "SCL")}
FILES = {"s1": "S1_GRD.nc", "s2": "S2_L2A.nc"}


@dataclass(frozen=True)
class Place:
    """What to fetch.

    Attributes
    ----------
    spatial_extent
        west, south, east, north in degrees, or with `crs` in its unit.
    temporal_extent
        Left-closed.
    s1_collection, s2_collection
        Ids; their bands may have any name that `sensors` knows.
    s1_is_db
        Whether the backend's backscatter is in dB already; else it is power.
    s1_backscatter
        Coefficient for the process `sar_backscatter`, for backends whose collection holds raw GRD; None
        where it holds backscatter.
    s1_orbit
        The direction of the orbits, as the catalogue's `sat:orbit_state` writes it; None for all.
    s2_scale, s2_offset
        Reflectance = stored x scale + offset.
    """

    spatial_extent: dict[str, float | str | int]
    temporal_extent: tuple[str, str]
    s1_collection: str = "SENTINEL1_GRD"
    s2_collection: str = "SENTINEL2_L2A"
    s1_is_db: bool = False
    s1_backscatter: str | None = None
    s1_orbit: str | None = "ASCENDING"
    s2_scale: float = 1e-4
    s2_offset: float = 0.0


def fetch(connection: openeo.Connection, place: Place, folder: Path) -> Path:
    """Fetch both sensors of a place into a folder, in batch jobs; what is there already stays.

    Raises
    ------
    InvalidCollection
        What came cannot be read as a site.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for sensor, name in FILES.items():
        file = folder / name
        if not file.is_file():
            raw = folder / f"{sensor}.part.nc"
            request(connection, place, sensor).execute_batch(raw, out_format="netCDF", title=f"{sensor} site")
            rewrite(raw, file, place, sensor)
            raw.unlink()
    read_site(folder)
    return folder


def request(connection: openeo.Connection, place: Place, sensor: str) -> openeo.DataCube:
    """The cube of one sensor, Sentinel-1 on the 10 m grid of Sentinel-2's projection."""
    collection = place.s1_collection if sensor == "s1" else place.s2_collection
    dimensions = connection.describe_collection(collection).get("cube:dimensions") or {}
    names = next((d.get("values") for d in dimensions.values() if d.get("type") == "bands"), None)
    known = own_names(names or WANTED[sensor], sensor)
    missing = [band for band in WANTED[sensor] if band not in known]
    if missing:
        raise InvalidCollection(f"collection {collection!r} has no {', '.join(missing)}; it has {names}")
    orbit = (lambda value: value == place.s1_orbit) if sensor == "s1" and place.s1_orbit else None
    cube = connection.load_collection(
        collection,
        spatial_extent=place.spatial_extent,
        temporal_extent=list(place.temporal_extent),
        bands=[known[band] for band in WANTED[sensor]],
        properties={"sat:orbit_state": orbit} if orbit else None,
    )
    if sensor == "s1" and place.s1_backscatter:
        cube = cube.sar_backscatter(coefficient=place.s1_backscatter)
    return cube


def own_names(names: Sequence[str], sensor: str) -> dict[str, str]:
    """What a backend or a file calls each band of a sensor."""
    labels = {name: canonical_label(name, sensor) for name in names}
    return {label.partition("_")[2]: name for name, label in labels.items() if label}


def rewrite(raw: Path, file: Path, place: Place, sensor: str) -> None:
    """Write what a backend gave in the units of a site, under a temporary name first."""
    with xr.open_dataset(raw) as opened:
        cube = opened.load()
    if not any(name in cube.dims for name in TIME_NAMES):
        raise InvalidCollection(f"{raw} has none of the time dimensions {TIME_NAMES}, only {[*cube.dims]}")
    known = own_names([str(name) for name in cube.data_vars], sensor)
    missing = [band for band in WANTED[sensor] if band not in known]
    if missing:
        raise InvalidCollection(f"{raw} lacks {missing}; it has {[str(name) for name in cube.data_vars]}")
    bands = {band: in_units(cube[known[band]], band, place) for band in WANTED[sensor]}
    temporary = file.with_suffix(".tmp")
    xr.Dataset(bands).to_netcdf(temporary)
    os.replace(temporary, file)


def in_units(band: xr.DataArray, name: str, place: Place) -> xr.DataArray:
    """Backscatter in dB, reflectance 0-1, SCL as it is; NaN where missing."""
    values = band.astype(np.float32).drop_attrs()
    values.encoding = {}
    if name in S1_BANDS:
        return values if place.s1_is_db else xr.ufuncs.log10(values.where(values > 0)) * 10
    return values if name == "SCL" else values * place.s2_scale + place.s2_offset
