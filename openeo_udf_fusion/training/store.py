"""Training pairs on disk: Parquet, one row per sample, sensor and day, in blocks that are read one by one.

A sample is a pixel's series of both sensors; several samples may share a pixel. A block (a folder such as
`block=00012`) holds whole samples; `rows.SCHEMA` names its columns. Beside them is a table of the samples.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openeo_udf_fusion.errors import FusionError, InvalidParameter, StorageFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.training import rows
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.samples import Places, Samples

VERSION = 1
KINDS = ("semi-real", "real")
RECORD_KEY = b"openeo_udf_fusion_pairs"
SAMPLES_FILE = "_samples.parquet"
"""Readers of hive folders pass over names that begin with an underscore."""


def write(blocks: Iterable[Pairs], folder: Path, record: Json, *, overwrite: bool = False) -> "Store":
    """Write pairs as a data set; memory holds one block of them at a time.

    Values are stored as int16 in units of 1e-4, the products' own scale.

    Parameters
    ----------
    blocks : iterable of Pairs
        Whole samples, as many at a time as training shall read at a time; samples are numbered in order.
    folder : Path
        The data set; it appears when it is complete. Its parent is made if need be.
    record : dict
        How the pairs came about, as JSON; `kind` must be "semi-real" or "real".
    overwrite : bool
        Replace a data set that is there.

    Returns
    -------
    Store
        The data set, open.

    Raises
    ------
    InvalidParameter
        The folder is taken, the record has no kind, a value does not fit, or there is not a single sample.
    StorageFailed
        The files cannot be written. Nothing is left of them then, and what was there before is untouched.
    """

    def tables() -> Iterator[pa.Table]:
        count = 0
        for pairs in blocks:
            yield rows.table_of(pairs, count)
            count += len(pairs.pixel)

    return write_rows(tables(), folder, record, overwrite=overwrite)


def write_rows(tables: Iterable[pa.Table], folder: Path, record: Json, *, overwrite: bool = False) -> "Store":
    """Write rows of your own as a data set, a table to a block; for the rest as `write`.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        With the columns of `rows.SCHEMA`; bands and nullable columns may be missing, bands may be floats.
        Days without a row are days without an observation; of several rows of one day the mean counts. All
        rows of a sample must be in one table.
    """
    if record.get("kind") not in KINDS:
        raise InvalidParameter(f"the record of pairs needs a kind out of {KINDS}, got {record.get('kind')!r}")
    _require_free(folder, overwrite)
    metadata = {RECORD_KEY: json.dumps({**record, "version": VERSION, "scale": rows.SCALE})}
    with _storing(folder) as temporary:
        found = []
        for number, table in enumerate(tables):
            block = rows.conform(table)
            if block.num_rows:
                _write_block(block, temporary, number, metadata)
                found.append(Samples.of(block, number))
        if not found:
            raise InvalidParameter("there are no pairs to write: no block holds a row")
        samples = Samples.concatenated(found)
        samples.require_distinct()
        pq.write_table(samples.table().replace_schema_metadata(metadata), temporary / SAMPLES_FILE)
    return open_store(folder)


def open_store(folder: Path) -> "Store":
    """Open a data set; its rows are read when they are asked for.

    Raises
    ------
    InvalidParameter
        The folder holds no such data set, one of another version, or one whose columns are not all there.
    """
    file = folder / SAMPLES_FILE
    if not file.is_file():
        raise InvalidParameter(
            f"{folder} is no data set of training pairs (it has no {SAMPLES_FILE}); make one with "
            "`openeo-udf-fusion train pairs` or `train collect`"
        )
    table = _read(file)
    stored = (table.schema.metadata or {}).get(RECORD_KEY)
    record: Json = json.loads(stored) if stored else {}
    if record.get("version") != VERSION:
        raise InvalidParameter(
            f"{folder} holds pairs of version {record.get('version')}, this package reads version {VERSION}; "
            "make the data set anew"
        )
    store = Store(folder, record, Samples.read(table))
    store.check()
    return store


@dataclass(frozen=True)
class Store:
    """A data set of pairs.

    Attributes
    ----------
    folder : Path
    record : dict
        How the pairs came about: `kind`, `version`, `scale`, and what was given to `write`.
    samples : Samples
        Arrays of what is known of each sample, with a length.
    """

    folder: Path
    record: Json
    samples: Samples

    def pixels(self) -> Places:
        """Return the distinct places, ascending; no row is read for it."""
        return self.samples.places()

    def read(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return the samples of a mask (samples,), in their order, on as many days as the longest has."""
        return rows.read(self.dataset(), self.samples.where(chosen))

    def pool(self, pixels: Sequence[int] | NDArray[np.integer], *, memory_bytes: int, seed: int) -> "Pool":
        """Return all samples of the given pixels, to be held in memory as a whole or in part.

        Raises
        ------
        InvalidParameter
            The data set has none of the pixels, or not even one block of them fits.
        """
        chosen = np.isin(self.samples.pixel, np.asarray(pixels, np.int64))
        if not chosen.any():
            raise InvalidParameter(f"{self.folder} holds none of the {len(pixels)} pixels asked for")
        return Pool(self, chosen, memory_bytes, seed)

    def dataset(self) -> ds.Dataset:
        """Return all rows as a dataset of pyarrow, to be filtered by `block` or any column."""
        schema = rows.SCHEMA.append(pa.field("block", pa.int32()))
        hive = ds.partitioning(pa.schema([schema.field("block")]), flavor="hive")
        return ds.dataset(self.folder, schema=schema, format="parquet", partitioning=hive)

    def check(self) -> None:
        """Raise InvalidParameter where blocks or columns are missing."""
        for block in np.unique(self.samples.block):
            file = block_file(self.folder, int(block))
            if not file.is_file():
                raise InvalidParameter(f"{self.folder} is incomplete: {file.parent.name} is missing")
        missing = sorted(set(rows.SCHEMA.names) - set(_schema(file).names))
        if missing:
            raise InvalidParameter(f"the pairs in {self.folder} lack the columns {missing}; make them anew")


