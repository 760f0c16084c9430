"""What the words of the ledger mean, as a person would say it in the middle of a sentence."""

from collections.abc import Mapping
from types import MappingProxyType

COST_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "provider": "the provider's own figure in its answer",
        "generation": "the provider's own figure, looked up afterwards",
        "price": "the counted tokens at the price that is known here, because the provider reports no cost",
        "reservation": "the amount set aside, because nobody can tell any more; it is not less than what was spent",
        "estimate": "the amount set aside, because the provider reports no cost and its tokens were not counted",
        "none": "no figure",
    }
)
"""By cost_source: where the figure is from."""

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "cost_rounded": "the provider's figure was finer than a pico-USD and was rounded up",
        "over_reservation": "it cost more than was set aside, and is booked in full",
        "cost_doubtful": "a cost came that cannot be one",
        "cost_unknown": "no figure came, and nothing was set aside to fall back on",
        "usage_missing": "no token counts came",
        "cost_missing": "token counts came, but no cost with them",
        "usage_not_final": "content came after the token counts, or the answer broke off behind them",
        "usage_zero": "no output was counted though content came",
        "usage_too_small": "fewer tokens were counted than the text that came can have",
        "usage_fell": "a later count was smaller than an earlier one; the greater is booked",
        "usage_part_above_whole": "a part of the tokens was more than its whole; it is booked beside it",
        "usage_total_differs": "the total is not the sum of the counts; the dearer of both is booked",
        "usage_ambiguous": "the counts can be read in two ways; the dearer is booked",
        "usage_unreadable": "something that is not a count was where one belongs",
        "price_assumed": "something was counted that has no price of its own",
        "request_price": "the cost holds the operator's own price of a request, beside what the provider charges",
        "cache_life_untold": "nobody says for how long a cache keeps what was written; the dearer price is booked",
        "crash": "the proxy was killed while the request ran",
        "client_gone": "the client hung up",
        "downgraded": "a spent limit, the operator or an alert sent it to a preset instead of what was asked for",
        "stopped": "the operator cut it off with tollkeeper stop --cut",
        "check_too_slow": "the answer was slower than the preset's checks ask for",
        "check_too_short": "the answer was shorter than the preset's checks ask for",
        "check_not_json": "the answer is not the JSON that the preset's checks ask for",
        "check_not_schema": "the answer does not match the schema of the preset's checks",
        "check_no_pattern": "the answer does not match the pattern of the preset's checks",
        "check_too_long_to_check": "the answer was too long for the preset's checks",
        "answer_broken": "the provider's answer broke off",
        "answer_failed": "the provider said that it failed, and sent no content",
        "settlement_failed": "the proxy failed while it worked out the cost, and charged all that was set aside",
        "value_clamped": "a number was larger than the ledger can hold, and is stored as the largest",
    }
)
"""By flag: what makes a row less than exact, or its answer less than whole."""

OF_THE_ANSWER: frozenset[str] = frozenset(
    {
        *("over_reservation", "crash", "client_gone", "stopped", "downgraded", "answer_broken", "answer_failed"),
        *(flag for flag in FLAGS if flag.startswith("check_")),
    }
)
"""Flags that say something of the request or its answer, and leave the provider's own figure as exact as it is."""

OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "open": "is still under way",
        "ok": "answered",
        "not_sent": "was not sent after all",
        "crash": "was cut when the proxy was killed",
        "upstream_error": "failed with an error of the provider",
        "upstream_auth": "failed because the provider refused the key",
        "upstream_no_credits": "failed because the provider's account is out of credits",
        "upstream_redirect": "failed because the provider sent a redirect, which is not followed",
        "upstream_timeout": "failed because no answer came in time",
        "upstream_broken": "failed because the answer broke off",
        "upstream_unreachable": "failed because the provider could not be reached",
    }
)
"""By outcome of an attempt: what became of it."""


def flag_meaning(flag: str) -> str:
    """Return what a flag means; one of another version stays as it is."""
    return FLAGS.get(flag, flag)


def outcome_meaning(outcome: str) -> str:
    """Return what became of an attempt, as the end of a sentence."""
    return OUTCOMES.get(outcome, f"failed with {outcome}")
