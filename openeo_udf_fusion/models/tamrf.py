"""TAMRF-SITS: Landsat and Sentinel-2 image series in one, all their bands at 10 m on any day.

`load` opens weights, `predict` streams an image series through the network (`models.tamrf_network`): images
one by one, pixels in chunks, rows in strips.

After Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.

Axes: n images, t input dates, q queried days, b bands, y and x pixels, p pixels in a row, d width.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load as load_tensors
from torch import Tensor

from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, tamrf_checkpoint, weights
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.models.tamrf_config import HALO_ROWS, SENSORS, Config, SensorId
from openeo_udf_fusion.models.tamrf_network import Folded, Tamrf
from openeo_udf_fusion.models.tamrf_series import (
    Series,
    checked,
    dates_with_tokens,
    size_at_10_m,
    tokens_seen,
    unseen,
)
from openeo_udf_fusion.models.threads import side_by_side
from openeo_udf_fusion.models.torch_runtime import pool_of_callers_threads

__all__ = [
    "SENSORS",
    "Config",
    "SensorId",
    "Series",
    "Tamrf",
    "built",
    "config_from_json",
    "load",
    "of_card",
    "of_checkpoint",
    "predict",
]

CHUNK_PX = {"cpu": 32, "cuda": 16384}
"""Pixels whose dates attend to one another at once: what they need stays in a processor's cache."""
STRIP_ROWS = 32


def predict(
    model: Tamrf,
    *,
    hr: Tensor | None = None,
    hr_days: Tensor | None = None,
    lr: Tensor | None = None,
    lr_days: Tensor | None = None,
    query_days: Tensor,
    hr_valid: Tensor | None = None,
    lr_valid: Tensor | None = None,
    precision: Precision = "float32",
) -> tuple[Tensor, Tensor]:
    """All bands of both sensors at 10 m on any day.

    Memory grows with dates x pixels for the input, the features (`config.features` numbers each) and, where
    the network is `compared`, what it is compared with (two or three numbers per band), and with the result.
    It runs on the device of the model.

    Parameters
    ----------
    model
        From `load`.
    hr, hr_days
        Sentinel-2 (t, 10, y, x) at 10 m in DN/1e4, finite where valid, and its days (t,), counted from any
        one date.
    lr, lr_days
        Landsat (t, 8, y / 3, x / 3) at 30 m in DN/1e4 (surface temperature: K/1000) and its days, counted
        from the same date. Either sensor may be None.
    query_days
        (query,) days asked for, counted alike.
    hr_valid, lr_valid
        What is valid, bool (t, y, x), or (t, bands, y, x) by band; None: all. A date on which no band of a
        pixel is valid is as good as left out for that pixel; a band that is missing is taken to be its mean.
    precision
        "bfloat16" runs encoders and attention in that precision, in about half the time: good enough for
        reflectance (errors of a few 1e-4), too coarse for surface temperature.

    Returns
    -------
    lr, hr : Tensor
        (query, 8, y, x) and (query, 10, y, x), both at 10 m, float32 on the CPU; NaN where no date of either
        sensor is valid.

    Raises
    ------
    InvalidCube
        No sensor, no dates, or shapes that disagree.
    """
    given = checked(model.config, lr=(lr, lr_days, lr_valid), hr=(hr, hr_days, hr_valid))
    query_days = torch.as_tensor(query_days)
    useful = dates_with_tokens(given)
    if not useful:
        return unseen(model.config, given, len(query_days), torch.device("cpu"))
    with torch.inference_mode():
        model = prepared(model, torch.bfloat16 if precision == "bfloat16" else torch.float32)
        features = encode(model, useful)  # (y x t features)
        seen = tokens_seen(model.config, useful)  # (y x t)
        folded = model.folded({sensor: each.days for sensor, each in useful.items()}, query_days)
        out = results(model, given, query_days)
        for strip, part in decoded_strips(model, features, folded, seen):
            for whole, values in zip(out, part, strict=True):
                if model.config.anchored:
                    whole[:, :, strip] += values
                else:
                    whole[:, :, strip] = values
        sharpen(model, out[1], useful.get("hr"), query_days)
        if seen is not None:
            for whole in out:
                whole[:, :, ~seen.any(-1).cpu()] = torch.nan
    return out[0], out[1]


def prepared(model: Tamrf, dtype: torch.dtype) -> Tamrf:
    """A copy as the processor wants it: channels last, all but the decoder in `dtype`."""
    copied = copy.deepcopy(model)
    for part in (copied.encoder, copied.layers, copied.cross):
        part.to(dtype)
    for parameter in copied.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return copied


def results(model: Tamrf, given: Mapping[SensorId, Series], query_days: Tensor) -> list[Tensor]:
    """Room for each sensor's bands (q, b, y, x); where the network is anchored, what it corrects."""
    if model.config.anchored:
        anchors = model.anchors(given, query_days)
        return [anchors[sensor].cpu().contiguous() for sensor in SENSORS]
    size = size_at_10_m(model.config, given)
    return [torch.empty(len(query_days), len(model.config.bands(sensor)), *size) for sensor in SENSORS]


