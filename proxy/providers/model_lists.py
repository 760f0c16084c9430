"""What each provider offers and at what price: from its /models, refreshed in the background, last good copy on disk.

A list that is malformed, or that moves prices more than tenfold, does not replace the last good one; what was held back
is in ``problem`` until a refresh is accepted whole. A model without a price has None, never 0.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from proxy.core.clock import Clock
from proxy.core.glob import fits
from proxy.policy.model_list import ParsedModelList, flaws_text, read_model_list
from proxy.policy.pricing import Price, PriceList, PriceMove, accept_refresh, diff_price_lists, find_price, with_fee
from proxy.policy.pricing.price_list import UNREADABLE
from proxy.providers.deadlines import Deadlines
from proxy.providers.model_facts import UNKNOWN, ModelFacts, read_model_facts
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import TransportError

log = logging.getLogger("tollkeeper.catalogue")

_DEADLINES = Deadlines(connect_s=5, header_s=30, idle_s=30, total_s=60)
_LIST_MAX_BYTES = 32 << 20  # OpenRouter's is 0.5 MB in 2026
_UNKNOWN_REFRESH_S = 30.0  # a name the list lacks makes it refresh at once, but not more often than this
_MOVES_KEPT_MS = 7 * 86_400_000
_PRICED_MAX = 1000  # names match an operator's glob as callers please, and must not fill memory
_NO_PRICES = PriceList({})


class ModelListing(Struct):
    """One provider's list as last accepted. models: id -> its JSON object in OpenAI's list shape."""

    prices: PriceList = _NO_PRICES
    models: Mapping[str, bytes] = field(default_factory=dict)
    facts: dict[str, ModelFacts] = field(default_factory=dict)  # of models that were asked for
    fetched_ms: int | None = None
    tried_s: float | None = None
    problem: str | None = None  # why the latest list is not in force, or only in part
    flaws: tuple[str, ...] = ()  # what was left out of the list in force
    moves: dict[str, "MovedPrices"] = field(default_factory=dict)  # by model, the last ones since the start


class MovedPrices(Struct, frozen=True):
    """What of a model's prices a refresh has changed, and when (epoch ms)."""

    at_ms: int
    moves: tuple[PriceMove, ...]


class ModelListsError(Exception):
    """A list that cannot be accepted; the text says why."""


