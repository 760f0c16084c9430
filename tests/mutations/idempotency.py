"""Bugs of Idempotency-Key."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_REPEATED = "tests/once/test_once.py::test_"

MUTATIONS: Final = (
    Mutation(
        "repeated-at-once",
        "A key is looked up only when its request is over: what comes meanwhile is sent and billed again.",
        (Patch("pipeline.idempotency:_joined", "services.claims.find(hashes)", "None"),),
        (f"{_REPEATED}fifty_at_once_are_one[True]",),
    ),
    Mutation(
        "keys-in-memory",
        "A restart forgets which keys came before.",
        (Patch("Recorder._open_with_claim", "await claim.write(ledger)", "pass"),),
        (f"{_REPEATED}what_is_over_is_not_done_again[True-False]",),
    ),
    Mutation(
        "retry-of-what-may-be-billed",
        "A failure frees the key, also one that the provider may have billed.",
        (Patch("repeat_of", "failed and is_free", "failed"),),
        (f"{_REPEATED}what_failed_and_may_be_billed_does_not[silent]",),
    ),
    Mutation(
        "a-failure-keeps-the-key",
        "An SDK that tries again with the same key is told of its failure for a day.",
        (Patch("repeat_of", '"anew" if failed and is_free else "over"', '"over"'),),
        (f"{_REPEATED}what_failed_and_cost_nothing_runs_anew[overloaded-False]",),
    ),
    Mutation(
        "keys-of-everybody",
        "Two users who take the same key get each other's request.",
        (Patch("hashes_of", 'f"{len(user)}:{user}{key}"', "key"),),
        (f"{_REPEATED}a_key_is_the_users_own",),
    ),
)
