"""Whether an answer passes a preset's checks: speed, length, JSON, pattern. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from msgspec import Struct

MAX_CHARS = 1_000_000
"""A longer text is not read against a schema or a pattern; it fails as too_long_to_check."""


class Schema(Protocol):
    """A JSON schema ready to use: what build_schema gives."""

    def is_valid(self, instance: Any) -> bool: ...


class SchemaError(ValueError):
    """A schema that cannot be used, by the operator's mistake. Its text says what is wrong."""


class CheckRules(Struct, frozen=True):
    """What is checked; None and False: it is not. schema counts only beside json.

    pattern comes from the operator's configuration and is searched for with Python's re, which a pattern such as (a+)+$
    can keep busy forever: it must never come from a caller. The same holds for patterns within a schema.
    """

    too_slow_s: float | None = None
    min_chars: int | None = None
    json: bool = False
    schema: Schema | None = None
    pattern: re.Pattern[str] | None = None


def check(rules: CheckRules, text: str | None, duration_s: float) -> tuple[str, ...]:
    """Return the names of the checks that failed, in a fixed order.

    too_slow, too_short, not_json, not_schema, no_pattern, too_long_to_check. text is answer_text(); None, for an answer
    that only calls tools, means that only the time is checked. White space around the text is not counted.
    """
    failed = ["too_slow"] if rules.too_slow_s is not None and duration_s > rules.too_slow_s else []
    if text is None:
        return tuple(failed)
    if rules.min_chars is not None and len(text.strip()) < rules.min_chars:
        failed.append("too_short")
    if len(text) > MAX_CHARS:
        return (*failed, "too_long_to_check") if rules.json or rules.pattern is not None else tuple(failed)
    if rules.json and (problem := _json_problem(text, rules.schema)) is not None:
        failed.append(problem)
    if rules.pattern is not None and rules.pattern.search(text) is None:
        failed.append("no_pattern")
    return tuple(failed)


def _json_problem(text: str, schema: Schema | None) -> str | None:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):  # the latter: half a surrogate pair
        return "not_json"
    if schema is None:
        return None
    try:
        return None if schema.is_valid(value) else "not_schema"
    except RecursionError:  # a schema that refers to itself endlessly, or an answer nested too deep
        return "not_schema"


def answer_text(body: Mapping[str, Any]) -> str | None:
    """Return the text of an answer's first choice; None if it calls tools instead.

    The answer may be a chat completion, a completion, a response or a message.
    """
    choices, output = body.get("choices"), body.get("output")
    if isinstance(choices, list):
        return _of_choice(choices[0] if choices else None)
    if isinstance(output, list):
        messages = [item for item in output if isinstance(item, Mapping) and item.get("type") == "message"]
        text = "".join(_joined(message.get("content")) for message in messages)
        return text or (None if _has_call(output) else "")
    content = body.get("content")
    return _joined(content) or (None if isinstance(content, list) and _has_call(content) else "")


def _of_choice(choice: Any) -> str | None:
    if not isinstance(choice, Mapping):
        return ""
    message = choice.get("message")
    if not isinstance(message, Mapping):
        text = choice.get("text")
        return text if isinstance(text, str) else ""
    text = _joined(message.get("content"))
    return text or (None if message.get("tool_calls") or message.get("function_call") else "")


def _joined(content: Any) -> str:
    """Return the text of a content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "".join(text for text in parts if isinstance(text, str))


def _has_call(parts: list[Any]) -> bool:
    kinds = (part.get("type") for part in parts if isinstance(part, Mapping))
    return any(isinstance(kind, str) and kind.endswith(("_call", "tool_use")) for kind in kinds)


def schema_in(response_format: Any) -> Mapping[str, Any] | None:
    """Return the schema of a response_format of type json_schema; None if there is none."""
    if not isinstance(response_format, Mapping) or response_format.get("type") != "json_schema":
        return None
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def build_schema(schema: Mapping[str, Any]) -> Schema:
    """Build a validator of a schema; raises SchemaError.

    It is JSON Schema as $schema says, else 2020-12. References lead to places in the schema itself; nothing is ever
    fetched. The library costs 60 ms to import, so only a configuration that checks a schema does.
    """
    from jsonschema import exceptions, validators  # noqa: PLC0415 - see above
    from referencing import Registry, Resource, jsonschema  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except exceptions.SchemaError as error:
        raise SchemaError(f"{error.json_path}: {error.message}") from None
    resource = Resource.from_contents(dict(schema), default_specification=jsonschema.DRAFT202012)
    resolver = Registry().resolver_with_root(resource)
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise SchemaError(f"$ref {reference} does not exist within the schema") from None
    return kind(dict(schema), registry=Registry())


def _references(part: Any) -> list[str]:
    found, rest = [], [part]
    while rest:
        one = rest.pop()
        if isinstance(one, Mapping):
            found += [one[key] for key in ("$ref", "$dynamicRef") if isinstance(one.get(key), str)]
            rest += one.values()
        elif isinstance(one, list):
            rest += one
    return found
