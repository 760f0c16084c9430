"""How settings are described: a field with its default, what it does and why the default is what it is."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

DAY_S = 86_400


def setting(
    default: Any,
    help_: str,
    why: str = "",
    *,
    restart: bool = False,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """Describe a setting; restart tells that a running proxy cannot take a new value.

    A block's default is given as its class: making it here would build its checks at import, and those of each
    block once more inside the next.
    """
    notes: dict[str, Any] = {"why": why, "restart": restart}
    if isinstance(default, type):
        return Field(default_factory=default, description=help_, json_schema_extra=notes)
    return Field(default=default, description=help_, json_schema_extra=notes, ge=ge, gt=gt, le=le)


def required(help_: str, *, ge: float | None = None, le: float | None = None) -> Any:
    return Field(description=help_, json_schema_extra={"why": "", "restart": False}, ge=ge, le=le)


class Block(BaseModel):
    """A frozen block of settings. A name without a value takes its default."""

    model_config = ConfigDict(
        frozen=True, defer_build=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, data: object) -> object:
        if data is None:
            return {}
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}
        return data
