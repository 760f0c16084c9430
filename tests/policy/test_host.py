"""By which names a server may be called."""

import pytest

from proxy.policy.host import Hosts

ADDRESSES = ["192.168.1.5", "10.0.0.1", "[fe80::1]", "[2001:db8::7]"]
NO_NAMES = ["evil.example", "192.168.1.5.evil.example", "[evil]", "fe80::1", "[192.168.1.5]", "", "1", None]


@pytest.mark.parametrize("listens_on", ["::", "192.168.1.5", "llm.lan"])
def test_beyond_loopback_every_address_is_a_name_of_the_server(listens_on: str) -> None:
    hosts = Hosts(listens_on, ["llm.home.arpa"])
    assert all(hosts.allows(name) for name in [*ADDRESSES, "localhost", "127.0.0.1", "[::1]", "llm.home.arpa"])
    assert not any(hosts.allows(name) for name in NO_NAMES)


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_on_loopback_only_its_own(listens_on: str) -> None:
    hosts = Hosts(listens_on)
    assert all(hosts.allows(name) for name in ["localhost", "127.0.0.1", "[::1]", "host.docker.internal"])
    assert not any(hosts.allows(name) for name in [*ADDRESSES, *NO_NAMES, "llm.home.arpa"])
