"""The picture of a drop-in certificate, from its JSON; readable in print and by colour-blind readers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from openeo_udf_fusion.evaluation.gpp_comparison import AS_IT_IS, RETRAINED, RIDGE, SYNTHETIC, TRUTH
from openeo_udf_fusion.jsontypes import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    AS_IT_IS: "VIIRS as it is",
    SYNTHETIC: "SatFuseNet",
    RIDGE: "all-band ridge",
    RETRAINED: "VIIRS, retrained",
}
# The palette of Okabe and Ito, as in the other pictures of the report; a marker of its own for each model.
COLOURS = {AS_IT_IS: "#777777", SYNTHETIC: "#D55E00", RIDGE: "#0072B2", RETRAINED: "#009E73"}
MARKERS = ("o", "s")


def figure(certificate: Json) -> "Figure":
    """Draw what replaces MODIS against MODIS: RMSE at the towers, how far GPP moves, and its mean shift.

    Each dot is a mean over draws with its 95 % interval over places; the shade is what counts as usable.
    """
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10, 3.8), layout="constrained")
    axes: list[Axes] = list(picture.subplots(1, 3, sharey=True))
    models = list(dict.fromkeys(row["model"] for row in certificate["scores"]))
    rmse = {row["model"]: row["rmse"] for row in certificate["scores"] if row["input"] == TRUTH}
    against = [row for row in certificate["differences"] if row["against"] == TRUTH]
    limits = [row["limit"] for row in certificate["verdicts"]]
    axes[0].axvspan(-max(rmse.values()), min(limits), color="#EEEEEE", zorder=0)
    draw(axes[0], [row | {"value": row["rmse_difference"]} for row in against], models)
    draw(axes[1], [row | row["rms"] for row in certificate["departures"]], models)
    draw(axes[2], [row | row["mean"] for row in certificate["departures"]], models)
    lowest = min(0.0, *(row["low"] for row in against))
    axes[0].set_xlim(lowest - 0.01, max(*limits, *(row["high"] for row in against)) + 0.01)
    axes[0].axvline(min(limits), color="#B00020", linestyle="--", linewidth=1)
    axes[1].set_xlim(0, None)
    margin = f"{100 * certificate['settings']['margin']:.0f} %"
    axes[0].set_title(f"RMSE against towers, less MODIS's\n(dashed: {margin} of MODIS's)", fontsize=10)
    axes[1].set_title("GPP moved from that with MODIS\n(root mean square)", fontsize=10)
    axes[2].set_title("GPP moved from that with MODIS\n(mean)", fontsize=10)
    axes[0].set_yticks(range(len(NAMES)), list(NAMES.values()))
    axes[0].set_ylim(len(NAMES) - 0.5, -0.5)
    texts = [f"{model}: RMSE with MODIS {rmse[model]:.2f}" for model in models]
    handles = [
        axes[1].plot([], [], MARKERS[place % len(MARKERS)], color="black")[0] for place in range(len(models))
    ]
    picture.legend(handles, texts, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    picture.supxlabel("gC m$^{-2}$ d$^{-1}$; semi-real: MODIS and VIIRS made from HLS", fontsize=9)
    return picture


def draw(axis: "Axes", rows: Sequence[Json], models: Sequence[str]) -> None:
    """Dots with intervals: a line per input, a marker per model."""
    axis.axvline(0, color="black", linewidth=1)
    for row in rows:
        model = models.index(row["model"])
        height = list(NAMES).index(row["input"]) + (model - (len(models) - 1) / 2) * 0.26
        reach = np.array([[row["value"] - row["low"]], [row["high"] - row["value"]]])
        axis.errorbar(
            row["value"],
            height,
            xerr=np.maximum(reach, 0),
            fmt=MARKERS[model % len(MARKERS)],
            color=COLOURS[row["input"]],
            capsize=3,
            markersize=6,
        )
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(visible=True, axis="x", color="#E5E5E5", linewidth=0.6)
    axis.set_axisbelow(True)
