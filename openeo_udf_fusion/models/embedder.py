"""Embed cubes: numpy in, numpy out, tile by tile, each frame convolved once for all queried days."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.s1s2_embedding import Config, Features, Frames, S1S2Embedding, SensorConfig
from openeo_udf_fusion.models.series import LEVELS, MISSING_LEVEL, Observations, size_of
from openeo_udf_fusion.models.threads import side_by_side
from openeo_udf_fusion.models.torch_runtime import pool_of_callers_threads

TILE_PX = 48
"""Features of a tile's frames stay in memory while the queried days pass: this bounds them."""
QUERIES = 4
"""Days asked for at a time."""
FRAMES = 8
"""Frames convolved at a time."""


class Embedding(NamedTuple):
    """Codes of the queried days, how far the observations are that they rest on, and what they tell.

    Attributes
    ----------
    code : NDArray[np.float32]
        (query, n, y, x) within -1..1; NaN where no sensor saw anything within its reach.
    days_to_observation : dict of str to NDArray[np.float32]
        By sensor, (query, y, x): days to the nearest valid observation; NaN where there is none within reach.
    reconstruction : dict of str to NDArray[np.float32]
        By sensor asked for, (query, bands, y, x) in the sensor's unit, from the code alone; NaN as `code` is.
    sigma : dict of str to NDArray[np.float32]
        By sensor asked for, (query, bands, y, x): standard deviation of the reconstruction's error, from its
        errors on held-out dates at the same distance to an observation; NaN without a calibration.
    """

    code: NDArray[np.float32]
    days_to_observation: dict[str, NDArray[np.float32]]
    reconstruction: dict[str, NDArray[np.float32]]
    sigma: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Tile:
    """Rows and columns of a tile, and of what its convolutions see."""

    rows: slice
    columns: slice
    seen_rows: slice
    seen_columns: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """The tile within what is seen."""
        return tuple(  # type: ignore[return-value]
            slice(own.start - seen.start, own.stop - seen.start)
            for own, seen in ((self.rows, self.seen_rows), (self.columns, self.seen_columns))
        )


