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
        This project's label -> the collection's own name, for reflectance and for QA.
    scale, offset : float
        Reflectance = stored value x scale + offset.
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
        Where the collections are.
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
        }
    )
)
"""The local executor and the embedded server: their collections hold decoded reflectance and known labels."""
