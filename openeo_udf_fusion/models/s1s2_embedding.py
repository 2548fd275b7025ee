"""A few numbers per pixel and date out of Sentinel-1 and Sentinel-2, from which both can be drawn again.

Each sensor has an encoder of its own: convolutions over the frame, once per frame however many dates and
pixels ask for it, then sums over time around the queried day. Fusion makes one compact code of whichever
sensors there are, and a decoder per sensor reconstructs its bands from that code alone. A further sensor
needs its encoder and its decoder; fusion is trained anew, the encoders that exist stay as they are.

What radar tells best is change: where clouds hide a place from Sentinel-2, Sentinel-1's level on the day is
compared with its level on the days of the frames that Sentinel-2 has (`Contrast`).

After Peters et al. 2025 (arXiv 2511.11706): two stages, a small code, mirrored decoders. Theirs encodes
patches of 15 x 15 pixels and 11 frames for each centre pixel with attention; here neighbours in space and
time share the work, and time enters as distance in days alone, so that a code depends on what was observed
around its pixel and day and on nothing else: no batch, tile, order of dates or day of the chunk.

Axes: t frames, b bands, y, x; p pixels, q queried days, d features, k kernels in time, n numbers of a code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from torch import Tensor, nn

NO_EVIDENCE = 0.02
"""Weight of nothing at all in a mean over time: far from every frame the mean fades to zero."""
DAYS_UNIT = 10.0
LEVEL_PX = 2
"""Pixels to either side over which a level is averaged."""
CONTRAST_DAYS = (10.0, 30.0)
"""Over which days the frames of a sensor with a line count in what its witnesses are compared with."""
QUANTUM = 1 / 127
"""Step of a code stored as int8."""


@dataclass(frozen=True)
class SensorConfig:
    """What a sensor's encoder and decoder are made for.

    Attributes
    ----------
    id
        Of the sensor, the key of its frames.
    bands
        Names in the model's order.
    centre, spread
        Per band, mean and standard deviation of the training's valid values; the network works in those.
    lower, upper
        Per band, the physical range: values outside are clipped on their way in and out.
    reach_days
        Frames farther than this from a queried day do not count for it.
    code
        Numbers in the sensor's own code, that of stage 1.
    level_days
        Of a sensor that is a witness of change for the others, as radar is, which sees through clouds: its
        level is a mean over frames up to so many days away and over 5 x 5 pixels. 0 for the others.
    """

    id: str
    bands: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    reach_days: int
    code: int
    level_days: int = 0


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    sensors
        In the order in which they were added.
    code
        Numbers in the fused code.
    width
        Features per pixel and frame.
    dilations
        Of the 3 x 3 convolutions, one each; they add up to the receptive field.
    kernels, knots
        Bell curves in time over which frames are averaged, and points at which each is learned.
    token, hidden, decoder
        Widths of what a sensor tells the fusion, of the fusion and of the decoders.
    """

    sensors: tuple[SensorConfig, ...]
    code: int = 8
    width: int = 32
    dilations: tuple[int, ...] = (1, 2, 4)
    kernels: int = 8
    knots: int = 31
    token: int = 64
    hidden: int = 96
    decoder: int = 64
    fusion_blocks: int = 2

    @property
    def margin_px(self) -> int:
        """How far, in pixels, a code looks around its pixel."""
        return max(sum(self.dilations), LEVEL_PX)

    @property
    def pairs(self) -> tuple[tuple[SensorConfig, SensorConfig], ...]:
        """Sensors without a level, each with every sensor that has one: its witness."""
        lines, levels = ([s for s in self.sensors if (s.level_days > 0) == level] for level in (False, True))
        return tuple((line, level) for line in lines for level in levels)

    def support_days(self, name: str) -> int:
        """How far in days a code looks for frames of a sensor: for their own sake, or as a witness."""
        compared = [line.reach_days for line, level in self.pairs if level.id == name]
        return max(self.sensor(name).reach_days, *compared, 0)

    def sensor(self, name: str) -> SensorConfig:
        """The sensor of that id."""
        return next(sensor for sensor in self.sensors if sensor.id == name)


