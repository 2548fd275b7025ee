"""The function that a cluster is sent.

The scheduler unpickles it, too, so this module imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openeo_udf_fusion.local.tile_worker import Answer

Order = tuple[str, str, tuple[int, int, int, int]]
"""Folder of a ledger, token of an attempt, y0, y1, x0, x1 of a tile."""

_PLUGIN = "openeo-udf-fusion"


def compute(order: Order) -> "Answer":
    """Compute one tile, on a worker."""
    from distributed import get_worker

    from openeo_udf_fusion.local.tile_worker import compute as compute_here
    from openeo_udf_fusion.local.udf.confinement import hide_from_udfs

    hide_from_udfs()  # the keys of TLS and the connection to the scheduler
    plugins: Any = get_worker().plugins
    plugins.setdefault(_PLUGIN, _Leaving())
    return compute_here(order)


class _Leaving:
    """What a worker does when it is told to end, before it waits for its tile."""

    def teardown(self, worker: Any) -> None:  # noqa: ANN401 - a worker of distributed
        """Called by a worker that closes."""
        from openeo_udf_fusion.local.tile_worker import leave

        leave()
