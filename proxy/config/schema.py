"""Every setting: its type, its default, what it does and why the default is what it is.

The models are frozen and refuse unknown names. They check one value at a time; what spans several (a group
that does not exist, two users with one token) is checked in references.py, and load.py is the door that does
both. Reading files, ``${VAR}`` and the environment happen before: here values are text, numbers and blocks.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from proxy.config.limit import MODES, Limit, parse_limit
from proxy.config.mistake import SettingError
from proxy.config.scalars import Plain, typed
from proxy.config.values import (
    BaseUrl,
    CurrencyCode,
    DatabasePath,
    FilePath,
    Flag,
    HeaderName,
    HostName,
    Moment,
    Number,
    Origin,
    PresetName,
    ProviderName,
    Seconds,
    SecretText,
    Size,
    Text,
    TokenHash,
    Usd,
    UserName,
    Whole,
    Zone,
    as_list,
    is_loopback,
)

MIB = 2**20
FOREVER = "forever"
_DAYS = re.compile(r"[1-9][0-9]{0,4}d", re.ASCII)
_DAY_S = 86_400
_AUSD_PER_TOKEN = 10**12  # 1 USD per million tokens = 1e-6 USD a token = 1e12 atto-USD a token
BASE_URLS = {"openrouter": "https://openrouter.ai/api/v1", "openai": "https://api.openai.com/v1"}
OLDER_NAMES = {"management_key": "provisioning_key"}  # OpenRouter renamed it


def setting(
    default: Any,
    help_: str,
    why: str = "",
    *,
    restart: bool = False,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """Describe a setting; restart tells that a running proxy cannot take a new value.

    A block's default is given as its class: making it here would build its checks at import, and those of each
    block once more inside the next.
    """
    notes: dict[str, Any] = {"why": why, "restart": restart}
    if isinstance(default, type):
        return Field(default_factory=default, description=help_, json_schema_extra=notes)
    return Field(default=default, description=help_, json_schema_extra=notes, ge=ge, gt=gt, le=le)


def required(help_: str, *, ge: float | None = None, le: float | None = None) -> Any:
    return Field(description=help_, json_schema_extra={"why": "", "restart": False}, ge=ge, le=le)


def _kept_for(value: object) -> str:
    if isinstance(value, str) and (value == FOREVER or _DAYS.fullmatch(value)):
        return str(value)
    raise SettingError("must be a number of days like 400d, or forever")


KeptFor = Annotated[
    str,
    BeforeValidator(_kept_for),
    WithJsonSchema({"type": "string", "pattern": r"^([1-9][0-9]{0,4}d|forever)$"}),
]


class Block(BaseModel):
    """A frozen block of settings. A name without a value takes its default."""

    model_config = ConfigDict(
        frozen=True, defer_build=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, data: object) -> object:
        if data is None:
            return {}
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}
        return data


class Server(Block):
    i_know_this_is_plain: Flag = setting(
        False,
        "Listen beyond loopback without TLS.",
        "Tokens and prompts would cross the network readable, so somebody must say that this is meant.",
    )
    host: HostName = setting(
        "127.0.0.1",
        "Address to listen on.",
        "Only this machine reaches loopback; a TLS proxy in front serves others.",
        restart=True,
    )
    port: Whole = setting(
        8787,
        "Port to listen on; 0 takes a free one.",
        "Free of well-known services.",
        restart=True,
        ge=0,
        le=65535,
    )
    hosts: tuple[HostName, ...] = setting(
        (),
        "Names that a Host header may carry besides localhost, loopback addresses and server.host.",
        "A web page can point a name of its own at 127.0.0.1; an unknown Host is answered with 421.",
    )
    origins: tuple[Origin, ...] = setting(
        (),
        "Browser origins that may call the API, like https://app.example.com.",
        "No web page may spend money by default.",
    )
    body_max_bytes: Size = setting(
        32 * MIB,
        "Largest body of a request; more is answered with 413 before it is parsed.",
        "Room for several images as data URLs, and a bound on memory for each request.",
        ge=1024,
        le=1024 * MIB,
    )
    head_timeout_s: Seconds = setting(
        10,
        "Longest wait for the head of a request.",
        "A head is one packet; half-sent ones hold a connection.",
        gt=0,
        le=_DAY_S,
    )
    body_timeout_s: Seconds = setting(
        30,
        "Longest wait for the body of a request.",
        "32 MiB in 30 s is 9 Mbit/s; slower than that is a stall.",
        gt=0,
        le=_DAY_S,
    )
    write_timeout_s: Seconds = setting(
        60,
        "Longest time that a client may leave its answer unread before it counts as gone.",
        "A laptop that slept for a moment still gets its answer; one that is gone holds nothing for long.",
        gt=0,
        le=_DAY_S,
    )
    lane: Flag = setting(
        True,
        "Answer plain chat completions on a short way of their own, which costs a fraction of the general one.",
        "Answers are the same on both ways; false is for finding out whether a fault lies there.",
        restart=True,
    )
    shutdown_timeout_s: Seconds = setting(
        120,
        "Longest wait for open requests after SIGTERM; what is left then is cut and settled.",
        "Most streams end within two minutes; systemd's unit waits as long (TimeoutStopSec).",
        ge=0,
        le=_DAY_S,
    )

    @field_validator("host")
    @classmethod
    def _beyond_loopback_is_meant(cls, host: str, info: ValidationInfo) -> str:
        if not is_loopback(host) and info.data.get("i_know_this_is_plain") is False:
            raise SettingError(
                f"{host} can be reached from other machines, and tokens would travel unencrypted",
                "Listen on 127.0.0.1 behind a proxy that speaks TLS (Caddy, nginx), "
                "or set server.i_know_this_is_plain: true.",
                show=False,
            )
        return host


class Currency(Block):
    code: CurrencyCode = setting("USD", "Currency of reports (ISO 4217).", "The ledger itself is in USD.")
    usd_rate: Number = setting(
        Decimal(1),
        "What 1 USD costs in that currency.",
        "1 because USD is the default currency.",
        gt=0,
        le=10**9,
    )


class Log(Block):
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least important level that is written.", "One line a request; debug adds one a step."
    )
    format: Literal["auto", "text", "json"] = setting(
        "auto",
        "text for people, json for machines.",
        "auto writes text on a terminal and JSON lines elsewhere.",
        restart=True,
    )


class Ledger(Block):
    settle_wait_s: Seconds = setting(
        5,
        "Longest time that the last bytes of an answer wait for a settlement that cannot be written.",
        "Long enough for a slow disk, short for a client; the settlement is tried further afterwards.",
        ge=0,
        le=600,
    )
    queue_max: Whole = setting(
        10_000,
        "Writes that may wait for the disk; beyond that new requests get 503.",
        "Some seconds of a busy proxy; a waiting row takes about a kilobyte.",
        restart=True,
        ge=10,
        le=1_000_000,
    )
    busy_timeout_s: Seconds = setting(
        5,
        "Longest wait for another program that holds the database's write lock.",
        "A shell with an open transaction is usually closed within seconds; requests wait meanwhile.",
        restart=True,
        ge=0,
        le=600,
    )
    crash_reservation: Literal["charge", "release"] = setting(
        "charge",
        "What becomes of the reservation of a request that a crash left open, if its cost cannot be learnt.",
        "It may have been billed, and no crash may free money.",
    )
    lookup_timeout_s: Seconds = setting(
        600,
        "How long the provider is asked what a broken-off request cost, before its reservation is booked.",
        "OpenRouter answers 404 at first and may need minutes; after ten it is not going to know.",
        ge=0,
        le=7 * _DAY_S,
    )


class Retention(Block):
    """What is removed from the ledger with time; sums by the hour stay for ever."""

    rows: KeptFor = setting(
        "forever",
        "How long single requests are kept, in days like 400d, or forever; their sums by the hour stay.",
        "Nothing is removed without your wish; a million requests take about 350 MB.",
    )

    @property
    def rows_days(self) -> int | None:
        """Days that rows are kept; None: for ever."""
        return None if self.rows == FOREVER else int(self.rows.removesuffix("d"))


def typed_status(value: object) -> object:
    """Give a whole number for one that was written as text, as an environment variable is."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


