"""The network of TAMRF-SITS: Landsat and Sentinel-2 image series in one, all their bands at 10 m on any day.

Date by date each sensor's encoder turns an image into features at 10 m; pixel by pixel a transformer lets
the dates of both sensors attend to one another; queries, one per day asked for, attend to the outcome; two
convolutions decode all bands of both sensors.

After Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, whose published network is the default Config;
written from the paper. The dense blocks are those of ESRGAN (Wang et al. 2018, arXiv:1809.00219).

Where a pixel has nothing valid on a date, that date is no token of that pixel: no other looks at it, so
nothing depends on whether the date is masked or left out.

Axes: n images, t input dates, q queried days, b bands, y and x pixels, p pixels in a row, d width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from torch import Tensor, nn

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.linear_in_time import linear_in_time

SensorId = Literal["lr", "hr"]
SENSORS: tuple[SensorId, ...] = ("lr", "hr")
"""Landsat at 30 m and Sentinel-2 at 10 m, in the order of tokens and of decoded bands."""
SLOPE = 0.2
"""Of the leaky rectifiers within the encoders."""
DAYS_OF_TIME_CODE = 365
HALO_ROWS = 2
"""The decoder's two convolutions look so far."""
BICUBIC_PX = 2
"""And so far does the interpolation from 30 m, in its pixels."""
CONVS_OF_A_BLOCK = 5
REACH_DAYS = 8
"""Over which a difference between the sensors is carried, before anything is learned."""
PACE = 20
"""How much faster than other weights the exponents of a kernel in time learn."""
ALIKE = (("B2", "B02"), ("B3", "B03"), ("B4", "B04"), ("B5", "B8A"), ("B6", "B11"), ("B7", "B12"))
"""Bands of `lr` and of `hr` that see nearly the same."""
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
"""Bands of `hr` that are measured at 20 m."""
DETAIL_BLOCKS, DETAIL_GROWTH = 2, 16


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
    clear_only
        Trained on clear pixels alone: whoever calls masks clouds. The published network reads them raw.
    anchored
        What is decoded is a correction of the linear interpolation in time between each pixel's own valid
        values of the band (of its mean where it was never seen), Landsat's at 30 m and then bicubic.
    compared
        An encoder also reads how an image differs from what others tell of its day, interpolated likewise:
        those of its own sensor on other days, which shows haze, and those of the other sensor, in the bands
        that are alike, which shows what that one's interpolation lacks on the day. 0 where unknown.
    carried
        What one sensor's images differ from the other's interpolation is also added to that interpolation,
        the less the farther a queried day is; how much and how far is learned (`Carry`). Only where anchored.
    detailed
        Where a band of 20 m was seen on the queried day itself, the answer is what was seen and the detail
        that the 10 m bands of that image add to it (`Detail`). Only where anchored.
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
    clear_only: bool = False
    anchored: bool = False
    compared: bool = False
    carried: bool = False
    detailed: bool = False

    def __post_init__(self) -> None:
        """What is carried or detailed is added to an interpolation: without one nothing would be."""
        for name in ("carried", "detailed"):
            if getattr(self, name) and not self.anchored:
                raise InvalidParameter(f"a network that is `{name}` must be `anchored` too; this one is not")

    @property
    def width(self) -> int:
        """Of a token."""
        return self.features + self.time_code + self.sensor_code

    @property
    def receptive_field_px(self) -> int:
        """How many pixels of 10 m around a pixel matter: through Landsat's encoder, which looks farthest."""
        coarse = 2 + CONVS_OF_A_BLOCK * self.dense_blocks + BICUBIC_PX
        return self.upscaling * coarse + 1 + HALO_ROWS

    def bands(self, sensor: SensorId) -> tuple[str, ...]:
        """Band names of a sensor."""
        return self.lr if sensor == "lr" else self.hr

    @property
    def coarse(self) -> list[int]:
        """Places of the bands of 20 m among those of `hr`."""
        return [place for place, band in enumerate(self.hr) if band in COARSE]

    def scale(self, sensor: SensorId) -> int:
        """How many pixels of the result lie along one of the sensor."""
        return self.upscaling if sensor == "lr" else 1

    def alike(self, sensor: SensorId) -> list[int]:
        """Places of the sensor's bands that have a like among the other's; those of both correspond."""
        pairs = [pair for pair in ALIKE if pair[0] in self.lr and pair[1] in self.hr]
        return [self.bands(sensor).index(pair[SENSORS.index(sensor)]) for pair in pairs]

    def inputs(self, sensor: SensorId) -> int:
        """How many numbers per pixel the sensor's encoder reads."""
        bands = len(self.bands(sensor))
        return 2 * bands + len(self.alike(sensor)) if self.compared else bands


