"""The types of single settings: what may be written, and what it becomes. Each raises SettingError."""

import ipaddress
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from proxy.config.check import EditorSchema, Reader
from proxy.config.diagnostic import SettingError
from proxy.config.scalars import FLAGS, NUMBER, WHOLE
from proxy.core.close_name import close_name
from proxy.core.secret import Secret

_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}", re.ASCII)
PRESET_NAME = re.compile(r"[A-Za-z0-9._@:/-]{1,128}", re.ASCII)
PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_HEADER_TEXT = re.compile(r"[\x20-\x7e]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~*-]+)(?::([0-9]{1,5}|\*))?", re.ASCII)
_WEB_PORTS = {"http": "80", "https": "443"}
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    raise SettingError("must be a whole number")


def _number(value: object) -> Decimal:
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise SettingError("must be a number")


def _rate(value: object) -> Decimal:
    rate = _number(value)
    if not 0 < rate <= 10**9:
        raise SettingError("must be more than 0, and at most 1000000000")
    return rate


def _day(value: object) -> date:
    try:
        found = date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else value
    except ValueError:
        found = None
    if not isinstance(found, date) or not 1970 < found.year < 9999:
        raise SettingError("must be a date like 2026-11-01")
    return found


def _usd(value: object) -> Decimal:
    return _number(value[1:] if isinstance(value, str) and value.startswith("$") else value)


def _seconds(value: object) -> float:
    if isinstance(value, float):
        return value
    try:
        return float(_number(value))
    except SettingError:
        raise SettingError("must be a number of seconds") from None


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in FLAGS:
        return FLAGS[value]
    raise SettingError("must be true or false")


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _UNITS:
        raise SettingError("must be a size in bytes or like 32MiB")
    return int(match[1]) * _UNITS[match[2]]


