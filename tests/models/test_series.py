import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models.series import Observations, size_of

BANDS = ("B02", "B03")


def observed(values=(3, 2, 4, 5), valid=(3, 2, 4, 5), days=(3,)):
    return Observations(np.zeros(values, np.float32), np.ones(valid, bool), np.zeros(days, np.int32))


def test_what_fits_has_rows_and_columns():
    assert size_of("s2", observed(), BANDS) == (4, 5)
    assert size_of("s2", observed(days=(3, 4, 5)), BANDS, day_per_pixel=True) == (4, 5)
    assert size_of("s2", observed((0, 2, 4, 5), (0, 2, 4, 5), (0,)), BANDS) == (4, 5)


@pytest.mark.parametrize(
    ("shapes", "day_per_pixel"),
    [
        ({"values": (3, 3, 4, 5), "valid": (3, 3, 4, 5)}, False),
        ({"valid": (3, 1, 4, 5)}, False),
        ({"values": (3, 2, 4), "valid": (3, 2, 4)}, False),
        ({"days": (2,)}, False),
        ({"days": (3, 4, 5)}, False),
        ({"days": (3, 5, 4)}, True),
    ],
)
def test_shapes_that_disagree_are_named(shapes, day_per_pixel):
    given = observed(**shapes)
    with pytest.raises(InvalidCube, match=r"s2 needs .*\('B02', 'B03'\)") as raised:
        size_of("s2", given, BANDS, day_per_pixel=day_per_pixel)
    for array in given:
        assert str(array.shape) in str(raised.value)
    assert ("(t, y, x)" in str(raised.value)) is day_per_pixel
