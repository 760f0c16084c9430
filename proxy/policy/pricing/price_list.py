"""The provider's list of models as prices: read, looked up by any name, compared with the last one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.policy.model_features import NOTHING_SAID, ModelFeatures
from proxy.policy.pricing.price import RATE_FIELDS, Price, PriceError

UNREADABLE = "its price cannot be read: "  # begins the reason of an entry without a price

# Variants that OpenRouter makes of any model by sorting or by a plugin; all other suffixes are models of
# their own.
DYNAMIC_SUFFIXES = frozenset({"nitro", "floor", "exacto", "online"})
_MOVED_SHARE = 5  # a refresh that moves more than one price in five tenfold has changed its unit
FEW = 5  # shares of shorter lists say nothing
_TENFOLD = 10


class PriceListEntry(Struct, frozen=True):
    """One model. price None: reason says why (dynamic price, or what could not be read)."""

    id: str
    price: Price | None
    reason: str | None = None
    canonical_slug: str | None = None
    alias_target: str | None = None
    supports: ModelFeatures = NOTHING_SAID


class PriceList:
    """Models by id, and by the other names they are known under. Immutable; a refresh makes a new one."""

    __slots__ = ("_other_names", "entries")

    def __init__(self, entries: Mapping[str, PriceListEntry]) -> None:
        self.entries: Mapping[str, PriceListEntry] = MappingProxyType(dict(entries))
        self._other_names = _slugs(self.entries)

    def named(self, name: str) -> PriceListEntry | None:
        """Return the entry of this id, canonical slug or alias; for an alias without a price that of its target."""
        entry = self.entries.get(name)
        if entry is None:
            entry_id = self._other_names.get(name)
            entry = self.entries[entry_id] if entry_id is not None else None
        if entry is not None and entry.price is None and entry.alias_target is not None:
            target = self.entries.get(entry.alias_target)
            return target if target is not None and target.price is not None else entry
        return entry


def _slugs(entries: Mapping[str, PriceListEntry]) -> dict[str, str]:
    """Index canonical slugs.

    Only plain ids take part: `x:free` shares the slug of the paid `x`, and must not price it.
    """
    slugs: dict[str, str] = {}
    for entry in entries.values():
        slug = entry.canonical_slug
        if slug is None or slug in entries or ":" in entry.id or entry.id.startswith("~"):
            continue
        held = slugs.get(slug)
        if held is None or _weight(entry) > _weight(entries[held]):
            slugs[slug] = entry.id
    return slugs


def _weight(entry: PriceListEntry) -> int:
    return entry.price.base_dearest.input_ausd + entry.price.base_dearest.output_ausd if entry.price else 0


class PriceMatch(Struct, frozen=True):
    """A model in the catalogue; suffix is the variant (without its colon) that changes the routing only."""

    entry: PriceListEntry
    suffix: str | None = None

    @property
    def price(self) -> Price | None:
        return self.entry.price


def find_price(model_lists: PriceList, model: str) -> PriceMatch | None:
    """Find a model by its id, canonical slug or alias.

    A name with `:nitro`, `:floor`, `:exacto` or `:online` falls to its base.
    `:free` and other suffixes are models of their own: unlisted, they are unknown, never free.
    """
    entry = model_lists.named(model)
    if entry is not None:
        _, _, own_suffix = model.partition(":")
        return PriceMatch(entry, own_suffix if own_suffix in DYNAMIC_SUFFIXES else None)
    base, colon, suffix = model.rpartition(":")
    if not colon or suffix not in DYNAMIC_SUFFIXES:
        return None
    entry = model_lists.named(base)
    return None if entry is None else PriceMatch(entry, suffix)


class PriceMove(Struct, frozen=True):
    """One price that a refresh changed, in the unit that the name of the field ends with."""

    model: str
    field: str
    before: int
    after: int


def diff_price_lists(old: PriceList, new: PriceList, fold: int = _TENFOLD) -> list[PriceMove]:
    """List the prices that moved more than so many times, from or to 0 included, by model and field; 1: all."""
    moves = []
    for model in sorted(old.entries.keys() & new.entries.keys()):
        before, after = old.entries[model].price, new.entries[model].price
        if before is None or after is None or before == after:
            continue
        for name in RATE_FIELDS:
            was, now = getattr(before, name), getattr(after, name)
            if was is not None and now is not None and (now > was * fold or was > now * fold):
                moves.append(PriceMove(model, name, was, now))
    return moves


def accept_refresh(
    old: PriceList, new: PriceList, accepted: frozenset[str] = frozenset()
) -> tuple[PriceList, list[PriceMove]]:
    """Return the catalogue to use after a refresh, and what was held back in it.

    A model with a move of more than tenfold gets, price by price, the dearer of old and new: a fall has to be
    accepted by the operator before it counts, a rise counts at once, since a bound that is too low is what
    costs money. Raises PriceError when more than one model in five moved so far: the list has changed its
    unit. accepted names models whose new price the operator has confirmed.
    """
    moves = [move for move in diff_price_lists(old, new) if move.model not in accepted]
    moved = {move.model for move in moves}
    if len(moved) * _MOVED_SHARE > max(len(old.entries), FEW * _MOVED_SHARE):
        raise PriceError(
            f"{len(moved)} of {len(old.entries)} prices moved more than tenfold, first {moves[0].model} "
            f"({moves[0].field} from {moves[0].before} to {moves[0].after}); the last list stays in force"
        )
    entries = dict(new.entries)
    for model in moved:
        before, after = old.entries[model].price, new.entries[model].price
        if before is not None and after is not None:
            entries[model] = replace(entries[model], price=dearer(before, after))
    return PriceList(entries), moves


def dearer(before: Price, after: Price) -> Price:
    rates: dict[str, Any] = {}
    for name in RATE_FIELDS:
        amounts = [v for v in (getattr(before, name), getattr(after, name)) if v is not None]
        rates[name] = max(amounts, default=None)
    overrides = (*after.overrides, *(o for o in before.overrides if o not in after.overrides))
    return replace(after, **rates, overrides=overrides)
