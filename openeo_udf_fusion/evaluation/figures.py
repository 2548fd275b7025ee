"""The pictures of a report, from the JSON of an evaluation; readable in print and by colour-blind readers."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation.verdicts import COVERAGE, HIGHEST_RATIO, TOLERANCE
from openeo_udf_fusion.jsontypes import Json

MODEL = "satfusenet"
# The palette of Okabe and Ito, with a marker and a dash of its own for each method.
LOOK: dict[str, Json] = {
    "satfusenet": {"color": "#D55E00", "marker": "o", "linewidth": 2.2, "zorder": 5},
    "linear": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "whittaker": {"color": "#56B4E9", "marker": "^", "linestyle": "-."},
    "seasonal": {"color": "#009E73", "marker": "v", "linestyle": ":"},
    "fluxneteo": {"color": "#CC79A7", "marker": "D", "linestyle": (0, (5, 1, 1, 1))},
    "identity": {"color": "#777777", "marker": "x", "linestyle": ":"},
    "band_linear": {"color": "#E69F00", "marker": "^", "linestyle": "-."},
    "ridge": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "mlp": {"color": "#009E73", "marker": "v", "linestyle": "-"},
}
GAP_COLOURS = ("#F0B27A", "#E67E22", "#BA4A00", "#6E2C00", "#1C1C1C")
MARKERS = "osv^D"
SENSORS = {"modis": "MODIS", "viirs": "VIIRS"}


def new(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure in inches with rows and columns of axes, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(visible=True, color="#E5E5E5", linewidth=0.6)
        each.set_axisbelow(True)
    return figure, axes


def values(numbers: Sequence[float | None]) -> NDArray[np.float64]:
    """JSON numbers as an array, NaN for None."""
    return np.array([np.nan if number is None else number for number in numbers], np.float64)


def distinct(rows: Sequence[Json], key: str) -> list[str]:
    """The different values of a column, in the order of the rows."""
    return list(dict.fromkeys(row[key] for row in rows))


def rmse_against_gap(rows: Sequence[Json]) -> Figure:
    """RMSE of every method over the length of the gap, a panel per band; rows of `gap_filling`."""
    bands, methods = distinct(rows, "band"), distinct(rows, "method")
    figure, axes = new(10, 5.2, 2, 4)
    for axis, band in zip(axes, bands, strict=False):
        for method in methods:
            own = [row for row in rows if row["band"] == band and row["method"] == method]
            gaps = [row["gap_days"] for row in own]
            axis.plot(gaps, values([row["rmse"] for row in own]), markersize=4, label=method, **LOOK[method])
        axis.set(xscale="log", title=band, ylim=(0, None))
        gap_ticks(axis, gaps)
    spare(axes, len(bands))
    axes[0].set_ylabel("RMSE (reflectance)")
    axes[4].set_ylabel("RMSE (reflectance)")
    figure.supxlabel("length of the gap (days)", fontsize=10)
    legend_in(axes[-1], axes[0])
    return figure


def dots_by_gap(axis: Axes, rows: Sequence[Json], key: str) -> None:
    """A number with its interval, a group per band (in the rows' order) and in it a dot per gap length."""
    gaps = distinct(rows, "gap_days")
    for place, gap in enumerate(gaps):
        own = [row for row in rows if row["gap_days"] == gap]
        centre, low, high = (values([row[name] for row in own]) for name in (key, "low", "high"))
        axis.errorbar(
            np.arange(len(own)) + (place - (len(gaps) - 1) / 2) * 0.15,
            centre,
            (centre - low, high - centre),
            fmt=MARKERS[place % len(MARKERS)],
            color=GAP_COLOURS[place % len(GAP_COLOURS)],
            markersize=4.5,
            capsize=2,
            label=f"{gap} days",
        )


def ratio_per_band(rows: Sequence[Json], means: Sequence[Json]) -> Figure:
    """RMSE over the best baseline's with its interval; rows of `gap_ratio` and `gap_ratio_mean`."""
    bands = distinct(rows, "band")
    figure, axes = new(10, 3.4)
    axis = axes[0]
    dots_by_gap(axis, [*rows, *means], "ratio")
    axis.axhline(1, color="black", linewidth=1)
    axis.axhline(HIGHEST_RATIO, color="#B00020", linewidth=1, linestyle="--", label=f"gate {HIGHEST_RATIO}")
    axis.set_xticks(range(len(bands) + 1), [*bands, "mean"])
    axis.set_ylabel("RMSE / best baseline's")
    axis.legend(ncols=6, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def reliability(rows: Sequence[Json]) -> Figure:
    """Covered over nominal, less nominal: of the model by gap and for translation, and of all at one gap."""
    figure, axes = new(10, 3.6, 1, 3)
    filled = [row for row in rows if "gap_days" in row]
    of_model = [row for row in filled if row["method"] == MODEL]
    panels: list[tuple[str, list[Json], Callable[[Json], str]]] = [
        ("SatFuseNet, gaps", of_model, lambda row: f"{row['gap_days']} days"),
        (
            "all methods, gaps of 20 days",
            [r for r in filled if r["gap_days"] == 20],
            lambda row: row["method"],
        ),
        (
            "SatFuseNet, translation",
            [r for r in rows if "direction" in r],
            lambda row: arrow(row["direction"]),
        ),
    ]
    for axis, (title, own, name) in zip(axes, panels, strict=True):
        axis.fill_between([0, 1], [-TOLERANCE] * 2, [TOLERANCE] * 2, color="#EEEEEE", zorder=0)
        axis.axhline(0, color="black", linewidth=1)
        for place, row in enumerate(own):
            look = LOOK[row["method"]] if title.startswith("all") else shade(place)
            look = {key: value for key, value in look.items() if key != "marker"}
            nominal = values(row["nominal"])
            axis.plot(nominal, values(row["covered"]) - nominal, label=name(row), **look)
        axis.set(title=title, xlabel="nominal coverage", xlim=(0, 1))
        if own:
            axis.legend(fontsize=7)
    axes[0].set_ylabel("covered less nominal")
    return figure


def coverage_per_gap(rows: Sequence[Json]) -> Figure:
    """Coverage of the 80 % intervals with its own interval, all bands together and each; `gap_coverage`."""
    bands = distinct(rows, "band")
    figure, axes = new(10, 3.0)
    axis = axes[0]
    axis.axhspan(COVERAGE - TOLERANCE, COVERAGE + TOLERANCE, color="#EEEEEE", zorder=0)
    axis.axhline(COVERAGE, color="black", linewidth=1)
    dots_by_gap(axis, rows, "coverage80")
    axis.set_xticks(range(len(bands)), [name if name != "all" else "all bands" for name in bands])
    axis.set_ylabel("coverage of 80 % intervals")
    axis.legend(ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def pit(rows: Sequence[Json]) -> Figure:
    """PIT histograms of the model, a panel per gap length."""
    own = [row for row in rows if "gap_days" in row and row["method"] == MODEL]
    figure, axes = new(10, 2.3, 1, max(1, len(own)))
    highest = max((float(np.nanmax(values(row["pit"]) * len(row["pit"]))) for row in own), default=1.0)
    for axis, row in zip(axes, own, strict=False):
        density = values(row["pit"]) * len(row["pit"])
        edges = np.linspace(0, 1, len(density) + 1)
        axis.stairs(density, edges, fill=True, color="#F0B27A", edgecolor="#D55E00")
        axis.axhline(1, color="black", linewidth=1)
        axis.set(title=f"{row['gap_days']} days", xlim=(0, 1), ylim=(0, 1.05 * highest), xlabel="PIT")
    axes[0].set_ylabel("density")
    return figure


def spread_against_error(rows: Sequence[Json]) -> Figure:
    """RMSE over the stated sigma in bins of sigma, a panel per gap length, all methods."""
    filled = [row for row in rows if "gap_days" in row]
    gaps, methods = distinct(filled, "gap_days"), distinct(filled, "method")
    figure, axes = new(10, 2.7, 1, max(1, len(gaps)))
    for axis, gap in zip(axes, gaps, strict=False):
        ends = (1e-3, 0.4)
        axis.plot(ends, ends, color="black", linewidth=1)
        for method in methods:
            for row in (r for r in filled if r["gap_days"] == gap and r["method"] == method):
                axis.plot(
                    values(row["spread"]), values(row["error"]), markersize=3, label=method, **LOOK[method]
                )
        axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=f"{gap} days", xlabel="sigma")
    axes[0].set_ylabel("RMSE of the bin")
    axes[0].legend(fontsize=6)
    return figure


def rmse_of_pixels(rows: Sequence[Json]) -> Figure:
    """Cumulative distribution of single pixels' RMSE, a panel per gap length."""
    gaps = distinct(rows, "gap_days")
    figure, axes = new(10, 2.7, 1, max(1, len(gaps)))
    for axis, gap in zip(axes, gaps, strict=False):
        for row in (each for each in rows if each["gap_days"] == gap):
            look = {key: value for key, value in LOOK[row["method"]].items() if key != "marker"}
            axis.plot(values(row["rmse"]), row["share"], label=row["method"], **look)
        axis.set(xscale="log", ylim=(0, 1), title=f"{gap} days", xlabel="RMSE of a pixel")
    axes[0].set_ylabel("share of pixels below")
    axes[0].legend(fontsize=6)
    return figure


def scatter(rows: Sequence[Json]) -> Figure:
    """Predicted over observed reflectance as counts, a panel per band."""
    columns = 4
    figure, axes = new(10, 2.6 * -(-len(rows) // columns), -(-len(rows) // columns), columns)
    for axis, row in zip(axes, rows, strict=False):
        counts, end = np.array(row["counts"], np.float64).T, row["highest"]
        shown = np.ma.masked_less(counts, 1)
        norm = LogNorm(1, max(2.0, counts.max()))
        axis.pcolormesh(*[np.linspace(0, end, len(counts) + 1)] * 2, shown, norm=norm, cmap="magma_r")
        axis.plot([0, end], [0, end], color="black", linewidth=0.8)
        axis.set(title=row["band"], xlim=(0, end), ylim=(0, end), aspect="equal")
    spare(axes, len(rows))
    figure.supxlabel("observed reflectance", fontsize=10)
    figure.supylabel("predicted reflectance", fontsize=10)
    return figure


def nse_difference(rows: Sequence[Json]) -> Figure:
    """NSE of the model less that of the MLP, per band, direction and platform, with its interval."""
    own = [row for row in rows if row["baseline"] == "mlp"]
    directions, platforms = distinct(own, "direction"), distinct(own, "platform")
    figure, axes = new(10, 3.0, 1, max(1, len(directions)))
    for axis, direction in zip(axes, directions, strict=False):
        bands = distinct([row for row in own if row["direction"] == direction], "band")
        for place, platform in enumerate(platforms):
            part = [row for row in own if row["direction"] == direction and row["platform"] == platform]
            centre, low, high = (values([row[key] for row in part]) for key in ("difference", "low", "high"))
            x = np.arange(len(part)) + (place - (len(platforms) - 1) / 2) * 0.4
            colours = np.where(centre > 0, "#D55E00", "#777777")
            axis.bar(x, centre, 0.36, color=colours, alpha=(1.0, 0.55)[place % 2], label=platform)
            axis.errorbar(x, centre, (centre - low, high - centre), fmt="none", color="black", capsize=2)
        axis.axhline(0, color="black", linewidth=1)
        axis.set_xticks(range(len(bands)), bands)
        axis.set(title=arrow(direction))
    axes[0].set_ylabel("NSE less the MLP's")
    axes[0].legend(fontsize=8)
    return figure


def arrow(direction: str) -> str:
    """`viirs_to_modis` for readers."""
    source, _, target = direction.partition("_to_")
    return f"{SENSORS.get(source, source)} to {SENSORS.get(target, target)}"


def shade(place: int) -> Json:
    """The look of one of several lines of the same method."""
    return {"color": GAP_COLOURS[place % len(GAP_COLOURS)], "linestyle": ("-", "--", "-.", ":")[place % 4]}


def gap_ticks(axis: Axes, gaps: Sequence[int]) -> None:
    """Label the lengths that were measured, and no others."""
    axis.set_xticks(gaps, [str(gap) for gap in gaps])
    axis.minorticks_off()


def spare(axes: Sequence[Axes], used: int) -> None:
    """Hide the panels that are left over."""
    for axis in axes[used:]:
        axis.set_axis_off()


def legend_in(axis: Axes, of: Axes) -> None:
    """Put the legend of one panel into an empty one."""
    axis.legend(*of.get_legend_handles_labels(), loc="center", frameon=False)
