"""Run a network with torch."""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier, Lock
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.models.calibrated import CalibratedNetwork
from openeo_udf_fusion.models.calibration import Calibration
from openeo_udf_fusion.models.cores import MOST, granted, stated
from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.models.series import Daily, Outcome, Precision, Runtime
from openeo_udf_fusion.models.threads import side_by_side

T = TypeVar("T")

_setting_threads = Lock()


class TorchNetwork:
    """A network in torch; see `series.Network`.

    Parameters
    ----------
    model
        The network with its weights.
    calibration
        How far to trust it; None takes it as it is.
    precision
        Of the network itself; the base, the distribution and the result are float32 throughout.
    device
        Where to compute, e.g. "cpu" or "cuda".
    """

    def __init__(
        self,
        model: SatFuseNet,
        calibration: Calibration | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(device).eval()
        self.calibration = calibration.to(self.device) if calibration else None
        self.calibrated = CalibratedNetwork(self.model, self.calibration, precision)
        self.runtime = Runtime("torch", torch.__version__, device, precision)
        config = model.config
        self.bands: Mapping[str, tuple[str, ...]] = {"modis": config.modis, "viirs": config.viirs}
        self.bin_days = config.bin_days

    def run(
        self,
        grids: Mapping[str, Daily],
        first_day: int,
        positions: NDArray[np.int64],
        target: str,
        deviations: NDArray[np.float32],
    ) -> Outcome:
        """As `series.Network.run`."""
        there = {
            sensor: Grid(*(torch.from_numpy(part).to(self.device) for part in grid))
            for sensor, grid in grids.items()
        }
        query, wanted = (torch.from_numpy(part).to(self.device) for part in (positions, deviations))
        with torch.inference_mode():
            latents = self.calibrated.encode(there, torch.tensor([first_day], device=self.device))
            values, sigma = self.calibrated.decode(latents, there, query, target, wanted)
            return Outcome(*(part.cpu().numpy() for part in (values, sigma, latents.strangeness)))

    @property
    def threads(self) -> int:
        """As `series.Network.threads`."""
        return callers_threads()

    def side_by_side(self, function: Callable[[T], None], items: Iterable[T]) -> None:
        """Call a function with every item, as many at once as `threads` says, each on one core."""
        side_by_side(function, items, pool_of_callers_threads())


def callers_threads() -> int:
    """How many threads torch uses where the caller stands, or fewer where fewer cores are granted.

    torch itself counts the cores of the machine: it knows no quota of a container.
    """
    with _setting_threads:
        return _callers_threads()


def _callers_threads() -> int:
    return min(torch.get_num_threads(), stated() or min(granted(), MOST))


def pool_of_callers_threads() -> ThreadPoolExecutor | None:
    """As many threads as `callers_threads`, each of one core; None where torch itself uses one.

    All callers in a process share these threads, so that two at once do not take two times the cores.
    """
    # A thread that meets torch for the first time copies its number of threads from the one set last; hence
    # nobody may ask while `_pool` has set it for its own threads.
    with _setting_threads:
        return _pool(_callers_threads(), os.getpid()) if torch.get_num_threads() > 1 else None


@lru_cache(maxsize=2)
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """Threads in which torch uses one core each; `process` since threads do not survive a fork."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, thread_name_prefix="pixels")
    all_here = Barrier(count + 1)

    def use_one_core() -> None:
        torch.get_num_threads()  # else the thread's first operation would set it again
        torch.set_num_threads(1)
        all_here.wait()

    for _ in range(count):
        pool.submit(use_one_core)
    all_here.wait()
    torch.set_num_threads(before)  # for this thread and those to come; the pool's keep their one
    return pool
