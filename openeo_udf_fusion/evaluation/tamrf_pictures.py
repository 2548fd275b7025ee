"""Pictures of TAMRF's evaluation: a date of each task as all methods drew it, and how they compare."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FormatStrFormatter, LogLocator
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.image_pairs import ALIKE, BANDS
from openeo_udf_fusion.evaluation import figures
from openeo_udf_fusion.evaluation.tamrf import Scene
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.training.tamrf_losses import LST
from openeo_udf_fusion.training.tamrf_sites import Site

Values = NDArray[np.float32]
TRUE_COLOUR = ("B04", "B03", "B02")
INFRARED = ("B8A", "B11", "B04")
SHARPENED = ("B05", "B07", "B11")
GREY = 0.6
STRETCH = (0.01, 0.99)
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00", "#777777")


def of_scene(scene: Scene) -> Figure:
    """The picture that suits a scene's task."""
    if scene.trial.task == "thermal_sharpening":
        return temperature(scene)
    if scene.trial.task == "band_sharpening":
        return bands(scene)
    return composites(scene)


def caption(scene: Scene) -> str:
    """What the picture shows."""
    sensor = {"s2": "Sentinel-2", "l8": "Landsat"}[scene.target.sensor]
    taken = date(scene.truth.observed[scene.target.sensor].days[scene.target.place])
    asked = date(scene.target.day)
    other = "" if asked == taken else f", methods asked for {asked}"
    task = scene.trial.task.replace("_", " ")
    return f"{task}, {scene.trial.strategy}: {sensor} of {taken}{other}. {SAYS[scene.trial.task]}"


SAYS: Mapping[str, str] = {
    "gap_filling": "Above true colours, below infrared (B8A, B11, red). Before and after: the nearest images "
    "that methods were shown, clouds and all.",
    "fusion": "Above true colours, below infrared (B8A, B11, red).",
    "band_sharpening": "A band of 20 m to a row, in one stretch; at the right a band of 10 m of the day.",
    "thermal_sharpening": "Kelvin, one scale; at the right Sentinel-2's nearest image in true colours.",
}


def composites(scene: Scene) -> Figure:
    """True colours and infrared of the held-out image and of all methods'."""
    sensor = scene.target.sensor
    shown = neighbours(scene)
    shown["held out"] = measured(scene.truth, sensor, scene.target.place)
    shown |= scene.drawn
    figure, axes = panels(2, len(shown))
    for row, names in enumerate((TRUE_COLOUR, INFRARED)):
        places = [BANDS[sensor].index(name if sensor == "s2" else ALIKE[name]) for name in names]
        low, high = np.nanquantile(shown["held out"][places], STRETCH, axis=(1, 2))
        for column, (name, image) in enumerate(shown.items()):
            stretched = (np.moveaxis(image[places], 0, -1) - low) / (high - low)
            draw(axes[row][column], coloured(stretched), "" if row else name)
    return figure


def neighbours(scene: Scene) -> dict[str, Values]:
    """Images that methods were shown beside the day, and Landsat's of the day if there is one."""
    found, sensor = {}, scene.target.sensor
    if sensor in scene.trial.shown.observed:
        days = scene.trial.shown.observed[sensor].days
        for name, which in (("before", days < scene.target.day), ("after", days > scene.target.day)):
            if which.any():
                apart = np.where(which, np.abs(days - scene.target.day), np.iinfo(np.int32).max)
                at = int(apart.argmin())
                found[f"{name}\n{date(days[at])}"] = measured(scene.trial.shown, sensor, at)
    if scene.trial.task == "fusion" and "l8" in scene.trial.shown.observed:
        days = scene.trial.shown.observed["l8"].days
        for same in np.flatnonzero(days == scene.target.day):
            found["Landsat\nof the day"] = like_sentinel2(measured(scene.trial.shown, "l8", int(same)))
    return found


def like_sentinel2(image: Values) -> Values:
    """Landsat's bands (8, y, x) in Sentinel-2's order, each pixel 3 x 3; NaN where there is no like."""
    coarse = np.full((len(BANDS["s2"]), *image.shape[1:]), np.nan, np.float32)
    for name, own in ALIKE.items():
        coarse[BANDS["s2"].index(name)] = image[BANDS["l8"].index(own)]
    return np.repeat(np.repeat(coarse, 3, 1), 3, 2)


def measured(site: Site, sensor: str, place: int) -> Values:
    """An image of a site as it was measured, NaN where not valid."""
    values, valid, _ = site.observed[sensor]
    return np.where(valid[place], values[place], np.float32(np.nan))


