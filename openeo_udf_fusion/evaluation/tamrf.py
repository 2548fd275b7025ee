"""Evaluate TAMRF on the Belgian site: dates that no training saw, drawn by it and by all comparators.

Four tasks after Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159: gap filling, band sharpening,
spatio-temporal fusion, thermal sharpening. The default weights were trained on other dates of the very same
640 m of ground: what is measured is how they carry over in time, and nothing about other places.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import __version__
from openeo_udf_fusion.evaluation import tamrf_methods, tamrf_trials, tamrf_wald
from openeo_udf_fusion.evaluation.brisque import Model
from openeo_udf_fusion.evaluation.tamrf_comparators import NAMES
from openeo_udf_fusion.evaluation.tamrf_methods import COMPENSATED, Method
from openeo_udf_fusion.evaluation.tamrf_paper import PAPER
from openeo_udf_fusion.evaluation.tamrf_scores import (
    COARSE,
    Group,
    Measured,
    Reference,
    compare,
    ratios_of,
    rows_of,
    sums_of,
)
from openeo_udf_fusion.evaluation.tamrf_trials import STRATEGIES, Target, Trial
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.training import tamrf_sites
from openeo_udf_fusion.training.tamrf_losses import LST
from openeo_udf_fusion.training.tamrf_sites import HELD_OUT, Interval, Site

Values = NDArray[np.float32]
Progress = Callable[[str], None]
NOTES = (
    "Sentinel-2's bands of 20 m are compared on the 10 m grid, on which they lie by bicubic interpolation, "
    "after the band's point spread function; Landsat's after theirs and bicubic to 30 m.",
    "The margin is 6 px of 10 m at every side, not the paper's 30: the site has 60 x 63.",
    "The Belgian surface temperature is in whole kelvin (0.29 K of error by itself), resampled from 100 m; "
    "there is none finer to compare with.",
    "Landsat's coastal band (B1) is not in the Belgian files and is not scored.",
    "Sentinel-2's bands of 20 m have no truth of 10 m: frequency restoration of band sharpening is relative "
    "to the four 10 m bands, on average (fr_db), and to the bicubic band that goes in (fr_gain_db); of gap "
    "filling and fusion to the held-out image. An image's mean is taken off before the transform.",
    "For BRISQUE each band is stretched between the 1st and 99th percentile of its clear observed values, "
    "alike for all methods; 48 x 51 px are few for it.",
    "Wald's protocol shows Sentinel-2 alone, at the pixel size at which TAMRF's detail and DSen2 learned on "
    "other dates of the same ground; at the pixel size of their use nobody knows the truth.",
    "TAMRF with residuals put back is what the processes that sharpen return.",
)


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    gap_days
        Hidden about each held-out block.
    margin_px
        Pixels of 10 m at every side that are not scored; a multiple of 3.
    resamples, seed
        Of the bootstrap; the seed also draws the random strategy.
    blocks
        Held-out intervals, first and last day.
    """

    gap_days: int = 30
    margin_px: int = 6
    resamples: int = 2000
    seed: int = 0
    blocks: tuple[Interval, ...] = HELD_OUT


SCORED: Mapping[str, Sequence[int]] = {"band_sharpening": COARSE, "thermal_sharpening": (LST,)}
"""Places of the bands that a task is about, if not all."""
FAST = Settings(resamples=200, blocks=HELD_OUT[1:2])


@dataclass(frozen=True)
class Scene:
    """One date as the methods drew it, to look at.

    Attributes
    ----------
    trial, target
        What was asked.
    truth
        The site that holds the image drawn.
    drawn
        By method (b, y, x) at 10 m.
    """

    trial: Trial
    target: Target
    truth: Site
    drawn: Mapping[str, Values]

    @property
    def worth(self) -> float:
        """How good it is to look at: the clear share of the image, less if another day was asked for."""
        sensor, place = self.target.sensor, self.target.place
        apart = abs(int(self.truth.days(sensor)[place]) - self.target.day)
        return float(self.truth.clear[sensor][place].mean()) - apart


class Data(NamedTuple):
    """The site, and its Sentinel-2 at twice the pixel size: as it is shown, and the truth."""

    site: Site
    coarse_shown: Site
    coarse_truth: Site


def read(folder: Path) -> Data:
    """Read the Belgian site from its folder, or from one that has it.

    Raises
    ------
    InvalidCollection
        A file is missing, or is not what it should be.
    """
    own = folder / tamrf_sites.BELGIUM if (folder / tamrf_sites.BELGIUM).is_dir() else folder
    return Data(tamrf_sites.read_belgium(own), *tamrf_wald.sites(own))


