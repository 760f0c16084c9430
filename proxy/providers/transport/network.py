"""The way to a provider: through which proxy, and which certificates are trusted."""

import ssl
from base64 import b64encode
from typing import ClassVar, Self
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.core.secret import SecretHolder


class ProxyServer(SecretHolder, frozen=True):
    """An HTTP proxy. authorization: the value of Proxy-Authorization, None if it needs none; never shown."""

    NOT_SHOWN: ClassVar = frozenset({"authorization"})

    host: str
    port: int
    authorization: str | None = None

    @classmethod
    def read(cls, url: str) -> Self:
        """Read ``http://[user:password@]host:port``, which the configuration has checked."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
        return cls(parts.hostname or "", parts.port or 80, f"Basic {b64encode(pair).decode()}" if at else None)

    @property
    def url(self) -> str:
        """Return its address, without user and password."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class Network(SecretHolder, frozen=True):
    """How connections to a provider are made. ca_pem: further trusted authorities, as text."""

    NOT_SHOWN: ClassVar = frozenset({"ca_pem"})

    proxy: ProxyServer | None = None
    ca_pem: str | None = None


DIRECT = Network()


def tls_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """Return what a connection is held against: the system's authorities and ca_pem's, the name, TLS 1.2 or newer."""
    context = ssl.create_default_context()
    if ca_pem is not None:
        context.load_verify_locations(cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
