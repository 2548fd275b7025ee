import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion import quality_flags
from openeo_udf_fusion.errors import MissingBands
from openeo_udf_fusion.sensors import SENSORS

DTYPES = pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "float32", "float64"])


def flags(*values, dtype="uint16"):
    return np.array(values).astype(dtype)


# --- bits


MODIS_STATE = [  # what is set, the word, clear, snow; MOD09 user guide, table 13
    ("nothing: clear over shallow ocean", 0, True, False),
    ("land", 0b001 << 3, True, False),
    ("cloudy", 0b01, False, False),
    ("mixed", 0b10, False, False),
    ("assumed clear", 0b11, True, False),
    ("cloud shadow", 1 << 2, False, False),
    ("high aerosol", 0b11 << 6, True, False),
    ("small cirrus", 0b01 << 8, True, False),
    ("average cirrus", 0b10 << 8, False, False),
    ("high cirrus", 0b11 << 8, False, False),
    ("internal cloud", 1 << 10, False, False),
    ("internal fire", 1 << 11, True, False),
    ("snow", 1 << 12, True, True),
    ("next to cloud", 1 << 13, False, False),
    ("salt pan", 1 << 14, True, False),
    ("internal snow", 1 << 15, True, True),
    ("internal snow and cloud", 1 << 15 | 0b01, False, True),
    ("every bit", 0xFFFF, False, True),
]


@DTYPES
def test_modis_state(dtype):
    words = flags(*(word for _, word, _, _ in MODIS_STATE), dtype=dtype)
    wanted_clear = {name: clear for name, _, clear, _ in MODIS_STATE}
    wanted_snow = {name: snow for name, _, _, snow in MODIS_STATE}
    assert dict(zip(wanted_clear, quality_flags.modis_clear(words).tolist(), strict=True)) == wanted_clear
    assert dict(zip(wanted_snow, quality_flags.modis_snow(words).tolist(), strict=True)) == wanted_snow


VIIRS_QF1 = [  # VNP09 user guide, table 8
    ("confident clear, mask of high quality", 3, True),
    ("mask not done", 0, False),
    ("mask of low quality", 0b01, False),
    ("mask of medium quality", 0b10, True),
    ("probably clear", 3 + (0b01 << 2), True),
    ("probably cloudy", 3 + (0b10 << 2), False),
    ("confident cloudy", 3 + (0b11 << 2), False),
    ("night", 3 + (1 << 4), False),
    ("low sun", 3 + (1 << 5), True),
    ("sun glint", 3 + (0b11 << 6), True),
]
VIIRS_QF2 = [  # table 9: what is set, the byte, clear, snow
    ("land", 0b001, True, False),
    ("cloud shadow", 1 << 3, False, False),
    ("heavy aerosol", 1 << 4, True, False),
    ("snow", 1 << 5, True, True),
    ("cirrus by reflectance", 1 << 6, False, False),
    ("cirrus by emissivity", 1 << 7, False, False),
]
VIIRS_QF7 = [  # table 14
    ("snow", 1, True),
    ("next to cloud", 1 << 1, False),
    ("aerosol", 0b11 << 2, True),
    ("thin cirrus", 1 << 4, False),
]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_viirs_quality_flags(dtype):
    clear_qf1 = flags(3, dtype=dtype)
    for name, byte, clear in VIIRS_QF1:
        assert quality_flags.viirs_clear(flags(byte, dtype=dtype)).item() is clear, name
    for name, byte, clear, snow in VIIRS_QF2:
        word = flags(byte, dtype=dtype)
        assert quality_flags.viirs_clear(clear_qf1, qf2=word).item() is clear, name
        assert quality_flags.viirs_snow(word).item() is snow, name
    for name, byte, clear in VIIRS_QF7:
        assert quality_flags.viirs_clear(clear_qf1, qf7=flags(byte, dtype=dtype)).item() is clear, name


def test_no_flag_of_viirs_overrules_a_cloud():
    assert not quality_flags.viirs_clear(flags(0b1100), flags(0), flags(0)).any()


def test_inversions():
    quality = flags(0, 1, 2, 255, dtype="uint8")
    assert quality_flags.nbar_good(quality).tolist() == [True, True, False, False]
    assert quality_flags.nbar_good(quality, magnitude_inversions=False).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_scene_classification():
    scl = np.arange(12, dtype=np.float32)
    assert np.flatnonzero(quality_flags.sentinel2_clear(scl)).tolist() == [4, 5, 6]
    assert np.flatnonzero(quality_flags.sentinel2_clear(scl, unclassified=True)).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(quality_flags.sentinel2_snow(scl)).tolist() == [11]


