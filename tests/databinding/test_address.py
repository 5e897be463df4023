"""Where a client is, by what the nearest hosts say of it."""

import pytest

from databinding.address import client_address, is_of_this_machine, network

PEER = "10.0.0.9"


def header(*lines, name=b"x-forwarded-for"):
    return [(b"host", b"example.com"), *((name, line.encode()) for line in lines)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2", None),
        ("192.0.2.1, 192.0.2.2", None),
        ("", None),
    ],
)
def test_an_address_is_a_host_or_an_ipv6_network(text, expected):
    """However it is written, IPv4 counts by host and IPv6 by /64; what is no address is unknown."""
    assert network(text) == expected


@pytest.mark.parametrize(
    ("proxies", "lines", "expected"),
    [
        (0, ["192.0.2.1"], PEER),
        (1, [], PEER),
        (1, ["192.0.2.1"], "192.0.2.1"),
        (1, ["198.51.100.66, 192.0.2.1"], "192.0.2.1"),
        (2, ["198.51.100.66, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (2, ["198.51.100.66", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        (2, ["192.0.2.1"], "192.0.2.1"),
        (1, ["192.0.2.1, unknown"], None),
        (1, [""], None),
    ],
)
def test_only_our_own_proxies_are_believed(proxies, lines, expected):
    """Entries count from the right, as many as there are proxies; what clients claim doesn't."""
    assert client_address(PEER, header(*lines), proxies=proxies) == expected


@pytest.mark.parametrize(
    ("proxies", "line", "expected"),
    [
        (1, "for=192.0.2.1", "192.0.2.1"),
        (1, 'for=192.0.2.66, For="[2001:db8:1:2::7]:4711";proto=https;by=_x', "2001:db8:1:2::/64"),
        (2, "for=192.0.2.66, for=192.0.2.1;host=a, for=10.0.0.2", "192.0.2.1"),
        (1, 'for="192.0.2.66, for=192.0.2.67", for=192.0.2.1', "192.0.2.1"),
        (1, 'by="a;for=192.0.2.66";for=192.0.2.1', "192.0.2.1"),
        (2, "for=192.0.2.1, proto=https", "192.0.2.1"),
        (1, "for=192.0.2.1, proto=https", None),
        (1, "for=_hidden", None),
    ],
)
def test_the_standard_header_is_read_too(proxies, line, expected):
    """`Forwarded` (RFC 7239) where it is the one that our proxies write, and only there."""
    headers = [*header(line, name=b"forwarded"), (b"x-forwarded-for", b"198.51.100.66")]
    assert client_address(PEER, headers, proxies=proxies, header="Forwarded") == expected
    assert client_address(PEER, headers, proxies=1) == "198.51.100.66"


@pytest.mark.parametrize(
    "claimed",
    [
        'for="192.0.2.66',
        'for="',
        '"',
        '\\"',
        'for="192.0.2.66\\',
        "a" * 60_000,
        " " * 60_000,
        '"\\' * 30_000,
        "for=192.0.2.66;" * 4_000,
        "," * 60_000,
    ],
    ids=lambda text: f"{text[:5]} {len(text)}",
)
@pytest.mark.parametrize("said", ["for=192.0.2.1", 'for="192.0.2.1:80";by="a;\\"b,"'])
def test_what_a_client_claims_hides_nobody(claimed, said):
    """Whatever stands before what our proxy says, and however long: it is found, and soon."""
    headers = header(f"{claimed}, {said}", name=b"forwarded")
    assert client_address(PEER, headers, proxies=1, header="Forwarded") == "192.0.2.1"


def test_without_a_peer_nobody_can_tell():
    """Behind a Unix socket there is no address but a proxy's word."""
    assert client_address(None, header()) is None
    assert client_address(None, header("192.0.2.1"), proxies=1) == "192.0.2.1"


def test_this_machine():
    """Loopback addresses are this machine's."""
    assert is_of_this_machine("127.0.0.1")
    assert is_of_this_machine("::1")
    assert not is_of_this_machine("192.0.2.1")
    assert not is_of_this_machine("2001:db8:1:2::/64")
