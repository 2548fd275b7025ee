"""What the plots show, as numbers: reliability, PIT, spread against error, RMSE per pixel, scatter."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import metrics
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.evaluation.tables import number
from openeo_udf_fusion.jsontypes import Json

NOMINAL = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.99)
SHARES = tuple(round(0.02 * step, 2) for step in range(51))
SCATTER_BINS = 32


def distribution(cells: Cells, method: str, labels: Json) -> Json:
    """How honest a method's sigma is: reliability at `NOMINAL` levels, PIT histogram, spread and error."""
    of = (cells.truth, cells.mean[method], cells.sigma[method])
    spread, error = metrics.spread_error(*of)
    return {
        **labels,
        "method": method,
        "nominal": list(NOMINAL),
        "covered": numbers(metrics.reliability(*of, NOMINAL)),
        "pit": numbers(metrics.pit_histogram(*of)),
        "spread": numbers(spread),
        "error": numbers(error),
    }


def rmse_of_pixels(sums: Mapping[str, Sums], labels: Json) -> list[Json]:
    """Quantiles (`SHARES`) of the RMSE of single pixels over all bands, by method: a CDF on its side."""
    rows: list[Json] = []
    for method, each in sums.items():
        errors = metrics.rmse(metrics.over_bands(each))[:, 0]
        known = errors[np.isfinite(errors)]
        quantiles = np.quantile(known, SHARES) if known.size else np.full(len(SHARES), np.nan)
        rows.append({**labels, "method": method, "share": list(SHARES), "rmse": numbers(quantiles)})
    return rows


def scatter(cells: Cells, method: str, bands: Sequence[str], labels: Json) -> list[Json]:
    """Counts of cells by truth (rows) and prediction (columns), per band, from 0 to `highest`."""
    rows: list[Json] = []
    for place, band in enumerate(bands):
        truth, mean = (values[cells.band == place] for values in (cells.truth, cells.mean[method]))
        highest = float(np.quantile(truth, 0.995)) if truth.size else 1.0
        edges = np.linspace(0, max(highest, 1e-3), SCATTER_BINS + 1)
        counts, _, _ = np.histogram2d(truth, mean, bins=(edges, edges))
        rows.append(
            {
                **labels,
                "method": method,
                "band": band,
                "highest": number(edges[-1]),
                "counts": counts.astype(int).tolist(),
            }
        )
    return rows


def numbers(values: NDArray[np.floating]) -> list[float | None]:
    """JSON numbers of an array."""
    return [number(value) for value in values]
