"""One difference in plain words: what it is, what both books have, and what follows."""

from typing import Final

from proxy.core.money import pusd_to_usd
from proxy.policy.reconciliation.day_comparison import SUM, DriftEntry
from proxy.policy.reconciliation.drift_class import BY_NAME, LOST_ROW, OTHER_KEY, UNKNOWN

_HASH_CHARS: Final = 8


def drift_sentence(entry: DriftEntry, request: str | None, key: str | None) -> str:
    """Return the sentences of a difference. request: its id as users see it; key: the name of the key, if known."""
    meaning = BY_NAME[entry.drift_class].meaning
    return f"{_subject(entry, request, key)}: {_figures(entry)}. {meaning} {_next(entry, request)}"


def _subject(entry: DriftEntry, request: str | None, key: str | None) -> str:
    if request is not None:
        named = f"request {request}"
    elif entry.generation_id is not None and entry.generation_id.startswith(SUM):
        named = "the whole day of the model"
    elif entry.generation_id is not None:
        named = f"call {entry.generation_id}"
    else:
        named = "the whole day" if not entry.model else "the whole day of the model"
    model = f" {entry.model}" if entry.model and "model" in named else f" to {entry.model}" if entry.model else ""
    if key is None and entry.key_hash:
        key = f"{entry.key_hash[:_HASH_CHARS]}…"
    return f"{named}{model}" + (f" with the key {key}" if key else "")


def _figures(entry: DriftEntry) -> str:
    sign = "+" if entry.amount_pusd > 0 else "-"
    amount = f"{sign}${pusd_to_usd(abs(entry.amount_pusd))}"
    if entry.drift_class == OTHER_KEY:
        return amount
    return f"{amount}, the ledger has {_usd(entry.booked_pusd)} and the bill {_usd(entry.billed_pusd)}"


def _usd(pusd: int) -> str:
    return f"{'-' if pusd < 0 else ''}${pusd_to_usd(abs(pusd))}"


def _next(entry: DriftEntry, request: str | None) -> str:
    each = BY_NAME[entry.drift_class]
    if entry.actual_pusd is not None:
        where = "" if each.remedy == "request" else " apart from all users"
        return f"With reconcile.apply: adjust it is booked at ${pusd_to_usd(entry.actual_pusd)}{where}."
    if entry.drift_class == UNKNOWN and request is not None and entry.billed_pusd < entry.booked_pusd:
        return (
            "The bill has less than the provider had told, or than half of what the tokens cost, and is not taken at"
            " its word. If it is right, book what the request cost in all:"
            f" tollkeeper adjustments book {request} --actual USD --reason TEXT."
        )
    if each.is_lasting:
        return "Nothing is to be booked."
    if entry.billed_pusd < 0:
        return _given_back_too_much(request)
    if entry.drift_class == UNKNOWN:
        return "Compare it with the provider's own list of calls; it is not booked by itself."
    if entry.drift_class == LOST_ROW:
        return "It may be a request that is booked already, so it is not booked by itself."
    return "The bill does not say for sure what it cost, so nothing is booked yet."


def _given_back_too_much(request: str | None) -> str:
    """Return what follows where the bill has less than nothing: it is never booked, however long it stands there."""
    text = "The bill gives back more than was charged; no call costs less than nothing, so it is not booked by itself."
    if request is None:
        return f"{text} Ask the provider."
    book = f"tollkeeper adjustments book {request} --actual 0 --reason TEXT"
    return f"{text} If all of it was given back, book that it cost nothing: {book}."
