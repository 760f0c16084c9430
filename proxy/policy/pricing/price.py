"""A price list of one model as integers, and the cost of counted tokens by it."""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from proxy.core.counts import NO_COUNTS, Counts

AUSD_PER_USD = 10**18
AUSD_PER_PUSD = 10**6
_MAX_LITERAL_CHARS = 64
_MAX_USD_EXPONENT = 3  # 1,000 USD a token is a mistake of the list, not a price


class PriceError(ValueError):
    """A price that cannot be read, or a request whose worst case no price list bounds."""


class Override(Struct, frozen=True):
    """Prices that replace some of the base while a condition holds; later matching ones win, key by key.

    Source: OpenRouter's PricingOverride: prompt tokens strictly above min_prompt_tokens, and the UTC time in
    [utc_start_min, utc_end_min), minutes of the day, which may wrap over midnight. unknown_condition stands
    for a condition that this program does not know: it may hold at any time.
    """

    rates: tuple[tuple[str, int], ...]  # names of the fields of Price, with their unit
    min_prompt_tokens: int | None = None
    utc_start_min: int | None = None
    utc_end_min: int | None = None
    unknown_condition: bool = False

    def holds(self, prompt_tokens: int, minute_utc: int | None) -> bool | None:
        """Return whether the condition is met; None if that depends on something unknown here."""
        if self.min_prompt_tokens is not None and prompt_tokens <= self.min_prompt_tokens:
            return False
        if self.utc_start_min is not None and self.utc_end_min is not None:
            if minute_utc is None:
                return None
            start, end = self.utc_start_min, self.utc_end_min
            inside = start <= minute_utc < end if start <= end else not end <= minute_utc < start
            if not inside:
                return False
        return None if self.unknown_condition else True


class _Dearest(Struct, frozen=True):
    """The highest rates of a set of prices: text input, media input, output, and flat fees.

    written_ausd is what a token costs at most that is written to a cache: where no price says it, what is charged then.
    """

    input_ausd: int
    media_input_ausd: int
    output_ausd: int
    request_pusd: int
    image_pusd: int
    written_ausd: int


_FREE = _Dearest(0, 0, 0, 0, 0, 0)

_TEXT_INPUT = ("input_ausd", "cached_ausd", "cache_write_ausd", "cache_write_1h_ausd", "other_input_ausd")
_MEDIA_INPUT = (*_TEXT_INPUT, "audio_ausd", "audio_cached_ausd", "image_token_ausd")
_OUTPUT = ("output_ausd", "reasoning_ausd", "audio_output_ausd", "image_output_ausd", "other_output_ausd")


def _dearest(rates: dict[str, int | None], base: dict[str, int | None]) -> _Dearest:
    """Return the dearest of rates; base: those that stay in force beside them."""

    def most(names: Iterable[str]) -> int:
        return max((rates.get(name) or 0 for name in names), default=0)

    return _Dearest(
        most(_TEXT_INPUT),
        most(_MEDIA_INPUT),
        most(_OUTPUT),
        most(("request_pusd",)),
        most(("image_pusd",)),
        max(_write_rates({**base, **rates})),
    )


