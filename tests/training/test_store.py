"""Laws of the data set of pairs: only digits are lost, memory holds a block, a crash leaves nothing half."""

import datetime
import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from openeo_udf_fusion.errors import InvalidParameter, StorageFailed
from openeo_udf_fusion.training import rows, store
from openeo_udf_fusion.training.pairs import Pairs

RECORD = {"kind": "semi-real", "made_by": "a test"}
MEMORY = 1 << 30


def make(pixels: range, variants: int = 2, days: int = 40, seed: int = 0) -> Pairs:
    """Pairs whose values are multiples of 1e-4, some samples of a pixel apart in time."""
    rng = np.random.default_rng([seed, pixels.start])
    n = len(pixels) * variants
    series = []
    for bands in (7, 8):
        valid = rng.uniform(size=(n, days, 1)) < 0.5
        valid = valid & (rng.uniform(size=(n, days, bands)) < 0.9)
        stored = rng.integers(-100, 16000, (n, days, bands))
        series += [np.where(valid, stored * np.float32(1e-4), np.float32(0)).astype(np.float32), valid]
    pixel = np.repeat(np.array(pixels), variants)
    return Pairs(
        pixel=pixel.astype(np.int64),
        platform=rng.choice(["S-NPP", "NOAA-21"], n),
        product=rng.choice(["nbar", "directional"], n),
        first_day=(15000 + 365 * rng.integers(0, 3, n)).astype(np.int32),
        longitude=np.where(pixel % 2, 11.5 + pixel / 10, np.nan).astype(np.float32),
        latitude=np.where(pixel % 2, 48.1, np.nan).astype(np.float32),
        land_cover=np.where(pixel % 3, "forest", ""),
        modis=series[0],
        modis_valid=series[1],
        viirs=series[2],
        viirs_valid=series[3],
    )


def joined(blocks: list[Pairs]) -> Pairs:
    return Pairs(**{f.name: np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(Pairs)})


def assert_equal(one: Pairs, other: Pairs) -> None:
    for field in fields(Pairs):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@pytest.fixture(scope="module")
def blocks() -> list[Pairs]:
    return [make(range(first, first + 4)) for first in range(0, 24, 4)]


@pytest.fixture(scope="module")
def filled(blocks, tmp_path_factory):
    """A data set of six blocks of four pixels."""
    return store.write(blocks, tmp_path_factory.mktemp("pairs") / "pairs", RECORD)


# --- what is written is read


def test_everything_comes_back_as_it_was(filled, blocks):
    pool = filled.pool(range(24), memory_bytes=MEMORY, seed=0)
    assert pool.rounds == 1
    assert_equal(pool.at(0), joined(blocks))
    for name, dtype in {"modis": np.float32, "viirs_valid": np.bool_, "first_day": np.int32}.items():
        assert getattr(pool.at(0), name).dtype == dtype


def test_values_are_rounded_to_the_scale_and_no_further(tmp_path):
    pairs = make(range(3))
    odd = replace(pairs, modis=np.where(pairs.modis_valid, pairs.modis + np.float32(0.00003), 0))
    back = store.write([odd], tmp_path / "p", RECORD).pool(range(3), memory_bytes=MEMORY, seed=0).at(0)
    np.testing.assert_array_equal(back.modis, pairs.modis)
    assert not back.modis[~back.modis_valid].any()


def test_what_is_not_valid_is_not_kept(tmp_path):
    pairs = make(range(2))
    noisy = replace(pairs, viirs=np.where(pairs.viirs_valid, pairs.viirs, np.nan))
    back = store.write([noisy], tmp_path / "p", RECORD).pool(range(2), memory_bytes=MEMORY, seed=0).at(0)
    assert_equal(back, pairs)


