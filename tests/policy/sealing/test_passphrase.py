"""Copies of the ring under a passphrase: what comes back, and what does not."""

from hashlib import sha256

import pytest

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKey, MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.passphrase import ScryptCost, is_backup, unwrap_ring, wrap_ring

A, B = (MasterKey(sha256(name).digest()) for name in (b"A", b"B"))
RING = MasterRing(B, (), (A,))
CHEAP = ScryptCost(log2_n=4)
PHRASE = Secret("correct horse battery staple")


def wrapped(ring: MasterRing = RING, cost: ScryptCost = CHEAP) -> str:
    return wrap_ring(ring, PHRASE, salt=b"s" * 16, nonce=b"n" * 12, cost=cost)


def test_the_ring_comes_back_with_its_archive() -> None:
    assert is_backup(wrapped())
    assert unwrap_ring(wrapped(), PHRASE) == RING
    assert unwrap_ring(f"\n{wrapped()}\r\n", PHRASE) == RING
    assert A.as_text()[6:40] not in wrapped()


def test_the_cost_of_a_real_copy_is_what_it_says() -> None:
    text = wrap_ring(RING, PHRASE, salt=b"s" * 16, nonce=b"n" * 12)
    assert text.startswith("tkmk-backup1:17:8:1:")
    assert unwrap_ring(text, PHRASE) == RING


def test_a_wrong_passphrase_or_a_changed_copy_is_refused() -> None:
    for text, phrase in (
        (wrapped(), Secret("correct horse battery stable")),
        (wrapped().replace(":4:8:1:", ":5:8:1:"), PHRASE),
        (wrapped()[:-6] + "\n", PHRASE),
        (wrapped().replace("tkmk-backup1:4:8:1:c", "tkmk-backup1:4:8:1:d"), PHRASE),
    ):
        with pytest.raises(MasterKeyError, match="wrong, or the copy was changed"):
            unwrap_ring(text, phrase)


@pytest.mark.parametrize(
    "text", ["", "tkmk1:a:b", wrapped().replace(":4:", ":40:"), wrapped().replace(":4:8:", ":4:99:")]
)
def test_what_is_no_copy_is_refused_before_it_costs_anything(text: str) -> None:
    with pytest.raises(MasterKeyError):
        unwrap_ring(text, PHRASE)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(MasterKeyError, match="at least 8"):
        wrap_ring(RING, Secret("short"), salt=b"s" * 16, nonce=b"n" * 12)
