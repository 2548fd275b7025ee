"""The methods that TAMRF's evaluation compares, all called alike: a site and days in, images at 10 m out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import dms, naive_interpolation, sen2like, stair
from openeo_udf_fusion.baselines.image_pairs import ALIKE, BANDS, alike_of_landsat, dated_images, finer
from openeo_udf_fusion.evaluation.tamrf_scores import COARSE
from openeo_udf_fusion.evaluation.tamrf_trials import NEAR_DAYS, SENSORS
from openeo_udf_fusion.models import reflectance_residual, thermal_residual
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.training.tamrf_losses import LST
from openeo_udf_fusion.training.tamrf_sites import Site

Values = NDArray[np.float32]
Days = NDArray[np.int32]
Observed = Mapping[str, Observations]
Draw = Callable[[Site, Days, str], Values]
COMPENSATED = "_compensated"


@dataclass(frozen=True)
class Method:
    """Something that draws images.

    Attributes
    ----------
    name, label
        In rows, and for readers.
    draw
        A site, days (q,) and a sensor -> its bands (q, b, y, x) at 10 m, NaN where there is no answer.
    tasks
        In which it takes part.
    sensors
        That it draws.
    needs
        Of the sensors shown, which it cannot do without; None for that which it draws.
    stands_in
        Takes part only where the sensor that it draws is not shown at all.
    """

    name: str
    label: str
    draw: Draw
    tasks: tuple[str, ...]
    sensors: tuple[str, ...] = SENSORS
    needs: tuple[str, ...] | None = None
    stands_in: bool = False

    def answers(self, task: str, sensor: str, shown: Site) -> bool:
        """Whether it has anything to say."""
        needed = {sensor} if self.needs is None else {*self.needs}
        if self.stands_in and sensor in shown.observed:
            return False
        return task in self.tasks and sensor in self.sensors and needed <= {*shown.observed}


def clear_only(site: Site) -> dict[str, Observations]:
    """The site's observations, valid only where the ground was seen."""
    return {
        sensor: Observations(values, valid & site.clear[sensor][:, None], days)
        for sensor, (values, valid, days) in site.observed.items()
    }


def of_baseline(predict: Callable[[Observed, Days, str], Prediction]) -> Draw:
    """A baseline, which sees no clouds."""
    return lambda site, days, sensor: predict(clear_only(site), days, sensor).mean


def stair_with_neighbours(site: Site, days: Days, sensor: str) -> Values:
    """STAIR, for which images a day apart count as of one day; else it has hardly a pair here."""
    observed = clear_only(site)
    fine, coarse = observed["s2"], observed["l8"].days.astype(np.int64)
    nearest = coarse[np.abs(fine.days[:, None] - coarse).argmin(1)]
    moved = np.where(np.abs(fine.days - nearest) <= NEAR_DAYS, nearest, fine.days)
    on_same_day = Observations(fine.values, fine.valid, moved.astype(np.int32))
    return stair.predict({**observed, "s2": on_same_day}, days, sensor).mean


def compensated(drawn: Values, site: Site, days: Days, sensor: str) -> Values:
    """A sensor's bands with the residuals of surface temperature, or of bands of 20 m, put back."""
    made = drawn.copy()
    images, own = dated_images(clear_only(site), sensor)
    observed = stair.on_days(images, own, days)
    for band in COARSE if sensor == "s2" else (LST,):
        compensate = reflectance_residual.compensate if sensor == "s2" else thermal_residual.compensate
        made[:, band] = compensate(made[:, band], observed[:, band])
    return made


def naive_compensated(site: Site, days: Days, sensor: str) -> Values:
    """A sensor's images bicubic, with residuals put back."""
    drawn = naive_interpolation.predict(clear_only(site), days, sensor).mean
    return compensated(drawn, site, days, sensor)


