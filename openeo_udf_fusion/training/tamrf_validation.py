"""How well TAMRF tells images that it was not given, beside classical methods.

Of each site some dates are hidden, those that choose the weights or those held out: both sensors' at once (a
gap), and one sensor's alone (fusion). Predictions are compared with the clear pixels as the sensor sees them.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import naive_interpolation, sen2like
from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_losses import LEAST_CLEAR, as_seen
from openeo_udf_fusion.training.tamrf_sites import Mask, Site, scale_of

Kind = TypeVar("Kind", bound=np.generic)
Values = NDArray[np.float32]
CHECKED_PX = 48
"""Of a site, so much of its middle is compared."""
MARGIN_PX = 3
"""At 10 m, as the outermost pixels know no neighbours."""
TASKS: Mapping[str, tuple[str, ...]] = {"gap": ("l8", "s2"), "no s2": ("s2",), "no l8": ("l8",)}
"""Which sensors' dates are hidden."""


class Trial(NamedTuple):
    """One thing to tell, and what interpolation makes of it.

    Attributes
    ----------
    name
        Site, task and sensor.
    given
        By sensor, what is told.
    clear
        The same without clouds, for methods that are told none.
    sensor, days
        What is asked for.
    truth, known
        (n, b, y, x) on the sensor's own grid.
    interpolated
        (b,), the error of interpolation; NaN where there is nothing to compare.
    """

    name: str
    given: Mapping[str, Observations]
    clear: Mapping[str, Observations]
    sensor: str
    days: NDArray[np.int32]
    truth: Values
    known: Mask
    interpolated: Values