class Price(Struct, frozen=True):
    """What one model costs. `_ausd` = atto-USD (1e-18 USD) a token, `_pusd` = pico-USD (1e-12 USD) apiece.

    None means that the list has no such price: cached and cache-writing tokens then count as input,
    reasoning as output. unpriced names what may cost money on top and has no price that bounds it.
    """

    input_ausd: int
    output_ausd: int
    cached_ausd: int | None = None
    cache_write_ausd: int | None = None
    cache_write_1h_ausd: int | None = None
    reasoning_ausd: int | None = None
    image_token_ausd: int | None = None
    image_output_ausd: int | None = None
    audio_ausd: int | None = None
    audio_cached_ausd: int | None = None
    audio_output_ausd: int | None = None
    other_input_ausd: int | None = None  # the highest unknown key that begins with input_
    other_output_ausd: int | None = None  # the highest unknown key that ends with _output
    request_pusd: int = 0
    image_pusd: int | None = None
    web_search_pusd: int | None = None
    overrides: tuple[Override, ...] = ()
    context_tokens: int | None = None
    output_max_tokens: int | None = None
    image_tokens_max: int | None = None  # set by the operator: the most tokens that one image counts as
    unpriced: tuple[str, ...] = ()
    source: str = "config"
    fee_pusd: int = 0  # the operator's own, for each request: a part of request_pusd, whatever the conditions
    takes_no_bound: bool = False  # it is asked without a maximum: the model's own is what it may cost
    output_limit_tokens: int | None = None  # the lesser of the two maxima
    base_dearest: _Dearest = _FREE
    override_dearest: tuple[tuple[int, _Dearest], ...] = ()

    def __post_init__(self) -> None:
        # Computed once: every request needs a bound, a price list changes every few minutes at
        # most.
        limits = [limit for limit in (self.context_tokens, self.output_max_tokens) if limit is not None]
        force_setattr(self, "output_limit_tokens", min(limits, default=None))
        rates = self.rates()
        force_setattr(self, "base_dearest", _dearest(rates, {}))
        reach = tuple((o.min_prompt_tokens or 0, _dearest(dict(o.rates), rates)) for o in self.overrides)
        force_setattr(self, "override_dearest", reach)

    def rates(self) -> dict[str, int | None]:
        """Return every field that is an amount of money, by name."""
        return {name: getattr(self, name) for name in RATE_FIELDS}

    @property
    def is_free(self) -> bool:
        """Return whether every listed price is zero under every condition."""
        worst = (self.base_dearest, *(d for _, d in self.override_dearest))
        return not any(d.media_input_ausd or d.output_ausd or d.request_pusd or d.image_pusd for d in worst)


RATE_FIELDS: tuple[str, ...] = (
    *(
        "input_ausd",
        "output_ausd",
        "cached_ausd",
        "cache_write_ausd",
        "cache_write_1h_ausd",
        "reasoning_ausd",
    ),
    *("image_token_ausd", "image_output_ausd", "audio_ausd", "audio_cached_ausd", "audio_output_ausd"),
    *("other_input_ausd", "other_output_ausd", "request_pusd", "image_pusd", "web_search_pusd"),
)


def with_fee(price: Price, fee_pusd: int) -> Price:
    """Return a price with what the operator asks for each request on top, under all conditions alike."""
    if not fee_pusd:
        return price
    overrides = tuple(
        replace(one, rates=tuple((name, value + fee_pusd * (name == "request_pusd")) for name, value in one.rates))
        for one in price.overrides
    )
    return replace(price, request_pusd=price.request_pusd + fee_pusd, fee_pusd=fee_pusd, overrides=overrides)


def rates_at(price: Price, prompt_tokens: int, minute_utc: int | None = None) -> dict[str, int | None]:
    """Return the rates for a prompt of this length, at this minute of the UTC day.

    Where a condition cannot be decided (minute_utc None, or a condition not known here) the dearer one
    counts.
    """
    rates = price.rates()
    for override in price.overrides:
        holds = override.holds(prompt_tokens, minute_utc)
        if holds is False:
            continue
        for name, value in override.rates:
            rates[name] = value if holds else max(value, _or_default(rates, name))
    return rates


_DEFAULT_OF = {  # what a missing price falls back to
    "cached_ausd": "input_ausd",
    "cache_write_ausd": "input_ausd",
    "cache_write_1h_ausd": "cache_write_ausd",
    "reasoning_ausd": "output_ausd",
    "audio_ausd": "input_ausd",
    "audio_cached_ausd": "cached_ausd",
    "audio_output_ausd": "output_ausd",
    "image_token_ausd": "input_ausd",
    "image_output_ausd": "output_ausd",
}

# What Anthropic asks for tokens that it writes to its cache, as a share of the price of input in percent: the only
# provider that bills them by the token without a price of their own in every list.
_WRITE_PERCENT = 125
_WRITE_1H_PERCENT = 200