def landsat_itself(site: Site, days: Days, sensor: str) -> Values:
    """Landsat's image of the day, bicubic, as if it were Sentinel-2's; NaN in bands of no like."""
    images, own = dated_images(clear_only(site), "l8")
    return stair.on_days(finer(alike_of_landsat(images), "bicubic"), own, days)


def other_sensor(site: Site, days: Days, sensor: str) -> Values:
    """The other sensor interpolated as if it were the one asked for; NaN in bands of no like."""
    (other,) = {*SENSORS} - {sensor}
    drawn = naive_interpolation.predict(clear_only(site), days, other).mean
    if sensor == "s2":
        return alike_of_landsat(drawn)
    made = np.full((len(drawn), len(BANDS["l8"]), *drawn.shape[2:]), np.nan, np.float32)
    for fine, coarse in ALIKE.items():
        made[:, BANDS["l8"].index(coarse)] = drawn[:, BANDS["s2"].index(fine)]
    return made


def baselines() -> list[Method]:
    """Those without weights."""
    both = ("s2", "l8")
    return [
        Method(
            "naive",
            "each sensor by itself: linear in time, bicubic in space (on its own date: bicubic)",
            of_baseline(naive_interpolation.predict),
            ("gap_filling", "fusion", "band_sharpening", "thermal_sharpening"),
        ),
        Method(
            "other_sensor",
            "the other sensor, linear in time, bicubic in space, in the bands that have a like",
            other_sensor,
            ("gap_filling",),
            needs=(),
            stands_in=True,
        ),
        Method(
            "naive" + COMPENSATED,
            "bicubic, residuals put back",
            naive_compensated,
            ("band_sharpening", "thermal_sharpening"),
        ),
        Method(
            "landsat",
            "Landsat of the day, bicubic, in the bands that have a like",
            landsat_itself,
            ("fusion",),
            ("s2",),
            ("l8",),
        ),
        Method("stair", "STAIR, pairs up to a day apart", stair_with_neighbours, ("fusion",), ("s2",), both),
        Method("sen2like", "Sen2Like's fusion", of_baseline(sen2like.predict), ("fusion",), ("s2",), both),
        Method(
            "dms", "Data Mining Sharpener", of_baseline(dms.predict), ("thermal_sharpening",), ("l8",), both
        ),
    ]


class Fusion:
    """TAMRF with some weights; draws both sensors at once and remembers the last drawing."""

    def __init__(self, fuser: Fuser, first_day: int) -> None:
        """Days are counted from `first_day`, whatever is shown."""
        self.fuser, self.first_day = fuser, first_day
        self.last: tuple[Site, Days, dict[str, Values]] | None = None

    def draw(self, site: Site, days: Days, sensor: str) -> Values:
        """Both sensors' bands on some days; clouds are masked if the network was trained so."""
        if self.last is None or self.last[0] is not site or not np.array_equal(self.last[1], days):
            observed = clear_only(site) if self.fuser.config.clear_only else site.observed
            self.last = site, days, self.fuser.fuse(observed, days, self.first_day)
        return self.last[2][sensor]

    def draw_compensated(self, site: Site, days: Days, sensor: str) -> Values:
        """As the processes that sharpen give it: with residuals put back."""
        return compensated(self.draw(site, days, sensor), site, days, sensor)


def fusions(fusers: Mapping[str, Fuser], first_day: int) -> list[Method]:
    """TAMRF by the names of its cards."""
    made = []
    for name, fuser in fusers.items():
        fusion = Fusion(fuser, first_day)
        tasks = ("gap_filling", "fusion", "band_sharpening", "thermal_sharpening")
        made.append(Method(name, f"TAMRF, {name}", fusion.draw, tasks, needs=()))
        made.append(
            Method(
                f"{name}{COMPENSATED}",
                f"TAMRF, {name}, residuals put back",
                fusion.draw_compensated,
                ("band_sharpening", "thermal_sharpening"),
            )
        )
    return made


def names_of(methods: Sequence[Method]) -> dict[str, str]:
    """Labels by name."""
    return {method.name: method.label for method in methods}
