"""Forwarded headers: those of named proxies alone count, and whoever forges one gains nothing."""

import logging

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.proxies import networks
from openeo_udf_fusion.local.server.settings import Settings

from .conftest import PASSWORDS

FEW = Limits(login_failures=3, login_window_s=1000)
ELSEWHERE = ("10.88.0.1",)


def guess(client, address: str, user: str = "nobody") -> int:
    headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
    return client("GET", "/credentials/basic", headers=headers, auth=(user, "guess")).status_code


def test_users_behind_a_trusted_proxy_are_told_apart(serve, users_file):
    with serve(users=users_file, limits=FEW, trusted_proxies=("127.0.0.1",)) as client:
        assert [guess(client, "192.0.2.1", f"n{n}") for n in range(4)] == [403, 403, 403, 429]
        assert guess(client, "192.0.2.2", "n4") == 403
        answer = client("GET", "/", headers={"X-Forwarded-Proto": "https", "Host": "eo.example"})
        assert "https://eo.example" in answer.text
        assert "http://eo.example" not in answer.text


def test_forged_headers_of_others_are_ignored_and_warned_about_once(serve, users_file, caplog):
    with (
        caplog.at_level(logging.WARNING),
        serve(users=users_file, limits=FEW, trusted_proxies=ELSEWHERE) as client,
    ):
        found = [guess(client, f"192.0.2.{n}", f"n{n}") for n in range(4)]
        assert found == [403, 403, 403, 429]  # one address, whatever it says
        assert client.log_in("ada", PASSWORDS["ada"]).status_code == 429
    warned = [record.getMessage() for record in caplog.records if "--trusted-proxy" in record.getMessage()]
    assert len(warned) == 1
    assert "127.0.0.1 sent X-Forwarded-For" in warned[0]


def test_forged_protocol_changes_no_link(serve, users_file):
    with serve(users=users_file, trusted_proxies=ELSEWHERE) as client:
        answer = client("GET", "/", headers={"X-Forwarded-Proto": "https", "Host": "eo.example"})
        assert "https://eo.example" not in answer.text
        assert "http://eo.example" in answer.text


def test_networks_and_sockets_for_both_protocols_are_known():
    assert [str(each) for each in networks("10.88.0.0/16")] == ["10.88.0.0/16", "::ffff:a58:0/112"]
    assert [str(each) for each in networks("::1")] == ["::1/128"]


@pytest.mark.parametrize("text", ["*", "", "proxy.example", "10.88.0.1/16", "10.0.0.0/33"])
def test_what_is_no_address_is_refused(data, tmp_path, text):
    with pytest.raises(InvalidParameter, match="trusted proxy"):
        Settings(data, tmp_path, trusted_proxies=(text,))
