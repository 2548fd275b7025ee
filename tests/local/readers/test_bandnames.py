"""From a file's words to labels and decodings: collection.json beats the file, the file beats the sensor."""

from pathlib import Path

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.local.readers.bandnames import (
    Override,
    Stated,
    cf_attrs,
    decoding_of,
    label_of,
    not_offered,
    sensor_of,
)

INT16, UINT16, UINT32, FLOAT = (np.dtype(name) for name in ("int16", "uint16", "uint32", "float32"))
DAY = np.array(["2022-06-01"], "datetime64[ns]")


@pytest.mark.parametrize(
    ("name", "sensor", "inner", "label"),
    [
        ("sur_refl_b01", None, "", "modis_B1"),
        ("refl_1", None, "1", "modis_B1"),
        ("MODIS_Grid_500m_2D_sur_refl_b07_1", None, "", "modis_B7"),
        ("MODIS_Grid_1km_2D_state_1km_1", "modis", "", "modis_state_1km"),
        ("MODIS_Grid_1km_2D_SolarZenith_1", "modis", "", "SolarZenith"),
        ("B02", "s2", "", "s2_B02"),
        ("B2", "s2", "", "s2_B02"),
        ("B02", None, "", "B02"),
        ("QA-PIXEL", "l8", "", "l8_QA_PIXEL"),
        ("reflectance_viirs_I1", None, "viirs_I1", "viirs_I1"),
        ("reflectance_far", None, "far", "reflectance_far"),
        ("temperature_max", "modis", "", "temperature_max"),
    ],
)
def test_labels(name: str, sensor: str | None, inner: str, label: str):
    assert label_of(name, Stated(FLOAT), sensor, Override(), inner) == label


def test_a_label_that_the_file_states_is_kept_whatever_the_sensor():
    assert label_of("B1", Stated(FLOAT, label="B1"), "modis", Override()) == "B1"


def test_collection_json_names_bands():
    assert label_of("B1", Stated(FLOAT), "s2", Override(bands={"B1": {"name": "mine"}})) == "mine"


@pytest.mark.parametrize(
    ("hints", "sensor"),
    [
        (["MOD09A1_061_h18v04"], "modis"),
        (["VNP09GA.A2022001"], "viirs"),
        (["S2_L2A_10m"], "s2"),
        (["S2B_MSIL2A_20220101"], "s2"),
        (["LC08_L2SP"], "l8"),
        (["landsat-9"], "l9"),
        (["S1_GRD-ASCENDING_20m"], "s1"),
        (["B1", "belgium_landsat_sentinel2", "modis"], "modis"),  # two at once tell nothing
        (["AgERA5_DAILY"], None),
        (["CLASS2"], None),
    ],
)
def test_the_first_telling_hint_names_the_sensor(hints: list[str], sensor: str | None):
    assert sensor_of(hints) == sensor


@pytest.mark.parametrize(
    ("label", "stated", "override", "raw", "value"),
    [
        # the sensor's constants, for integers without attributes
        ("modis_B1", Stated(INT16), Override(), 1234, 0.1234),
        ("modis_B1", Stated(INT16), Override(), -28672, np.nan),
        ("modis_B1", Stated(INT16), Override(), 32767, np.nan),
        # the file beats the sensor
        ("modis_B1", Stated(INT16, scale=1e-3), Override(), 123, 0.123),
        ("modis_B1", Stated(INT16, scale=1e-4, nodata=(-32768.0,)), Override(), -32768, np.nan),
        ("modis_B1", Stated(INT16, nodata=(-32768.0,)), Override(), 32767, 3.2767),
        # the file's divisor of MOD09
        ("modis_B1", Stated(INT16, scale=10000.0, offset=0.0), Override(), 1234, 0.1234),
        # collection.json beats both
        ("modis_B1", Stated(INT16, scale=1e-3), Override(scale=1e-2), 12, 0.12),
        ("modis_B1", Stated(INT16), Override(bands={"modis_B1": {"nodata": 5}}), 5, np.nan),
        ("modis_B1", Stated(INT16), Override(nodata=[7, 8]), 8, np.nan),
        # floats are reflectance already
        ("modis_B1", Stated(FLOAT), Override(), 0.5, 0.5),
        # flags stay as they are
        ("modis_state_1km", Stated(UINT16), Override(), 65535, 65535),
        ("modis_state_1km", Stated(UINT16, nodata=(65535.0,)), Override(), 65535, np.nan),
        ("s2_SCL", Stated(UINT16, nodata=(0.0,)), Override(), 4, 4),
        # unknown bands are taken at their word
        ("rain", Stated(INT16), Override(), 1234, 1234),
        ("rain", Stated(INT16, scale=0.1, offset=1.0), Override(), 10, 2.0),
        # kelvin that were decoded fill and all
        ("l8_LST", Stated(UINT16, scale=1.0, nodata=(0.0,)), Override(), 149, np.nan),
        ("l8_LST", Stated(UINT16, scale=1.0, nodata=(0.0,)), Override(), 290, 290),
        ("l8_LST", Stated(UINT16), Override(), 41000, 41000 * 0.00341802 + 149),
    ],
)
def test_decoding(label: str, stated: Stated, override: Override, raw: float, value: float):
    decoded = decoding_of("name", label, stated, override).apply(np.full((1, 1, 1), raw, stated.dtype), DAY)
    np.testing.assert_allclose(decoded, value, rtol=1e-6)
    assert decoded.dtype == np.float32


def test_sentinel2_integers_have_their_offset_since_baseline_4():
    decoding = decoding_of("B02", "s2_B02", Stated(UINT16), Override())
    dates = np.array(["2022-01-24T10:00", "2022-01-25T10:00"], "datetime64[ns]")
    decoded = decoding.apply(np.full((2, 1, 1), 2000, UINT16), dates)
    np.testing.assert_allclose(decoded.ravel(), [0.2, 0.1], rtol=1e-6)


def test_sentinel2_with_attributes_has_no_other_offset():
    decoding = decoding_of("B02", "s2_B02", Stated(UINT16, scale=1e-4), Override())
    assert decoding.apply(np.full((1, 1, 1), 2000, UINT16), DAY).item() == np.float32(0.2)


def test_every_16_bit_flag_survives():
    flags = np.arange(65536, dtype=UINT16).reshape(1, 256, 256)
    decoded = decoding_of("state_1km", "modis_state_1km", Stated(UINT16), Override()).apply(flags, DAY)
    assert (decoded.astype(UINT16) == flags).all()


@pytest.mark.parametrize(
    ("name", "dtype", "scale", "offered"),
    [
        ("qc_500m", "uint32", None, False),
        ("QC_500m", "int32", None, False),
        ("VV", "int32", 1e-4, True),
        ("landcover", "int32", None, True),
        ("state_1km", "uint16", None, True),
        ("name", "S1", None, False),
    ],
)
def test_wide_flags_are_not_offered(name: str, dtype: str, scale: float | None, offered: bool):
    assert (not_offered(name, name, Stated(np.dtype(dtype), scale=scale)) is None) == offered


def test_flags_are_whole_numbers_from_arrays_and_from_tags():
    assert cf_attrs("x", {"flag_values": np.array([0.0, 1.0])})["flag_values"] == [0, 1]
    assert cf_attrs("x", {"flag_values": "0 1"})["flag_values"] == [0, 1]


@pytest.mark.parametrize("content", [{"scales": 1}, {"sensor": "sputnik"}])
def test_an_override_that_nothing_reads_is_an_error(content: dict[str, object]):
    with pytest.raises(InvalidCollection, match=r"scales|sputnik"):
        Override.from_json(content, Path("collection.json"))
