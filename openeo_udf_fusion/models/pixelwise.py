"""Run a pixelwise temporal model over cubes: numpy in, numpy out, pixels in batches."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.calibration import Calibration
from openeo_udf_fusion.models.satfusenet import OTHER, Grid, SatFuseNet
from openeo_udf_fusion.models.series import Observations, Precision, Prediction
from openeo_udf_fusion.models.threads import side_by_side

PIXEL_DAYS = 32 * 376
"""A batch holds about as many days: 32 pixels of a year stay in the processor's cache."""
LONGEST_SPAN_DAYS = 36_525
"""A day beyond a century from the others is a fill value that escaped its mask, not an observation."""


class Outcome(NamedTuple):
    """A block of pixels' distribution, location and sigma (p, q, b), and how strange each is (p,)."""

    location: Tensor
    sigma: Tensor
    strangeness: Tensor


class Window(NamedTuple):
    """The daily grid's first day since 1970-01-01 (a bin's first) and its length in days (whole bins)."""

    first_day: int
    days: int


class Pixelwise:
    """A loaded model; `predict` may be called from several threads.

    Parameters
    ----------
    model
        The network with its weights.
    calibration
        How far to trust it; None takes it as it is.
    precision
        Of the network itself; the base, the distribution and the result are float32 throughout.
    device
        Where to compute, e.g. "cpu" or "cuda".
    """

    def __init__(
        self,
        model: SatFuseNet,
        calibration: Calibration | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
    ) -> None:
        self.model = model.to(device).eval()
        self.precision, self.device = precision, torch.device(device)
        self.calibration = calibration.to(self.device) if calibration else None

    def predict(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        target: str,
        quantiles: Sequence[float] = (),
    ) -> Prediction:
        """Predict one sensor's reflectance on the queried days.

        What comes out for a pixel depends on its own observations alone: not on their order, on empty days
        around them, on other pixels, nor on the other queried days.

        Parameters
        ----------
        observed
            Observations by sensor ("modis", "viirs") on one grid of pixels; a sensor may be absent.
        query_days
            (query,), days since 1970-01-01 in any order.
        target
            The sensor to predict.
        quantiles
            Levels between 0 and 1.

        Returns
        -------
        Prediction
            float32 within -0.01..1.6; NaN for a pixel without a single valid observation.

        Raises
        ------
        InvalidParameter
            Unknown target or sensor, or a level outside 0..1.
        InvalidCube
            Shapes that disagree with the model's bands or with one another, or days over a century apart.
        """
        y, x = self._check(observed, target, quantiles)
        query = np.asarray(query_days, dtype=np.int64)
        bands = len(self.model.config.bands(target))
        shape = (len(query), bands, y, x)
        mean, sigma = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        levels = np.full((len(quantiles), *shape), np.nan, np.float32)
        strange = np.full((y, x), np.nan, np.float32)
        window = find_window(observed, query, self.model.config.bin_days)
        if window is None or not len(query):
            return Prediction(mean, sigma, levels, strange)
        positions = torch.from_numpy(query - window.first_day).to(self.device)
        first_day = torch.tensor([window.first_day], device=self.device)

        def run_block(block: tuple[slice, slice]) -> None:
            rows, columns = block
            grids = {s: self._grid(observed.get(s), s, window, rows, columns) for s in OTHER}
            known = torch.stack([g.valid.flatten(1).any(1) for g in grids.values()]).any(0)
            if not bool(known.any()):
                return
            if not bool(known.all()):
                # Backends fill tiles at the edge of an area up to full size: what is empty costs nothing.
                grids = {s: Grid(g.values[known], g.valid[known]) for s, g in grids.items()}
            with torch.inference_mode():
                outcome = self._run(grids, first_day, positions, target)
                self._store(outcome.location, known, mean[:, :, rows, columns])
                self._store(outcome.sigma, known, sigma[:, :, rows, columns], bend=False)
                for level, out in zip(quantiles, levels, strict=True):
                    value = outcome.location + NormalDist().inv_cdf(level) * outcome.sigma
                    self._store(value, known, out[:, :, rows, columns])
                self._store(
                    outcome.strangeness[:, None, None], known, strange[None, None, rows, columns], bend=False
                )

        side_by_side(run_block, pixel_blocks(y, x, max(1, PIXEL_DAYS // window.days)))
        return Prediction(mean, sigma, levels, strange)

    def _check(
        self, observed: Mapping[str, Observations], target: str, quantiles: Sequence[float]
    ) -> tuple[int, int]:
        """Refuse what the model cannot read, and return the grid of pixels."""
        unknown = sorted({target, *observed} - set(OTHER))
        if unknown:
            raise InvalidParameter(f"the model knows the sensors {sorted(OTHER)}, not {unknown}")
        if not all(0 < level < 1 for level in quantiles):
            raise InvalidParameter(f"quantile levels lie between 0 and 1, got {list(quantiles)}")
        sizes = set()
        for sensor, series in observed.items():
            bands, shape = self.model.config.bands(sensor), series.values.shape
            days = series.days.shape
            fits = len(shape) == 4 and shape == series.valid.shape and shape[1] == len(bands)
            if not fits or days not in ((shape[0],), (shape[0], *shape[2:])):
                raise InvalidCube(
                    f"{sensor} needs values and valid (t, {len(bands)}, y, x) in the order {bands} and "
                    f"days (t,) or (t, y, x); got values {shape}, valid {series.valid.shape}, days {days}"
                )
            sizes.add(shape[2:])
        if len(sizes) != 1:
            raise InvalidCube(f"the sensors must lie on one grid of pixels, got {sorted(sizes)}")
        y, x = sizes.pop()
        return y, x

    def _grid(
        self, series: Observations | None, sensor: str, window: Window, rows: slice, columns: slice
    ) -> Grid:
        """One sensor's observations of a block of pixels on the daily grid."""
        if series is None:
            pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
            shape = (pixels, window.days, len(self.model.config.bands(sensor)))
            return Grid(
                torch.zeros(shape, device=self.device),
                torch.zeros(shape, dtype=torch.bool, device=self.device),
            )
        values = to_pixels(np.array(series.values[:, :, rows, columns], dtype=np.float32), self.device)
        valid = to_pixels(np.array(series.valid[:, :, rows, columns], dtype=np.bool_), self.device)
        days = series.days if series.days.ndim == 1 else series.days[:, rows, columns]
        return scatter_days(values, valid, days, window)

    def _run(self, grids: Mapping[str, Grid], first_day: Tensor, positions: Tensor, target: str) -> Outcome:
        """The network, in its precision, as far as it is to be trusted."""
        narrow = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=narrow):
            z, centres = self.model.encode(grids, first_day)
            estimate = self.model.decode(z, centres, grids, positions, target)
        if self.calibration is None:
            return Outcome(estimate.location, estimate.sigma, torch.zeros(len(z), device=z.device))
        known = torch.cat([grids[sensor].valid.any(1) for sensor in OTHER], -1)
        strangeness = self.calibration.strangeness(centres, known)
        trusted = self.calibration.apply(estimate, grids[target], positions, strangeness > 1, target)
        return Outcome(*trusted, strangeness)

    def _store(self, cells: Tensor, known: Tensor, out: NDArray[np.float32], *, bend: bool = True) -> None:
        """Write (known pixel, q, b) into a block (q, b, y, x) of the result; the others stay NaN."""
        cells = self.model.into_range(cells) if bend else cells
        pixels_last = cells.permute(1, 2, 0).cpu().numpy()
        if not bool(known.all()):
            here = np.full((*out.shape[:2], len(known)), np.nan, np.float32)
            here[..., known.cpu().numpy()] = pixels_last
            pixels_last = here
        out[...] = pixels_last.reshape(out.shape)


def to_pixels(block: NDArray[np.float32] | NDArray[np.bool_], device: torch.device) -> Tensor:
    """(t, b, y, x) -> (p, t, b)."""
    return torch.from_numpy(block).to(device).flatten(2).permute(2, 0, 1).contiguous()


def scatter_days(values: Tensor, valid: Tensor, days: NDArray[np.int32], window: Window) -> Grid:
    """Put observations (p, t, b) on the daily grid; several of one day become their mean."""
    pixels, _, bands = values.shape
    values = torch.where(valid, values, 0.0)
    index = torch.from_numpy(days.astype(np.int64) - window.first_day).to(values.device)
    # An observation without a valid band may have any day at all; it adds zeros wherever it falls.
    index = index.clamp(0, window.days - 1)
    grid = torch.zeros(pixels, window.days, bands, device=values.device)
    if days.ndim == 1 and len(np.unique(index.cpu().numpy())) == len(days):
        seen = torch.zeros(grid.shape, dtype=torch.bool, device=grid.device)
        return Grid(grid.index_copy_(1, index, values), seen.index_copy_(1, index, valid))
    at = index[None, :] if days.ndim == 1 else index.flatten(1).T  # (p t)
    at = at[..., None].expand(pixels, -1, bands)
    count = torch.zeros_like(grid).scatter_add_(1, at, valid.to(grid))
    total = grid.scatter_add_(1, at, values)
    return Grid(total / count.clamp(min=1), count > 0)


def find_window(
    observed: Mapping[str, Observations], query: NDArray[np.int64], bin_days: int
) -> Window | None:
    """The bins from the first to the last day that matters and one more on either side; None without data."""
    known = [query]
    for series in observed.values():
        seen: NDArray[np.bool_] = np.any(series.valid, axis=1)  # (t y x)
        used = series.days[np.any(seen, axis=(1, 2))] if series.days.ndim == 1 else series.days[seen]
        known.append(used.astype(np.int64).ravel())
    if not any(len(days) for days in known[1:]):
        return None
    days = np.concatenate(known)
    span = int(days.max() - days.min())
    if span > LONGEST_SPAN_DAYS:
        raise InvalidCube(
            f"days since 1970-01-01 run from {days.min()} to {days.max()}, more than a century; "
            "mask observations without a true date, or query in parts"
        )
    first_bin, last_bin = int(days.min()) // bin_days - 1, int(days.max()) // bin_days + 1
    return Window(first_bin * bin_days, (last_bin - first_bin + 1) * bin_days)


def pixel_blocks(y: int, x: int, pixels: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows and columns that hold at most `pixels` pixels each and cover the grid."""
    width = min(x, pixels)
    height = max(1, pixels // max(width, 1))
    for top in range(0, y, height):
        for left in range(0, x, max(width, 1)):
            yield slice(top, min(top + height, y)), slice(left, min(left + width, x))
