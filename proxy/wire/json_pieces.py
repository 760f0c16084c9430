"""Parse a long JSON text so that other threads run meanwhile: Python's parser is one call, and lets nobody in."""

import json
from collections.abc import Callable
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]
from json.scanner import make_scanner, py_make_scanner  # type: ignore[attr-defined]
from typing import Any, Final

from proxy.wire.amount import NumberText, whole_number

_LEVELS: Final = 3  # down to the rows of {"data": {"data": [{…}]}}, each of which is one call
Scan = Callable[[str, int], tuple[Any, int]]


class _Level(json.JSONDecoder):
    """A decoder whose objects and arrays are read by Python's own code, and what is in them by the next level."""

    def __init__(self, inner: Scan) -> None:
        super().__init__(parse_int=whole_number, parse_float=NumberText, parse_constant=NumberText)
        self.parse_object = lambda at, strict, _scan, hook, pairs, memo: JSONObject(
            at, strict, inner, hook, pairs, memo
        )
        self.parse_array = lambda at, _scan: JSONArray(at, inner)
        self.scan_once = py_make_scanner(self)


def _decoder() -> json.JSONDecoder:
    innermost = json.JSONDecoder(parse_int=whole_number, parse_float=NumberText, parse_constant=NumberText)
    inner: Scan = make_scanner(innermost)  # type: ignore[arg-type]
    for _ in range(_LEVELS):
        level = _Level(inner)
        inner = level.scan_once
    return level


def read_in_pieces(raw: bytes) -> Any:
    """Return what wire/amount.py:read_exactly() does, by calls that read one row each at most; a few times as slow."""
    try:
        return _decoder().decode(raw.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
