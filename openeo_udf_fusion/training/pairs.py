"""Semi-real pairs: measured MODIS series, and VIIRS series made from them.

MODIS is MCD43A4 as it was measured, with its weather and gaps. VIIRS is what mixtures of measured and
simulated spectra with nearly the same MODIS bands look like through the VIIRS response functions: which of
them differs from pixel to pixel, so that no one formula leads back; with its own noise and gaps. A part of
the samples shows both sensors as directional products, with angles, haze and clouds left in. There is a VIIRS
value only where MODIS has one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from openeo_udf_fusion.baselines import ridge
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training.noise import Noise, Sky, disturb_viirs, overcast, under_the_sky
from openeo_udf_fusion.training.spectra import BandLibrary, Part, Platform, band_library

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
SERIES_FOLDER = Path("nbar_series")
RESPONSES_FILE = Path("spectral_responses") / "srf_1nm_400_2500.csv.gz"
FIRST_DAY = 15_340
"""2012-01-01 in days since 1970-01-01: the year of the series."""
NEIGHBOURS = 16
BLOCK_PIXELS = 50
LIBRARIES = {"train": 4, "test": 1}
"""How many libraries take turns, each of half of the spectra (of all of them, if it is one)."""
DIRECTIONAL_SHARE = 0.25
Product = Literal["nbar", "directional"]


@dataclass(frozen=True)
class Pairs:
    """Samples: a pixel's series of both sensors on consecutive days, as the instruments would deliver them.

    Attributes
    ----------
    pixel
        (n,) place; splits go by it, several samples may share one.
    platform, product
        (n,) of VIIRS ("S-NPP", "NOAA-20", "NOAA-21"), and of both sensors ("nbar" or "directional").
    first_day
        (n,) days since 1970-01-01 of the first column.
    longitude, latitude
        (n,) degrees, NaN where unknown.
    land_cover
        (n,) "" where unknown.
    modis, viirs
        (n, t, 7) and (n, t, 8), surface reflectance, 0 where not valid.
    modis_valid, viirs_valid
        What of them was measured.
    """

    pixel: NDArray[np.int64]
    platform: NDArray[np.str_]
    product: NDArray[np.str_]
    first_day: NDArray[np.int32]
    longitude: Floats
    latitude: Floats
    land_cover: NDArray[np.str_]
    modis: Floats
    modis_valid: Bools
    viirs: Floats
    viirs_valid: Bools

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.pixel)

    def take(self, samples: NDArray[np.int64] | NDArray[np.bool_]) -> "Pairs":
        """Some of the samples, by index or mask."""
        return Pairs(**{each.name: getattr(self, each.name)[samples] for each in fields(self)})

    def of_pixels(self, pixels: NDArray[np.int64]) -> "Pairs":
        """The samples of some places."""
        return self.take(np.isin(self.pixel, pixels))


def join(blocks: Sequence[Pairs]) -> Pairs:
    """All samples of several blocks whose series are equally long."""
    return Pairs(
        **{each.name: np.concatenate([getattr(b, each.name) for b in blocks]) for each in fields(Pairs)}
    )


def read_series(data: Path) -> tuple[Floats, Bools, list[str]]:
    """Measured MODIS series in a data folder.

    Returns
    -------
    values, valid
        (p, t, 7) surface reflectance, 0 where not valid, and what is valid.
    fingerprints
        Of each pixel's stored numbers, to tell who saw it: 8 hexadecimal digits of their SHA-256.

    Raises
    ------
    InvalidParameter
        The folder has no `nbar_series/*.npz` with `refl` (p, t, 7), `scale` and `fill`.
    """
    files = sorted((data / SERIES_FOLDER).glob("*.npz"))
    if not files:
        raise InvalidParameter(f"MODIS series are needed in {data / SERIES_FOLDER}/*.npz; there are none")
    values, valid, fingerprints = [], [], []
    for file in files:
        with np.load(file) as archive:
            missing = {"refl", "scale", "fill"} - set(archive.files)
            if missing:
                raise InvalidParameter(f"{file.name} has the arrays {archive.files}, {sorted(missing)} lack")
            stored, scale, fill = archive["refl"], float(archive["scale"]), int(archive["fill"])
        known = stored != fill
        values.append(np.where(known, stored * np.float32(scale), np.float32(0)).astype(np.float32))
        valid.append(known)
        fingerprints += [fingerprint(series) for series in stored]
    return np.concatenate(values), np.concatenate(valid), fingerprints


def fingerprint(stored: NDArray[np.int16]) -> str:
    """8 hexadecimal digits that tell a pixel's stored series (t, bands) from every other."""
    return hashlib.sha256(np.ascontiguousarray(stored).tobytes()).hexdigest()[:8]


def responses(data: Path) -> Path:
    """The table of response functions in a data folder."""
    file = data / RESPONSES_FILE
    if not file.is_file():
        raise InvalidParameter(f"response functions are needed in {file}; there is no such file")
    return file


