"""How a request that was refused for a field of ours is sent again."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.policy.failure import Failure
from proxy.policy.parameter_form import PLAIN, ParameterForm


class SentBody(NamedTuple):
    """What an attempt sent, and how it was refused; lesson, tried and is_vague are of the change that led to it."""

    body: Mapping[str, Any]
    form: ParameterForm
    failure: Failure
    refusal: bytes
    lesson: ParameterForm = PLAIN
    tried: frozenset[str] = frozenset()
    is_vague: bool = False  # all that may be left out was left out already


class Amendment(NamedTuple):
    """How to send it again.

    form: of the attempt that follows. lesson: what an answer to it will have proved of the target. bound: the longest
    answer, where sets_bound; None: it is left out. tried: what was done about a bound: the names of it that were
    refused, "figure", "nothing". is_possible: False where the field that was refused has to stay.
    """

    form: ParameterForm
    lesson: ParameterForm = PLAIN
    sets_bound: bool = False
    bound: int | None = None
    tried: frozenset[str] = frozenset()
    is_vague: bool = False
    is_possible: bool = True
    field: str = ""
