"""Which web origins may call: exact ones, any port of a host, any host below a domain, any page of a scheme."""

import re
from collections.abc import Iterable

from msgspec import Struct

ANY = "*"
_PARTS = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~*-]*)(?::([0-9]+|\*))?", re.ASCII)
_PORTS = {"http": "80", "https": "443"}


class _Pattern(Struct, frozen=True):
    """Scheme, host (``*`` or ``*.domain`` for many) and port (``*`` for any) of origins that may call."""

    scheme: str
    host: str
    port: str | None

    def fits(self, scheme: str, host: str, port: str | None) -> bool:
        if scheme != self.scheme or self.port not in (ANY, port):
            return False
        if self.host.startswith(f"{ANY}."):
            return host.endswith(self.host[1:]) and len(host) >= len(self.host)
        return self.host in (ANY, host)


class Origins:
    """The origins of a configuration: server.origins, which the configuration has checked and put in lower case."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        allowed = tuple(allowed)
        self._exact = frozenset(one for one in allowed if ANY not in one)
        found = (_PARTS.fullmatch(one) for one in allowed if ANY in one)
        self._patterns = tuple(_Pattern(*one.groups()) for one in found if one is not None)

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def allows(self, origin: str) -> bool:
        """Return whether a page of this origin, as a browser sends it, may call."""
        origin = origin.lower()
        if origin in self._exact:
            return True
        found = _PARTS.fullmatch(origin)
        return found is not None and any(pattern.fits(*found.groups()) for pattern in self._patterns)


def is_same(origin: str, host: str) -> bool:
    """Return whether a page came from the very server that it calls; host: its Host header."""
    scheme, _, place = origin.lower().partition("://")
    return scheme in _PORTS and host.lower().removesuffix(f":{_PORTS[scheme]}") == place
