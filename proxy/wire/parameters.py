"""Parameters of chat completions translated for other endpoints; what an endpoint cannot express is left out.

A preset has one list of parameters for all ways to ask. Sources: OpenAI's and Anthropic's references of 2026. An
unknown name is passed on: the operator wrote it for a provider of theirs.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.core.endpoint_kind import LEAST_TOKENS, MAXIMUM, Endpoint

_MAXIMA: Final = frozenset(name for names in MAXIMUM.values() for name in names)
_OF_CHAT_ALONE: Final = frozenset(
    ("modalities", "audio", "prediction", "web_search_options", "functions", "function_call")
)
_OF_TOOLS: Final = frozenset(("tools", "tool_choice", "parallel_tool_calls"))
_OF_CHOICES: Final = frozenset(("n", "logit_bias", "logprobs", "presence_penalty", "frequency_penalty", "seed"))
_OF_THINKING: Final = frozenset(("reasoning_effort", "reasoning", "include_reasoning", "thinking", "verbosity"))
_OF_SAMPLING: Final = frozenset(("temperature", "top_p", "top_k", "min_p", "top_a", "repetition_penalty", "stop"))

LACKS: Final[Mapping[Endpoint, frozenset[str]]] = {
    "chat": frozenset(),
    "completions": _OF_CHAT_ALONE | _OF_TOOLS | _OF_THINKING | {"top_logprobs", "store", "metadata", "response_format"},
    "embeddings": _OF_CHAT_ALONE
    | _OF_TOOLS
    | _OF_CHOICES
    | _OF_THINKING
    | _OF_SAMPLING
    | {"top_logprobs", "store", "metadata", "response_format", "stream_options"},
    "responses": _OF_CHAT_ALONE | _OF_CHOICES | {"stop", "stream_options", "include_reasoning"},
    "messages": _OF_CHAT_ALONE
    | _OF_CHOICES
    | {"top_logprobs", "store", "parallel_tool_calls", "stream_options", "user", "verbosity", "reasoning_effort"}
    | {"reasoning", "include_reasoning", "min_p", "top_a", "repetition_penalty"},
}
"""The parameters of chat completions for which an endpoint has no word."""


def renamed(kind: Endpoint, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters under the names, and in the shapes, that an endpoint has for them.

    response_format is left to the endpoint's row, but for chat completions.
    """
    found: dict[str, Any] = {}
    for name, value in defaults.items():
        if name in _MAXIMA:
            own = MAXIMUM[kind]
            if own:
                found[name if name in own else own[0]] = _at_least(kind, value)
        elif name not in LACKS[kind] and (name != "response_format" or kind == "chat"):
            write = _WRITTEN.get((kind, name))
            found.update({name: value} if write is None else write(value))
    return found


def _at_least(kind: Endpoint, value: Any) -> Any:
    return max(value, LEAST_TOKENS[kind]) if kind in LEAST_TOKENS and type(value) is int else value


def without_object(defaults: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without those of absent fields, which OpenAI refuses: how to call tools, or to stream."""
    if not (defaults.get("tools") or body.get("tools") or defaults.get("functions") or body.get("functions")):
        for name in ("parallel_tool_calls", "tool_choice", "function_call"):
            defaults.pop(name, None)
    if body.get("stream") is not True:
        defaults.pop("stream_options", None)
    return defaults


def _effort(value: Any) -> dict[str, Any]:
    return {"reasoning": {"effort": value}}


def _verbosity(value: Any) -> dict[str, Any]:
    return {"text": {"verbosity": value}}


def _stop_sequences(value: Any) -> dict[str, Any]:
    return {"stop_sequences": [value] if isinstance(value, str) else value}


def _functions(tools: Any) -> list[Mapping[str, Any]] | None:
    """Return the functions of a list of tools in the shape of chat completions; None: it is another."""
    if not isinstance(tools, list):
        return None
    found = [tool.get("function") for tool in tools if isinstance(tool, Mapping) and tool.get("type") == "function"]
    return found if len(found) == len(tools) and all(isinstance(one, Mapping) for one in found) else None  # type: ignore[return-value]


def _flat_tools(value: Any) -> dict[str, Any]:
    functions = _functions(value)
    return {"tools": value if functions is None else [{"type": "function", **one} for one in functions]}


def _input_tools(value: Any) -> dict[str, Any]:
    functions = _functions(value)
    if functions is None:
        return {"tools": value}
    shaped = [
        {
            **{name: one[name] for name in ("name", "description") if name in one},
            "input_schema": one.get("parameters") or {"type": "object"},
        }
        for one in functions
    ]
    return {"tools": shaped}


def _named(value: Any) -> Any:
    inner = value.get("function") if isinstance(value, Mapping) else None
    return inner.get("name") if isinstance(inner, Mapping) else None


def _flat_choice(value: Any) -> dict[str, Any]:
    name = _named(value)
    return {"tool_choice": value if name is None else {"type": "function", "name": name}}


def _input_choice(value: Any) -> dict[str, Any]:
    name = _named(value)
    if name is not None:
        return {"tool_choice": {"type": "tool", "name": name}}
    words = {"auto": "auto", "required": "any", "none": "none"}
    return {"tool_choice": {"type": words[value]} if isinstance(value, str) and value in words else value}


def _user_id(value: Any) -> dict[str, Any]:
    has_one = isinstance(value, Mapping) and set(value) == {"user_id"}
    return {"metadata": value} if has_one else {}


def _tier(value: Any) -> dict[str, Any]:
    return {"service_tier": value} if value in ("auto", "standard_only") else {}


def _count(value: Any) -> dict[str, Any]:
    return {} if isinstance(value, bool) else {"logprobs": value}


_WRITTEN: Final[Mapping[tuple[str, str], Callable[[Any], dict[str, Any]]]] = {
    ("completions", "logprobs"): _count,  # a number there, true or false in chat completions
    ("responses", "reasoning_effort"): _effort,
    ("responses", "verbosity"): _verbosity,
    ("responses", "tools"): _flat_tools,
    ("responses", "tool_choice"): _flat_choice,
    ("messages", "stop"): _stop_sequences,
    ("messages", "tools"): _input_tools,
    ("messages", "tool_choice"): _input_choice,
    ("messages", "metadata"): _user_id,
    ("messages", "service_tier"): _tier,
}
