"""A small network: the source's bands, the day of year and the place -> the target's bands of the same day.

Source: the comparator of Hamdi et al., "Shared-Latent-Space Transformer for Multi-Sensor Harmonization in
EO" (a network per sensor pair, no memory of other days); trained with Adam (Kingma & Ba 2015, arXiv
1412.6980).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, same_day
from openeo_udf_fusion.models.series import Observations, Prediction

if TYPE_CHECKING:
    import torch

WIDTH, EPOCHS, BATCH, LEARNING_RATE = 64, 40, 512, 3e-3
YEAR_DAYS = 365.25

Floats = NDArray[np.float64]


class Layer(NamedTuple):
    """Weight (in, out) and bias (out,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Mlp:
    """A fitted network; it runs without torch.

    Attributes
    ----------
    centre, scale : (source bands,) float64
        Of the source, to bring it to unit variance.
    layers : tuple of Layer
        With ReLU between them; the last one gives reflectance.
    sigma : (target bands,) float64
        Standard deviation on rows that were not trained on.
    knows_place : bool
        Whether it was fitted with places.
    """

    centre: Floats
    scale: Floats
    layers: tuple[Layer, ...]
    sigma: Floats
    knows_place: bool

    def predict(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        target: str,
        quantiles: Sequence[float] = (),
        longitude: NDArray[np.floating] | None = None,
        latitude: NDArray[np.floating] | None = None,
    ) -> Prediction:
        """Translate the other sensor's bands of the same day; NaN where it did not see all of them.

        `longitude` and `latitude` are (y, x) in degrees, NaN or left out where they are not known.
        """
        source = same_day.source_values(observed, query_days, target)
        query, _, y, x = source.shape
        rows = np.moveaxis(source, 1, -1).reshape(-1, source.shape[1])
        days = np.repeat(day_of_year(np.asarray(query_days)), y * x)
        place = unit_vector(longitude, latitude, y * x)
        known = np.tile(place, (query, 1)) if self.knows_place else None
        values = self.translate(features(rows, self.centre, self.scale, days, known))
        mean = np.moveaxis(values.reshape(query, y, x, -1), -1, 1)
        return daily.normal(mean, same_day.spread_over(mean, self.sigma), quantiles)

    def translate(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return reflectance (n, target bands) of features (n, features)."""
        for layer in self.layers[:-1]:
            rows = np.maximum(rows @ layer.weight + layer.bias, 0)
        result: NDArray[np.float32] = rows @ self.layers[-1].weight + self.layers[-1].bias
        return result


def fit(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    days_of_year: NDArray[np.floating] | NDArray[np.integer],
    longitude: NDArray[np.floating] | None = None,
    latitude: NDArray[np.floating] | None = None,
    *,
    groups: NDArray[np.integer] | None = None,
    seed: int = 0,
    epochs: int = EPOCHS,
) -> Mlp:
    """Train the network, with the same result for the same seed; needs torch.

    A tenth of the groups is held back: the weights are those of the epoch that did best on it.

    Parameters
    ----------
    source, target : (n, bands)
        Reflectance of both sensors on the same day and place; rows with NaN are left out.
    days_of_year : (n,)
        1..366.
    longitude, latitude : (n,), optional
        In degrees; NaN where unknown.
    groups : (n,), optional
        Rows of one group, such as a pixel, are held back together or not at all; by default each row is its
        own.
    seed, epochs : int
        Of the training.

    Returns
    -------
    Mlp
        sigma is that of the rows that were held back; of all rows where there is but one group.
    """
    place = None if longitude is None or latitude is None else unit_vector(longitude, latitude, len(source))
    beside = np.asarray(days_of_year, dtype=np.float64)[:, None]
    beside = beside if place is None else np.hstack([beside, place])
    group = np.asarray(np.arange(len(source)) if groups is None else groups, np.float64)
    x, y, beside, group = same_day.complete_rows(source, target, beside, group[:, None])
    held_back = _hold_back(group[:, 0], seed)
    centre, scale = x[~held_back].mean(0), np.maximum(x[~held_back].std(0), 1e-6)
    rows = features(x, centre, scale, beside[:, 0], None if place is None else beside[:, 1:])
    # Targets of unit variance let bands of different brightness learn at one rate.
    middle, width = y[~held_back].mean(0), np.maximum(y[~held_back].std(0), 1e-6)
    layers = _train(rows, ((y - middle) / width).astype(np.float32), held_back, seed, epochs)
    last = Layer(*(part * width.astype(np.float32) for part in layers[-1]))
    layers = (*layers[:-1], last._replace(bias=last.bias + middle.astype(np.float32)))
    mlp = Mlp(centre, scale, layers, np.zeros(y.shape[1]), place is not None)
    scored = held_back if held_back.any() else ~held_back
    sigma = (mlp.translate(rows[scored]) - y[scored]).std(0)
    return Mlp(centre, scale, layers, sigma, place is not None)


def _hold_back(group: Floats, seed: int) -> NDArray[np.bool_]:
    """Which rows (n,) belong to the tenth of the groups that is held back; none of a single group."""
    names, row = np.unique(group, return_inverse=True)
    count = max(1, len(names) // 10) if len(names) > 1 else 0
    chosen: NDArray[np.bool_] = (np.random.default_rng(seed).permutation(len(names)) < count)[row]
    return chosen


def features(
    rows: NDArray[np.floating], centre: Floats, scale: Floats, days: Floats, place: Floats | None
) -> NDArray[np.float32]:
    """Return what the network reads (n, features): bands of unit variance, day of year, place."""
    phase = 2 * np.pi * days / YEAR_DAYS
    columns = [(rows - centre) / scale, np.sin(phase)[:, None], np.cos(phase)[:, None]]
    return np.hstack(columns if place is None else [*columns, place]).astype(np.float32)


def day_of_year(days: NDArray[np.integer]) -> Floats:
    """Return 1..366 of days since 1970-01-01."""
    dates = days.astype("datetime64[D]")
    first: Floats = (dates - dates.astype("datetime64[Y]")).astype(np.float64) + 1
    return first


def unit_vector(
    longitude: NDArray[np.floating] | None, latitude: NDArray[np.floating] | None, count: int
) -> Floats:
    """Return places as points on the unit sphere (n, 3); its centre where a place is unknown."""
    if longitude is None or latitude is None:
        return np.zeros((count, 3))
    east, north = np.radians(longitude.reshape(-1)), np.radians(latitude.reshape(-1))
    points = [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)]
    found: Floats = np.nan_to_num(np.stack(points, -1).astype(np.float64))
    return found


def _train(
    rows: NDArray[np.float32],
    wanted: NDArray[np.float32],
    held_back: NDArray[np.bool_],
    seed: int,
    epochs: int,
) -> tuple[Layer, ...]:
    """Minimise the mean square error; the rate falls to nothing along half a cosine.

    The weights are those of the epoch with the smallest error on the rows held back, of the last if none are.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = (rows.shape[1], WIDTH, WIDTH, wanted.shape[1])
        linears = [torch.nn.Linear(*pair) for pair in pairwise(sizes)]
        relus = [torch.nn.ReLU() for _ in linears[1:]]
        network = torch.nn.Sequential(
            *(part for pair in zip(linears, relus, strict=False) for part in pair), linears[-1]
        )
        optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        x, y, unseen_x, unseen_y = (
            torch.from_numpy(table[which]) for which in (~held_back, held_back) for table in (rows, wanted)
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(x) // BATCH))
        smallest, best = np.inf, _layers(linears)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(x)), BATCH):
                optimiser.zero_grad()
                loss = torch.nn.functional.mse_loss(network(x[batch]), y[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
            with torch.no_grad():
                error = float(torch.nn.functional.mse_loss(network(unseen_x), unseen_y))
            if error < smallest or not len(unseen_x):
                smallest, best = error, _layers(linears)
    return best


def _layers(linears: Sequence["torch.nn.Linear"]) -> tuple[Layer, ...]:
    """A copy of the weights."""
    return tuple(
        Layer(linear.weight.detach().numpy().T.copy(), linear.bias.detach().numpy().copy())
        for linear in linears
    )
