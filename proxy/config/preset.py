"""Settings of presets: virtual models with their targets, parameters, prompt and checks."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from proxy.config.block import DAY_S, Block, check_block, check_field, required, setting
from proxy.config.check import FewestEntries, Reader
from proxy.config.diagnostic import SettingError
from proxy.config.parameters import Parameters, json_value
from proxy.config.provider import Timeouts
from proxy.config.user import Limits
from proxy.config.values import Flag, Seconds, Text, UserName, Whole, as_list

_VARIABLE = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})", re.ASCII)
DEFAULT = "default"  # the keyword of a static target's text for all that no other keyword fits


class PresetTarget(Timeouts):
    """One target of a preset. A name alone is its short form."""

    target: Text | None = setting(
        None, "provider/model, or a model of the first provider.", "One of target and static is needed."
    )
    weight: Whole | None = setting(
        None,
        "Its share of the requests among the targets that have a weight: one of them is drawn, the others follow.",
        "None: the order of the list counts.",
        ge=0,
        le=10**6,
    )
    defaults: Parameters = setting(
        {}, "Fields of the body for this target, over the preset's and under the client's own.", "The preset's."
    )
    static: dict[Text, Text] = setting(
        {},
        "Texts by keyword, answered without any provider: the first keyword in the last message decides.",
        "None.",
    )

    @check_block(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, str):
            return {"target": data}
        return data

    @check_block(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.target is None) is (not self.static):
            raise SettingError(
                "needs either target or static", "Write provider/model, or texts by keyword.", show=False
            )
        if self.static and DEFAULT not in self.static:
            raise SettingError("has no text for all other cases", "Add default: and a text.", key="static", show=False)
        return self


class VariableSettings(Block):
    """A variable of a system prompt, taken from the request's metadata. A text or list alone is its short form."""

    default: Text | None = setting(None, "Its value if the request has none.", "The request must have one.")
    values: dict[Text, Text] = setting(
        {}, "The allowed values and the text for each; a list if they are the same.", "Anything."
    )

    @check_block(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, str):
            return {"default": data}
        if isinstance(data, list | tuple):
            return {"values": data}
        return data

    @check_field("values", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return {str(one): str(one) for one in value}
        return value

    @check_block(mode="after")
    def _default_is_one(self) -> Self:
        if self.default is not None and self.values and self.default not in self.values:
            raise SettingError(f"must be one of {', '.join(self.values)}", key="default", show=False)
        return self


class Checks(Block):
    """Checks of an answer. Each that fails becomes a flag of the request's row."""

    too_slow_s: Seconds | None = setting(None, "Longest time for the whole answer.", "Any.", gt=0, le=DAY_S)
    min_chars: Whole | None = setting(None, "Fewest characters of its text.", "Any.", ge=1, le=10**6)
    valid_json: Flag = setting(
        False, "Its text must be JSON, and fit the schema of response_format where there is one.", "Off."
    )
    pattern: Text | None = setting(None, "A regular expression that its text must match somewhere.", "Any.")
    on_failure: Literal["flag", "next_target"] = setting(
        "flag",
        "next_target tries the next target when the answer is not streamed.",
        "The failed answer is paid for, and so is the next one.",
    )

    @check_field("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise SettingError(f"is not a regular expression: {error}", show=False) from None
        return value

    @property
    def any(self) -> bool:
        return bool(self.too_slow_s or self.min_chars or self.valid_json or self.pattern)


class Preset(Timeouts):
    """A virtual model. A list of targets, or a single one, is its short form."""

    targets: Annotated[tuple[PresetTarget, ...], FewestEntries(1), Reader(as_list)] = required(
        "What to call, best first: provider/model, or a model of the first provider."
    )
    select: Literal["ordered", "cheapest", "fastest", "balanced"] = setting(
        "ordered",
        "Which target that can do the job comes first: by the list, price, speed, or all of it with reliability.",
        "The list says what you want.",
    )
    hand_over: Flag = setting(
        False,
        "Pass OpenRouter its further targets in one call (models), instead of trying them one by one.",
        "Attempts made one by one are priced, recorded and stopped one by one.",
    )
    defaults: Parameters = setting(
        {},
        "Fields of the request's body that are used where the client sent none.",
        "The client's own value takes precedence.",
    )
    system: Text | None = setting(
        None, "A system prompt, put before the messages; {name} is taken from the request's metadata.", "None."
    )
    variables: dict[Text, VariableSettings] = setting(
        {}, "What its variables may be and are by default.", "Any text; the request must have it."
    )
    response_format: dict[str, Any] | None = setting(
        None, "The response_format that is used where the client sent none.", "None."
    )
    use_case: UserName | None = setting(
        None,
        "The use case that its requests are booked under.",
        "A header of the client's takes precedence, unless the preset has limits.",
    )
    limits: Limits = setting(Limits, "What all may use together under use_case, which must be set.", "No limit.")
    deadline_s: Seconds | None = setting(
        None, "Longest time until an answer begins, over all targets.", "routing.deadline_s.", gt=0, le=DAY_S
    )
    checks: Checks = setting(Checks, "What an answer must be.", "Anything.")

    @check_block(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"targets": data} if isinstance(data, str | list | tuple) else data

    @check_field("targets")
    @classmethod
    def _static_is_last(cls, targets: tuple[PresetTarget, ...]) -> tuple[PresetTarget, ...]:
        for target in targets[:-1]:
            if target.static:
                raise SettingError(
                    "has a static target before the last one", "Nothing after it is ever asked.", show=False
                )
        return targets

    @check_field("response_format", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        return json_value(value) if isinstance(value, Mapping) else value

    @check_block(mode="after")
    def _limits_have_a_use_case(self) -> Self:
        if self.limits.all and self.use_case is None:
            raise SettingError(
                "apply to what is booked under use_case", "Set use_case, best to the preset's name.", key="limits"
            )
        return self

    @check_block(mode="after")
    def _variables_are_used(self) -> Self:
        used = set(_VARIABLE.findall(self.system or ""))
        for name in self.variables:
            if name not in used:
                raise SettingError(
                    f'"{name}" does not occur in system', f"Write {{{name}}} there.", key="variables", show=False
                )
        return self