def _or_default(rates: dict[str, int | None], name: str) -> int:
    value = rates.get(name)
    if value is None and name in _DEFAULT_OF:
        return _or_default(rates, _DEFAULT_OF[name])
    return value or 0


class Charge(Struct, frozen=True):
    """What counted tokens cost. is_assumed: a class has no price and was charged by that of another.

    is_untold: the lifetime of what was written to a cache is unknown, and the higher price was used.
    """

    pusd: int
    is_assumed: bool = False
    is_untold: bool = False


def cost_from_usage_pusd(
    price: Price,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    *,
    reasoning_tokens: int = 0,
    images: int = 0,
    minute_utc: int | None = None,
) -> int:
    """Return the cost in pico-USD, rounded up once, for a provider that counts tokens but reports no cost.

    input_tokens includes cached and cache-writing tokens, output_tokens includes reasoning, as OpenAI counts.
    Parts that exceed their whole count as the whole.
    """
    counts = NO_COUNTS
    if cache_write_tokens or images:
        counts = Counts(cache_write_tokens=cache_write_tokens, images=images)
    return charge(
        price, input_tokens, output_tokens, cached_tokens, reasoning_tokens, counts=counts, minute_utc=minute_utc
    ).pusd


def charge(
    price: Price,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    reasoning_tokens: int = 0,
    *,
    counts: Counts = NO_COUNTS,
    unnamed_tokens: int = 0,
    untold_life_tokens: int = 0,
    minute_utc: int | None = None,
) -> Charge:
    """Return what a usage costs, each class at its own price, rounded up once.

    counts holds parts of both wholes, as do cached and reasoning tokens. unnamed_tokens of the output cost the most
    that a token of text can cost, untold_life_tokens of those written to a cache the dearer of the two lives. Parts
    that add up to more than their whole overlap: each token is then charged at the dearest class that it may be of.
    """
    rates = rates_at(price, input_tokens, minute_utc)
    if counts is NO_COUNTS and not unnamed_tokens:
        cached, thought = min(cached_tokens, input_tokens), min(reasoning_tokens, output_tokens)
        ausd = (input_tokens - cached) * _or_default(rates, "input_ausd") + cached * _or_default(rates, "cached_ausd")
        ausd += (output_tokens - thought) * _or_default(rates, "output_ausd")
        ausd += thought * _or_default(rates, "reasoning_ausd")
        return Charge(-(-ausd // AUSD_PER_PUSD) + _or_default(rates, "request_pusd"))
    input_ausd, output_ausd = _or_default(rates, "input_ausd"), _or_default(rates, "output_ausd")
    short, long, untold = _written(counts, untold_life_tokens)
    short_ausd, long_ausd, untold_ausd = _write_rates(rates)
    read_ausd = _or_default(rates, "cached_ausd")
    if counts.audio_input_tokens:
        read_ausd = max(read_ausd, _or_default(rates, "audio_cached_ausd"))
    of_input = (
        (read_ausd, cached_tokens),
        (short_ausd, short),
        (long_ausd, long),
        (untold_ausd, untold),
        (_or_default(rates, "audio_ausd"), counts.audio_input_tokens),
        (_or_default(rates, "image_token_ausd"), counts.image_input_tokens),
    )
    thought_ausd = _or_default(rates, "reasoning_ausd")
    of_output = (
        (thought_ausd, reasoning_tokens),
        (max(input_ausd, output_ausd, thought_ausd), unnamed_tokens),
        (_or_default(rates, "audio_output_ausd"), counts.audio_output_tokens),
        (_or_default(rates, "image_output_ausd"), counts.image_output_tokens),
    )
    ausd = _parts_ausd(input_tokens, input_ausd, of_input) + _parts_ausd(output_tokens, output_ausd, of_output)
    fees_pusd = _or_default(rates, "request_pusd") + counts.images * _or_default(rates, "image_pusd")
    fees_pusd += counts.searches * _or_default(rates, "web_search_pusd")
    return Charge(
        -(-ausd // AUSD_PER_PUSD) + fees_pusd,
        is_assumed=not price.is_free and _lacks_price(rates, counts, short, long, untold),
        is_untold=untold > 0 and rates.get("cache_write_1h_ausd") is not None and untold_ausd > short_ausd,
    )


def _written(counts: Counts, untold_life_tokens: int) -> tuple[int, int, int]:
    """Return the tokens written to a cache for five minutes, for an hour, and for who knows how long."""
    long = min(counts.cache_write_1h_tokens, counts.cache_write_tokens)
    untold = min(untold_life_tokens, counts.cache_write_tokens - long)
    return counts.cache_write_tokens - long - untold, long, untold


def _write_rates(rates: dict[str, int | None]) -> tuple[int, int, int]:
    """Return what a token costs that is written to a cache for five minutes, for an hour, and for who knows how long.

    A missing price is Anthropic's share of that of input. Where the life is not told the dearer price counts, but one
    price alone is taken for that of all.
    """
    input_ausd = _or_default(rates, "input_ausd")
    short_ausd, long_ausd = rates.get("cache_write_ausd"), rates.get("cache_write_1h_ausd")
    alone = short_ausd if long_ausd is None else None
    if short_ausd is None:
        short_ausd = -(-input_ausd * _WRITE_PERCENT // 100)
    if long_ausd is None:
        long_ausd = max(short_ausd, -(-input_ausd * _WRITE_1H_PERCENT // 100))
    return short_ausd, long_ausd, max(short_ausd, long_ausd) if alone is None else alone


def _lacks_price(rates: dict[str, int | None], counts: Counts, short: int, long: int, untold: int) -> bool:
    """Return whether anything was counted that no provider bills as plain text and that has no price of its own."""
    needed = (
        (short, "cache_write_ausd"),
        (long, "cache_write_1h_ausd"),
        (counts.audio_input_tokens, "audio_ausd"),
        (counts.audio_output_tokens, "audio_output_ausd"),
        (counts.image_output_tokens, "image_output_ausd"),
        (counts.searches, "web_search_pusd"),
    )
    if any(count and rates.get(name) is None for count, name in needed):
        return True
    return untold > 0 and rates.get("cache_write_ausd") is None and rates.get("cache_write_1h_ausd") is None


def _parts_ausd(whole: int, rest_ausd: int, parts: tuple[tuple[int, int], ...]) -> int:
    """Return what a whole costs of which some parts have a rate of their own: (rate, tokens).

    Parts that are more than the whole together overlap: then the dearest are counted first, and of plain text there
    is what the greatest part leaves.
    """
    total, left = 0, whole
    if sum(tokens for _, tokens in parts) > whole:
        plain = max(0, whole - max(tokens for _, tokens in parts))
        parts = tuple(sorted((*parts, (rest_ausd, plain)), reverse=True))
    for rate, tokens in parts:
        counted = min(tokens, left)
        total += counted * rate
        left -= counted
    return total + left * rest_ausd


def usd_to_ausd(text: str) -> int:
    """Read a decimal literal in USD as atto-USD; what is finer is rounded up.

    Raises PriceError for all but a finite, non-negative decimal of at most 64 characters under 10,000 USD.
    """
    if len(text) > _MAX_LITERAL_CHARS:
        raise PriceError(f"a price of {len(text)} characters; at most {_MAX_LITERAL_CHARS} are read")
    try:
        usd = Decimal(text)
    except InvalidOperation:
        raise PriceError(f"{text!r} is not a decimal number") from None
    if not usd.is_finite() or usd < 0:
        raise PriceError(f"{text!r} is not a finite, non-negative number")
    if usd and usd.adjusted() > _MAX_USD_EXPONENT:
        raise PriceError(f"{text!r} USD for one token")
    if usd and usd.adjusted() < -_MAX_LITERAL_CHARS:
        return 1
    with localcontext() as context:
        context.prec = 3 * _MAX_LITERAL_CHARS
        return int(usd.scaleb(18).to_integral_value(rounding=ROUND_CEILING))
