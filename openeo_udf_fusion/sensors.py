"""Facts about sensors: bands, aliases, wavelengths, scales and nodata, each with its source.

Wavelengths are the nominal ones of the product guides. Nothing here is computed from response functions.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["reflectance", "temperature", "backscatter", "qa", "auxiliary"]


@dataclass(frozen=True)
class Band:
    """One band as a product stores it: physical value = stored value x scale + offset."""

    name: str
    kind: Kind = "reflectance"
    common_name: str | None = None
    center_wavelength_nm: float | None = None
    gsd_m: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: tuple[int, ...] = ()
    units: str = "1"


@dataclass(frozen=True)
class Sensor:
    """One sensor (or one family that shares its bands), with the guide its facts come from."""

    id: str
    title: str
    bands: tuple[Band, ...]
    source: str

    def band(self, name: str) -> Band | None:
        """Return the band of that name, or None."""
        return next((band for band in self.bands if band.name == name), None)

    def labels(self, kind: Kind | None = None) -> tuple[str, ...]:
        """Return the cube labels `<sensor>_<band>` of all bands, or of those of one kind."""
        return tuple(f"{self.id}_{band.name}" for band in self.bands if kind in (None, band.kind))


VALID_REFLECTANCE = (-0.01, 1.6)
"""Range of a valid surface reflectance: MOD09 and VNP09 user guides, table of science data sets."""


def _reflectance(
    rows: str, scale: float, offset: float = 0.0, nodata: tuple[int, ...] = ()
) -> tuple[Band, ...]:
    """Read lines of `name common_name wavelength_nm gsd_m`; `-` stands for no common name."""
    bands = []
    for line in rows.strip().splitlines():
        name, common_name, wavelength, gsd = line.split()
        common = None if common_name == "-" else common_name
        bands.append(Band(name, "reflectance", common, float(wavelength), float(gsd), scale, offset, nodata))
    return tuple(bands)


MODIS = Sensor(
    "modis",
    "MODIS (Terra, Aqua) surface reflectance",
    (
        *_reflectance(
            """
        B1 red    645.0 500
        B2 nir    858.5 500
        B3 blue   469.0 500
        B4 green  555.0 500
        B5 -     1240.0 500
        B6 swir16 1640.0 500
        B7 swir22 2130.0 500
        """,
            scale=1e-4,
            nodata=(-28672, 32767),
        ),
        Band("state_1km", "qa", gsd_m=1000),
        Band("day_of_year", "auxiliary", gsd_m=500, nodata=(65535,), units="day"),
        *(Band(f"quality_B{n}", "qa", gsd_m=500, nodata=(255,)) for n in range(1, 8)),
    ),
    source="MOD09 user guide 1.4 (C6), tables 1, 10 and 13; MCD43 user guide (C6.1)",
)

VIIRS = Sensor(
    "viirs",
    "VIIRS (S-NPP, NOAA-20, NOAA-21) surface reflectance",
    (
        *_reflectance(
            """
        I1 red     640 500
        I2 nir     865 500
        I3 swir16 1610 500
        M1 coastal 412 1000
        M2 coastal 445 1000
        M3 blue    488 1000
        M4 green   555 1000
        M5 red     672 1000
        M7 nir     865 1000
        M8 -      1240 1000
        M10 swir16 1610 1000
        M11 swir22 2250 1000
        """,
            scale=1e-4,
            nodata=(-28672, 32767),
        ),
        *(Band(f"QF{n}", "qa", gsd_m=1000) for n in range(1, 8)),
        Band("day_of_year", "auxiliary", gsd_m=500, nodata=(65535,), units="day"),
        *(
            Band(f"quality_{name}", "qa", gsd_m=500, nodata=(255,))
            for name in ("I1", "I2", "I3", "M3", "M4", "M5", "M7", "M8", "M10", "M11")
        ),
    ),
    source="VNP09 user guide 2.0, tables 2 and 8-14; VNP43 user guide (C2)",
)

SENTINEL2 = Sensor(
    "s2",
    "Sentinel-2 MSI L2A",
    (
        *_reflectance(
            """
        B01 coastal  443 60
        B02 blue     492 10
        B03 green    560 10
        B04 red      665 10
        B05 rededge071 704 20
        B06 rededge075 741 20
        B07 rededge078 783 20
        B08 nir      833 10
        B8A nir08    865 20
        B09 nir09    945 60
        B11 swir16  1614 20
        B12 swir22  2202 20
        """,
            scale=1e-4,
            offset=-0.1,
            nodata=(0,),
        ),
        Band("SCL", "qa", gsd_m=20, nodata=(0,)),
    ),
    source="Sentinel-2 Products Specification 14.9: QUANTIFICATION_VALUE, BOA_ADD_OFFSET (-1000 since 04.00)",
)


def _landsat(sensor_id: str, title: str) -> Sensor:
    return Sensor(
        sensor_id,
        title,
        (
            *_reflectance(
                """
            B1 coastal 443 30
            B2 blue    482 30
            B3 green   561 30
            B4 red     655 30
            B5 nir08   865 30
            B6 swir16 1609 30
            B7 swir22 2201 30
            """,
                scale=2.75e-5,
                offset=-0.2,
                nodata=(0,),
            ),
            Band("LST", "temperature", "lwir11", 10895, 30, 0.00341802, 149.0, (0,), "K"),
            Band("QA_PIXEL", "qa", gsd_m=30, nodata=(1,)),
            Band("pixel_qa", "qa", gsd_m=30, nodata=(1,)),
        ),
        source="Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619), tables 6-1 and 6-2",
    )


LANDSAT8 = _landsat("l8", "Landsat-8 OLI/TIRS Collection 2 Level 2")
LANDSAT9 = _landsat("l9", "Landsat-9 OLI-2/TIRS-2 Collection 2 Level 2")

SENTINEL1 = Sensor(
    "s1",
    "Sentinel-1 C-band SAR GRD, 5.405 GHz",
    (Band("VV", "backscatter", gsd_m=10), Band("VH", "backscatter", gsd_m=10)),
    source="Sentinel-1 Product Specification (S1-RS-MDA-52-7441)",
)

SENSORS: MappingProxyType[str, Sensor] = MappingProxyType(
    {sensor.id: sensor for sensor in (MODIS, VIIRS, SENTINEL2, LANDSAT8, LANDSAT9, SENTINEL1)}
)

FUSED_BANDS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "modis": ("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
        "viirs": ("I1", "I2", "M3", "M4", "M5", "M8", "M10", "M11"),
    }
)
"""The bands that MODIS-VIIRS models take and give, in their order."""

STAND_INS: MappingProxyType[str, str] = MappingProxyType({"viirs_I2": "viirs_M7", "viirs_M10": "viirs_I3"})
"""Bands of the same pass band at another resolution; one may stand in for the other where it is missing.