class Pool:
    """Samples of some pixels, as many at a time as memory allows.

    Where everything fits, every round is the whole; otherwise the rounds go through all blocks in a random
    order, some at a time, then through another order. What a round holds depends on seed and round alone.
    """

    def __init__(self, store: Store, chosen: NDArray[np.bool_], memory_bytes: int, seed: int) -> None:
        self._store, self._chosen, self._seed = store, chosen, seed
        blocks, counts = np.unique(store.samples.block[chosen], return_counts=True)
        self._blocks = blocks
        sizes = counts * rows.bytes_per_sample(int(store.samples.days[chosen].max()))
        self.bytes = int(sizes.sum())
        together = len(blocks) if self.bytes <= memory_bytes else memory_bytes // int(sizes.max())
        if not together:
            raise InvalidParameter(
                f"a block of pairs takes {sizes.max() / 1e6:.0f} MB, memory_bytes allows "
                f"{memory_bytes / 1e6:.0f} MB; allow more, or write smaller blocks"
            )
        self.rounds = -(-len(blocks) // together)
        self._held: tuple[NDArray[np.int32], Pairs] | None = None

    def blocks(self, round: int) -> NDArray[np.int32]:
        """Return the numbers of the blocks that a round holds, ascending."""
        turn, part = divmod(round, self.rounds)
        order = np.random.default_rng([self._seed, turn]).permutation(self._blocks)
        return np.sort(np.array_split(order, self.rounds)[part])

    def at(self, round: int) -> Pairs:
        """Return the samples of a round, ordered by number; the same round twice in a row is read once."""
        blocks = self.blocks(round)
        if self._held is None or not np.array_equal(self._held[0], blocks):
            self._held = None  # two rounds at once would take twice the memory
            chosen = self._chosen & np.isin(self._store.samples.block, blocks)
            self._held = blocks, self._store.read(chosen)
        return self._held[1]


def block_file(folder: Path, block: int) -> Path:
    """Return where the rows of a block are."""
    return folder / f"block={block:05d}" / "rows.parquet"


def _write_block(table: pa.Table, folder: Path, number: int, metadata: dict[bytes, str]) -> None:
    file = block_file(folder, number)
    file.parent.mkdir()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        file,
        compression="zstd",
        use_dictionary=rows.REPEATED,
        column_encoding=dict.fromkeys([*rows.BANDS, "date"], "DELTA_BINARY_PACKED"),
        write_statistics=["pixel", "sample"],
    )


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidParameter(f"{file} cannot be read: {error}; make the data set anew") from error


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidParameter(f"{file} cannot be read: {error}; make the data set anew") from error


def _require_free(folder: Path, overwrite: bool) -> None:
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / SAMPLES_FILE).is_file():
        raise InvalidParameter(f"{folder} holds something else than pairs; choose another folder")
    if not overwrite:
        raise InvalidParameter(f"{folder} holds pairs already; choose another folder, or overwrite it")


@contextmanager
def _storing(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is meant, which takes its place when all went well."""
    temporary = folder.with_name(f".{folder.name}.{token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _replace(folder, temporary)
    except FusionError:
        raise
    except OSError as error:
        raise StorageFailed(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, finished: Path) -> None:
    if not os.path.lexists(folder):
        os.replace(finished, folder)
        return
    aside = finished.with_suffix(".old")
    os.replace(folder, aside)
    try:
        os.replace(finished, folder)
    except OSError:
        os.replace(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
