"""Settings of providers: keys, prices, time-outs and what to do when they fail."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, Self

from proxy.config.block import DAY_S, Block, check_block, check_field, required, setting
from proxy.config.check import Otherwise
from proxy.config.diagnostic import SettingError
from proxy.config.outbound import read_proxy_url
from proxy.config.user import CostLimits, LimitsBlock, RequestLimits
from proxy.config.values import (
    BaseUrl,
    FilePath,
    Flag,
    HeaderName,
    Moment,
    Number,
    Seconds,
    SecretText,
    Text,
    Usd,
    UserName,
    Whole,
)
from proxy.core.on_spent import REFUSE
from proxy.core.secret import Secret

_FlagOrText = Annotated[Flag | Text, Otherwise("must be true or false, or text")]
NO_COST = "none"  # of cost_field: nothing that an answer says is a cost
TOKEN_PRICES = (
    *("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning"),
    *("image_input", "image_output", "audio_input", "cached_audio", "audio_output"),
)
_PUSD_PER_USD = 10**12
_AUSD_PER_TOKEN = 10**12  # 1 USD per million tokens = 1e-6 USD a token = 1e12 atto-USD a token
BASE_URLS = {"openrouter": "https://openrouter.ai/api/v1", "openai": "https://api.openai.com/v1"}
_COST_FIELD = re.compile(r"none|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+|[Xx]-[A-Za-z0-9-]+")


class PriceSettings(Block):
    """USD; tokens per million of them."""

    input: Usd = required("USD per million input tokens.", ge=0, le=10**6)
    output: Usd = required("USD per million output tokens.", ge=0, le=10**6)
    cached_input: Usd | None = setting(
        None,
        "USD per million input tokens read from the provider's cache.",
        "Without it the price of input.",
        ge=0,
        le=10**6,
    )
    cache_write: Usd | None = setting(
        None,
        "USD per million input tokens written to the provider's cache for five minutes.",
        "Without it 1.25 times the price of input, as Anthropic charges; the row is flagged.",
        ge=0,
        le=10**6,
    )
    cache_write_1h: Usd | None = setting(
        None,
        "USD per million input tokens written to the provider's cache for an hour.",
        "Without it twice the price of input, as Anthropic charges; the row is flagged.",
        ge=0,
        le=10**6,
    )
    reasoning: Usd | None = setting(
        None,
        "USD per million output tokens of reasoning.",
        "Without it the price of output.",
        ge=0,
        le=10**6,
    )
    image_input: Usd | None = setting(
        None,
        "USD per million input tokens of images.",
        "Without it the price of input.",
        ge=0,
        le=10**6,
    )
    image_output: Usd | None = setting(
        None,
        "USD per million output tokens of images.",
        "Without it the price of output; the row is flagged.",
        ge=0,
        le=10**6,
    )
    audio_input: Usd | None = setting(
        None,
        "USD per million input tokens of audio.",
        "Without it the price of input; the row is flagged.",
        ge=0,
        le=10**6,
    )
    cached_audio: Usd | None = setting(
        None,
        "USD per million input tokens of audio read from the provider's cache.",
        "Without it the price of cached input.",
        ge=0,
        le=10**6,
    )
    audio_output: Usd | None = setting(
        None,
        "USD per million output tokens of audio.",
        "Without it the price of output; the row is flagged.",
        ge=0,
        le=10**6,
    )
    request: Usd = setting(Decimal(0), "USD per request on top.", "Few providers have such a fee.", ge=0, le=10**6)
    image: Usd | None = setting(
        None, "USD per image in the request, on top.", "Most charge its tokens only.", ge=0, le=10**6
    )
    web_search: Usd | None = setting(
        None, "USD per web search that the provider counts.", "Without it none; the row is flagged.", ge=0, le=10**6
    )

    @check_field(*TOKEN_PRICES, "request", "image", "web_search")
    @classmethod
    def _exact(cls, value: Decimal | None) -> Decimal | None:
        # The twelfth decimal of USD per million tokens is one atto-USD a token, the unit of prices.
        if value is not None and value * _AUSD_PER_TOKEN % 1:
            raise SettingError("must have at most twelve decimals")
        return value

    @property
    def input_ausd(self) -> int:
        """Return the price of an input token in atto-USD (1e-18 USD)."""
        return int(self.input * _AUSD_PER_TOKEN)

    @property
    def output_ausd(self) -> int:
        return int(self.output * _AUSD_PER_TOKEN)

    @property
    def request_pusd(self) -> int:
        """Return the price of a request in pico-USD (1e-12 USD)."""
        return int(self.request * _PUSD_PER_USD)


def per_token_ausd(price: Decimal | None) -> int | None:
    """Return USD per million tokens as atto-USD per token."""
    return None if price is None else int(price * _AUSD_PER_TOKEN)


def apiece_pusd(price: Decimal | None) -> int | None:
    """Return USD as pico-USD."""
    return None if price is None else int(price * _PUSD_PER_USD)


class Attribution(Block):
    referer: Text | None = setting(
        None, "HTTP-Referer: the address of your application.", "Nothing is sent unless you say so."
    )
    title: Text | None = setting(None, "X-Title: the name of your application.", "Nothing is sent unless you say so.")


class Timeouts(Block):
    """Time-outs that differ from the provider's; those left out are the provider's."""

    connect_timeout_s: Seconds | None = setting(
        None, "Longest wait for a connection.", "The provider's.", gt=0, le=DAY_S
    )
    header_timeout_s: Seconds | None = setting(
        None, "Longest wait for the first byte of an answer.", "The provider's.", gt=0, le=DAY_S
    )
    first_token_timeout_s: Seconds | None = setting(
        None, "Longest wait for the first content of an answer.", "The provider's.", gt=0, le=DAY_S
    )
    idle_timeout_s: Seconds | None = setting(
        None, "Longest silence inside an answer.", "The provider's.", gt=0, le=DAY_S
    )
    total_timeout_s: Seconds | None = setting(
        None, "Longest time for a whole answer.", "The provider's.", gt=0, le=DAY_S
    )


class KeyLimits(LimitsBlock):
    """Limits of one key of a provider. A key that is used up is suspended until a window ends."""

    cost: CostLimits = setting((), "Money: $50/day.", "No limit.")
    requests: RequestLimits = setting((), "Requests to the provider: 1000/day.", "No limit.")

    @check_block(mode="after")
    def _are_plain(self) -> Self:
        if any(limit.models or limit.on_spent != REFUSE for limit in self.all):
            text = "have amount, window and mode alone: a key that is used up is left aside until its window ends"
            raise SettingError(text, show=False)
        return self


class ProviderKey(Block):
    """One of several keys of a provider. Those with the lowest priority number share the requests by weight."""

    name: UserName = required("What the key is called in lists and in the ledger.")
    api_key: SecretText | None = setting(None, "The key, best as ${VAR}.", "One of api_key and api_key_file is needed.")
    api_key_file: FilePath | None = setting(None, "A file that holds the key.", "As the provider's api_key_file.")
    priority: Whole = setting(
        1,
        "Keys with a higher number wait until those with a lower one cannot be used.",
        "All keys are alike.",
        ge=0,
        le=1000,
    )
    weight: Whole = setting(
        1, "Its share of the requests among keys of the same priority.", "All alike.", ge=1, le=10**6
    )
    limits: KeyLimits = setting(KeyLimits, "What may be used with it before others take over.", "No limit.")
    valid_from: Moment | None = setting(None, "When it starts being used, like 2027-01-31T00:00:00Z.", "At once.")
    valid_until: Moment | None = setting(
        None, "When it stops being used. Two keys whose times overlap change over without a gap.", "Never."
    )

    @check_block(mode="after")
    def _has_a_time(self) -> Self:
        if self.valid_from is not None and self.valid_until is not None and self.valid_from >= self.valid_until:
            raise SettingError("ends before it begins", key="valid_until", show=False)
        return self


class BreakerSettings(Block):
    """When a provider, or one of its models, gets no requests for a while because it fails."""

    failures: Whole = setting(
        5, "Failures one after the other that open it.", "One or two happen to a healthy provider.", ge=1, le=10_000
    )
    error_rate_percent: Number = setting(
        Decimal(50),
        "Share of failures within window_s that opens it.",
        "Half of the requests lost is worse than none of them sent.",
        gt=0,
        le=100,
    )
    min_attempts: Whole = setting(
        20,
        "Attempts within window_s below which the share says nothing.",
        "Of three requests two may fail by chance.",
        ge=1,
        le=1_000_000,
    )
    window_s: Seconds = setting(60, "How far back the share looks.", "Outages last minutes.", gt=0, le=DAY_S)
    cooldown_s: Seconds = setting(
        15,
        "How long nothing is sent once it is open; then a probe is let through.",
        "Short beside an outage, long beside a restart.",
        gt=0,
        le=DAY_S,
    )
    cooldown_max_s: Seconds = setting(
        300,
        "The longest such time: it doubles with each probe that fails.",
        "Recovery is noticed within five minutes.",
        gt=0,
        le=DAY_S,
    )
    probes: Whole = setting(
        1, "Requests at once that test whether it works again.", "One is enough to know.", ge=1, le=100
    )


class Retry(Block):
    """When a target is asked again after a failure that may be temporary."""

    attempts: Whole = setting(
        2,
        "Tries of one target, the first one included; 1: none is repeated.",
        "A second try mends most short failures; SDKs repeat on their own as well.",
        ge=1,
        le=10,
    )
    backoff_s: Seconds = setting(
        0.5,
        "Wait before the second try; it doubles with each further one, with a part drawn by chance.",
        "As OpenAI's SDKs.",
        gt=0,
        le=60,
    )
    backoff_max_s: Seconds = setting(8, "The longest such wait.", "As OpenAI's SDKs.", gt=0, le=600)
    budget_percent: Number = setting(
        Decimal(20),
        "Further tries in a minute, as a share of the requests.",
        "An outage is not multiplied: SDKs repeat as well.",
        ge=0,
        le=1000,
    )


class Provider(Block):
    kind: Literal["openrouter", "openai"] = setting(
        "openai",
        "openrouter: reports its costs and can be asked for them; openai: any server with OpenAI's API.",
        "The provider named openrouter has kind openrouter by default.",
    )
    enabled: Flag = setting(
        True,
        "false: no request goes there. Its models are refused by name, and left out of presets and lists.",
        "It stands in the file because it is used.",
    )
    base_url: BaseUrl = required(
        "Address of its API up to /v1. Optional for openrouter (https://openrouter.ai/api/v1) "
        "and openai (https://api.openai.com/v1)."
    )
    api_key: SecretText | None = setting(
        None,
        "Its key, best as ${VAR}.",
        "Local servers need none; openrouter takes OPENROUTER_API_KEY from the environment.",
    )
    api_key_file: FilePath | None = setting(
        None,
        "A file that holds the key, instead of api_key.",
        "For systemd credentials and Docker secrets; read again when it changes.",
    )
    keys: tuple[ProviderKey, ...] = setting(
        (),
        "Several keys instead of api_key, each with a name; [] where all are in the database (tollkeeper keys add).",
        "One key is the usual case.",
    )
    management_key: SecretText | None = setting(
        None,
        "A key that may read the account: OpenRouter's management key (older name: provisioning_key), an"
        " administrator's at OpenAI and Anthropic.",
        "Credits, the account's keys and the provider's bill are told to it alone; it never asks for answers."
        " openrouter takes OPENROUTER_MANAGEMENT_KEY from the environment.",
    )
    management_key_file: FilePath | None = setting(None, "A file that holds the management key.", "As api_key_file.")
    models_refresh_s: Seconds = setting(
        600,
        "How often its list of models and prices is read anew.",
        "Until a price that has risen is read, too little is set aside for requests; and OpenRouter's list may itself"
        " be five minutes old. It costs nothing to read.",
        ge=60,
        le=DAY_S,
    )
    prices: dict[str, PriceSettings] = setting(
        {},
        "Prices by model name; * stands for any text, and the first match counts.",
        "OpenRouter publishes its prices; other servers need them here, or their use is booked at no cost.",
    )
    cost_field: Text | None = setting(
        None,
        "Where answers of kind openai report the cost in USD: a path like usage.cost, or a header; none: nowhere.",
        "Known resellers by their address; elsewhere usage.cost counts for models without a price.",
    )
    connect_timeout_s: Seconds = setting(
        5,
        "Longest wait for a connection, TLS included.",
        "A healthy one takes well under a second; OpenAI's SDKs wait as long.",
        gt=0,
        le=DAY_S,
    )
    header_timeout_s: Seconds = setting(
        300,
        "Longest wait for the first byte of an answer.",
        "Half of the 600 s that OpenAI's SDKs wait: an answer from elsewhere still reaches the client.",
        gt=0,
        le=DAY_S,
    )
    first_token_timeout_s: Seconds = setting(
        300,
        "Longest wait for the first content of an answer; keep-alive comments do not count.",
        "As header_timeout_s: a model that thinks sends its thoughts, or nothing for minutes.",
        gt=0,
        le=DAY_S,
    )
    idle_timeout_s: Seconds = setting(
        120,
        "Longest silence inside an answer; keep-alive comments count as activity.",
        "OpenRouter sends a comment every few seconds; proxies on the way cut after 60 to 100 s of silence.",
        gt=0,
        le=DAY_S,
    )
    total_timeout_s: Seconds = setting(
        1800,
        "Longest time for a whole answer.",
        "Above the 600 s of SDKs, which they count per read: a stream that still brings content is not cut.",
        gt=0,
        le=DAY_S,
    )
    timeouts: dict[Text, Timeouts] = setting(
        {}, "Other time-outs by model name; * stands for any text, and the first match counts.", "The same for all."
    )
    parameters: dict[Text, dict[Text, _FlagOrText]] = setting(
        {},
        "Which of the fields that the proxy writes it accepts, by model name; * stands for any text, and the first"
        " match counts. false: not at all; a name: under that one; true: as it is.",
        "What is known about its address, and what it has refused within the last hour.",
    )
    max_concurrency: Whole | None = setting(
        None,
        "Requests that may be open at once; more wait in line, or go to the next target.",
        "No bound. A server on your own machine may need one.",
        ge=1,
        le=100_000,
    )
    queue_max: Whole = setting(
        100,
        "Requests that may wait in line where max_concurrency is set.",
        "More would wait too long.",
        ge=0,
        le=100_000,
    )
    queue_timeout_s: Seconds = setting(
        10, "Longest wait in line.", "After that another target, or the client's own retry, is better.", ge=0, le=DAY_S
    )
    breaker: BreakerSettings = setting(BreakerSettings, "When it gets no requests because it fails.")
    retry: Retry = setting(Retry, "When a failed request is tried again there.")
    on_disconnect: Literal["auto", "drain", "abort"] = setting(
        "auto",
        "When the client hangs up: drain reads the answer to its end for an exact cost, abort cancels it.",
        "auto cancels where that stops the bill and drains where it does not.",
    )
    headers: dict[HeaderName, SecretText] = setting(
        {},
        "Further headers for each call to this provider. Their values are kept secret like keys.",
        "Most need none.",
    )
    auth: Literal["bearer", "x-api-key", "api-key"] | None = setting(
        None,
        "How its keys are sent: Authorization: Bearer, or the header x-api-key (Anthropic) or api-key (Azure).",
        "x-api-key to api.anthropic.com, api-key to Azure's addresses, bearer to all others.",
    )
    proxy: SecretText | None = setting(
        None,
        "The HTTP proxy through which it is reached, http://user:password@host:port, or none.",
        "The one that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name, as for other tools.",
    )
    ca_file: FilePath | None = setting(
        None,
        "A file of certificates (PEM) that are trusted in addition to the system's.",
        "For servers with a certificate of their own, and networks that replace certificates.",
    )
    attribution: Attribution = setting(
        Attribution,
        "Who is calling, for providers that list applications; used where the client sent none.",
        "Off.",
    )

    @check_field("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: Secret | None) -> Secret | None:
        return None if proxy is None else Secret(read_proxy_url(proxy.reveal()))

    @check_field("cost_field")
    @classmethod
    def _is_place(cls, field: str | None) -> str | None:
        if field is None or _COST_FIELD.fullmatch(field):
            return field
        raise SettingError("must be a path like usage.cost, a header like x-litellm-response-cost, or none")

    @check_block(mode="after")
    def _has_no_field_of_its_own(self) -> Self:
        if self.kind == "openrouter" and self.cost_field is not None:
            raise SettingError(
                "is for kind openai", "OpenRouter tells the cost in usage.cost.", key="cost_field", show=False
            )
        return self

    @check_field("keys")
    @classmethod
    def _names_differ(cls, keys: tuple[ProviderKey, ...]) -> tuple[ProviderKey, ...]:
        names = [key.name for key in keys]
        twins = {name for name in names if names.count(name) > 1}
        if twins:
            raise SettingError(f"has two keys named {min(twins)}", show=False)
        return keys


def with_kind(name: object, block: object) -> object:
    """Fill in what the name of a provider says: its kind and the address of the two that everybody means."""
    if isinstance(block, Provider):
        return block
    if block is None:
        block = {}
    if not isinstance(block, Mapping):
        return block
    filled = {key: value for key, value in block.items() if key not in ("kind", "base_url") or value is not None}
    filled.setdefault("kind", "openrouter" if name == "openrouter" else "openai")
    url = default_base_url(name, filled["kind"])
    if url is not None:
        filled.setdefault("base_url", url)
    return filled


def default_base_url(name: object, kind: object) -> str | None:
    """Return a provider's default address, or None if one must be configured."""
    if kind == "openrouter" or name == "openai":
        return BASE_URLS[str(kind)] if kind in BASE_URLS else None
    return None


def split_target(target: str, providers: Mapping[str, Provider]) -> tuple[str, str]:
    """Return (provider's name, model) of a preset's target, or of a model that a client asked for.

    The first segment counts as a provider when one has that name; else the whole is a model of the first
    provider. OpenRouter has models of its own, such as openrouter/auto; its other names are always
    maker/model, so a single segment after a provider of that kind and name is one of those. Raises
    LookupError without any provider.
    """
    first, slash, rest = target.partition("/")
    provider = providers.get(first) if slash else None
    if provider is None:
        return next(iter(providers), None) or _no_provider(), target
    if first == "openrouter" and provider.kind == "openrouter" and "/" not in rest:
        return first, target
    return first, rest


def _no_provider() -> str:
    raise LookupError("no provider is configured")
