"""The published processes, as built by the code."""

import pytest

from openeo_udf_fusion import udps


@pytest.fixture(scope="session", params=["PUBLISHED", "EMBEDDED"])
def definitions(request):
    return udps.definitions(getattr(udps, request.param))
