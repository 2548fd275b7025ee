"""What goes into a temporal model and what comes out of it: numpy arrays, one tuple a sensor."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube

T = TypeVar("T")

Precision = Literal["float32", "bfloat16"]
"""Of a network's own arithmetic; what goes in and comes out is float32."""
RuntimeName = Literal["torch", "onnx"]

LEVELS = 127
MISSING_LEVEL = -128
"""A code as int8: the whole numbers -LEVELS..LEVELS stand for -1..1."""


class Observations(NamedTuple):
    """One sensor's observations, in the model's band order.

    Attributes
    ----------
    values : NDArray[np.float32]
        (t, bands, y, x), surface reflectance; the content where not valid is ignored and may be NaN.
    valid : NDArray[np.bool_]
        (t, bands, y, x), true where `values` holds a usable measurement.
    days : NDArray[np.int32]
        (t,), or (t, y, x) where a composite knows the acquisition day of each pixel: days since
        1970-01-01, in any order, with repetitions.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    days: NDArray[np.int32]


def size_of(
    sensor: str, observed: Observations, bands: Sequence[str], *, day_per_pixel: bool = False
) -> tuple[int, int]:
    """Return rows and columns of a sensor's observations.

    Parameters
    ----------
    sensor
        What the message calls it.
    observed
        Its observations.
    bands
        Those that the model reads, in its order.
    day_per_pixel
        Whether each pixel may have days of its own.

    Raises
    ------
    InvalidCube
        Shapes that disagree with the bands or with one another.
    """
    shape, days = observed.values.shape, observed.days.shape
    fits = len(shape) == 4 and shape == observed.valid.shape and shape[1] == len(bands)
    if not fits or not (days == shape[:1] or (day_per_pixel and days == (shape[0], *shape[2:]))):
        raise InvalidCube(
            f"{sensor} needs values and valid (t, {len(bands)}, y, x) in the order {tuple(bands)} and "
            f"days (t,){' or (t, y, x)' if day_per_pixel else ''}; got values {shape}, valid "
            f"{observed.valid.shape}, days {days}"
        )
    return shape[2], shape[3]


class Prediction(NamedTuple):
    """A distribution per query day, band and pixel; NaN for a pixel without any observation.

    Attributes
    ----------
    mean : NDArray[np.float32]
        (query, bands, y, x), surface reflectance: the centre of the distribution.
    sigma : NDArray[np.float32]
        (query, bands, y, x), its standard deviation before it is bent into the physical range.
    quantiles : NDArray[np.float32]
        (level, query, bands, y, x), one slice per requested level; level may be 0.
    strangeness : NDArray[np.float32] or None
        (y, x), how unlike the pixels of its training a model finds a pixel: above 1 it is beyond all of
        them. None from a method that does not tell.
    """

    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    strangeness: NDArray[np.float32] | None = None


class Daily(NamedTuple):
    """One sensor's observations of a block of pixels on a daily grid.

    Attributes
    ----------
    values : NDArray[np.float32]
        (p, t, bands), zero where not valid.
    valid : NDArray[np.bool_]
        (p, t, bands).
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Blocks(NamedTuple):
    """Bins of a series in blocks of neighbours, with the bins that those may see.

    Attributes
    ----------
    rows : NDArray[np.int64]
        (n, r), the bins of each block; the last bin repeats behind it.
    keys : NDArray[np.int64]
        (n, k), all bins within the reach of one of the block, and perhaps more.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]

    @classmethod
    def of(cls, bins: int, reach: int) -> "Blocks":
        """As few blocks of about twice the reach as hold the bins, so that cost grows linearly with them."""
        count = max(1, round(bins / (2 * reach)))
        size = -(-bins // count)
        seen = min(bins, size + 2 * reach)
        first = np.arange(count)[:, None] * size
        rows = np.minimum(first + np.arange(size), bins - 1)
        return cls(rows, np.clip(first - reach, 0, bins - seen) + np.arange(seen))


class Outcome(NamedTuple):
    """A block of pixels' distribution on the queried days.

    Attributes
    ----------
    values : NDArray[np.float32]
        (n, p, q, bands), within the physical range: one slice for each number of standard deviations from
        the centre that was asked for.
    sigma : NDArray[np.float32]
        (p, q, bands), the standard deviation.
    strangeness : NDArray[np.float32]
        (p,), how unlike the pixels of the training: above 1 it is beyond all of them.
    """

    values: NDArray[np.float32]
    sigma: NDArray[np.float32]
    strangeness: NDArray[np.float32]


@dataclass(frozen=True)
class Runtime:
    """What a network runs on.

    Attributes
    ----------
    name
        "torch" or "onnx".
    version
        Of torch or onnxruntime.
    device
        E.g. "cpu" or "cuda".
    precision
        Of the network's own arithmetic.
    """

    name: RuntimeName
    version: str
    device: str
    precision: Precision


class Network(Protocol):
    """A network in whichever runtime; arrays in, arrays out, from any thread.

    Attributes
    ----------
    bands
        Band names by sensor, in the network's order.
    bin_days
        A grid's first day is a multiple of it, counted from 1970-01-01, and so is its length.
    runtime
        What it runs on.
    """

    bands: Mapping[str, tuple[str, ...]]
    bin_days: int
    runtime: Runtime

    @property
    def threads(self) -> int:
        """How many blocks of pixels are computed at once."""

    def run(
        self,
        grids: Mapping[str, Daily],
        first_day: int,
        positions: NDArray[np.int64],
        target: str,
        deviations: NDArray[np.float32],
    ) -> Outcome:
        """Predict a block of pixels.

        Parameters
        ----------
        grids
            Every sensor's observations on the same days; nothing valid where a sensor is absent.
        first_day
            The grid's first, days since 1970-01-01.
        positions
            (q,), the queried days' places on the grid, with a bin at least to either side.
        target
            The sensor to predict.
        deviations
            (n,), which values to give, in standard deviations from the centre.
        """

    def side_by_side(self, function: Callable[[T], None], items: Iterable[T]) -> None:
        """Call a function with every item, on as many cores as may be used."""
