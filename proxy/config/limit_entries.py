"""Limits as a list of entries: {cost: $5/month, models: ["anthropic/*"], on_spent: {downgrade: cheap}}."""

from collections.abc import Collection, Mapping, Sequence

from proxy.config.check import BlockError, Fault
from proxy.config.diagnostic import SettingError
from proxy.config.limit import Limit, parse_limit
from proxy.core.close_name import close_name

_TERMS = ("mode", "models", "on_spent")


def limits_by_kind(entries: Sequence[object], kinds: Collection[str]) -> dict[str, list[Limit]]:
    """Return the limits of a list by their kinds; raises BlockError with the place of each mistake."""
    found: dict[str, list[Limit]] = {}
    mistakes: list[Fault] = []
    for number, entry in enumerate(entries):
        try:
            kind, value = _kind_of(entry, kinds)
        except SettingError as error:
            mistakes.append(Fault((number,), error))
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            try:
                found.setdefault(kind, []).append(parse_limit(kind, _whole(one, entry)))
            except SettingError as error:
                mistakes.append(Fault((number,) if error.key in _TERMS else (number, kind), error))
    if mistakes:
        raise BlockError("Limits", mistakes)
    return found


def _kind_of(entry: object, kinds: Collection[str]) -> tuple[str, object]:
    """Return the one kind that an entry limits, and its limits."""
    if not isinstance(entry, Mapping):
        raise SettingError("must be a limit like {cost: $5/month}", show=False)
    for key in entry:
        if key not in kinds and key not in _TERMS:
            close = close_name(str(key), (*kinds, *_TERMS))
            advice = f'Did you mean "{close}"?' if close else f"Known here: {', '.join((*kinds, *_TERMS))}."
            raise SettingError(f'unknown key "{key}"', advice, key=str(key), show=False)
    named = [str(key) for key in entry if key in kinds and entry[key] is not None]
    if len(named) != 1:
        raise SettingError(f"must have one of {', '.join(kinds)}", "Write an entry for each limit.", show=False)
    return named[0], entry[named[0]]


def _whole(value: object, entry: object) -> object:
    """Return a limit in its long form, with the terms of its entry where it has none of its own."""
    assert isinstance(entry, Mapping)
    terms = {name: entry[name] for name in _TERMS if entry.get(name) is not None}
    if not terms:
        return value
    if isinstance(value, Mapping):
        return {**terms, **value}
    if isinstance(value, bool) or not isinstance(value, str):
        return {**terms, "amount": value}
    amount, slash, window = value.partition("/")
    return {**terms, "amount": amount.strip(), **({"window": window.strip()} if slash else {})}
