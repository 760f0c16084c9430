"""Answers as JSON: a long list is written a part at a time, and is the same."""

import json
import random
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
from pydantic import BaseModel

from proxy.web.admin import json_bytes as written
from proxy.web.admin.etag import etag_of
from proxy.web.admin.json_bytes import json_bytes, json_of_many


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_a_list_in_parts_is_the_list(count: int) -> None:
    chance = random.Random(count)
    entries = [{"b": chance.random(), "a": ("x", chance.randrange(9)), "text": "],[ü"} for _ in range(count)]
    assert json_bytes({"rows": json_of_many(iter(entries)), "n": 1}) == json_bytes({"rows": entries, "n": 1})
    assert etag_of({"rows": json_of_many(entries)}) == etag_of({"rows": json_of_many(entries)})
    if count:
        other = [{**entries[0], "text": "other"}, *entries[1:]]
        assert etag_of({"rows": json_of_many(entries)}) != etag_of({"rows": json_of_many(other)})


def test_no_call_writes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """While orjson writes nobody else gets the interpreter."""
    sizes: list[int] = []

    def noted(data: Any, option: int = 0) -> bytes:
        sizes.append(len(data))
        return orjson.dumps(data, option=option)

    monkeypatch.setattr(written, "json_bytes", noted)
    json_of_many({"n": n} for n in range(1000))
    assert sum(sizes) == 1000
    assert max(sizes) <= 200


def test_sums_of_more_than_64_bits_are_written() -> None:
    row = Pair(2**63, 2**70)
    large = {"total": -(2**80), "b": 1, "rows": json_of_many([row, Model(pusd=2**90)]), "a": MappingProxyType({"x": 0})}
    text = json_bytes(large)
    assert json.loads(text) == {"total": -(2**80), "b": 1, "rows": [[2**63, 2**70], {"pusd": 2**90}], "a": {"x": 0}}
    assert etag_of(large) == etag_of(dict(reversed(large.items())))
    assert msgspec.json.decode(text)["total"] == -(2**80)  # as the pages read it
    with pytest.raises(TypeError):
        json_bytes({"n": 2**70, "odd": object()})


class Pair(NamedTuple):
    low: int
    high: int


class Model(BaseModel):
    pusd: int
