"""Settings of alerts: what is watched, when that is told, and to whom."""

import re
from datetime import time
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from proxy.config.alert_action import FORMS, WARN, effect_of, parse_alert_action
from proxy.config.block import DAY_S, Block, check_block, check_field, required, setting
from proxy.config.check import EditorSchema, FewestEntries, Reader
from proxy.config.diagnostic import SettingError
from proxy.config.values import Flag, HostName, Seconds, SecretText, Text, Usd, UserName, Whole, Zone, as_list
from proxy.core.alert_kinds import ALERT_KINDS, ALERT_KINDS_BY_NAME, AlertKind, AlertUnit
from proxy.core.inner_address import host_problem
from proxy.core.limit_kinds import COUNTED
from proxy.core.stop_effect import StopEffect
from proxy.core.webhook_secret import read_secret

LOG = "log"
"""The destination that is always there: a line of the log."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_THRESHOLD = re.compile(r"(\$?)\s*([0-9]+(?:\.[0-9]+)?)\s*(%|s|B|kB|MB|GB|TB)?", re.ASCII)
_FACTORS: dict[AlertUnit, dict[str, float]] = {
    "percent": {"": 1, "%": 1},
    "seconds": {"": 1, "s": 1},
    "bytes": {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    "count": {"": 1},
    "usd": {"": 1, "$": 1},
    "state": {},
}
_WRITTEN = {"percent": "80%", "seconds": "30s", "bytes": "2GB", "count": "20", "usd": "$20"}
_MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[A-Za-z0-9.-]+", re.ASCII)
_URL_KINDS = ("webhook", "slack", "mattermost", "discord")


def _clock(value: object) -> time:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise SettingError('must be a time of day like "22:00", in quotes')
    return time(int(match[1]), int(match[2]))


ClockTime = Annotated[time, Reader(_clock), EditorSchema({"type": "string", "pattern": _CLOCK.pattern})]


def _as_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise SettingError("must be a threshold like 80%, 30s, 2GB or 20")
    return str(value).strip()


ThresholdText = Annotated[str, Reader(_as_text), EditorSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})]


def _mail_address(value: object) -> str:
    if not isinstance(value, str) or not _MAIL_ADDRESS.fullmatch(value):
        raise SettingError("must be an e-mail address like ops@example.com")
    return value


MailAddress = Annotated[str, Reader(_mail_address)]
ActionText = Annotated[str, Reader(parse_alert_action), EditorSchema(FORMS)]
_DONE = {"stop": "stopped", "slow": "slowed", "downgrade": "downgraded"}
_Listed = Reader(as_list)


class QuietHoursSettings(Block):
    """Hours in which only rules with urgent: true are sent; the rest waits for their end."""

    starts: ClockTime = required('When they begin, like "22:00".')
    ends: ClockTime = required('When they end, like "07:00"; the next day where that is earlier.')
    timezone: Zone | None = setting(None, "The zone of both.", "The top level's timezone.")


class AlertRule(Block):
    """One thing that is watched; docs/reference/alerts.md has each kind."""

    watch: Literal[tuple(kind.name for kind in ALERT_KINDS)] = required(  # type: ignore[valid-type]
        "What is watched."
    )
    scope: Annotated[tuple[Text, ...], FewestEntries(1), _Listed] = setting(
        ("*",), "Of whom or what, by name; * stands for any text.", "Everything of its kind."
    )
    at: Annotated[tuple[ThresholdText, ...], _Listed] = setting(
        (), "One threshold or several; each is told once a window.", "Those of its kind."
    )
    limits: Annotated[tuple[Text, ...], FewestEntries(1), _Listed] = setting(
        ("cost",), "Which kinds of limits.", "A limit of requests a minute is reached in any busy minute."
    )
    with_reserved: Flag = setting(
        False, "Count what open requests have reserved as used.", "Most of it is given back within seconds."
    )
    window_s: Seconds | None = setting(None, "Over how long it is measured.", "That of its kind.", ge=10, le=7 * DAY_S)
    for_s: Seconds = setting(
        0, "How long a threshold must be reached before it is told.", "Told at once.", ge=0, le=DAY_S
    )
    min_requests: Whole = setting(
        20, "With fewer requests in the window nothing is told.", "One failure of two says little.", ge=1, le=10**9
    )
    min_usd: Usd = setting(
        Decimal(1), "With less spent in the window nothing is told.", "Small change.", ge=0, le=10**6
    )
    once_per: Literal["hour", "day", "week", "month"] = setting(
        "hour",
        "How often each threshold may be told at most, for what has no window of its own.",
        "Soon enough to act on; limits are told once in each of their windows.",
    )
    to: Annotated[tuple[UserName, ...], FewestEntries(1), _Listed] = setting(
        (LOG,), "Destinations by name; log is a line of the log.", "The log is always there."
    )
    urgent: Flag = setting(False, "Send it during quiet hours too.", "Most can wait for the morning.")
    action: ActionText = setting(
        WARN,
        "What is done to whom it fires for, at the last of its thresholds: stop refuses their requests, slow or {slow:"
        " 6/minute} lets in so many a minute, {downgrade: PRESET} sends them by a preset. tollkeeper resume ends it.",
        "What stops people is for a person to decide.",
    )
    stop_for_s: Seconds | None = setting(
        None,
        "How long what the action does lasts at most.",
        "A stop until somebody resumes it; slow and downgrade until the alert is over.",
        ge=1,
        le=366 * DAY_S,
    )
    enabled: Flag = setting(True, "Watch it.", "A rule is written to be used.")

    @check_block(mode="after")
    def _fits_its_kind(self) -> Self:
        kind = self.kind
        self._check_action()
        for name in ("limits", "with_reserved", "min_requests", "min_usd", "stop_for_s"):
            if name in self.given and name not in kind.options:
                raise SettingError(f"does not go with watch: {kind.name}", _goes_with(name), key=name, show=False)
        if self.window_s is not None and kind.window_s is None:
            raise SettingError(
                f"does not go with watch: {kind.name}", _goes_with("window_s"), key="window_s", show=False
            )
        if self.window_s is not None and self.window_s > kind.window_max_s:
            raise SettingError(f"must be at most {kind.window_max_s} for watch: {kind.name}", key="window_s")
        if self.at and kind.unit == "state":
            text = "Remove it: it holds or does not."
            raise SettingError(f"does not go with watch: {kind.name}", text, key="at", show=False)
        for written in self.at:
            _threshold(kind, written)
        known = [one.name for one in COUNTED]
        for name in self.limits:
            if name not in known:
                raise SettingError(f'"{name}" is not a kind of limit: {", ".join(known)}', key="limits", show=False)
        return self

    def _check_action(self) -> None:
        """Refuse an action where it would do nothing, or harm; raises SettingError."""
        kind, effect = self.kind, self.effect
        if "action" in self.given and effect is None and not kind.actions:
            raise SettingError(f"does not go with watch: {kind.name}", _goes_with("action"), key="action", show=False)
        if effect is None:
            if self.stop_for_s is not None and kind.actions:
                raise SettingError("goes with action: stop, slow or downgrade", key="stop_for_s", show=False)
            return
        if effect.name not in kind.actions:
            advice = f"{kind.no_action} {_goes_with('action')}" if not kind.actions else kind.no_action
            text = f"{effect.name} does not go with watch: {kind.name}"
            raise SettingError(text, advice, key="action", show=False)
        if any(scope.startswith("use_case:") for scope in self.scope):
            text = f"a use case cannot be {_DONE[effect.name]}"
            raise SettingError(text, "Its preset can, by tollkeeper stop.", key="scope", show=False)
        if kind.acts_on == "provider" and all(scope == "all" for scope in self.scope):
            text = f"{effect.name} needs a provider: everything at once heals nothing"
            raise SettingError(text, "Name providers, or leave it open for each of them.", key="scope", show=False)

    @property
    def effect(self) -> StopEffect | None:
        """Return what its action does to requests; None: it only tells."""
        return effect_of(self.action)

    @property
    def kind(self) -> AlertKind:
        """Return the row of its kind."""
        return ALERT_KINDS_BY_NAME[self.watch]

    @property
    def levels(self) -> tuple[float, ...]:
        """Return its thresholds in the unit of its kind."""
        return tuple(_threshold(self.kind, text) for text in self.at) or tuple(map(float, self.kind.at))

    @property
    def span_s(self) -> float:
        """Return over how long it is measured; 0 for what has no such time."""
        return self.window_s if self.window_s is not None else float(self.kind.window_s or 0)


def _goes_with(name: str) -> str:
    has = [kind.name for kind in ALERT_KINDS if name in kind.options or (name == "window_s" and kind.window_s)]
    return f"It goes with {', '.join(has)}."


def _threshold(kind: AlertKind, text: str) -> float:
    match = _THRESHOLD.fullmatch(text)
    factors = _FACTORS[kind.unit]
    unit = "" if match is None else match[1] or match[3] or ""
    if match is None or (match[1] and match[3]) or unit not in factors or float(match[2]) <= 0:
        raise SettingError(
            f"must be a threshold like {_WRITTEN[kind.unit]} for watch: {kind.name}", key="at", show=False
        )
    return float(match[2]) * factors[unit]


# what each kind of destination must have, and what it may have
_NEEDED: dict[str, tuple[str, ...]] = {
    "webhook": ("url",),
    "slack": ("url",),
    "mattermost": ("url",),
    "discord": ("url",),
    "email": ("host", "sender", "recipients"),
    "command": ("argv",),
}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "webhook": ("secret", "allow_private"),
    "slack": ("allow_private",),
    "mattermost": ("allow_private",),
    "discord": ("allow_private",),
    "email": ("port", "tls", "username", "password", "allow_private"),
    "command": (),
}


class AlertDestination(Block):
    """Where alerts go. Which of its settings apply depends on its kind."""

    kind: Literal["webhook", "slack", "mattermost", "discord", "email", "command"] = required(
        "webhook sends JSON, signed where there is a secret; slack, mattermost and discord a text; email and command"
        " are what they say."
    )
    url: SecretText | None = setting(None, "Its address, https://…; whoever knows it can write there.", "None.")
    secret: SecretText | None = setting(
        None, "webhook: whsec_ and 24 to 64 bytes in base64, which sign each message (Standard Webhooks).", "Unsigned."
    )
    allow_private: Flag = setting(
        False,
        "Let the address be one of this machine or network, and plain http.",
        "A name can be pointed at a service that trusts its own network.",
    )
    host: HostName | None = setting(None, "email: the server that takes mail.", "None.")
    port: Whole = setting(587, "email: its port.", "Where servers take mail from users.", ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = setting(
        "starttls", "email: how the connection is encrypted; none needs allow_private.", "What port 587 speaks."
    )
    username: Text | None = setting(None, "email: the name to log in with.", "No login.")
    password: SecretText | None = setting(None, "email: the password to log in with.", "No login.")
    sender: MailAddress | None = setting(None, "email: the address that it comes from.", "None.")
    recipients: Annotated[tuple[MailAddress, ...], _Listed] = setting((), "email: whom it goes to.", "None.")
    argv: Annotated[tuple[Text, ...], _Listed] = setting(
        (), "command: the program and its arguments, without a shell; the alert comes as JSON on its stdin.", "None."
    )
    timeout_s: Seconds = setting(15, "Longest time for one attempt.", "What Standard Webhooks asks for.", gt=0, le=300)

    @check_block(mode="after")
    def _fits_its_kind(self) -> Self:
        needed = _NEEDED[self.kind]
        for name in needed:
            if not getattr(self, name):
                raise SettingError(f"is missing for kind: {self.kind}", key=name, show=False)
        for name in sorted(self.given - {"kind", "timeout_s", *needed, *_ALLOWED[self.kind]}):
            raise SettingError(f"does not go with kind: {self.kind}", "Remove it.", key=name, show=False)
        if self.kind in _URL_KINDS:
            self._check_url()
        if self.kind == "email":
            self._check_mail()
        return self

    @check_field("secret")
    @classmethod
    def _signs(cls, secret: Any) -> Any:
        if secret is not None:
            try:
                read_secret(secret.reveal())
            except ValueError as error:
                advice = 'Make one with: echo "whsec_$(openssl rand -base64 32)"'
                raise SettingError(str(error), advice, show=False) from None
        return secret

    def _check_url(self) -> None:
        """Refuse what can be known to lead inwards before any name is looked up."""
        assert self.url is not None
        try:
            parts = urlsplit(self.url.reveal())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise SettingError("must be a URL like https://example.com/hook", key="url", show=False)
        if parts.username is not None or parts.password is not None:
            raise SettingError("must not hold a user or password", key="url", show=False)
        if self.allow_private:
            return
        if parts.scheme == "http":
            raise SettingError(
                "is not encrypted", "Write https, or allow_private: true for a receiver nearby.", key="url", show=False
            )
        problem = host_problem(host)
        if problem is not None:
            raise SettingError(
                "leads to an address of this machine or network", "Set allow_private: true if that is meant.",
                key="url", show=False,
            )  # fmt: skip

    def _check_mail(self) -> None:
        if (self.username is None) is not (self.password is None):
            raise SettingError("is set without the other of username and password", "Set both.", key="username")
        if self.tls == "none" and not self.allow_private:
            raise SettingError(
                "sends mail and password unencrypted", "Set allow_private: true for a server nearby.", key="tls"
            )
        assert self.host is not None
        if not self.allow_private and host_problem(self.host) is not None:
            raise SettingError(
                "is an address of this machine or network", "Set allow_private: true if that is meant.", key="host"
            )


class Alerts(Block):
    rules: dict[UserName, AlertRule] = setting({}, "What is watched, by a name of yours.", "None.")
    destinations: dict[UserName, AlertDestination] = setting(
        {}, "Where alerts go besides the log, by a name of yours.", "None."
    )
    quiet_hours: QuietHoursSettings | None = setting(None, "When only what is urgent is sent.", "Never.")
    deliveries_kept_d: Whole = setting(
        30,
        "How many days alerts and their deliveries stay in the database.",
        "Long enough to look back.",
        ge=1,
        le=3660,
    )

    @check_field("destinations")
    @classmethod
    def _log_is_taken(cls, destinations: Any) -> Any:
        if LOG in destinations:
            raise SettingError(f'"{LOG}" is the log itself', "Choose another name.", show=False)
        return destinations