def encode(model: Tamrf, given: Mapping[SensorId, Series]) -> Tensor:
    """Features of every date, those of `lr` first: (y, x, t, features)."""
    ordered = [(sensor, given[sensor]) for sensor in SENSORS if sensor in given]
    sensor, first = ordered[0]
    rows, columns = (size * model.config.scale(sensor) for size in first.images.shape[-2:])
    places = [(sensor, date) for sensor, each in ordered for date in range(len(each.days))]
    others = model.departures(given)
    shape = (rows, columns, len(places), model.config.features)
    features = torch.empty(shape, dtype=model.dtype, device=model.device)

    def encode_one(at: int) -> None:
        sensor, date = places[at]
        with torch.inference_mode():
            departures = others[sensor][date : date + 1] if sensor in others else None
            image = model.read(given[sensor].on(date), sensor, departures).to(model.dtype)
            made = model.encoder[sensor](image.contiguous(memory_format=torch.channels_last))
            features[:, :, at] = made[0].permute(1, 2, 0)

    side_by_side(encode_one, range(len(places)), pool_of_callers_threads())
    return features


def decoded_strips(
    model: Tamrf, features: Tensor, folded: Folded, seen: Tensor | None
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Each strip of rows and its bands by sensor, (q, b, strip, x)."""
    rows, columns = features.shape[:2]
    carried = torch.empty(len(folded.queries), 0, columns, model.config.width, device=model.device)
    known = 0
    for start in range(0, rows, STRIP_ROWS):
        stop, top = min(start + STRIP_ROWS, rows), max(start - HALO_ROWS, 0)
        needed = min(stop + HALO_ROWS, rows)
        fresh = answers(model, features[known:needed], folded, None if seen is None else seen[known:needed])
        window = torch.cat([carried, fresh], 1)  # the rows from top to needed
        known = needed
        yield slice(start, stop), decode(model, window, slice(start - top, stop - top))
        carried = window[:, max(stop - HALO_ROWS, 0) - top :]


def answers(model: Tamrf, features: Tensor, folded: Folded, seen: Tensor | None) -> Tensor:
    """What the queried days find at each pixel of some rows, (y, x, t, features) -> (q, y, x, d)."""
    pixels = features.flatten(0, 1)
    tokens = None if seen is None else seen.to(model.device).flatten(0, 1)
    found = torch.empty(len(folded.queries), len(pixels), model.config.width, device=model.device)
    chunk = CHUNK_PX[model.device.type]

    def run_chunk(start: int) -> None:
        part = slice(start, start + chunk)
        with torch.inference_mode():
            made = model.answered(pixels[part], folded, None if tokens is None else tokens[part])
            found[:, part] = made.transpose(0, 1)

    side_by_side(run_chunk, range(0, len(pixels), chunk), pool_of_callers_threads())
    return rearrange(found, "q (y x) d -> q y x d", x=features.shape[1])


def decode(model: Tamrf, window: Tensor, wanted: slice) -> list[Tensor]:
    """Some rows of a window of answers (q, y, x, d) as bands by sensor, day by day."""
    days: list[tuple[Tensor, ...]] = [()] * len(window)

    def decode_one(day: int) -> None:
        with torch.inference_mode():
            both = model.decoded(window[day : day + 1].permute(0, 3, 1, 2))
            days[day] = tuple(both[sensor][:, :, wanted].cpu() for sensor in SENSORS)

    side_by_side(decode_one, range(len(window)), pool_of_callers_threads())
    return [torch.cat(parts) for parts in zip(*days, strict=True)]


def sharpen(model: Tamrf, made: Tensor, series: Series | None, query_days: Tensor) -> None:
    """Give, in place, detail to the days of `hr` (q, b, y, x) that were seen; nothing unless `detailed`."""
    if series is None or model.detail is None:
        return

    def sharpen_one(query: int) -> None:
        with torch.inference_mode():
            made[query] = model.with_detail(made[query], series, query_days[query])

    side_by_side(sharpen_one, range(len(query_days)), pool_of_callers_threads())


# --- weights


def load(file: Path | str, device: str = "cpu") -> Tamrf:
    """The network with its weights.

    Parameters
    ----------
    file
        An official checkpoint (`.ckpt`), or the `.safetensors` of this project with its card beside it.
    device
        Where to compute, e.g. "cpu" or "cuda".

    Raises
    ------
    InvalidWeights, CorruptWeights
        The file holds no such weights, or not those that its card promises.
    """
    path = Path(file)
    if path.suffix == ".safetensors":
        model = of_card(cards.read(path.stem, path.parent), path.parent)
    else:
        model = of_checkpoint(path)
    return model.to(device).eval()


def of_checkpoint(file: Path) -> Tamrf:
    """The published network, from its authors' checkpoint; errors as `load`."""
    return built(Config(), tamrf_checkpoint.read(file), file.name).eval()


def of_card(card: cards.Card, folder: Path) -> Tamrf:
    """The network of a card, from the file of weights that it names in its folder; errors as `load`."""
    content = weights.verified(folder / card.weights_file, card.sha256)
    return built(config_from_json(card.hyperparameters), load_tensors(content), card.weights_file)


def config_from_json(values: Json) -> Config:
    """The network's shape as a card states it; JSON has no tuples.

    Raises
    ------
    InvalidWeights
        It states what this version of the package does not know.
    """
    unknown = sorted(values.keys() - {field.name for field in fields(Config)})
    if unknown:
        raise InvalidWeights(
            f"the card is of another network than TAMRF, or of a later version of this package: it states "
            f"{unknown}; install the version that wrote it"
        )
    arguments: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Config(**arguments)


def built(config: Config, state: Mapping[str, Tensor], origin: str) -> Tamrf:
    """A network with these tensors; InvalidWeights where they are not its own."""
    model = Tamrf(config)
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in needed.keys() | found.keys() if needed.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise InvalidWeights(
            f"{origin} is not TAMRF's of this size: {len(wrong)} of its tensors differ, such as {name!r}, "
            f"which must have shape {needed.get(name)} and has {found.get(name)} (None: there is none)"
        )
    model.load_state_dict(state)
    return model
