"""Provider keys of the database: each change whole, audited, and never with the key in a row."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.core.secret import Secret
from proxy.storage.admin_operations import CHANGES
from proxy.storage.audit import Actor
from proxy.storage.master_keys import MasterKeys, keys_beside
from proxy.storage.provider_keys import hint_of
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.provider_keys import read_opened_keys
from proxy.storage.sqlite.stores import SqliteStores
from proxy.storage.users import MissingError, UserError

SECRET = Secret("sk-or-v1-0123456789abcdef")
ANNA = Actor("anna", "socket")


class Keys:
    """One database with its stores, and changes by name."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys) -> None:
        self.connection, self.master = connection, master
        self.stores = SqliteStores(connection, master)
        self.now_ms = 0

    def change(self, verb: str, **fields: Any) -> Any:
        self.now_ms += 1
        given = {"provider": "openrouter", "name": "main", **fields}
        return CHANGES[f"keys.{verb}"](self.stores, self.now_ms, ANNA, given)

    def opened(self) -> dict[str, tuple[str | None, str | None]]:
        """Return secret and problem of each key by its name."""
        found = read_opened_keys(self.connection, self.master)
        return {row["name"]: (row["secret"] and row["secret"].reveal(), row["problem"]) for row in found}

    def told(self) -> list[tuple[str, str, Any]]:
        """Return the audit trail: action, subject, and after."""
        rows = self.connection.execute("SELECT action, subject, after FROM audit ORDER BY id")
        return [(action, subject, orjson.loads(after or "null")) for action, subject, after in rows]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    connection = connect_owner(tmp_path / "ledger.db", 1.0)
    yield Keys(connection, keys_beside(tmp_path / "ledger.db"))
    connection.close()


def test_a_key_from_beginning_to_end(keys: Keys) -> None:
    added = keys.change("add", secret=SECRET, settings={"priority": 2, "limits": {"cost": "$5/day"}})
    assert (added["hint"], added["settings"]) == ("cdef", {"priority": 2, "limits": {"cost": "$5/day"}})
    keys.change("set", settings={"priority": None, "valid_until": "2027-01-31T00:00:00Z"}, disabled=True)
    keys.change("rotate", secret=Secret("sk-or-v1-another-one-zzzz"))
    (row,) = keys.stores.keys.list_keys()
    assert (row["hint"], row["disabled"], row["created_ms"], row["rotated_ms"]) == ("zzzz", True, 1, 3)
    assert row["settings"] == {"limits": {"cost": "$5/day"}, "valid_until": "2027-01-31T00:00:00Z"}
    assert keys.opened() == {"main": ("sk-or-v1-another-one-zzzz", None)}
    keys.change("remove")
    assert (keys.opened(), keys.stores.sealed.counts()) == ({}, [])
    told = keys.told()
    assert [(action, subject) for action, subject, _ in told] == [
        (f"keys.{verb}", "openrouter:main") for verb in ("add", "set", "rotate", "remove")
    ]
    assert told[0][2]["sealed_sha256"] != told[2][2]["sealed_sha256"]
    assert set(told[1][2]) == {"settings", "disabled"}
    assert set(told[2][2]) == {"rotated_ms", "sealed_sha256"}
    everything = "\n".join(str(line) for line in keys.connection.iterdump())
    assert "0123456789" not in everything
    assert "another-one" not in everything


@pytest.mark.parametrize(
    ("verb", "fields", "text"),
    [
        ("add", {"secret": SECRET}, "already"),
        ("add", {"name": "no name", "secret": SECRET}, "cannot be the name of a key"),
        ("add", {"name": "x", "secret": SECRET, "settings": {"weight": 0}}, "weight"),
        ("add", {"name": "x", "secret": SECRET, "settings": {"api_key": "x"}}, "'api_key' cannot be set"),
        ("add", {"name": "x", "secret": SECRET, "user": "bo", "settings": {"priority": 1}}, "own has no priority"),
        ("add", {"name": "x", "secret": SECRET, "user": "bo"}, "bo has an own key for openrouter already: own-bo"),
        ("add", {"name": "x"}, "a key is needed"),
        ("set", {"settings": {"valid_from": "2027-02-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"}}, "ends"),
        ("set", {"name": "other"}, "There is no key 'other'"),
        ("rotate", {"name": "other", "secret": SECRET}, "There is no key 'other'"),
        ("remove", {"name": "other"}, "There is no key 'other'"),
    ],
)
def test_what_cannot_be_changes_nothing(keys: Keys, verb: str, fields: dict[str, Any], text: str) -> None:
    keys.change("add", secret=SECRET)
    keys.change("add", name="own-bo", user="bo", secret=Secret("sk-of-bo"))
    before = list(keys.connection.iterdump())
    with pytest.raises(UserError, match=text):
        keys.change(verb, **fields)
    assert list(keys.connection.iterdump()) == before


def test_a_key_of_the_configuration_can_be_stopped_and_let_go(keys: Keys) -> None:
    for _ in range(2):
        keys.change("stop", stopped=True)
    assert keys.opened() == {"main": (None, None)}
    with pytest.raises(MissingError):
        keys.change("rotate", secret=SECRET)
    for _ in range(2):
        keys.change("stop", stopped=False)
    assert keys.opened() == {}
    assert [action for action, _, _ in keys.told()] == ["keys.disable", "keys.enable"]


def test_a_row_that_was_given_to_somebody_else_does_not_open(keys: Keys) -> None:
    """Whoever can write to the database, but has no master key, cannot send a key elsewhere or have others use it."""
    for name, user in (("main", None), ("own-bo", "bo")):
        keys.change("add", name=name, user=user, secret=SECRET)
    keys.connection.execute("UPDATE provider_keys SET provider = 'evil' WHERE name = 'main'")
    keys.connection.execute("UPDATE provider_keys SET user = NULL WHERE name = 'own-bo'")
    assert {secret for secret, _ in keys.opened().values()} == {None}
    keys.change("rotate", provider="evil", secret=SECRET)
    assert keys.opened()["main"] == (SECRET.reveal(), None)


def test_a_hint_shows_nothing_of_a_short_key() -> None:
    assert [hint_of(Secret(text)) for text in ("ollama", "x" * 15, "x" * 12 + "abcd")] == ["", "", "abcd"]


@pytest.mark.parametrize("settings", ["", "{", "[]", '{"weight": 0}', '{"unknown": 1}', '{"valid_from": "soon"}'])
def test_settings_that_somebody_has_damaged_stop_that_key_alone(keys: Keys, settings: str) -> None:
    for name in ("main", "spare"):
        keys.change("add", name=name, secret=SECRET)
    keys.connection.execute("UPDATE provider_keys SET settings = ? WHERE name = 'main'", (settings,))
    found = keys.opened()
    assert found["spare"] == (SECRET.reveal(), None)
    assert found["main"][0] is None
    assert "its settings cannot be read" in str(found["main"][1])
