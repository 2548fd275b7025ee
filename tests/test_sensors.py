import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion import sensors
from openeo_udf_fusion.errors import MissingBands
from openeo_udf_fusion.models import cards

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
    assert dict(zip(wanted_clear, sensors.modis_clear(words).tolist(), strict=True)) == wanted_clear
    assert dict(zip(wanted_snow, sensors.modis_snow(words).tolist(), strict=True)) == wanted_snow


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
        assert sensors.viirs_clear(flags(byte, dtype=dtype)).item() is clear, name
    for name, byte, clear, snow in VIIRS_QF2:
        word = flags(byte, dtype=dtype)
        assert sensors.viirs_clear(clear_qf1, qf2=word).item() is clear, name
        assert sensors.viirs_snow(word).item() is snow, name
    for name, byte, clear in VIIRS_QF7:
        assert sensors.viirs_clear(clear_qf1, qf7=flags(byte, dtype=dtype)).item() is clear, name


def test_no_flag_of_viirs_overrules_a_cloud():
    assert not sensors.viirs_clear(flags(0b1100), flags(0), flags(0)).any()


def test_inversions():
    quality = flags(0, 1, 2, 255, dtype="uint8")
    assert sensors.nbar_good(quality).tolist() == [True, True, False, False]
    assert sensors.nbar_good(quality, magnitude_inversions=False).tolist() == [True, False, False, False]


def test_scene_classification():
    scl = np.arange(12, dtype=np.float32)
    assert np.flatnonzero(sensors.sentinel2_clear(scl)).tolist() == [4, 5, 6]
    assert np.flatnonzero(sensors.sentinel2_clear(scl, unclassified=True)).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(sensors.sentinel2_snow(scl)).tolist() == [11]


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
        sensors.landsat_clear(words), sensors.landsat_snow(words), sensors.landsat_water(words), strict=True
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
    assert sensors.landsat_collection1_clear(words).tolist() == [row[1] for row in COLLECTION1]


def test_landsat_is_clear_where_all_flags_that_came_agree():
    found = sensors.clear("l8", {"QA_PIXEL": flags(21824, 21824, 1), "pixel_qa": flags(322, 480, 322)})
    assert found.tolist() == [True, False, False]
    assert sensors.clear("l8", {"pixel_qa": flags(322, 480)}).tolist() == [True, False]


