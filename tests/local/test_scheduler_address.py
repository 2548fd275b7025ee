"""Addresses of schedulers that are none are refused before a client is made."""

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.cluster import connected


@pytest.mark.parametrize("address", ["127.0.0.1", "tcp://127.0.0.1", "tcp://:8786", "host:port", ""])
def test_an_address_needs_a_host_and_a_port(address):
    with pytest.raises(InvalidParameter, match=r"tcp://host:port"), connected(address):
        pass
