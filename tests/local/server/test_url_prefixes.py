"""URLs and what they may begin with: no spelling gets around the comparison."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.server.url_prefixes import parse_prefix, parse_url

PREFIX = "https://good.example/udp/"


def allowed(url: str, prefix: str = PREFIX) -> bool:
    try:
        return parse_url(url).is_below(parse_prefix(prefix))
    except InvalidParameter:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example/udp/fuse.json",
        "https://good.example/udp/v1.2/fuse.json",
        "https://good.example/udp",
        "HTTPS://GOOD.example/udp/fuse.json",
        "https://good.example:443/udp/fuse.json",
        "https://good.example./udp/fuse.json",
        "https://good.example/udp/fuse.json?raw=true",
        "https://good.example/udp/fuse.json#top",
        "https://good.example/udp/a%20b.json".replace("%20", "-"),
        "https://good.example/udp/@sam/fuse.json",
    ],
)
def test_what_lies_below_the_prefix_is_allowed(url):
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://good.example/udp/fuse.json",
        "https://good.example/other/fuse.json",
        "https://good.example/udp-evil/fuse.json",
        "https://good.example/UDP/fuse.json",
        "https://good.example:8443/udp/fuse.json",
        "https://good.example.evil.example/udp/fuse.json",
        "https://evilgood.example/udp/fuse.json",
        "https://good.example@evil.example/udp/fuse.json",
        "https://good.example%40evil.example/udp/fuse.json",
        "https://evil.example/https://good.example/udp/fuse.json",
        "https://evil.example#@good.example/udp/fuse.json",
        "https://evil.example?@good.example/udp/fuse.json",
        "https://evil.example\\@good.example/udp/fuse.json",
        "https://good.example\\@evil.example/udp/fuse.json",
        "https://user:password@good.example/udp/fuse.json",
        "https://good.example/udp/../other/fuse.json",
        "https://good.example/udp/..",
        "https://good.example/udp/./fuse.json",
        "https://good.example/udp/%2e%2e/other/fuse.json",
        "https://good.example/udp/%2E%2E/other",
        "https://good.example/udp/.%2e/other",
        "https://good.example/udp/%252e%252e/other",
        "https://good.example/udp/..%2fother",
        "https://good.example/udp/..;/other",
        "https://good.example/udp/x%5c..%5cother",
        "https://good.example/udp//evil.example/fuse.json",
        "https://good.example//udp/fuse.json",
        "https://good.example/udp/a%00b",
        "https://good.example/udp/a%0d%0ab",
        "https://good.example/udp/a\r\nHost: evil.example",
        "https://good.example/udp/a b",
        " https://good.example/udp/fuse.json",
        "https://good.exa\tmple/udp/fuse.json",
        "https://gооd.example/udp/fuse.json",  # Cyrillic
        "https:/good.example/udp/fuse.json",
        "https:good.example/udp/fuse.json",
        "//good.example/udp/fuse.json",
        "https:///good.example/udp/fuse.json",
        "https://[good.example]/udp/fuse.json",
        "https://good.example:0x1bb/udp/fuse.json",
        "https://good.example:99999/udp/fuse.json",
        "file:///udp/fuse.json",
        "ftp://good.example/udp/fuse.json",
        "gopher://good.example/udp/fuse.json",
        "javascript:https://good.example/udp/",
        "https://",
        "",
    ],
)
def test_no_spelling_gets_around_the_prefix(url):
    assert not allowed(url)


@pytest.mark.parametrize("prefix", ["https://good.example", "https://good.example/"])
def test_a_host_alone_allows_all_its_paths_and_no_other_host(prefix):
    assert allowed("https://good.example/anything/at/all.json", prefix)
    assert allowed("https://good.example", prefix)
    assert not allowed("https://good.example.evil.example/", prefix)
    assert not allowed("https://good.examples/", prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "good.example",
        "https://",
        "https://*.example/",
        "https://a@good.example/",
        "https://good.example/?a",
    ],
)
def test_what_is_no_prefix_is_refused_at_the_start(prefix):
    with pytest.raises(InvalidParameter, match="is no URL that is read here"):
        parse_prefix(prefix)


@given(st.text(alphabet="/.%2eEfF5cC\\@:?#;good.example-evil\t\r\n\0 ü", max_size=40))
def test_whatever_is_allowed_is_sent_to_the_host_and_below_the_path(tail):
    """What is sent is made of what was compared, not of the text."""
    for text in (f"https://good.example{tail}", f"https://good.example/udp{tail}", tail):
        if allowed(text):
            url = parse_url(text)
            assert url.authority == "good.example"
            assert url.target == "/udp" or url.target.startswith(("/udp/", "/udp?"))
            assert "/.." not in url.target.partition("?")[0]
