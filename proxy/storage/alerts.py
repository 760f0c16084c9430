"""Alerts that are kept in the ledger: rules and destinations of run time, where each stands, and what is delivered.

Fails closed: a mistake raises UserError and changes nothing. What fires, the state that says so and the deliveries that
follow are written in one transaction: nothing is told twice, and nothing that was told once is lost.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from proxy.config.alerts import LOG, AlertDestination, AlertRule
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.policy.alerts.alert_state import AlertState
from proxy.storage.audit import Actor
from proxy.storage.stored_settings import SettingsError, check_alert_destination, check_alert_rule
from proxy.storage.users import MissingError, UserError, check_name

ALERT_PREFIX: Final = "alert_"
DESTINATION_SECRETS: Final = ("url", "secret", "password")
"""Settings of a destination that are sealed, and never shown again."""


class StateNote(NamedTuple):
    """Where a rule stands with a subject; state None: it is forgotten."""

    rule: str
    subject: str
    state: AlertState | None


class AlertNote(Struct, frozen=True):
    """One thing to be told, and to whom: each destination with the time (epoch ms) before which it hears nothing.

    threshold: which, with its measure. once_ms: the window or the firing that it is told once of.
    """

    message: AlertMessage
    threshold: str
    once_ms: int
    destinations: tuple[tuple[str, int], ...]


class DeliveryNote(NamedTuple):
    """What came of one attempt. next_ms None: there is no further one, and state says how it ended."""

    id: int
    state: str  # waiting, delivered, failed
    attempts: int
    next_ms: int | None
    status: int | None
    problem: str | None


class SampleNote(NamedTuple):
    """A figure to be compared with later ones. at_ms 0: the only one of its subject. value: a JSON text."""

    measure: str
    subject: str
    at_ms: int
    value: str


class AlertNotes(NamedTuple):
    """What the proxy itself writes of alerts, all of it or nothing.

    disabled: destinations that want nothing more, by name with the reason. enabled: those that take alerts again.
    kept_since_ms: what ended before goes.
    """

    states: Sequence[StateNote] = ()
    alerts: Sequence[AlertNote] = ()
    deliveries: Sequence[DeliveryNote] = ()
    samples: Sequence[SampleNote] = ()
    disabled: Mapping[str, str] = {}
    enabled: Sequence[str] = ()
    kept_since_ms: int | None = None


class StoredDelivery(NamedTuple):
    """One delivery, with what is told. alert_id: the same over all its attempts and all destinations."""

    id: int
    alert_id: str
    message: AlertMessage
    destination: str
    state: str
    attempts: int
    made_ms: int
    next_ms: int | None
    ended_ms: int | None
    status: int | None
    problem: str | None


class StoredSilence(NamedTuple):
    """A rule that tells nothing until a time."""

    rule: str
    until_ms: int
    reason: str | None
    actor: str


class AlertRows(Struct, frozen=True):
    """All that the evaluation and lists need, of one moment.

    samples: by measure and subject, oldest first. fired_ms: when a rule fired last.
    """

    states: Mapping[tuple[str, str], AlertState]
    silences: Mapping[str, StoredSilence]
    disabled: Mapping[str, str]
    samples: Mapping[tuple[str, str], Sequence[tuple[int, str]]]
    fired_ms: Mapping[str, int]


class AlertStore(Protocol):
    """What an operator changes of alerts; who did it, and when, goes to the audit trail."""

    def add_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Add a rule; settings as in the configuration."""
        ...

    def set_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Replace a rule's settings. Where it watches something else from now on, it begins at rest."""
        ...

    def remove_rule(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Remove a rule and its states; what was told stays listed."""
        ...

    def list_rules(self) -> list[dict[str, Any]]:
        """Return all rules by name."""
        ...

    def find_destination(self, name: str) -> dict[str, Any] | None:
        """Return a destination without its secrets, under ``secrets`` what they are called; None: there is none."""
        ...

    def put_destination(
        self, now_ms: int, actor: Actor, action: str, name: str, settings: Mapping[str, Any], sealed: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a destination in place of one of its name. sealed: the hashes of what is sealed for it, by setting.

        It takes alerts again, if it was disabled.
        """
        ...

    def remove_destination(self, now_ms: int, actor: Actor, name: str) -> None:
        """Remove a destination that there is."""
        ...

    def silence(self, now_ms: int, actor: Actor, rule: str, until_ms: int, reason: str | None) -> dict[str, Any]:
        """Let a rule tell nothing until a time."""
        ...

    def unsilence(self, now_ms: int, actor: Actor, rule: str) -> dict[str, Any]:
        """End a silence."""
        ...

    def send_again(self, now_ms: int, actor: Actor, delivery_id: int) -> dict[str, Any]:
        """Let a delivery that was given up begin anew."""
        ...


def check_rule(settings: Mapping[str, Any]) -> AlertRule:
    """Return a rule; raises UserError for what the configuration would refuse."""
    try:
        check_alert_rule(settings)
    except SettingsError as error:
        raise UserError(str(error), error.field or None) from None
    rule: AlertRule = AlertRule.read(settings)
    return rule


def check_destination(settings: Mapping[str, Any]) -> AlertDestination:
    """Return a destination; raises UserError for what the configuration would refuse."""
    try:
        check_alert_destination(settings)
    except SettingsError as error:
        raise UserError(str(error), error.field or None) from None
    destination: AlertDestination = AlertDestination.read(settings)
    return destination


def check_alert_name(name: str, what: str) -> None:
    """Raise UserError for what cannot be the name of a rule or a destination."""
    check_name(name, what)
    if name == LOG:
        raise UserError(f"{LOG!r} is the log itself. Choose another name.")


def no_rule(name: str) -> MissingError:
    """Return the error for a rule that is not in the ledger."""
    return MissingError(f"There is no alert rule {name!r} in the database. See: tollkeeper alerts list")


def no_destination(name: str) -> MissingError:
    """Return the error for a destination that is not in the ledger."""
    return MissingError(f"There is no destination {name!r} in the database. See: tollkeeper alerts destinations list")


def no_delivery(id_: int) -> MissingError:
    """Return the error for a delivery that is not in the ledger."""
    return MissingError(f"There is no delivery {id_}. See: tollkeeper alerts deliveries")


def no_silence(name: str) -> MissingError:
    """Return the error for a silence that is not in the ledger."""
    return MissingError(f"Alert rule {name!r} is not silenced.")


def rule_exists(name: str) -> UserError:
    """Return the error for a second rule of the same name."""
    return UserError(f"Alert rule {name!r} exists already. Change it with: tollkeeper alerts set {name}")