class Frames(NamedTuple):
    """Frames of one sensor in ascending order of their days.

    values (t, b, y, x) standardised and zero where not valid; valid (t, b, y, x); days (t,), float.
    """

    values: Tensor
    valid: Tensor
    days: Tensor


class Features(NamedTuple):
    """What the convolutions make of frames, in the layout of the sums over time.

    raw (t, p, b) standardised values; features (t, p, d); share (t, p): how much of a frame counts, 0 where
    nothing is valid; around (t, p, b + 1): the mean of the values over the pixels around, times how much of
    them is valid, and that; without channels for a sensor that has no level; days (t,).
    """

    raw: Tensor
    features: Tensor
    share: Tensor
    around: Tensor
    days: Tensor


class Told(NamedTuple):
    """What a sensor tells about the queried days.

    token (q, p, token); whether it saw anything (q, p); the circumstances (q, p, 5) as `bracket` has them.
    """

    token: Tensor
    present: Tensor
    circumstances: Tensor


# --- one sensor: space, then time


class FrameEncoder(nn.Module):
    """Convolutions over one frame that pixels without a valid value take no part in.

    They are zero at every layer, as are those beyond the frame's edge: an edge is a place where nothing was
    seen, and a cloud is too.
    """

    def __init__(self, bands: int, config: Config) -> None:
        super().__init__()
        width = config.width
        self.lift = nn.Conv2d(2 * bands, width, 1)
        self.around = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=step, dilation=step, groups=width) for step in config.dilations
        )
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.GELU(), nn.Conv2d(width, width, 1))
            for _ in config.dilations
        )
        self.certainty = nn.Conv2d(width, 1, 1)

    def forward(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Features (t, d, y, x) and the share of each pixel of a frame that counts (t, y, x), 0 to 1."""
        seen = valid.any(1, keepdim=True).to(values)
        x = F.gelu(self.lift(torch.cat([values, valid.to(values)], 1))) * seen
        for around, mix in zip(self.around, self.mix, strict=True):
            x = (x + mix(torch.cat([x, around(x)], 1))) * seen
        return x, (self.certainty(x).sigmoid() * seen)[:, 0]


def span(days: Tensor, query: Tensor, reach_days: int) -> slice:
    """The frames, by their ascending days (t,), that are within reach of some day (q,); one at least."""
    start = min(int((days < query.min() - reach_days).sum()), len(days) - 1)
    return slice(start, max(int((days <= query.max() + reach_days).sum()), start + 1))


class Kernels(nn.Module):
    """Weights over the distance in days, piecewise exponential between learned knots."""

    def __init__(self, config: Config, reach_days: int) -> None:
        super().__init__()
        self.reach_days, self.knots = reach_days, config.knots
        at = torch.linspace(-1, 1, config.knots)
        count = config.kernels
        # A half look back, at the day and ahead; the others see the whole reach, ever more evenly.
        centre = torch.tensor([(0.0, -0.12, 0.12, -0.4, 0.4, 0.0, -0.75, 0.75)[k % 8] for k in range(count)])
        width = torch.tensor([(0.07, 0.1, 0.1, 0.2, 0.2, 0.4, 0.25, 0.25)[k % 8] for k in range(count)])
        bell = -0.5 * ((at - centre[:, None]) / width[:, None]).square()
        self.log_weight = nn.Parameter(bell.clamp(min=-6.0))

    def forward(self, away: Tensor) -> Tensor:
        """Weights (k, q, t) at distances (q, t) in days; zero beyond the reach."""
        position = (away / self.reach_days).clamp(-1, 1).add(1).mul((self.knots - 1) / 2)
        left = position.floor().long().clamp(max=self.knots - 2)
        log_weight = torch.lerp(self.log_weight[:, left], self.log_weight[:, left + 1], position - left)
        return log_weight.clamp(max=2.0).exp() * (away.abs() <= self.reach_days)


def taper(away: Tensor, reach_days: float) -> Tensor:
    """From 1 on the day itself smoothly to 0 at the reach: nothing enters or leaves with a jump."""
    return (1 - (away / reach_days).square()).clamp(min=0).square()


class SensorEncoder(nn.Module):
    """Frames of one sensor -> a token per queried day and pixel, and the sensor's own code.

    A token knows the line between the nearest valid frames before and after the day, in bands and in
    features, and the means of the features under each kernel in time.
    """

    def __init__(self, sensor: SensorConfig, config: Config) -> None:
        super().__init__()
        bands, width, kernels = len(sensor.bands), config.width, config.kernels
        self.reach_days, self.level_days = sensor.reach_days, sensor.level_days
        self.frame = FrameEncoder(bands, config)
        self.kernels = Kernels(config, sensor.reach_days)
        self.bundle = nn.Linear(kernels * width, config.token)
        told = 2 * (bands + width) + 5 + config.token + kernels
        self.first = nn.Linear(told, config.hidden)
        self.second = nn.Linear(config.hidden, config.token)
        self.line = nn.Linear(bands, config.token)
        self.dropout = nn.Dropout(0.0)  # training sets its rate
        self.code = nn.Linear(config.token, sensor.code)

    def encode(self, frames: Frames, query: Tensor) -> Features:
        """Convolve every frame once that counts for one of the queried days (q,); others stay without."""
        near = span(frames.days, query, self.reach_days)
        features, share = self.frame(frames.values[near], frames.valid[near])
        around = (near.start, len(frames.days) - near.stop)
        features, share = F.pad(features, (0,) * 6 + around), F.pad(share, (0,) * 4 + around)
        return Features(
            rearrange(frames.values, "t b y x -> t (y x) b"),
            rearrange(features, "t d y x -> t (y x) d"),
            rearrange(share, "t y x -> t (y x)"),
            rearrange(self.around(frames.values, frames.valid), "t b y x -> t (y x) b"),
            frames.days,
        )

    def around(self, values: Tensor, valid: Tensor) -> Tensor:
        """What a level is made of, (t, b + 1, y, x); see `Features`."""
        if not self.level_days:
            return values[:, :0]
        seen = valid.all(1, keepdim=True).to(values)
        together = torch.cat([values * seen, seen], 1)
        return F.avg_pool2d(together, 2 * LEVEL_PX + 1, stride=1, padding=LEVEL_PX)

    def level(self, known: Features, query: Tensor) -> Tensor:
        """The level (q, p, b) on the queried days, and last how much it rests on: (q, p, b + 1)."""
        weight = taper(known.days - query[:, None], self.level_days)
        sums = torch.einsum("qt,tpb->qpb", weight, known.around)
        mass = sums[..., -1:]
        return torch.cat([sums[..., :-1] / (mass + NO_EVIDENCE), mass / (mass + NO_EVIDENCE)], -1)

    def forward(self, known: Features, query: Tensor) -> Told:
        """Sum over time around the queried days (q,)."""
        near = span(known.days, query, self.reach_days)
        known = Features(*(part[near] for part in known))
        away = known.days - query[:, None]  # (q t)
        weighted = torch.cat([known.features, torch.ones_like(known.features[..., :1])], -1)
        weighted = weighted * known.share[..., None]
        sums = torch.einsum("kqt,tpd->qpkd", self.kernels(away), weighted)
        mass = sums[..., -1:]
        means = sums[..., :-1] / (mass + NO_EVIDENCE)
        line, step, circumstances = bracket(known, away, self.reach_days)
        present = circumstances[..., :2].amax(-1) > 0
        told = torch.cat(
            [
                line,
                step,
                circumstances,
                F.gelu(self.bundle(means.flatten(2))),
                (mass[..., 0] + NO_EVIDENCE).log() / 4,
            ],
            -1,
        )
        bands = known.raw.shape[-1]
        token = self.second(self.dropout(F.gelu(self.first(told)))) + self.line(line[..., :bands])
        return Told(token, present, circumstances)


def bracket(known: Features, away: Tensor, reach_days: int) -> tuple[Tensor, Tensor, Tensor]:
    """The line in time between a pixel's nearest valid frames, in bands and features.

    Returns the value on the line (q, p, b + d), the step from the frame before to that after (q, p, b + d),
    and circumstances (q, p, 5): whether there is a frame before and after, the distances to them, and where
    between them the day lies. With one of them missing the other stands for both; with none all is zero.
    """
    frames = len(known.days)
    number = torch.arange(frames, device=away.device)[:, None]
    seen = known.share > 0  # (t p)
    last = torch.where(seen, number, -1).cummax(0).values
    following = torch.where(seen, number, frames).flip(0).cummin(0).values.flip(0)
    before = torch.cat([torch.full_like(last[:1], -1), last])[(away <= 0).sum(1)]  # (q p)
    after = torch.cat([following, torch.full_like(last[:1], frames)])[(away < 0).sum(1)]
    days_before = gather_days(away, before, before >= 0)
    days_after = gather_days(away, after, after < frames)
    is_before, is_after = days_before <= reach_days, days_after <= reach_days
    start = torch.where(is_before, before, torch.where(is_after, after, 0)).clamp(max=frames - 1)
    end = torch.where(is_after, after, start).clamp(max=frames - 1)
    both = is_before & is_after & (end != start)
    span = torch.where(both, days_before + days_after, 1.0)
    fraction = torch.where(both, days_before / span, 0.0)[..., None]
    everything = torch.cat([known.raw, known.features], -1)
    any_of_them = (is_before | is_after).to(fraction)[..., None]
    first, second = (pick(everything, chosen) * any_of_them for chosen in (start, end))
    circumstances = torch.stack(
        [
            is_before.to(fraction),
            is_after.to(fraction),
            torch.log1p(torch.where(is_before, days_before, 0.0) / DAYS_UNIT),
            torch.log1p(torch.where(is_after, days_after, 0.0) / DAYS_UNIT),
            fraction[..., 0],
        ],
        -1,
    )
    return torch.lerp(first, second, fraction), second - first, circumstances


def gather_days(away: Tensor, chosen: Tensor, exists: Tensor) -> Tensor:
    """Distances (q, p) in days to the chosen frames; infinite where there is none."""
    distance = away.abs().gather(1, chosen.clamp(0, away.shape[1] - 1))
    return torch.where(exists, distance, torch.inf)


def pick(series: Tensor, chosen: Tensor) -> Tensor:
    """Values (q, p, c) of a series (t, p, c) in the frames chosen (q, p)."""
    return series[chosen, torch.arange(series.shape[1], device=series.device)]


# --- all sensors


class Block(nn.Module):
    """A residual perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return x + cast(Tensor, self.down(self.dropout(F.gelu(self.up(self.norm(x))))))


class Contrast(nn.Module):
    """What a witness tells about a sensor's gap: its change since the frames that the sensor has.

    The witness's level on the queried day is compared with its own level on the days of the sensor's frames,
    weighted by their distance: what changed while the sensor saw nothing. Speckle, incidence and roughness,
    which do not change, drop out.
    """

    def __init__(self, line: SensorConfig, level: SensorConfig, config: Config) -> None:
        super().__init__()
        self.reach_days = line.reach_days - level.level_days
        told = len(CONTRAST_DAYS) * len(level.bands) * 3
        self.hidden = nn.Linear(told, config.hidden)
        self.code = nn.Linear(told, config.code, bias=False)
        for layer in (self.hidden, self.code):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.hidden.bias)

    def forward(
        self, line: Features, at_line: Tensor, now: Tensor, query: Tensor, circumstances: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Corrections of the fusion's state (q, p, hidden) and of the code (q, p, n).

        `at_line` (t, p, b + 1) and `now` (q, p, b + 1): the witness's level on the days of the sensor's
        frames and on the queried ones; `circumstances` of the sensor's gap as `Told` has them.
        """
        change = self.change(line, at_line, now, query)
        seen, away = circumstances[..., :2], circumstances[..., 2:4].expm1()
        near, far = torch.where(seen > 0, away / (away + 1), 1.0).sort(-1).values.unbind(-1)
        told = torch.cat([change, change * near[..., None], change * (near * far)[..., None]], -1)
        return self.hidden(told), self.code(told)

    def change(self, line: Features, at_line: Tensor, now: Tensor, query: Tensor) -> Tensor:
        """The witness's change (q, p, kernels b), in so far as it is known."""
        away = (line.days - query[:, None]).abs()  # (q t)
        known = (line.share > 0).to(at_line)[..., None] * at_line[..., -1:]  # (t p 1)
        together = torch.cat([at_line[..., :-1] * known, known], -1)
        found = []
        for days in CONTRAST_DAYS:
            weight = torch.exp(-away / days) * taper(away, self.reach_days)
            sums = torch.einsum("qt,tpb->qpb", weight, together)
            mass = sums[..., -1:]
            # mass x now - sums, over mass: zero where nothing is known, without a jump.
            found.append((now[..., :-1] * mass - sums[..., :-1]) / (mass + NO_EVIDENCE) * now[..., -1:])
        return torch.cat(found, -1)


class Fusion(nn.Module):
    """Tokens of whichever sensors there are, and the witnesses' contrasts -> one code within -1..1."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.join = nn.ModuleDict({s.id: nn.Linear(config.token, config.hidden) for s in config.sensors})
        self.absent = nn.ParameterDict(
            {s.id: nn.Parameter(torch.zeros(config.hidden)) for s in config.sensors}
        )
        self.contrasts = nn.ModuleDict({f"{a.id}_{b.id}": Contrast(a, b, config) for a, b in config.pairs})
        self.blocks = nn.ModuleList(Block(config.hidden) for _ in range(config.fusion_blocks))
        self.code = nn.Linear(config.hidden, config.code)

    def forward(self, told: Mapping[str, Told], corrections: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Codes (q, p, n); `told` has every sensor, if only to say that it saw nothing."""
        parts = [
            torch.where(told[s].present[..., None], self.join[s](told[s].token), self.absent[s])
            for s in self.join
        ]
        x = torch.stack([*parts, *(state for state, _ in corrections)]).sum(0)
        for block in self.blocks:
            x = block(x)
        return torch.stack([self.code(x), *(line for _, line in corrections)]).sum(0).tanh()


class Decoder(nn.Module):
    """A code -> a sensor's bands, standardised: a line and a bend."""

    def __init__(self, code: int, bands: int, config: Config) -> None:
        super().__init__()
        self.line = nn.Linear(code, bands)
        self.bend = nn.Sequential(
            nn.Linear(code, config.decoder),
            nn.GELU(),
            nn.Linear(config.decoder, config.decoder),
            nn.GELU(),
            nn.Linear(config.decoder, bands),
        )

    def forward(self, code: Tensor) -> Tensor:
        """(..., n) -> (..., b)."""
        return cast(Tensor, self.line(code) + self.bend(code))


class S1S2Embedding(nn.Module):
    """Encoders, their own decoders (stage 1), fusion and the decoders of the fused code (stage 2)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleDict({s.id: SensorEncoder(s, config) for s in config.sensors})
        self.own_decoders = nn.ModuleDict(
            {s.id: Decoder(s.code, len(s.bands), config) for s in config.sensors}
        )
        self.fusion = Fusion(config)
        self.decoders = nn.ModuleDict(
            {s.id: Decoder(config.code, len(s.bands), config) for s in config.sensors}
        )

    def encoder(self, sensor: str) -> SensorEncoder:
        """The encoder of a sensor."""
        return cast(SensorEncoder, self.encoders[sensor])

    def tell(self, frames: Mapping[str, Frames], query: Tensor) -> dict[str, Told]:
        """What each sensor that has frames tells about the queried days (q,)."""
        return {s: self.encoder(s)(known, query) for s, known in self.encode(frames, query).items()}

    def encode(self, frames: Mapping[str, Frames], query: Tensor) -> dict[str, Features]:
        """Features of the frames of each sensor for the queried days (q,)."""
        return {s: self.encoder(s).encode(f, query) for s, f in frames.items()}

    def own_code(self, sensor: str, told: Told) -> Tensor:
        """The code (q, p, n) of one sensor alone, within -1..1."""
        return cast(Tensor, self.encoder(sensor).code(told.token)).tanh()

    def fuse(self, known: Mapping[str, Features], told: Mapping[str, Told], query: Tensor) -> Tensor:
        """The fused code (q, p, n); sensors without frames may be left out, but not all of them."""
        some = next(iter(told.values()))
        nothing = Told(*(torch.zeros_like(part) for part in some))
        everyone = {s.id: told.get(s.id, nothing) for s in self.config.sensors}
        return cast(Tensor, self.fusion(everyone, self.corrections(known, told, query)))

    def corrections(
        self, known: Mapping[str, Features], told: Mapping[str, Told], query: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """What the witnesses tell about the gaps of the sensors that they can be compared with."""
        found = []
        for line, level in self.config.pairs:
            if line.id in known and level.id in known:
                witness = self.encoder(level.id)
                contrast = cast(Contrast, self.fusion.contrasts[f"{line.id}_{level.id}"])
                at_line = witness.level(known[level.id], known[line.id].days)
                now = witness.level(known[level.id], query)
                found.append(contrast(known[line.id], at_line, now, query, told[line.id].circumstances))
        return found

    def decode(self, code: Tensor, sensor: str) -> Tensor:
        """The sensor's standardised bands (q, p, b) from the fused code."""
        return cast(Tensor, self.decoders[sensor](code))

    def forward(self, frames: Mapping[str, Frames], query: Tensor) -> Tensor:
        """The fused code (q, p, n) of the queried days."""
        known = self.encode(frames, query)
        return self.fuse(known, {s: self.encoder(s)(f, query) for s, f in known.items()}, query)


def with_sensor(model: S1S2Embedding, sensor: SensorConfig) -> S1S2Embedding:
    """A network with one more sensor, whose encoder, decoder and door to the fusion are fresh.

    All that the network has is kept; to teach the new one train `parts_to_train`.
    """
    grown = S1S2Embedding(replace(model.config, sensors=(*model.config.sensors, sensor)))
    grown.load_state_dict(grown.state_dict() | model.state_dict())
    return grown


def with_witness(model: S1S2Embedding, sensor: str, level_days: int) -> S1S2Embedding:
    """A network in which one of the sensors is a witness of change for the others.

    All that the network has is kept, and a fresh `Contrast` corrects nothing: the codes are the same.
    """
    sensors = tuple(replace(s, level_days=level_days) if s.id == sensor else s for s in model.config.sensors)
    grown = S1S2Embedding(replace(model.config, sensors=sensors))
    grown.load_state_dict(grown.state_dict() | model.state_dict())
    return grown


def parts_to_train(model: S1S2Embedding, new: Sequence[str]) -> list[nn.Parameter]:
    """Freeze the encoders of all sensors but the new ones, and return what remains to be trained.

    Fusion and the decoders of the fused code remain, for the code gets another meaning: an embedding with
    one more sensor is another embedding, with a card of its own.
    """
    model.requires_grad_(True)
    for name, encoder in model.encoders.items():
        if name not in new:
            encoder.requires_grad_(False)
            model.own_decoders[name].requires_grad_(False)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
