"""What goes into the parse comes out of it unchanged; what means two things, or nothing, is refused."""

import json
import string
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.body import MAX_LEVELS, BodyError, _parse_exactly, check_chat, dump_body, parse_body, wants_usage

CANARY = "Kanarienvogel"


def exactly(raw: bytes) -> Any:
    """Parse with numbers as Decimal and objects as pairs, so that nothing is lost, the order included."""
    return json.loads(raw, parse_int=Decimal, parse_float=Decimal, object_pairs_hook=lambda pairs: ("object", pairs))


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Give an object with that many levels in all."""
    return b'{"a": ' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


digits = st.text(string.digits, min_size=1, max_size=40)


@st.composite
def number_literals(draw: st.DrawFn) -> str:
    whole = draw(st.one_of(digits, st.integers(0, 2**64 + 2).map(str))).lstrip("0") or "0"
    text = draw(st.sampled_from(["", "-"])) + whole
    if draw(st.booleans()):
        text += "." + draw(digits)
    if draw(st.booleans()):
        text += (
            draw(st.sampled_from(["e", "E"])) + draw(st.sampled_from(["", "-", "+"])) + str(draw(st.integers(0, 200)))
        )
    return text


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
spaces = st.sampled_from(["", "", " ", "\n", "\t \r\n"])


@st.composite
def json_texts(draw: st.DrawFn, levels: int = 3) -> str:
    kind = draw(st.sampled_from(["number", "string", "word", "list", "object"] if levels else ["number", "string"]))
    match kind:
        case "number":
            return draw(number_literals())
        case "string":
            return json.dumps(draw(text), ensure_ascii=draw(st.booleans()))
        case "word":
            return draw(st.sampled_from(["true", "false", "null"]))
        case "list":
            items = draw(st.lists(json_texts(levels - 1), max_size=4))
            return f"[{draw(spaces)}{','.join(draw(spaces) + item for item in items)}]"
        case _:
            return draw(json_objects(levels - 1))


@st.composite
def json_objects(draw: st.DrawFn, levels: int = 3) -> str:
    members = []
    for name in draw(st.lists(text, max_size=4, unique=True)):
        key = json.dumps(name, ensure_ascii=draw(st.booleans()))
        members.append(f"{draw(spaces)}{key}{draw(spaces)}:{draw(spaces)}{draw(json_texts(levels))}{draw(spaces)}")
    return "{" + ",".join(members) + "}"


@settings(max_examples=400, deadline=None)
@given(json_objects())
def test_every_value_travels_unchanged_in_its_order(source: str) -> None:
    raw = source.encode()
    body, error = attempt(raw)
    if body is not None:
        assert exactly(dump_body(body)) == exactly(raw)
    else:
        assert "larger than a double" in str(error)
        assert any(abs(number) > Decimal("1.7e308") for number in numbers(exactly(raw)))


quoted = st.text(st.sampled_from('"\\\\ab:,{}[] \n\u00e9'), max_size=12)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(quoted, st.one_of(quoted, st.lists(quoted, max_size=3), st.integers(0, 12)), max_size=4), st.data()
)
def test_a_body_with_spaces_is_read_as_the_exact_parse_reads_it(body: dict[str, Any], data: st.DataObject) -> None:
    """Texts full of quotes, backslashes and brackets do not hide what differs."""
    separators = data.draw(st.sampled_from([(", ", ": "), (" ,", ": "), (",\n", " :"), (",", ":")]))
    raw = json.dumps(body, ensure_ascii=data.draw(st.booleans()), separators=separators).encode()
    if data.draw(st.booleans()) and body:  # one of its members once more
        name = data.draw(st.sampled_from(sorted(body)))
        raw = raw[:-1] + f", {json.dumps(name)}: 1}}".encode()
        with pytest.raises(BodyError):
            parse_body(raw)
    else:
        assert dump_body(parse_body(raw)) == dump_body(_parse_exactly(raw)) == orjson.dumps(body)


@settings(max_examples=60, deadline=None)
@given(st.lists(quoted, max_size=3), st.lists(quoted, max_size=3), quoted, quoted, st.data())
def test_one_long_text_hides_nothing(
    before: list[str], behind: list[str], start: str, end: str, data: st.DataObject
) -> None:
    """As nearly every chat is: what stands beside its text is compared, however that begins and ends."""
    long = f"{start}{'What is it, then: that? ' * 20}{end}"
    body = {**{f"a{name}": name for name in before}, "content": long, **{f"b{name}": 0.5 for name in behind}}
    members = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in body.items()]
    raw = ("{" + ", ".join(members) + "}").encode()
    assert dump_body(parse_body(raw)) == orjson.dumps(body)
    at = data.draw(st.integers(0, len(members)))
    again = [*members[:at], data.draw(st.sampled_from(members)), *members[at:]]
    with pytest.raises(BodyError):
        parse_body(("{" + ", ".join(again) + "}").encode())
    number = "0.50000000000000000001"
    exact = "{" + ", ".join([*members[:at], f'"n": {number}', *members[at:]]) + "}"
    assert number.encode() in dump_body(parse_body(exact.encode()))


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_spaces_alone_take_no_second_parse(indent: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As json.dumps() writes bodies, and what people write by hand."""
    monkeypatch.setattr(json.JSONDecoder, "raw_decode", lambda *_: pytest.fail("parsed twice"))
    body = {"model": "m", "messages": [{"role": "user", "content": 'say "\\n" \\ or\n "\\\\"'}], "top_p": 0.1}
    assert parse_body(json.dumps(body, indent=indent).encode()) == body


