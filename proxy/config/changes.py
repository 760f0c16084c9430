"""What a new configuration changes, for whom, in lines for people.

Secrets and prompts are reported as changed, never shown.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.block import Block
from proxy.config.limit import Limit, written
from proxy.config.schema import Settings
from proxy.core.secret import Secret

_HIDDEN = frozenset(
    {"admin_token", "api_key", "api_key_file", "keys", "management_key", "provider_keys", "headers", "proxy"}
    | {"token_hash", "token_hashes", "tokens", "jwt_secret", "jwt_secret_file", "system", "static", "variables"}
    | {"url", "secret", "password", "argv"}
)
"""Settings that hold secrets or texts of prompts; what is in them is never shown."""
_CHARS_MAX = 60


def changes(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return a line for each setting that differs: "defaults.limits.cost: $2/day → $3/day", "users.bo added"."""
    return tuple(_walk("", old, new))


def _walk(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if path.rpartition(".")[2] in _HIDDEN:
        yield f"{path} changed"
    elif isinstance(old, Block) and type(old) is type(new):
        for name in type(old).fields:
            yield from _walk(f"{path}.{name}" if path else name, getattr(old, name), getattr(new, name))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mapping(path, old, new)
    else:
        before, after = _shown(old), _shown(new)
        yield f"{path} changed" if before is None or after is None else f"{path}: {before} → {after}"


def _mapping(path: str, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"{path}.{name} removed"
    for name, value in new.items():
        if name not in old:
            yield f"{path}.{name} added"
        else:
            yield from _walk(f"{path}.{name}", old[name], value)
    if old == new or list(old) == list(new):
        return
    if set(old) == set(new):
        yield f"{path}: another order"


def _shown(value: Any) -> str | None:
    """Return a value as the file has it; None for one that is not for a line."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Limit):
        return written(value)
    if isinstance(value, tuple):
        parts = [_shown(part) for part in value]
        return None if None in parts else _short(", ".join(part for part in parts if part is not None))
    if isinstance(value, Block):
        target = getattr(value, "target", None)  # of a preset
        return target if isinstance(target, str) else None
    text = f"{value:g}" if isinstance(value, float) else str(value)
    is_secret = isinstance(value, Secret) or ("://" in text and "@" in text)  # a URL may hold a password
    return None if is_secret else _short(text)


def _short(text: str) -> str:
    return text if len(text) <= _CHARS_MAX else f"{text[:_CHARS_MAX]}…"
