"""U-TILISE: gaps of a Sentinel-2 series filled from its other dates, sequence to sequence.

Stucker et al. 2023, doi:10.1109/TGRS.2023.3298877, whose widths are the default Config; written from the
paper. An encoder shared by all dates makes features of ever larger pixels; at the largest the dates attend to
one another; the same weights, interpolated, mix the dates' features at each finer size; a decoder makes
images of them.

Where this version deviates: dates are irregular, and a day asked for that has no image enters as an empty
one; missing values enter as the mean beside a mask of what is there (in the paper as 1, without a mask);
what saw nothing of a cell is not attended to, so empty images do not change others; features are normalised
pixel by pixel, so a tile equals the whole; a long series is answered in blocks of days. As in the paper, all
pixels are made anew: what was seen comes back approximately, not as it was.

Axes: n or t images, q queried ones, b bands, c features, h heads, y and x pixels or cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from openeo_udf_fusion.errors import InvalidCube

Values = NDArray[np.float32]
Days = NDArray[np.int64]
TILE_PX = 128
"""Kept of each tile; its margin comes on top."""
NOT_SEEN = -1e9
"""The score of what must not be attended to."""


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    bands
        Of an image, in order.
    widths
        Features at each size of pixel; each is twice as large as the one before.
    heads, key_width
        Of the attention along time; every width is a multiple of `heads`.
    longest_days
        The longest period of the code of a day.
    block_days, support_days
        Days are answered in blocks of so many, each from the images within so many days of it.
    centre, spread
        Reflectance that counts as 0, and what counts as 1 above it, one number per band.
    """

    bands: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    widths: tuple[int, ...] = (64, 64, 64, 128)
    heads: int = 4
    key_width: int = 4
    longest_days: float = 1000.0
    block_days: int = 60
    support_days: int = 90
    centre: tuple[float, ...] = (0.0,) * 10
    spread: tuple[float, ...] = (1.0,) * 10

    @property
    def cell_px(self) -> int:
        """Side of what attends to other dates as one."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def margin_px(self) -> int:
        """How far around a pixel the network looks at most, in whole cells."""
        last = self.cell_px
        encoder = 2 * (2 * last - 1) + 2 * (last - 1)  # blocks, steps to larger pixels
        decoder = 2 * (last - 1) + 2 * (last - 1)  # blocks, steps to smaller pixels
        return -(-(encoder + decoder + 2 * last) // last) * last  # and weights: interpolated, of whole cells


class PixelNorm(nn.Module):
    """Bring each pixel's features to mean 0 and spread 1, then to learned ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, y, x) -> the same shape."""
        out: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


def normalised(layer: nn.Module, width: int) -> nn.Sequential:
    """A layer, norm and rectifier."""
    return nn.Sequential(layer, PixelNorm(width), nn.ReLU())


class Block(nn.Module):
    """A convolution, then one beside a shortcut."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = normalised(nn.Conv2d(inputs, width, 3, padding=1), width)
        self.second = normalised(nn.Conv2d(width, width, 3, padding=1), width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, y, x) -> (n, width, y, x)."""
        z = self.first(x)
        out: Tensor = z + self.second(z)
        return out


class Encoder(nn.Module):
    """An image -> its features at each size of pixel."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.start = Block(2 * len(config.bands), config.widths[0])
        self.larger = nn.ModuleList(
            nn.Sequential(normalised(nn.Conv2d(a, a, 4, stride=2, padding=1), a), Block(a, b))
            for a, b in pairwise(config.widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, 2 b, y, x) -> (n, c, y, x), finest first."""
        levels = [self.start(x)]
        for step in self.larger:
            levels.append(step(levels[-1]))
        return levels