CONDITIONS = [
    sensors.modis_clear,
    sensors.modis_snow,
    sensors.viirs_clear,
    sensors.viirs_snow,
    sensors.nbar_good,
    sensors.sentinel2_clear,
    sensors.sentinel2_snow,
    sensors.landsat_clear,
    sensors.landsat_collection1_clear,
    sensors.landsat_snow,
    sensors.landsat_water,
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
    assert sensors.modis_clear(flags(word)).item() is (not cloudy and not bits & {2, 9, 10, 13})


# --- whichever flags there are


def test_clear_reads_the_flags_that_a_sensor_has():
    modis = {"state_1km": flags(0, 1), "B1": flags(9, 9)}
    assert sensors.clear("modis", modis).tolist() == [True, False]
    assert sensors.clear("viirs", {"QF1": flags(3, 12)}).tolist() == [True, False]
    assert sensors.clear("viirs", {"QF1": flags(3, 3), "QF2": flags(0, 8)}).tolist() == [True, False]
    assert sensors.clear("viirs", {"QF1": flags(3, 3), "QF7": flags(2, 0)}).tolist() == [False, True]
    assert sensors.clear("s2", {"SCL": flags(4, 9)}).tolist() == [True, False]
    assert sensors.clear("l8", {"QA_PIXEL": flags(21824, 1)}).tolist() == [True, False]
    assert sensors.clear("l9", {"QA_PIXEL": flags(21824, 1)}).tolist() == [True, False]


@pytest.mark.parametrize("sensor", list(sensors.SENSORS))
def test_without_flags_nothing_is_known(sensor):
    assert sensors.clear(sensor, {"B1": flags(0)}) is None


@pytest.mark.parametrize("name", ["QF2", "QF7"])
def test_flags_that_mean_nothing_alone_are_an_error(name):
    with pytest.raises(MissingBands, match="viirs_QF1"):
        sensors.clear("viirs", {name: flags(0)})


# --- names


ALIASES = [
    ("sur_refl_b01", None, "modis_B1"),
    ("sur_refl_b07", None, "modis_B7"),
    ("sur_refl_b01_1", None, "modis_B1"),
    ("MODIS_Grid_500m_2D:sur_refl_b03_1", None, "modis_B3"),
    ("refl_1", None, "modis_B1"),
    ("refl_b02", None, "modis_B2"),
    ("Band4", None, "modis_B4"),
    ("Nadir_Reflectance_Band6", None, "modis_B6"),
    ("BRDF_Albedo_Band_Mandatory_Quality_Band2", None, "modis_quality_B2"),
    ("state_1km", None, "modis_state_1km"),
    ("state_1km_1", None, "modis_state_1km"),
    ("sur_refl_state_500m", None, "modis_state_1km"),
    ("sur_refl_day_of_year", None, "modis_day_of_year"),
    ("SurfReflect_I1", None, "viirs_I1"),
    ("SurfReflect_M11_1", None, "viirs_M11"),
    ("SurfReflect_M1", None, "viirs_M1"),
    ("SurfReflect_QF7_1", None, "viirs_QF7"),
    ("Nadir_Reflectance_M10", None, "viirs_M10"),
    ("BRDF_Albedo_Band_Mandatory_Quality_I2", None, "viirs_quality_I2"),
    ("M8", None, "viirs_M8"),
    ("QF2", None, "viirs_QF2"),
    ("SCL", None, "s2_SCL"),
    ("B8A", None, "s2_B8A"),
    ("VV", None, "s1_VV"),
    ("SR_B4", None, "l8_B4"),
    ("SR_B4", "l9", "l9_B4"),
    ("ST_B10", None, "l8_LST"),
    ("pixel_qa", None, "l8_pixel_qa"),
    ("ST-B10", "l9", "l9_LST"),
    ("QA_PIXEL", "l9", "l9_QA_PIXEL"),
    ("B1", "modis", "modis_B1"),
    ("1", "modis", "modis_B1"),
    ("b02", "modis", "modis_B2"),
    ("B2", "s2", "s2_B02"),
    ("B02", "l8", "l8_B2"),
    ("8A", "s2", "s2_B8A"),
    ("M10", "viirs", "viirs_M10"),
    ("modis_B1", None, "modis_B1"),
    ("B1", None, None),
    ("1", None, None),
    ("B02", None, None),
    ("B8", "modis", None),
    ("B10", "modis", None),
    ("SR_B4", "s2", None),
    ("sur_refl_b08", None, None),
    ("SurfReflect_M9", None, None),
    ("ndvi", None, None),
    ("", None, None),
    ("modis_B8", None, None),
]


@pytest.mark.parametrize(("name", "sensor", "label"), ALIASES)
def test_aliases(name, sensor, label):
    assert sensors.canonical_label(name, sensor) == label


LABELS = [label for sensor in sensors.SENSORS.values() for label in sensor.labels()]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_names_itself_and_its_band(label):
    assert sensors.canonical_label(label) == label
    sensor, band = sensors.band_of(label)
    assert f"{sensor.id}_{band.name}" == label
    assert sensors.canonical_label(band.name, sensor.id) == label


@pytest.mark.parametrize("label", ["modis", "modis_", "modis_B8", "B1", "MODIS_B1", "s3_B1", "_B1"])
def test_what_is_no_label(label):
    assert sensors.band_of(label) is None


# --- tables


def test_labels_are_unique_and_each_kind_is_a_part_of_them():
    assert len(set(LABELS)) == len(LABELS)
    for sensor in sensors.SENSORS.values():
        kinds = {band.kind for band in sensor.bands}
        assert sorted(sum((sensor.labels(kind) for kind in kinds), ())) == sorted(sensor.labels())


def test_fused_bands_are_reflectance_that_the_product_has():
    for sensor, names in sensors.FUSED_BANDS.items():
        assert {f"{sensor}_{name}" for name in names} <= set(sensors.SENSORS[sensor].labels("reflectance"))


def test_the_card_of_the_model_has_these_bands_and_partners_of_the_same_colour():
    card = cards.read("satfusenet")
    assert card.bands == dict(sensors.FUSED_BANDS)
    for sensor, other in (("modis", "viirs"), ("viirs", "modis")):
        for name, partner in zip(card.bands[sensor], card.hyperparameters[f"{sensor}_partner"], strict=True):
            labels = (f"{sensor}_{name}", f"{other}_{card.bands[other][partner]}")
            mine, theirs = (sensors.band_of(label)[1] for label in labels)
            assert mine.common_name == theirs.common_name
            assert abs(mine.center_wavelength_nm - theirs.center_wavelength_nm) <= 120


def test_a_stand_in_has_the_pass_band_of_what_it_stands_for():
    for missing, present in sensors.STAND_INS.items():
        one, other = sensors.band_of(missing)[1], sensors.band_of(present)[1]
        assert (one.common_name, one.center_wavelength_nm) == (other.common_name, other.center_wavelength_nm)
        assert one.name in sensors.FUSED_BANDS["viirs"]
        assert other.name not in sensors.FUSED_BANDS["viirs"]


@pytest.mark.parametrize(
    ("label", "stored", "physical"),
    [
        ("modis_B1", 5000, 0.5),
        ("viirs_M11", 5000, 0.5),
        ("s2_B02", 2000, 0.1),
        ("l8_B4", 20000, 0.35),
        ("l9_LST", 44177, 300.0),
    ],
)
def test_scales(label, stored, physical):
    band = sensors.band_of(label)[1]
    assert stored * band.scale + band.offset == pytest.approx(physical, abs=1e-2)
