"""Real pairs from any openEO backend: both sensors at given points, in the same form as simulated pairs."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import openeo
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openeo_udf_fusion import __version__, cubes
from openeo_udf_fusion.errors import InvalidParameter, NoDataAvailable
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.periods import parse_extent
from openeo_udf_fusion.training import sampling, store
from openeo_udf_fusion.training.jobs import Fetch, Part, Progress
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.points import Point, chunks
from openeo_udf_fusion.udps.deployments import Source

PLATFORMS = {"VNP": "S-NPP", "VJ1": "NOAA-20", "VJ2": "NOAA-21"}
"""The platform of VIIRS by the first letters of its products' names."""
_PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What to collect.

    Attributes
    ----------
    points : list of Point
    temporal_extent : (start, end)
        Left-closed. A sample is one point in one calendar year.
    sources : mapping of sensor to Source
        From `sampling.find_source`.
    platform, product : str
        Of VIIRS ("S-NPP", ...), and of both sensors ("nbar" or "directional").
    chunk : int
        Points to a job.
    format : str
        Of the jobs' results, out of `sampling.FORMATS`.
    """

    points: list[Point]
    temporal_extent: tuple[str, str]
    sources: Mapping[str, Source]
    platform: str
    product: str
    chunk: int = 50
    format: str = "CSV"

    def parts(self) -> list[list[Part]]:
        """Return the jobs, those of one chunk of points together."""
        return [
            [Part(number, sensor, points, source) for sensor, source in self.sources.items()]
            for number, points in enumerate(chunks(self.points, self.chunk))
        ]

    def record(self) -> Json:
        """Return all that the outcome depends on."""
        points = json.dumps([asdict(point) for point in self.points])
        return {
            "points": len(self.points),
            "points_sha256": hashlib.sha256(points.encode()).hexdigest(),
            "points_per_job": self.chunk,
            "temporal_extent": list(self.temporal_extent),
            "platform": self.platform,
            "product": self.product,
            "sources": {sensor: _described(source) for sensor, source in self.sources.items()},
        }


@dataclass(frozen=True)
class Collected:
    """What came of a collection.

    Attributes
    ----------
    store : Store
    failed : dict of str to str
        By part (`00003_viirs`): why it is not there. To collect once more fetches these alone.
    left_out : int
        Samples in which one of the sensors saw nothing at all.
    """

    store: store.Store
    failed: dict[str, str]
    left_out: int


def collect(
    connection: openeo.Connection,
    plan: Plan,
    output: Path,
    *,
    parallel: int = 2,
    progress: Progress = lambda name, done, total: None,
) -> Collected:
    """Fetch real pairs in batch jobs and write them as a data set of kind "real".

    What was fetched stays in a folder beside the data set, `<output>.parts`, until all of it is there: an
    interrupted collection goes on where it was, a partly failed one fetches what failed. Jobs that still
    run are awaited, not started again.

    Parameters
    ----------
    connection : openeo.Connection
        Authenticated, where the backend wants that.
    plan : Plan
    output : Path
        The data set; where some parts failed, it is made of the others.
    parallel : int
        Jobs at a time.
    progress : callable
        Called with a part's name, how many are done, and how many there are.

    Raises
    ------
    InvalidParameter
        The output is taken, or a collection with other settings was begun there.
    NoDataAvailable
        Not a single pair came of it.
    """
    folder = output.with_name(f"{output.name}.parts")
    _begin(plan, output, folder)
    groups = plan.parts()
    fetching = Fetch(connection, plan.temporal_extent, plan.format, folder)
    fetching.run([part for group in groups for part in group], parallel, progress)
    failed = fetching.failed
    complete = [group for group in groups if not failed.keys() & {part.name for part in group}]
    made = _Blocks(plan, complete, folder)
    blocks = iter(made)
    first = next(blocks, None)
    if first is None:
        raise NoDataAvailable(_nothing(failed, made.left_out))
    record = {
        "kind": "real",
        "made_by": f"openeo-udf-fusion {__version__} train collect",
        "backend": connection.root_url,
        **plan.record(),
        "failed": sorted(failed),
    }
    written = store.write(itertools.chain([first], blocks), output, record, overwrite=True)
    if not failed:
        shutil.rmtree(folder)
    return Collected(written, failed, made.left_out)


class _Blocks:
    """The pairs of complete chunks, a year at a time; counts the samples that are no pairs."""

    def __init__(self, plan: Plan, groups: list[list[Part]], folder: Path) -> None:
        self._plan, self._groups, self._folder = plan, groups, folder
        self.left_out = 0

    def __iter__(self) -> Iterator[Pairs]:
        for group in self._groups:
            arrays = {part.sensor: self._observations(part) for part in group}
            for days in _years(self._plan.temporal_extent):
                pairs = self._pairs(group[0].points, arrays, days)
                both = pairs.modis_valid.any((1, 2)) & pairs.viirs_valid.any((1, 2))
                self.left_out += int((~both).sum())
                if both.any():
                    yield Pairs(**{name: values[both] for name, values in vars(pairs).items()})

    def _observations(self, part: Part) -> cubes.SensorArrays:
        table = pq.read_table(part.file(self._folder))
        return sampling.observations(table, part.sensor, part.source, len(part.points))

    def _pairs(
        self, points: list[Point], arrays: Mapping[str, cubes.SensorArrays], days: NDArray[np.int32]
    ) -> Pairs:
        series = {sensor: cubes.on_days(each, days) for sensor, each in arrays.items()}
        (modis, modis_valid), (viirs, viirs_valid) = (
            (np.moveaxis(values[:, :, 0], 2, 0), np.moveaxis(valid[:, :, 0], 2, 0))
            for values, valid in (series["modis"], series["viirs"])
        )
        return Pairs(
            pixel=np.array([point.pixel for point in points], np.int64),
            platform=np.array([self._plan.platform] * len(points)),
            product=np.array([self._plan.product] * len(points)),
            first_day=np.full(len(points), days[0], np.int32),
            longitude=np.array([point.longitude for point in points], np.float32),
            latitude=np.array([point.latitude for point in points], np.float32),
            land_cover=np.array([point.land_cover for point in points]),
            modis=modis,
            modis_valid=modis_valid,
            viirs=viirs,
            viirs_valid=viirs_valid,
        )


def _years(temporal_extent: tuple[str, str]) -> Iterator[NDArray[np.int32]]:
    """The days of each calendar year within the extent, since 1970-01-01."""
    start, end = parse_extent(temporal_extent)
    days = np.arange(start, end)
    for year in np.unique(days.astype("datetime64[Y]")):
        yield cubes.day_numbers(days[days.astype("datetime64[Y]") == year])


def _begin(plan: Plan, output: Path, folder: Path) -> None:
    """Make the folder of parts, or find one that was begun with the same plan."""
    parse_extent(plan.temporal_extent)
    noted = folder / _PLAN
    if noted.is_file():
        if json.loads(noted.read_text(encoding="utf-8")) != plan.record():
            raise InvalidParameter(
                f"{folder} was begun with other settings; give the same ones to go on, remove it to begin "
                "anew, or choose another output"
            )
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidParameter(f"{output} is there already; choose another output, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    noted.write_text(json.dumps(plan.record(), indent=1), encoding="utf-8")


def _described(source: Source) -> Json:
    bands = {**source.bands, **source.flags}
    return {
        "collection": source.collection,
        "scale": source.scale,
        "offset": source.offset,
        "bands": bands,
    }


def _nothing(failed: Mapping[str, str], left_out: int) -> str:
    if failed:
        name, reason = next(iter(failed.items()))
        return f"no chunk of points is complete, {len(failed)} jobs failed; the first, {name}: {reason}"
    return f"both sensors were valid at none of the points: {left_out} samples were left out"
