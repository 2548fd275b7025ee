"""Fill artificial gaps of measured MODIS series, alone or with VIIRS at hand."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import cells
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.gaps import Gaps, draw_gaps, hidden_days
from openeo_udf_fusion.evaluation.methods import Method
from openeo_udf_fusion.evaluation.series import Series, observations, surface, to_cube
from openeo_udf_fusion.models.series import Observations

COPIES = 3000
"""Series in one call: enough to keep the cores busy, few enough for a flat memory."""
VIIRS_SAW, VIIRS_MISSED = 1, 0


class Companion(NamedTuple):
    """VIIRS beside the series of MODIS, (p, t, 8), and what of it is valid."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


def fill(
    series: Series,
    methods: Mapping[str, Method],
    length: int,
    repeats: int,
    seed: int,
    companion: Companion | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Cells:
    """What every method says about the MODIS observations inside gaps of one length.

    Parameters
    ----------
    series
        MODIS; the truth.
    methods
        By name; each is asked about the same gaps.
    length, repeats, seed
        Of the gaps: see `draw_gaps`.
    companion
        VIIRS, which is not hidden; by default MODIS is alone.
    progress
        Is told what has been done.

    Returns
    -------
    Cells
        `group` is the surface of the day (see `surface`); with a companion, VIIRS_SAW or VIIRS_MISSED.
        No cell where the gap fits between the observations of no pixel.
    """
    gaps = draw_gaps(series.valid, length, series.keys, repeats, seed)
    if not len(gaps.pixel):
        return cells.none(list(methods))
    parts = []
    for start in range(0, len(gaps.pixel), COPIES):
        part = Gaps(*(each[start : start + COPIES] for each in gaps))
        parts.append(fill_part(series, methods, part, length, companion))
        progress(f"{length} d: {start + len(part.pixel)} of {len(gaps.pixel)} gaps")
    return cells.join(parts)


def fill_part(
    series: Series, methods: Mapping[str, Method], gaps: Gaps, length: int, companion: Companion | None
) -> Cells:
    """The same for some of the gaps, in one call of each method."""
    values, valid = series.values[gaps.pixel], series.valid[gaps.pixel]
    gone = hidden_days(gaps, length, values.shape[1])
    hidden = to_cube(valid & gone[..., None])
    observed: dict[str, Observations] = {"modis": observations(values, valid & ~gone[..., None], series.days)}
    group = surface(values, valid)
    if companion is not None:
        side = Companion(companion.values[gaps.pixel], companion.valid[gaps.pixel])
        observed["viirs"] = observations(*side, series.days)
        group = np.where(side.valid.any(axis=-1), VIIRS_SAW, VIIRS_MISSED).astype(np.int8)
    found = cells.pick(to_cube(values), hidden, gaps.pixel, group.T)
    for name, method in methods.items():
        found.add(name, method(observed, series.days, "modis", gaps.pixel), hidden)
    return found
