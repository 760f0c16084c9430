"""Which addresses a message may not be sent to: those inside a machine, a network or a cloud, in any notation.

A webhook's address is written by an operator, but what answers behind a name is decided by others. Without the check
an alert would be a way to reach services that trust their own network.
"""

import ipaddress
import re
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMERIC: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_REFUSED_V4: Final = tuple(
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT, and of some clouds' own services
        "192.0.0.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_REFUSED_V6: Final = tuple(ipaddress.IPv6Network(net) for net in ("fec0::/10", "ff00::/8", "64:ff9b:1::/48"))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")
"""RFC 2765; not the mapped ones, ::ffff:0:0/96."""
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def is_inner(address: str) -> bool:
    """Return whether an IP address may only be reached by those within; what cannot be read as one is inner too."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return _is_inner(found)


def _is_inner(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return _is_inner(carried)
        return not address.is_global or any(address in net for net in _REFUSED_V6)
    return not address.is_global or any(address in net for net in _REFUSED_V4)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that one of IPv6 leads to, if it does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def host_problem(host: str) -> str | None:
    """Return why a URL's host is not a name to be looked up nor an address that may be reached; None: it is fine.

    A host whose last label is a number is an address (WHATWG URL, 4.6), and other notations than the usual one are how
    an inner address is hidden: 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1.
    """
    bare = host.strip("[]").rstrip(".")
    last = bare.rpartition(".")[2]
    if ":" in bare or _NUMERIC.fullmatch(last):
        try:
            ipaddress.ip_address(bare.partition("%")[0])
        except ValueError:
            return f"{host} is not an address in its usual form"
        return f"{host} is an inner address" if is_inner(bare) else None
    if bare.lower() == "localhost" or bare.lower().endswith((".localhost", ".local", ".internal")):
        return f"{host} is a name within this machine or network"
    return None
