"""Reserve for a plain chat in one step, by what its reservation shares with the last one's.

What is set aside for it depends on its length and on the maximum that it names alone. It comes to what reserve() works
out wherever every limit leaves twice of it, or more: then nothing is lowered. Where less is left, reserve() looks.
"""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED
from proxy.core.money import MAX_PUSD
from proxy.pipeline.admission.admit import likely
from proxy.pipeline.admission.reserve import QUARTER_MS, bounded, day_of_quarter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.body_shape import plain_row_maximum
from proxy.pipeline.values.plain_end import PlainEnd
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.policy.pricing import (
    NOT_PLAIN,
    BodyFacts,
    PlainTerms,
    Price,
    plain_input_tokens,
    plain_terms,
    plain_worst_case_pusd,
)
from proxy.policy.quota import NO_ROOM
from proxy.providers.model_lists import ModelLists
from proxy.providers.provider import ProviderRow
from proxy.storage.rows import OpenRow
from proxy.wire.body import dump_body

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_FIELDS = OpenRow._fields
_WHO = slice(_FIELDS.index("day"), _FIELDS.index("reserved_pusd"))
_THERE = slice(_FIELDS.index("target_provider"), None)

_NOTHING = (0, 0)

Held = tuple[Reservation, Awaitable[bool]]
"""A reservation, and what holds it; False: nothing is held."""


class PlainAdmission(Struct, eq=False):
    """What reservations of plain chats of one user on one route have in common.

    who, there: columns of OpenRow before and behind those that differ; the first is the day, which is that of a quarter
    of an hour. is_limited: limits count cost or tokens, or bound the answer. priced: provider and model of each target
    that may be charged, with its price as of so many changes of price lists. terms: of each; empty: one has no price,
    and none is needed; None: they bound nothing, or reserve() has something to say of a price.
    """

    who: tuple[Any, ...]
    there: tuple[Any, ...]
    is_limited: bool
    priced: tuple[tuple[ProviderRow, str, Price | None], ...]
    terms: tuple[PlainTerms, ...] | None
    changes: int
    quarter: int = -1
    end: PlainEnd = field(default_factory=PlainEnd)  # what the ends have in common

    def price_again(self, allowance: Allowance, lists: ModelLists) -> None:
        """Look up the prices, as some may have changed."""
        self.changes = lists.changes
        self.priced = tuple((provider, model, lists.price(provider, model)) for provider, model, _ in self.priced)
        self.terms = _terms_of(self.priced, allowance, is_limited=self.is_limited)

    def move_to(self, quarter: int, zone: ZoneInfo) -> None:
        """Enter another quarter of an hour."""
        self.quarter = quarter
        self.who = (day_of_quarter(quarter, zone), *self.who[1:])


def plain_admission(
    context: RequestContext, targets: Sequence[Target], reservation: Reservation, services: Services
) -> PlainAdmission | None:
    """Return what the next reservation has in common with this one; None where body or targets decide more."""
    columns: tuple[Any, ...] = reservation.row
    snapshot = context.snapshot
    if (
        services.live.current is not snapshot
        or context.endpoint.kind != "chat"
        or plain_row_maximum(context.body) == NOT_PLAIN
    ):
        return None
    if any(":" in target.model or "@" in target.model for target in targets):  # names that stand for features
        return None
    priced = [(snapshot.providers[one.provider], one.model) for one in targets if one.static is None]
    allowance, lists = context.identity.allowance, services.model_lists
    known = tuple((provider, model, lists.price(provider, model)) for provider, model in priced)
    is_limited = _is_limited(allowance)
    terms = _terms_of(known, allowance, is_limited=is_limited)
    return PlainAdmission(columns[_WHO], columns[_THERE], is_limited, known, terms, lists.changes)