def trials(
    sites: Sequence[Site], hidden: Callable[[Site, str], Mask], clear_only: bool = True
) -> list[Trial]:
    """All trials of some sites, the middle of each; those without clear dates are left out.

    Parameters
    ----------
    sites
        With the dates to hide.
    hidden
        Which dates (t,) of a site's sensor are hidden and told.
    clear_only
        Whether the network is given clear pixels alone.
    """
    made = []
    for site in sites:
        size = min(CHECKED_PX, min(site.shape) // 3 * 3)
        top, left = ((side - size) // 2 // 3 * 3 for side in site.shape)
        part = site.crop(top, left, size)
        away = {s: hidden(part, s) for s in part.observed}
        for task, sensors in TASKS.items():
            if task == "gap" or len(part.observed) > 1:
                shown = part.on({s: ~away[s] | (s not in sensors) for s in part.observed})
                clear = without_clouds(shown)
                given = clear if clear_only else shown.observed
                for sensor in sensors:
                    asked = asked_of(part, sensor, away)
                    if asked.any():
                        made.append(trial(part, f"{part.name}, {task}", sensor, asked, given, clear))
    return made


def asked_of(site: Site, sensor: str, away: Mapping[str, Mask]) -> Mask:
    """Which of the hidden dates (t,) of a sensor are clear enough to be told."""
    if sensor not in site.observed:
        return np.zeros(0, np.bool_)
    return np.asarray(away[sensor] & (site.clear[sensor].mean((1, 2)) >= LEAST_CLEAR))


def without_clouds(site: Site) -> dict[str, Observations]:
    """A site's observations of the ground."""
    return {
        s: Observations(o.values, o.valid & site.clear[s][:, None], o.days) for s, o in site.observed.items()
    }


def trial(
    site: Site,
    task: str,
    sensor: str,
    asked: Mask,
    given: Mapping[str, Observations],
    clear: Mapping[str, Observations],
) -> Trial:
    """One trial."""
    values, valid, days = site.observed[sensor]
    known = inside(valid[asked] & site.clear[sensor][asked][:, None], sensor)
    truth = inside(values[asked], sensor)
    line = naive_interpolation.predict(clear, days[asked], sensor).mean
    error = rmse(inside(on_own_grid(line, sensor), sensor), truth, known)
    return Trial(f"{task}, {sensor}", given, clear, sensor, days[asked], truth, known, error)


def on_own_grid(images: Values, sensor: str) -> Values:
    """Predictions at 10 m as the sensor sees them."""
    seen: Values = as_seen(torch.from_numpy(np.ascontiguousarray(images)), sensor).numpy()
    return seen


def inside(images: NDArray[Kind], sensor: str) -> NDArray[Kind]:
    """Without the margin."""
    margin = MARGIN_PX // scale_of(sensor)
    return images[..., margin:-margin, margin:-margin]


def rmse(guess: Values, truth: Values, known: Mask) -> Values:
    """Of each band (b,) over all that is known and told; NaN where that is nothing."""
    compared = known & np.isfinite(guess)
    squares = np.where(compared, np.square(np.nan_to_num(guess) - truth, dtype=np.float64), 0)
    count = compared.sum((0, 2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        error: Values = np.sqrt(squares.sum((0, 2, 3)) / count).astype(np.float32)
    return error


def errors(fuser: Fuser, tried: Sequence[Trial]) -> list[Values]:
    """Of each trial, the RMSE of each band (b,)."""
    return errors_of(fused(fuser, tried), tried)


def errors_of(images: Sequence[Values], tried: Sequence[Trial]) -> list[Values]:
    """The same of images at 10 m."""
    return [
        rmse(inside(on_own_grid(image, each.sensor), each.sensor), each.truth, each.known)
        for image, each in zip(images, tried, strict=True)
    ]


def fused(fuser: Fuser, tried: Sequence[Trial]) -> list[Values]:
    """The images asked for at 10 m; trials that follow one another and show the same are told at once."""
    made: list[Values] = []
    for _, group in groupby(tried, lambda each: id(each.given)):
        alike = list(group)
        days = np.unique(np.concatenate([each.days for each in alike]))
        first = int(min(o.days.min() for o in alike[0].given.values()))
        images = fuser.fuse(alike[0].given, days, first, sensors=sorted({each.sensor for each in alike}))
        made += [images[each.sensor][np.searchsorted(days, each.days)] for each in alike]
    return made


def score(found: Sequence[Values], tried: Sequence[Trial]) -> float:
    """The error beside that of interpolation, the mean over bands and then over trials; below 1 is better."""
    shares = [float(np.nanmean(own / each.interpolated)) for own, each in zip(found, tried, strict=True)]
    return float(np.mean(shares))


def told(found: Sequence[Values], tried: Sequence[Trial]) -> Json:
    """Errors of network and interpolation by trial and band, for the card."""
    return {
        each.name: {
            "images": len(each.days),
            "rmse": numbers(own, each.sensor),
            "rmse_of_interpolation": numbers(each.interpolated, each.sensor),
        }
        for own, each in zip(found, tried, strict=True)
    }


def numbers(error: Values, sensor: str) -> Json:
    """Errors by band, those of bands that were compared."""
    pairs = zip(BANDS[sensor], error, strict=True)
    return {band: float(f"{value:.3g}") for band, value in pairs if np.isfinite(value)}


def beside_sen2like(fuser: Fuser, tried: Sequence[Trial]) -> Json:
    """On the days of Landsat's that a trial of Sentinel-2 hides: both methods' errors of the bands alike.

    Sen2Like knows no other days, and no other bands.
    """
    for each in tried:
        both = np.isin(each.days, each.given["l8"].days) if "l8" in each.given else np.zeros(0, np.bool_)
        if each.sensor != "s2" or not both.any():
            continue
        days = each.days[both]
        first = int(min(o.days.min() for o in each.given.values()))
        images = {
            "rmse": fuser.fuse(each.given, days, first, sensors=("s2",))["s2"],
            "rmse_of_sen2like": sen2like.predict(each.clear, days, "s2").mean,
        }
        seen = {name: inside(on_own_grid(image, "s2"), "s2") for name, image in images.items()}
        alike = each.known[both] & np.isfinite(seen["rmse_of_sen2like"])
        told = {name: numbers(rmse(image, each.truth[both], alike), "s2") for name, image in seen.items()}
        return {"trial": each.name, "images": int(both.sum()), **told}
    return {}
