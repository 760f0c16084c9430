"""Settings of what is filled in for a user where a request says nothing, and of how targets are chosen for them.

The same block stands in users, groups, end_users and defaults, and is what a user may write at /v1/me/preferences.
Setting by setting the nearest counts; parameters and use_cases are joined, name by name.
"""

from typing import Annotated, Any, Self

from proxy.config.block import Block, check_block, setting
from proxy.config.check import EditorSchema, Reader, Rule
from proxy.config.diagnostic import SettingError
from proxy.config.parameters import Parameters
from proxy.config.values import Flag, PresetName, Text, UserName

_MODEL_CHARS_MAX = 256  # as in a body
_OUTPUT_TOKENS_MAX = 2**31
_COUNTS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n")
# What decides where a request goes, or is its very content: a default would lead around the checks of both.
_OF_THE_CLIENT = frozenset(
    {"models", "fallbacks", "route", "preset", "input", "prompt", "system", "instructions", "previous_response_id"}
)
_SWITCH = {"on": True, "off": False}


def _switch(value: object) -> object:
    return _SWITCH.get(value, value) if isinstance(value, str) else value


def _model_name(value: str) -> str:
    if not 0 < len(value) <= _MODEL_CHARS_MAX or not value.isprintable():
        raise SettingError(f"must be a name of 1 to {_MODEL_CHARS_MAX} printable characters")
    return value


def _of_an_answer(parameters: dict[str, Any]) -> dict[str, Any]:
    for name, value in parameters.items():
        if name in _OF_THE_CLIENT:
            raise SettingError("must come from the client and cannot have a default", key=name, show=False)
        if name in _COUNTS and (type(value) is not int or not 1 <= value <= _OUTPUT_TOKENS_MAX):
            raise SettingError("must be a whole number of at least 1", key=name, show=False)
    return parameters


Switch = Annotated[Flag, Reader(_switch), EditorSchema({"enum": [True, False, "on", "off"]})]
ModelName = Annotated[Text, Rule(_model_name)]
DefaultParameters = Annotated[Parameters, Rule(_of_an_answer)]


class PreferenceSettings(Block):
    """What holds where a request leaves it open."""

    default_model: ModelName | None = setting(
        None,
        "Model or preset of a request whose body names none: model is missing, null or empty.",
        "None: such a request is answered with 400.",
    )
    default_preset: PresetName | None = setting(
        None, "The same, and it must be a preset; set one of the two.", "default_model."
    )
    parameters: DefaultParameters = setting(
        {},
        "Fields of the request's body that are used where neither the client nor a preset sent any.",
        "The model's own.",
    )
    fallback: Switch | None = setting(
        None,
        "off: only the first target of a preset is asked; models that the client lists itself are still tried.",
        "on: an answer whenever one can be had.",
    )
    cheapest: Flag | None = setting(
        None, "Put the targets of every route in the order of their prices.", "As each preset says in select."
    )
    use_cases: dict[UserName, PresetName] = setting(
        {},
        "Presets by use case: for requests with the header X-Tollkeeper-Use-Case whose model is not a preset.",
        "Those of the top level.",
    )

    @check_block(mode="after")
    def _has_one_default(self) -> Self:
        if self.default_model is not None and self.default_preset is not None:
            raise SettingError("contradicts default_model", "Keep one of the two.", key="default_preset", show=False)
        return self
