"""Write what a handler returns as JSON."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel


def json_bytes(data: Any, option: int = 0) -> bytes:
    """Return data as JSON: what orjson can write, and models, mappings and named tuples anywhere in it.

    It goes through all of a long list for each answer, so that no step of it may be Python's.
    """
    return orjson.dumps(data, _plain, option)


def _plain(data: Any) -> Any:
    """Return what orjson does not know, as something that it does."""
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json")
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple):
        return list(data)
    raise TypeError
