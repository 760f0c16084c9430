"""Alerts in their tables; every change runs inside one transaction of the owner's."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core.secret import Secret
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.policy.alerts.alert_state import AlertState
from proxy.policy.sealing.place import Place
from proxy.storage.alert_changes import TABLE
from proxy.storage.alerts import (
    ALERT_PREFIX,
    AlertNote,
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
from proxy.storage.master_keys import MasterKeys
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.sqlite.sealed_values import read_sealed_values
from proxy.storage.users import UserError

_LIST_RULES = "SELECT name, settings, created_ms FROM alert_rules ORDER BY name"
_FIND_RULE = "SELECT name, settings, created_ms FROM alert_rules WHERE name = ?"
_LIST_DESTINATIONS = "SELECT name, settings, secrets, created_ms FROM alert_destinations ORDER BY name"
_FIND_DESTINATION = "SELECT name, settings, secrets, created_ms FROM alert_destinations WHERE name = ?"
_STATES = "SELECT rule, subject, level, peak, window_ms, is_told, since_ms, fired_ms, of FROM alert_states"
_SAMPLES = "SELECT measure, subject, at_ms, value FROM alert_samples ORDER BY at_ms"
_SILENCES = "SELECT rule, until_ms, reason, actor FROM alert_silences ORDER BY rule"
_DISABLED = "SELECT destination, reason FROM alert_disabled"
_FIRED = "SELECT rule, max(at_ms) FROM alerts WHERE told = 'fired' GROUP BY rule"
_ADD_ALERT = """INSERT OR IGNORE INTO alerts (at_ms, rule, subject, once_ms, told, threshold, message)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
_ADD_DELIVERY = "INSERT INTO alert_deliveries (alert, destination, state, next_ms) VALUES (?, ?, 'waiting', ?)"
_SET_STATE = "INSERT OR REPLACE INTO alert_states VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_END = """UPDATE alert_deliveries SET state = ?2, attempts = ?3, next_ms = ?4, status = ?5, problem = ?6, ended_ms = ?7
    WHERE id = ?1 AND state = 'waiting'"""
_DELIVERIES = """SELECT d.id, a.id, a.message, d.destination, d.state, d.attempts, a.at_ms, d.next_ms, d.ended_ms,
    d.status, d.problem FROM alert_deliveries AS d JOIN alerts AS a ON a.id = d.alert """
_DUE = _DELIVERIES + "WHERE d.state = 'waiting' ORDER BY d.next_ms, d.id LIMIT ?1"
_LIST = _DELIVERIES + "WHERE (?1 IS NULL OR d.state = ?1) AND (?2 IS NULL OR d.id < ?2) ORDER BY d.id DESC LIMIT ?3"
_FIND = _DELIVERIES + "WHERE d.id = ?"
_FORGET = (
    """DELETE FROM alert_deliveries WHERE state <> 'waiting'
        AND alert IN (SELECT id FROM alerts WHERE at_ms < ?1)""",
    "DELETE FROM alerts WHERE at_ms < ?1 AND id NOT IN (SELECT alert FROM alert_deliveries)",
    "DELETE FROM alert_samples WHERE at_ms > 0 AND at_ms < ?1",
    "DELETE FROM alert_silences WHERE until_ms < ?1",
)


def _rule(row: tuple[Any, ...]) -> dict[str, Any]:
    name, settings, created_ms = row
    return {"name": name, "settings": orjson.loads(settings), "created_ms": created_ms}


def _destination(row: tuple[Any, ...]) -> dict[str, Any]:
    name, settings, secrets, created_ms = row
    return {
        "name": name,
        "settings": orjson.loads(settings),
        "secrets": orjson.loads(secrets),
        "created_ms": created_ms,
    }


def read_opened_destinations(connection: sqlite3.Connection, master: MasterKeys) -> list[dict[str, Any]]:
    """Return all destinations, each with its secrets, or with the problem why one does not open."""
    rows = [_destination(row) for row in connection.execute(_LIST_DESTINATIONS)]
    values = read_sealed_values(connection, TABLE, master) if rows else {}
    found = []
    for row in rows:
        opened: dict[str, Secret] = {}
        problem = None
        for column in row["secrets"]:
            value = values.get(Place(TABLE, row["name"], column))
            if isinstance(value, Secret):
                opened[column] = value
            else:
                problem = "nothing is sealed for it" if value is None else str(value)
        found.append({**row, "opened": opened, "problem": problem})
    return found


def _message(text: str) -> AlertMessage:
    return AlertMessage(**orjson.loads(text))


def list_alert_rules(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the rules of the database by name."""
    return [_rule(row) for row in connection.execute(_LIST_RULES)]


