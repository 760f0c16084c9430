"""The ledger's charges in the columns of FOCUS, the FinOps Open Cost and Usage Specification: versions 1.2 and 1.4.

A row is a UTC day of one user, token, endpoint, model, use case, key and host. The ledger knows what a request cost,
and not how that divides into its tokens: what is measured is requests, and tokens stand in columns of ours (x_...).
Late truths are rows of their own, corrections billed in the month in which they became known.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import orjson
from msgspec import Struct

from proxy.core.money import pusd_to_usd
from proxy.storage.export import Chunk, csv_lines, safe_cell

FocusVersion = Literal["1.2", "1.4"]
FOCUS_VERSIONS: tuple[FocusVersion, ...] = ("1.2", "1.4")
_NAMES = {"openrouter": "OpenRouter", "openai": "OpenAI", "anthropic": "Anthropic"}  # as they write themselves
_UNKNOWN = "Unknown"  # of a name that must not be empty


class ChargeTokens(Struct, frozen=True):
    """Tokens of a charge; those of input that were cached or written to a cache, and of output that were reasoning."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0


NO_TOKENS = ChargeTokens()


class ChargeOwner(Struct, frozen=True):
    """Whose charge of what, as in the key of the roll-up."""

    user: str
    group: str
    model: str
    provider: str
    use_case: str


class FocusCharge(Struct, frozen=True):
    """A sum of requests of one time, or of corrections of them; a text is "" where there is none.

    start_ms, end_ms: when the requests began. billed_ms: an instant of the month it is billed in. requests: how many;
    None of a correction, whose reason and source say why. token, endpoint, key, key_hash, host and upstream_pusd are
    known while the rows are kept.
    """

    start_ms: int
    end_ms: int
    billed_ms: int
    whose: ChargeOwner
    cost_pusd: int
    requests: int | None
    tokens: ChargeTokens = NO_TOKENS
    token: str = ""
    endpoint: str = ""
    key: str = ""
    key_hash: str = ""
    host: str = ""
    is_byok: bool | None = None
    upstream_pusd: int | None = None
    reason: str = ""
    source: str = ""


class ChargeSlice(Struct, frozen=True):
    """Some charges, and how far through the range they reach, from 0 to 1."""

    charges: Sequence[FocusCharge]
    done: float


Cell = str | int | None


def focus_chunks(pieces: Iterable[ChargeSlice], version: FocusVersion) -> Iterator[Chunk]:
    """Yield the header, then charges as lines of CSV."""
    cells = {name: cell for name, (versions, cell) in _COLUMNS.items() if version in versions}
    yield Chunk(csv_lines([list(cells)]).encode(), 0, 0.0)
    for piece in pieces:
        lines = [[_safe(cell(charge)) for cell in cells.values()] for charge in piece.charges]
        yield Chunk(csv_lines(lines).encode(), len(lines), piece.done)


def focus_columns(version: FocusVersion) -> tuple[str, ...]:
    """Return the names of a version's columns, in their order."""
    return tuple(name for name, (versions, _) in _COLUMNS.items() if version in versions)


