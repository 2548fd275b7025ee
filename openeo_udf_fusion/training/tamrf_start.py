"""TAMRF as it is before the first step: its shape, what its bands look like, and how it is to be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.fuser import KELVIN, SENSORS, TEMPERATURE
from openeo_udf_fusion.models.tamrf_attention import Attention, Layer
from openeo_udf_fusion.models.tamrf_config import Config, SensorId
from openeo_udf_fusion.models.tamrf_encoder import Encoder
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training.tamrf_patches import Habits, Source
from openeo_udf_fusion.training.tamrf_sites import Site

Size = Literal["full", "small"]
NEIGHBOUR = {"B1": "B2"}
"""Whose mean and deviation stand for those of a band that no site has."""
STATISTICS_CROPS = 64
STATISTICS_PX = 33
"""So many squares of a site on disk, and so large, are read for mean and deviation."""
LEAST_DEVIATION = 1e-4
SHARPNESS = 1.4
FREQUENCIES_SKIPPED = 5 / 3
"""Of attention at the start: kernels in time whose halves lie about 2 to 30 days from their middle."""


@dataclass(frozen=True)
class Schedule:
    """How long and how to train; the defaults are those of the small network.

    Attributes
    ----------
    clip
        Length to which gradients are shortened.
    average
        How slowly the averaged weights follow.
    hidden_weight, given_weight
        Of fidelity on dates that are hidden and on those that are given.
    cloud_weight
        Of the distance from clouds. A network that is shown no clouds has nothing to learn from it.
    detail_weight
        Of the loss of detail, times the share of Sentinel-2's dates.
    margin_px
        At 10 m, beside a square's border where nothing is compared.
    sharpening_steps
        Of learning the detail of Sentinel-2's bands of 20 m, after all else (`tamrf_detail`); 0: none.
    """

    size: Size = "small"
    steps: int = 900
    learning_rate: float = 4e-4
    warmup_steps: int = 100
    clip: float = 0.1
    average: float = 0.98
    hidden_weight: float = 1.0
    given_weight: float = 0.25
    cloud_weight: float = 0.0
    detail_weight: float = 1.0
    margin_px: int = 3
    validate_every: int = 100
    seed: int = 2018
    sharpening_steps: int = 2000


CONFIGS: Mapping[Size, Config] = {
    "full": Config(),
    "small": Config(
        features=24,
        growth=8,
        dense_blocks=1,
        time_code=24,
        layers=2,
        mlp=96,
        clear_only=True,
        anchored=True,
        compared=True,
        carried=True,
    ),
}
HABITS: Mapping[Size, Habits] = {
    "full": Habits(165, 50, 50, 100, (365, 365), 0, 0, 0, clear_only=False),
    "small": Habits(),
}
SCHEDULES: Mapping[Size, Schedule] = {
    "full": Schedule(
        "full",
        200_000,
        1e-4,
        2018,
        hidden_weight=0.5,
        given_weight=1.0,
        cloud_weight=1.0,
        margin_px=27,
        validate_every=2000,
        sharpening_steps=0,
    ),
    "small": Schedule(),
}
"""The full one as the published network was trained, as far as its paper tells; the cosine never restarts."""


def schedule_of(
    size: Size,
    steps: int | None,
    learning_rate: float | None,
    seed: int,
    sharpening_steps: int | None = None,
) -> Schedule:
    """The defaults of a size, but for what is given."""
    default = SCHEDULES[size]
    steps, rate = steps or default.steps, learning_rate or default.learning_rate
    sharpening = default.sharpening_steps if sharpening_steps is None else sharpening_steps
    return replace(default, steps=steps, learning_rate=rate, seed=seed, sharpening_steps=sharpening)


class Statistics(NamedTuple):
    """Of each band (b,) mean and deviation in the network's units, and whether any site has it."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    seen: NDArray[np.bool_]


def network(config: Config, known: Mapping[str, Statistics]) -> Tamrf:
    """A network that has learned nothing; an anchored one does not correct the interpolation in time yet."""
    model = Tamrf(config)
    for sensor, (mean, std, seen) in known.items():
        own = SENSORS[sensor]
        model.get_buffer(f"{own}_mean").copy_(torch.from_numpy(mean))
        model.get_buffer(f"{own}_std").copy_(torch.from_numpy(std))
        silence(model, own, ~seen)
    if config.anchored:
        last = cast(torch.nn.Conv2d, model.decoder[-1])
        for part in (last.weight, cast(Tensor, last.bias)):
            torch.nn.init.zeros_(part)
        for layer in (*model.layers, model.cross):
            look_nearby(cast(Layer, layer).attention, config)
    return model