def read_alert_rows(connection: sqlite3.Connection) -> AlertRows:
    """Return where rules stand, and what is silenced, disabled and compared."""
    samples: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for measure, subject, at_ms, value in connection.execute(_SAMPLES):
        samples[measure, subject].append((at_ms, value))
    return AlertRows(
        {
            (rule, subject): AlertState(level, peak, window_ms, bool(is_told), since_ms, fired_ms, of=of)
            for rule, subject, level, peak, window_ms, is_told, since_ms, fired_ms, of in connection.execute(_STATES)
        },
        {row[0]: StoredSilence(*row) for row in connection.execute(_SILENCES)},
        dict(connection.execute(_DISABLED).fetchall()),
        samples,
        dict(connection.execute(_FIRED).fetchall()),
    )


def _delivery(row: tuple[Any, ...]) -> StoredDelivery:
    id_, alert, message, *rest = row
    return StoredDelivery(id_, f"{ALERT_PREFIX}{alert:08x}", _message(message), *rest)


def due_deliveries(connection: sqlite3.Connection, count: int) -> list[StoredDelivery]:
    """Return what waits to be delivered, what is due first first."""
    return [_delivery(row) for row in connection.execute(_DUE, (count,))]


def list_deliveries(
    connection: sqlite3.Connection, state: str | None, before_id: int | None, count: int
) -> list[StoredDelivery]:
    """Return deliveries, the newest first."""
    return [_delivery(row) for row in connection.execute(_LIST, (state, before_id, count))]


def write_alert_notes(connection: sqlite3.Connection, notes: AlertNotes, now_ms: int) -> list[int]:
    """Write what the evaluation and the deliveries came to; return the ids of the alerts that are new."""
    for rule, subject, state in notes.states:
        if state is None:
            connection.execute("DELETE FROM alert_states WHERE rule = ? AND subject = ?", (rule, subject))
        else:
            connection.execute(_SET_STATE, (rule, subject, *state[:3], int(state.is_told), *state[4:6], state.of))
    made = [_add_alert(connection, note) for note in notes.alerts]
    for id_, state_word, attempts, next_ms, status, problem in notes.deliveries:
        ended_ms = now_ms if next_ms is None else None
        connection.execute(_END, (id_, state_word, attempts, next_ms, status, problem, ended_ms))
    for sample in notes.samples:
        connection.execute("INSERT OR REPLACE INTO alert_samples VALUES (?, ?, ?, ?)", sample)
    for name, reason in notes.disabled.items():
        connection.execute("INSERT OR REPLACE INTO alert_disabled VALUES (?, ?, ?)", (name, now_ms, reason))
    for name in notes.enabled:
        connection.execute("DELETE FROM alert_disabled WHERE destination = ?", (name,))
    if notes.kept_since_ms is not None:
        for statement in _FORGET:
            connection.execute(statement, (notes.kept_since_ms,))
    return [id_ for id_ in made if id_ is not None]


def _add_alert(connection: sqlite3.Connection, note: AlertNote) -> int | None:
    """Write an alert and its deliveries; None: the same was told once already."""
    message = note.message
    text = orjson.dumps(message._asdict()).decode()
    key = (message.at_ms, message.rule, message.subject, note.once_ms, message.told, note.threshold, text)
    added = connection.execute(_ADD_ALERT, key)
    if not added.rowcount:
        return None
    for destination, due_ms in note.destinations:
        connection.execute(_ADD_DELIVERY, (added.lastrowid, destination, due_ms))
    return added.lastrowid


