"""Everything that is reported about filled gaps, length by length, so that cells need not be kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import curves, tables
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.gap_filling import VIIRS_MISSED, VIIRS_SAW
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.evaluation.series import SURFACES, Series
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.sensors import FUSED_BANDS

MODEL, REFERENCE = "satfusenet", "linear"
BANDS = FUSED_BANDS["modis"]
SCATTER_GAP_DAYS = 20
VIIRS_DAYS = {"viirs_seen": VIIRS_SAW, "viirs_missed": VIIRS_MISSED}


@dataclass
class GapScores:
    """Rows of an evaluation of MODIS alone; `add` a gap length at a time.

    `untouched` (pixels,) are those that no setting of the training was chosen by, where that is known.
    """

    resamples: int
    untouched: NDArray[np.bool_] | None = None
    filling: list[Json] = field(default_factory=list)
    by_surface: list[Json] = field(default_factory=list)
    ratio: list[Json] = field(default_factory=list)
    ratio_mean: list[Json] = field(default_factory=list)
    ratio_mean_untouched: list[Json] = field(default_factory=list)
    coverage: list[Json] = field(default_factory=list)
    left_out: list[Json] = field(default_factory=list)
    lengths_left_out: list[Json] = field(default_factory=list)
    distributions: list[Json] = field(default_factory=list)
    pixels: list[Json] = field(default_factory=list)
    scatter: list[Json] = field(default_factory=list)

    def add(self, cells: Cells, length: int, series: Series) -> None:
        """Score all methods on the cells that each of them has filled; note it where there are none."""
        labels: Json = {"gap_days": length}
        methods = list(cells.mean)
        unanswered = {name: int((~cells.answered([name])).sum()) for name in methods}
        self.left_out.append({**labels, "cells": len(cells), "without_value": unanswered})
        kept = cells.where(cells.answered())
        if not len(kept):
            why = "all methods fill no cell" if len(cells) else "no pixel has observations so far apart"
            self.lengths_left_out.append({**labels, "reason": why})
            return
        sums = sums_of(kept, methods, len(series))
        self.filling.extend(tables.score_rows(sums, BANDS, labels, REFERENCE))
        self.by_surface.extend(surface_rows(kept, methods, labels, series))
        self.coverage.extend(tables.coverage_rows(sums[MODEL], BANDS, labels, self.resamples))
        baselines = [name for name in methods if name != MODEL]
        rows, mean = tables.ratio_rows(sums, MODEL, baselines, BANDS, labels, self.resamples)
        self.ratio.extend(rows)
        self.ratio_mean.append(mean)
        self.add_untouched(kept, baselines, labels, len(series))
        self.distributions.extend(curves.distribution(kept, name, labels) for name in methods)
        self.pixels.extend(curves.rmse_of_pixels(sums, labels))
        if length == SCATTER_GAP_DAYS:
            self.scatter.extend(curves.scatter(kept, MODEL, BANDS, labels))

    def add_untouched(self, kept: Cells, baselines: Sequence[str], labels: Json, pixels: int) -> None:
        """The mean ratio once more, on the pixels that no setting was chosen by."""
        if self.untouched is None:
            return
        own = kept.where(self.untouched[kept.pixel])
        if len(own):
            sums = sums_of(own, [MODEL, *baselines], pixels)
            _, mean = tables.ratio_rows(sums, MODEL, baselines, BANDS, labels, self.resamples)
            self.ratio_mean_untouched.append({**mean, "pixels": int(np.unique(own.pixel).size)})


def sums_of(cells: Cells, methods: Sequence[str], pixels: int) -> dict[str, Sums]:
    """Sums per pixel and band of each method."""
    return {name: cells.sums(name, (pixels, len(BANDS))) for name in methods}


def surface_rows(cells: Cells, methods: Sequence[str], labels: Json, series: Series) -> list[Json]:
    """Scores on snow, on snow-free ground, and on each land cover that the data know."""
    masks = {name: cells.group == code for name, code in SURFACES.items()}
    covers = series.land_cover[cells.pixel]
    masks |= {f"land cover: {name}": covers == name for name in np.unique(series.land_cover) if name}
    rows: list[Json] = []
    for name, mask in masks.items():
        if mask.any():
            sums = sums_of(cells.where(mask), methods, len(series))
            rows += tables.score_rows(sums, BANDS, {**labels, "surface": name}, REFERENCE)
    return rows


def with_viirs(cells: Cells, length: int, pixels: int) -> list[Json]:
    """Scores with VIIRS at hand, apart for days that it saw and days that it missed.

    On the latter only those are scored that need no observation of the same day.
    """
    always = [MODEL, REFERENCE]
    wanted: Mapping[str, Sequence[str]] = {"viirs_seen": list(cells.mean), "viirs_missed": always}
    rows: list[Json] = []
    for name, methods in wanted.items():
        mask = (cells.group == VIIRS_DAYS[name]) & cells.answered(methods)
        if mask.any():
            sums = sums_of(cells.where(mask), methods, pixels)
            rows += tables.score_rows(sums, BANDS, {"gap_days": length, "days": name}, REFERENCE)
    return rows
