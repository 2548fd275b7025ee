"""A made-up site of Landsat and Sentinel-2 as a cube, and networks of random weights to fuse it with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.tamrf import Config, Tamrf
from openeo_udf_fusion.training import model_card, tamrf_card

PERIOD = ["2018-04-01", "2018-08-01"]
SUPPORT_DAYS = 60
SMALL = Config(
    features=6, growth=3, dense_blocks=1, time_code=8, sensor_code=2, layers=1, heads=2, mlp=8,
    clear_only=True, anchored=True, compared=True, carried=True,
    detailed=True,
)  # fmt: skip
PLAIN = {"clear_only": False, "anchored": False, "compared": False, "carried": False, "detailed": False}
MODELS = {"tamrf": SMALL, "raw": replace(SMALL, **PLAIN)}
"""Networks by name: one that wants clouds masked, and one that reads them, as the published one."""
LANDSAT, SENTINEL2 = SMALL.lr, SMALL.hr
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
CLEAR_SCL, CLOUD_SCL, CLEAR_QA, CLOUD_QA = 4, 9, 21824, 22280
CLOUD = 0.7


def write_models(folder: Path, untrained: dict[str, list[str]] | None = None) -> None:
    """Cards and weights of `MODELS`."""
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = Tamrf(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)  # else the detail of 10 m is lost in rounding
        for sensor, level, spread in (("lr", 0.2, 0.1), ("hr", 0.2, 0.1)):
            bands = len(config.bands(sensor))
            model.get_buffer(f"{sensor}_mean").copy_(torch.full((bands,), level))
            model.get_buffer(f"{sensor}_std").copy_(torch.full((bands,), spread))
        model.lr_mean[-1], model.lr_std[-1] = 0.295, 0.01
        training = {"kind": "random", "note": "Random weights, for tests."}
        tamrf_card.write(model, training, {}, folder, name, support_days=SUPPORT_DAYS)
        if untrained:
            model_card.change(name, folder, {"fusion:untrained": untrained})


@contextmanager
def models_in(folder: Path) -> Iterator[None]:
    """Let processes find models in a folder first."""
    before = os.environ.get(cards.FOLDER_VARIABLE)
    os.environ[cards.FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[cards.FOLDER_VARIABLE]
        else:
            os.environ[cards.FOLDER_VARIABLE] = before


def cube_of(
    y: int = 12, x: int = 15, offset: tuple[int, int] = (0, 0), seed: int = 0, flags: bool = True
) -> xr.DataArray:
    """Fields that green up, on a grid of 10 m: Sentinel-2 each 10 days, Landsat each 16, clouds on some.

    Landsat repeats each cell of 30 m, of which the first whole one begins at `offset`; so do the bands of
    20 m of Sentinel-2 from the corner. Where flags say clouds, values are bright.
    """
    rng = np.random.default_rng(seed)
    start, end = (np.datetime64(day, "D") for day in PERIOD)
    field = rng.uniform(0.7, 1.3, (y + 6, x + 6))
    layers = []
    for sensor, step, bands, flag, words in (
        ("l8", 16, LANDSAT, "QA_PIXEL", (CLEAR_QA, CLOUD_QA)),
        ("s2", 10, SENTINEL2, "SCL", (CLEAR_SCL, CLOUD_SCL)),
    ):
        dates = np.arange(
            start + np.timedelta64(0 if sensor == "s2" else 4, "D"), end, np.timedelta64(step, "D")
        )
        season = 1 + 0.3 * np.sin(np.arange(len(dates)) * step / 25)
        level = np.linspace(0.05, 0.35, len(bands))
        values = level[None, :, None, None] * season[:, None, None, None] * field
        values += rng.normal(0, 0.005, values.shape)
        cloudy = rng.random((len(dates), 1, *field.shape)) < 0.2
        if "LST" in bands:
            values[:, -1] = 280 + 20 * season[:, None, None] + 4 * field
        if sensor == "l8":
            values, cloudy = (blocks(part, 3, offset) for part in (values, cloudy))
            values[:, :-1] = np.where(cloudy, CLOUD, values[:, :-1])
        else:
            cloudy = blocks(cloudy, 2, (0, 0))
            places = [bands.index(band) for band in COARSE]
            values[:, places] = blocks(values[:, places], 2, (0, 0))
            values = np.where(cloudy, CLOUD, values)
        names = list(bands)
        if flags:
            values = np.concatenate([values, np.where(cloudy, words[1], words[0])], 1)
            names.append(flag)
        coords = {"t": dates.astype("datetime64[ns]"), "bands": [f"{sensor}_{name}" for name in names]}
        layers.append(xr.DataArray(values[..., :y, :x], coords, ("t", "bands", "y", "x")))
    dates = np.union1d(*(layer["t"].values for layer in layers))
    grid = {"y": 5_000_000.0 - 10 * np.arange(y), "x": 500_000.0 + 10 * np.arange(x)}
    whole = xr.concat([layer.reindex(t=dates) for layer in layers], "bands")
    return whole.assign_coords(grid).astype(np.float32)


def blocks(array: np.ndarray, size: int, offset: tuple[int, int]) -> np.ndarray:
    """Repeat one value of each block of pixels (..., y, x) all over it."""
    for axis, start in zip((-2, -1), offset, strict=True):
        places = np.arange(array.shape[axis])
        first = np.maximum((places - start) // size * size + start, 0)
        array = np.take(array, first, axis)
    return array