class SqliteAlerts:
    """Alerts on the owner's connection; an AlertStore."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_rules(self) -> list[dict[str, Any]]:
        return list_alert_rules(self._connection)

    def find_destination(self, name: str) -> dict[str, Any] | None:
        row = self._connection.execute(_FIND_DESTINATION, (name,)).fetchone()
        return None if row is None else _destination(row)

    def put_destination(
        self, now_ms: int, actor: Actor, action: str, name: str, settings: Mapping[str, Any], sealed: Mapping[str, Any]
    ) -> dict[str, Any]:
        old = self.find_destination(name)
        texts = (orjson.dumps(settings).decode(), orjson.dumps([*sealed]).decode())
        self._connection.execute(
            "INSERT INTO alert_destinations VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT DO UPDATE SET settings = ?2, secrets = ?3",
            (name, *texts, now_ms),
        )
        self._connection.execute("DELETE FROM alert_disabled WHERE destination = ?", (name,))
        before = None if old is None else old["settings"]
        append_audit(self._connection, now_ms, actor, action, name, before, {**settings, "sealed_sha256": dict(sealed)})
        found = self.find_destination(name)
        assert found is not None
        return found

    def remove_destination(self, now_ms: int, actor: Actor, name: str) -> None:
        removed = self.find_destination(name)
        self._connection.execute("DELETE FROM alert_destinations WHERE name = ?", (name,))
        self._connection.execute("DELETE FROM alert_disabled WHERE destination = ?", (name,))
        before = None if removed is None else removed["settings"]
        append_audit(self._connection, now_ms, actor, "alert_destinations.remove", name, before, None)

    def _find(self, name: str) -> dict[str, Any]:
        row = self._connection.execute(_FIND_RULE, (name,)).fetchone()
        if row is None:
            raise no_rule(name)
        return _rule(row)

    def add_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        check_alert_name(name, "rule")
        check_rule(settings)
        stored = orjson.dumps(settings).decode()
        try:
            self._connection.execute("INSERT INTO alert_rules VALUES (?, ?, ?)", (name, stored, now_ms))
        except sqlite3.IntegrityError:
            raise rule_exists(name) from None
        append_audit(self._connection, now_ms, actor, "alert_rules.add", name, None, dict(settings))
        return self._find(name)

    def set_rule(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        before = self._find(name)
        was, rule = check_rule(before["settings"]), check_rule(settings)
        self._connection.execute(
            "UPDATE alert_rules SET settings = ? WHERE name = ?", (orjson.dumps(settings).decode(), name)
        )
        if (was.watch, was.levels) != (rule.watch, rule.levels):
            self._connection.execute("DELETE FROM alert_states WHERE rule = ?", (name,))
        append_audit(self._connection, now_ms, actor, "alert_rules.set", name, before["settings"], dict(settings))
        return self._find(name)

    def remove_rule(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        removed = self._find(name)
        self._connection.execute("DELETE FROM alert_rules WHERE name = ?", (name,))
        self._connection.execute("DELETE FROM alert_states WHERE rule = ?", (name,))
        append_audit(self._connection, now_ms, actor, "alert_rules.remove", name, removed["settings"], None)
        return removed

    def silence(self, now_ms: int, actor: Actor, rule: str, until_ms: int, reason: str | None) -> dict[str, Any]:
        if until_ms <= now_ms:
            raise UserError("until: a time ahead is needed.")
        row = (rule, until_ms, reason, actor.name, now_ms)
        self._connection.execute("INSERT OR REPLACE INTO alert_silences VALUES (?, ?, ?, ?, ?)", row)
        after = {"until_ms": until_ms, "reason": reason}
        append_audit(self._connection, now_ms, actor, "alert_rules.silence", rule, None, after)
        return {"rule": rule, **after, "actor": actor.name}

    def unsilence(self, now_ms: int, actor: Actor, rule: str) -> dict[str, Any]:
        found = self._connection.execute(
            "SELECT until_ms, reason, actor FROM alert_silences WHERE rule = ?", (rule,)
        ).fetchone()
        if found is None:
            raise no_silence(rule)
        self._connection.execute("DELETE FROM alert_silences WHERE rule = ?", (rule,))
        before = {"until_ms": found[0], "reason": found[1]}
        append_audit(self._connection, now_ms, actor, "alert_rules.unsilence", rule, before, None)
        return {"rule": rule, **before, "actor": found[2]}

    def send_again(self, now_ms: int, actor: Actor, delivery_id: int) -> dict[str, Any]:
        row = self._connection.execute(_FIND, (delivery_id,)).fetchone()
        if row is None:
            raise no_delivery(delivery_id)
        found = _delivery(row)
        if found.state != "failed":
            raise UserError(f"Delivery {delivery_id} is {found.state}; only one that was given up is sent again.")
        self._connection.execute(
            "UPDATE alert_deliveries SET state = 'waiting', attempts = 0, next_ms = ?, ended_ms = NULL WHERE id = ?",
            (now_ms, delivery_id),
        )
        subject = f"{delivery_id} to {found.destination}"
        append_audit(self._connection, now_ms, actor, "alert_deliveries.retry", subject, {"state": "failed"}, None)
        return {"id": delivery_id, "destination": found.destination}
