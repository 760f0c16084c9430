"""The most that a request can cost, before it is sent; and the output length that a budget can pay."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from proxy.policy.pricing.body_facts import BodyFacts
from proxy.policy.pricing.price import AUSD_PER_PUSD, Price, PriceError

# A token covers at least one byte of the body, but some text is added at the provider: a chat template with a
# default system prompt (about 70 tokens for gpt-oss), and for tools an instruction on how to call them
# (up to 530 tokens for Claude). Short bodies would not cover that.
TEMPLATE_TOKENS = 256
TOOLS_TOKENS = 1024

FLOOR_TOKENS = 256  # a shorter answer helps nobody who did not ask for it
THINKING_TOKENS = 1024  # the least thinking of models that are told an effort, not a length


def floor_tokens(facts: BodyFacts) -> int:
    """Return the shortest answer that a limit may lower a request to."""
    return max(FLOOR_TOKENS + (THINKING_TOKENS if facts.thinks else 0), facts.min_output_tokens)


class UnboundedError(PriceError):
    """No price list bounds this request: the text names the missing limit."""


_Terms = tuple[int, int, int | None]
"""One target's bound as a function of the output length: fixed_pusd, output_ausd for one token in each of the choices,
and output_max_tokens. It is fixed_pusd + output tokens times output_ausd; a plain tuple, for each request makes one."""


def _cost_pusd(terms: _Terms, output_tokens: int) -> int:
    fixed_pusd, output_ausd, output_max_tokens = terms
    return fixed_pusd - (-_capped(output_tokens, output_max_tokens) * output_ausd // AUSD_PER_PUSD)


def _affordable_tokens(terms: _Terms, budget_pusd: int) -> int | None:
    """Return the greatest output length that the budget pays for; None: any; -1: not even an empty output."""
    fixed_pusd, output_ausd, _ = terms
    left_pusd = budget_pusd - fixed_pusd
    if left_pusd < 0:
        return -1
    return left_pusd * AUSD_PER_PUSD // output_ausd if output_ausd else None


def input_bound_tokens(price: Price, facts: BodyFacts) -> int:
    """Return the most tokens that the prompt can count as.

    Raises Unbounded where only a context length would tell, and the list has none.
    """
    context = price.context_tokens
    image_tokens = 0
    if facts.whole_context:
        if context is None:
            raise UnboundedError(f"{facts.whole_context}, and the price list has no context length")
        return context
    if facts.images:
        if price.image_tokens_max is None:
            if context is None:
                raise UnboundedError("an image, and the price list has no context length")
            return context
        image_tokens = facts.images * price.image_tokens_max
    text_bytes = facts.size_bytes - facts.data_url_bytes
    tokens = text_bytes + image_tokens + TEMPLATE_TOKENS + (TOOLS_TOKENS if facts.has_tools else 0)
    return tokens if context is None or tokens < context else context


_BYTES_PER_TOKEN = 4  # of ordinary text; a provider that counts more says how many, and is asked again


def maximum_to_write(
    price: Price, facts: BodyFacts, tokens: int, *, most: int | None = None, context: int | None = None
) -> int | None:
    """Return the bound of an answer as one target takes it: not above its maximum, and with room for the prompt.

    tokens is what a limit or a default allows; most and context are what is known of the target beside its price list.
    None: leave the bound out. That is so where the prompt may be too long to tell, and what is held covers the longest
    answer that the model gives anyway.
    """
    limits = [limit for limit in (price.output_limit_tokens, most, tokens) if limit is not None]
    wanted = min(limits)
    contexts = [length for length in (price.context_tokens, context) if length is not None]
    if not contexts:
        return wanted
    total = min(contexts)
    try:
        room = total - input_bound_tokens(price, facts)
    except UnboundedError:
        room = 0
    if room >= wanted:
        return wanted
    if room * 2 >= wanted:
        return max(room, min(facts.min_output_tokens, wanted))
    if price.output_limit_tokens is not None and tokens >= price.output_limit_tokens:
        return None
    likely = total - (facts.size_bytes - facts.data_url_bytes) // _BYTES_PER_TOKEN
    return min(wanted, max(likely, room, min(floor_tokens(facts), wanted)))


def output_limit_tokens(price: Price) -> int | None:
    """Return the model's most output tokens in one choice, by the list; None without a figure."""
    return price.output_limit_tokens


