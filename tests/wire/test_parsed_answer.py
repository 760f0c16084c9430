"""What is kept of an answer that is not streamed."""

from typing import Any

import orjson
import pytest

from proxy.wire.parsed_answer import ParsedAnswer, is_cut_off, read_answer

CANARY = "Kanarienvogel"
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "cost": 0.000168}


def answer(**fields: Any) -> bytes:
    message = {
        "id": "gen-1",
        "model": "m",
        "provider": "P",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": CANARY}}],
        "usage": USAGE,
    }
    return orjson.dumps(message | fields)


def read(body: bytes) -> ParsedAnswer:
    found = read_answer(body)
    assert found is not None
    return found


@pytest.mark.parametrize("before", [b"", b"\n         \n" * 52, b"\r\n\t "])
def test_an_answer_and_the_padding_before_it(before: bytes) -> None:
    found = read(before + answer() + b"\n")
    assert (found.generation_id, found.model, found.provider, found.finish_reason) == (
        "gen-1",
        "m",
        "P",
        "stop",
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cost_pusd) == (
        12,
        5,
        168_000_000,
    )
    assert found.has_choices
    assert not found.error_seen
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("error", "code", "type_"),
    [
        ({"code": 502, "message": CANARY, "metadata": {"error_type": "timeout"}}, "502", "timeout"),
        ({"code": "server_error", "message": CANARY}, "server_error", None),
        ({"code": None, "type": "insufficient_quota", "message": CANARY}, None, "insufficient_quota"),
        ({"code": f"{CANARY} has a space", "type": [CANARY], "metadata": CANARY}, None, None),
        ({"code": True, "type": "x" * 65}, None, None),
        (CANARY, None, None),
        ([1], None, None),
    ],
)
def test_an_error_keeps_its_words_and_not_its_text(error: Any, code: str | None, type_: str | None) -> None:
    for body in (
        orjson.dumps({"error": error}),
        answer(choices=[{"finish_reason": "error", "error": error}]),
    ):
        found = read(body)
        assert (found.error_seen, found.error_code, found.error_type) == (True, code, type_)
        assert CANARY not in repr(found)


@pytest.mark.parametrize("error", [None, {}, "", False])
def test_an_empty_error_is_none(error: Any) -> None:
    assert not read(answer(error=error)).error_seen


@pytest.mark.parametrize("choices", [None, [], {}, "x", [5, None]])
def test_an_answer_without_choices_says_so(choices: Any) -> None:
    found = read(answer(choices=choices))
    assert not found.has_choices
    assert found.finish_reason is None
    assert found.usage is not None


@pytest.mark.parametrize("field", ["id", "model", "provider"])
@pytest.mark.parametrize("value", [None, "", 5, ["x"]])
def test_a_field_that_is_no_text_is_none(field: str, value: Any) -> None:
    found = read(answer(**{field: value}))
    assert {"id": found.generation_id, "model": found.model, "provider": found.provider}[field] is None


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"null", b"5", b'"x"', b"<html>502</html>", b"{", b"\xff\xfe"])
def test_what_is_no_object_is_no_answer(body: bytes) -> None:
    assert read_answer(body) is None


@pytest.mark.parametrize("flaw", [b"NaN", b"1e400", b'"\\ud800"', b'"\xff"'])
def test_one_flaw_does_not_hide_the_rest(flaw: bytes) -> None:
    found = read(answer(x="FLAW").replace(b'"FLAW"', flaw))
    assert found.generation_id == "gen-1"
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.cost_pusd) == (12, 168_000_000)


def test_deep_nesting_is_no_crash() -> None:
    assert read_answer(b'{"usage":' + b"[" * 100_000) is None
    assert (
        read_answer(b'{"usage":{"cost":0.1234,"prompt_tokens":1},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}") is None
    )


def test_embeddings_have_no_output() -> None:
    body = b'{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}'
    found = read(body)
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.has_choices) == (8, 0, False)


def test_what_is_cut_off_anywhere_is_told() -> None:
    whole = b" \n" + answer() + b"\r\n"
    assert not is_cut_off(whole)
    assert all(is_cut_off(whole[:at]) for at in range(3, len(whole) - 2))


@pytest.mark.parametrize("text", ["{", "{{{", "}", '"{'])
def test_braces_in_a_text_are_not_an_open_end(text: str) -> None:
    assert not is_cut_off(answer(text=text))


@pytest.mark.parametrize("body", [b"", b"  ", b"[1", b"null", b"<html>", b"{}", b"\x1f\x8b{", b'{"a": NaN}'])
def test_what_is_no_object_is_not_cut_off(body: bytes) -> None:
    assert not is_cut_off(body)
