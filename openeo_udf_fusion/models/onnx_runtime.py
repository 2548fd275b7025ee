"""Run an exported network with onnxruntime, on the CPU; needs no torch."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from openeo_udf_fusion.models.cores import cores
from openeo_udf_fusion.models.series import Blocks, Daily, Outcome, Runtime
from openeo_udf_fusion.models.threads import pool_of_cores, side_by_side

T = TypeVar("T")

ERRORS_ONLY = 3


class OnnxNetwork:
    """A network as an ONNX graph, exported by `training.onnx_graph`; see `series.Network`.

    Parameters
    ----------
    content
        The graph's bytes.
    bands
        Band names by sensor, in the graph's order.
    bin_days, reach_bins
        Days per bin of the grid, and how many bins attention reaches to either side.
    """

    def __init__(
        self, content: bytes, bands: Mapping[str, tuple[str, ...]], bin_days: int, reach_bins: int
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # pixels run side by side instead
        options.log_severity_level = ERRORS_ONLY
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.runtime = Runtime("onnx", onnxruntime.__version__, "cpu", "float32")
        self.bands, self.bin_days, self.reach_bins = bands, bin_days, reach_bins

    def run(
        self,
        grids: Mapping[str, Daily],
        first_day: int,
        positions: NDArray[np.int64],
        target: str,
        deviations: NDArray[np.float32],
    ) -> Outcome:
        """As `series.Network.run`."""
        days = next(iter(grids.values())).values.shape[1]
        blocks = Blocks.of(days // self.bin_days, self.reach_bins)
        given = {
            **{f"{sensor}_values": grid.values for sensor, grid in grids.items()},
            **{f"{sensor}_valid": grid.valid for sensor, grid in grids.items()},
            "first_day": np.array([first_day]),
            "positions": positions,
            "deviations": deviations,
            "rows": blocks.rows,
            "keys": blocks.keys,
            "to_viirs": np.array(target == "viirs"),
        }
        return Outcome(*self.session.run(["values", "sigma", "strangeness"], given))

    @property
    def threads(self) -> int:
        """As `series.Network.threads`."""
        return cores()

    def side_by_side(self, function: Callable[[T], None], items: Iterable[T]) -> None:
        """Call a function with every item, as many at once as there are cores, each on one."""
        side_by_side(function, items, pool_of_cores())