LANDSAT = [  # typical words of LSDS-1619, table 6-4: word, clear, snow, water
    (1, False, False, False),  # fill
    (21824, True, False, False),  # clear land
    (21888, True, False, True),  # clear water
    (21826, False, False, False),  # dilated cloud
    (22280, False, False, False),  # cloud
    (23888, False, False, False),  # cloud shadow
    (30048, True, True, False),  # clear snow
    (54596, False, False, False),  # cirrus over land
    (55052, False, False, False),  # cirrus and cloud
]


@DTYPES
def test_landsat_words(dtype):
    words = flags(*(row[0] for row in LANDSAT), dtype=dtype)
    found = zip(
        quality_flags.landsat_clear(words),
        quality_flags.landsat_snow(words),
        quality_flags.landsat_water(words),
        strict=True,
    )
    assert [tuple(map(bool, row)) for row in found] == [row[1:] for row in LANDSAT]


COLLECTION1 = [  # words of the Belgian site and of LSDS-1368: word, clear
    (1, False),  # fill
    (322, True),  # clear land
    (324, True),  # clear water
    (336, True),  # snow
    (328, False),  # cloud shadow
    (352, False),  # cloud of low confidence
    (480, False),  # cloud
    (834, False),  # land under sure cirrus
    (386, True),  # land, cloud of medium confidence
]


@DTYPES
def test_landsat_words_of_collection_1(dtype):
    words = flags(*(row[0] for row in COLLECTION1), dtype=dtype)
    assert quality_flags.landsat_collection1_clear(words).tolist() == [row[1] for row in COLLECTION1]


def test_landsat_is_clear_where_all_flags_that_came_agree():
    found = quality_flags.clear("l8", {"QA_PIXEL": flags(21824, 21824, 1), "pixel_qa": flags(322, 480, 322)})
    assert found.tolist() == [True, False, False]
    assert quality_flags.clear("l8", {"pixel_qa": flags(322, 480)}).tolist() == [True, False]


CONDITIONS = [
    quality_flags.modis_clear,
    quality_flags.modis_snow,
    quality_flags.viirs_clear,
    quality_flags.viirs_snow,
    quality_flags.nbar_good,
    quality_flags.sentinel2_clear,
    quality_flags.sentinel2_snow,
    quality_flags.landsat_clear,
    quality_flags.landsat_collection1_clear,
    quality_flags.landsat_snow,
    quality_flags.landsat_water,
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.__name__)
def test_a_missing_flag_fulfils_no_condition(condition):
    every_word = np.arange(1 << 16, dtype=np.float32)
    assert condition(every_word).any()
    assert not condition(np.full((2, 3), np.nan, np.float32)).any()
    mixed = np.array([np.nan, np.flatnonzero(condition(every_word))[0]], np.float32)
    assert condition(mixed).tolist() == [False, True]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.__name__)
def test_every_16_bit_word_survives_float32(condition):
    words = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(condition(words.astype(np.float32)), condition(words))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 0xFFFF))
def test_clear_means_that_no_bit_speaks_against_it(word):
    bits = {place for place in range(16) if word >> place & 1}
    cloudy = bits & {0, 1} not in (set(), {0, 1})
    assert quality_flags.modis_clear(flags(word)).item() is (not cloudy and not bits & {2, 9, 10, 13})


# --- whichever flags there are


def test_clear_reads_the_flags_that_a_sensor_has():
    modis = {"state_1km": flags(0, 1), "B1": flags(9, 9)}
    assert quality_flags.clear("modis", modis).tolist() == [True, False]
    assert quality_flags.clear("viirs", {"QF1": flags(3, 12)}).tolist() == [True, False]
    assert quality_flags.clear("viirs", {"QF1": flags(3, 3), "QF2": flags(0, 8)}).tolist() == [True, False]
    assert quality_flags.clear("viirs", {"QF1": flags(3, 3), "QF7": flags(2, 0)}).tolist() == [False, True]
    assert quality_flags.clear("s2", {"SCL": flags(4, 9)}).tolist() == [True, False]
    assert quality_flags.clear("l8", {"QA_PIXEL": flags(21824, 1)}).tolist() == [True, False]
    assert quality_flags.clear("l9", {"QA_PIXEL": flags(21824, 1)}).tolist() == [True, False]


@pytest.mark.parametrize("sensor", list(SENSORS))
def test_without_flags_nothing_is_known(sensor):
    assert quality_flags.clear(sensor, {"B1": flags(0)}) is None


@pytest.mark.parametrize("name", ["QF2", "QF7"])
def test_flags_that_mean_nothing_alone_are_an_error(name):
    with pytest.raises(MissingBands, match="viirs_QF1"):
        quality_flags.clear("viirs", {name: flags(0)})