Source: VNP09 user guide 2.0, table 2 (I2 and M7: 845-885 nm; I3 and M10: 1580-1640 nm).
"""


# --- names


_ALIASES: tuple[tuple[str, str], ...] = (
    (r"sur_refl_b0?([1-7])(?:_1)?$", r"modis_B\1"),
    (r"^refl_(?:b0?)?([1-7])$", r"modis_B\1"),
    (r"^Band([1-7])$", r"modis_B\1"),
    (r"Nadir_Reflectance_Band([1-7])$", r"modis_B\1"),
    (r"Mandatory_Quality_Band([1-7])$", r"modis_quality_B\1"),
    (r"(?:^|_)state_(?:1km|500m)(?:_1)?$", "modis_state_1km"),
    (r"^(?:sur_refl_)?day_of_year$", "modis_day_of_year"),
    (r"SurfReflect_(I[1-3]|M1[01]|M[1234578])(?:_1)?$", r"viirs_\1"),
    (r"SurfReflect_QF([1-7])(?:_1)?$", r"viirs_QF\1"),
    (r"Nadir_Reflectance_(I[1-3]|M1[01]|M[1234578])$", r"viirs_\1"),
    (r"Mandatory_Quality_(I[1-3]|M1[01]|M[34578])$", r"viirs_quality_\1"),
    (r"^SurfReflect_day_of_year(?:_1)?$", "viirs_day_of_year"),
    (r"^(I[1-3]|M1[01]|M[1234578])$", r"viirs_\1"),
    (r"^QF([1-7])$", r"viirs_QF\1"),
    (r"^(SCL|B8A)$", r"s2_\1"),
    (r"^(VV|VH)$", r"s1_\1"),
    (r"^SR_B([1-7])$", r"l8_B\1"),
    (r"^ST[-_]B10$", "l8_LST"),
    (r"^QA[-_]PIXEL$", "l8_QA_PIXEL"),
    (r"^pixel_qa$", "l8_pixel_qa"),
)


_TWINS = {"l8": "l9"}
"""Sensors whose products share names; without a hint the first is meant."""


def canonical_label(name: str, sensor: str | None = None) -> str | None:
    """Return the cube label `<sensor>_<band>` for a product's own name of a band.

    Parameters
    ----------
    name : str
        A name as files and backends write it: `sur_refl_b01`, `refl_1`, `Band1`, `SurfReflect_M3_1`, ...
    sensor : str, optional
        Id of the sensor, where it is known: then bare names such as `B1`, `B01` or `1` are understood too.

    Returns
    -------
    str or None
        The label, or None where the name is unknown or could belong to several sensors.
    """
    if band_of(name):
        return name
    for pattern, label in _ALIASES:
        match = re.search(pattern, name)
        own = label.split("_")[0]
        if match and sensor in (None, own, _TWINS.get(own)):
            return f"{sensor or own}{match.expand(label).removeprefix(own)}"
    return None if sensor is None else _bare_label(name, sensor)


def _bare_label(name: str, sensor: str) -> str | None:
    """Match `1`, `B1` or `B01` against the bands of a known sensor, leading zeros aside."""

    def bare(text: str) -> str:
        return re.sub(r"(?<![0-9])0+(?=[0-9])", "", text).lower()

    wanted = {bare(name), bare(f"B{name}")}
    for band in SENSORS[sensor].bands:
        if bare(band.name) in wanted:
            return f"{sensor}_{band.name}"
    return None


def band_of(label: str) -> tuple[Sensor, Band] | None:
    """Return sensor and band of a cube label such as `modis_B1`, or None if it is not one."""
    sensor_id, _, name = label.partition("_")
    sensor = SENSORS.get(sensor_id)
    band = sensor.band(name) if sensor else None
    return (sensor, band) if sensor and band else None
