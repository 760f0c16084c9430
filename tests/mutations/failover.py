"""Bugs of failover: which target is asked next, and what a failure says of a provider."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_TAKEN_BACK = "tests/targets/test_taken_back.py::test_"
_GATEWAY = "tests/faults/test_gateway.py::test_"
_DEFAULTS = "tests/routes/test_defaults.py::test_"
_WORDS = "tests/policy/test_error_words.py::test_"
_BREAKER = "tests/policy/test_breaker.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-proof-that-is-gone-taken-for-one",
        "A plan takes a kind of request for proved whose proof was dropped: a refusal is passed on as the answer.",
        (Patch("ParameterForms.prove", "self.proved = set()", "self.proved.clear()"),),
        ("tests/targets/test_forms.py::test_names_of_models_do_not_fill_memory",),
    ),
    Mutation(
        "a-gateway-that-gave-up-is-asked-again",
        "After 502, 504 and 524 the same target gets the same request again.",
        (Patch("may_be_billed", "if proves_nothing(reading):\n    return True"),),
        (f"{_GATEWAY}u14_what_may_have_been_billed_is_not_sent_again",),
    ),
    Mutation(
        "an-error-of-unknown-words-is-free",
        "Whatever error stands in a 200 is taken for a refusal, though a model may have been at work.",
        (Patch("may_be_billed", "reading.code is None or reading.code >= 500", "False"),),
        (f"{_GATEWAY}u11_an_error_of_unknown_words_in_a_200",),
    ),
    Mutation(
        "words-in-one-shape-only",
        "An error is read where it stands under `error` as an object, and nowhere else.",
        (Patch("error_of_message", "_bare(message)", "None"),),
        (f"{_WORDS}words_in_a_200",),
    ),
    Mutation(
        "a-wait-before-the-next-target",
        "What has failed is tried again before those that were not asked yet.",
        (
            Patch(
                "Hops.next_hop",
                "self._to_another(decision) or self._to_the_same() or self._to_the_last_resort(decision)",
                "self._to_the_same() or self._to_another(decision) or self._to_the_last_resort(decision)",
            ),
        ),
        (f"{_DEFAULTS}one_overloaded_model_costs_no_wait",),
    ),
    Mutation(
        "one-user-shuts-out-all",
        "A breaker counts what one user alone meets while others are served.",
        (
            Patch(
                "Breaker.failed",
                "self._fails_too_often() and self.witnesses.are_many(now_s)",
                "self._fails_too_often() and True",
            ),
        ),
        (
            f"{_DEFAULTS}one_users_requests_take_a_provider_from_nobody",
            f"{_BREAKER}what_one_user_meets_shuts_nobody_out_who_is_served",
        ),
    ),
    Mutation(
        "a-name-takes-a-key-from-all",
        "Words that the client wrote and the provider only repeats set a key aside.",
        (Patch("decide_next", "_is_clients(decision.phrase, route)", "False"),),
        ("tests/faults/test_quoted.py::test_u13_words_of_a_request_put_no_key_aside[True]",),
    ),
    Mutation(
        "a-refusal-with-an-id-is-sent-again",
        "A request that may be billed is sent a second time, because its refusal names a field.",
        (Patch("Attempt.refused_body", "attempt_result.generation_id is not None and not is_refusal", "False"),),
        (f"{_TAKEN_BACK}what_may_be_billed_is_not_sent_again",),
    ),
)
