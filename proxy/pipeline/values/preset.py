"""A named virtual model of the configuration."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from proxy.pipeline.values.route import Target
from proxy.policy.answer_check import CheckRules
from proxy.policy.prompt_template import Variable
from proxy.policy.target_order import Select


class PresetRow(Struct, frozen=True):
    """A named virtual model. defaults are parameters under the client's own."""

    name: str
    targets: tuple[Target, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    use_case: str | None = None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    select: Select = "ordered"
    deadline_s: float | None = None
    checks: CheckRules | None = None
    check_moves_on: bool = False
    disabled: tuple[tuple[Target, str], ...] = ()  # targets that are left out, with the setting that disables each
    is_limited: bool = False  # its use case has limits of its own, which no header of the client's leads around
