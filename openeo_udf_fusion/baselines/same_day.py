"""What a translator reads: the other sensor's values of the same day."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations

Values = NDArray[np.float32]


def source_of(observed: Mapping[str, Observations], target: str) -> str:
    """Return the one sensor beside the target; raises InvalidParameter unless there is exactly one."""
    others = sorted(set(observed) - {target})
    if len(others) != 1:
        raise InvalidParameter(
            f"a translator to {target} needs observations of one other sensor, got {sorted(observed)}"
        )
    return others[0]


def source_values(observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str) -> Values:
    """Return the other sensor's bands (query, bands, y, x) on each day: the mean of the day, else NaN."""
    wanted, back = np.unique(query_days, return_inverse=True)
    arrays = cubes.SensorArrays(*observed[source_of(observed, target)])
    values, seen = cubes.on_days(arrays, wanted.astype(np.int32))
    return np.where(seen, values, np.float32(np.nan))[back]


def spread_over(mean: Values, sigma: NDArray[np.float64]) -> Values:
    """Return one standard deviation a band (bands,) for every value of `mean` (query, bands, y, x)."""
    each = sigma.astype(np.float32)[:, None, None]
    return np.where(np.isfinite(mean), each, np.float32(np.nan))


def complete_rows(*tables: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """Return tables (n, columns) as float64 without the rows in which any of them has a missing value.

    Raises
    ------
    InvalidParameter
        If fewer than two rows are left.
    """
    kept = np.logical_and.reduce([np.isfinite(table).all(1) for table in tables])
    if kept.sum() < 2:
        raise InvalidParameter(f"a fit needs at least 2 complete rows, got {int(kept.sum())} of {len(kept)}")
    return [table[kept].astype(np.float64) for table in tables]
