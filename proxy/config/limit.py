"""A limit of one of the kinds of core/limit_kinds.py, and the short form in which people write it.

==============  ==================================================  ==========================================
unit            short form                                          amount
==============  ==================================================  ==========================================
cost            ``$2/day``  ``$500/30d``  ``$100`` (= ``$100/total``)  pico-USD (up to twelve decimals)
counts          ``60/minute``  ``1M/day``  ``10 images/day``        requests; tokens, in and out together; images
concurrency     ``4``                                               open requests at once; it has no window
==============  ==================================================  ==========================================

The long form is ``{amount: $2, window: day, mode: soft}``, with ``models`` for a limit that counts some models only and
``on_spent`` for what follows when it has no room. A window is one of the calendar words or rolling ``Nd`` and ``Nh``.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from proxy.config.diagnostic import SettingError
from proxy.config.on_spent import parse_on_spent
from proxy.core.close_name import close_name
from proxy.core.limit_kinds import BY_NAME, LimitKind, Unit
from proxy.core.money import MoneyError, pusd_to_usd, usd_to_pusd
from proxy.core.on_spent import REFUSE, OnSpent

Mode = Literal["hard", "soft"]

CALENDAR = ("minute", "hour", "day", "week", "month", "total")
MODES = ("hard", "soft")
_ROLLING = re.compile(r"([1-9][0-9]{0,3})([dh])", re.ASCII)
_MAX_HOURS = 366 * 24  # rolling sums are kept by the hour, for a year at most
_COUNT = re.compile(r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)([kKMB]?)", re.ASCII)
_MONEY = re.compile(r"\$?([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)", re.ASCII)
_FACTORS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
_MAX_COUNT = 10**15  # more tokens than a user can ever send; fits one SQLite INTEGER with room for sums
_OTHER_WORDS = {
    "s": "minute",
    "sec": "minute",
    "second": "minute",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "daily": "day",
    "w": "week",
    "mo": "month",
    "year": "365d",
    "ever": "total",
    "lifetime": "total",
}
_WINDOWS = "minute, hour, day, week, month, total, or rolling like 30d and 12h"


class Limit(Struct, frozen=True):
    """kind is a name of core/limit_kinds.py, amount in its unit; window is "" for concurrency.

    models: patterns of what it counts, in order, each once; empty: all.
    """

    kind: str
    amount: int
    window: str
    mode: Mode = "hard"
    models: tuple[str, ...] = ()
    on_spent: OnSpent = REFUSE

    @property
    def place(self) -> tuple[str, ...]:
        """Return what sets it apart from others on one scope: two limits of one place contradict each other."""
        return (self.kind, self.window, self.mode, *self.models)


def parse_limit(name: str, value: object) -> Limit:
    """Read a limit of a kind in the short or long form; raise SettingError with a text that shows how to write it."""
    if isinstance(value, Limit):
        return value
    kind = BY_NAME[name]
    if isinstance(value, Mapping):
        return _from_block(kind, value)
    amount, slash, window = _text(kind, value).partition("/")
    return _limit(kind, amount.strip(), window.strip() if slash else None, "hard")


def written(limit: Limit) -> str:
    """Return the short form of a limit: $2/day, 60/minute, 4; what is not usual about it stands behind it."""
    mode = "" if limit.mode == "hard" or not limit.window else f" ({limit.mode})"
    return f"{plain_text(limit)}{mode}{terms_text(limit)}"


def plain_text(limit: Limit) -> str:
    """Return amount and window: $2/day, 4."""
    return f"{amount_text(limit)}/{limit.window}" if limit.window else amount_text(limit)


def terms_text(limit: Limit) -> str:
    """Return which models a limit counts and what follows when it is spent, where that is not the usual."""
    models = f" for {', '.join(limit.models)}" if limit.models else ""
    return models if limit.on_spent == REFUSE else f"{models}, then {limit.on_spent.text}"


def as_setting(limit: Limit) -> str | dict[str, Any]:
    """Return a limit as it stands in a file: in the short form, or as a block where anything about it is not usual."""
    if limit == Limit(limit.kind, limit.amount, limit.window):
        return plain_text(limit)
    block = {
        "amount": amount_text(limit),
        "window": limit.window,
        "mode": limit.mode if limit.mode == "soft" else "",
        "models": list(limit.models),
        "on_spent": "" if limit.on_spent == REFUSE else limit.on_spent.text,
    }
    return {name: value for name, value in block.items() if value}


def amount_text(limit: Limit) -> str:
    """Return the amount of a limit as it is written: $2, 60."""
    return f"${pusd_to_usd(limit.amount)}" if BY_NAME[limit.kind].unit == "money" else str(limit.amount)


def is_rolling(window: str) -> bool:
    return _ROLLING.fullmatch(window) is not None


def _text(kind: LimitKind, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise SettingError(f"must be a limit like {kind.example}")
    return str(value).strip()


_KEYS = ("amount", "window", "mode", "models", "on_spent")


def _from_block(kind: LimitKind, block: Mapping[object, object]) -> Limit:
    for key in block:
        if key not in _KEYS:
            close = close_name(str(key), _KEYS)
            advice = f'Did you mean "{close}"?' if close else f"A limit has {', '.join(_KEYS[:-1])} and {_KEYS[-1]}."
            raise SettingError(f'unknown key "{key}"', advice, key=str(key), show=False)
    if block.get("amount") is None:
        raise SettingError("amount is missing", f"Write amount: {kind.example.partition('/')[0]}", show=False)
    mode = block.get("mode")
    if mode is not None and mode not in MODES:
        raise SettingError('must be "hard" or "soft"', key="mode")
    window = block.get("window")
    amount = _text(kind, block["amount"])
    if "/" in amount:
        raise SettingError("must be the amount alone", "Write the window under window:.", key="amount")
    limit = _limit(
        kind,
        amount,
        None if window is None else str(window).strip(),
        cast("Mode", mode or "hard"),
        keys=("amount", "window"),
    )
    return _with_terms(limit, block.get("models"), block.get("on_spent"))


def _with_terms(limit: Limit, models: object, on_spent: object) -> Limit:
    """Return the limit with the models that it counts and what follows when it is spent."""
    if models is not None:
        limit = replace(limit, models=_patterns(models))
    if on_spent is None:
        return limit
    try:
        follows = parse_on_spent(on_spent)
    except SettingError as error:
        raise SettingError(error.must, error.advice, key="on_spent", show=False) from None
    if follows.action == "slow" and (limit.mode != "soft" or BY_NAME[limit.kind].is_exact):
        text = "slow lets requests pass the limit, one after the other, so it needs mode: soft and cost or tokens"
        raise SettingError(text, "Write mode: soft, or let it refuse or downgrade.", key="on_spent", show=False)
    return replace(limit, on_spent=follows)


def _patterns(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or not all(isinstance(one, str) and one.strip() for one in listed):
        raise SettingError("must be a list of models like anthropic/*", key="models")
    return tuple(sorted({str(one).strip() for one in listed}))


def _limit(
    kind: LimitKind,
    amount: str,
    window: str | None,
    mode: Mode,
    keys: tuple[str | None, str | None] = (None, None),
) -> Limit:
    return Limit(kind.name, _AMOUNTS[kind.unit](kind, amount, keys[0]), _window(kind, window, keys[1]), mode)


def _cost(kind: LimitKind, text: str, key: str | None) -> int:
    match = _MONEY.fullmatch(text)
    if match is None:
        raise SettingError(f"must be an amount in USD like {kind.example}", key=key)
    try:
        pusd, exact = usd_to_pusd(match[1].replace("_", ""))
    except MoneyError as error:
        raise SettingError("must be an amount of at most $9,000,000", key=key) from error
    if not exact:
        raise SettingError("must have at most twelve decimals", key=key)
    return pusd


def _count(kind: LimitKind, text: str, key: str | None) -> int:
    match = _COUNT.fullmatch(text.removesuffix(f" {kind.name}").rstrip())  # 10 images
    if match is None or len(text) > 40:
        raise SettingError(f"must be a limit like {kind.example}", key=key)
    number = Decimal(match[1].replace("_", "")) * _FACTORS[match[2]]
    if number != int(number):
        raise SettingError(f"must be a whole number of {kind.name}", key=key)
    if not 1 <= number <= _MAX_COUNT:
        raise SettingError("must be at least 1" if number < 1 else "must be at most 1000000B", key=key)
    return int(number)


def _open(kind: LimitKind, text: str, key: str | None) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,9}", text, re.ASCII):
        raise SettingError(f"must be a whole number of open requests like {kind.example}", key=key)
    if int(text) < 1:
        raise SettingError("must be at least 1", key=key)
    return int(text)


_AMOUNTS: dict[Unit, Callable[[LimitKind, str, str | None], int]] = {"money": _cost, "count": _count, "open": _open}


def _window(kind: LimitKind, window: str | None, key: str | None) -> str:
    if kind.unit == "open":
        if window is not None:
            raise SettingError("counts what is open now and has no window", "Write the number alone.", key=key)
        return ""
    if window is None:
        if kind.window is not None:
            return kind.window
        raise SettingError("needs a window", f"Write it like {kind.example}.", key=key)
    if window in CALENDAR:
        return window
    match = _ROLLING.fullmatch(window)
    if match and int(match[1]) * (24 if match[2] == "d" else 1) <= _MAX_HOURS:
        return window
    if match:
        raise SettingError("must have a window of at most 366d", "For all time write total.", key=key)
    raise SettingError(f"must have a window of {_WINDOWS}", _did_you_mean(window), key=key)


def _did_you_mean(window: str) -> str:
    word = window.lower()
    guess: Any = _OTHER_WORDS.get(word) or _OTHER_WORDS.get(word.removesuffix("s"))
    if guess is None:
        guess = close_name(word, CALENDAR)
    return f'Did you mean "{guess}"?' if guess else ""
