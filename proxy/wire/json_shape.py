"""The shape of a JSON value in words: names and sizes, and nothing of what it says. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

_DEPTH_MAX: Final = 2
_NAMES_MAX: Final = 5
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")  # a longer name, or another one, may be a value


def shape_of(value: Any, depth: int = 0) -> str:
    """Return such as ``{data: [338 of {id, name, 12 more}]}``; "" for a text or number.

    A list is shown by its first entry.
    """
    if isinstance(value, Mapping):
        return "{…}" if depth > _DEPTH_MAX and value else _object(value, depth)
    if isinstance(value, list):
        inner = shape_of(value[0], depth) if value else ""
        return f"[{len(value)} of {inner}]" if inner else f"[{len(value)}]"
    return ""


def _object(value: Mapping[str, Any], depth: int) -> str:
    named = [name for name in value if _NAME.fullmatch(name)][:_NAMES_MAX]
    parts = []
    for name in named:
        inner = shape_of(value[name], depth + 1)
        parts.append(f"{name}: {inner}" if inner else name)
    if len(value) > len(named):
        parts.append(f"{len(value) - len(named)} more")
    return f"{{{', '.join(parts)}}}"
