import pytest

from openeo_udf_fusion import sensors
from openeo_udf_fusion.models import cards

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
