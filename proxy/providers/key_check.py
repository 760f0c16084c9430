"""Ask a provider about a key before anything rests on it: what it says, and whether it takes the key."""

from typing import NamedTuple

from proxy.core.text import fit_text
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import TransportError
from proxy.wire.error import error_of_body
from proxy.wire.redact import redacted

_TIMEOUT_S = 10.0
_BODY_MAX_BYTES = 1 << 20
_SAID_MAX_CHARS = 300
_REFUSALS = (401, 402, 403)


class KeyCheck(NamedTuple):
    """What a provider answered. accepted None: it was not asked, or its answer says nothing of the key."""

    accepted: bool | None
    status: int | None
    said: str


async def check_key(provider: ProviderRow, key: Key) -> KeyCheck:
    """Ask a provider about one of its keys; a request that costs nothing. What it quotes of the key is left out."""
    dialect = provider.dialect
    path = dialect.key_path or dialect.list_paths[0]
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        **provider.extra_headers,
        **dialect.default_headers,
        **dialect.auth_headers(key),
    }
    connect_s = min(provider.deadlines.connect_s, _TIMEOUT_S)
    deadlines = Deadlines(connect_s, _TIMEOUT_S, _TIMEOUT_S, 2 * _TIMEOUT_S)
    try:
        answer = await provider.transport.send("GET", provider.url(path), headers, None, deadlines)
        body = b""
        while piece := await answer.read():
            body += piece
            if len(body) > _BODY_MAX_BYTES:
                answer.abort()
                break
    except TransportError as error:
        return KeyCheck(None, None, f"{provider.base_url} cannot be reached: {error}")
    return _read(provider, answer.status, redacted(body, key.quoted_bytes))


def _read(provider: ProviderRow, status: int, body: bytes) -> KeyCheck:
    asks_key = provider.dialect.key_path is not None
    if status == 200:
        if asks_key:
            return KeyCheck(True, status, f"{provider.name} accepts the key{provider.dialect.describe_key(body)}")
        return KeyCheck(True, status, f"{provider.name} answers with its list of models")
    message = (error_of_body(body) or {}).get("message")
    said = f": {fit_text(message, _SAID_MAX_CHARS).rstrip('.')}" if isinstance(message, str) and message else ""
    if status in _REFUSALS:
        return KeyCheck(False, status, f"{provider.name} refuses the key with {status}{said}")
    return KeyCheck(None, status, f"{provider.name} answered {status}{said}")
