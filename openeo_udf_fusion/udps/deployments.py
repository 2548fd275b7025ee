"""What differs from backend to backend: where sensors are, how values are stored, who brings the package."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openeo_udf_fusion import __version__
from openeo_udf_fusion.sensors import FUSED_BANDS


@dataclass(frozen=True)
class Source:
    """Where a backend keeps one sensor, and what it calls its bands.

    Parameters
    ----------
    collection : str
        Id of the collection.
    bands, flags : mapping of label to str
        This project's label -> the collection's own name, for measurements and for QA.
    scale, offset : float
        Measured value = stored value x scale + offset.
    """

    collection: str
    bands: Mapping[str, str]
    flags: Mapping[str, str]
    scale: float
    offset: float = 0.0


@dataclass(frozen=True)
class Deployment:
    """The sources by sensor id, and how a worker comes by this package.

    Parameters
    ----------
    sources : mapping of sensor id to Source
        Where the collections are; `l8_lst` is Landsat's surface temperature, with a scale of its own.
    requirement : str, optional
        What a UDF's script block asks for; None where the image brings the package.
    archive_folder : str, optional
        The folder in which the backend unpacks this package's archive; then no requirement is stated.
    """

    sources: Mapping[str, Source]
    requirement: str | None = f"openeo-udf-fusion=={__version__}"
    archive_folder: str | None = None


_MODIS = tuple(f"modis_{name}" for name in FUSED_BANDS["modis"])
_VIIRS = tuple(f"viirs_{name}" for name in FUSED_BANDS["viirs"])
_VIIRS_FLAGS = ("viirs_QF1", "viirs_QF2", "viirs_QF7")
_S1 = ("s1_VV", "s1_VH")
_S2 = tuple(f"s2_{name}" for name in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"))
_L8 = tuple(f"l8_B{number}" for number in range(1, 8))
_LST, _QA_PIXEL = "l8_LST", "l8_QA_PIXEL"

PUBLISHED = Deployment(
    MappingProxyType(
        {
            "modis": Source(
                "MOD09GA",
                {label: f"sur_refl_b0{label[-1]}" for label in _MODIS},
                {"modis_state_1km": "state_1km"},
                scale=1e-4,
            ),
            "viirs": Source(
                "VNP09GA",
                {label: label.replace("viirs", "SurfReflect") for label in _VIIRS},
                {label: label.replace("viirs", "SurfReflect") for label in _VIIRS_FLAGS},
                scale=1e-4,
            ),
            "s1": Source("SENTINEL1_GRD", {label: label.removeprefix("s1_") for label in _S1}, {}, scale=1.0),
            # The offset of -1000 since processing baseline 04.00 is taken off as backends load it.
            "s2": Source(
                "SENTINEL2_L2A",
                {label: label.removeprefix("s2_") for label in _S2},
                {"s2_SCL": "SCL"},
                scale=1e-4,
            ),
            # Integers of Collection 2 Level 2: LSDS-1619, table 6-1.
            "l8": Source(
                "landsat-c2-l2",
                {label: label.replace("l8", "SR") for label in _L8},
                {_QA_PIXEL: "QA_PIXEL"},
                scale=2.75e-5,
                offset=-0.2,
            ),
            "l8_lst": Source("landsat-c2-l2", {_LST: "ST_B10"}, {}, scale=0.00341802, offset=149.0),
        }
    )
)
"""Names and integers as the products store them; what a catalogue publishes."""

EMBEDDED = Deployment(
    MappingProxyType(
        {
            "modis": Source(
                "modis", {label: label for label in _MODIS}, {"modis_state_1km": "modis_state_1km"}, scale=1.0
            ),
            "viirs": Source(
                "viirs",
                {label: label for label in _VIIRS},
                {label: label for label in _VIIRS_FLAGS},
                scale=1.0,
            ),
            "s1": Source("sentinel1", {label: label for label in _S1}, {}, scale=1.0),
            "s2": Source("sentinel2", {label: label for label in _S2}, {"s2_SCL": "s2_SCL"}, scale=1.0),
            "l8": Source("landsat", {label: label for label in _L8}, {_QA_PIXEL: _QA_PIXEL}, scale=1.0),
            "l8_lst": Source("landsat", {_LST: _LST}, {}, scale=1.0),
        }
    )
)
"""The local executor and the embedded server: their collections hold decoded reflectance and known labels."""
