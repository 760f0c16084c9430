"""In which order the targets of a route are tried, and which cannot serve the request. Pure: chance is passed in.

ordered   as configured. Targets with weights change places among themselves: which of them comes first is drawn by
          weight, the others follow as configured.
cheapest  by the price of a typical mix: three input tokens to one output token, and the fee of a request on a
          thousand tokens.
fastest   by the recent time to the first content.
balanced  by price and time together, each beside the best of the route, over the share of attempts that succeed:
              (price / cheapest + time / fastest) / (1 - error rate)
          A tenth of a second and a hundredth of a US cent per thousand tokens are added to each figure first: what
          nobody would notice decides nothing, and free models do not win by an infinite factor.

A target whose figure is not known comes after those whose is, in configured order. So that a figure is ever learnt,
fastest and balanced put one of these first in one of twenty requests. A target whose breaker is open comes last, for
the breaker itself decides when it is asked. Weights count for ordered only.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from proxy.policy.breaker import State
from proxy.policy.model_features import NOTHING_SAID, ModelFeatures
from proxy.policy.pricing.body_facts import BodyFacts
from proxy.policy.pricing.price import AUSD_PER_PUSD, AUSD_PER_USD, Price

Select = Literal["ordered", "cheapest", "fastest", "balanced"]

LEARN_SHARE = 0.05
"""The share of requests in which a target of unknown speed goes first."""

_MIX_INPUT, _MIX_OUTPUT = 750, 250  # the usual blend of three to one, for a thousand tokens
_NO_MATTER_AUSD = AUSD_PER_USD // 10_000
_NO_MATTER_MS = 100.0
# Ordinary text has 3 to 5 bytes a token, and the JSON around it fewer. At 8, what is over the context is so for sure.
_BYTES_PER_TOKEN_MOST = 8


class RequestNeeds(Struct, frozen=True):
    """What a request asks of a model. input_tokens_least is how long the prompt is at the very least."""

    tools: bool = False
    vision: bool = False
    json: bool = False
    structured: bool = False
    input_tokens_least: int = 0


class Candidate(Struct, frozen=True):
    """A target with what is known of it. latency_ms: to the first content, recently; error_rate: 0 to 1, recently."""

    name: str
    price: Price | None = None
    context_tokens: int | None = None
    supports: ModelFeatures = NOTHING_SAID
    latency_ms: float | None = None
    error_rate: float | None = None
    breaker: State = "closed"
    weight: int | None = None


class RankedTarget(NamedTuple):
    """A candidate by its position in the input, and in words why it has its place, or none."""

    position: int
    reason: str


class Order(NamedTuple):
    """placed: those to try, in order. left_out: those that cannot do the job. note: what else is to be said."""

    placed: tuple[RankedTarget, ...]
    left_out: tuple[RankedTarget, ...]
    note: str | None = None


class _Ranked(Struct, frozen=True):
    """key sorts; unknown tells that the figure it should sort by is not known."""

    position: int
    unknown: bool
    figure: float
    reason: str


def read_needs(body: Mapping[str, Any], facts: BodyFacts) -> RequestNeeds:
    """Read what a checked body of a chat completion needs."""
    asked = body.get("response_format")
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    text_bytes = facts.size_bytes - facts.data_url_bytes
    return RequestNeeds(
        bool(body.get("tools") or body.get("functions")),
        facts.images > 0,
        kind == "json_object",
        kind == "json_schema",
        text_bytes // _BYTES_PER_TOKEN_MOST,
    )


def order(select: Select, candidates: Sequence[Candidate], needs: RequestNeeds, rnd01: float) -> Order:
    """Order the candidates of a route; rnd01 is drawn from [0, 1).

    One is left out only for what the catalogue knows. If none is left, all are tried as configured: the catalogue may
    be wrong, and the provider's own refusal says more than ours.
    """
    left_out = tuple(
        RankedTarget(i, why) for i, candidate in enumerate(candidates) if (why := _cannot(candidate, needs)) is not None
    )
    out = {placed.position for placed in left_out}
    able = [i for i in range(len(candidates)) if i not in out]
    if not able:
        placed = tuple(RankedTarget(i, f"as configured, although {why}") for i, why in left_out)
        return Order(placed, (), "By the list of models no target can serve this request; all are tried as configured.")
    ranked = _by_weight(candidates, able, rnd01) if select == "ordered" else _by_figure(select, candidates, able, rnd01)
    return Order(tuple(_open_last(ranked, candidates)), left_out)


def _cannot(candidate: Candidate, needs: RequestNeeds) -> str | None:
    """Return why a candidate cannot serve the request; None if it can, or might."""
    context, supports = candidate.context_tokens, candidate.supports
    if context is not None and needs.input_tokens_least > context:
        return f"its context of {context} tokens is too small for {needs.input_tokens_least} or more"
    wants = (
        (needs.tools, supports.tools, "tools"),
        (needs.vision, supports.vision, "images"),
        (needs.json, supports.json, "a JSON response_format"),
        (needs.structured, supports.structured, "structured output"),
    )
    lacking = [name for wanted, has, name in wants if wanted and has is False]
    return f"it does not take {' and '.join(lacking)}" if lacking else None


def _by_weight(candidates: Sequence[Candidate], able: list[int], rnd01: float) -> list[RankedTarget]:
    weighted = [i for i in able if candidates[i].weight is not None and candidates[i].breaker != "open"]
    total = sum(candidates[i].weight or 0 for i in weighted)
    if total == 0:
        return [RankedTarget(i, "as configured") for i in able]
    drawn = _drawn(candidates, weighted, rnd01 * total)
    share = f"{candidates[drawn].weight} of {total}"
    order_of_weighted = iter([drawn, *(i for i in weighted if i != drawn)])
    indices = [next(order_of_weighted) if i in weighted else i for i in able]
    return [RankedTarget(i, f"drawn by weight, {share}" if i == drawn else "as configured") for i in indices]


def _drawn(candidates: Sequence[Candidate], weighted: list[int], point: float) -> int:
    reached = 0
    for i in weighted:
        reached += candidates[i].weight or 0
        if point < reached:
            return i
    return max(weighted, key=lambda i: candidates[i].weight or 0)  # rnd01 was 1


def _by_figure(select: Select, candidates: Sequence[Candidate], able: list[int], rnd01: float) -> list[RankedTarget]:
    rank = {"cheapest": _cheapest, "fastest": _fastest, "balanced": _balanced}[select]
    ranked = sorted(rank(candidates, able), key=lambda r: (r.unknown, r.figure))  # stable: ties stay as configured
    placed = [RankedTarget(r.position, r.reason) for r in ranked]
    if select == "cheapest" or rnd01 >= LEARN_SHARE:
        return placed
    unknown = [i for i in able if candidates[i].latency_ms is None and candidates[i].breaker == "closed"]
    if not unknown or len(unknown) == len(able):
        return placed
    first = unknown[int(rnd01 / LEARN_SHARE * len(unknown))]
    return [RankedTarget(first, "asked to measure its speed"), *(p for p in placed if p.position != first)]


def _cheapest(candidates: Sequence[Candidate], able: list[int]) -> list[_Ranked]:
    ranked = []
    for i in able:
        price = candidates[i].price
        ausd = 0 if price is None else mix_ausd(price)
        reason = "its price is not known" if price is None else f"{_usd(ausd)} USD per thousand tokens"
        ranked.append(_Ranked(i, price is None, ausd, reason))
    return ranked


def _fastest(candidates: Sequence[Candidate], able: list[int]) -> list[_Ranked]:
    return [_speed(i, candidates[i].latency_ms) for i in able]


def _speed(i: int, latency_ms: float | None) -> _Ranked:
    if latency_ms is None:
        return _Ranked(i, True, 0, "its speed is not known")
    return _Ranked(i, False, latency_ms, f"{latency_ms:.0f} ms to the first content")


def _balanced(candidates: Sequence[Candidate], able: list[int]) -> list[_Ranked]:
    prices = {i: mix_ausd(price) for i in able if (price := candidates[i].price) is not None}
    times = {i: ms for i in able if (ms := candidates[i].latency_ms) is not None}
    least_ausd, least_ms = min(prices.values(), default=0), min(times.values(), default=0.0)
    ranked = []
    for i in able:
        if i not in prices or i not in times:
            ranked.append(_Ranked(i, True, 0, f"its {'speed' if i in prices else 'price'} is not known"))
            continue
        cost = (prices[i] + _NO_MATTER_AUSD) / (least_ausd + _NO_MATTER_AUSD)
        time = (times[i] + _NO_MATTER_MS) / (least_ms + _NO_MATTER_MS)
        error_rate = min(max(candidates[i].error_rate or 0.0, 0.0), 0.99)
        score = (cost + time) / (1 - error_rate)
        reason = f"score {score:.2f}: {cost:.2f} x price, {time:.2f} x time, {error_rate:.0%} errors"
        ranked.append(_Ranked(i, False, score, reason))
    return ranked


def mix_ausd(price: Price) -> int:
    """Return the price of a request of 750 input and 250 output tokens, in atto-USD."""
    tokens_ausd = _MIX_INPUT * price.input_ausd + _MIX_OUTPUT * price.output_ausd
    return tokens_ausd + price.request_pusd * AUSD_PER_PUSD


def _usd(ausd: int) -> str:
    return format((Decimal(ausd) / AUSD_PER_USD).normalize(), "f")


def _open_last(placed: list[RankedTarget], candidates: Sequence[Candidate]) -> list[RankedTarget]:
    is_open = [candidates[p.position].breaker == "open" for p in placed]
    if all(is_open):
        return placed
    last = [
        RankedTarget(p.position, f"last, its breaker is open; {p.reason}")
        for p, shut in zip(placed, is_open, strict=True)
        if shut
    ]
    return [p for p, shut in zip(placed, is_open, strict=True) if not shut] + last
