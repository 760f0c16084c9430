"""Answers as JSON: a long list is written a part at a time, and is the same."""

import random
from typing import Any

import orjson
import pytest

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