class Embedder:
    """A loaded embedding; `embed` may be called from several threads.

    Parameters
    ----------
    model
        The network with its weights.
    calibration
        Of the reconstructions' errors, from the card; may be empty.
    device
        Where to compute, e.g. "cpu" or "cuda".
    """

    def __init__(self, model: S1S2Embedding, calibration: Json | None = None, device: str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.calibration = calibration or {}
        self.device = torch.device(device)

    @property
    def config(self) -> Config:
        """The network's shape, with the bands of each sensor in their order."""
        return self.model.config

    def embed(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        reconstruct: Sequence[str] = (),
    ) -> Embedding:
        """Embed every pixel on every queried day.

        What comes out for a pixel depends on the observations within `config.margin_px` pixels and the
        sensors' `reach_days` days, and on nothing else: not on their order, on other pixels, on the tile
        or on the other queried days. Several frames of one day become their mean.

        Parameters
        ----------
        observed
            Observations by sensor on one grid of pixels: "s1" backscatter in dB, "s2" surface reflectance
            0-1; `days` (t,) in any order. A sensor, a band or a pixel may be missing.
        query_days
            (query,), days since 1970-01-01 in any order.
        reconstruct
            Sensors to draw again from the code.

        Raises
        ------
        InvalidParameter
            A sensor that the model does not know.
        InvalidCube
            Shapes that disagree with the model's bands or with one another.
        """
        y, x = self._check(observed, reconstruct)
        query = np.asarray(query_days, np.int64)
        result = self._empty(len(query), y, x, reconstruct)
        ordered = {s: in_order(o) for s, o in observed.items()}

        def run_tile(tile: Tile) -> None:
            known = {s: self._frames(o, self.config.sensor(s), tile) for s, o in ordered.items()}
            if any(len(f.days) for f in known.values()):
                with torch.inference_mode():
                    self._run(known, query, tile, result)

        side_by_side(run_tile, tiles(y, x, self.config.margin_px), pool_of_callers_threads())
        return result

    def _check(self, observed: Mapping[str, Observations], reconstruct: Sequence[str]) -> tuple[int, int]:
        """Refuse what the model cannot read, and return the grid of pixels."""
        known = [sensor.id for sensor in self.config.sensors]
        unknown = sorted({*observed, *reconstruct} - {*known})
        if unknown:
            raise InvalidParameter(f"the embedding knows the sensors {known}, not {unknown}")
        sizes = {size_of(name, series, self.config.sensor(name).bands) for name, series in observed.items()}
        if len(sizes) != 1:
            raise InvalidCube(f"one sensor or more on one grid of pixels was needed, got {sorted(sizes)}")
        y, x = sizes.pop()
        return y, x

    def _empty(self, query: int, y: int, x: int, reconstruct: Sequence[str]) -> Embedding:
        """A result without anything in it yet."""

        def nothing(*shape: int) -> NDArray[np.float32]:
            return np.full(shape, np.nan, np.float32)

        bands = {s: len(self.config.sensor(s).bands) for s in reconstruct}
        return Embedding(
            nothing(query, self.config.code, y, x),
            {s.id: nothing(query, y, x) for s in self.config.sensors},
            {s: nothing(query, b, y, x) for s, b in bands.items()},
            {s: nothing(query, b, y, x) for s, b in bands.items()},
        )

    def _frames(self, series: Observations, sensor: SensorConfig, tile: Tile) -> Frames:
        """What a tile sees of a sensor: frames of which at least one pixel of the tile is valid."""
        own = series.valid[:, :, tile.rows, tile.columns].any(axis=(1, 2, 3))
        values = np.ascontiguousarray(series.values[own][..., tile.seen_rows, tile.seen_columns], np.float32)
        valid = np.ascontiguousarray(series.valid[own][..., tile.seen_rows, tile.seen_columns])
        ready = standardise(torch.from_numpy(values), torch.from_numpy(valid), sensor)
        days = torch.from_numpy(series.days[own].astype(np.float64))
        return Frames(ready, torch.from_numpy(valid), days)

    def _run(
        self, known: Mapping[str, Frames], query: NDArray[np.int64], tile: Tile, result: Embedding
    ) -> None:
        """Let the queried days pass in ascending order, with the features of the frames around them."""
        order = np.argsort(query, kind="stable")
        days = torch.from_numpy(query.astype(np.float64))
        around = {s: Passing(self.model, s, frames, tile, days, self.device) for s, frames in known.items()}
        for start in range(0, len(order), QUERIES):
            chosen = order[start : start + QUERIES]
            days = torch.from_numpy(query[chosen].astype(np.float64))
            features = {s: passing.at(days) for s, passing in around.items()}
            # Days are told relative to the first one asked: float32 is exact for them.
            asked = (days - days[0]).float().to(self.device)
            near = {s: replace_days(f, days[0]) for s, f in features.items() if len(f.days)}
            told = {s: self.model.encoder(s)(f, asked) for s, f in near.items()}
            if told:
                code = self.model.fuse(near, told, asked)
                nobody = ~torch.stack([each.present for each in told.values()]).any(0)
                store(result.code, chosen, tile, code.masked_fill(nobody[..., None], torch.nan))
                for s, f in features.items():
                    store(result.days_to_observation[s], chosen, tile, self._distance(f, days, s)[..., None])
                for s in result.reconstruction:
                    drawn = self._draw(code, s).masked_fill(nobody[..., None], torch.nan)
                    store(result.reconstruction[s], chosen, tile, drawn)
                    if s in self.calibration:
                        away = result.days_to_observation[s][chosen][:, tile.rows, tile.columns]
                        sigma = spread_at(self.calibration[s], away)
                        missing = nobody.cpu().numpy().reshape(away.shape)[:, None]
                        result.sigma[s][chosen, :, tile.rows, tile.columns] = np.where(missing, np.nan, sigma)

    def _distance(self, features: Features, days: Tensor, sensor: str) -> Tensor:
        """Days (q, p) to the nearest valid frame; NaN beyond the reach."""
        reach = self.config.sensor(sensor).reach_days
        nearest = torch.full((len(days), features.share.shape[1]), torch.inf)
        away = (features.days - days[:, None]).abs()
        for frame, seen in enumerate((features.share > 0).cpu()):
            candidate = torch.where(seen, away[:, frame, None], torch.inf)
            nearest = torch.minimum(nearest, candidate.float())
        return torch.where(nearest <= reach, nearest, torch.nan)

    def draw(self, code: NDArray[np.float32], sensor: str) -> NDArray[np.float32]:
        """A sensor's bands (query, bands, y, x), in its unit, from codes (query, n, y, x); NaN stays NaN."""
        with torch.inference_mode():
            given = torch.from_numpy(np.moveaxis(code, 1, -1)).to(self.device)
            drawn = self._draw(given, sensor)
        return np.moveaxis(drawn.cpu().numpy(), -1, 1)

    def _draw(self, code: Tensor, sensor: str) -> Tensor:
        """The sensor's bands (..., b) in its unit from codes (..., n)."""
        config = self.config.sensor(sensor)
        lower, upper, centre, spread = (
            torch.tensor(getattr(config, name), device=code.device)
            for name in ("lower", "upper", "centre", "spread")
        )
        return (centre + spread * self.model.decode(code, sensor)).clamp(lower, upper)


class Passing:
    """Features of one sensor's frames around days that are asked for in ascending order."""

    def __init__(
        self,
        model: S1S2Embedding,
        sensor: str,
        frames: Frames,
        tile: Tile,
        days: Tensor,
        device: torch.device,
    ) -> None:
        self.encoder, self.reach = model.encoder(sensor), model.config.support_days(sensor)
        self.frames, self.tile, self.device = frames, tile, device
        away = (frames.days[:, None] - days).abs()
        self.counts = (away <= self.encoder.reach_days).any(1)  # others only have a level
        self.start = self.stop = 0
        self.kept: Features | None = None

    def at(self, days: Tensor) -> Features:
        """Features of all frames within reach of the days; those that fell behind are let go."""
        start = int((self.frames.days < days.min() - self.reach).sum())
        stop = int((self.frames.days <= days.max() + self.reach).sum())
        parts = []
        if self.kept is not None and start < self.stop:
            gone = start - self.start
            parts.append(
                Features(
                    self.kept.raw[gone:],
                    self.kept.features[gone:],
                    self.kept.share[gone:],
                    self.kept.around[gone:],
                    self.kept.days[gone:],
                )
            )
        for first in range(max(start, self.stop), stop, FRAMES):
            parts.append(self._encode(slice(first, min(first + FRAMES, stop))))
        self.start, self.stop = start, stop
        self.kept = parts[0] if len(parts) == 1 else self._join(parts)
        return self.kept

    def _encode(self, chosen: slice) -> Features:
        """Convolve some frames and keep what lies within the tile."""
        rows, columns = self.tile.inner
        values, valid = (a[chosen].to(self.device) for a in self.frames[:2])
        near = self.counts[chosen].to(self.device)
        features = values.new_zeros(len(values), self.encoder.frame.lift.out_channels, *values.shape[2:])
        share = values.new_zeros(len(values), *values.shape[2:])
        features[near], share[near] = self.encoder.frame(values[near], valid[near])
        raw, features, around = (
            part[..., rows, columns].flatten(2).transpose(1, 2).contiguous()
            for part in (values, features, self.encoder.around(values, valid))
        )
        return Features(
            raw,
            features,
            share[..., rows, columns].flatten(1),
            around,
            self.frames.days[chosen],
        )

    def _join(self, parts: list[Features]) -> Features:
        if not parts:
            return self._encode(slice(0, 0))
        return Features(*(torch.cat(some) for some in zip(*parts, strict=True)))


def replace_days(features: Features, first: Tensor) -> Features:
    """The same with days relative to another, on the features' device."""
    return features._replace(days=(features.days - first).float().to(features.raw.device))


def store(result: NDArray[np.float32], chosen: NDArray[np.int64], tile: Tile, cells: Tensor) -> None:
    """Write (q, p, c) into the queried days and the tile of a result (query, c, y, x) or (query, y, x)."""
    height, width = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
    block = cells.float().cpu().numpy().transpose(0, 2, 1).reshape(len(chosen), -1, height, width)
    if result.ndim == 3:
        result[chosen, tile.rows, tile.columns] = block[:, 0]
    else:
        result[chosen, :, tile.rows, tile.columns] = block


def standardise(values: Tensor, valid: Tensor, sensor: SensorConfig) -> Tensor:
    """Values (t, b, y, x) as the network takes them: clipped, in spreads from the centre, else zero."""
    lower, upper, centre, spread = (
        torch.tensor(getattr(sensor, name), dtype=torch.float32)[:, None, None]
        for name in ("lower", "upper", "centre", "spread")
    )
    return torch.where(valid, (values.clamp(lower, upper) - centre) / spread, 0.0)


def in_order(series: Observations) -> Observations:
    """Frames in ascending order, several of one day as the mean of their valid values."""
    if (np.diff(series.days) > 0).all():
        return series
    days, place, count = np.unique(series.days, return_inverse=True, return_counts=True)
    if (count == 1).all():
        order = np.argsort(series.days)
        return Observations(series.values[order], series.valid[order], series.days[order])
    values, valid = [], []
    for day in range(len(days)):
        seen = series.valid[place == day]
        number = seen.sum(0)
        total = np.where(seen, series.values[place == day], 0).sum(0, dtype=np.float64)
        values.append((total / np.maximum(number, 1)).astype(np.float32))
        valid.append(number > 0)
    return Observations(np.stack(values), np.stack(valid), days.astype(series.days.dtype))


def tiles(y: int, x: int, margin: int) -> Iterator[Tile]:
    """Tiles that cover a grid, each with the margin that its convolutions see."""
    for top in range(0, y, TILE_PX):
        for left in range(0, x, TILE_PX):
            bottom, right = min(top + TILE_PX, y), min(left + TILE_PX, x)
            yield Tile(
                slice(top, bottom),
                slice(left, right),
                slice(max(0, top - margin), min(y, bottom + margin)),
                slice(max(0, left - margin), min(x, right + margin)),
            )


def spread_at(table: Json, away: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sigma (q, b, y, x) at distances (q, y, x) in days, linear between a card's knots; see `training`."""
    knots = np.asarray(table["days"], np.float32)
    none = np.asarray(table["none"], np.float32)[None, :, None, None]
    within = [np.interp(away, knots, band) for band in np.asarray(table["sigma"], np.float32).T]
    sigma = np.where(np.isnan(away)[:, None], none, np.stack(within, 1))
    return sigma.astype(np.float32)


def to_int8(code: NDArray[np.float32]) -> NDArray[np.int8]:
    """A code as it is stored: round(127 * code), and -128 where it is NaN; decoders know that rounding."""
    levels = np.round(np.nan_to_num(code) * LEVELS)
    return np.where(np.isnan(code), MISSING_LEVEL, levels).astype(np.int8)


def from_int8(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """The code that `to_int8` stored."""
    code = np.where(stored == MISSING_LEVEL, np.nan, stored / LEVELS)
    return code.astype(np.float32)


def config_from_json(stored: Json) -> Config:
    """A configuration as a card keeps it; JSON has no tuples."""
    plain = tuples(stored)
    sensors = tuple(SensorConfig(**tuples(sensor)) for sensor in plain.pop("sensors"))
    return replace(Config(sensors), **plain)


def tuples(stored: Json) -> Json:
    """The same with tuples for lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
