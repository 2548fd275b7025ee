"""SatFuseNet: two sensors' reflectance series in one latent series, and either sensor's out of it.

Pixel by pixel, days in, days out. Observations of both sensors lie on a daily grid; each sensor's
encoder reads twelve days of it into a latent every four days; the latents attend to one another;
a decoder reads the latents next to a queried day and corrects a simple base: the sensor's own value
on that day, else the other sensor's translated, else the interpolation in time between the nearest two.

After Hamdi et al., "Shared-Latent-Space Transformer for Multi-Sensor Harmonization in EO" (poster). Sizes,
masks and the base are this project's: the poster gives none.

Axes: p pixels, t days of the grid, b bands, l latents, k keys, h heads, q queried days, d width.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from torch import Tensor, nn

from openeo_udf_fusion.models.merging import Grid, Merge, Merged, around, interpolate, roughness

SensorId = Literal["modis", "viirs"]
OTHER: Mapping[str, SensorId] = {"modis": "viirs", "viirs": "modis"}
DAYS_PER_YEAR = 365.2425
REFLECTANCE_UNIT = 0.1
"""Differences of reflectance enter the network in tenths, where they are of order one."""
ROUGHNESS_UNIT = 0.01


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    modis, viirs
        Band names in the model's order.
    modis_partner, viirs_partner
        For each band the index of the other sensor's nearest band.
    bin_days
        Days per latent; bins are anchored at 1970-01-01, so that a day's bin never depends on the chunk.
    reach_bins
        Attention sees this many bins to either side, which keeps the cost linear in the window's length.
    tau_days
        Shortest and longest decay of the heads' attention with time, log-spaced in between.
    smoothing_limit
        How far, in the model's own spreads, the mean of the days around may draw a value at most.
    lower, upper, softness
        Physical range of reflectance, and the width over which a value bends into it.
    """

    modis: tuple[str, ...] = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
    viirs: tuple[str, ...] = ("I1", "I2", "M3", "M4", "M5", "M8", "M10", "M11")
    modis_partner: tuple[int, ...] = (0, 1, 2, 3, 5, 6, 7)
    viirs_partner: tuple[int, ...] = (0, 1, 2, 3, 0, 4, 5, 6)
    bin_days: int = 4
    width: int = 64
    layers: int = 4
    heads: int = 4
    mlp: int = 128
    decoder: int = 64
    reach_bins: int = 46
    tau_days: tuple[float, float] = (2.0, 365.0)
    harmonics: int = 4
    lower: float = -0.01
    upper: float = 1.6
    softness: float = 0.003
    sigma_min: float = 0.001
    smoothing_limit: float = 0.5

    def bands(self, sensor: str) -> tuple[str, ...]:
        """Band names of a sensor."""
        return self.modis if sensor == "modis" else self.viirs

    def partner(self, sensor: str) -> tuple[int, ...]:
        """For each band of the sensor the index of the other sensor's nearest band."""
        return self.modis_partner if sensor == "modis" else self.viirs_partner


class Estimate(NamedTuple):
    """A normal distribution per cell, not yet bent into the physical range, and its base; all (p, q, b)."""

    location: Tensor
    sigma: Tensor
    base: Tensor
    days_before: Tensor
    days_after: Tensor


# --- the latent series


class Encoder(nn.Module):
    """One sensor's twelve days around each four-day bin -> its share of that bin's latent."""

    def __init__(self, bands: int, config: Config) -> None:
        super().__init__()
        self.bin_days = config.bin_days
        self.read = nn.Linear(3 * config.bin_days * 2 * bands, config.width)
        self.write = nn.Linear(config.width, config.width, bias=False)

    def forward(self, grid: Grid, centre: Tensor) -> tuple[Tensor, Tensor]:
        """The share (p, l, d), zero where the sensor saw nothing, and whether it saw something (p, l)."""
        anomaly = (grid.values - centre[:, None]) * (1 / REFLECTANCE_UNIT)
        days = torch.cat([torch.where(grid.valid, anomaly, 0.0), grid.valid.to(anomaly)], -1)
        bins = rearrange(days, "p (l n) c -> p l (n c)", n=self.bin_days)
        wide = with_neighbours(bins)  # (p l 3nc)
        seen = with_neighbours(rearrange(grid.valid, "p (l n) b -> p l (n b)", n=self.bin_days).any(-1, True))
        seen = seen.any(-1)  # (p l)
        return self.write(F.gelu(self.read(wide))) * seen[..., None], seen


