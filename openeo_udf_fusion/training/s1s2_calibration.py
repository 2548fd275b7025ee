"""How far off the embedding's reconstructions are, by the days to the nearest observation.

Measured on validation days, whose frames no training saw: conformal, so that the central 80 % of a normal
distribution with this sigma holds 80 % of what was there.
"""

from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.training.s1s2_sites import BUFFER_PX, Site, is_test, is_validation, strip_start
from openeo_udf_fusion.training.s1s2_validation import Case, cases, with_sensors

KNOTS = (0, 4, 8, 14, 20, 30, 45)
"""Days to the nearest clear date; farther ones count as the last."""
HALF_GAPS = (-1, 2, 5, 10, 15, 25, 40)
"""Days to either side within which frames are hidden; -1 shows the date itself."""
LEVEL = 0.8
FEWEST = 200
"""Cells that a knot needs, else it takes its neighbour's sigma."""


def fit(embedder: Embedder, sites: Sequence[Site]) -> Json:
    """The table of Sentinel-2's sigma for a card: per knot and band, and without any clear date (`none`)."""
    errors: list[list[NDArray[np.float32]]] = [[] for _ in range(len(KNOTS) + 1)]
    for half_gap in (*HALF_GAPS, None):
        for case in calibration_cases(sites, -1 if half_gap is None else half_gap):
            seen = with_sensors(case.seen, ["s1"]) if half_gap is None else case.seen
            found = embedder.embed(seen, np.array([case.day], np.int32), ["s2"])
            off = np.where(case.valid, np.abs(found.reconstruction["s2"][0] - case.truth), np.nan)
            away = found.days_to_observation["s2"][0]
            place = np.where(np.isnan(away), len(KNOTS), nearest_knot(away))
            for knot in range(len(KNOTS) + 1):
                errors[knot].append(off[:, place == knot])
    spread = [of_errors(np.concatenate(some, 1)) for some in errors]
    table = np.fmax.accumulate(np.array(filled(spread[:-1])), axis=0)
    none = spread[-1] if spread[-1] is not None else table[-1]
    return {
        "s2": {
            "method": "conformal, central 80 %, by days to the nearest clear date",
            "fitted_on": "validation days, which no training saw as input or target",
            "days": list(KNOTS),
            "sigma": np.round(table, 5).tolist(),
            "none": np.round(np.maximum(none, table[-1]), 5).tolist(),
        }
    }


def calibration_cases(sites: Sequence[Site], half_gap: int) -> Iterator[Case]:
    """The validation days of the part trained on; other validation days are seen outside the gap."""
    for site in sites:
        west = site.crop(slice(0, strip_start(site.shape[1]) - BUFFER_PX))
        days = west.observed["s2"].days
        yield from cases(west, is_validation(days, site.fold), is_test(days, site.fold), half_gap)


def nearest_knot(away: NDArray[np.float32]) -> NDArray[np.int64]:
    """The knot (y, x) that each distance in days belongs to."""
    return np.asarray(np.abs(np.nan_to_num(away)[..., None] - np.array(KNOTS)).argmin(-1), np.int64)


def of_errors(off: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Sigma per band of absolute errors (bands, cells); None of too few."""
    if np.isfinite(off).sum() < FEWEST * len(off):
        return None
    return np.asarray(np.nanquantile(off, LEVEL, axis=1) / NormalDist().inv_cdf((1 + LEVEL) / 2), np.float64)


def filled(rows: list[NDArray[np.float64] | None]) -> list[NDArray[np.float64]]:
    """Rows that are missing as the nearest that is there."""
    known = {place: row for place, row in enumerate(rows) if row is not None}
    if not known:
        raise InvalidParameter(
            f"calibration needs {FEWEST} clear cells of each Sentinel-2 band on validation days; there are "
            "fewer"
        )
    return [known[min(known, key=lambda other: abs(other - place))] for place in range(len(rows))]
