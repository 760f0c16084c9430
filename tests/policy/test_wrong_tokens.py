"""Guessing a secret gets slower with each wrong one, and costs no memory."""

from proxy.policy.wrong_tokens import ADDRESSES_MAX, FORGET_S, FREE, WAIT_MAX_S, WrongTokens


def test_mistakes_are_free_and_guessing_is_not() -> None:
    wrong, now_s, tries = WrongTokens(), 0.0, 0
    while now_s < 3600:
        now_s += wrong.wait_s("a", now_s)
        wrong.wrong("a", now_s)
        tries += 1
        assert (wrong.wait_s("a", now_s) == 0) is (tries <= FREE)
        assert wrong.wait_s("a", now_s) <= WAIT_MAX_S
    assert tries < 80  # an hour of it
    assert wrong.wait_s("b", now_s) == 0
    wrong.right("a")
    assert wrong.wait_s("a", now_s) == 0


def test_it_is_forgotten() -> None:
    wrong = WrongTokens()
    for _ in range(FREE + 5):
        wrong.wrong("a", 10.0)
    wrong.wrong("a", 11.0 + FORGET_S)
    assert wrong.wait_s("a", 11.0 + FORGET_S) == 0


def test_its_memory_is_bounded() -> None:
    wrong = WrongTokens()
    for n in range(5 * ADDRESSES_MAX):
        wrong.wrong(str(n), 1.0)
    assert len(wrong) == ADDRESSES_MAX
