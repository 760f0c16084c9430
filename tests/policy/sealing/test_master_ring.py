"""Rings of master keys: their text, and which keys open what during a rotation and after it."""

import json
from hashlib import sha256

import pytest

from proxy.policy.sealing.master_key import MasterKey, MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing, read_ring

A, B, C = (MasterKey(sha256(name).digest()) for name in (b"A", b"B", b"C"))


def test_a_rotation_and_what_opens_when() -> None:
    ring = MasterRing(A).with_new(B)
    assert (ring.active, ring.find(A.id), ring.find(B.id), ring.find(C.id)) == (B, A, B, None)
    done = ring.retired()
    assert (done.active, done.find(A.id), done.is_retired(A.id), done.old) == (B, None, True, ())
    assert done.with_archive_open().find(A.id) == A
    assert done.with_archive_open().retired() == done
    assert done.forgotten() == MasterRing(B)


@pytest.mark.parametrize("ring", [MasterRing(A), MasterRing(B, (A,)), MasterRing(C, (B,), (A,))])
def test_text_and_back(ring: MasterRing) -> None:
    assert read_ring(ring.as_text()) == ring
    assert read_ring("\ufeff" + ring.as_text().replace("\n", "\r\n")) == ring


def test_the_only_key_is_one_line() -> None:
    assert MasterRing(A).as_text() == A.as_text() + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "tkmk1:abc",
        "sk-or-v1-aaaa",
        "{",
        "[]",
        "{}",
        json.dumps({"active": A.as_text(), "more": []}),
        json.dumps({"active": A.as_text(), "old": A.as_text()}),
        json.dumps({"active": A.as_text(), "old": [1]}),
        json.dumps({"active": A.as_text(), "old": [A.as_text()]}),
        json.dumps({"active": None}),
        json.dumps({"active": A.as_text(), "archive": [B.as_text()] * 101}),
    ],
)
def test_what_is_no_ring_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        read_ring(text)
    assert A.as_text()[6:40] not in str(caught.value)