class Quotas(Block):
    """How limits refuse; the limits themselves stand under limits, defaults, groups and users."""

    wait_s: Seconds = setting(
        3,
        "Longest wait of a request that would fit but for reservations of other open requests.",
        "Tools that send two requests at once get both answers; a client notices no more than a slow model.",
        ge=0,
        le=60,
    )
    on_unaffordable: Literal["clamp", "refuse"] = setting(
        "clamp",
        "clamp lowers max_tokens to what a hard cost limit can still pay; refuse answers 402 instead.",
        "Clients that ask for 32000 tokens each time would be refused with most of their money left.",
    )
    budget_status: Annotated[Literal[400, 402, 429], BeforeValidator(typed_status)] = setting(
        402,
        "Status of a refusal because a budget is spent: 402, 429 or 400.",
        "402 is OpenRouter's own for no credits; hardly any client tries it again.",
    )


class Price(Block):
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
        "USD per million input tokens written to the provider's cache.",
        "Without it the price of input.",
        ge=0,
        le=10**6,
    )
    request: Usd = setting(Decimal(0), "USD per request on top.", "Few providers have such a fee.", ge=0, le=10**6)

    @field_validator("input", "output", "cached_input", "cache_write", "request")
    @classmethod
    def _exact(cls, value: Decimal | None) -> Decimal | None:
        # The twelfth decimal of USD per million tokens is one atto-USD a token, the unit of prices.
        if value is not None and value * _AUSD_PER_TOKEN % 1:
            raise SettingError("must have at most twelve decimals")
        return value

    @property
    def input_ausd(self) -> int:
        """Atto-USD (1e-18 USD) per input token."""
        return int(self.input * _AUSD_PER_TOKEN)

    @property
    def output_ausd(self) -> int:
        return int(self.output * _AUSD_PER_TOKEN)

    @property
    def cached_input_ausd(self) -> int:
        return self.input_ausd if self.cached_input is None else int(self.cached_input * _AUSD_PER_TOKEN)

    @property
    def cache_write_ausd(self) -> int:
        return self.input_ausd if self.cache_write is None else int(self.cache_write * _AUSD_PER_TOKEN)

    @property
    def request_pusd(self) -> int:
        """Pico-USD (1e-12 USD) per request."""
        return int(self.request * 10**12)