def bands(scene: Scene) -> Figure:
    """Bands of 20 m as each method has them at 10 m, and a band of 10 m."""
    truth = measured(scene.truth, "s2", scene.target.place)
    held_out = {"held out": truth} if scene.trial.strategy == "WALD" else {}
    figure, axes = panels(len(SHARPENED), len(scene.drawn) + len(held_out) + 1)
    for row, band in enumerate(SHARPENED):
        place = BANDS["s2"].index(band)
        ends = np.nanquantile(truth[place], STRETCH)
        for column, (name, image) in enumerate({**held_out, **scene.drawn}.items()):
            draw(axes[row][column], image[place], "" if row else name, ends, "gray")
            axes[row][0].set_ylabel(band)
        fine = truth[BANDS["s2"].index("B04" if band == "B05" else "B08")]
        own = "B04" if band == "B05" else "B08"
        draw(axes[row][-1], fine, f"{own} of the day", np.nanquantile(fine, STRETCH), "gray")
    return figure


def temperature(scene: Scene) -> Figure:
    """Landsat's temperature and each method's at 10 m, and the ground in true colours."""
    coarse = measured(scene.truth, "l8", scene.target.place)[LST]
    ends = np.nanquantile(coarse, STRETCH)
    figure, axes = panels(1, len(scene.drawn) + 2)
    draw(axes[0][0], coarse, "Landsat, 30 m", ends, "inferno")
    for column, (name, image) in enumerate(scene.drawn.items()):
        last = draw(axes[0][column + 1], image[LST], name, ends, "inferno")
    figure.colorbar(last, ax=axes[0][:-1], shrink=0.7, label="K", location="bottom", aspect=60)
    days = scene.truth.observed["s2"].days
    clear = scene.truth.clear["s2"].mean((1, 2)) > 0.9
    nearest = int(np.where(clear, np.abs(days - scene.target.day), np.iinfo(np.int32).max).argmin())
    image = measured(scene.truth, "s2", nearest)[[BANDS["s2"].index(name) for name in TRUE_COLOUR]]
    low, high = np.nanquantile(image, STRETCH, axis=(1, 2))
    stretched = (np.moveaxis(image, 0, -1) - low) / (high - low)
    draw(axes[0][-1], coloured(stretched), f"Sentinel-2\n{date(days[nearest])}")
    return figure


def forest(result: Json, model: str) -> Figure:
    """RMSE of a model over that of each comparator with its interval, a row per task, strategy and sensor."""
    chosen = [r for r in result["comparison"] if r["method"] == model and r["band"] in ("mean", "LST")]
    chosen = [r for r in chosen if not r["baseline"].startswith(model)]
    lines = list(dict.fromkeys(line_of(row) for row in chosen))
    baselines = figures.distinct(chosen, "baseline")
    figure, axes = figures.new(9, 1.2 + 0.34 * len(lines))
    axis = axes[0]
    for number, baseline in enumerate(baselines):
        own = [row for row in chosen if row["baseline"] == baseline]
        centre, low, high = (figures.values([row[key] for row in own]) for key in ("ratio", "low", "high"))
        away = (number - (len(baselines) - 1) / 2) * 0.14
        axis.errorbar(
            centre,
            np.array([lines.index(line_of(row)) for row in own]) + away,
            xerr=(centre - low, high - centre),
            fmt=figures.MARKERS[number % len(figures.MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=4.5,
            capsize=2,
            label=f"over {baseline}",
        )
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks(range(len(lines)), lines, fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.minorticks_off()
    axis.set(xlabel=f"RMSE of {model} / RMSE of the other (below 1: {model} is better)")
    axis.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def line_of(row: Json) -> str:
    """The name of a row of the forest."""
    what = "LST" if row["band"] == "LST" else {"s2": "Sentinel-2", "l8": "Landsat"}[row["sensor"]]
    return f"{row['task'].replace('_', ' ')}, {row['strategy']}: {what}"


# --- the pieces


def panels(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure of small images."""
    side = min(1.75, 14 / columns)
    figure = Figure(figsize=(side * columns, 1.02 * side * rows + 0.45), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def draw(
    axis: Axes, image: NDArray[np.floating], title: str, ends: Sequence[float] = (0, 1), colours: str = "gray"
) -> AxesImage:
    """Draw one image without ticks; what is missing is grey."""
    axis.set_facecolor(str(GREY))
    drawn = axis.imshow(image, interpolation="nearest", vmin=ends[0], vmax=ends[1], cmap=colours)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=8)
    return drawn


def coloured(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """Colours (y, x, 3) within 0-1, grey where one is missing."""
    missing = ~np.isfinite(image).all(-1, keepdims=True)
    return np.where(missing, GREY, np.clip(np.nan_to_num(image), 0, 1))


def date(day: int | np.integer) -> str:
    """Days since 1970-01-01 as a date."""
    return str(np.datetime64(int(day), "D"))
