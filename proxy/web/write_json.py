"""Write JSON as quickly as can be, and integers of any size: sums of a large ledger have more than 64 bits."""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson


def write_json(data: Any, plain: Callable[[Any], Any] | None = None, option: int = 0) -> bytes:
    """Return data as JSON; plain makes something that can be written of what cannot.

    option: of orjson, OPT_SORT_KEYS alone. Raises TypeError for what cannot be written.
    """
    try:
        return orjson.dumps(data, plain, option)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    return msgspec.json.encode(
        data,
        enc_hook=lambda part: _copied(part, plain),
        order="sorted" if option & orjson.OPT_SORT_KEYS else None,
    )


def _copied(part: Any, plain: Callable[[Any], Any] | None) -> Any:
    if isinstance(part, orjson.Fragment):
        return msgspec.Raw(orjson.dumps(part))
    if plain is None:
        raise TypeError
    return plain(part)
