"""A network and its calibration as one: from daily grids to values and spreads as far as they can be trusted.

Every runtime runs this: torch as it stands here, ONNX as a graph exported from it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from openeo_udf_fusion.models.calibration import Calibration
from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import OTHER, GatheredReach, Reach, SatFuseNet
from openeo_udf_fusion.models.series import Precision

ReachOf = Callable[..., Reach | GatheredReach]


class Latents(NamedTuple):
    """What does not depend on the target: latents (p, l, d), mean reflectances, and how strange (p,)."""

    z: Tensor
    centres: Mapping[str, Tensor]
    strangeness: Tensor


class CalibratedNetwork(nn.Module):
    """A network and its calibration.

    Parameters
    ----------
    model
        The network with its weights.
    calibration
        How far to trust it; None takes it as it is.
    precision
        Of the network itself; the base, the distribution and the result are float32 throughout.
    """

    def __init__(
        self, model: SatFuseNet, calibration: Calibration | None, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.model, self.calibration, self.precision = model, calibration, precision

    def encode(self, grids: Mapping[str, Grid], first_day: Tensor, reach_of: ReachOf = Reach) -> Latents:
        """Both sensors' grids as one series; `first_day` (1,) is a bin's first day since 1970-01-01."""
        with self._narrowed(first_day):
            z, centres = self.model.encode(grids, first_day, reach_of)
        if self.calibration is None:
            return Latents(z, centres, torch.zeros_like(z[:, 0, 0]))
        known = torch.cat([grids[sensor].valid.any(1) for sensor in OTHER], -1)
        return Latents(z, centres, self.calibration.strangeness(centres, known))

    def decode(
        self, latents: Latents, grids: Mapping[str, Grid], query: Tensor, target: str, deviations: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One sensor's distribution on the queried positions (q,) of the grid.

        Returns values (n, p, q, b) within the physical range, each so many standard deviations from the
        centre as `deviations` (n,) says, and the standard deviation (p, q, b).
        """
        with self._narrowed(query):
            estimate = self.model.decode(latents.z, latents.centres, grids, query, target)
        location, sigma = estimate.location, estimate.sigma
        if self.calibration is not None:
            location, sigma = self.calibration.apply(
                estimate, grids[target], query, latents.strangeness, target
            )
        return self.model.into_range(location + deviations[:, None, None, None] * sigma), sigma

    def _narrowed(self, anything: Tensor) -> torch.autocast:
        narrow = self.precision == "bfloat16"
        return torch.autocast(anything.device.type, torch.bfloat16, enabled=narrow)
