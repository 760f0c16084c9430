"""A chat's plain answer is read as every answer is read, only sooner: the general reader is the witness."""

import copy
import random
from typing import Any

import orjson
import pytest

from proxy.wire import plain_answer
from proxy.wire.parsed_answer import read_answer
from proxy.wire.plain_answer import read_chat_answer
from tests.support.sampling import count, seed

ANSWERS = [
    (
        b'{"id":"gen-1","object":"chat.completion","created":1793,"model":"m/n","provider":"P","choices":[{"index":0,'
        b'"finish_reason":"stop","message":{"role":"assistant","content":"Gr\xc3\xbc\xc3\x9fe \\"usage\\":"}}],"usage":'
        b'{"prompt_tokens":1200,"completion_tokens":80,"total_tokens":1280,"cost":0.000168,"is_byok":false,'
        b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"cost_details":{"upstream_inference_cost":0.000168,'
        b'"upstream_inference_prompt_cost":0.00012},"completion_tokens_details":{"reasoning_tokens":7,"image_tokens":0}}}'
    ),
    (
        b'{"id":"chatcmpl-1","choices":[{"text":"a","finish_reason":null},{"text":"b","finish_reason":"length"}],'
        b'"model":"m","usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":null,'
        b'"completion_tokens_details":{"reasoning_tokens":null}},"error":null}'
    ),
    (
        b'\n \n{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,'
        b'"cost":0,"cost_details":{"upstream_inference_cost":null}}}\n'
    ),
    (
        b'{"choices":[{}],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"cost":1.68e-4,'
        b'"prompt_tokens_details":{"cached_tokens":4},"cost_details":{"upstream_inference_cost":0.1}}}'
    ),
]
PARTS = [
    b"", b"0", b"1", b"9", b"-", b"+", b".", b"e", b"E5", b"e999", b"01", b"1.0", b"true", b"false", b"null", b"NaN",
    b'"', b"\\", b"\\u0075", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\0", b"\x80", b"\xff",
    b"{}", b"[]", b'"x"', b'"error":{"code":5},', b'"error":"",', b'"cost":0.5,', b'"usage":null,', b'"x":1,',
    b'"usage":{"cost":1},', b'"total_tokens":3,', b'"cached_tokens":12,', b'"audio_tokens":3,', b'"choices":[],',
    b'"choices":[5],', b'"id":"",', b'"id":7,', b'"model":null,', b'"finish_reason":5,', b'"is_byok":true,',
    b"9007199254740993", b"9" * 70, b"\xef\xbb\xbf",
]  # fmt: skip
VALUES: list[Any] = [None, True, False, 0, 1, -1, 12, 2**53 + 1, 2**70, 0.5, 1.0, "", "x", "0.1", [], {}, [1], {"a": 1}]


@pytest.mark.parametrize("answer", ANSWERS)
def test_plain_answers_need_no_other_reader(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    told = read_answer(answer)
    assert told is not None
    monkeypatch.setattr(plain_answer, "read_answer", lambda _: pytest.fail("it was asked"))
    assert read_chat_answer(answer) == told
    assert type(read_chat_answer(answer)) is type(told)


@pytest.mark.parametrize("answer", ANSWERS)
def test_bytes_that_differ_are_read_alike(answer: bytes) -> None:
    chance = random.Random(seed(11))
    for _ in range(count(15_000, 0.05)):
        changed = answer
        for _ in range(chance.choice((1, 1, 2, 3))):
            start = chance.randrange(len(changed) + 1)
            changed = changed[:start] + chance.choice(PARTS) + changed[start + chance.choice((0, 0, 1, 1, 4)) :]
        assert read_chat_answer(changed) == read_answer(changed), changed


@pytest.mark.parametrize("answer", ANSWERS)
def test_values_that_differ_are_read_alike(answer: bytes) -> None:
    chance = random.Random(seed(13))
    for _ in range(count(5_000, 0.1)):
        message = orjson.loads(answer)
        for _ in range(chance.choice((1, 2))):
            _change(message, chance)
        changed = orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS)
        assert read_chat_answer(changed) == read_answer(changed), changed


def _change(value: Any, chance: random.Random) -> None:
    """Put another value somewhere, or take one away."""
    inner = [
        one for one in (value.values() if isinstance(value, dict) else value) if isinstance(one, dict | list) and one
    ]
    if inner and chance.random() < 0.7:
        _change(chance.choice(inner), chance)
        return
    place = chance.choice([*value] if isinstance(value, dict) else range(len(value)))
    if chance.random() < 0.2:
        del value[place]
    else:
        other = chance.choice(VALUES)
        value[place] = copy.deepcopy(2**63 if other == 2**70 else other)  # of more, orjson writes none


@pytest.mark.parametrize(
    ("cost", "behind", "pusd", "paid_pusd"),
    [
        ("0.000168", "0.000168", 168_000_000, 168_000_000),
        ("0.0000000000001", "0.0000000000001", 1, 1),
        ("0.1", "0.10000000000000000001", 10**11, 10**11),
        ("1", "0.25", 10**12, 25 * 10**10),
        ("null", "0.25", None, 25 * 10**10),
        ("9999999999", "1", None, 10**12),
    ],
)
def test_amounts_are_those_that_were_written(cost: str, behind: str, pusd: int | None, paid_pusd: int) -> None:
    answer = (
        '{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,'
        f'"cost":{cost},"cost_details":{{"upstream_inference_cost":{behind}}}}}}}'
    ).encode()
    told = read_chat_answer(answer)
    assert told is not None
    assert told.usage is not None
    assert (told.usage.cost_pusd, told.usage.upstream_pusd) == (pusd, paid_pusd)
    assert told == read_answer(answer)


def test_an_answer_without_end_is_left_to_the_other_reader() -> None:
    deep = b'{"choices":[{"a":' + b"[" * 5000 + b"]" * 5000 + b"}]}"
    assert read_chat_answer(deep) == read_answer(deep)


def test_what_an_own_key_cost_is_a_part_of_it() -> None:
    told = read_chat_answer(ANSWERS[0].replace(b'"is_byok":false', b'"is_byok":true'))
    assert told is not None
    assert told.usage is not None
    assert (told.usage.cost_pusd, told.usage.upstream_pusd) == (336_000_000, 168_000_000)


@pytest.mark.parametrize("at", [b'"choices":', b'"finish_reason":'])
def test_an_error_is_no_plain_answer(at: bytes) -> None:
    told = read_chat_answer(ANSWERS[0].replace(at, b'"error":{"code":502},' + at, 1))
    assert told is not None
    assert (told.error_seen, told.error_code) == (True, "502")
