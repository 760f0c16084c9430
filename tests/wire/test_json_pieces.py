"""A long JSON text read in pieces: the same as in one call, and no call that reads much."""

import json
import random
from typing import Any

import pytest

from proxy.wire import json_pieces
from proxy.wire.amount import NumberText, read_exactly
from proxy.wire.json_pieces import read_in_pieces

ODD = (
    *(b"", b" ", b"nul", b'"x', b"[1,", b"[1,]", b"{", b'{"a":}', b'{"a" 1}', b'{"a":1,}', b"1 2", b"[1]]", b"{1:2}"),
    *(b"[NaN,-Infinity,1e400,-0,-0.0,1E5,01]", b"[NaN,-Infinity,1e400,-0,-0.0,1E5]", b'["\xff\xfe"]', b'["\t"]'),
    *(b"\xef\xbb\xbf{}", b'{"a":1,"a":2.50}', b'["\\ud800"]', b"[" * 100_000, b'{"a":' * 100_000, b"[[[[[1.10]]]]]"),
    *(b"[" + b"9" * 65 + b"]", b'[ 1 , { "a" : [ ] } ]\n', b"0.1000", b'"text"', b"[{}, {}]", b'{"":{"":[{"":0.10}]}}'),
)


def kinds(value: Any) -> Any:
    """Return a value with the kind of everything in it: a number as it was written is no text."""
    if isinstance(value, dict):
        return {name: kinds(one) for name, one in value.items()}
    if isinstance(value, list):
        return [kinds(one) for one in value]
    return (type(value), value)


def some(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(7 if depth else 4)
    if kind == 4:
        return [some(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind > 4:
        return {chance.choice("abcü\n"): some(chance, depth - 1) for _ in range(chance.randrange(4))}
    return chance.choice([None, True, "text", 'q"\\', 7, 10**70, chance.random() * 10 ** chance.randrange(-20, 20)])


@pytest.mark.parametrize("text", ODD, ids=lambda text: repr(text[:20]))
def test_odd_texts_are_read_alike(text: bytes) -> None:
    assert kinds(read_in_pieces(text)) == kinds(read_exactly(text))


def test_any_text_is_read_alike_whole_or_cut() -> None:
    chance = random.Random(7)
    for _ in range(300):
        text = json.dumps(some(chance, 6), ensure_ascii=chance.random() < 0.5).encode()
        cut = text[: chance.randrange(len(text) + 1)]
        for one in (text, cut):
            assert kinds(read_in_pieces(one)) == kinds(read_exactly(one)), one


def test_no_call_reads_more_than_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Python's own parser runs nobody else gets the interpreter."""
    read: list[int] = []

    def noted(decoder: Any) -> Any:
        scan = json.scanner.make_scanner(decoder)

        def scan_once(text: str, at: int) -> tuple[Any, int]:
            found, end = scan(text, at)
            read.append(end - at)
            return found, end

        return scan_once

    monkeypatch.setattr(json_pieces, "make_scanner", noted)
    row = {"generation_id": "gen-1780000000-abc", "total_usage": 0.000123, "tags": [1, 2, {"a": 3}]}
    rows = [row] * 1000
    for whole in ({"data": {"data": rows, "metadata": {"truncated": False}}}, {"data": rows}, rows):
        read.clear()
        found = read_in_pieces(json.dumps(whole).encode())
        assert found == json.loads(json.dumps(whole), parse_float=NumberText)
        assert len(read) >= len(rows)
        assert max(read) <= len(json.dumps(row))
