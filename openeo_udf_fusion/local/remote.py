"""The function that a cluster is sent.

The scheduler unpickles it, too, so this module imports nothing heavy.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openeo_udf_fusion.local.tile_worker import Answer

Order = tuple[str, str, tuple[int, int, int, int]]
"""Folder of a ledger, token of an attempt, y0, y1, x0, x1 of a tile."""


def compute(order: Order) -> "Answer":
    """Compute one tile, on a worker."""
    from openeo_udf_fusion.local.tile_worker import compute as compute_here

    return compute_here(order)
