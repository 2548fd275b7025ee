"""What one step of TAMRF's training costs the network: the losses of a patch."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.models.fuser import SENSORS
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training import tamrf_losses
from openeo_udf_fusion.training.tamrf_losses import LST
from openeo_udf_fusion.training.tamrf_patches import Patch
from openeo_udf_fusion.training.tamrf_perceptual import PerceptualDistance
from openeo_udf_fusion.training.tamrf_start import Schedule, scale_of_band


def loss_of(
    model: Tamrf, patch: Patch, schedule: Schedule, distance: PerceptualDistance | None
) -> Tensor | None:
    """The loss of one patch, each sensor's by its share of the dates; None where nothing can be compared."""
    if not patch.targets or not any(o.valid.any() for o in patch.inputs.values()):
        return None
    made, blank = predicted(model, patch)
    total = sum(len(o.days) for o in patch.targets.values())
    loss = made["s2"].sum() * 0
    for sensor, o in patch.targets.items():
        loss = loss + len(o.days) / total * sensor_loss(model, patch, sensor, made[sensor], blank, schedule)
    if distance is not None and "s2" in patch.targets:
        share = len(patch.targets["s2"].days) / total
        loss = loss + schedule.detail_weight * share * detail_loss(model, made, distance)
    return loss


def predicted(model: Tamrf, patch: Patch) -> tuple[dict[str, Tensor], Tensor]:
    """Standardised predictions by sensor (q, b, y, x), 0 where a pixel has no token, and (y, x) where."""
    device = model.device
    given: dict[str, Tensor] = {}
    for sensor, o in patch.inputs.items():
        own = SENSORS[sensor]
        given[own] = in_units(o.values, sensor, device)
        given[f"{own}_days"] = torch.from_numpy(o.days).to(device)
        given[f"{own}_valid"] = torch.from_numpy(np.ascontiguousarray(o.valid)).to(device)
    queries = torch.from_numpy(patch.queries).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        lr, hr = model(query_days=queries, **given)
    blank = torch.isnan(hr[0, 0])
    made = {"l8": model.standardised(lr.float(), "lr"), "s2": model.standardised(hr.float(), "hr")}
    return {s: values.where(~blank, 0) for s, values in made.items()}, blank


def in_units(values: NDArray[np.float32], sensor: str, device: torch.device) -> Tensor:
    """A sensor's values (t, b, y, x) as the network counts them."""
    scale = torch.tensor([scale_of_band(band) for band in BANDS[sensor]])[:, None, None]
    return (torch.from_numpy(np.ascontiguousarray(values)) * scale).to(device)


def sensor_loss(
    model: Tamrf, patch: Patch, sensor: str, made: Tensor, blank: Tensor, schedule: Schedule
) -> Tensor:
    """Fidelity and distance from clouds of one sensor; `made` (q, b, y, x) at 10 m, standardised."""
    o, hidden = patch.targets[sensor], torch.from_numpy(patch.hidden[sensor]).to(made.device)
    at = torch.from_numpy(np.searchsorted(patch.queries, o.days)).to(made.device)
    seen = tamrf_losses.as_seen(made[at], sensor)
    truth = model.standardised(in_units(o.values, sensor, made.device), SENSORS[sensor])
    scale = made.shape[-1] // truth.shape[-1]
    known = torch.from_numpy(np.ascontiguousarray(o.valid)).to(made.device)
    known &= F.max_pool2d(blank[None, None].float(), scale) == 0
    known &= tamrf_losses.usable(known.any(1))[:, None, None, None]
    if sensor == "l8":
        known[hidden, LST] = False
    margin = schedule.margin_px // scale
    guess, inner, compared = (tamrf_losses.within_margin(each, margin) for each in (seen, truth, known))
    loss = made.sum() * 0
    for chosen, weight in ((hidden, schedule.hidden_weight), (~hidden, schedule.given_weight)):
        if bool(chosen.any()):
            loss = loss + weight * tamrf_losses.fidelity(guess[chosen], inner[chosen], compared[chosen])
    return loss + schedule.cloud_weight * cloud_loss(patch, sensor, seen, truth, schedule.cloud_weight > 0)


def cloud_loss(patch: Patch, sensor: str, seen: Tensor, truth: Tensor, wanted: bool) -> Tensor:
    """Distance from the targets' clouds; the ground is other targets' near in time. 0 unless wanted."""
    o = patch.targets[sensor]
    bands = [b for b in range(len(BANDS[sensor])) if not (sensor == "l8" and b == LST)]
    clear = torch.from_numpy(o.valid[:, bands].any(1)).to(seen.device)
    cloudy = torch.from_numpy(np.ascontiguousarray(patch.cloudy[sensor])).to(seen.device)
    if not (wanted and bool(clear.any()) and bool(cloudy.any())):
        return seen.sum() * 0
    days = torch.from_numpy(o.days).to(seen.device)
    nearest, near = tamrf_losses.nearest_clear(truth, clear, days, torch.arange(len(days)))
    return tamrf_losses.from_clouds(seen[:, bands], truth[:, bands], nearest[:, bands], cloudy & near)


def detail_loss(model: Tamrf, made: Mapping[str, Tensor], distance: PerceptualDistance) -> Tensor:
    """Detail of the coarse bands of both sensors like that of the 10 m bands."""
    mean, std = model.get_buffer("hr_mean"), model.get_buffer("hr_std")
    nir, red = (
        made["s2"][:, place] * std[place] + mean[place] for place in (tamrf_losses.NIR, tamrf_losses.RED)
    )
    places = {
        "l8": range(len(BANDS["l8"])),
        "s2": [b for b in range(len(BANDS["s2"])) if b not in tamrf_losses.REFERENCES],
    }
    return tamrf_losses.detail(made, distance, (nir, red), places)
