"""What is filled in for one user where a request says nothing of it."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Preferences(Struct, frozen=True, eq=False):
    """What a user, their group and the operator prefer, joined. Two are never equal: allowances that hold one are keys.

    model: for a body that names none. parameters: fields of the body under all others. use_cases: the preset of one.
    """

    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fallback: bool = True
    cheapest: bool = False
    use_cases: Mapping[str, str] = field(default_factory=dict)