def _moment(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingError("must be a time with its zone like 2027-01-31T00:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise SettingError("must be a time between the years 1 and 9999") from None


def _token_hash(value: object) -> str:
    if isinstance(value, str) and value.startswith("tk-"):
        raise SettingError(
            "is the token itself; only its hash belongs here",
            "Write sha256: and the 64 hex digits of its SHA-256.",
            show=False,
        )
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise SettingError('must be "sha256:" and 64 hex digits', show=False)
    return match[1].lower()


def _zone(value: str) -> str:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - reading zones costs 10 ms; UTC needs none

    if value == "UTC":
        return value
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        close = close_name(value, available_timezones())
        advice = f'Did you mean "{close}"?' if close else "Write a name like Europe/Stockholm."
        raise SettingError("must be the name of a time zone", advice) from None
    return value


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingError("must be a URL like https://api.example.com/v1") from None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise SettingError("must be a URL like https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise SettingError("must not hold a user or password", "Use api_key: or headers:.", show=False)
    if parts.query or parts.fragment:
        raise SettingError("must end with its path, without ? and #", show=False)
    return value.rstrip("/")


def _origin(value: object) -> str:
    """Read an origin as browsers send it, or a pattern of several: any port, any subdomain, any page of a program.

    The scheme's own port and a slash at the end are dropped, for browsers send neither.
    """
    if value is None:
        raise SettingError("is empty", 'For pages without an origin of their own write "null" in quotes.', show=False)
    origin = _text(value).lower().removesuffix("/")
    if origin in ("null", "file:/", "file://"):
        return "null" if origin == "null" else "file://"
    found = _ORIGIN.fullmatch(origin)
    if found is None or not _is_origin(*found.groups()):
        raise SettingError(
            "must be an origin like https://app.example.com, without a path",
            "There are also http://localhost:*, https://*.example.com, app://obsidian.md, vscode-webview://*"
            ' and "null".',
        )
    scheme, _, port = found.groups()
    return origin.removesuffix(f":{port}") if port is not None and _WEB_PORTS.get(scheme) == port else origin


def _is_origin(scheme: str, host: str, port: str | None) -> bool:
    """Return whether the parts name one origin, or no more origins than somebody can have meant."""
    if port not in (None, "*") and not 0 < int(port) < 65536:
        return False
    if host.startswith("["):
        return is_ip(host.strip("[]"))
    if host == "*":  # the host of a program's page is a number that differs with each installation
        return scheme not in _WEB_PORTS and port is None
    domain = host.removeprefix("*.")
    return "*" not in domain and (domain == host or "." in domain)


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if is_ip(host):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def _host_name(value: str) -> str:
    if not _HOST.fullmatch(value) and not is_ip(value):
        raise SettingError("must be a host name or an IP address without port")
    return value.lower()


def _listen_address(value: object) -> str:
    text = value if isinstance(value, str) else ""
    host, _, port = text.rpartition(":")
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_number = port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= 65535
    if not name or not is_number or (":" in name and name == host):
        raise SettingError("must be an address and a port like 127.0.0.1:8788")
    return f"{host.replace(name, _host_name(name))}:{int(port)}"


def listen_at(address: str) -> tuple[str, int]:
    """Return host and port of a checked address to listen on."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise SettingError("must be the path of a file")
    return Path(value)


def _database(value: object) -> Path:
    if isinstance(value, str) and "://" in value:
        raise SettingError("must be the path of a file; other databases are not supported", show=False)
    if value == ":memory:":
        raise SettingError("must be the path of a file", "A ledger in memory would forget what was spent.")
    return _path(value)


def read_secret_text(value: object) -> Secret:
    """Return a secret that can travel in a header; raises SettingError."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise SettingError("must be text", show=False)
    if not text:
        raise SettingError("is empty", show=False)
    # A key travels in a header: a line break in it would start another header.
    if not _HEADER_TEXT.fullmatch(text) or text != text.strip():
        raise SettingError("holds a space at an end, a line break or a character beyond ASCII", show=False)
    return Secret(text)


def _header_name(value: object) -> str:
    name = _text(value)
    if not _HEADER_NAME.fullmatch(name):
        raise SettingError("is not a valid header name", show=False)
    if name.lower() in ("authorization", "host", "content-length", "transfer-encoding", "connection"):
        raise SettingError("is a header that Tollkeeper sets itself", show=False)
    return name


def _name(pattern: re.Pattern[str], must: str, value: object) -> str:
    name = _text(value)
    if not pattern.fullmatch(name):
        raise SettingError(must, show=must.startswith("must"))
    return name


def as_list(value: object) -> object:
    """Return a list of one for a single value."""
    if value is None or isinstance(value, list | tuple):
        return value
    return [value]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise SettingError("must be text")
    return str(value)


Whole = Annotated[int, Reader(_whole)]
Number = Annotated[Decimal, Reader(_number), EditorSchema({"type": "number"})]
Rate = Annotated[Decimal, Reader(_rate), EditorSchema({"type": "number"})]
Day = Annotated[date, Reader(_day), EditorSchema({"type": "string", "format": "date"})]
Usd = Annotated[Decimal, Reader(_usd), EditorSchema({"type": ["number", "string"]})]
Seconds = Annotated[float, Reader(_seconds)]
Flag = Annotated[bool, Reader(_flag)]
Size = Annotated[int, Reader(_size), EditorSchema({"type": ["integer", "string"]})]
Moment = Annotated[datetime, Reader(_moment), EditorSchema({"type": "string", "format": "date-time"})]
SecretText = Annotated[Secret, Reader(read_secret_text), EditorSchema({"type": "string", "writeOnly": True})]
TokenHash = Annotated[
    str,
    Reader(_token_hash),
    EditorSchema({"type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$"}),
]
Text = Annotated[str, Reader(_text)]


def _checked(check: Any) -> Any:
    return Reader(lambda value: check(_text(value)))


Zone = Annotated[str, _checked(_zone)]
BaseUrl = Annotated[str, _checked(_base_url)]
Origin = Annotated[str, Reader(_origin)]
ListenAddress = Annotated[str, Reader(_listen_address)]
HostName = Annotated[str, _checked(_host_name)]
FilePath = Annotated[Path, Reader(_path), EditorSchema({"type": "string"})]
DatabasePath = Annotated[Path, Reader(_database), EditorSchema({"type": "string"})]
HeaderName = Annotated[str, Reader(_header_name)]
_PERSON = "a name is 1 to 64 letters, digits or . _ @ + -"
UserName = Annotated[str, Reader(partial(_name, NAME, _PERSON))]
PresetName = Annotated[
    str,
    Reader(partial(_name, PRESET_NAME, "a preset's name is 1 to 128 letters, digits or . _ @ : / -")),
]
ProviderName = Annotated[
    str,
    Reader(partial(_name, PROVIDER_NAME, "a provider's name is 1 to 64 letters, digits or . _ -")),
]
ModelPattern = Annotated[
    str,
    Reader(partial(_name, re.compile(r"[^\x00-\x1f\x7f]{1,256}"), "a model's name is 1 to 256 printable characters")),
]
CurrencyCode = Annotated[str, Reader(partial(_name, re.compile("[A-Z]{3}"), "must be three capital letters like SEK"))]
