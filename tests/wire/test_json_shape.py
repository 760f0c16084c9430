"""A shape has names and kinds, and nothing that could be a secret or a text."""

import json

import pytest

from proxy.wire.amount import read_exactly
from proxy.wire.json_shape import shape_of

DEEP = {"a": {"b": {"c": {"d": {"e": 1}}}}}
KEY = {"label": "sk-or-v1-abc", "limit": 0.5, "free": True, "none": None, "budgets": [], "more": {"deep": "secret"}}


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({}, "{}"),
        ([], "[0]"),
        (["sk-or-v1-abc", 2], "[2]"),
        ("sk-or-v1-abc", ""),
        (None, ""),
        (KEY, "{label, limit, free, none, budgets: [0], 1 more}"),
        ({"data": [{"id": "a", "top": {"x": 1}}, {"id": "b"}]}, "{data: [2 of {id, top: {x}}]}"),
        (DEEP, "{a: {b: {c: {…}}}}"),
        ({"sk-or-v1-" + "c" * 60: 1, "has space": 2, "ok": "x"}, "{ok, 2 more}"),
    ],
)
def test_the_shape_of_a_value(value: object, shape: str) -> None:
    assert shape_of(read_exactly(json.dumps(value).encode())) == shape
