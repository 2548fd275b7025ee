"""Errors about parameters name the parameter, the choices and what came."""

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.parameters import check_choice, check_flag


def test_a_choice_passes():
    check_choice("target", "modis", ("modis", "viirs"))


@pytest.mark.parametrize("wrong", ["landsat", None, ["modis"], 1])
def test_anything_else_is_named_with_the_choices(wrong):
    with pytest.raises(InvalidParameter, match=r"target must be one of .*modis.*viirs"):
        check_choice("target", wrong, ("modis", "viirs"))


@pytest.mark.parametrize("right", [True, False])
def test_a_flag_passes(right):
    check_flag("smooth", right)


@pytest.mark.parametrize("wrong", ["false", "true", 0, 1, None])
def test_what_only_looks_like_a_flag_is_an_error(wrong):
    with pytest.raises(InvalidParameter, match="smooth must be true or false, got"):
        check_flag("smooth", wrong)