class Attribution(Block):
    referer: Text | None = setting(
        None, "HTTP-Referer: the address of your application.", "Nothing is told without your wish."
    )
    title: Text | None = setting(None, "X-Title: the name of your application.", "Nothing is told without your wish.")


class Provider(Block):
    kind: Literal["openrouter", "openai"] = setting(
        "openai",
        "openrouter: reports its costs and can be asked for them; openai: any server with OpenAI's API.",
        "The provider named openrouter is of kind openrouter without saying so.",
    )
    base_url: BaseUrl = required(
        "Address of its API up to /v1. Needs no saying for openrouter (https://openrouter.ai/api/v1) "
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
    management_key: SecretText | None = setting(
        None,
        "OpenRouter's management key (older name: provisioning_key), for its own account of what was spent.",
        "Without it the ledger is kept, but not held against the provider's figures.",
    )
    management_key_file: FilePath | None = setting(None, "A file that holds the management key.", "As api_key_file.")
    prices: dict[str, Price] = setting(
        {},
        "Prices by model name; * stands for any text, and the first that fits counts.",
        "OpenRouter tells its prices; other servers need them here, or their use is booked at no cost.",
    )
    connect_timeout_s: Seconds = setting(
        5,
        "Longest wait for a connection, TLS included.",
        "A healthy one takes well under a second; OpenAI's SDKs wait as long.",
        gt=0,
        le=_DAY_S,
    )
    header_timeout_s: Seconds = setting(
        300,
        "Longest wait for the first byte of an answer.",
        "Half of the 600 s that OpenAI's SDKs wait: an answer from elsewhere still reaches the client.",
        gt=0,
        le=_DAY_S,
    )
    idle_timeout_s: Seconds = setting(
        120,
        "Longest silence inside an answer; keep-alive comments count as life.",
        "OpenRouter sends a comment every few seconds; proxies on the way cut after 60 to 100 s of silence.",
        gt=0,
        le=_DAY_S,
    )
    total_timeout_s: Seconds = setting(
        1800,
        "Longest time for a whole answer.",
        "Above the 600 s of SDKs, which they count per read: a stream that still brings content is not cut.",
        gt=0,
        le=_DAY_S,
    )
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
    attribution: Attribution = setting(
        Attribution,
        "Who is calling, for providers that list applications; used where the client sent none.",
        "Off.",
    )

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, data: object) -> object:
        if not isinstance(data, Mapping) or "provisioning_key" not in data:
            return data
        if data.get("management_key") is not None:
            raise SettingError(
                "is the older name of management_key, which is set too",
                "Keep one.",
                key="provisioning_key",
                show=False,
            )
        renamed = {("management_key" if key == "provisioning_key" else key): value for key, value in data.items()}
        return {key: value for key, value in renamed.items() if key != "management_key" or value is not None}


