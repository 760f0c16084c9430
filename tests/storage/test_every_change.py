"""Every change that an operator can make leaves an entry in the audit trail, with who made it and no secret."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from proxy.core.secret import Secret
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.storage.admin_operations import CHANGES
from proxy.storage.audit import Actor
from proxy.storage.limits import read_limit
from proxy.storage.master_keys import keys_beside
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.stores import SqliteStores

ANNA = Actor("anna", "socket")
CANARY = "sk-or-v1-canary-0123456789abcdef"
STOP = "stop_0123456789ab"
BO = {"name": "bo"}
KEY = {"provider": "openrouter", "name": "spare"}
RULE = {"name": "spent", "settings": {"watch": "limit_share"}}
HOOK = {"name": "hook", "settings": {"kind": "webhook", "url": "https://example.org/" + CANARY}}
DAILY = {"scope": "user", "name": "bo", "kind": "requests", "limit": "5/day"}
CONFIGURATION = {"fingerprint": "f", "file": "config.yaml", "changes": ["first"], "text": "users: {}"}
SESSION = {
    "id": "ses_0",
    "digest": CANARY,
    "kind": "user",
    "name": "bo",
    "token": "tok_0",
    "bound": CANARY,
    "address": "127.0.0.1",
    "browser": "Firefox",
    "created_ms": 1,
}
# the first is a step of a rotation, whose begin and end are told; the second a copy of what configuration.reload tells
NO_CHANGE = frozenset({"master_key.reseal", "configuration.keep"})
Steps = tuple[tuple[str, Mapping[str, Any]], ...]

BEFORE_TOKENS: Steps = (
    ("users.add", BO),
    ("users.create", {"name": "carl", "settings": {"limits": {"cost": "$5/day"}}}),
    ("users.patch", {**BO, "changes": {"settings": {"models": ["openai/*"]}}}),
    ("users.set", {**BO, "changes": {"group": "family"}}),
    ("groups.add", {"name": "family"}),
    ("groups.set", {"name": "family", "settings": {"limits": {"cost": "$5/day"}}}),
    ("limits.add", DAILY),
    ("limits.set", {**DAILY, "limit": "9/day", "place": read_limit("requests", "5/day").place}),
    ("limits.remove", {**DAILY, "place": read_limit("requests", "9/day").place}),
    ("operators.add", {"name": "olga", "role": "viewer"}),
    ("operators.set", {"name": "olga", "changes": {"role": "admin"}}),
    ("operators.rotate", {"name": "olga"}),
    ("operators.remove", {"name": "olga"}),
    ("stops.add", {"id": STOP, "kind": "user", "subject": "bo"}),
    ("stops.end", {"id": STOP}),
    ("sessions.add", {"session": SESSION, "cookie": "tk_0"}),
    ("sessions.end", {"id": "ses_0", "reason": "logged out"}),
    ("audit.note", {"action": "noted", "subject": "it"}),
    ("configuration.keep", CONFIGURATION),
    ("preferences.set", {"user": "bo", "settings": {"cheapest": True}}),
    ("preferences.remove", {"user": "bo"}),
    ("models.set", {"name": "openai/gpt-4o", "changes": {"enabled": False}}),
    ("models.remove", {"name": "openai/gpt-4o"}),
    ("providers.set", {"name": "openrouter", "changes": {"enabled": False}}),
    ("master_key.make", {}),
    ("keys.add", {**KEY, "secret": Secret(CANARY)}),
    ("keys.set", {**KEY, "settings": {"priority": 2}}),
    ("keys.rotate", {**KEY, "secret": Secret(CANARY + "f")}),
    ("keys.stop", {**KEY, "stopped": True}),
    ("keys.remove", KEY),
    ("alert_rules.add", RULE),
    ("alert_rules.set", RULE),
    ("alert_rules.silence", {"name": "spent", "until_ms": 1 << 50}),
    ("alert_rules.unsilence", {"name": "spent"}),
    ("alert_rules.remove", {"name": "spent"}),
    ("alert_destinations.add", HOOK),
    ("alert_destinations.set", HOOK),
    ("alert_destinations.remove", {"name": "hook"}),
)


class Trail:
    """A database whose changes are made by name, each held against the trail."""

    def __init__(self, path: Path) -> None:
        self.connection = connect_owner(path, 1.0)
        self.stores = SqliteStores(self.connection, keys_beside(path))
        self.made: set[str] = set()

    def change(self, name: str, fields: Mapping[str, Any]) -> Any:
        newest = self.newest
        found = CHANGES[name](self.stores, len(self.made) + 1, ANNA, fields)
        self.made.add(name)
        entries = self.connection.execute(
            "SELECT actor, source, action, before, after FROM audit WHERE id > ?", (newest,)
        ).fetchall()
        if name not in NO_CHANGE:
            assert entries, f"{name} leaves no entry"
        for actor, source, *told in entries:
            assert (actor, source) == ("anna", "socket"), name
            assert CANARY not in str(told), name
        return found

    @property
    def newest(self) -> int:
        found: int = self.connection.execute("SELECT ifnull(max(id), 0) FROM audit").fetchone()[0]
        return found


def test_every_change_is_told(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "ledger.db")
    with closing(trail.connection):
        for name, fields in BEFORE_TOKENS:
            trail.change(name, fields)
        message = AlertMessage("fired", "spent", "limit_share", "bo", 0, "bo has spent 80 %")
        trail.connection.execute(
            "INSERT INTO alerts VALUES (1, 0, 'spent', 'bo', 0, 'fired', '80%', ?)", (json.dumps(message._asdict()),)
        )
        trail.connection.execute(
            "INSERT INTO alert_deliveries (id, alert, destination, state) VALUES (1, 1, 'hook', 'failed')"
        )
        trail.change("alert_deliveries.retry", {"id": 1})
        first = trail.change("tokens.add", {"user": "bo"})
        second = trail.change("tokens.create", {"user": "carl"})
        trail.change("tokens.set", {"id": first["id"], "changes": {"disabled": True}})
        trail.change("tokens.rotate", {"id": second["id"]})
        trail.change("tokens.remove", {"id": first["id"]})
        ring = trail.change("master_key.export", {})
        trail.change("master_key.import", {"ring": ring})
        trail.change("master_key.begin_rotation", {})
        trail.change("master_key.reseal", {"after_id": 0})
        trail.change("master_key.end_rotation", {})
        trail.change("users.stop", BO)
        trail.change("users.remove", BO)
        trail.change("groups.remove", {"name": "family"})
    assert {*CHANGES} == trail.made
