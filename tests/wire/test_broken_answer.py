"""What can still be read of an answer in one piece that is not whole, or not alone."""

import json
from typing import Any

import pytest

from proxy.wire.broken_answer import broken_id, flaw_of

CHOICES: Any = [{"index": 0, "message": {"tool_calls": [{"id": "call_1"}], "content": '{"id": "gen-no", \\ ü'}}]
ANSWER = json.dumps({"object": "x", "created": 1.5e3, "choices": CHOICES, "id": "gen-1", "usage": {}}).encode()


@pytest.mark.parametrize("before", [b"", b" \n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf "])
def test_the_id_is_read_once_it_has_come_whole(before: bytes) -> None:
    whole = before + ANSWER
    there = whole.index(b'"gen-1"') + len(b'"gen-1"')
    for at in range(len(whole) + 1):
        assert broken_id([whole[:at]]) == ("gen-1" if at >= there else None), whole[:at]


def test_it_is_found_in_pieces() -> None:
    assert broken_id([ANSWER[at : at + 1] for at in range(len(ANSWER))]) == "gen-1"
    assert broken_id([]) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"gen-1","choices":' + "[" * 100_000,
        '{"id":"gen-1"}xx',
        '{"id" : "gen-1"}{"id":"gen-2"}',
        '{"a":NaN,"id":"gen-1"',
        '{"a":' + "1" * 10_000 + ',"id":"gen-1"',
        '{"a":"\\ud800\x01","id":"gen-1"',
        '{"a\\"b":[],"id":"gen-1",',
    ],
)
def test_a_flaw_elsewhere_does_not_hide_it(text: str) -> None:
    assert broken_id([text.encode()]) == "gen-1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        '[{"id":"gen-1"}]',
        '"id":"gen-1"',
        ',"id":"gen-1"',
        '{"id":5}',
        '{"id":""}',
        '{"id":null,"x":{"id":"gen-1"}}',
        '{"x":{"id":"gen-1"',
        '{"x":[{"id":"gen-1"}],"y',
        '{"x":' + "[" * 100_000 + "]" * 100_000 + ',"id":"gen-1"}',
        '{"x" "id":"gen-1"}',
        '{"x":"' + "y" * (1 << 20) + '","id":"gen-1"}',
    ],
)
def test_what_is_not_the_answers_own_is_not_taken(text: str) -> None:
    assert broken_id([text.encode()]) is None


def test_the_flaw_is_told_as_it_is() -> None:
    for at in range(1, len(ANSWER)):
        assert flaw_of(b" " + ANSWER[:at]) == "the JSON of its answer ended early"
    for behind in (b"x", b"\nnull", b" <!-- cached -->", b'{"id":'):
        assert flaw_of(b"\n" + ANSWER + behind) == "something follows the JSON of its answer"
