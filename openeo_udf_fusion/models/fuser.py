"""Fuse series of Landsat and Sentinel-2 images: numpy in, numpy out, year by year, in the field's units."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.series import Observations, Precision, size_of

SENSORS: Mapping[str, tamrf.SensorId] = MappingProxyType({"l8": "lr", "s2": "hr"})
"""The network's name of each sensor."""
TEMPERATURE = "LST"
KELVIN = 1000.0
"""The network counts surface temperature in so many kelvin."""
YEAR_DAYS = 365
"""So long are the series on which such networks are trained."""


class Fuser:
    """A loaded fusion; `fuse` may be called from several threads.

    Parameters
    ----------
    model
        The network with its weights.
    support_days
        Farthest distance to an observation at which it was trained, from the card.
    precisions
        Those in which it was checked, from the card.
    device
        Where to compute, e.g. "cpu" or "cuda".
    """

    def __init__(
        self,
        model: tamrf.Tamrf,
        support_days: int,
        precisions: Sequence[str] = ("float32",),
        device: str = "cpu",
    ) -> None:
        self.model = model.to(device).eval()
        self.support_days = support_days
        self.precisions = tuple(precisions)

    @property
    def config(self) -> tamrf.Config:
        """The network's shape, with the bands of each sensor in their order; `clear_only` asks for masks."""
        return self.model.config

    @property
    def bands(self) -> dict[str, tuple[str, ...]]:
        """Band names by sensor, "l8" and "s2", in the network's order."""
        return {sensor: self.config.bands(own) for sensor, own in SENSORS.items()}

    def fuse(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        first_day: int,
        sensors: Sequence[str] = ("l8", "s2"),
        precision: Precision = "float32",
    ) -> dict[str, NDArray[np.float32]]:
        """All bands of the sensors asked for at 10 m on every queried day.

        The network counts days from the first day of a year of 365 days; years are counted from
        `first_day`. A queried day's year is answered from the observations in it and within `support_days`
        of it. What comes out for a pixel depends on those within `config.receptive_field_px` pixels,
        and on nothing else: not on their order, the tile or the other queried days.

        Parameters
        ----------
        observed
            "s2": surface reflectance 0-1 (t, 10, y, x) at 10 m; "l8": surface reflectance 0-1 and surface
            temperature in kelvin (t, 8, y / 3, x / 3) at 30 m, of the same corner; `days` (t,) since
            1970-01-01 in any order. A sensor, a band or a pixel may be missing. Where the network is
            `clear_only`, what is cloudy must not be valid; else clouds stay in.
        query_days
            (query,), days since 1970-01-01 in any order.
        first_day
            Day 0, in days since 1970-01-01: the first of the period, whatever is in the tile.
        sensors
            Which to return.
        precision
            "bfloat16" is faster, for reflectance alone, and where the card says that it was checked.

        Returns
        -------
        dict of str to NDArray[np.float32]
            By sensor (query, bands, y, x) at 10 m in the units of the input; NaN where a pixel has no valid
            observation of any sensor in reach.

        Raises
        ------
        InvalidParameter
            An unknown sensor, or a precision that was not checked or is too coarse for what is asked for.
        InvalidCube
            Shapes that disagree with the network's bands or with one another.
        """
        self._check_choices(observed, sensors, precision)
        y, x = self._size(observed)
        query = np.asarray(query_days, np.int64)
        out = {s: np.full((len(query), len(self.bands[s]), y, x), np.nan, np.float32) for s in sensors}
        years = (query - first_day) // YEAR_DAYS
        for year in np.unique(years):
            start = first_day + int(year) * YEAR_DAYS
            series = self._around(observed, start)
            if series:
                chosen = years == year
                made = self._predict(series, query[chosen] - start, precision)
                for sensor in sensors:
                    out[sensor][chosen] = made[sensor]
        return out

    def _check_choices(
        self, observed: Mapping[str, Observations], sensors: Sequence[str], precision: Precision
    ) -> None:
        unknown = sorted({*observed, *sensors} - {*SENSORS})
        if unknown or not observed or not sensors:
            raise InvalidParameter(
                f"observations and results of one sensor or more of {list(SENSORS)} are needed; got "
                f"{sorted(observed)} and {list(sensors)}"
            )
        if precision not in ("float32", "bfloat16"):
            raise InvalidParameter(f"precision is 'float32' or 'bfloat16', got {precision!r}")
        if precision not in self.precisions:
            raise InvalidParameter(
                f"these weights were checked in {list(self.precisions)}, not in {precision!r}"
            )
        if precision == "bfloat16" and "l8" in sensors:
            raise InvalidParameter(
                "bfloat16 is too coarse for surface temperature, which is among l8's bands; ask for sensors "
                "['s2'], or for precision 'float32'"
            )

    def _size(self, observed: Mapping[str, Observations]) -> tuple[int, int]:
        """Rows and columns of the result, once all shapes agree."""
        sizes = {}
        for sensor, series in observed.items():
            rows, columns = size_of(sensor, series, self.bands[sensor])
            scale = self.config.scale(SENSORS[sensor])
            sizes[sensor] = scale * rows, scale * columns
        if len({*sizes.values()}) != 1:
            raise InvalidCube(
                f"l8 at 30 m must cover the pixels of s2 at 10 m, {self.config.upscaling} to one along each "
                f"side; at 10 m they have {sizes}"
            )
        return next(iter(sizes.values()))

    def _around(self, observed: Mapping[str, Observations], start: int) -> dict[str, Observations]:
        """What is valid in the year from a day, and within reach of it, as the network counts."""
        series = {}
        for sensor, (values, valid, days) in observed.items():
            count = days.astype(np.int64) - start
            near = (count >= -self.support_days) & (count < YEAR_DAYS + self.support_days)
            near &= valid.any(axis=(1, 2, 3))
            if near.any():
                own = values[near].astype(np.float32, copy=False)  # chosen by a mask: a copy
                own *= self._scale(sensor)
                series[sensor] = Observations(own, valid[near], count[near].astype(np.int32))
        return series

    def _predict(
        self, series: Mapping[str, Observations], query: NDArray[np.int64], precision: Precision
    ) -> dict[str, NDArray[np.float32]]:
        given: dict[str, Tensor] = {}
        for sensor, (values, valid, days) in series.items():
            own = SENSORS[sensor]
            given[own] = torch.from_numpy(values)
            given[f"{own}_valid"] = torch.from_numpy(valid)
            given[f"{own}_days"] = torch.from_numpy(days)
        query_days = torch.from_numpy(query)
        lr, hr = tamrf.predict(self.model, query_days=query_days, precision=precision, **given)
        made: dict[str, NDArray[np.float32]] = {"l8": lr.numpy(), "s2": hr.numpy()}
        for sensor, values in made.items():
            values /= self._scale(sensor)
        return made

    def _scale(self, sensor: str) -> NDArray[np.float32]:
        """By what a value is multiplied for the network, (b, 1, 1)."""
        kelvin = np.array([band == TEMPERATURE for band in self.bands[sensor]])
        return np.where(kelvin, 1 / KELVIN, 1).astype(np.float32)[:, None, None]
