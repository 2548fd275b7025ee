"""TAMRF-SITS: Landsat and Sentinel-2 image series in one, all their bands at 10 m on any day.

Date by date each sensor's encoder turns an image into features at 10 m; pixel by pixel a transformer lets
the dates of both sensors attend to one another; queries, one per day asked for, attend to the outcome; two
convolutions decode all bands of both sensors.

After Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, whose published network is the default Config;
written from the paper. The dense blocks are those of ESRGAN (Wang et al. 2018, arXiv:1809.00219).

Axes: n images, t input dates, q queried days, b bands, y and x pixels, p pixels in a row, d width.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from openeo_udf_fusion.errors import InvalidCube, InvalidWeights
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, tamrf_checkpoint, weights
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.models.threads import side_by_side
from openeo_udf_fusion.models.torch_runtime import pool_of_callers_threads

SensorId = Literal["lr", "hr"]
SENSORS: tuple[SensorId, ...] = ("lr", "hr")
"""Landsat at 30 m and Sentinel-2 at 10 m, in the order of tokens and of decoded bands."""
SLOPE = 0.2
"""Of the leaky rectifiers within the encoders."""
DAYS_OF_TIME_CODE = 365
CHUNK_PX = {"cpu": 128, "cuda": 16384}
"""Pixels whose dates attend to one another at once: what they need stays in a processor's cache."""
STRIP_ROWS = 32
HALO_ROWS = 2
"""The decoder's two convolutions look so far."""


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    lr, hr
        Band names in the model's order.
    upscaling
        Pixels of `hr` beside one of `lr`.
    features, growth, dense_blocks
        Width of an encoder, what each convolution of a dense block adds, and how many blocks there are.
    time_code, sensor_code
        Width of a token's code of the day and of the sensor; the first must be even.
    layers, heads, mlp
        Of the temporal transformer.
    """

    lr: tuple[str, ...] = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "LST")
    hr: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    upscaling: int = 3
    features: int = 64
    growth: int = 32
    dense_blocks: int = 3
    time_code: int = 64
    sensor_code: int = 8
    layers: int = 3
    heads: int = 4
    mlp: int = 256

    @property
    def width(self) -> int:
        """Of a token."""
        return self.features + self.time_code + self.sensor_code

    def bands(self, sensor: SensorId) -> tuple[str, ...]:
        """Band names of a sensor."""
        return self.lr if sensor == "lr" else self.hr

    def scale(self, sensor: SensorId) -> int:
        """How many pixels of the result lie along one of the sensor."""
        return self.upscaling if sensor == "lr" else 1


# --- images to features


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each of which reads the block's input and what the ones before it made."""

    scale: Tensor

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * 4 + [features]
        self.convs = nn.ModuleList(conv(features + i * growth, width) for i, width in enumerate(widths))
        self.register_buffer("scale", torch.tensor(0.2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, y, x) -> the same shape."""
        known, made = x, x
        for number, layer in enumerate(self.convs):
            made = F.leaky_relu(layer(known), SLOPE)
            if number < len(self.convs) - 1:
                known = torch.cat([known, made], 1)
        return x + self.scale * made


class Encoder(nn.Module):
    """One sensor's image -> its features at 10 m."""

    scale: Tensor

    def __init__(self, bands: int, upscaling: int, config: Config) -> None:
        super().__init__()
        self.upscaling = upscaling
        self.first = conv(bands, config.features)
        self.blocks = nn.Sequential(
            *(DenseBlock(config.features, config.growth) for _ in range(config.dense_blocks))
        )
        self.register_buffer("scale", torch.tensor(0.2))
        self.last = conv(config.features, config.features)
        self.finer = conv(config.features, config.features) if upscaling > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (n, b, y, x) -> (n, features, upscaling y, upscaling x)."""
        start = self.first(images)
        z: Tensor = start + self.last(start + self.scale * self.blocks(start))
        if self.finer is None:
            return z
        finer = F.interpolate(z, scale_factor=self.upscaling, mode="bicubic", align_corners=False)
        return F.leaky_relu(self.finer(finer), SLOPE)


def time_code(days: Tensor, width: int) -> Tensor:
    """Code of days (t,) by sines and cosines of falling frequency: (t, width)."""
    order = torch.arange(width, device=days.device)
    angle = days.float()[:, None] / torch.pow(DAYS_OF_TIME_CODE, 2 * (order // 2) / width)
    return torch.where(order % 2 == 0, angle.sin(), angle.cos())


# --- features to features, along time


class Attention(nn.Module):
    """Multi-head attention; keys and values come from `source`, with one key of zero where `zero` is set."""

    def __init__(self, width: int, heads: int, zero: bool = False) -> None:
        super().__init__()
        self.heads, self.zero = heads, zero
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        """Queries (p, q, d) and what they read (p, t, d) -> (p, q, d)."""
        return self.mixed(self.asked(query), self.offered(source))

    def asked(self, query: Tensor) -> Tensor:
        """Queries (..., q, d), projected."""
        width = query.shape[-1]
        return F.linear(query, self.project.weight[:width], self.project.bias[:width])

    def offered(self, source: Tensor) -> Tensor:
        """Keys and values (p, t, 2 d) of what is read."""
        width = source.shape[-1]
        return F.linear(source, self.project.weight[width:], self.project.bias[width:])

    def mixed(self, asked: Tensor, offered: Tensor) -> Tensor:
        """Projected queries (p, q, d) and keys with values (p, t, 2 d) -> (p, q, d)."""
        k, v = offered.chunk(2, -1)
        q, k, v = (rearrange(each, "p t (h d) -> p h t d", h=self.heads) for each in (asked, k, v))
        if self.zero:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        mixed = attend(q, k, v)
        together: Tensor = self.out(rearrange(mixed, "p h t d -> p t (h d)"))
        return together


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention (p, h, q, d); on processors plain products are faster in bfloat16."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        mixed: Tensor = scores.softmax(-1) @ v
        return mixed
    return F.scaled_dot_product_attention(q, k, v)


class Layer(nn.Module):
    """A transformer layer that normalises behind each step."""

    def __init__(self, config: Config, zero: bool = False) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, zero)
        self.norm_time = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.mlp)
        self.down = nn.Linear(config.mlp, config.width)
        self.norm_width = nn.LayerNorm(config.width)

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        """(p, q, d) that read (p, t, d) -> (p, q, d)."""
        return self.settled(query, self.attention(query, source))

    def settled(self, query: Tensor, found: Tensor) -> Tensor:
        """What comes out once attention has found something, (p, q, d)."""
        z = self.norm_time(query + found)
        out: Tensor = self.norm_width(z + self.down(F.relu(self.up(z))))
        return out


class Tamrf(nn.Module):
    """The whole network; `predict` streams an image series through its parts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for sensor in SENSORS:
            bands = len(config.bands(sensor))
            self.register_buffer(f"{sensor}_mean", torch.zeros(bands))
            self.register_buffer(f"{sensor}_std", torch.ones(bands))
        self.encoder = nn.ModuleDict(
            {
                "lr": Encoder(len(config.lr), config.upscaling, config),
                "hr": Encoder(len(config.hr), 1, config),
            }
        )
        self.sensor_code = nn.ParameterDict(
            {sensor: nn.Parameter(torch.randn(config.sensor_code) * 0.02) for sensor in SENSORS}
        )
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.query_features = nn.Parameter(torch.randn(config.features) * 0.02)
        self.query_code = nn.Parameter(torch.randn(config.sensor_code) * 0.02)
        self.cross = Layer(config, zero=True)
        self.decoder = nn.Sequential(
            conv(config.width, config.width),
            nn.LeakyReLU(SLOPE),
            conv(config.width, len(config.lr + config.hr)),
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.query_code.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the encoders and of attention."""
        return self.cross.up.weight.dtype

    def standardised(self, images: Tensor, sensor: SensorId) -> Tensor:
        """DN/1e4 (n, b, y, x) -> what an encoder reads."""
        mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
        return (images - mean) / std

    def tokens(self, features: Tensor, codes: Tensor) -> Tensor:
        """Features (p, t, features) beside their dates' codes (t, time and sensor code)."""
        return torch.cat([features, codes.expand(len(features), -1, -1)], -1)

    def codes(self, days: Mapping[SensorId, Tensor]) -> Tensor:
        """Codes of all dates (t, time and sensor code), those of `lr` first."""
        parts = [
            torch.cat(
                [
                    time_code(days[sensor], self.config.time_code),
                    self.sensor_code[sensor].expand(len(days[sensor]), -1),
                ],
                -1,
            )
            for sensor in SENSORS
            if sensor in days
        ]
        return torch.cat(parts)

    def encoded(self, tokens: Tensor) -> Tensor:
        """Let the dates attend to one another, (p, t, d)."""
        for layer in self.layers:
            tokens = layer(tokens, tokens)
        return tokens

    def queries(self, days: Tensor) -> Tensor:
        """What asks for each day, (q, d): the same at every pixel."""
        code = time_code(days, self.config.time_code)
        both = [self.query_features.expand(len(days), -1), code, self.query_code.expand(len(days), -1)]
        return torch.cat(both, -1)

    def decoded(self, answers: Tensor) -> dict[SensorId, Tensor]:
        """Answers (q, d, y, x) -> each sensor's bands (q, b, y, x) in DN/1e4."""
        both = self.decoder(answers).split([len(self.config.lr), len(self.config.hr)], 1)
        out: dict[SensorId, Tensor] = {}
        for sensor, values in zip(SENSORS, both, strict=True):
            mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
            out[sensor] = values * std + mean
        return out


# --- streaming: images one by one, pixels in chunks, rows in strips


class Series(NamedTuple):
    """One sensor's images (t, b, y, x) in DN/1e4 and their days (t,)."""

    images: Tensor
    days: Tensor


class Folded(NamedTuple):
    """What is the same at all pixels, computed once.

    Attributes
    ----------
    codes
        (t, time and sensor code).
    first_asked, first_offered
        The codes' share in the first layer's queries, and in its keys and values: (t, d), (t, 2 d).
    queries, asked
        The decoder's queries (q, d), and projected.
    """

    codes: Tensor
    first_asked: Tensor
    first_offered: Tensor
    queries: Tensor
    asked: Tensor


def predict(
    model: Tamrf,
    *,
    hr: Tensor | None = None,
    hr_days: Tensor | None = None,
    lr: Tensor | None = None,
    lr_days: Tensor | None = None,
    query_days: Tensor,
    precision: Precision = "float32",
) -> tuple[Tensor, Tensor]:
    """All bands of both sensors at 10 m on any day.

    Memory grows with dates x pixels for the features alone (64 numbers each) and with the result; it runs on
    the device of the model.

    Parameters
    ----------
    model
        From `load`.
    hr, hr_days
        Sentinel-2 (t, 10, y, x) at 10 m in DN/1e4, all finite, and its days (t,), counted from any one date.
    lr, lr_days
        Landsat (t, 8, y / 3, x / 3) at 30 m in DN/1e4 (surface temperature: K/1000) and its days, counted
        from the same date. Either sensor may be None.
    query_days
        (query,) days asked for, counted alike.
    precision
        "bfloat16" runs encoders and attention in that precision, in about half the time: good enough for
        reflectance (errors of a few 1e-4), too coarse for surface temperature.

    Returns
    -------
    lr, hr : Tensor
        (query, 8, y, x) and (query, 10, y, x), both at 10 m, float32 on the CPU.

    Raises
    ------
    InvalidCube
        No sensor, no dates, or shapes that disagree.
    """
    given: dict[SensorId, Series] = {}
    for sensor, images, days in (("lr", lr, lr_days), ("hr", hr, hr_days)):
        if images is not None and len(images):
            given[cast(SensorId, sensor)] = Series(images, torch.as_tensor([] if days is None else days))
    check(model.config, given)
    with torch.inference_mode():
        model = prepared(model, torch.bfloat16 if precision == "bfloat16" else torch.float32)
        features = encode(model, given)  # (y x t features)
        folded = fold(
            model, {sensor: each.days for sensor, each in given.items()}, torch.as_tensor(query_days)
        )
        rows, columns = features.shape[:2]
        bands = [len(model.config.bands(sensor)) for sensor in SENSORS]
        out = [torch.empty(len(query_days), count, rows, columns) for count in bands]
        for strip, part in decoded_strips(model, features, folded):
            for whole, values in zip(out, part, strict=True):
                whole[:, :, strip] = values
    return out[0], out[1]


def check(config: Config, given: Mapping[SensorId, Series]) -> None:
    """Raise InvalidCube unless the series fit the network and one another."""
    if not given:
        raise InvalidCube("predict needs images of at least one sensor, hr or lr; neither came")
    sizes = {}
    for sensor, (images, days) in given.items():
        bands = len(config.bands(sensor))
        if images.ndim != 4 or images.shape[1] != bands:
            raise InvalidCube(f"{sensor} must be (t, {bands}, y, x), it is {tuple(images.shape)}")
        if len(images) != len(days):
            raise InvalidCube(f"{sensor} has {len(images)} images and {len(days)} days; each needs its day")
        scale = config.scale(sensor)
        sizes[sensor] = tuple(size * scale for size in images.shape[-2:])
    if len(set(sizes.values())) > 1:
        raise InvalidCube(
            f"an image of lr must cover that of hr, {config.upscaling} pixels of hr to one of lr: lr covers "
            f"{sizes['lr']} pixels of hr, hr has {sizes['hr']}"
        )


def prepared(model: Tamrf, dtype: torch.dtype) -> Tamrf:
    """A copy as the processor wants it: channels last, all but the decoder in `dtype`."""
    copied = copy.deepcopy(model)
    for part in (copied.encoder, copied.layers, copied.cross):
        part.to(dtype)
    for parameter in copied.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return copied


def encode(model: Tamrf, given: Mapping[SensorId, Series]) -> Tensor:
    """Features of every date, those of `lr` first: (y, x, t, features)."""
    ordered = [(sensor, given[sensor]) for sensor in SENSORS if sensor in given]
    sensor, first = ordered[0]
    rows, columns = (size * model.config.scale(sensor) for size in first.images.shape[-2:])
    places = [(sensor, date) for sensor, each in ordered for date in range(len(each.days))]
    shape = (rows, columns, len(places), model.config.features)
    features = torch.empty(shape, dtype=model.dtype, device=model.device)

    def encode_one(at: int) -> None:
        sensor, date = places[at]
        with torch.inference_mode():
            image = given[sensor].images[date : date + 1].to(model.device, torch.float32)
            image = model.standardised(image, sensor).to(model.dtype)
            made = model.encoder[sensor](image.contiguous(memory_format=torch.channels_last))
            features[:, :, at] = made[0].permute(1, 2, 0)

    side_by_side(encode_one, range(len(places)), pool_of_callers_threads())
    return features


def fold(model: Tamrf, days: Mapping[SensorId, Tensor], query_days: Tensor) -> Folded:
    """What depends on dates alone."""
    codes = model.codes({sensor: each.to(model.device) for sensor, each in days.items()}).to(model.dtype)
    queries = model.queries(query_days.to(model.device)).to(model.dtype)
    width, features = model.config.width, model.config.features
    project = cast(Layer, model.layers[0]).attention.project
    first = F.linear(codes, project.weight[:, features:], project.bias)
    return Folded(codes, first[:, :width], first[:, width:], queries, model.cross.attention.asked(queries))


def decoded_strips(model: Tamrf, features: Tensor, folded: Folded) -> Iterator[tuple[slice, list[Tensor]]]:
    """Each strip of rows and its bands by sensor, (q, b, strip, x)."""
    rows, columns = features.shape[:2]
    carried = torch.empty(len(folded.queries), 0, columns, model.config.width, device=model.device)
    known = 0
    for start in range(0, rows, STRIP_ROWS):
        stop, top = min(start + STRIP_ROWS, rows), max(start - HALO_ROWS, 0)
        needed = min(stop + HALO_ROWS, rows)
        fresh = answers(model, features[known:needed], folded)
        window = torch.cat([carried, fresh], 1)  # the rows from top to needed
        known = needed
        yield slice(start, stop), decode(model, window, slice(start - top, stop - top))
        carried = window[:, max(stop - HALO_ROWS, 0) - top :]


def answers(model: Tamrf, features: Tensor, folded: Folded) -> Tensor:
    """What the queried days find at each pixel of some rows, (y, x, t, features) -> (q, y, x, d)."""
    pixels = features.flatten(0, 1)
    found = torch.empty(len(folded.queries), len(pixels), model.config.width, device=model.device)
    chunk = CHUNK_PX[model.device.type]

    def run_chunk(start: int) -> None:
        with torch.inference_mode():
            found[:, start : start + chunk] = answer(model, pixels[start : start + chunk], folded).transpose(
                0, 1
            )

    side_by_side(run_chunk, range(0, len(pixels), chunk), pool_of_callers_threads())
    return rearrange(found, "q (y x) d -> q y x d", y=len(features))


def answer(model: Tamrf, features: Tensor, folded: Folded) -> Tensor:
    """The network between encoders and decoder, (p, t, features) -> (p, q, d), without what is folded."""
    first, *others = (cast(Layer, layer) for layer in model.layers)
    width = model.config.width
    moved = F.linear(features, first.attention.project.weight[:, : model.config.features])
    asked, offered = moved[..., :width] + folded.first_asked, moved[..., width:] + folded.first_offered
    tokens = first.settled(model.tokens(features, folded.codes), first.attention.mixed(asked, offered))
    for layer in others:
        tokens = layer(tokens, tokens)
    queries = folded.queries.expand(len(features), -1, -1)
    asked = folded.asked.expand(len(features), -1, -1)
    return model.cross.settled(
        queries, model.cross.attention.mixed(asked, model.cross.attention.offered(tokens))
    )


def decode(model: Tamrf, window: Tensor, wanted: slice) -> list[Tensor]:
    """Some rows of a window of answers (q, y, x, d) as bands by sensor, day by day."""
    days: list[tuple[Tensor, ...]] = [()] * len(window)

    def decode_one(day: int) -> None:
        with torch.inference_mode():
            both = model.decoded(window[day : day + 1].permute(0, 3, 1, 2))
            days[day] = tuple(both[sensor][:, :, wanted].cpu() for sensor in SENSORS)

    side_by_side(decode_one, range(len(window)), pool_of_callers_threads())
    return [torch.cat(parts) for parts in zip(*days, strict=True)]


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
        card = cards.read(path.stem, path.parent)
        values: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in card.hyperparameters.items()}
        config, state = Config(**values), load_tensors(weights.verified(path, card.sha256))
    else:
        config, state = Config(), tamrf_checkpoint.read(path)
    return built(config, state, path.name).to(device).eval()


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
