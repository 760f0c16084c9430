"""Reserve for a plain chat in one step, by what its reservation shares with the last one's.

What is set aside for it depends on its length and on the maximum that it names alone. It comes to what reserve() works
out wherever every limit leaves twice of it, or more: then nothing is lowered. Where less is left, reserve() looks.
"""

from collections.abc import Awaitable, Mapping
from typing import Any

from msgspec import Struct

from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED
from proxy.core.money import MAX_PUSD
from proxy.pipeline.admission.admit import likely
from proxy.pipeline.admission.reserve import QUARTER_MS, bounded, day_of_quarter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route
from proxy.policy.pricing import (
    NOT_PLAIN,
    BodyFacts,
    PlainTerms,
    Price,
    plain_input_tokens,
    plain_maximum,
    plain_terms,
    plain_worst_case_pusd,
)
from proxy.policy.quota import Amounts
from proxy.storage.rows import OpenRow

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_IN_ROW = frozenset(("metadata", "session_id", "user"))  # fields of a body that go into the row
_FIELDS = OpenRow._fields
_WHO = slice(_FIELDS.index("user"), _FIELDS.index("reserved_pusd"))
_THERE = slice(_FIELDS.index("target_provider"), None)

_NOTHING = (0, 0)

Held = tuple[Reservation, Awaitable[bool]]
"""A reservation, and what holds it; False: nothing is held."""


class PlainAdmission(Struct, eq=False):
    """What reservations of plain chats of one user for one target have in common.

    who, there: columns of OpenRow before and behind those that differ. is_limited: limits count cost or tokens, or
    bound the answer. terms: made of price, which is looked up each time; None: they bound nothing, or there is none.
    """

    who: tuple[Any, ...]
    there: tuple[Any, ...]
    is_limited: bool
    price: Price | None = None
    terms: PlainTerms | None = None


def plain_admission(context: RequestContext, reservation: Reservation, services: Services) -> PlainAdmission | None:
    """Return what the next reservation has in common with this one; None where the body decides more."""
    columns: tuple[Any, ...] = reservation.row
    if services.live.current is not context.snapshot or context.endpoint.kind != "chat" or not _is_plain(context.body):
        return None
    return PlainAdmission(columns[_WHO], columns[_THERE], _is_limited(context.identity.allowance))


def reserve_plain(
    context: RequestContext, admission: PlainAdmission, place: Hop, route: Route, services: Services
) -> Held | None:
    """Return what reserve() would for a plain chat, and what holds it; None: it has to be worked out."""
    body, limiter = context.body, services.limiter
    if services.live.current is not context.snapshot or not _IN_ROW.isdisjoint(body):
        return None
    asked = plain_maximum(body, "chat")
    if asked == NOT_PLAIN:
        return None
    identity = context.identity
    allowance = identity.allowance
    price = services.model_lists.price(place.provider, place.target.model)
    if price is not admission.price:
        admission.price, admission.terms = price, _terms_of(price, allowance)
    terms = admission.terms
    if terms is None or price is None:
        return None
    size_bytes, tokens, left_pusd, left_tokens, expected = context.size_bytes, None, 0, 0, _NOTHING
    if admission.is_limited:
        answer_tokens = _whole_answer(terms, asked, allowance)
        if answer_tokens is None:
            return None
        if allowance.has_hard_cost or allowance.has_tokens:
            size_bytes = context.written_bytes
            if not size_bytes:
                return None
        if allowance.has_tokens:
            tokens = left_tokens = plain_input_tokens(terms, size_bytes) + answer_tokens
            if allowance.has_hard_tokens:
                left_tokens += answer_tokens
        if allowance.has_soft:
            expected = likely(price, BodyFacts(size_bytes, asked))
        if asked is None and (allowance.has_hard_cost or allowance.has_hard_tokens):
            if place.provider.has_forms or services.forms.learnt:
                return None
            route = bounded(context, route, answer_tokens, BodyFacts(size_bytes), services)
    amount_pusd = plain_worst_case_pusd(terms, size_bytes, asked)
    if amount_pusd is None or amount_pusd > MAX_PUSD:
        return None
    if allowance.has_hard_cost:
        left_pusd = 2 * amount_pusd
    id_, now_ms, streamed = context.id, context.started_ms, body.get("stream") is True
    day = day_of_quarter(now_ms // QUARTER_MS, context.snapshot.zone)
    columns = (id_, now_ms, day, *admission.who, amount_pusd, tokens, int(streamed), *admission.there)
    row = _new_tuple(OpenRow, columns)
    reservation = Reservation(row, amount_pusd, route, identity, None, id_, streamed, tokens, NONE_ASKED)
    amounts = _new_tuple(Amounts, (amount_pusd, tokens or 0, 1, *expected, True, NO_PIECES))
    scopes = allowance.scopes
    if limiter.model_sets:
        scopes = limiter.with_models(scopes, route.places)
    left = left_pusd, left_tokens
    return reservation, limiter.reserve_freely(id_, scopes, now_ms, amounts, allowance.quotas, left)


def _is_plain(body: Mapping[str, Any]) -> bool:
    return plain_maximum(body, "chat") != NOT_PLAIN and _IN_ROW.isdisjoint(body)


def _is_limited(allowance: Allowance) -> bool:
    has_cost = allowance.has_hard_cost or allowance.has_soft
    return has_cost or allowance.has_tokens or allowance.max_tokens is not None


def _terms_of(price: Price | None, allowance: Allowance) -> PlainTerms | None:
    """Return what bounds plain chats at a price; None: nothing does, or reserve() has something to say of it."""
    if price is None or (price.unpriced and allowance.has_hard_cost):
        return None
    return plain_terms(price)


def _whole_answer(terms: PlainTerms, asked: int | None, allowance: Allowance) -> int | None:
    """Return the longest answer of a chat, which nothing lowers but a limit without room; None: something else may."""
    limit, most = terms.output_max_tokens, allowance.max_tokens
    tokens = limit if asked is None else asked
    if tokens is None or (limit is not None and tokens > limit) or (most is not None and tokens > most):
        return None
    return None if asked is None and not terms.output_ausd else tokens
