"""Alerts in sentences: what a rule watches, and what fires, without the words of the configuration. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.core.alert_kinds import ALERT_KINDS_BY_NAME
from proxy.core.limit_kinds import KINDS
from proxy.policy.alerts.alert_message import value_text

_SPELT: Final = frozenset(
    {"watch", "scope", "at", "window_s", "to", "enabled"}
)  # of a rule's settings; rule_sentences()
_KIND: Final = "|".join(kind.name for kind in KINDS)
_LIMIT: Final = re.compile(  # as policy/alerts/measures.py writes the name of a limit
    rf"(?P<scope>all|\w+:.+?) (?P<kind>{_KIND}) (?P<window>\S*)(?P<soft> soft)?(?: of (?P<models>.+))?"
)
_WINDOWS: Final = {
    "minute": "for a minute",
    "hour": "for an hour",
    "day": "for a day",
    "week": "for a week",
    "month": "for a month",
    "total": "for all time",
}
_PLURALS: Final = {"h": "hours", "d": "days"}


def rule_sentences(settings: Mapping[str, Any]) -> str:
    """Return what a rule watches and whom it tells; settings: in the words of the configuration."""
    kind = ALERT_KINDS_BY_NAME[settings["watch"]]
    levels = _listed(settings.get("at")) or [value_text(kind.unit, level) for level in kind.at]
    window_s = settings.get("window_s") or kind.window_s
    of = _listed(settings.get("scope"))
    parts = [f"Watches {kind.measure}"]
    parts += [f" (the last {_span_text(float(window_s))})"] if window_s and "window" in kind.measure else []
    parts += [f", of {_joined(of)}"] if of and of != ["*"] else []
    told = "" if kind.unit == "state" else f" It tells at {_joined(levels)}{' or less' if kind.is_below else ''}."
    to = _listed(settings.get("to"))
    goes = f" It goes to {_joined(to)}." if to else ""
    return "".join(parts) + f".{told}{goes}"


def other_settings(settings: Mapping[str, Any]) -> str:
    """Return the settings that the sentences leave out, in the words of the configuration."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in settings.items() if name not in _SPELT)


def firing_sentence(watch: str, subject: str, value: float | None) -> str:
    """Return what fires: of whom or what, and what it came to. value: None where nothing was measured since a start."""
    kind = ALERT_KINDS_BY_NAME[watch]
    whom = subject_words(subject)
    if value is None:
        line = f"{whom}: it has fired before the last start, and is looked at again soon"
    else:
        line = kind.fired.format(subject=whom, value=value_text(kind.unit, value))
    return f"{line[:1].upper()}{line[1:]}."


def subject_words(subject: str) -> str:
    """Return of whom or what: "the limit on cost of user anna for a day"; what is no limit keeps its name."""
    found = _LIMIT.fullmatch(subject)
    if found is None:
        return _scope_words(subject)
    soft = " that only slows" if found["soft"] else ""
    models = f", of {found['models']}" if found["models"] else ""
    kind = found["kind"].replace("_", " ")
    return f"the limit{soft} on {kind} of {_scope_words(found['scope'])}{_window_words(found['window'])}{models}"


def _scope_words(scope: str) -> str:
    if scope in ("", "all"):
        return "everyone together"
    word, colon, name = scope.partition(":")
    return f"{word.replace('_', ' ')} {name}" if colon and word in ("user", "group", "use_case") else scope


def _window_words(window: str) -> str:
    if window in _WINDOWS:
        return f" {_WINDOWS[window]}"
    count, unit = window[:-1], window[-1:]
    return f" for {count} {_PLURALS[unit]}" if count.isdigit() and unit in _PLURALS else f" {window}".rstrip()


def _span_text(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size * 2:
            return f"{seconds / size:g} {word}"
    return {3_600: "hour", 86_400: "24 hours", 60: "minute"}.get(int(seconds), f"{seconds:g} seconds")


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else [str(value)]


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return "yes" if value is True else "no" if value is False else " ".join(_listed(value))