class TemporalAttention(nn.Module):
    """How much each queried date takes from each date, cell by cell."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.widths[-1]
        self.heads, self.longest_days = config.heads, config.longest_days
        self.query = nn.Linear(width, config.heads * config.key_width)
        self.key = nn.Linear(width, config.heads * config.key_width)

    def forward(self, features: Tensor, days: Tensor, seen: Tensor, queries: Tensor) -> Tensor:
        """Features (t, c, y, x), days (t,), what saw something (t, y, x), places (q,) -> (h, q, t, y, x)."""
        tokens = rearrange(features, "t c y x -> y x t c")
        tokens = tokens + time_code(days, tokens.shape[-1], self.longest_days)
        q, k = (
            rearrange(layer(each), "y x t (h d) -> y x h t d", h=self.heads)
            for layer, each in ((self.query, tokens[:, :, queries]), (self.key, tokens))
        )
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        known = rearrange(seen, "t y x -> y x 1 1 t")
        weights: Tensor = scores.masked_fill(~known, NOT_SEEN).softmax(-1) * known
        return weights.permute(2, 3, 4, 0, 1)


def time_code(days: Tensor, width: int, longest_days: float) -> Tensor:
    """Code of days (t,) by sines and cosines of growing period: (t, width)."""
    order = torch.arange(width, device=days.device)
    angle = days.float()[:, None] / torch.pow(longest_days, 2 * (order // 2) / width)
    return torch.where(order % 2 == 0, angle.sin(), angle.cos())


def mixed(weights: Tensor, level: Tensor) -> Tensor:
    """Features (t, c, y, x) of all dates, mixed for each queried one: (q, c, y, x).

    Each head weighs its share of the features; weights (h, q, t, cells, cells) are interpolated.
    """
    heads, queries = weights.shape[:2]
    fine = weights
    if weights.shape[-2:] != level.shape[-2:]:
        flat = F.interpolate(weights.flatten(0, 1), size=level.shape[-2:], mode="bilinear")
        fine = flat.reshape(heads, queries, *flat.shape[1:])
    shared = rearrange(level, "t (h c) y x -> t h c y x", h=heads)
    by_query = rearrange(fine, "h q t y x -> q t h 1 y x")
    return torch.stack([(each * shared).sum(0).flatten(0, 1) for each in by_query])


class Decoder(nn.Module):
    """Mixed features at each size of pixel -> images."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        last, pairs = config.widths[-1], [*pairwise(config.widths)][::-1]
        self.start = normalised(nn.Conv2d(last, last, 1), last)
        self.smaller = nn.ModuleList(
            normalised(nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), a) for a, b in pairs
        )
        self.blocks = nn.ModuleList(Block(2 * a, a) for a, _ in pairs)
        self.out = nn.Conv2d(config.widths[0], len(config.bands), 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(q, c, y, x), finest first -> (q, b, y, x)."""
        z = self.start(levels[-1])
        for step, block, level in zip(self.smaller, self.blocks, reversed(levels[:-1]), strict=True):
            z = block(torch.cat([step(z), level], 1))
        out: Tensor = self.out(z)
        return out


class Utilise(nn.Module):
    """The whole network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.attention = TemporalAttention(config)
        self.decoder = Decoder(config)
        self.register_buffer("centre", torch.tensor(config.centre), persistent=False)
        self.register_buffer("spread", torch.tensor(config.spread), persistent=False)

    def forward(self, images: Tensor, valid: Tensor, days: Tensor, queries: Tensor) -> Tensor:
        """Make the images of some dates out of all.

        Parameters
        ----------
        images, valid
            (t, bands, y, x), reflectance and where it is one; whole cells high and wide.
        days
            (t,) counted from the first day of a block's support.
        queries
            (q,) which of the dates are asked for.

        Returns
        -------
        Tensor
            (q, bands, y, x), reflectance.
        """
        levels, seen = self.encoded(images, valid)
        return self.answered(levels, self.attention(levels[-1], days, seen, queries))

    def encoded(self, images: Tensor, valid: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of all dates, and what saw something of a cell (t, cells, cells)."""
        centre, spread = (self.get_buffer(name)[:, None, None] for name in ("centre", "spread"))
        known = torch.where(valid, (images - centre) / spread, 0.0)
        both = torch.cat([known, valid.float()], 1).contiguous(memory_format=torch.channels_last)
        cells = F.max_pool2d(valid.any(1, keepdim=True).float(), self.config.cell_px)[:, 0]
        return self.encoder(both), cells > 0

    def answered(self, levels: Sequence[Tensor], weights: Tensor) -> Tensor:
        """Images (q, b, y, x) of those dates that the weights (h, q, t, cells, cells) are for."""
        centre, spread = (self.get_buffer(name)[:, None, None] for name in ("centre", "spread"))
        made: Tensor = self.decoder([mixed(weights, level) for level in levels])
        return made * spread + centre


# --- series of any length on images of any size


def filled(model: Utilise, images: Values, days: Days, query_days: Days) -> Values:
    """Sentinel-2 on the queried days.

    Parameters
    ----------
    model
        A trained network.
    images
        (t, bands, y, x), reflectance, NaN where missing or cloudy.
    days
        (t,) days since 1970-01-01, each once.
    query_days
        (query,) counted alike.

    Returns
    -------
    NDArray[np.float32]
        (query, bands, y, x). NaN before the first and after the last date, and where none within reach
        saw anything of the band within a pixel's cell.

    Raises
    ------
    InvalidCube
        The images have other bands than the network, or are not one a day.
    """
    config = model.config
    if images.ndim != 4 or images.shape[1] != len(config.bands) or days.shape != images.shape[:1]:
        raise InvalidCube(
            f"U-TILISE needs images (t, {len(config.bands)}, y, x) and days (t,), got {images.shape} and "
            f"{days.shape}"
        )
    if len(np.unique(days)) < len(days):
        raise InvalidCube("U-TILISE needs one image a day; average those of the same day first")
    result = np.full((len(query_days), *images.shape[1:]), np.float32(np.nan))
    if not len(days):
        return result
    between = (query_days >= days.min()) & (query_days <= days.max())
    for block in np.unique(query_days[between] // config.block_days):
        first = int(block) * config.block_days - config.support_days
        near = (days >= first) & (days < first + config.block_days + 2 * config.support_days)
        asked = np.flatnonzero(between & (query_days // config.block_days == block))
        for kept, tile, inner in tiles(images.shape[2:], config):
            made = on_days(model, images[:, :, *tile][near], days[near] - first, query_days[asked] - first)
            result[asked, :, kept[0], kept[1]] = made[:, :, *inner]
    return result


def tiles(shape: tuple[int, ...], config: Config) -> Iterator[tuple[tuple[slice, ...], ...]]:
    """What is kept of each tile, the tile with its margin, and where in that the former is."""
    step = max(TILE_PX // config.cell_px, 1) * config.cell_px
    for place in np.ndindex(*(-(-size // step) for size in shape)):
        kept = [slice(step * n, min(step * (n + 1), size)) for n, size in zip(place, shape, strict=True)]
        tile = [
            slice(max(part.start - config.margin_px, 0), min(part.stop + config.margin_px, size))
            for part, size in zip(kept, shape, strict=True)
        ]
        inner = [
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(kept, tile, strict=True)
        ]
        yield tuple(kept), tuple(tile), tuple(inner)


def on_days(model: Utilise, images: Values, days: Days, query_days: Days) -> Values:
    """One tile of one block; arrays as `filled` has them, days counted from the first of the support."""
    cell, shape = model.config.cell_px, images.shape[2:]
    queried, place = np.unique(query_days, return_inverse=True)
    useful = np.isfinite(images).any((1, 2, 3)) | np.isin(days, queried)
    new = np.setdiff1d(queried, days)
    empty = np.full((len(new), *images.shape[1:]), np.float32(np.nan))
    every = np.concatenate([days[useful], new])
    ragged = [(0, -size % cell) for size in shape]
    series = np.pad(
        np.concatenate([images[useful], empty]), [(0, 0), (0, 0), *ragged], constant_values=np.nan
    )
    order = np.argsort(every)
    series, every = series[order], every[order]
    valid = np.isfinite(series)
    made = np.empty((len(queried), *series.shape[1:]), np.float32)
    with torch.inference_mode():
        levels, seen = model.encoded(torch.from_numpy(np.nan_to_num(series)), torch.from_numpy(valid))
        for number, query in enumerate(np.searchsorted(every, queried)):  # one by one: weights are large
            asked = torch.tensor([int(query)])
            weights = model.attention(levels[-1], torch.from_numpy(every), seen, asked)
            made[number] = model.answered(levels, weights)[0].numpy()
    made[:, ~ever_seen(valid, cell)] = np.nan
    return made[place][:, :, : shape[0], : shape[1]]


def ever_seen(valid: NDArray[np.bool_], cell: int) -> NDArray[np.bool_]:
    """Where a band was valid on any date within a pixel's cell: (t, b, y, x) -> (b, y, x)."""
    bands, y, x = valid.shape[1:]
    blocks = valid.any(0).reshape(bands, y // cell, cell, x // cell, cell)
    cells: NDArray[np.bool_] = np.logical_or.reduce(blocks, axis=(2, 4))
    return cells.repeat(cell, 1).repeat(cell, 2)
