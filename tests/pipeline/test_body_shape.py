"""A body of a known shape is read as it would be in full; what does not fit the shape is not read by it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.pipeline.values.body_shape import BodyShape, body_shape, frame_of, plain_row_maximum
from proxy.policy.pricing import NOT_PLAIN
from proxy.providers.openai import OpenAIDialect
from proxy.providers.openrouter import OpenRouterDialect
from proxy.wire.body import BodyError, check_chat, dump_body, parse_sized
from proxy.wire.endpoint import CHAT

DIALECTS = (OpenRouterDialect("", ""), OpenAIDialect())

texts = st.text(st.sampled_from('"\\ab:,{}[] \n\u00e9\u2028\x7f\U0001f600'), max_size=12)
odd_bytes = st.binary(max_size=6) | st.sampled_from([b"\\ud800", b"\\u12", b"\\", b'\\"', b"\xff", b"\n", b'","b":"'])
fields: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["max_tokens", "temperature", "stream", "user", "tools", "seed", "n"]),
    st.sampled_from([None, 1, 40, 0.5, True, [], "a", {"a": "b"}]),
    max_size=3,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": texts | st.none()}), max_size=2
)


def _with(text: str, before: dict[str, Any], ahead: list[Any], behind: list[Any], last: dict[str, Any]) -> Any:
    turns = [*ahead, {"role": "user", "content": text}, *behind]
    return {**before, "model": "m", "messages": turns, **{name: last[name] for name in last if name not in before}}


@settings(max_examples=150, deadline=None)
@given(fields, messages, messages, fields, texts, texts, texts, odd_bytes, st.data())
def test_a_body_of_a_shape_is_what_the_whole_parse_reads(
    before: dict[str, Any],
    ahead: list[Any],
    behind: list[Any],
    last: dict[str, Any],
    one: str,
    other: str,
    third: str,
    odd: bytes,
    data: st.DataObject,
) -> None:
    separators = data.draw(st.sampled_from([(", ", ": "), (",", ":"), (",\n ", " : ")]))
    ascii_only = data.draw(st.booleans())

    def written(text: str) -> bytes:
        body = _with(text, before, ahead, behind, last)
        return json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode()

    shape = body_shape(written(f"{one}-"), written(f"{other}+"))
    if shape is None:
        return
    odd_body = shape.before + odd + shape.behind
    for raw in (written(third), written(f"{third}\\"), odd_body, odd_body[:-1], shape.before, b""):
        found = shape.parse(raw)
        if found is None:
            continue
        body, text = found
        whole, written_bytes = parse_sized(raw)
        check_chat(whole)
        assert dump_body(body) == dump_body(whole)
        assert plain_row_maximum(whole) == shape.maximum
        if b"\\" not in raw:
            assert text is not None
        if text is None:
            continue
        assert written_bytes == len(raw) - shape.spaces
        for dialect in DIALECTS:
            probe, probe_text = shape.probe()
            frame = frame_of(dump_body(dialect.prepare(probe, "another", CHAT)[0]), probe_text)
            assert frame is not None
            before_it, behind_it = frame
            assert before_it + text + behind_it == dump_body(dialect.prepare(whole, "another", CHAT)[0])


def _shape(one: bytes, other: bytes) -> BodyShape:
    found = body_shape(one, other)
    assert found is not None
    return found


BODY = b'{"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "%s"}]%s}'


@pytest.mark.parametrize(("one", "other"), [(b"one", b"another"), (b"", b"a"), (b"ab", b"abc"), (b"a\\n", b"b")])
def test_nearly_every_text_fits(one: bytes, other: bytes) -> None:
    shape = _shape(BODY % (one, b', "max_tokens": 9'), BODY % (other, b', "max_tokens": 9'))
    assert shape.maximum == 9
    for text in (b"", b"Hello", "gr\u00fc\u00df".encode(), b"\\u00e9\\nx", b"\x7f"):
        found = shape.parse(BODY % (text, b', "max_tokens": 9'))
        assert found is not None
        assert found[0]["messages"][1]["content"] == orjson.loads(b'"%s"' % text)
        assert found[1] == (None if b"\\" in text else text)
    assert shape.parse(BODY % (b"Hello", b', "max_tokens": 8')) is None


def test_the_same_body_again_has_a_shape() -> None:
    raw = BODY % (b"What is it, then? " * 9, b"")
    found = _shape(raw, raw).parse(raw)
    assert found is not None
    assert found[0] == orjson.loads(raw)


def test_a_text_that_ends_early_is_read_in_full() -> None:
    shape = _shape(BODY % (b"one", b""), BODY % (b"other", b""))
    twice = BODY % (b'a", "role": "tool", "name": "b', b"")
    assert shape.parse(twice) is None
    with pytest.raises(BodyError):
        parse_sized(twice)
    assert shape.parse(BODY % (b"a\\", b"")) is None
    assert shape.parse(BODY % (b'a\\"', b"")) is None


@pytest.mark.parametrize("number", [b"0.50000000000000000001", b"18446744073709551616", b"-0"])
def test_a_shape_is_of_what_the_fast_parse_reads_exactly(number: bytes) -> None:
    behind = b', "top_p": %s' % number
    found = body_shape(BODY % (b"one", behind), BODY % (b"other", behind))
    read = None if found is None else found.parse(BODY % (b"third", behind))
    assert read is None or dump_body(read[0]) == dump_body(parse_sized(BODY % (b"third", behind))[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BODY % (b"x", b', "a": 1'), BODY % (b"x", b', "b": 1')),
        (BODY % (b"x", b', "n": 1'), BODY % (b"x", b', "n": 2')),
        (BODY % (b"x", b', "stop": "a"'), BODY % (b"x", b', "stop": "b"')),
        (BODY % (b"x", b""), (BODY % (b"x", b"")).replace(b'"m"', b'"n"')),
        (BODY % (b"x", b""), BODY % (b'a"}, {"role": "user", "content": "b', b"")),
        (BODY % (b"x", b""), b""),
        (b"\xef\xbb\xbf" + BODY % (b"x", b""), b"\xef\xbb\xbf" + BODY % (b"y", b"")),
    ],
)
def test_what_differs_elsewhere_or_cannot_be_read_fast_has_none(one: bytes, other: bytes) -> None:
    assert body_shape(one, other) is None


@pytest.mark.parametrize("written", [b'["xx","xx"]', b'["axx"]', b'["xxx"]', b'["x"]', b""])
def test_a_text_that_does_not_stand_there_once_alone_has_no_frame(written: bytes) -> None:
    assert frame_of(written, b"xx") is None
    assert frame_of(b'["a","xx","b"]', b"xx") == (b'["a","', b'","b"]')


def test_what_goes_into_the_row_is_not_plain() -> None:
    shape = _shape(BODY % (b"one", b', "user": "eva"'), BODY % (b"other", b', "user": "eva"'))
    assert shape.maximum == NOT_PLAIN
