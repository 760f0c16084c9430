"""What an alert says, and the bodies in which each kind of receiver takes it."""

from typing import Any, Final, Literal, NamedTuple

import orjson

from proxy.core.alert_kinds import AlertKind, AlertUnit
from proxy.core.clock import iso_utc

AlertForm = Literal["webhook", "slack", "mattermost", "discord"]

_SUBJECT_CHARS_MAX: Final = 200  # names of models come from clients
_DISCORD_CHARS_MAX: Final = 2000
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")
_SIGNS: Final = {"fired": "ALERT", "recovered": "OVER", "test": "TEST"}


class AlertMessage(NamedTuple):
    """One thing that is told. told: fired, recovered or test; line: what happened; detail: the figures behind it.

    value and threshold are in the unit of the kind. window_ms: when the window began that it is told once of.
    """

    told: str
    rule: str
    kind: str
    subject: str
    at_ms: int
    line: str
    detail: str = ""
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    window_ms: int = 0

    @property
    def title(self) -> str:
        """Return what happened in one line."""
        return f"{_SIGNS[self.told]} {self.rule}: {self.line}"

    @property
    def text(self) -> str:
        """Return the title, with the figures below it."""
        return f"{self.title}\n{self.detail}" if self.detail else self.title


def value_text(unit: AlertUnit, value: float) -> str:
    """Return a value as people read it: 82 %, 1.5 s, 2.0 GB, $12.30."""
    if unit == "usd":
        return f"{'-' if value < 0 else ''}${abs(value):.2f}"
    if unit == "percent":
        return f"{value:.3g} %" if abs(value) < 100 else f"{value:.0f} %"
    if unit == "seconds":
        return f"{value:.3g} s"
    if unit == "bytes":
        step = 0
        while abs(value) >= 1000 and step < len(_SIZES) - 1:
            value, step = value / 1000, step + 1
        return f"{value:.1f} {_SIZES[step]}" if step else f"{value:.0f} B"
    return f"{value:.0f}"


def alert_line(kind: AlertKind, told: str, subject: str, value: float) -> str:
    """Return what happened to a subject; told: fired or recovered."""
    template = kind.fired if told == "fired" else kind.recovered
    return template.format(subject=_short(subject), value=value_text(kind.unit, value))


def message_json(message: AlertMessage) -> dict[str, Any]:
    """Return a message as the API and a command's stdin show it."""
    return {
        "type": f"alert.{message.told}",
        "timestamp": iso_utc(message.at_ms),
        "data": {
            "rule": message.rule,
            "watch": message.kind,
            "subject": _short(message.subject),
            "value": message.value,
            "threshold": message.threshold,
            "unit": message.unit,
            "title": message.title,
            "detail": message.detail,
            "window_began_at": iso_utc(message.window_ms) if message.window_ms else None,
        },
    }


def body_of(form: AlertForm, message: AlertMessage) -> bytes:
    """Return the JSON body that a receiver of this form takes."""
    if form == "webhook":
        return orjson.dumps(message_json(message))
    if form == "discord":
        content = message.text[:_DISCORD_CHARS_MAX]
        return orjson.dumps({"content": content, "allowed_mentions": {"parse": []}})
    # both read <…> as mentions and links; a name must not ring everybody's bell
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if form == "mattermost":
        text = text.replace("@", "@\u200b")
    return orjson.dumps({"text": text})


def _short(text: str) -> str:
    clean = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return clean if len(clean) <= _SUBJECT_CHARS_MAX else f"{clean[:_SUBJECT_CHARS_MAX]}…"
