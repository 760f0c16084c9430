"""Compressed answers that nobody asked for."""

import gzip
import zlib

import pytest

from proxy.providers.transport.inflate import Inflater

PIECE_BYTES = 1 << 18


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_every_size_comes_out_whole(size: int, encoding: str) -> None:
    body = bytes(n % 251 for n in range(size))
    inflater = Inflater(encoding)
    inflater.feed(gzip.compress(body) if encoding == "gzip" else zlib.compress(body))
    found = b""
    while piece := inflater.take():
        found += piece
    assert found == body
    assert inflater.ended


def test_members_that_follow_one_another_come_out_as_one() -> None:
    body = b"x" * PIECE_BYTES
    inflater = Inflater("gzip")
    inflater.feed(gzip.compress(body) + gzip.compress(body))
    found = b""
    while piece := inflater.take():
        found += piece
    assert found == body * 2
    assert inflater.ended


def test_half_an_answer_has_not_ended() -> None:
    inflater = Inflater("gzip")
    inflater.feed(gzip.compress(b"x" * 1000)[:-5])
    while inflater.take():
        pass
    assert not inflater.ended
