"""What a preset promises of its answers."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.answer_check import MAX_CHARS, CheckRules, SchemaError, answer_text, build_schema, check, schema_in

SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["book", "cancel"]}, "when": {"$ref": "#/$defs/time"}},
    "required": ["intent"],
    "additionalProperties": False,
    "$defs": {"time": {"type": ["string", "null"], "pattern": "^[0-9]{2}:[0-9]{2}$"}},
}


def test_no_rules_no_failures() -> None:
    assert check(CheckRules(), "", 1e9) == ()


@pytest.mark.parametrize(
    ("rules", "text", "duration_s", "failed"),
    [
        (CheckRules(too_slow_s=5), "x", 5.0, ()),
        (CheckRules(too_slow_s=5), "x", 5.1, ("too_slow",)),
        (CheckRules(min_chars=3), "  ab  ", 0, ("too_short",)),
        (CheckRules(min_chars=3), "abc", 0, ()),
        (CheckRules(json=True), ' {"a": 1} ', 0, ()),
        (CheckRules(json=True), '```json\n{"a": 1}\n```', 0, ("not_json",)),
        (CheckRules(json=True), '{"a": NaN}', 0, ("not_json",)),
        (CheckRules(json=True), "", 0, ("not_json",)),
        (CheckRules(json=True), '"\ud800"', 0, ("not_json",)),
        (CheckRules(pattern=re.compile(r"^(yes|no)$")), "yes", 0, ()),
        (CheckRules(pattern=re.compile(r"^(yes|no)$")), "perhaps", 0, ("no_pattern",)),
        (CheckRules(json=True), "1" * (MAX_CHARS + 1), 0, ("too_long_to_check",)),
        (CheckRules(min_chars=1), "1" * (MAX_CHARS + 1), 0, ()),
        (
            CheckRules(5, 99, json=True, pattern=re.compile("x")),
            "?",
            9,
            ("too_slow", "too_short", "not_json", "no_pattern"),
        ),
        (CheckRules(5, 99, json=True), None, 9, ("too_slow",)),
    ],
)
def test_rules(rules: CheckRules, text: str | None, duration_s: float, failed: tuple[str, ...]) -> None:
    assert check(rules, text, duration_s) == failed


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ('{"intent": "book", "when": "10:30"}', ()),
        ('{"intent": "book", "when": null}', ()),
        ('{"intent": "book", "when": "soon"}', ("not_schema",)),
        ('{"intent": "dance"}', ("not_schema",)),
        ('{"intent": "book", "more": 1}', ("not_schema",)),
        ("[]", ("not_schema",)),
        ('{"intent": "book"', ("not_json",)),
    ],
)
def test_a_schema(text: str, failed: tuple[str, ...]) -> None:
    assert check(CheckRules(json=True, schema=build_schema(SCHEMA)), text, 0) == failed


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "objekt"}, "type"),
        ({"properties": {"a": {"minimum": "x"}}}, "minimum"),
        ({"$ref": "#/$defs/missing"}, "does not exist"),
        ({"properties": {"a": [{"$ref": "x"}]}}, "a"),
        ({"allOf": [{"$ref": "http://127.0.0.1:9/schema.json"}]}, "does not exist"),
        ({"$ref": "file:///etc/passwd"}, "does not exist"),
        ({"pattern": "("}, "pattern"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        build_schema(schema)


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert check(CheckRules(json=True, schema=build_schema({"$ref": "#"})), "1", 0) == ("not_schema",)
    tree = build_schema({"type": "object", "properties": {"next": {"$ref": "#"}}})
    assert check(CheckRules(json=True, schema=tree), '{"next": {"next": {}}}', 0) == ()
    assert check(CheckRules(json=True, schema=tree), '{"next": {"next": 1}}', 0) == ("not_schema",)


def answer(message: object) -> dict[str, Any]:
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (answer({"content": "Hi."}), "Hi."),
        (answer({"content": [{"type": "text", "text": "H"}, {"type": "image"}, {"text": "i."}]}), "Hi."),
        (answer({"content": None}), ""),
        (answer({"content": None, "tool_calls": [{"id": "1"}]}), None),
        (answer({"content": "", "tool_calls": [{"id": "1"}]}), None),
        (answer({"content": "Hi.", "tool_calls": [{"id": "1"}]}), "Hi."),
        (answer({"content": None, "function_call": {"name": "f"}}), None),
        (answer(None), ""),
        ({"choices": []}, ""),
        ({"choices": [1]}, ""),
        ({"choices": [{"text": "Hi."}]}, "Hi."),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}]}, "Hi."),
        ({"output": [{"type": "reasoning", "content": [{"text": "Hm."}]}, {"type": "message", "content": None}]}, ""),
        ({"output": [{"type": "function_call", "name": "f"}]}, None),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi."}]}, "Hi."),
        ({"content": [{"type": "tool_use", "name": "f"}]}, None),
        ({}, ""),
    ],
)
def test_the_text_of_an_answer(body: dict[str, Any], text: str | None) -> None:
    assert answer_text(body) == text


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, SCHEMA),
        ({"type": "json_object"}, None),
        ({"type": "json_schema"}, None),
        ({"type": "json_schema", "json_schema": {"schema": 1}}, None),
        (None, None),
    ],
)
def test_the_schema_of_a_response_format(response_format: object, schema: object) -> None:
    assert schema_in(response_format) == schema


_RULES = CheckRules(1.0, 5, json=True, schema=build_schema(SCHEMA), pattern=re.compile("a"))


@given(st.text(max_size=50) | st.none(), st.floats(0, 10))
def test_any_text_can_be_checked(text: str | None, duration_s: float) -> None:
    failed = check(_RULES, text, duration_s)
    assert len(set(failed)) == len(failed)
    assert ("too_slow" in failed) == (duration_s > 1.0)
