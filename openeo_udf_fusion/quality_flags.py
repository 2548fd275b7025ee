"""What the QA bits of products tell: where a sensor saw the ground, snow or water, each with its source.

Functions on arrays of flags; a flag that is missing (NaN) fulfils no condition.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import MissingBands

Flags = NDArray[np.generic]
Mask = NDArray[np.bool_]


def _field(flags: Flags, first: int, width: int, *accepted: int) -> Mask:
    """Return where the bit field that starts at bit `first` holds one of the accepted values."""
    missing = np.isnan(flags) if flags.dtype.kind == "f" else np.zeros(flags.shape, np.bool_)
    whole = np.where(missing, 0, flags).astype(np.int32)
    field = (whole >> first) & ((1 << width) - 1)
    holds = np.zeros(flags.shape, np.bool_)
    for value in accepted:
        holds |= field == value
    return holds & ~missing


def modis_clear(state: Flags) -> Mask:
    """Return where MODIS saw the ground: no cloud, shadow, cirrus or internal cloud, not next to a cloud.

    Cloud state 3, "assumed clear", counts as clear. Aerosol is no reason to drop a pixel, for the product
    corrects for it.
    Source: MOD09 user guide 1.4, table 13 (state_1km and state_500m).
    """
    no_cloud = _field(state, 0, 2, 0, 3) & _field(state, 10, 1, 0) & _field(state, 13, 1, 0)
    return no_cloud & _field(state, 2, 1, 0) & _field(state, 8, 2, 0, 1)


def modis_snow(state: Flags) -> Mask:
    """Return where MODIS saw snow or ice (MOD09 user guide 1.4, table 13: bits 12 and 15)."""
    return _field(state, 12, 1, 1) | _field(state, 15, 1, 1)


def viirs_clear(qf1: Flags, qf2: Flags | None = None, qf7: Flags | None = None) -> Mask:
    """Return where VIIRS saw the ground by day: clear, no shadow, cirrus or cloud beside it.

    Confident and probably clear both count, by a cloud mask of medium or high quality; QF2 and QF7 sharpen
    the mask where they are given. Aerosol is no reason to drop a pixel, for the product corrects for it.
    Source: VNP09 user guide 2.0, tables 8 (QF1), 9 (QF2) and 14 (QF7).
    """
    clear = _field(qf1, 0, 2, 2, 3) & _field(qf1, 2, 2, 0, 1) & _field(qf1, 4, 1, 0)
    if qf2 is not None:
        clear &= _field(qf2, 3, 1, 0) & _field(qf2, 6, 2, 0)
    if qf7 is not None:
        clear &= _field(qf7, 1, 1, 0) & _field(qf7, 4, 1, 0)
    return clear


def viirs_snow(qf2: Flags) -> Mask:
    """Return where VIIRS saw snow or ice (VNP09 user guide 2.0, table 9: QF2 bit 5)."""
    return _field(qf2, 5, 1, 1)


def nbar_good(quality: Flags, *, magnitude_inversions: bool = True) -> Mask:
    """Return where an NBAR value rests on an inversion.

    Source: MCD43 and VNP43 user guides, mandatory quality: 0 full inversion, 1 magnitude inversion, 255 fill.
    """
    return _field(quality, 0, 8, 0, 1) if magnitude_inversions else _field(quality, 0, 8, 0)


def sentinel2_clear(scl: Flags, *, unclassified: bool = False) -> Mask:
    """Return where Sentinel-2 saw vegetation, bare ground or water (SCL 4, 5, 6; 7 by choice).

    Source: Sentinel-2 Products Specification 14.9, scene classification.
    """
    return _field(scl, 0, 8, 4, 5, 6, 7) if unclassified else _field(scl, 0, 8, 4, 5, 6)


def sentinel2_snow(scl: Flags) -> Mask:
    """Return where Sentinel-2 saw snow or ice (SCL 11)."""
    return _field(scl, 0, 8, 11)


def landsat_clear(qa_pixel: Flags) -> Mask:
    """Return where Landsat saw the ground: none of fill, dilated cloud, cirrus, cloud, cloud shadow.

    Source: Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619), table 6-3, bits 0-4.
    """
    return _field(qa_pixel, 0, 5, 0)


def landsat_collection1_clear(pixel_qa: Flags) -> Mask:
    """Return where Landsat of Collection 1 saw the ground: no fill, cloud shadow, cloud, or surely cirrus.

    Source: Landsat 8 Collection 1 Land Surface Reflectance Code Product Guide (LSDS-1368), pixel_qa: bits 0
    fill, 3 cloud shadow, 5 cloud, 8-9 confidence of cirrus (3 high).
    """
    no_cloud = _field(pixel_qa, 0, 1, 0) & _field(pixel_qa, 3, 1, 0) & _field(pixel_qa, 5, 1, 0)
    return no_cloud & _field(pixel_qa, 8, 2, 0, 1, 2)


def landsat_snow(qa_pixel: Flags) -> Mask:
    """Return where Landsat saw snow (LSDS-1619, table 6-3, bit 5)."""
    return _field(qa_pixel, 5, 1, 1)


def landsat_water(qa_pixel: Flags) -> Mask:
    """Return where Landsat saw water (LSDS-1619, table 6-3, bit 7)."""
    return _field(qa_pixel, 7, 1, 1)


LANDSAT_FLAGS: MappingProxyType[str, Callable[[Flags], Mask]] = MappingProxyType(
    {"QA_PIXEL": landsat_clear, "pixel_qa": landsat_collection1_clear}
)
"""What tells clouds in Landsat's Collection 2 and Collection 1; where a cube has both, both must agree."""


def clear(sensor: str, flags: Mapping[str, Flags]) -> Mask | None:
    """Return where a sensor saw the ground, by whichever of its flags are given; None if none is.

    Parameters
    ----------
    sensor : str
        Id of the sensor.
    flags : mapping of band name to array
        May hold other bands too; those are not read.

    Raises
    ------
    MissingBands
        If only flags came that mean nothing without another one.
    """
    if sensor == "modis" and "state_1km" in flags:
        return modis_clear(flags["state_1km"])
    if sensor == "viirs" and "QF1" in flags:
        return viirs_clear(flags["QF1"], flags.get("QF2"), flags.get("QF7"))
    if sensor == "viirs" and flags.keys() & {"QF2", "QF7"}:
        raise MissingBands(
            "viirs_QF2 and viirs_QF7 only sharpen viirs_QF1, which is missing; add it, or drop them"
        )
    if sensor == "s2" and "SCL" in flags:
        return sentinel2_clear(flags["SCL"])
    if sensor in ("l8", "l9") and flags.keys() & {"QA_PIXEL", "pixel_qa"}:
        masks = [known(flags[name]) for name, known in LANDSAT_FLAGS.items() if name in flags]
        return np.asarray(np.logical_and.reduce(masks), np.bool_)
    return None