def look_nearby(attention: Attention, config: Config) -> None:
    """Let attention begin as kernels in time: the nearer a date, the more it counts; each head has a width.

    The scalar product of two codes of time falls with the days between them, so it is enough to let queries
    and keys begin as codes; of the others a head looks past the quickest oscillations.
    """
    width, depth = config.width, config.width // config.heads
    pairs, kept = config.time_code // 2, depth // 2
    with torch.no_grad():
        for head in range(config.heads):
            skipped = min(round(head * FREQUENCIES_SKIPPED), max(pairs - kept, 0))
            codes = torch.arange(min(kept, pairs - skipped) * 2) + 2 * skipped
            rows = head * depth + torch.arange(len(codes))
            for start in (0, width):
                attention.project.weight[start : start + width][rows] = 0
                attention.project.weight[start + rows, config.features + codes] = SHARPNESS


def silence(model: Tamrf, sensor: SensorId, bands: NDArray[np.bool_]) -> None:
    """Let bands that no site has say nothing, as no gradient will ever reach what reads and writes them."""
    places = torch.from_numpy(np.flatnonzero(bands))
    last = cast(torch.nn.Conv2d, model.decoder[-1])
    start = 0 if sensor == "lr" else len(model.config.lr)
    first = cast(Encoder, model.encoder[sensor]).first
    read = torch.cat([places, len(bands) + places]) if model.config.compared else places
    with torch.no_grad():
        first.weight[:, read] = 0
        last.weight[start + places] = 0
        cast(Tensor, last.bias)[start + places] = 0


def statistics(sites: Sequence[Source], rng: np.random.Generator) -> dict[str, Statistics]:
    """Of both sensors, over the clear pixels of all sites.

    Raises
    ------
    InvalidParameter
        A band is missing everywhere that has no neighbour to stand for it.
    """
    parts = [part for site in sites for part in parts_of(site, rng)]
    found: dict[str, Statistics] = {}
    for sensor, bands in BANDS.items():
        pooled = [values_of(parts, sensor, band) for band in range(len(bands))]
        seen = np.array([len(values) > 0 for values in pooled])
        for place in np.flatnonzero(~seen):
            stand_in = NEIGHBOUR.get(bands[place])
            pooled[place] = pooled[bands.index(stand_in)] if stand_in else pooled[place]
            if not len(pooled[place]):
                raise InvalidParameter(
                    f"no site of {[site.name for site in sites]} has a clear value of {sensor}_{bands[place]}"
                )
        mean, std = (np.array([f(v) for v in pooled], np.float32) for f in (np.mean, np.std))
        found[sensor] = Statistics(mean, np.maximum(std, np.float32(LEAST_DEVIATION)), seen)
    return found


def values_of(parts: Sequence[Site], sensor: str, band: int) -> NDArray[np.float32]:
    """All clear values of a band in the network's units."""
    clear = [np.empty(0, np.float32)]
    for part in parts:
        if sensor in part.observed:
            values, valid, _ = part.observed[sensor]
            clear.append(values[:, band][valid[:, band] & part.clear[sensor]])
    pooled: NDArray[np.float32] = np.concatenate(clear) * np.float32(scale_of_band(BANDS[sensor][band]))
    return pooled


def parts_of(site: Source, rng: np.random.Generator) -> list[Site]:
    """A site whole, or squares of single days of one on disk."""
    if isinstance(site, Site):
        return [site]
    days = np.concatenate([site.days(s) for s in SENSORS])
    size = min(STATISTICS_PX, min(site.shape) // 3 * 3)
    parts = []
    for _ in range(STATISTICS_CROPS):
        day = int(rng.choice(days))
        top, left = (int(rng.integers((side - size) // 3 + 1)) * 3 for side in site.shape)
        parts.append(site.between(day, day).crop(top, left, size))
    return parts


def scale_of_band(band: str) -> float:
    """From the field's units to the network's."""
    return 1 / KELVIN if band == TEMPERATURE else 1.0