def evaluate(
    data: Data,
    fusers: Mapping[str, Fuser],
    comparators: Sequence[Method],
    settings: Settings,
    command: str,
    judge: Model | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Json, list[Scene]]:
    """Score TAMRF and all comparators on the Belgian site's held-out dates.

    Parameters
    ----------
    data
        From `read`.
    fusers
        TAMRF with one or several weights, by the names of their cards.
    comparators
        The trained ones; those without weights are always there.
    settings
        How much is measured.
    command
        What the reader can run to get the same.
    judge
        BRISQUE; without it those numbers are null.
    progress
        Is told what has been done.

    Returns
    -------
    Json
        `rows`: task, strategy, sensor, band, method, rmse (reflectance; LST in kelvin), fr_db, fr_gain_db,
        brisque, cells, dates; `comparison`: ratios of RMSE with 95 % intervals.
    list of Scene
        A date of each task and sensor, to look at.
    """
    first_day = min(int(seen.days.min()) for seen in data.site.observed.values())
    methods = [
        *tamrf_methods.baselines(),
        *comparators,
        *tamrf_methods.fusions(fusers, first_day),
    ]
    asked = [(trial, data.site) for trial in trials(data.site, settings)]
    asked.insert(-1, (tamrf_trials.wald_trial(data.coarse_shown, settings.blocks), data.coarse_truth))
    groups, scenes = draw_all(asked, methods, settings, judge, progress)
    models = [name for name in tamrf_methods.names_of(methods) if is_of(name, fusers)]
    return {
        "command": command,
        "package_version": __version__,
        "settings": asdict(settings),
        "site": data.site.name,
        "methods": tamrf_methods.names_of(methods),
        "models": models,
        "strategies": STRATEGIES,
        "brisque": judge is not None,
        "notes": [*NOTES, *not_trained(comparators)],
        **score(groups, models, settings),
        "paper": PAPER,
    }, scenes


def not_trained(comparators: Sequence[Method]) -> list[str]:
    """A note on each comparator of which there are no weights."""
    there = {method.name for method in comparators}
    return [f"{name}: not trained here, no weights." for name in NAMES if name not in there]


def is_of(name: str, fusers: Mapping[str, Fuser]) -> bool:
    """Whether a method is TAMRF."""
    return name.removesuffix(COMPENSATED) in fusers


def trials(site: Site, settings: Settings) -> Iterator[Trial]:
    """All that is asked on the site itself."""
    yield from tamrf_trials.gap_trials(site, settings.blocks, settings.gap_days, settings.seed)
    yield from tamrf_trials.fusion_trials(site, settings.blocks, settings.gap_days)
    yield from tamrf_trials.sharpening_trials(site, settings.blocks)


def draw_all(
    asked: Sequence[tuple[Trial, Site]],
    methods: Sequence[Method],
    settings: Settings,
    judge: Model | None,
    progress: Progress,
) -> tuple[list[Group], list[Scene]]:
    """Draw and compare every target of every trial; keep the best date to look at of each task."""
    groups: dict[tuple[str, str, str], Group] = {}
    scenes: dict[tuple[str, str, str], Scene] = {}
    for trial, truth in asked:
        for scene in drawn(trial, truth, methods):
            key = trial.task, trial.strategy, scene.target.sensor
            measured = measured_of(scene)
            found = compare(measured, scene.drawn, settings.margin_px, judge.score if judge else None)
            groups.setdefault(key, Group(*key)).dates.append(found)
            if key not in scenes or scene.worth > scenes[key].worth:
                scenes[key] = scene
        progress(f"{trial.task} {trial.strategy}, {len(trial.targets)} images")
    return list(groups.values()), list(scenes.values())


def drawn(trial: Trial, truth: Site, methods: Sequence[Method]) -> Iterator[Scene]:
    """What all methods draw of one trial, date by date."""
    for sensor in trial.sensors:
        wanted = [target for target in trial.targets if target.sensor == sensor]
        made = {
            method.name: method.draw(trial.shown, trial.days, sensor)
            for method in methods
            if method.answers(trial.task, sensor, trial.shown)
        }
        for target in wanted:
            at = int(np.searchsorted(trial.days, target.day))
            yield Scene(trial, target, truth, {name: images[at] for name, images in made.items()})


def measured_of(scene: Scene) -> Measured:
    """The image held out."""
    sensor, place = scene.target.sensor, scene.target.place
    values, valid, _ = scene.truth.observed[sensor]
    counts = valid[place] & scene.truth.clear[sensor][place]
    counts[np.setdiff1d(np.arange(len(counts)), SCORED.get(scene.trial.task, np.arange(len(counts))))] = False
    wald = scene.trial.strategy == "WALD"
    sharpened = scene.trial.strategy == "ALL"
    reference: Reference = "fine bands" if sharpened else "truth"
    return Measured(sensor, values[place], counts, reference, fine=wald)


def score(groups: Sequence[Group], models: Sequence[str], settings: Settings) -> Json:
    """Rows and ratios of all groups."""
    rows, comparison = [], []
    for group in groups:
        sums = sums_of(group)
        rows += rows_of(group, sums)
        comparison += ratios_of(group, sums, models, settings.resamples, settings.seed)
    return {"rows": rows, "comparison": comparison}
