"""The origin of a transport: its address, its name in requests, and the path of a URL below it."""

from urllib.parse import quote, urlsplit

_PORTS = {"http": 80, "https": 443}
_TARGETS_MAX = 100
_QUOTE_SAFE = "%/:=&?~+!$,;'@()*[]-._"  # what a URL may hold beside letters and digits; an escape stays as it is


class Origin:
    """Scheme, host and port of a base URL; raises ValueError for one that is no http(s) address."""

    __slots__ = ("_key", "_prefix", "host", "host_header", "port", "scheme", "server_hostname", "targets")

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
            raise ValueError("not an http or https address without user and password")
        self.scheme = parts.scheme
        self.host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        self.port = _PORTS[parts.scheme] if parts.port is None else parts.port
        self.server_hostname = self.host.rstrip(".").partition("%")[0]  # certificates have no final dot, no zone
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.host_header = name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"
        self._key = (parts.scheme, parts.hostname, self.port)
        self._prefix = f"{base_url[: base_url.index(':')]}://{parts.netloc}"
        self.targets: dict[str, str] = {}  # known ones, by URL: of the few without a query

    @property
    def local(self) -> bool:
        """Return whether this is plain HTTP, as only servers on the same machine or network use."""
        return self.scheme == "http"

    def target(self, url: str) -> str:
        """Return path and query of a URL as in a request line; raises ValueError for another origin."""
        target = self._target(url)
        if "?" not in url and len(self.targets) < _TARGETS_MAX:
            self.targets[url] = target
        return target

    def _target(self, url: str) -> str:
        prefix = self._prefix
        if url.startswith(prefix) and url[len(prefix) : len(prefix) + 1] in {"/", "?", "#", ""}:
            target = url[len(prefix) :]
        else:
            parts = urlsplit(url)
            if parts.username is not None or (parts.scheme, parts.hostname, self._port(parts.port)) != self._key:
                raise ValueError("the URL belongs to another origin than this transport")
            target = parts.path + ("?" + parts.query if parts.query else "")
        if "#" in target:
            target = target.partition("#")[0]
        if not target.startswith("/"):
            target = "/" + target
        if target.isascii() and target.isprintable() and " " not in target:
            return target
        return quote(target, safe=_QUOTE_SAFE)

    def _port(self, port: int | None) -> int:
        return self.port if port is None and self.port == _PORTS[self.scheme] else port or 0