def with_neighbours(bins: Tensor) -> Tensor:
    """Each bin beside the one before and the one after it: (p, l, c) -> (p, l, 3c)."""
    padded = F.pad(bins, (0, 0, 1, 1))
    return torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], -1)


class Attention(nn.Module):
    """Attention over time; besides the bins there is one learned key that is always there."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.project = nn.Linear(config.width, 3 * config.width, bias=False)
        self.always = nn.Parameter(torch.zeros(2, config.heads, 1, config.width // config.heads))
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, z: Tensor, reach: "Reach | GatheredReach") -> Tensor:
        """Latents (p, l, d) -> (p, l, d)."""
        q, k, v = rearrange(self.project(z), "p l (three h d) -> three p h l d", three=3, h=self.heads)
        mixed = reach.attend(q, k, v, self.always.to(q))
        together: Tensor = self.out(rearrange(mixed, "p h l d -> p l (h d)"))
        return together


class Reach:
    """Who may attend to whom, and how strongly time alone weighs: blocks of rows with their keys.

    The bias is -|dt| / tau of the head within the reach. A bin in whose neighbourhood nothing was observed is
    no key, so that an empty stretch of days changes nothing. Blocks of rows see only the keys within their
    reach: what they leave out has weight zero anyhow, and so cost grows linearly with time.
    """

    def __init__(self, seen: Tensor, config: Config) -> None:
        bins, reach = seen.shape[1], config.reach_bins
        rows = 2 * reach
        self.blocks: list[tuple[slice, slice, Tensor]] = []
        for start in range(0, bins, rows):
            stop = min(start + rows, bins)
            keys = slice(max(0, start - reach), min(bins, stop + reach))
            here = torch.arange(start, stop, device=seen.device)
            there = torch.arange(keys.start, keys.stop, device=seen.device)
            bias = fading(here[:, None] - there, config)  # (h l k)
            near = seen[:, None, None, keys]  # (p 1 1 k)
            if bool(near.all()):
                near = near[:1]  # one mask serves the whole batch
            bias = torch.where(near, bias, -torch.inf)
            self.blocks.append((slice(start, stop), keys, F.pad(bias, (0, 1))))  # the learned key: no bias

    def attend(self, q: Tensor, k: Tensor, v: Tensor, always: Tensor) -> Tensor:
        """What each bin takes of those it may see (p, h, l, d); `always` (2, h, 1, d): one key and value."""
        always = always.unsqueeze(1).expand(-1, len(q), -1, -1, -1)  # (2 p h 1 d)
        mixed = []
        for rows, keys, bias in self.blocks:
            k_near = torch.cat([k[:, :, keys], always[0]], 2)
            v_near = torch.cat([v[:, :, keys], always[1]], 2)
            near = bias.to(q).expand(len(q), -1, -1, -1)
            mixed.append(F.scaled_dot_product_attention(q[:, :, rows], k_near, v_near, attn_mask=near))
        return torch.cat(mixed, 2)


class GatheredReach:
    """`Reach` for a graph that serves any number of bins: all blocks at once, by the places of their bins.

    `rows` (n, r) and `keys` (n, k) are the bins of each block, `models.series.Blocks`; rows may repeat behind
    the last bin. `Reach` stays beside it, since torch fuses attention over slices, and a graph has
    no slices whose number depends on the series; the export is refused where the two differ.
    """

    def __init__(self, seen: Tensor, config: Config, rows: Tensor, keys: Tensor) -> None:
        self.rows, self.keys, self.bins = rows, keys, seen.shape[1]
        bias = fading(rows[:, :, None] - keys[:, None, :], config)  # (h n r k)
        near = seen.index_select(1, keys.flatten()).view(
            -1, 1, keys.shape[0], 1, keys.shape[1]
        )  # (p 1 n 1 k)
        self.bias = F.pad(torch.where(near, bias, -torch.inf), (0, 1))  # (p h n r k+1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, always: Tensor) -> Tensor:
        """As `Reach.attend`."""
        pixels, blocks = q.shape[0], self.keys.shape[0]  # len() would be a constant in the graph
        always = always[:, None, :, None].expand(-1, pixels, -1, blocks, -1, -1)  # (2 p h n 1 d)
        q, k, v = (self._blocks(each, at) for each, at in ((q, self.rows), (k, self.keys), (v, self.keys)))
        k, v = torch.cat([k, always[0]], 3), torch.cat([v, always[1]], 3)
        weight = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + self.bias).softmax(-1)
        return (weight @ v).flatten(2, 3)[:, :, : self.bins]

    def _blocks(self, series: Tensor, at: Tensor) -> Tensor:
        """(p, h, l, d) -> (p, h, n, r, d)."""
        return series.index_select(2, at.flatten()).view(*series.shape[:2], *at.shape, series.shape[3])


def fading(bins_away: Tensor, config: Config) -> Tensor:
    """The bias (h, ...) that time alone gives to a key so many bins away."""
    low, high = (math.log(tau) for tau in config.tau_days)
    tau = torch.linspace(low, high, config.heads, device=bins_away.device).exp() / config.bin_days
    distance = bins_away.abs()
    bias = -distance / tau.view(-1, *(1,) * distance.dim())
    return bias.masked_fill(distance > config.reach_bins, -torch.inf)


class Block(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm_time = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = Attention(config)
        self.norm_width = nn.RMSNorm(config.width, eps=1e-6)
        self.up = nn.Linear(config.width, config.mlp)
        self.down = nn.Linear(config.mlp, config.width)

    def forward(self, z: Tensor, reach: Reach | GatheredReach) -> Tensor:
        """Latents (p, l, d) -> (p, l, d)."""
        z = z + self.attention(self.norm_time(z), reach)
        wide = F.gelu(self.up(self.norm_width(z)))
        return z + cast(Tensor, self.down(wide))


# --- out of the latent series


class Decoder(nn.Module):
    """Latents next to a queried day and the base's circumstances -> how to correct the base, per band."""

    def __init__(self, bands: int, config: Config) -> None:
        super().__init__()
        self.bin_days = config.bin_days
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        self.latent = nn.Linear(config.width, config.decoder)
        self.circumstances = nn.Linear(11 * bands, config.decoder, bias=False)
        self.phase = nn.Parameter(torch.zeros(config.bin_days, config.decoder))
        self.mix = nn.Linear(config.decoder, config.decoder)
        self.head = nn.Linear(config.decoder, 3 * bands)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias[:bands], 0.0)
        nn.init.constant_(self.head.bias[bands:], -2.0)  # a small spread, and hardly any smoothing

    def forward(self, z: Tensor, query: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Correction in units of the spread, raw spread, raw share of smoothing: all (p, q, b)."""
        latent = self.latent(self.norm(z))  # (p l d)
        position = (query - (self.bin_days - 1) / 2) / self.bin_days
        left = position.floor().long()
        right_share = (position - left)[:, None].to(latent)
        near = torch.lerp(
            latent.index_select(1, left), latent.index_select(1, left + 1), right_share
        )  # (p q d)
        phase = self.phase[query % self.bin_days].to(latent)
        hidden = F.gelu(near + self.circumstances(known) + phase)
        correction, spread, smoothing = self.head(F.gelu(self.mix(hidden))).float().chunk(3, -1)
        return correction, spread, smoothing


class SatFuseNet(nn.Module):
    """Both sensors' daily grids and the queried days in, a distribution per band of one sensor out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        sizes = {sensor: len(config.bands(sensor)) for sensor in OTHER}
        self.merge = nn.ModuleDict({s: Merge(sizes[OTHER[s]], sizes[s], config.partner(s)) for s in OTHER})
        self.encoder = nn.ModuleDict({s: Encoder(sizes[s], config) for s in OTHER})
        self.context = nn.Linear(2 * sum(sizes.values()), config.width)
        self.season = nn.Linear(2 * config.harmonics, config.width, bias=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.decoder = nn.ModuleDict({s: Decoder(sizes[s], config) for s in OTHER})

    def merge_into(self, sensor: str) -> Merge:
        """How the other sensor's series joins this one's."""
        return cast(Merge, self.merge[sensor])

    def centres(self, grids: Mapping[str, Grid]) -> dict[str, Tensor]:
        """Mean reflectance (p, b) of each sensor's bands over the days that either sensor saw."""
        total = {s: g.values.sum(1) for s, g in grids.items()}
        count = {s: g.valid.sum(1) for s, g in grids.items()}
        centres = {}
        for sensor, other in OTHER.items():
            partner = list(self.config.partner(sensor))
            translate = self.merge_into(sensor).translate
            lent = count[other][:, partner]
            moved = total[other][:, partner] * translate.slope + translate.offset * lent
            days = count[sensor] + lent
            mean = (total[sensor] + moved) / days.clamp(min=1)
            centres[sensor] = torch.where(days > 0, mean, self.merge_into(sensor).climatology)
        return centres

    def encode(
        self,
        grids: Mapping[str, Grid],
        first_day: Tensor,
        reach_of: Callable[[Tensor, Config], Reach | GatheredReach] = Reach,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents (p, l, d) and the centres. `first_day` (p,) or (1,): a bin's first day since 1970-01-01."""
        config = self.config
        centres = self.centres(grids)
        shares = {s: self.encoder[s](grids[s], centres[s]) for s in OTHER}
        seen = shares["modis"][1] | shares["viirs"][1]
        known = [grids[s].valid.any(1).float() for s in OTHER]
        context = torch.cat([*centres.values(), *known], -1)
        bins = torch.arange(seen.shape[1], device=seen.device) + 0.5
        year = (first_day[:, None] + bins * config.bin_days) * (2 * math.pi / DAYS_PER_YEAR)  # (p l)
        turns = year[..., None] * torch.arange(1, config.harmonics + 1, device=year.device)
        season = self.season(torch.cat([turns.sin(), turns.cos()], -1).float())
        z = shares["modis"][0] + shares["viirs"][0] + self.context(context)[:, None] + season
        z = z.float()  # under autocast the sums along the layers stay exact
        reach = reach_of(seen, config)
        for block in self.blocks:
            z = block(z, reach)
        return z, centres

    def decode(
        self, z: Tensor, centres: Mapping[str, Tensor], grids: Mapping[str, Grid], query: Tensor, target: str
    ) -> Estimate:
        """The target's distribution on the queried positions (q,) of the grid; needs a bin to either side."""
        own, other = grids[target], grids[OTHER[target]]
        with torch.autocast(z.device.type, enabled=False):
            merged: Merged = self.merge_into(target)(own, other)
            base = interpolate(merged.grid, query, self.merge_into(target).climatology)
            mean, share = around(merged.grid)
            rough = roughness(merged.grid, mean)
            mean, share = mean.index_select(1, query), share.index_select(1, query)
            to_mean = torch.where(share > 0, mean - base.estimate, 0.0)
            known = torch.cat(
                [
                    (base.estimate - centres[target][:, None]) / REFLECTANCE_UNIT,
                    base.estimate / REFLECTANCE_UNIT,
                    base.step / REFLECTANCE_UNIT,
                    torch.log1p(base.days_before) / 3,
                    torch.log1p(base.days_after) / 3,
                    own.valid.index_select(1, query).float(),
                    merged.peculiar.index_select(1, query) / REFLECTANCE_UNIT,
                    torch.log1p(merged.days_away.index_select(1, query)) / 3,
                    to_mean / REFLECTANCE_UNIT,
                    share,
                    (rough / ROUGHNESS_UNIT).expand_as(share),
                ],
                -1,
            )
        correction, spread, smoothing = self.decoder[target](z, query, known)
        sigma = self.config.sigma_min + 0.05 * F.softplus(spread)
        # What is far beyond the spread is an event, snow say, and no noise: it is not smoothed away.
        most = self.config.smoothing_limit * sigma
        smoothed = most * torch.tanh(to_mean / most)
        location = base.estimate + smoothing.sigmoid() * smoothed + correction * sigma
        return Estimate(location, sigma, base.estimate, base.days_before, base.days_after)

    def forward(self, grids: Mapping[str, Grid], first_day: Tensor, query: Tensor, target: str) -> Estimate:
        """Encode both sensors' grids and decode one of them; see `encode` and `decode`."""
        z, centres = self.encode(grids, first_day)
        return self.decode(z, centres, grids, query, target)

    def into_range(self, values: Tensor) -> Tensor:
        """Bend values into the physical range: monotone, and the identity but for its very edges."""
        low, high, soft = self.config.lower, self.config.upper, self.config.softness
        lower_half = values < (low + high) / 2
        inside = soft * F.softplus(torch.where(lower_half, values - low, high - values) / soft)
        return torch.where(lower_half, low + inside, high - inside).clamp(low, high)
