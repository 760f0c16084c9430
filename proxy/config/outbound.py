"""The proxy through which a provider is reached, from a setting or from the variables that every tool obeys."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from proxy.config.diagnostic import SettingError
from proxy.config.values import is_loopback

NONE = "none"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}


class ProxySetting(Struct, frozen=True):
    """A proxy of the environment, and the variable that names it."""

    variable: str
    url: str


def read_proxy_url(text: str) -> str:
    """Return a proxy's address as ``http://[user:password@]host:port``, or ``none``; raises SettingError.

    The scheme may be missing, as in the variables. The error quotes nothing of the text: it may hold a password.
    """
    if text.lower() in (NONE, "direct"):
        return NONE
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _mistaken() from None
    if parts.scheme.startswith("socks"):
        raise SettingError("is a SOCKS proxy, which is not supported", "Name an HTTP proxy.", show=False)
    if parts.scheme == "https":
        advice = "Write http://: what is sent to the provider is encrypted all the same."
        raise SettingError("must be a proxy with an http:// address", advice, show=False)
    if parts.scheme != "http" or not host or not _PRINTABLE.fullmatch(url) or parts.query or parts.fragment:
        raise _mistaken()
    if parts.path not in ("", "/"):
        raise _mistaken()
    name = f"[{host}]" if ":" in host else host
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"http://{user}{name}:{port or 80}"


def _mistaken() -> SettingError:
    return SettingError("must be the address of a proxy like http://proxy.corp.example:3128, or none", show=False)


def environment_proxy(base_url: str, environ: Mapping[str, str]) -> ProxySetting | None:
    """Return the proxy that the environment names for an address; None: it is reached directly.

    The lower-case name of a variable wins, as everywhere. This machine itself is never reached by a proxy.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not host or is_loopback(host) or host.endswith(".localhost"):
        return None
    if _is_exempt(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    for variable in (f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if environ.get(variable):
            return ProxySetting(variable, environ[variable])
    return None


def _is_exempt(host: str, port: int, listed: str) -> bool:
    """Return whether NO_PROXY covers a host: names and their subdomains, addresses, networks, ``*``; ports allowed."""
    host = host.lower().rstrip(".")
    return any(
        _fits(host, port, entry.strip().lower()) for entry in listed.replace(" ", ",").split(",") if entry.strip()
    )


def _fits(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.removeprefix("*").strip("[].")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return host == entry or host.endswith(f".{entry}")


def holds_certificates(raw: bytes) -> bool:
    """Return whether a file's content will do for ca_file: at least one certificate in PEM form, none broken."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=raw.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        return False
    return True
