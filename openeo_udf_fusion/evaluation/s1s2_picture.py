"""The picture of the embedding: three of its components as colours through a season, beside true colours."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation.s1s2_features import season
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.training import s1s2_sites
from openeo_udf_fusion.training.s1s2_sites import S2_BANDS, Site

Picture = NDArray[np.float32]
COLUMNS = 8
BRIGHTEST = 0.18
GREY = 0.6
RED_GREEN_BLUE = tuple(S2_BANDS.index(band) for band in ("B04", "B03", "B02"))
SHARE = (0.02, 0.98)


def draw(data: Path, embedder: Embedder, file: Path) -> None:
    """Draw a site on evenly spaced days of its season as PNG.

    Four rows: Sentinel-2's last image up to each day, grey where it saw no ground; true colours drawn from
    the code of that day; the first three principal components of the code as red, green and blue, the same
    stretch throughout; the same of the code from Sentinel-1 alone.
    """
    site = s1s2_sites.read_site(data)
    days = season(site, 1)[:: len(season(site, 1)) // COLUMNS][:COLUMNS]
    both = embedder.embed(site.observed, days, ["s2"])
    radar = embedder.embed({"s1": site.observed["s1"]}, days)
    colours = Colours(both.code)
    drawn = [true_colour(one) for one in both.reconstruction["s2"]]
    figure, axes = plt.subplots(4, COLUMNS, figsize=(1.6 * COLUMNS, 7), layout="constrained")
    names = (
        "Sentinel-2,\nlast image",
        "drawn from\nthe code",
        "code,\nboth sensors",
        "code,\nSentinel-1 alone",
    )
    for column, day in enumerate(days):
        image, taken = last_image(site, int(day))
        shown = (image, drawn[column], colours(both.code[column]), colours(radar.code[column]))
        titles = (f"{taken}", f"{np.datetime64(int(day), 'D')}", "", "")
        for row, (picture, title) in enumerate(zip(shown, titles, strict=True)):
            show(axes[row, column], picture, title, names[row] if column == 0 else "")
    temporary = file.with_name(f".{file.name}.tmp")
    figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
    temporary.replace(file)


def show(axes: Axes, picture: Picture, title: str, name: str) -> None:
    """Draw one image without ticks."""
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[], ylabel=name)
    axes.set_title(title, fontsize=8)


class Colours:
    """From codes (n, y, x) to colours (y, x, 3) by the first three principal components of many."""

    def __init__(self, codes: NDArray[np.float32]) -> None:
        """Fit to codes (t, n, y, x)."""
        cells = np.moveaxis(codes, 1, -1).reshape(-1, codes.shape[1]).astype(np.float64)
        cells = cells[np.isfinite(cells).all(1)]
        self.centre = cells.mean(0)
        self.axes = np.linalg.svd(np.cov((cells - self.centre).T))[0][:, :3]
        self.low, self.high = np.quantile((cells - self.centre) @ self.axes, SHARE, axis=0)

    def __call__(self, code: NDArray[np.float32]) -> Picture:
        """Colours of one day; grey where the code is missing."""
        values = (np.moveaxis(code, 0, -1) - self.centre) @ self.axes
        stretched = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        return np.where(np.isnan(stretched), GREY, stretched).astype(np.float32)


def last_image(site: Site, day: int) -> tuple[Picture, np.datetime64]:
    """Sentinel-2's last image up to a day, grey where it saw no ground, and its date."""
    series = site.observed["s2"]
    last = int(np.flatnonzero(series.days <= day)[-1])
    values = np.where(series.valid[last], series.values[last], np.nan)
    return true_colour(values), np.datetime64(int(series.days[last]), "D")


def true_colour(bands: NDArray[np.float32]) -> Picture:
    """Red, green and blue (y, x, 3) of Sentinel-2's bands (b, y, x)."""
    shown = np.moveaxis(bands[list(RED_GREEN_BLUE)], 0, -1) / BRIGHTEST
    return np.where(np.isnan(shown), GREY, np.clip(shown, 0, 1)).astype(np.float32)