def _json_value(value: object) -> Any:
    if isinstance(value, Plain):
        value = typed(value)
    if isinstance(value, Decimal):
        return float(value)  # a parameter of a model such as temperature; no money
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return str(value) if isinstance(value, str) else value


class Preset(Block):
    """A virtual model. A list of targets, or a single one, is its short form."""

    targets: Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(as_list)] = required(
        "What to call, best first: provider/model, or a model of the first provider."
    )
    defaults: dict[str, Any] = setting(
        {},
        "Fields of the request's body that are used where the client sent none.",
        "The client's own value wins.",
    )
    system: Text | None = setting(None, "A system prompt, put before the messages.", "None.")
    use_case: UserName | None = setting(
        None, "The use case that its requests are booked under.", "A header of the client's wins."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"targets": data} if isinstance(data, str | list | tuple) else data

    @field_validator("defaults", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        if isinstance(value, Mapping):
            for name in ("model", "messages", "stream"):
                if name in value:
                    raise SettingError("is the client's to say and can have no default", key=name, show=False)
        return _json_value(value) if isinstance(value, Mapping) else value


_LIMIT_FORMS: dict[str, Any] = {
    "anyOf": [
        {"type": ["string", "number"]},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["amount"],
            "properties": {
                "amount": {"type": ["string", "number"]},
                "window": {"type": "string"},
                "mode": {"enum": list(MODES)},
            },
        },
    ]
}
_ONE_OR_MORE = WithJsonSchema({"anyOf": [*_LIMIT_FORMS["anyOf"], {"type": "array", "items": _LIMIT_FORMS}]})
_Cost = Annotated[Limit, BeforeValidator(partial(parse_limit, "cost"))]
_Requests = Annotated[Limit, BeforeValidator(partial(parse_limit, "requests"))]
_Tokens = Annotated[Limit, BeforeValidator(partial(parse_limit, "tokens"))]
_Concurrency = Annotated[Limit, BeforeValidator(partial(parse_limit, "concurrency"))]


def _no_twins(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    seen = set()
    for limit in limits:
        if (limit.window, limit.mode) in seen:
            raise SettingError(
                f"has two limits over {limit.window or 'open requests'}", "Keep the lower one.", show=False
            )
        seen.add((limit.window, limit.mode))
    return limits


_LISTED = (BeforeValidator(as_list), AfterValidator(_no_twins), _ONE_OR_MORE)


class Limits(Block):
    """What may be used; each is one limit or a list, and all of them hold."""

    cost: Annotated[tuple[_Cost, ...], *_LISTED] = setting(
        (), "Money: $2/day, [$50/hour, $500/30d], $100 for all time.", "No limit."
    )
    requests: Annotated[tuple[_Requests, ...], *_LISTED] = setting((), "Requests: 60/minute.", "No limit.")
    tokens: Annotated[tuple[_Tokens, ...], *_LISTED] = setting((), "Tokens, in and out together: 1M/day.", "No limit.")
    concurrency: Annotated[tuple[_Concurrency, ...], *_LISTED] = setting((), "Requests open at once: 4.", "No limit.")

    @property
    def all(self) -> tuple[Limit, ...]:
        return (*self.cost, *self.requests, *self.tokens, *self.concurrency)


class Allowance(Block):
    """What is the same for everyone, a group and a user."""

    limits: Limits = setting(Limits, "What each of them may use.", "No limit.")
    models: Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(as_list)] | None = setting(
        None, "Models and presets that may be asked for; * stands for any text.", "All."
    )
    max_tokens: Whole | None = setting(
        None,
        "Largest max_tokens of one request; more is lowered to it.",
        "The model's own maximum.",
        ge=1,
        le=10**9,
    )