class ModelLists:
    """All lists, by provider."""

    def __init__(
        self,
        folder: Path,
        database_name: str,
        clock: Clock,
        hear_date: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """Create the lists; hear_date gets the Date header of each list that comes over TLS."""
        self._folder = folder
        self._database_name = database_name
        self._clock = clock
        self._hear_date = hear_date
        self._listings: dict[str, ModelListing] = {}
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        # by provider and model, until a list changes. A request asks several times, and a hit enters no code of ours
        self.price = lru_cache(maxsize=_PRICED_MAX)(self._price)
        self.changes = 0  # of lists: a price that was asked for since the last one is the same

    def listing(self, provider: str) -> ModelListing:
        found = self._listings.get(provider)
        if found is None:
            found = self._listings[provider] = ModelListing()
        return found

    def _forget_prices(self) -> None:
        self.price.cache_clear()
        self.changes += 1

    def _price(self, provider: ProviderRow, model: str) -> Price | None:
        """Return the operator's own price for a model, else the list's, else None."""
        rules, prices = provider.rules, self.listing(provider.name).prices
        if rules is None:
            return self._listed_price(provider, prices, model)
        own = rules.price(model)
        price = (
            self._listed_price(provider, prices, model) if own is None else _bounded(own, self.facts(provider, model))
        )
        return None if price is None else with_fee(price, rules.request_pusd(model))

    def _listed_price(self, provider: ProviderRow, prices: PriceList, model: str) -> Price | None:
        for pattern, price in provider.own_prices:
            if fits(model, pattern):
                return _bounded(price, self.facts(provider, model))
        found = find_price(prices, model)
        return None if found is None else found.price

    def facts(self, provider: ProviderRow, model: str) -> ModelFacts:
        """Return what a model can do by the list; for a variant like :free what the model itself can do."""
        listing = self.listing(provider.name)
        name = model if model in listing.models else model.partition(":")[0]
        found = listing.facts.get(name)
        if found is None:
            entry = listing.models.get(name)
            if entry is None:  # the name is the caller's: it must not fill memory
                return UNKNOWN
            found = listing.facts[name] = read_model_facts(entry)
        return found

    def has(self, provider: str, model: str) -> bool:
        """Return whether a provider's list has a model by this very name."""
        listing = self._listings.get(provider)
        return listing is not None and model in listing.models

    def moved_prices(self, now_ms: int) -> dict[tuple[str, str], MovedPrices]:
        """Return the prices that moved in the last days, by provider and model."""
        return {
            (provider, model): moved
            for provider, listing in self._listings.items()
            for model, moved in listing.moves.items()
            if moved.at_ms >= now_ms - _MOVES_KEPT_MS
        }

    def names(self) -> list[str]:
        """List every model id of every list, for hints on misspelt names."""
        return [name for listing in self._listings.values() for name in listing.models]

    async def load(self, providers: Mapping[str, ProviderRow]) -> None:
        """Load the last good copies from disk, so that prices are known before the network answers."""
        for provider in providers.values():
            await asyncio.to_thread(self._load, provider)

    def _load(self, provider: ProviderRow) -> None:
        path = self._path(provider.name)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("prices.unreadable", extra={"path": str(path), "problem": error.strerror})
            return
        listing = self.listing(provider.name)
        try:
            listed = read_model_list(orjson.loads(raw))
            listing.prices, listing.facts = _prices(provider, listed), {}
            listing.models = _objects(listed)
            listing.flaws = _flaws(listed, listing.prices)
            listing.fetched_ms = int(path.stat().st_mtime * 1000)
        except (ValueError, ModelListsError) as error:
            log.warning("prices.unreadable", extra={"path": str(path), "problem": str(error)})
        finally:
            self._forget_prices()

    async def refresh(self, provider: ProviderRow) -> None:
        """Fetch the list once; several callers share one fetch. A failure keeps the old list and is noted."""
        running = self._under_way(provider.name)
        if running is None:
            running = asyncio.ensure_future(self._refresh(provider))
            self._refreshing[provider.name] = running
            running.add_done_callback(partial(self._note_ended, provider.name))
        await asyncio.shield(running)

    def _under_way(self, provider: str) -> "asyncio.Task[None] | None":
        """Return the fetch that runs; one that has just ended is still in the books, and brings nothing new."""
        running = self._refreshing.get(provider)
        return None if running is None or running.done() else running

    def _note_ended(self, provider: str, ended: "asyncio.Task[None]") -> None:
        if self._refreshing.get(provider) is ended:
            del self._refreshing[provider]

    async def refresh_for(self, provider: ProviderRow, model: str) -> Price | None:
        """Refresh because the list lacks a model, at most every half minute; give its price if it has one now.

        A refresh under way is waited for: it may bring the model.
        """
        tried = self.listing(provider.name).tried_s
        if (
            self._under_way(provider.name) is not None
            or tried is None
            or self._clock.monotonic_s() - tried >= _UNKNOWN_REFRESH_S
        ):
            await self.refresh(provider)
        return self.price(provider, model)

    async def _refresh(self, provider: ProviderRow) -> None:
        listing = self.listing(provider.name)
        listing.tried_s = self._clock.monotonic_s()
        try:
            payload = await _fetch_lists(provider, self._hear_date)
            listed = read_model_list(payload)
            fresh = _prices(provider, listed)
            moves: list[Any] = []
            if listing.prices.entries:
                fresh, moves = accept_refresh(listing.prices, fresh)
            models, flaws = _objects(listed), _flaws(listed, fresh)
            copy = orjson.dumps(payload)
        except (
            TransportError,
            ValueError,
            ModelListsError,
            orjson.JSONEncodeError,
        ) as error:  # the last: nested too deep
            if listing.problem is None:
                log.warning("prices.refresh_failed", extra={"provider": provider.name, "problem": str(error)})
            listing.problem = str(error)
            return
        _note_moves(listing, fresh, self._clock.now_ms())
        listing.prices, listing.models, listing.fetched_ms = fresh, models, self._clock.now_ms()
        listing.facts = {}
        self._forget_prices()
        if flaws and flaws != listing.flaws:
            log.warning("models.flawed", extra={"provider": provider.name, "problem": flaws_text(flaws)})
        listing.flaws = flaws
        listing.problem = f"{len(moves)} prices moved more than tenfold and are held back" if moves else None
        if moves:
            log.warning("prices.held_back", extra={"provider": provider.name, "problem": listing.problem})
            return  # the copy on disk stays the last one that was accepted whole
        await asyncio.to_thread(self._save, provider.name, copy)

    def _path(self, provider: str) -> Path:
        return self._folder / f"{self._database_name}.models-{provider}.json"

    def _save(self, provider: str, raw: bytes) -> None:
        path = self._path(provider)
        half = path.with_suffix(".half")
        try:
            half.write_bytes(raw)
            os.replace(half, path)  # noqa: PTH105 - Path.replace is the same; os names the atomic call
        except OSError as error:
            log.warning("prices.unsaved", extra={"path": str(path), "problem": error.strerror})


def _note_moves(listing: ModelListing, fresh: PriceList, now_ms: int) -> None:
    """Keep what a list that is accepted changes in prices, and forget what is old; a list has each model once."""
    if not listing.prices.entries:
        return
    moves: dict[str, list[PriceMove]] = {}
    for move in diff_price_lists(listing.prices, fresh, 1):
        moves.setdefault(move.model, []).append(move)
    kept = {model: moved for model, moved in listing.moves.items() if moved.at_ms >= now_ms - _MOVES_KEPT_MS}
    listing.moves = {**kept, **{model: MovedPrices(now_ms, tuple(found)) for model, found in moves.items()}}


async def _fetch_lists(provider: ProviderRow, hear_date: Callable[[str | None], None]) -> Any:
    """Return the list of models, with the models of the provider's further lists behind it."""
    first, *further = provider.dialect.list_paths
    payload = await _fetch(provider, first, hear_date)
    if payload is None:
        raise ModelListsError(f"GET {first} answered 404")
    for path in further:
        if isinstance(payload, dict):
            read_model_list(payload)  # wholly broken, it is not saved by another one
            payload = _joined(payload, await _fetch(provider, path, hear_date))
    return payload


def _joined(payload: dict[str, Any], more: Any) -> dict[str, Any]:
    """Return a list with the models behind it that only another one has."""
    own, others = payload.get("data"), more.get("data") if isinstance(more, dict) else None
    if not (isinstance(own, list) and own and isinstance(others, list)):
        return payload
    known = {entry.get("id") for entry in own if isinstance(entry, dict)}
    added = [entry for entry in others if not isinstance(entry, dict) or entry.get("id") not in known]
    return {**payload, "data": own + added}


async def _fetch(provider: ProviderRow, path: str, hear_date: Callable[[str | None], None]) -> Any:
    """Return a list as parsed; None if there is nothing at its path (404)."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **provider.auth_headers()}
    answer = await provider.transport.send("GET", provider.url(path), headers, None, _DEADLINES)
    if provider.base_url.startswith("https:"):  # a server on this machine would only repeat this machine's clock
        hear_date(answer.header("date"))
    pieces = []
    size = 0
    while piece := await answer.read():
        pieces.append(piece)
        size += len(piece)
        if size > _LIST_MAX_BYTES:
            answer.abort()
            raise ModelListsError("the list is larger than 32 MiB")
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise ModelListsError(f"GET {path} answered {answer.status}")
    return orjson.loads(b"".join(pieces))


def _bounded(price: Price, facts: ModelFacts) -> Price:
    """Return the operator's price with what the list says of the lengths that bound a request's cost."""
    if facts.context_tokens is None and facts.output_tokens is None:
        return price
    return replace(
        price,
        context_tokens=price.context_tokens or facts.context_tokens,
        output_max_tokens=price.output_max_tokens or facts.output_tokens,
    )


def _prices(provider: ProviderRow, listed: ParsedModelList) -> PriceList:
    """Read the prices of a list. OpenAI and servers like it list none: theirs stand in the configuration."""
    return provider.dialect.read_prices(listed.entries) if provider.dialect.lists_prices else _NO_PRICES


def _flaws(listed: ParsedModelList, prices: PriceList) -> tuple[str, ...]:
    """Return what of a list was left out, and which prices cannot be read."""
    unread = (f"{entry.id}: {entry.reason}" for entry in prices.entries.values() if _is_unread(entry.reason))
    return (*listed.flaws, *unread)


def _is_unread(reason: str | None) -> bool:
    return reason is not None and reason.startswith(UNREADABLE)


def _objects(listed: ParsedModelList) -> dict[str, bytes]:
    """Return each model as one JSON object in OpenAI's list shape with the provider's own fields kept.

    Of a duplicate the first counts.
    """
    found: dict[str, bytes] = {}
    for entry in listed.entries:
        if entry["id"] in found:
            continue
        created = entry.get("created")
        shape = {
            **entry,
            "object": "model",
            "created": created if isinstance(created, int) else 0,
            "owned_by": entry.get("owned_by") or entry["id"].partition("/")[0],
        }
        found[entry["id"]] = orjson.dumps(shape)
    return found
