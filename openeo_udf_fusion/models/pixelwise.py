"""Run a pixelwise temporal model over cubes: numpy in, numpy out, pixels in batches. Needs no torch."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.series import Daily, Network, Observations, Prediction, size_of

T = TypeVar("T", bound=np.generic)

PIXEL_DAYS = 32 * 376
"""A batch holds about as many days: 32 pixels of a year stay in the processor's cache."""
LONGEST_SPAN_DAYS = 36_525
"""A day beyond a century from the others is a fill value that escaped its mask, not an observation."""


class Window(NamedTuple):
    """The daily grid's first day since 1970-01-01 (a bin's first) and its length in days (whole bins)."""

    first_day: int
    days: int


class Pixelwise:
    """A loaded model; `predict` may be called from several threads.

    Parameters
    ----------
    network
        In whichever runtime.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

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
        shape = (len(query), len(self.network.bands[target]), y, x)
        values = np.full((1 + len(quantiles), *shape), np.nan, np.float32)
        sigma, strange = np.full(shape, np.nan, np.float32), np.full((y, x), np.nan, np.float32)
        result = Prediction(values[0], sigma, values[1:], strange)
        window = find_window(observed, query, self.network.bin_days)
        if window is None or not len(query):
            return result
        positions = query - window.first_day
        deviations = np.array([0, *map(NormalDist().inv_cdf, quantiles)], np.float32)

        def run_block(block: tuple[slice, slice]) -> None:
            rows, columns = block
            grids = {s: self._grid(observed.get(s), s, window, rows, columns) for s in self.network.bands}
            known = np.any([grid.valid.any((1, 2)) for grid in grids.values()], axis=0)
            if not known.any():
                return
            if not known.all():
                # Backends fill tiles at the edge of an area up to full size: what is empty costs nothing.
                grids = {s: Daily(grid.values[known], grid.valid[known]) for s, grid in grids.items()}
            found = self.network.run(grids, window.first_day, positions, target, deviations)
            store(found.values.transpose(0, 2, 3, 1), known, values[..., rows, columns])
            store(found.sigma.transpose(1, 2, 0), known, sigma[..., rows, columns])
            store(found.strangeness, known, strange[rows, columns])

        blocks = pixel_blocks(y, x, max(1, PIXEL_DAYS // window.days))
        self.network.side_by_side(run_block, blocks)
        return result

    def _check(
        self, observed: Mapping[str, Observations], target: str, quantiles: Sequence[float]
    ) -> tuple[int, int]:
        """Refuse what the model cannot read, and return the grid of pixels."""
        unknown = sorted({target, *observed} - set(self.network.bands))
        if unknown:
            raise InvalidParameter(f"the model knows the sensors {sorted(self.network.bands)}, not {unknown}")
        if not all(0 < level < 1 for level in quantiles):
            raise InvalidParameter(f"quantile levels lie between 0 and 1, got {list(quantiles)}")
        sizes = {
            size_of(sensor, series, self.network.bands[sensor], day_per_pixel=True)
            for sensor, series in observed.items()
        }
        if len(sizes) != 1:
            raise InvalidCube(f"the sensors must lie on one grid of pixels, got {sorted(sizes)}")
        y, x = sizes.pop()
        return y, x

    def _grid(
        self, series: Observations | None, sensor: str, window: Window, rows: slice, columns: slice
    ) -> Daily:
        """One sensor's observations of a block of pixels on the daily grid."""
        if series is None:
            pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
            shape = (pixels, window.days, len(self.network.bands[sensor]))
            return Daily(np.zeros(shape, np.float32), np.zeros(shape, np.bool_))
        valid = np.asarray(series.valid[:, :, rows, columns], dtype=np.bool_)
        values = np.where(valid, series.values[:, :, rows, columns], np.float32(0))
        days = series.days if series.days.ndim == 1 else series.days[:, rows, columns]
        return scatter_days(to_pixels(values), to_pixels(valid), days, window)


def store(cells: NDArray[np.float32], known: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
    """Write (..., known pixel) into a block (..., y, x) of the result; the others stay as they are."""
    if known.all():
        out[...] = cells.reshape(out.shape)
    else:
        out[..., known.reshape(out.shape[-2:])] = cells


def to_pixels(block: NDArray[T]) -> NDArray[T]:
    """(t, b, y, x) -> (p, t, b)."""
    return block.reshape(*block.shape[:2], -1).transpose(2, 0, 1)


def scatter_days(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32], window: Window
) -> Daily:
    """Put observations (p, t, b), zero where not valid, on the daily grid; of one day the mean counts."""
    pixels, _, bands = values.shape
    # An observation without a valid band may have any day at all; it adds zeros wherever it falls.
    place = np.clip(days.astype(np.int64) - window.first_day, 0, window.days - 1)
    total = np.zeros((pixels, window.days, bands), np.float32)
    if days.ndim == 1 and len(np.unique(place)) == len(place):
        seen = np.zeros(total.shape, np.bool_)
        total[:, place], seen[:, place] = values, valid
        return Daily(total, seen)
    count = np.zeros_like(total)
    at = np.broadcast_to(place, (pixels, len(place))) if days.ndim == 1 else to_pixels(place[:, None])[..., 0]
    cell = np.arange(pixels)[:, None], at
    np.add.at(count, cell, valid.astype(np.float32))
    np.add.at(total, cell, values)
    return Daily(np.divide(total, count, out=total, where=count > 0), count > 0)


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