class Defaults(Allowance):
    """For each user who has no value of their own and whose group has none."""


class Group(Allowance):
    limits: Limits = setting(Limits, "What the members may use together.", "No limit.")


class Token(Block):
    """One of several tokens of a user."""

    hash: TokenHash = required("sha256: and the 64 hex digits of the token's SHA-256; kept as the digits alone.")
    name: UserName | None = setting(
        None, "What the token is called in lists and in the ledger.", "The first digits of the hash."
    )
    expires_at: Moment | None = setting(None, "When it stops to work, like 2027-01-31T00:00:00Z.", "Never.")
    disabled: Flag = setting(False, "Refuse it.", "A token works until told otherwise.")

    @property
    def label(self) -> str:
        return self.name or self.hash[:8]


class User(Allowance):
    token_hash: TokenHash | None = setting(
        None,
        "sha256: and the 64 hex digits of the SHA-256 of the user's only token.",
        "The token itself is never stored.",
    )
    token_hashes: tuple[TokenHash, ...] = setting((), "The same for several tokens.", "One is the usual case.")
    tokens: tuple[Token, ...] = setting(
        (), "The same with a name, an end or a switch for each.", "One is the usual case."
    )
    group: UserName | None = setting(None, "The group whose limits hold for this user too.", "None.")
    disabled: Flag = setting(False, "Refuse all requests of this user.", "A user is let in until told otherwise.")
    expires_at: Moment | None = setting(None, "When the user stops to be let in, like 2027-01-31T00:00:00Z.", "Never.")

    @property
    def all_tokens(self) -> tuple[Token, ...]:
        """Give every token of the user in one form."""
        plain = (self.token_hash, *self.token_hashes) if self.token_hash else self.token_hashes
        return (*(Token.model_construct(hash=digits) for digits in plain), *self.tokens)


class Settings(Block):
    server: Server = setting(Server, "How requests come in.")
    database: DatabasePath = setting(
        Path("tollkeeper.db"),
        "The ledger's file. A relative path begins at the folder of the configuration file.",
        "Beside the configuration, or in $STATE_DIRECTORY where systemd gives one.",
        restart=True,
    )
    timezone: Zone = setting(
        "UTC",
        "Where days and months begin, like Europe/Stockholm.",
        "The same on every machine.",
        restart=True,
    )
    currency: Currency = setting(Currency, "What reports show beside USD.")
    admin_token: SecretText | None = setting(
        None,
        "Opens /admin and the dashboard.",
        "Without it both are closed; the command line works by its socket.",
    )
    log: Log = setting(Log, "What is written to stderr.")
    ledger: Ledger = setting(Ledger, "How spending is put on disk.")
    retention: Retention = setting(Retention, "What is removed from the ledger with time.")
    quotas: Quotas = setting(Quotas, "How limits refuse.")
    providers: dict[ProviderName, Provider] = setting(
        {},
        "Where answers come from, by name. Models that name no provider go to the first.",
        "openrouter, when OPENROUTER_API_KEY is set.",
    )
    presets: dict[PresetName, Preset] = setting({}, "Virtual models by name.", "None.")
    limits: Limits = setting(Limits, "What everyone may use together.", "No limit.")
    defaults: Defaults = setting(Defaults, "What holds for each user.", "No limit.")
    groups: dict[UserName, Group] = setting({}, "Users who share limits, by name.", "None.")
    users: dict[UserName, User] = setting({}, "Who may call, by name. Further users may live in the database.", "None.")

    @field_validator("providers", mode="before")
    @classmethod
    def _known_by_name(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: _with_kind(name, block) for name, block in value.items()}


def _with_kind(name: object, block: object) -> object:
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
    """Give the address that a provider has without saying so, or None where it must be written."""
    if kind == "openrouter" or name == "openai":
        return BASE_URLS[str(kind)] if kind in BASE_URLS else None
    return None


def split_target(target: str, providers: Mapping[str, Provider]) -> tuple[str, str]:
    """Give (provider's name, model) of a preset's target or of a model that a client asked for.

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
