"""Alerts in dictionaries, by the same rules as their tables."""

from collections.abc import Mapping
from typing import Any

from proxy.policy.alerts.alert_state import AlertState
from proxy.storage.alerts import (
    AlertNotes,
    AlertRows,
    StoredDelivery,
    StoredSilence,
    check_alert_name,
    check_rule,
    no_delivery,
    no_rule,
    no_silence,
    rule_exists,
)
from proxy.storage.audit import Actor
from proxy.storage.users import UserError


class MemoryAlerts:
    """All that a file would hold of alerts; an AlertStore."""

    def __init__(self) -> None:
        self.rules: dict[str, dict[str, Any]] = {}
        self.destinations: dict[str, dict[str, Any]] = {}
        self.states: dict[tuple[str, str], AlertState] = {}
        self.silences: dict[str, StoredSilence] = {}
        self.disabled: dict[str, str] = {}
        self.samples: dict[tuple[str, str], dict[int, str]] = {}
        self.fired_ms: dict[str, int] = {}
        self.told: set[tuple[Any, ...]] = set()
        self.deliveries: dict[int, StoredDelivery] = {}

    def rows(self) -> AlertRows:
        samples = {place: sorted(values.items()) for place, values in self.samples.items()}
        return AlertRows(dict(self.states), dict(self.silences), dict(self.disabled), samples, dict(self.fired_ms))

    def write(self, notes: AlertNotes, now_ms: int) -> None:
        for rule, subject, state in notes.states:
            if state is None:
                self.states.pop((rule, subject), None)
            else:
                self.states[rule, subject] = state._replace(pending_ms=None)
        for note in notes.alerts:
            message = note.message
            key = (message.rule, message.subject, note.once_ms, message.told, note.threshold)
            if key in self.told:
                continue
            self.told.add(key)
            if message.told == "fired":
                self.fired_ms[message.rule] = message.at_ms
            for destination, due_ms in note.destinations:
                id_ = len(self.deliveries) + 1
                self.deliveries[id_] = StoredDelivery(
                    id_, f"alert_{len(self.told):08x}", message, destination, "waiting", 0, message.at_ms, due_ms,
                    None, None, None,
                )  # fmt: skip
        for id_, word, attempts, next_ms, status, problem in notes.deliveries:
            ended_ms = now_ms if next_ms is None else None
            self.deliveries[id_] = self.deliveries[id_]._replace(
                state=word, attempts=attempts, next_ms=next_ms, status=status, problem=problem, ended_ms=ended_ms
            )
        for measure, subject, at_ms, value in notes.samples:
            self.samples.setdefault((measure, subject), {})[at_ms] = value
        self.disabled.update(notes.disabled)
        for name in notes.enabled:
            self.disabled.pop(name, None)

    def list_rules(self) -> list[dict[str, Any]]:
        return [dict(rule) for rule in self.rules.values()]

    def find_destination(self, name: str) -> dict[str, Any] | None:
        return self.destinations.get(name)

    def put_destination(
        self, now_ms: int, actor: Actor, action: str, name: str, settings: Mapping[str, Any], sealed: Mapping[str, Any]
    ) -> dict[str, Any]:
        del actor, action
        row = {"name": name, "settings": dict(settings), "secrets": [*sealed], "created_ms": now_ms}
        self.destinations[name] = row
        self.disabled.pop(name, None)
        return row

    def remove_destination(self, now_ms: int, actor: Actor, name: str) -> None:
        del now_ms, actor
        del self.destinations[name]

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.rules:
            raise no_rule(name)
        return dict(self.rules[name])

    def add_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        del actor
        check_alert_name(name, "rule")
        check_rule(settings)
        if name in self.rules:
            raise rule_exists(name)
        self.rules[name] = {"name": name, "settings": dict(settings), "created_ms": now_ms}
        return self._find(name)

    def set_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        del now_ms, actor
        found = self._find(name)
        check_rule(settings)
        self.rules[name] = {**found, "settings": dict(settings)}
        return self._find(name)

    def remove_rule(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        del now_ms, actor
        found = self._find(name)
        del self.rules[name]
        self.states = {place: state for place, state in self.states.items() if place[0] != name}
        return found

    def silence(self, now_ms: int, actor: Actor, rule: str, until_ms: int, reason: str | None) -> dict[str, Any]:
        if until_ms <= now_ms:
            raise UserError("until: a time ahead is needed.")
        found = self.silences[rule] = StoredSilence(rule, until_ms, reason, actor.name)
        return found._asdict()

    def unsilence(self, now_ms: int, actor: Actor, rule: str) -> dict[str, Any]:
        del now_ms, actor
        if rule not in self.silences:
            raise no_silence(rule)
        return self.silences.pop(rule)._asdict()

    def send_again(self, now_ms: int, actor: Actor, delivery_id: int) -> dict[str, Any]:
        del actor
        found = self.deliveries.get(delivery_id)
        if found is None:
            raise no_delivery(delivery_id)
        if found.state != "failed":
            raise UserError(f"Delivery {delivery_id} is {found.state}.")
        self.deliveries[delivery_id] = found._replace(state="waiting", attempts=0, next_ms=now_ms, ended_ms=None)
        return {"id": delivery_id, "destination": found.destination}
