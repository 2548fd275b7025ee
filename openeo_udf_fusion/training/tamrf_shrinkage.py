"""How far an anchored network's corrections are to be trusted: a share of them for each sensor.

A network of few sites corrects too much where it was not trained. On the validation dates each sensor's
corrections are shortened to the share that makes the error least, and the decoder's last weights with them.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import numpy as np
import torch
from torch import Tensor

from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training.tamrf_validation import Trial, errors_of, fused, score

SHARES = tuple(step / 10 for step in range(11))


def shares(model: Tamrf, tried: Sequence[Trial], support_days: int) -> dict[str, float]:
    """By sensor, the share of its corrections with the least error; trials of both sensors are not needed."""
    whole, bare = (
        fused(Fuser(each, support_days), tried) for each in (model, shortened(model, {"l8": 0, "s2": 0}))
    )
    found = {}
    for sensor in sorted({each.sensor for each in tried}):
        own = [place for place, each in enumerate(tried) if each.sensor == sensor]
        trials = [tried[place] for place in own]
        scores = [
            score(
                errors_of([bare[place] + share * (whole[place] - bare[place]) for place in own], trials),
                trials,
            )
            for share in map(np.float32, SHARES)
        ]
        found[sensor] = SHARES[int(np.argmin(scores))]
    return found


def shortened(model: Tamrf, kept: Mapping[str, float]) -> Tamrf:
    """A copy of an anchored network that makes a share of each sensor's corrections."""
    copied = deepcopy(model)
    last = cast(torch.nn.Conv2d, copied.decoder[-1])
    lr, hr = len(model.config.lr), len(model.config.hr)
    factors = torch.tensor([kept.get("l8", 1.0)] * lr + [kept.get("s2", 1.0)] * hr, device=model.device)
    with torch.no_grad():
        last.weight.mul_(factors[:, None, None, None])
        cast(Tensor, last.bias).mul_(factors)
    return copied