def test_places_and_samples_are_known_without_reading_rows(filled, blocks):
    truth = joined(blocks)
    places = filled.pixels()
    np.testing.assert_array_equal(places.pixel, np.arange(24))
    np.testing.assert_array_equal(places.longitude, truth.longitude[::2])
    np.testing.assert_array_equal(places.land_cover, truth.land_cover[::2])
    assert len(filled.samples) == len(truth.pixel) == 48
    np.testing.assert_array_equal(filled.samples.first_day, truth.first_day)
    np.testing.assert_array_equal(filled.samples.platform, truth.platform)
    assert filled.record == {**RECORD, "version": store.VERSION, "scale": rows.SCALE}


def test_the_rows_are_plain_parquet_for_anybody(filled, blocks):
    table = ds.dataset(filled.folder, partitioning="hive").to_table()
    assert set(table.column_names) == {*rows.SCHEMA.names, "block"}
    truth = joined(blocks)
    seen = truth.modis_valid.any(-1)
    seen[:, [0, -1]] = True
    sensor = np.array(table["sensor"].to_pylist())
    assert (sensor == "modis").sum() == seen.sum()
    red = np.array([value for value in table["modis_B1"].to_pylist() if value is not None])
    np.testing.assert_allclose(
        np.sort(red * 1e-4), np.sort(truth.modis[..., 0][truth.modis_valid[..., 0]]), atol=1e-7
    )
    metadata = json.loads(pq.read_schema(store.block_file(filled.folder, 0)).metadata[store.RECORD_KEY])
    assert metadata["kind"] == "semi-real"


# --- pools


def test_only_the_pixels_asked_for_are_read(filled, blocks):
    pool = filled.pool([1, 5, 6, 99], memory_bytes=MEMORY, seed=0)
    truth = joined(blocks)
    chosen = np.isin(truth.pixel, [1, 5, 6])
    assert_equal(pool.at(0), Pairs(**{f.name: getattr(truth, f.name)[chosen] for f in fields(Pairs)}))
    assert pool.bytes == sum(a.nbytes for a in (pool.at(0).modis, pool.at(0).viirs)) * 5 // 4


def test_a_pool_of_little_memory_reads_a_part_at_a_time_and_all_in_turn(filled):
    a_third = filled.pool(range(24), memory_bytes=MEMORY, seed=0).bytes // 3
    pool = filled.pool(range(24), memory_bytes=a_third, seed=5)
    assert pool.rounds == 3
    seen = []
    for round in range(3):
        part = pool.at(round)
        held = [part.modis, part.modis_valid, part.viirs, part.viirs_valid]
        assert sum(array.nbytes for array in held) <= a_third
        assert len(part.pixel) == 16
        seen += part.pixel.tolist()
    assert sorted(seen) == sorted([*range(24), *range(24)])
    assert {tuple(pool.blocks(round)) for round in range(3, 6)} != {tuple(pool.blocks(r)) for r in range(3)}


def test_a_round_depends_on_seed_and_number_alone(filled):
    def pool(seed):
        return filled.pool(range(24), memory_bytes=60_000, seed=seed)

    one, other = pool(1), pool(1)
    for round in (7, 2, 4):
        one.at(round)
    assert_equal(one.at(3), other.at(3))
    orders = [[tuple(pool(seed).blocks(round)) for round in range(6)] for seed in range(4)]
    assert len(set(map(tuple, orders))) == 4


def test_a_round_is_read_once(filled):
    pool = filled.pool(range(24), memory_bytes=60_000, seed=0)
    assert pool.at(0) is pool.at(0)
    assert pool.at(1) is not pool.at(0)


def test_memory_for_less_than_a_block_is_refused(filled):
    with pytest.raises(InvalidParameter, match=r"a block of pairs takes .* MB"):
        filled.pool(range(24), memory_bytes=1000, seed=0)


def test_pixels_that_are_not_there_are_refused(filled):
    with pytest.raises(InvalidParameter, match="none of the 2 pixels"):
        filled.pool([100, 101], memory_bytes=MEMORY, seed=0)


