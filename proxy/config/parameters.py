"""Fields of a request's body as settings: defaults of presets, of their targets, and of users."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from proxy.config.check import Reader
from proxy.config.diagnostic import SettingError
from proxy.config.scalars import PlainText, typed

_LOWEST: Final = -(2**63)  # what a body of ours can carry
_HIGHEST: Final = 2**64 - 1
_NUMBERS: Final = "must hold only numbers that JSON can carry: finite, whole ones of at most 64 bits"


def json_value(value: object) -> Any:
    """Return a setting as the JSON value that it stands for in a body.

    Raises SettingError for a number that no body can carry.
    """
    if isinstance(value, PlainText):
        value = typed(value)
    if isinstance(value, Decimal):
        value = float(value)  # a parameter of a model such as temperature; no money
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(_NUMBERS)
    if isinstance(value, int) and not _LOWEST <= value <= _HIGHEST:
        raise SettingError(_NUMBERS)
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _parameters(value: object) -> object:
    if isinstance(value, Mapping):
        for name in ("model", "messages", "stream"):
            if name in value:
                raise SettingError("must come from the client and cannot have a default", key=name, show=False)
        return json_value(value)
    return value


Parameters = Annotated[dict[str, Any], Reader(_parameters)]
