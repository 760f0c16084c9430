"""Which names a Host header may have: a web page can point its own name at this machine, but not an address."""

import ipaddress
from collections.abc import Iterable

# Names that always are this machine: nobody can register them (RFC 6761, and ICANN's .internal). By the last two a
# container calls the machine that it runs on.
_OWN = frozenset({"localhost", "127.0.0.1", "[::1]", "host.docker.internal", "host.containers.internal"})


class Hosts:
    """The names of this server, in lower case and without a port.

    A server that listens beyond loopback is called by whatever address a machine has there, and an address is never a
    name that a web page can point elsewhere.
    """

    __slots__ = ("_any_address", "_names")

    def __init__(self, listens_on: str = "127.0.0.1", names: Iterable[str] = ()) -> None:
        own = f"[{listens_on}]" if ":" in listens_on and not listens_on.startswith("[") else listens_on
        self._names = _OWN | {own.lower()} | {name.lower() for name in names}
        self._any_address = not _is_loopback(listens_on)

    def allows(self, name: str | None) -> bool:
        """Return whether a request may address the server by this name; None: the header held no name."""
        if name is None:
            return False
        return name in self._names or (self._any_address and _is_address(name))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(name: str) -> bool:
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        found = ipaddress.ip_address(name[1:-1] if bracketed else name)
    except ValueError:
        return False
    return bracketed == (found.version == 6)