# --- rows of anybody's


def table(**columns) -> pa.Table:
    base = {
        "sample": [0, 0, 0, 0, 1, 1],
        "pixel": [7, 7, 7, 7, 8, 8],
        "sensor": ["modis", "modis", "modis", "viirs", "modis", "viirs"],
        "date": [datetime.date(2020, 1, day) for day in (5, 5, 9, 7, 3, 3)],
        "modis_B1": [0.1, 0.3, 0.05, None, 0.2, None],
        "modis_B2": [None, 0.4, None, None, 0.2, None],
        "viirs_I1": [None, None, None, 0.11, None, 0.21],
    }
    return pa.table({name: values for name, values in {**base, **columns}.items() if values is not None})


def test_irregular_rows_become_days(tmp_path):
    real = store.write_rows([table()], tmp_path / "p", {"kind": "real"})
    pairs = real.pool([7, 8], memory_bytes=MEMORY, seed=0).at(0)
    assert pairs.modis.shape == (2, 5, 7)
    first = int(np.datetime64("2020-01-05", "D").astype(int))
    assert pairs.first_day.tolist() == [first, first - 2]
    np.testing.assert_allclose(pairs.modis[0, :, 0], [0.2, 0, 0, 0, 0.05], atol=1e-6)
    assert pairs.modis_valid[0, :, 0].tolist() == [True, False, False, False, True]
    np.testing.assert_allclose(pairs.modis[0, 0, 1], 0.4, atol=1e-6)  # of two rows of a day, one knows it
    assert np.argwhere(pairs.viirs_valid).tolist() == [[0, 2, 0], [1, 0, 0]]
    assert not pairs.modis_valid[1, 1:].any()  # the shorter series ends there
    assert np.isnan(pairs.longitude).all()
    assert pairs.platform.tolist() == ["", ""]


def test_timestamps_and_stored_integers_will_do(tmp_path):
    dates = pa.array(np.array(["2020-01-05T10:30"] * 6, "datetime64[ns]"))
    stored = pa.array([1000, 3000, 500, None, 2000, None], pa.int16())
    real = store.write_rows([table(date=dates, modis_B1=stored)], tmp_path / "p", {"kind": "real"})
    pairs = real.pool([7, 8], memory_bytes=MEMORY, seed=0).at(0)
    np.testing.assert_allclose(pairs.modis[:, 0, 0], [0.15, 0.2], atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"date": None}, r"need the columns \['sample', 'pixel', 'sensor', 'date'\]"),
        ({"modis_B1": None, "modis_B2": None, "viirs_I1": None}, "and bands out of"),
        ({"sensor": ["modis"] * 5 + ["landsat"]}, r"sensor must be one of .* got \['landsat'\]"),
        ({"sample": [0, 0, None, 0, 1, 1]}, r"columns \['sample'\] have nulls"),
        ({"pixel": [7, 7, 7, 9, 8, 8]}, "sample 0 has several"),
        ({"modis_B1": [1000.0, 2.0, 1.0, 1.0, 1.0, 1.0]}, r"modis_B1 must be within ±3.2767, got 1000"),
        ({"date": ["yesterday"] * 6}, "rows of pairs: "),
    ],
)
def test_rows_that_are_none_are_refused(tmp_path, columns, message):
    with pytest.raises(InvalidParameter, match=message):
        store.write_rows([table(**columns)], tmp_path / "p", {"kind": "real"})
    assert list(tmp_path.iterdir()) == []


def test_a_sample_in_two_blocks_is_refused(tmp_path):
    with pytest.raises(InvalidParameter, match="sample 0 is in several"):
        store.write_rows([table(), table()], tmp_path / "p", {"kind": "real"})


# --- folders


