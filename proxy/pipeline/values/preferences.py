"""What is filled in for one user where a request says nothing of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Preferences:
    """What a user, their group and the operator prefer, joined. Two are never equal: allowances that hold one are keys.

    model: for a body that names none. parameters: fields of the body under all others. use_cases: the preset of one.
    """

    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fallback: bool = True
    cheapest: bool = False
    use_cases: Mapping[str, str] = field(default_factory=dict)