def _terms(price: Price, facts: BodyFacts) -> _Terms:
    prompt = input_bound_tokens(price, facts)
    images = facts.images
    has_media = images > 0 or facts.whole_context != ""
    dearest = price.base_dearest
    input_ausd = dearest.media_input_ausd if has_media else dearest.input_ausd
    output_ausd, request_pusd, image_pusd = dearest.output_ausd, dearest.request_pusd, dearest.image_pusd
    for min_prompt_tokens, override in price.override_dearest:
        if prompt > min_prompt_tokens:
            input_ausd = max(input_ausd, override.media_input_ausd if has_media else override.input_ausd)
            output_ausd = max(output_ausd, override.output_ausd)
            request_pusd = max(request_pusd, override.request_pusd)
            image_pusd = max(image_pusd, override.image_pusd)
    if facts.writes_cache:
        input_ausd = max(input_ausd, _written_ausd(price, prompt))
    fixed_pusd = -(-prompt * input_ausd // AUSD_PER_PUSD) + request_pusd + images * image_pusd
    if facts.has_prediction:
        # Rejected tokens of a prediction are charged as output, outside max_tokens; they are in the body.
        fixed_pusd -= -facts.size_bytes * facts.choices * output_ausd // AUSD_PER_PUSD
    if price.takes_no_bound and output_ausd and facts.generates:
        if price.output_limit_tokens is None:
            raise UnboundedError("it takes no maximum, and the price list names none")
        fixed_pusd -= -price.output_limit_tokens * output_ausd * facts.choices // AUSD_PER_PUSD
        output_ausd = 0
    return fixed_pusd, output_ausd * facts.choices if facts.generates else 0, price.output_limit_tokens


def _written_ausd(price: Price, prompt: int) -> int:
    """Return what a token of a prompt so long costs at most that is written to a cache."""
    reached = [override.written_ausd for least, override in price.override_dearest if prompt > least]
    return max(price.base_dearest.written_ausd, *reached, 0)


def worst_case_pusd(prices: Iterable[Price], facts: BodyFacts, max_output_tokens: int | None = None) -> int:
    """Return the most that the request can cost on the most expensive target of its route, in pico-USD.

    max_output_tokens is what is sent (after a clamp); without it, the client's own. A target's own maximum
    bounds it too. Raises Unbounded where neither says anything, and PriceError for a route without targets.
    """
    asked = facts.max_output_tokens if max_output_tokens is None else max_output_tokens
    worst = None
    for price in prices:
        cost, output_ausd, limit = _terms(price, facts)
        if output_ausd:
            output = limit if asked is None else asked if limit is None or asked < limit else limit
            if output is None:
                raise UnboundedError("no max_tokens in the request, and no maximum in the price list")
            if output > 0:
                cost -= -output * output_ausd // AUSD_PER_PUSD
        if worst is None or cost > worst:
            worst = cost
    if worst is None:
        raise PriceError("a route without targets has no price")
    return worst


class PlainTerms(Struct, frozen=True, gc=False):
    """What the worst case of plain chats at one price is made of, beside their length and the maximum that they name.

    context_tokens, output_max_tokens: by the price list; None: it names none. input_pusd, output_pusd: for a token,
    where both are whole pico-USD, as nearly all are; else 0.
    """

    input_ausd: int
    output_ausd: int
    request_pusd: int
    context_tokens: int | None
    output_max_tokens: int | None
    input_pusd: int = 0
    output_pusd: int = 0


def plain_terms(price: Price) -> PlainTerms | None:
    """Return the terms of plain chats (body_facts.py); None where their worst case is made of more than these."""
    if price.override_dearest or price.takes_no_bound:
        return None
    dearest = price.base_dearest
    input_pusd, of_input = divmod(dearest.input_ausd, AUSD_PER_PUSD)
    output_pusd, of_output = divmod(dearest.output_ausd, AUSD_PER_PUSD)
    if of_input or of_output:
        input_pusd = output_pusd = 0
    return PlainTerms(
        dearest.input_ausd,
        dearest.output_ausd,
        dearest.request_pusd,
        price.context_tokens,
        price.output_limit_tokens,
        input_pusd,
        output_pusd,
    )


def plain_input_tokens(terms: PlainTerms, size_bytes: int) -> int:
    """Return what input_bound_tokens() comes to for a plain chat of that size."""
    prompt = size_bytes + TEMPLATE_TOKENS
    context_tokens = terms.context_tokens
    return prompt if context_tokens is None or prompt < context_tokens else context_tokens


def plain_worst_case_pusd(terms: PlainTerms, size_bytes: int, asked: int | None) -> int | None:
    """Return what worst_case_pusd() comes to for a plain chat of that size which asks for asked output tokens.

    None: nothing bounds the answer.
    """
    prompt, context_tokens, limit = size_bytes + TEMPLATE_TOKENS, terms.context_tokens, terms.output_max_tokens
    if context_tokens is not None and prompt > context_tokens:
        prompt = context_tokens
    output = limit if asked is None or (limit is not None and asked > limit) else asked
    input_pusd, output_pusd = terms.input_pusd, terms.output_pusd
    if input_pusd and output_pusd and output is not None and output > 0:  # nearly always
        return terms.request_pusd + prompt * input_pusd + output * output_pusd
    cost_pusd = terms.request_pusd - (-prompt * terms.input_ausd // AUSD_PER_PUSD)
    if terms.output_ausd:
        if output is None:
            return None
        if output > 0:
            cost_pusd -= -output * terms.output_ausd // AUSD_PER_PUSD
    return cost_pusd


def unpriced_features(facts: BodyFacts, prices: Iterable[Price] = ()) -> list[str]:
    """Return the names of what can cost money and has no bound.

    These are plugins, server tools, service tiers, web search, and price keys that are not known here.
    """
    names = list(facts.unpriced)
    for price in prices:
        names += [name for name in price.unpriced if name not in names]
        if facts.wants_image_output and price.image_output_ausd is None and "image output" not in names:
            names.append("image output")
    return names


class ClampedOutput(Struct, frozen=True, gc=False):
    """The request fits: send max_tokens (None: leave it out, nothing is paid by it) and reserve reserve_pusd.

    lowered tells whether max_tokens is below what the client asked for and the model can give; the client is
    then told.
    """

    max_tokens: int | None
    reserve_pusd: int
    lowered: bool


class UnaffordableOutput(Struct, frozen=True):
    """It does not fit: floor_tokens of output need needed_pusd, what is left pays for affordable_tokens."""

    needed_pusd: int
    floor_tokens: int
    affordable_tokens: int


def clamp_output_tokens(
    prices: Sequence[Price],
    facts: BodyFacts,
    headroom_pusd: int,
    cap_tokens: int | None = None,
    may_lower: bool = True,
) -> ClampedOutput | UnaffordableOutput:
    """Choose the max_tokens to send so that the worst case fits into headroom_pusd.

    It is the least of what the client asked for (else the greatest maximum of a target), cap_tokens, and what
    half of the headroom pays for, so that two requests at once both pass; but not below 256 or what a thinking
    budget needs, nor below the client's own smaller figure, as long as the whole headroom pays for that. The
    number is always to be written into the body: another host of the same model may have a greater maximum than
    the list says. may_lower=False (the setting `on_over_budget: refuse`) takes all or nothing. Raises Unbounded as
    worst_case_pusd does, where no cap bounds the answer either.
    """
    all_terms = [_terms(price, facts) for price in prices]
    if not all_terms:
        raise PriceError("a route without targets has no price")
    natural = _natural_tokens(all_terms, facts.max_output_tokens, cap_tokens is not None)
    wanted = cap_tokens if natural is None else natural if cap_tokens is None else min(natural, cap_tokens)
    if wanted is None:
        reserve = max(fixed_pusd for fixed_pusd, _, _ in all_terms)
        return (
            ClampedOutput(None, reserve, lowered=False)
            if reserve <= headroom_pusd
            else UnaffordableOutput(reserve, 0, 0)
        )
    half = headroom_pusd // 2
    wanted_pusd = _bound_at(all_terms, wanted)
    if wanted_pusd <= half:  # nearly always: all of it fits
        return ClampedOutput(wanted, wanted_pusd, natural is None or wanted < natural)
    floor = min(floor_tokens(facts), wanted) if may_lower else wanted
    fits = _affordable(all_terms, headroom_pusd, wanted)
    if fits < floor:
        return UnaffordableOutput(_bound_at(all_terms, floor), floor, max(fits, 0))
    chosen = max(_affordable(all_terms, half, wanted), floor)
    return ClampedOutput(chosen, _bound_at(all_terms, chosen), lowered=natural is None or chosen < natural)


def _natural_tokens(all_terms: Sequence[_Terms], asked: int | None, is_capped: bool) -> int | None:
    """Return the output length before any lowering.

    None: none is named, and no target charges for it or a cap bounds it where the list does not.
    """
    greatest: int | None = None
    for _, output_ausd, limit in all_terms:
        if not output_ausd:
            continue
        if limit is None:
            if asked is None and not is_capped:
                raise UnboundedError("no max_tokens in the request, and no maximum in the price list")
            return None if asked is None else max(asked, 0)
        if greatest is None or limit > greatest:
            greatest = limit
    if greatest is None or asked is None:
        return greatest if asked is None else max(asked, 0)
    return max(min(asked, greatest), 0)


def _bound_at(all_terms: Sequence[_Terms], output_tokens: int) -> int:
    if len(all_terms) == 1:  # nearly always
        return _cost_pusd(all_terms[0], output_tokens)
    return max(_cost_pusd(terms, output_tokens) for terms in all_terms)


def _capped(tokens: int, limit: int | None) -> int:
    return tokens if limit is None or tokens < limit else limit


def _affordable(all_terms: Sequence[_Terms], budget_pusd: int, wanted: int) -> int:
    """Return the greatest output length up to wanted that the budget pays for on every target; -1 for none."""
    most = wanted
    for terms in all_terms:
        tokens = _affordable_tokens(terms, budget_pusd)
        limit = terms[2]
        if tokens is not None and (limit is None or tokens < limit):
            most = min(most, tokens)
    return most
