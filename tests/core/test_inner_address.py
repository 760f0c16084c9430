"""Inner addresses are known in every notation."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.inner_address import host_problem, is_inner

INNER = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "192.0.0.8",
    "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:a00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
    "2002:a00:1::", "2001:0:53aa:64c:0:0:f5ff:fffe", "::10.0.0.1", "::ffff:0:7f00:1", "nonsense", "",
]  # fmt: skip
OUTER = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"]


@pytest.mark.parametrize("address", INNER)
def test_inner(address: str) -> None:
    assert is_inner(address)


@pytest.mark.parametrize("address", OUTER)
def test_outer(address: str) -> None:
    assert not is_inner(address)
    assert host_problem(address) is None


@given(st.ip_addresses(v=4))
def test_an_address_is_as_inner_within_ipv6_as_alone(address: ipaddress.IPv4Address) -> None:
    plain = is_inner(str(address))
    for carrier in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_inner(carrier) == plain
    six = ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))
    assert is_inner(str(six)) == plain


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "[::1]", "1.2.3.0x10", "08.8.8.8",
        "localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal",
    ],
)  # fmt: skip
def test_no_notation_hides_an_inner_host(host: str) -> None:
    assert host_problem(host) is not None


@pytest.mark.parametrize("host", ["hooks.slack.com", "example.com.", "1e100.net", "8.8.8.8.example.org", "xn--p1ai"])
def test_names_are_looked_up(host: str) -> None:
    assert host_problem(host) is None
