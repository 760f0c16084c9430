"""Fields of a request's body as settings: defaults of presets, of their targets, and of users."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

from proxy.config.diagnostic import SettingError
from proxy.config.scalars import PlainText, typed


def json_value(value: object) -> Any:
    """Return a setting as the JSON value that it stands for in a body."""
    if isinstance(value, PlainText):
        value = typed(value)
    if isinstance(value, Decimal):
        return float(value)  # a parameter of a model such as temperature; no money
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


Parameters = Annotated[dict[str, Any], BeforeValidator(_parameters)]
