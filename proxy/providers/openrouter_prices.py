"""OpenRouter's list of models as prices."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.policy.model_features import read_features
from proxy.policy.model_list import ModelListError, read_model_list
from proxy.policy.pricing import Override, Price, PriceError, PriceList, PriceListEntry
from proxy.policy.pricing.price import AUSD_PER_PUSD, usd_to_ausd
from proxy.policy.pricing.price_list import FEW, UNREADABLE, dearer

_TOKEN_KEYS = {
    "prompt": "input_ausd",
    "completion": "output_ausd",
    "input_cache_read": "cached_ausd",
    "input_cache_write": "cache_write_ausd",
    "input_cache_write_1h": "cache_write_1h_ausd",
    "internal_reasoning": "reasoning_ausd",
    "image_token": "image_token_ausd",
    "image_output": "image_output_ausd",
    "audio": "audio_ausd",
    "input_audio_cache": "audio_cached_ausd",
    "audio_output": "audio_output_ausd",
}
_PIECE_KEYS = {"request": "request_pusd", "image": "image_pusd", "web_search": "web_search_pusd"}
_CONDITION_KEYS = frozenset({"min_prompt_tokens", "utc_start", "utc_end"})
_NO_PRICE_KEYS = frozenset({"discount", "overrides"})
_DYNAMIC = "-1"
_IMAGE_TOKEN_BELOW_PUSD = 10**8  # "image" below 0.0001 USD is taken for a price per token as well as per image

# Models that search the web without being asked; the number of searches is theirs to choose.
_SEARCHING = ("perplexity/", "-search", "deep-research", "sonar")

_BAD_SHARE = 10  # a list with more than one unreadable price in ten is broken


def parse_openrouter_model(entry: Mapping[str, Any]) -> tuple[Price | None, str | None]:
    """Read one entry of OpenRouter's GET /models: its price, or None and the reason.

    Prices are decimal strings in USD per token or piece; "-1" means that the price depends on what a router
    picks. `discount` is left out: listed prices may be before it, and the higher one bounds both.
    Raises PriceError for whatever is not a price.
    """
    pricing = entry.get("pricing")
    if not isinstance(pricing, Mapping):
        raise PriceError("pricing is missing")
    for key in ("prompt", "completion"):
        if pricing.get(key) is None:
            raise PriceError(f"pricing.{key} is missing")
    _check_discount(pricing.get("discount"))
    if any(value == _DYNAMIC for value in pricing.values()):
        return None, "its price depends on the model that it picks"
    rates, unknown = _rates(pricing)
    model = str(entry.get("id", ""))
    if rates.get("web_search_pusd") and any(word in model for word in _SEARCHING):
        unknown.append("the model's own web search")
    overrides = pricing.get("overrides") or []
    if not isinstance(overrides, list):
        raise PriceError("pricing.overrides is not a list")
    parsed = [_override(o) for o in overrides]
    top = entry.get("top_provider")
    top = top if isinstance(top, Mapping) else {}
    contexts = [n for n in (_count(entry, "context_length"), _count(top, "context_length")) if n is not None]
    fields: dict[str, Any] = dict(rates)
    price = Price(
        **fields,
        overrides=tuple(override for override, _ in parsed),
        context_tokens=max(contexts, default=None),
        output_max_tokens=_count(top, "max_completion_tokens"),
        unpriced=tuple(dict.fromkeys([*unknown, *(name for _, names in parsed for name in names)])),
        source="openrouter",
    )
    return price, None


def _check_discount(discount: Any) -> None:
    if discount is None:
        return
    if isinstance(discount, bool) or not isinstance(discount, int | float) or not 0 <= discount <= 1:
        raise PriceError(f"pricing.discount is {discount!r}, not a number from 0 to 1")


def _count(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise PriceError(f"{key} is {value!r}, not a number of tokens")
    return value or None


def _literal(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PriceError(f"pricing.{key} is {value!r}, not a decimal string")
    return value


def _rates(pricing: Mapping[str, Any]) -> tuple[dict[str, int], list[str]]:
    """Read the prices of one level; beside them the names of keys that cost something and bound nothing."""
    rates: dict[str, int] = {}
    unknown: list[str] = []
    for key, value in pricing.items():
        if key in _NO_PRICE_KEYS or key in _CONDITION_KEYS or value is None:
            continue
        try:
            if key in _PIECE_KEYS:
                rates[_PIECE_KEYS[key]] = usd_to_pusd(_literal(key, value))[0]
            elif key in _TOKEN_KEYS:
                rates[_TOKEN_KEYS[key]] = usd_to_ausd(_literal(key, value))
            elif not isinstance(value, str) or (family := _family(key)) is None:
                unknown += [f"price key {key}"] if value not in ("0", 0) else []
            else:
                rates[family] = max(usd_to_ausd(value), rates.get(family, 0))
        except (MoneyError, PriceError) as error:
            raise PriceError(f"pricing.{key}: {error}") from None
    image_pusd = rates.get("image_pusd", 0)
    if 0 < image_pusd < _IMAGE_TOKEN_BELOW_PUSD:
        rates["image_token_ausd"] = max(rates.get("image_token_ausd", 0), image_pusd * AUSD_PER_PUSD)
    return rates, unknown


def _family(key: str) -> str | None:
    if key.startswith(("input_", "prompt_")):
        return "other_input_ausd"
    if key.startswith(("output_", "completion_")) or key.endswith(("_output", "_reasoning")):
        return "other_output_ausd"
    return None


def _override(entry: Any) -> tuple[Override, list[str]]:
    if not isinstance(entry, Mapping):
        raise PriceError("pricing.overrides holds something that is not an object")
    conditions = {
        key for key in entry if key not in _TOKEN_KEYS and key not in _PIECE_KEYS and not isinstance(entry[key], str)
    }
    if any(value == _DYNAMIC for value in entry.values()):
        raise PriceError("pricing.overrides holds -1, which is not a price")
    known = {key: value for key, value in entry.items() if key not in conditions}
    rates, unknown = _rates(known)
    start, end = _minute(entry.get("utc_start")), _minute(entry.get("utc_end"))
    if (start is None) != (end is None):
        raise PriceError("pricing.overrides names one end of a time of day")
    override = Override(
        rates=tuple(sorted(rates.items())),
        min_prompt_tokens=_count(entry, "min_prompt_tokens"),
        utc_start_min=start,
        utc_end_min=end,
        unknown_condition=bool(conditions - _CONDITION_KEYS),
    )
    return override, unknown


def _minute(value: Any) -> int | None:
    """Read a UTC time of day, HHMM, as minutes since midnight."""
    if value is None:
        return None
    text = f"{value:04d}" if type(value) is int else value
    if not isinstance(text, str) or not text.isascii() or not (text := text.replace(":", "")).isdecimal():
        raise PriceError(f"{value!r} is not a time of day as HHMM")
    hour, minute = divmod(int(text), 100)
    if len(text) != 4 or minute > 59 or hour * 60 + minute > 24 * 60:
        raise PriceError(f"{value!r} is not a time of day as HHMM")
    return hour * 60 + minute


def parse_price_list(payload: Any) -> PriceList:
    """Read a whole answer of GET /models.

    What has no id is left out, and of a model that is there twice the dearer price counts. A single price that cannot
    be read leaves its model without one, and says why. Raises PriceError for a payload that is no list of models, is
    empty, or in which more than one price in ten is unreadable.
    """
    try:
        models = read_model_list(payload).entries
    except ModelListError as error:
        raise PriceError(str(error)) from None
    if not models:
        raise PriceError("the list of models is malformed: it is empty")
    entries: dict[str, PriceListEntry] = {}
    bad: list[str] = []
    for model in models:
        try:
            price, reason = parse_openrouter_model(model)
        except PriceError as error:
            price, reason = None, f"{UNREADABLE}{error}"
            bad.append(f"{model['id']}: {error}")
        entry = PriceListEntry(
            model["id"],
            price,
            reason,
            _text(model.get("canonical_slug")),
            _alias(model.get("alias_target")),
            read_features(model),
        )
        other = entries.get(entry.id)
        entries[entry.id] = entry if other is None else _one_of_twins(other, entry)
    if len(bad) * _BAD_SHARE > max(len(entries), FEW * _BAD_SHARE) or len(bad) == len(entries):
        raise PriceError(f"{len(bad)} of {len(entries)} prices cannot be read, first {bad[0]}")
    return PriceList(entries)


def _one_of_twins(first: PriceListEntry, second: PriceListEntry) -> PriceListEntry:
    """Return the entry of a model that is listed twice: the dearer of two prices, the only one that can be read."""
    if first.price is None or second.price is None:
        return first if second.price is None else second
    return replace(first, price=dearer(second.price, first.price))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _alias(value: Any) -> str | None:
    return _text(value.get("slug", value.get("id")) if isinstance(value, Mapping) else value)