def simulate(
    data: Path,
    platforms: Sequence[Platform],
    variants: int,
    seed: int,
    spectra: Part = "train",
    pixels: NDArray[np.int64] | None = None,
    directional: float = DIRECTIONAL_SHARE,
) -> Iterator[Pairs]:
    """Make `variants` VIIRS series of every MODIS series, by turns as each of the platforms sees it.

    Parameters
    ----------
    data
        Folder with the MODIS series and the response functions.
    platforms
        Of VIIRS.
    variants
        Samples per pixel.
    seed
        Of every draw; a pixel's samples do not depend on which others are asked for.
    spectra
        Which of the spectra to mix: "train" and "test" share none.
    pixels
        Which pixels; by default all.
    directional
        Share of the samples that show both sensors as directional products.

    Yields
    ------
    Pairs
        All samples of a block of pixels.
    """
    modis, valid, _ = read_series(data)
    wanted = np.arange(len(modis)) if pixels is None else np.asarray(pixels)
    count = min(LIBRARIES[spectra], variants)
    libraries = [
        band_library(responses(data), seed=2012 + each, part=spectra, share=1.0 if count == 1 else 0.5)
        for each in range(count)
    ]
    for start in range(0, len(wanted), BLOCK_PIXELS):
        block = wanted[start : start + BLOCK_PIXELS]
        filled = fill_bands(modis[block], valid[block])
        likenesses = [alike(filled, library) for library in libraries]
        samples = []
        for variant in range(variants):
            turn = variant * count // variants
            library, likeness = libraries[turn], likenesses[turn]
            rng = np.random.default_rng([seed, variant, int(block[0])])
            platform = platforms[variant % len(platforms)]
            product: Product = "directional" if (variant + 0.5) * directional % 1 < directional else "nbar"
            samples.append(
                sample(modis[block], valid[block], block, likeness, library, platform, product, rng)
            )
        yield join(samples)


@dataclass(frozen=True)
class Likeness:
    """Which spectra of a library look like a series: filled (p, t, 7), index and kernel (p, t, k)."""

    filled: NDArray[np.float64]
    index: NDArray[np.int64]
    kernel: NDArray[np.float64]


def alike(filled: NDArray[np.float64], library: BandLibrary) -> Likeness:
    """The spectra nearest to each day's seven bands."""
    tree = cKDTree(np.sqrt(library.modis))
    distance, index = tree.query(np.sqrt(np.clip(filled, 0, None)), k=NEIGHBOURS)
    kernel = np.exp(-((distance / np.median(distance, axis=-1, keepdims=True)) ** 2))
    return Likeness(filled, index, kernel)


def sample(
    modis: Floats,
    valid: Bools,
    pixel: NDArray[np.int64],
    likeness: Likeness,
    library: BandLibrary,
    platform: Platform,
    product: Product,
    rng: np.random.Generator,
) -> Pairs:
    """One sample of each pixel: both sensors' series as the instruments would deliver them."""
    viirs = see(likeness, library, platform, rng)
    viirs = disturb_viirs(np.clip(viirs, 0.0, 1.5).astype(np.float32), Noise(), rng)
    if product == "directional":
        modis, viirs = (under_the_sky(a, s, Sky(), rng) for a, s in ((modis, "modis"), (viirs, "viirs")))
    partner = list(Config().viirs_partner)
    known = valid[..., partner] & (valid.sum(-1, keepdims=True) >= valid.shape[-1] - 1)
    known = overcast(known, rng)
    count = len(pixel)
    return Pairs(
        pixel=pixel,
        platform=np.full(count, platform),
        product=np.full(count, product, dtype="<U11"),
        first_day=np.full(count, FIRST_DAY, dtype=np.int32),
        longitude=np.full(count, np.nan, dtype=np.float32),
        latitude=np.full(count, np.nan, dtype=np.float32),
        land_cover=np.full(count, "", dtype="<U16"),
        modis=np.where(valid, modis, np.float32(0)),
        modis_valid=valid,
        viirs=np.where(known, viirs, np.float32(0)).astype(np.float32),
        viirs_valid=known,
    )


def see(likeness: Likeness, library: BandLibrary, platform: Platform, rng: np.random.Generator) -> Floats:
    """VIIRS (p, t, 8) of spectra like the given MODIS.

    The linear part of the translation is common; what it leaves over is a mean of the spectra's own
    leftovers, weighted by likeness and by the pixel's taste: along one pixel's year the same spectra are
    preferred, so that its spectral peculiarity lasts.
    """
    modis, index, kernel = likeness.filled, likeness.index, likeness.kernel
    source, target = library.modis, library.viirs[platform]
    line = ridge.fit(source, target)
    leftover = (target - source @ line.weight - line.bias) / np.linalg.norm(source, axis=1, keepdims=True)
    series = (modis @ line.weight + line.bias).astype(np.float32)
    for pixel in range(len(modis)):
        taste = np.exp(rng.normal(0, 2, size=len(source)))[index[pixel]] * kernel[pixel]
        taste /= taste.sum(-1, keepdims=True)
        own = np.einsum("tk,tkb->tb", taste, leftover[index[pixel]])
        series[pixel] += own * np.linalg.norm(modis[pixel], axis=-1, keepdims=True)
    return series


def fill_bands(values: Floats, valid: Bools) -> NDArray[np.float64]:
    """Every band interpolated in time, so that a spectrum with one band missing can still be looked up."""
    filled = np.full(values.shape, 0.1)
    days = np.arange(values.shape[1])
    for pixel, band in np.ndindex(values.shape[0], values.shape[2]):
        known = valid[pixel, :, band]
        if known.any():
            filled[pixel, :, band] = np.interp(days, days[known], values[pixel, known, band])
    return filled