def attempt(raw: bytes) -> tuple[dict[str, Any] | None, BodyError | None]:
    try:
        return parse_body(raw), None
    except BodyError as error:
        return None, error


def numbers(value: Any) -> list[Decimal]:
    match value:
        case Decimal():
            return [value]
        case list():
            return [number for item in value for number in numbers(item)]
        case ("object", pairs):
            return [number for _, item in pairs for number in numbers(item)]
        case _:
            return []


@pytest.mark.parametrize(
    "literal",
    [
        "18446744073709551616",
        "-9223372036854775809",
        "0.1234567890123456789",
        "1e-400",
        "3.00000000000000000001",
        "9" * 300,
    ],
)
@pytest.mark.parametrize("frame", ['{"a":%s}', '{"a": [{"b": %s}]}'])
def test_a_number_that_no_double_holds_stays_the_literal_it_was(literal: str, frame: str) -> None:
    raw = (frame % literal).encode()
    assert literal.encode() in dump_body(parse_body(raw))


def test_compact_bytes_come_back_as_they_were() -> None:
    raw = '{"model":"m","stop":["h\u00e9 \\"x\\": 1\\n",{}],"seed":18446744073709551615,"top_p":0.1}'.encode()
    assert dump_body(parse_body(raw)) == raw


@settings(max_examples=100, deadline=None)
@given(json_objects(), json_texts(), json_texts(), text)
def test_a_key_given_twice_is_refused_at_any_level(other: str, first: str, second: str, name: str) -> None:
    key = json.dumps(name)
    escaped = '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in name) + '"'
    twice = f'{{"x": {other}, "deep": [{{{key}: {first}, {escaped} : {second}}}]}}'
    with pytest.raises(BodyError) as caught:
        parse_body(twice.encode())
    assert caught.value.code in {"duplicate_key", "invalid_json"}
    if caught.value.code == "invalid_json":
        assert "larger than a double" in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model" :"a","model":"\\u003ax"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"model":{"model":1},"x":0,"model":{}}',
    ],
)
def test_the_key_given_twice_is_named(raw: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        parse_body(raw)
    assert (caught.value.code, caught.value.param) == ("duplicate_key", "model")
    assert str(caught.value) == "model is given twice. Give every field once."


@pytest.mark.parametrize("name", [CANARY * 20, CANARY + "\\n", ""])
def test_a_key_that_is_long_or_odd_is_not_quoted(name: str) -> None:
    with pytest.raises(BodyError) as caught:
        parse_body(f'{{"{name}":1,"{name}":2}}'.encode())
    assert caught.value.code == "duplicate_key"
    assert caught.value.param is None
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_body"),
        (b" \r\n\t", "empty_body"),
        (b"\xef\xbb\xbf", "empty_body"),
        ('{"a":1}'.encode("utf-16"), "invalid_encoding"),
        ('{"a":1}'.encode("utf-16-le"), "invalid_encoding"),
        ('{"a":1}'.encode("utf-16-be"), "invalid_encoding"),
        ('{"a":1}'.encode("utf-32"), "invalid_encoding"),
        ('{"a":1}'.encode("utf-32-be"), "invalid_encoding"),
        (b'{"a":"\xff"}', "invalid_encoding"),
        (b'{"a":"\xed\xa0\x80"}', "invalid_encoding"),
        (b'{"a":"\\ud800"}', "invalid_json"),
        (b'{"a":"\\udc00x"}', "invalid_json"),
        (b'{"\\ud83d":1}', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":-Infinity}', "invalid_json"),
        (b'{"a":1e400}', "invalid_json"),
        (b'{"a":' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"a":01}', "invalid_json"),
        (b'{"a":1,}', "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":1}{', "invalid_json"),
        (b'{"a":"\n"}', "invalid_json"),
        (b'{"a":1', "invalid_json"),
        (b"model=a&stream=true", "invalid_json"),
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b'"text"', "invalid_type"),
        (b"7", "invalid_type"),
        (nested(MAX_LEVELS + 1), "too_deep"),
        (nested(MAX_LEVELS + 1, b'{"a":', b"}"), "too_deep"),
        (nested(1_000), "too_deep"),
        (nested(5_000), "too_deep"),
        (b'{"a":' + b"[" * 1_000_000, "too_deep"),
        (b'{"a":' * 1_000_000, "too_deep"),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(BodyError) as caught:
        parse_body(raw)
    assert caught.value.code == code
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a": ', b"}")])
def test_the_deepest_body_allowed_is_read_exactly_and_written(brackets: tuple[bytes, bytes]) -> None:
    raw = nested(MAX_LEVELS, *brackets)
    assert json.loads(dump_body(parse_body(raw))) == json.loads(raw)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_body_never_crashes_and_is_never_quoted(data: st.DataObject) -> None:
    sound = f'{{"model": "{CANARY}", "messages": [{{"role": "user", "content": "{CANARY}"}}], "n": 1.5e3}}'
    raw = bytearray(sound.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    body, error = attempt(bytes(raw))
    if error is None:
        assert body is not None
        assert exactly(dump_body(body)) == exactly(bytes(raw))
    else:
        assert CANARY not in str(error) + repr(error.args)
        assert error.__context__ is None  # orjson's error holds the document, and loggers print what is chained


MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "openai/gpt-5-mini", "messages": MESSAGES} | fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True, "max_tokens": 1, "n": 128, "stream_options": {"include_usage": True}},
        {"stream": None, "max_tokens": None, "max_completion_tokens": 2**31, "n": None, "models": None},
        {"stream_options": None, "models": ["a", "b"], "user": 5, "session_id": [], "unknown": {"a": 1}},
        {"messages": [{"role": "system"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ],
)
def test_a_sound_chat_passes(fields: dict[str, Any]) -> None:
    body = chat(**fields)
    before = dump_body(body)
    check_chat(body)
    assert dump_body(body) == before


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "invalid_type", "model"),
        ({"model": 5}, "invalid_type", "model"),
        ({"model": ["a"]}, "invalid_type", "model"),
        ({"model": ""}, "invalid_value", "model"),
        ({"model": "a" * 257}, "invalid_value", "model"),
        ({"model": "a\nb"}, "invalid_value", "model"),
        ({"model": "a\x00"}, "invalid_value", "model"),
        ({"messages": None}, "invalid_type", "messages"),
        ({"messages": "hi"}, "invalid_type", "messages"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": ["hi"]}, "invalid_type", "messages[0]"),
        ({"messages": [*MESSAGES, {"content": "x"}]}, "invalid_type", "messages[1].role"),
        ({"messages": [{"role": 1}]}, "invalid_type", "messages[0].role"),
        ({"stream": "true"}, "invalid_type", "stream"),
        ({"stream": 1}, "invalid_type", "stream"),
        ({"stream_options": True}, "invalid_type", "stream_options"),
        ({"models": "a"}, "invalid_type", "models"),
        ({"models": ["a", 1]}, "invalid_type", "models[1]"),
        ({"models": [""]}, "invalid_value", "models[0]"),
    ],
)
def test_a_wrong_type_is_named(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(BodyError) as caught:
        check_chat(chat(**fields))
    assert (caught.value.code, caught.value.param) == (code, param)
    assert str(caught.value).startswith(param)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize(
    ("literal", "code"),
    [
        ("0", "invalid_value"),
        ("-1", "invalid_value"),
        ("2147483649", "invalid_value"),
        ("18446744073709551615", "invalid_value"),
        ("18446744073709551616", "invalid_type"),
        ("9" * 100, "invalid_type"),
        ("1.0", "invalid_type"),
        ("1e3", "invalid_type"),
        ("1e308", "invalid_type"),
        ("0.10000000000000000001", "invalid_type"),
        ("true", "invalid_type"),
        ('"5"', "invalid_type"),
        ("[5]", "invalid_type"),
        ("{}", "invalid_type"),
    ],
)
def test_a_count_is_an_integer_in_its_range(name: str, literal: str, code: str) -> None:
    raw = f'{{"model": "m", "messages": [{{"role": "user"}}], "{name}": {literal}}}'
    with pytest.raises(BodyError) as caught:
        check_chat(parse_body(raw.encode()))
    assert (caught.value.code, caught.value.param) == (code, name)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_what_must_be_there_and_is_not(name: str) -> None:
    body = chat()
    del body[name]
    with pytest.raises(BodyError) as caught:
        check_chat(body)
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", name)


def test_the_text_says_what_was_wanted_and_what_came() -> None:
    with pytest.raises(BodyError, match=r"^max_tokens must be an integer of at least 1; found a string\.$"):
        check_chat(chat(max_tokens="5"))


def test_accessors() -> None:
    assert wants_usage(chat(stream_options={"include_usage": True}))
    assert not wants_usage(chat(stream_options={"include_usage": 1}))
    assert not wants_usage(chat(stream_options=None))
    assert isinstance(parse_body(b'{"a": 1e-400}')["a"], orjson.Fragment)
