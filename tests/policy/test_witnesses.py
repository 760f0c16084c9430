"""Whose requests met failures, and whether they are many."""

from proxy.policy.witnesses import HEARD_S, Witness, Witnesses


def test_witnesses_are_forgotten() -> None:
    witnesses = Witnesses()
    assert witnesses.failed(Witness("anna", 1), 0)
    assert not witnesses.failed(Witness("anna", 1), 1)
    assert witnesses.failed(Witness("ben", 1), 2)
    assert witnesses.are_many(3)
    assert not witnesses.are_many(HEARD_S + 3)
    for n in range(5000):
        witnesses.failed(Witness("anna", n), HEARD_S + 3)
    assert len(witnesses._failed_s) <= 201


def test_one_user_alone_is_not_many_while_another_is_served() -> None:
    witnesses = Witnesses()
    witnesses.served("anna", 0)
    assert all(witnesses.failed(Witness("anna", n), 1) for n in range(20))
    assert witnesses.are_many(1), "nobody else was served"
    witnesses.served("cleo", 2)
    assert not witnesses.are_many(2)
    assert witnesses.failed(Witness("ben", 0), 3), "the same words by another user are another request"
    assert witnesses.are_many(3)


def test_the_one_before_is_remembered_too() -> None:
    """Who fails may have been served last; another who was served before that still tells against it."""
    witnesses = Witnesses()
    witnesses.served("cleo", 0)
    witnesses.served("anna", 1)
    witnesses.failed(Witness("anna", 1), 2)
    witnesses.failed(Witness("anna", 2), 2)
    assert not witnesses.are_many(2)


def test_what_no_request_had_a_part_in_affects_everybody() -> None:
    witnesses = Witnesses()
    witnesses.served("cleo", 0)
    assert witnesses.failed(None, 1)
    assert witnesses.failed(None, 1), "it is no request that could be met before"
    assert witnesses.are_many(1)
    assert not witnesses.are_many(1 + HEARD_S)