def _safe(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet runs; an amount below zero is no formula."""
    is_amount = isinstance(cell, str) and cell.startswith("-") and cell[1:].replace(".", "", 1).isdecimal()
    return cell if cell is None or isinstance(cell, int) or is_amount else safe_cell(cell)


def _decimal(pusd: int) -> str:
    """Return an exact amount in USD. Readers that guess a type need the point, also of whole dollars."""
    text = pusd_to_usd(pusd)
    return text if "." in text else f"{text}.0"


def _cost(charge: FocusCharge) -> Cell:
    return _decimal(charge.cost_pusd)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _month(charge: FocusCharge) -> datetime:
    return datetime.fromtimestamp(charge.billed_ms / 1000, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )


def _next_month(charge: FocusCharge) -> str:
    first = _month(charge)
    following = (
        first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
    )
    return following.strftime("%Y-%m-%dT%H:%M:%SZ")


def _provider(charge: FocusCharge) -> str:
    return _NAMES.get(charge.whose.provider, charge.whose.provider) or _UNKNOWN


def _developer(charge: FocusCharge) -> str:
    """Return who made the model: the part of its name before the slash."""
    author, slash, _ = charge.whose.model.partition("/")
    return author if slash else ""


def _account(charge: FocusCharge) -> str:
    return "/".join(part for part in (charge.whose.provider, charge.key) if part) or _UNKNOWN


def _description(charge: FocusCharge) -> str:
    what = " ".join(part for part in (charge.whose.model or "unknown model", charge.endpoint) if part)
    return f"{what}: {charge.reason or 'correction'}" if charge.requests is None else what


def _quantity(charge: FocusCharge) -> Cell:
    return None if charge.requests is None else f"{charge.requests}.0"


def _unit(charge: FocusCharge) -> Cell:
    return None if charge.requests is None else "Requests"


def _price_details(charge: FocusCharge) -> Cell:
    """Return what version 1.5 will call ModelId, ModelDeveloper and TokenDirection, as keys of ours until then.

    A request is metered in both directions, so that only embeddings, which have input alone, have a TokenDirection.
    """
    found = {"x_ModelId": charge.whose.model, "x_ModelDeveloper": _developer(charge)}
    if charge.endpoint == "embeddings":
        found["x_TokenDirection"] = "Input"
    return _json(found) if charge.whose.model else None


def _tags(charge: FocusCharge) -> Cell:
    return _json({"group": charge.whose.group, "use_case": charge.whose.use_case})


def _json(pairs: dict[str, str]) -> str:
    return orjson.dumps({name: value for name, value in pairs.items() if value}).decode()


def _tokens(name: str) -> Callable[[FocusCharge], Cell]:
    return lambda charge: None if charge.requests is None else str(getattr(charge.tokens, name))


def _constant(text: str) -> Callable[[FocusCharge], Cell]:
    return lambda _: text


_BOTH = frozenset(FOCUS_VERSIONS)
_COLUMNS: dict[str, tuple[frozenset[FocusVersion], Callable[[FocusCharge], Cell]]] = {
    "BilledCost": (_BOTH, _cost),
    "BillingAccountId": (_BOTH, _account),
    "BillingAccountName": (_BOTH, _account),
    "BillingCurrency": (_BOTH, _constant("USD")),
    "BillingPeriodEnd": (_BOTH, _next_month),
    "BillingPeriodStart": (_BOTH, lambda charge: _month(charge).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "ChargeCategory": (_BOTH, _constant("Usage")),
    "ChargeClass": (_BOTH, lambda charge: "Correction" if charge.requests is None else None),
    "ChargeDescription": (_BOTH, _description),
    "ChargeFrequency": (_BOTH, _constant("Usage-Based")),
    "ChargePeriodEnd": (_BOTH, lambda charge: _time(charge.end_ms)),
    "ChargePeriodStart": (_BOTH, lambda charge: _time(charge.start_ms)),
    "ConsumedQuantity": (_BOTH, _quantity),
    "ConsumedUnit": (_BOTH, _unit),
    "ContractedCost": (_BOTH, _cost),
    "EffectiveCost": (_BOTH, _cost),
    "HostProviderName": (frozenset({"1.4"}), lambda charge: charge.host or _provider(charge)),
    "InvoiceId": (_BOTH, lambda _: None),  # no provider tells which invoice a request is on
    "InvoiceIssuerName": (_BOTH, _provider),
    "ListCost": (_BOTH, _cost),
    "PricingQuantity": (_BOTH, _quantity),
    "PricingUnit": (_BOTH, _unit),
    "ProviderName": (frozenset({"1.2"}), _provider),
    "PublisherName": (frozenset({"1.2"}), lambda charge: _developer(charge) or _provider(charge)),
    "ServiceCategory": (_BOTH, _constant("AI and Machine Learning")),
    "ServiceName": (_BOTH, lambda charge: charge.whose.model or _UNKNOWN),
    "ServiceProviderName": (frozenset({"1.4"}), _provider),
    "ServiceSubcategory": (_BOTH, _constant("Generative AI")),
    "SkuId": (_BOTH, lambda charge: charge.whose.model or None),
    "SkuMeter": (_BOTH, lambda charge: "Requests" if charge.whose.model else None),
    "SkuPriceDetails": (_BOTH, _price_details),
    "SkuPriceId": (_BOTH, lambda charge: charge.whose.model or None),
    "SubAccountId": (_BOTH, lambda charge: charge.whose.user or None),
    "SubAccountName": (_BOTH, lambda charge: charge.whose.user or None),
    "Tags": (_BOTH, _tags),
    "x_CachedInputTokens": (_BOTH, _tokens("cached")),
    "x_CacheWriteInputTokens": (_BOTH, _tokens("cache_write")),
    "x_CorrectionSource": (_BOTH, lambda charge: charge.source or None),
    "x_CostPusd": (_BOTH, lambda charge: charge.cost_pusd),
    "x_CredentialId": (_BOTH, lambda charge: charge.token or None),
    "x_Endpoint": (_BOTH, lambda charge: charge.endpoint or None),
    "x_InputTokens": (_BOTH, _tokens("input")),
    "x_IsByok": (_BOTH, lambda charge: None if charge.is_byok is None else str(charge.is_byok).lower()),
    "x_OutputTokens": (_BOTH, _tokens("output")),
    "x_ProviderKeyHash": (_BOTH, lambda charge: charge.key_hash or None),
    "x_ReasoningTokens": (_BOTH, _tokens("reasoning")),
    "x_UpstreamCostPusd": (_BOTH, lambda charge: charge.upstream_pusd),
}