def reserve_plain(context: RequestContext, admission: PlainAdmission, route: Route, services: Services) -> Held | None:
    """Return what reserve() would for a plain chat, and what holds it; None: it has to be worked out."""
    body, limiter = context.body, services.limiter
    if services.live.current is not context.snapshot:
        return None
    asked = plain_row_maximum(body) if context.shape is None else context.shape.maximum
    if asked == NOT_PLAIN:
        return None
    identity = context.identity
    allowance = identity.allowance
    if admission.changes != services.model_lists.changes:
        admission.price_again(allowance, services.model_lists)
    terms = admission.terms
    if terms is None:
        return None
    size_bytes, tokens, left_tokens, room = context.size_bytes, None, 0, NO_ROOM
    if admission.is_limited:
        answer_tokens = _whole_answer(terms, asked, allowance)
        if answer_tokens is None:
            return None
        if allowance.has_hard_cost or allowance.has_tokens:
            size_bytes = context.written_bytes or len(dump_body(body))
        if allowance.has_tokens:
            tokens = left_tokens = _input_tokens(terms, size_bytes) + answer_tokens
            if allowance.has_hard_tokens:
                left_tokens += answer_tokens
        if allowance.has_hard_cost or (asked is None and allowance.has_hard_tokens):
            if asked is None and (admission.priced[0][0].has_forms or services.forms.learnt):
                return None
            if asked is None or route.asked is not None:  # else it is what the client wrote
                route = bounded(context, route, answer_tokens, BodyFacts(size_bytes, asked), services)
    amount_pusd = 0 if terms else None
    for one in terms:
        cost_pusd = plain_worst_case_pusd(one, size_bytes, asked)
        if cost_pusd is None:  # nothing bounds it
            if admission.is_limited:
                return None
            amount_pusd = None
            break
        if amount_pusd is None or cost_pusd > amount_pusd:
            amount_pusd = cost_pusd
    if amount_pusd is not None and amount_pusd > MAX_PUSD:
        return None
    if admission.is_limited:
        left_pusd = 2 * amount_pusd if allowance.has_hard_cost and amount_pusd is not None else 0
        soft = likely(admission.priced[0][2], BodyFacts(size_bytes, asked)) if allowance.has_soft else _NOTHING
        room = (left_pusd, left_tokens, *soft)
    id_, now_ms, streamed = context.id, context.started_ms, body.get("stream") is True
    quarter = now_ms // QUARTER_MS
    if quarter != admission.quarter:
        admission.move_to(quarter, context.snapshot.zone)
    # some hundred instructions less than with stars
    columns = (id_, now_ms) + admission.who + (amount_pusd, tokens, int(streamed)) + admission.there  # noqa: RUF005
    row, end = _new_tuple(OpenRow, columns), admission.end
    reservation = Reservation(row, amount_pusd, route, identity, None, id_, streamed, tokens, NONE_ASKED, end)
    scopes = allowance.scopes
    if limiter.model_sets:
        scopes = limiter.with_models(scopes, route.places)
    taken = amount_pusd or 0, tokens or 0, 1, NO_PIECES
    return reservation, limiter.reserve_freely(id_, scopes, now_ms, taken, allowance.quotas, room)


def _is_limited(allowance: Allowance) -> bool:
    has_cost = allowance.has_hard_cost or allowance.has_soft
    return has_cost or allowance.has_tokens or allowance.max_tokens is not None


def _terms_of(
    priced: Iterable[tuple[ProviderRow, str, Price | None]], allowance: Allowance, *, is_limited: bool
) -> tuple[PlainTerms, ...] | None:
    """Return what bounds plain chats at the prices, as PlainAdmission has it."""
    found = []
    for _, _, price in priced:
        if price is None:
            return None if is_limited else ()
        terms = None if price.unpriced and allowance.has_hard_cost else plain_terms(price)
        if terms is None:
            return None
        found.append(terms)
    return tuple(found)


def _whole_answer(all_terms: tuple[PlainTerms, ...], asked: int | None, allowance: Allowance) -> int | None:
    """Return the longest answer of a chat, which nothing lowers but a limit without room; None: something else may."""
    tokens, most = asked, allowance.max_tokens
    if tokens is None:
        tokens = all_terms[0].output_max_tokens
        if len(all_terms) > 1 or tokens is None or not all_terms[0].output_ausd:
            return None
    for terms in all_terms:
        limit = terms.output_max_tokens
        if limit is not None and tokens > limit:
            return None
    return None if most is not None and tokens > most else tokens


def _input_tokens(all_terms: tuple[PlainTerms, ...], size_bytes: int) -> int:
    if len(all_terms) == 1:  # nearly always
        return plain_input_tokens(all_terms[0], size_bytes)
    return max(plain_input_tokens(terms, size_bytes) for terms in all_terms)