def test_a_crash_leaves_nothing_and_takes_nothing(tmp_path, blocks):
    folder = tmp_path / "pairs"

    def failing():
        yield blocks[0]
        assert not (folder / store.SAMPLES_FILE).exists() or store.open_store(folder)
        raise RuntimeError("out of data")

    with pytest.raises(RuntimeError, match="out of data"):
        store.write(failing(), folder, RECORD)
    assert list(tmp_path.iterdir()) == []
    store.write(blocks[:2], folder, RECORD)
    with pytest.raises(RuntimeError, match="out of data"):
        store.write(failing(), folder, RECORD, overwrite=True)
    assert len(store.open_store(folder).samples) == 16
    assert list(tmp_path.iterdir()) == [folder]


def test_a_data_set_is_overwritten_only_when_told(tmp_path, blocks):
    store.write(blocks[:1], tmp_path / "p", RECORD)
    with pytest.raises(InvalidParameter, match="holds pairs already"):
        store.write(blocks, tmp_path / "p", RECORD)
    assert len(store.write(blocks[:2], tmp_path / "p", RECORD, overwrite=True).samples) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_other_peoples_folders_are_never_overwritten(tmp_path, blocks):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidParameter, match="something else than pairs"):
        store.write(blocks, tmp_path, RECORD, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path, blocks):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="could not be written"):
        store.write(blocks, tmp_path / "file" / "pairs", RECORD)


@pytest.mark.parametrize("record", [{}, {"kind": "imaginary"}])
def test_the_kind_of_pairs_must_be_said(tmp_path, blocks, record):
    with pytest.raises(InvalidParameter, match="needs a kind out of"):
        store.write(blocks, tmp_path / "p", record)


def test_no_pairs_are_no_data_set(tmp_path):
    with pytest.raises(InvalidParameter, match="no pairs to write"):
        store.write([], tmp_path / "p", RECORD)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InvalidParameter, match="no data set of training pairs"):
        store.open_store(tmp_path)


def test_another_version_is_refused(tmp_path, blocks):
    folder = store.write(blocks[:1], tmp_path / "p", RECORD).folder
    table = pq.read_table(folder / store.SAMPLES_FILE)
    older = {store.RECORD_KEY: json.dumps({"version": 0})}
    pq.write_table(table.replace_schema_metadata(older), folder / store.SAMPLES_FILE)
    with pytest.raises(InvalidParameter, match="of version 0, this package reads version 1"):
        store.open_store(folder)


@pytest.mark.parametrize("damage", ["column", "block", "file"])
def test_a_damaged_data_set_is_refused(tmp_path, blocks, damage):
    folder = store.write(blocks[:2], tmp_path / "p", RECORD).folder
    file = store.block_file(folder, 1)
    if damage == "column":
        pq.write_table(pq.read_table(file, partitioning=None).drop_columns("viirs_M8"), file)
    elif damage == "block":
        file.unlink()
    else:
        file.write_bytes(b"PAR1 and no more")
    message = {
        "column": r"lack the columns \['viirs_M8'\]",
        "block": "block=00001 is missing",
        "file": "read",
    }
    with pytest.raises(InvalidParameter, match=message[damage]):
        store.open_store(folder)


PEAK = """
import resource, sys
from tests.training.test_store import RECORD, make
from openeo_udf_fusion.training import store
from pathlib import Path

peaks = []

def blocks():
    for number in range(24):
        if number in (4, 23):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        yield make(range(100 * number, 100 * number + 100), variants=2, days=366)

written = store.write(blocks(), Path(sys.argv[1]), RECORD)
print(peaks[1] - peaks[0], sum(written.samples.days) * 15 * 5 // 1024)
"""


def test_memory_for_writing_does_not_grow_with_the_data(tmp_path, repository):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "p")], capture_output=True, text=True, cwd=repository
    )
    assert done.returncode == 0, done.stderr
    growth_kib, all_kib = map(int, done.stdout.split())
    assert growth_kib < all_kib / 3, f"{growth_kib} KiB more at the end, the pairs take {all_kib} KiB"