# --- images to features


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each of which reads the block's input and what the ones before it made."""

    scale: Tensor

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * (CONVS_OF_A_BLOCK - 1) + [features]
        self.convs = nn.ModuleList(conv(features + i * growth, width) for i, width in enumerate(widths))
        self.register_buffer("scale", torch.tensor(0.2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, y, x) -> the same shape."""
        known, made = x, x
        for number, layer in enumerate(self.convs):
            made = F.leaky_relu(layer(known), SLOPE, inplace=True)
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
        return F.leaky_relu(self.finer(finer), SLOPE, inplace=True)


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

    def forward(self, query: Tensor, source: Tensor, bias: Tensor | None = None) -> Tensor:
        """Queries (p, q, d) and what they read (p, t, d) -> (p, q, d); `bias` as `mixed` takes it."""
        return self.mixed(self.asked(query), self.offered(source), bias)

    def asked(self, query: Tensor) -> Tensor:
        """Queries (..., q, d), projected."""
        width = query.shape[-1]
        return F.linear(query, self.project.weight[:width], self.project.bias[:width])

    def offered(self, source: Tensor) -> Tensor:
        """Keys and values (p, t, 2 d) of what is read."""
        width = source.shape[-1]
        return F.linear(source, self.project.weight[width:], self.project.bias[width:])

    def mixed(self, asked: Tensor, offered: Tensor, bias: Tensor | None = None) -> Tensor:
        """Projected queries (p, q, d) and keys with values (p, t, 2 d) -> (p, q, d).

        `bias` (p, 1, 1, t) is added to the keys' logits: -inf where nobody may look.
        """
        k, v = offered.chunk(2, -1)
        q, k, v = (rearrange(each, "p t (h d) -> p h t d", h=self.heads) for each in (asked, k, v))
        if self.zero:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            bias = None if bias is None else F.pad(bias, (0, 1))
        mixed = attend(q, k, v, bias)
        together: Tensor = self.out(rearrange(mixed, "p h t d -> p t (h d)"))
        return together


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention (p, h, q, d); on processors plain products are faster in bfloat16."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores if bias is None else scores + bias
        mixed: Tensor = scores.softmax(-1) @ v
        return mixed
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class Layer(nn.Module):
    """A transformer layer that normalises behind each step."""

    def __init__(self, config: Config, zero: bool = False) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, zero)
        self.norm_time = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.mlp)
        self.down = nn.Linear(config.mlp, config.width)
        self.norm_width = nn.LayerNorm(config.width)

    def forward(self, query: Tensor, source: Tensor, bias: Tensor | None = None) -> Tensor:
        """(p, q, d) that read (p, t, d) -> (p, q, d)."""
        return self.settled(query, self.attention(query, source, bias))

    def settled(self, query: Tensor, found: Tensor) -> Tensor:
        """What comes out once attention has found something, (p, q, d)."""
        z = self.norm_time(query + found)
        out: Tensor = self.norm_width(z + self.down(F.relu(self.up(z), inplace=True)))
        return out


# --- from one sensor to the other


class Kernel(nn.Module):
    """How much a date counts on another day, exp(trust - days / reach): two numbers a band, learned."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.full((bands,), -1.0 / PACE))
        self.reach = nn.Parameter(torch.full((bands,), math.log(REACH_DAYS) / PACE))

    def forward(self, days: Tensor, query_days: Tensor) -> Tensor:
        """Dates (t,) on queried days (q,) -> (q, t, b)."""
        apart = (query_days[:, None] - days).abs().float()[..., None]
        trust, reach = self.trust.to(days.device), self.reach.to(days.device)
        return (PACE * trust - apart / (PACE * reach).exp()).exp()


class Carry(nn.Module):
    """What an interpolation lacks on queried days, by what another sensor's dates differ from it.

    On dates of its own it lacks nothing. What both tell is weighted by kernels in time; 1 counts for nothing.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.theirs, self.own = Kernel(bands), Kernel(bands)
        self.bias = nn.Parameter(torch.zeros(bands))

    def forward(
        self, away: Tensor, days: Tensor, own: Tensor, own_days: Tensor, query_days: Tensor
    ) -> Tensor:
        """Differences (t, b, y, x), NaN where unknown, of days (t,) -> (q, b, y, x) of queried days (q,).

        `own` (t', b, y, x) is the share of a pixel that the interpolated sensor saw on its own days (t',).
        """
        known = away.isfinite()
        moved = torch.where(known, away - self.bias.to(away.device)[:, None, None], 0)
        counts = self.theirs(days, query_days)
        total = torch.einsum("qtb,tbyx->qbyx", counts, known.to(away.dtype))
        total = total + torch.einsum("qtb,tbyx->qbyx", self.own(own_days, query_days), own)
        carried: Tensor = torch.einsum("qtb,tbyx->qbyx", counts, moved) / (1 + total)
        return carried


# --- from 10 m bands to those of 20 m


class Detail(nn.Module):
    """What a single image of `hr` shows at 10 m that its interpolated bands of 20 m lack."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = replace(config, dense_blocks=DETAIL_BLOCKS, growth=DETAIL_GROWTH)
        self.encoder = Encoder(len(config.hr), 1, shape)
        self.last = conv(config.features, len(config.coarse))

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (n, b, y, x), 0 where unknown -> what bands of 20 m lack (n, coarse, y, x)."""
        found: Tensor = self.last(F.leaky_relu(self.encoder(images), SLOPE, inplace=True))
        return found


# --- the whole


class Series(NamedTuple):
    """One sensor's images (t, b, y, x) in DN/1e4, days (t,), and what is valid (t, b, y, x); None: all."""

    images: Tensor
    days: Tensor
    valid: Tensor | None = None

    def on(self, date: int) -> "Series":
        """One date alone."""
        one = slice(date, date + 1)
        return Series(self.images[one], self.days[one], None if self.valid is None else self.valid[one])


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


class Tamrf(nn.Module):
    """The whole network; `tamrf.predict` streams an image series through its parts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for sensor in SENSORS:
            bands = len(config.bands(sensor))
            self.register_buffer(f"{sensor}_mean", torch.zeros(bands))
            self.register_buffer(f"{sensor}_std", torch.ones(bands))
        self.encoder = nn.ModuleDict(
            {
                "lr": Encoder(config.inputs("lr"), config.upscaling, config),
                "hr": Encoder(config.inputs("hr"), 1, config),
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
            nn.LeakyReLU(SLOPE, inplace=True),
            conv(config.width, len(config.lr + config.hr)),
        )
        alike = len(config.alike("lr"))
        self.carry = nn.ModuleDict({sensor: Carry(alike) for sensor in SENSORS} if config.carried else {})
        self.detail = Detail(config) if config.detailed else None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.query_code.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the encoders and of attention."""
        return self.cross.up.weight.dtype

    def forward(
        self,
        *,
        hr: Tensor | None = None,
        hr_days: Tensor | None = None,
        lr: Tensor | None = None,
        lr_days: Tensor | None = None,
        query_days: Tensor,
        hr_valid: Tensor | None = None,
        lr_valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`tamrf.predict` of one small image at once, to train by: every step can be differentiated.

        Parameters, result and errors are those of `tamrf.predict`, all on the model's device. Where a pixel
        has no token the result is NaN: choose the other pixels before anything is made of it.
        """
        given = checked(self.config, lr=(lr, lr_days, lr_valid), hr=(hr, hr_days, hr_valid))
        query_days = torch.as_tensor(query_days, device=self.device)
        useful = dates_with_tokens(given)
        if not useful:
            return unseen(self.config, given, len(query_days), self.device)
        others = self.departures(useful)
        features = torch.cat(
            [self.encoder[sensor](self.read(useful[sensor], sensor, others.get(sensor))) for sensor in useful]
        )
        seen = tokens_seen(self.config, useful)
        rows, columns = features.shape[-2:]
        folded = self.folded({sensor: series.days for sensor, series in useful.items()}, query_days)
        answers = self.answered(
            rearrange(features, "t d y x -> (y x) t d"),
            folded,
            None if seen is None else seen.flatten(0, 1),
        )
        both = self.decoded(rearrange(answers, "(y x) q d -> q d y x", y=rows, x=columns))
        if self.config.anchored:
            anchors = self.anchors(given, query_days)
            both = {sensor: both[sensor] + anchors[sensor] for sensor in SENSORS}
        if "hr" in useful:
            both["hr"] = torch.stack(
                [
                    self.with_detail(image, useful["hr"], day)
                    for image, day in zip(both["hr"], query_days, strict=True)
                ]
            )
        if seen is not None:
            both = {sensor: values.where(seen.any(-1), torch.nan) for sensor, values in both.items()}
        return both["lr"], both["hr"]

    def with_detail(self, image: Tensor, series: Series, day: Tensor) -> Tensor:
        """Bands of `hr` on a queried day (b, y, x); where its bands of 20 m were seen, those with detail."""
        same = torch.nonzero(series.days.to(day.device) == day)
        if self.detail is None or not len(same):
            return image
        own, places = series.on(int(same[0])), self.config.coarse
        std = self.get_buffer("hr_std")[places][:, None, None]
        sharp = own.images[0, places].to(std) + std * self.detail(self.read(own, "hr"))[0]
        known = True if own.valid is None else own.valid[0, places].to(image.device)
        out = image.clone()
        out[places] = torch.where(torch.as_tensor(known, device=image.device), sharp.to(image), image[places])
        return out

    def standardised(self, images: Tensor, sensor: SensorId) -> Tensor:
        """DN/1e4 (n, b, y, x) -> what an encoder reads."""
        mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
        return (images - mean) / std

    def read(self, series: Series, sensor: SensorId, departures: Tensor | None = None) -> Tensor:
        """A series as the sensor's encoder reads it, the mean in place of what is missing."""
        ready = self.standardised(series.images.to(self.device, torch.float32), sensor)
        ready = ready if series.valid is None else ready.where(series.valid.to(self.device), 0)
        return ready if departures is None else torch.cat([ready, departures.to(self.device)], 1)

    def departures(self, given: Mapping[SensorId, Series]) -> dict[SensorId, Tensor]:
        """Each sensor's images less what others tell of their days; nothing unless `compared`.

        Standardised (t, b, y, x), first all bands less the sensor's own other days, then the bands alike
        less the other sensor; 0 where either is unknown. On the device of the images.
        """
        if not self.config.compared:
            return {}
        out: dict[SensorId, Tensor] = {}
        for sensor, series in given.items():
            bands, alike = [*range(len(self.config.bands(sensor)))], self.config.alike(sensor)
            own = series.images.float() - line_of(series, bands, series.days, other_days=True)
            own = own if series.valid is None else own.where(series.valid, torch.nan)
            away = torch.cat([own, self.beyond_other(given, sensor)], 1)
            std = self.get_buffer(f"{sensor}_std")[bands + alike].to(away.device)[:, None, None]
            out[sensor] = away.div_(std).nan_to_num_(0, 0, 0)  # as large as the series: in place
        return out

    def beyond_other(self, given: Mapping[SensorId, Series], sensor: SensorId) -> Tensor:
        """A sensor's bands alike less the other sensor's line (t, b, y, x); NaN where either is unknown."""
        series, other = given[sensor], opposite(sensor)
        alike = self.config.alike(sensor)
        images = series.images[:, alike].float()
        if other not in given:
            return torch.full_like(images, torch.nan)
        line = line_of(given[other], self.config.alike(other), series.days)
        away = images - on_grid_of(sensor, line, self.config.upscaling)
        return away if series.valid is None else away.where(series.valid[:, alike], torch.nan)

    def tokens(self, features: Tensor, codes: Tensor) -> Tensor:
        """Features (p, t, features) beside their dates' codes (t or p t, time and sensor code)."""
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

    def encoded(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Let the dates attend to one another, (p, t, d)."""
        for layer in self.layers:
            tokens = layer(tokens, tokens, bias)
        return tokens

    def queries(self, days: Tensor) -> Tensor:
        """What asks for each day, (q, d): the same at every pixel."""
        code = time_code(days, self.config.time_code)
        both = [self.query_features.expand(len(days), -1), code, self.query_code.expand(len(days), -1)]
        return torch.cat(both, -1)

    def folded(self, days: Mapping[SensorId, Tensor], query_days: Tensor) -> Folded:
        """What depends on dates alone."""
        codes = self.codes({sensor: each.to(self.device) for sensor, each in days.items()}).to(self.dtype)
        queries = self.queries(query_days.to(self.device)).to(self.dtype)
        width, features = self.config.width, self.config.features
        project = cast(Layer, self.layers[0]).attention.project
        first = F.linear(codes, project.weight[:, features:], project.bias)
        asked = self.cross.attention.asked(queries)
        return Folded(codes, first[:, :width], first[:, width:], queries, asked)

    def answered(self, features: Tensor, folded: Folded, seen: Tensor | None = None) -> Tensor:
        """The network between encoders and decoder, (p, t, features) -> (p, q, d), without what is folded.

        `seen` (p, t) says which dates are tokens of a pixel; None: all are.
        """
        if seen is None or bool(seen.all()):
            return self._answered(features, folded, None, None)
        # Each pixel's tokens move to the front, and what no pixel has any more is cut off.
        most = max(int(seen.sum(1).max()), 1)
        order = torch.argsort(~seen, dim=1, stable=True)[:, :most]
        chosen = features.gather(1, order[..., None].expand(-1, -1, features.shape[-1]))
        codes, asked, offered = (
            each[order] for each in (folded.codes, folded.first_asked, folded.first_offered)
        )
        folded = folded._replace(codes=codes, first_asked=asked, first_offered=offered)
        closed = torch.where(seen.gather(1, order), 0.0, -torch.inf).to(features.dtype)[:, None, None]
        # Among no tokens at all a softmax is NaN; let those look anywhere, as nobody looks at them.
        among = closed.where(seen.any(1)[:, None, None, None], 0)
        return self._answered(chosen, folded, among, closed)

    def _answered(
        self, features: Tensor, folded: Folded, among: Tensor | None, closed: Tensor | None
    ) -> Tensor:
        first, *others = (cast(Layer, layer) for layer in self.layers)
        width = self.config.width
        moved = F.linear(features, first.attention.project.weight[:, : self.config.features])
        asked, offered = moved[..., :width] + folded.first_asked, moved[..., width:] + folded.first_offered
        found = first.attention.mixed(asked, offered, among)
        tokens = first.settled(self.tokens(features, folded.codes), found)
        for layer in others:
            tokens = layer(tokens, tokens, among)
        queries = folded.queries.expand(len(features), -1, -1)
        asked = folded.asked.expand(len(features), -1, -1)
        found = self.cross.attention.mixed(asked, self.cross.attention.offered(tokens), closed)
        return self.cross.settled(queries, found)

    def decoded(self, answers: Tensor) -> dict[SensorId, Tensor]:
        """Answers (q, d, y, x) -> each sensor's bands (q, b, y, x) in DN/1e4, or what corrects them."""
        both = self.decoder(answers).split([len(self.config.lr), len(self.config.hr)], 1)
        out: dict[SensorId, Tensor] = {}
        for sensor, values in zip(SENSORS, both, strict=True):
            mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
            out[sensor] = values * std if self.config.anchored else values * std + mean
        return out

    def anchors(self, given: Mapping[SensorId, Series], query_days: Tensor) -> dict[SensorId, Tensor]:
        """What an anchored network corrects: each sensor's bands (q, b, y, x) at 10 m, linear in time.

        Where a band of a pixel was never seen it is the band's mean; of Landsat's, what was seen of it within
        two cells, if anything was. On the device of the images.
        """
        some = next(iter(given.values()))
        rows, columns = size_at_10_m(self.config, given)
        out: dict[SensorId, Tensor] = {}
        for sensor in SENSORS:
            mean = self.get_buffer(f"{sensor}_mean").to(some.images.device)
            if sensor not in given:
                out[sensor] = mean[:, None, None].expand(len(query_days), -1, rows, columns)
                continue
            images, days, valid = given[sensor]
            valid = torch.ones_like(images, dtype=torch.bool) if valid is None else valid
            line = linear_in_time(images.float(), days, valid, query_days, mean)
            scale = self.config.scale(sensor)
            out[sensor] = line if scale == 1 else finer(filled_around(line, valid.any(0)), scale)
            if self.config.carried and opposite(sensor) in given:
                out[sensor][:, self.config.alike(sensor)] += self.carried(given, sensor, query_days)
        return out

    def carried(self, given: Mapping[SensorId, Series], sensor: SensorId, query_days: Tensor) -> Tensor:
        """What the other sensor tells beyond a sensor's line, its bands alike (q, b, y, x) at 10 m."""
        other, series = opposite(sensor), given[sensor]
        away, days = self.beyond_other(given, other), given[other].days
        alike = self.config.alike(sensor)
        own = (
            torch.ones_like(series.images[:, alike])
            if series.valid is None
            else series.valid[:, alike].float()
        )
        told = self.carry[sensor](
            away,
            days,
            on_grid_of(other, own, self.config.upscaling, "nearest"),
            series.days,
            query_days.to(days.device),
        )
        carried: Tensor = told if other == "hr" else finer(told, self.config.upscaling)
        return carried


def opposite(sensor: SensorId) -> SensorId:
    """The other of the two sensors."""
    return "hr" if sensor == "lr" else "lr"


def finer(images: Tensor, times: int, mode: str = "bicubic") -> Tensor:
    """Images (n, b, y, x) on a grid of pixels a few times as small, "bicubic" or "nearest"."""
    return F.interpolate(
        images, scale_factor=times, mode=mode, align_corners=None if mode == "nearest" else False
    )


def filled_around(images: Tensor, seen: Tensor) -> Tensor:
    """Images (n, b, y, x) in which what was never `seen` (b, y, x) takes after what was beside it.

    Else what stands there instead would reach into pixels that were seen as they are made finer.
    """
    if bool(seen.all()):
        return images
    known, side = seen.to(images), 2 * BICUBIC_PX + 1
    share = F.avg_pool2d(known[None], side, 1, BICUBIC_PX)
    near = F.avg_pool2d(images * known, side, 1, BICUBIC_PX) / share.clamp(min=1e-6)
    return torch.where(seen | (share == 0), images, near)


def line_of(series: Series, places: list[int], days: Tensor, other_days: bool = False) -> Tensor:
    """Some bands of a series, interpolated to days on its own grid; NaN where there is nothing to go by."""
    images = series.images[:, places].float()
    valid = torch.ones_like(images, dtype=torch.bool) if series.valid is None else series.valid[:, places]
    nothing = images.new_full((len(places),), torch.nan)
    return linear_in_time(images, series.days, valid, days, nothing, other_days)


def on_grid_of(sensor: SensorId, images: Tensor, upscaling: int, mode: str = "bicubic") -> Tensor:
    """The other sensor's images on a sensor's grid: the mean over its pixels, or finer; NaN spreads."""
    return F.avg_pool2d(images, upscaling) if sensor == "lr" else finer(images, upscaling, mode)


# --- what comes in

Given = tuple[Tensor | None, Tensor | None, Tensor | None]
"""A sensor's images, days and what is valid, as the caller has them."""


def checked(config: Config, *, lr: Given, hr: Given) -> dict[SensorId, Series]:
    """The series by sensor; InvalidCube unless they fit the network and one another."""
    given: dict[SensorId, Series] = {}
    for sensor, (images, days, valid) in zip(SENSORS, (lr, hr), strict=True):
        if images is None or not len(images):
            continue
        bands = len(config.bands(sensor))
        if images.ndim != 4 or images.shape[1] != bands:
            raise InvalidCube(f"{sensor} must be (t, {bands}, y, x), it is {tuple(images.shape)}")
        days = torch.as_tensor([] if days is None else days, device=images.device)
        if len(images) != len(days):
            raise InvalidCube(f"{sensor} has {len(images)} images and {len(days)} days; each needs its day")
        given[sensor] = Series(images, days, in_bands(valid, images, sensor))
    if not given:
        raise InvalidCube("predict needs images of at least one sensor, hr or lr; neither came")
    size_at_10_m(config, given)
    return given


def in_bands(valid: Tensor | None, images: Tensor, sensor: SensorId) -> Tensor | None:
    """What is valid (t, y, x) or (t, b, y, x) for each band; InvalidCube where it does not fit the images."""
    if valid is None:
        return None
    each = valid[:, None].expand(-1, images.shape[1], -1, -1) if valid.ndim == 3 else valid
    if each.shape != images.shape or each.dtype != torch.bool:
        raise InvalidCube(
            f"{sensor}_valid must be bool, (t, y, x) or (t, b, y, x) as the images {tuple(images.shape)}; it "
            f"is {valid.dtype}, {tuple(valid.shape)}"
        )
    return each


def size_at_10_m(config: Config, given: Mapping[SensorId, Series]) -> tuple[int, int]:
    """Rows and columns of the result; InvalidCube where the sensors differ."""
    sizes = {}
    for sensor, series in given.items():
        rows, columns = (size * config.scale(sensor) for size in series.images.shape[-2:])
        sizes[sensor] = rows, columns
    if len(set(sizes.values())) > 1:
        raise InvalidCube(
            f"an image of lr must cover that of hr, {config.upscaling} pixels of hr to one of lr: lr covers "
            f"{sizes['lr']} pixels of hr, hr has {sizes['hr']}"
        )
    return next(iter(sizes.values()))


def dates_with_tokens(given: Mapping[SensorId, Series]) -> dict[SensorId, Series]:
    """The series without dates on which nothing is valid, and without a mask where all is."""
    useful: dict[SensorId, Series] = {}
    for sensor, series in given.items():
        if series.valid is None or bool(series.valid.all()):
            useful[sensor] = series._replace(valid=None)
            continue
        some = series.valid.flatten(1).any(1)
        if bool(some.all()):
            useful[sensor] = series
        elif bool(some.any()):
            useful[sensor] = Series(series.images[some], series.days[some], series.valid[some])
    return useful


def tokens_seen(config: Config, given: Mapping[SensorId, Series]) -> Tensor | None:
    """Which dates are tokens of a pixel, those of `lr` first (y, x, t); None where all are."""
    parts = []
    for sensor, (images, _, valid) in given.items():
        any_band = torch.ones_like(images[:, 0], dtype=torch.bool) if valid is None else valid.any(1)
        scale = config.scale(sensor)
        parts.append(any_band.repeat_interleave(scale, 1).repeat_interleave(scale, 2))
    seen = torch.cat(parts).permute(1, 2, 0)
    return None if bool(seen.all()) else seen.contiguous()


def unseen(
    config: Config, given: Mapping[SensorId, Series], queries: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """The result where no pixel has any token."""
    rows, columns = size_at_10_m(config, given)
    lr, hr = (
        torch.full((queries, len(config.bands(sensor)), rows, columns), torch.nan, device=device)
        for sensor in SENSORS
    )
    return lr, hr
