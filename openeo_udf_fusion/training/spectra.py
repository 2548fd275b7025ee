"""Spectra of land, snow and water, and what MODIS and VIIRS would see of them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from openeo_udf_fusion.models.satfusenet import Config

Platform = Literal["S-NPP", "NOAA-20", "NOAA-21"]
Part = Literal["train", "test"]
"""Spectra to train with and spectra to test with have no member in common."""
TEST_SHARE = 0.25
PLATFORM_PREFIX: dict[Platform, str] = {"S-NPP": "VIIRS_NPP_", "NOAA-20": "VIIRS_J1_", "NOAA-21": "VIIRS_J2_"}
WAVELENGTHS_NM = np.arange(400, 2501, dtype=np.float64)
# How often a surface takes part in a mixture. Burnt ground and buildings are rare at 500 m, snow is not.
CLASS_SHARES = {
    "canopy": 0.36,
    "bare": 0.28,
    "npv": 0.1,
    "snow": 0.13,
    "water": 0.06,
    "burned": 0.03,
    "built": 0.04,
}


@dataclass(frozen=True)
class BandLibrary:
    """The same surfaces as each sensor sees them: modis (n, 7), viirs per platform (n, 8), reflectance."""

    modis: NDArray[np.float64]
    viirs: dict[Platform, NDArray[np.float64]]


def band_library(
    responses: Path, mixtures: int = 10_000, seed: int = 2012, part: Part = "train", share: float = 1.0
) -> BandLibrary:
    """Mix spectra of up to three surfaces and integrate them over the sensors' response functions.

    Parameters
    ----------
    responses
        CSV of response functions, 400..2500 nm in steps of 1 nm, a column per band.
    mixtures
        How many mixtures to draw.
    seed
        Of the draw.
    part, share
        Which surfaces may take part, and how many of them do: a library of few differs from the next as
        one region's soils and plants do from another's.
    """
    table = pd.read_csv(responses)
    rng = np.random.default_rng([seed, part == "test"])
    members = {name: some_of(part_of(rows, part), share, rng) for name, rows in surfaces().items()}
    spectra = mix(members, mixtures, rng)
    config = Config()
    modis = integrate(spectra, table, [f"MODIS_Terra_{band}" for band in config.modis])
    viirs = {
        platform: integrate(
            spectra, table, [f"{prefix}{band[0]}{int(band[1:]):02d}" for band in config.viirs]
        )
        for platform, prefix in PLATFORM_PREFIX.items()
    }
    return BandLibrary(modis, viirs)


def part_of(members: NDArray[np.float64], part: Part, seed: int = 5) -> NDArray[np.float64]:
    """The surfaces of a class to train with, or those to test with."""
    test = np.random.default_rng(seed).uniform(size=len(members)) < TEST_SHARE
    return members[test if part == "test" else ~test]


def some_of(members: NDArray[np.float64], share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random share of the surfaces of a class, at least one."""
    count = max(1, round(share * len(members)))
    return members[np.sort(rng.permutation(len(members))[:count])]


def integrate(spectra: NDArray[np.float64], table: pd.DataFrame, bands: list[str]) -> NDArray[np.float64]:
    """Response-weighted mean reflectance: (n, wavelength) -> (n, bands)."""
    weights = table[bands].to_numpy(dtype=np.float64)
    return np.asarray(spectra @ (weights / weights.sum(axis=0)))


def mix(members: dict[str, NDArray[np.float64]], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Linear mixtures of one to three surfaces under a common shade: (count, wavelength)."""
    names = list(CLASS_SHARES)
    shares = np.array(list(CLASS_SHARES.values()))
    kinds = rng.choice(len(names), size=(count, 3), p=shares / shares.sum())
    weights = rng.dirichlet((1.0, 0.5, 0.25), size=count)
    mixed = np.zeros((count, WAVELENGTHS_NM.size))
    for index, name in enumerate(names):
        for part in range(3):
            rows = np.flatnonzero(kinds[:, part] == index)
            chosen = members[name][rng.integers(len(members[name]), size=rows.size)]
            mixed[rows] += weights[rows, part, None] * chosen
    shade = rng.uniform(0.45, 1.1, size=(count, 1))
    return np.clip(mixed * shade, 0.0, 1.2)


@lru_cache
def surfaces() -> dict[str, NDArray[np.float64]]:
    """Spectra per class at 1 nm: measured ones of earthlib, snow by snowoptics, simple water."""
    from earthlib import full_library  # here, since it reads its spectra at import

    metadata = full_library.metadata
    centres_nm = np.asarray(full_library.sensor.band_centers, dtype=np.float64) * 1000
    data = np.stack([np.interp(WAVELENGTHS_NM, centres_nm, row) for row in full_library.data])
    level_2, level_3 = metadata["LEVEL_2"].to_numpy(), metadata["LEVEL_3"].to_numpy()
    classes = {name: data[level_2 == name] for name in ("bare", "npv", "burned", "built")}
    return classes | {"canopy": data[level_3 == "canopy"], "snow": snow(), "water": water()}


def snow(seed: int = 1) -> NDArray[np.float64]:
    """Diffuse albedo of snow over grain sizes (specific surface 3..80 m2/kg) and soot (0.1..1000 ng/g)."""
    from snowoptics import albedo_diffuse_KZ04

    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(300):
        surface_m2_kg = float(np.exp(rng.uniform(np.log(3), np.log(80))))
        soot_kg_kg = float(np.exp(rng.uniform(np.log(1e-10), np.log(1e-6))))
        albedo = albedo_diffuse_KZ04(WAVELENGTHS_NM * 1e-9, surface_m2_kg, impurities={"BC": soot_kg_kg})
        rows.append(np.asarray(albedo, dtype=np.float64))
    return np.stack(rows)


def water(seed: int = 2) -> NDArray[np.float64]:
    """Water from clear to turbid: a fall from the blue, a hump of sediment in green and red, glint."""
    rng = np.random.default_rng(seed)
    clear = rng.uniform(0, 0.06, (300, 1)) * np.exp(-(WAVELENGTHS_NM - 400) / rng.uniform(60, 160, (300, 1)))
    centre, width = rng.uniform(540, 680, (300, 1)), rng.uniform(50, 130, (300, 1))
    sediment = rng.exponential(0.04, (300, 1)) * np.exp(-(((WAVELENGTHS_NM - centre) / width) ** 2))
    glint = rng.exponential(0.008, (300, 1))
    return np.clip(clear + sediment + glint, 0, 1)
