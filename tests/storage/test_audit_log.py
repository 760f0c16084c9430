"""The audit trail: each change has its entry, chained to the one before it, in the transaction of the change itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.user_token import token_hash
from proxy.storage.audit import NO_HASH, Actor, AuditRow, audit_hash
from proxy.storage.master_keys import keys_beside
from proxy.storage.sqlite.audit_log import append_audit, read_head
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.migrations.migrate import STEPS, _script, migrate
from proxy.storage.sqlite.owner import OwnedLedger
from proxy.storage.users import UserError

ANNA = Actor("anna", "socket")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect_owner(tmp_path / "ledger.db", 1.0)) as opened:
        yield opened


def rows_of(connection: sqlite3.Connection) -> list[AuditRow]:
    return [AuditRow(*row) for row in connection.execute("SELECT * FROM audit ORDER BY id")]


def assert_chained(connection: sqlite3.Connection) -> list[AuditRow]:
    rows = rows_of(connection)
    previous: bytes | None = NO_HASH
    for n, row in enumerate(rows, 1):
        assert (row.id, row.previous, row.hash) == (n, previous, audit_hash(row))
        previous = row.hash
    assert read_head(connection) == ((len(rows), previous) if rows else None)
    return rows


def test_an_entry_holds_all_and_is_chained(connection: sqlite3.Connection) -> None:
    assert assert_chained(connection) == []
    append_audit(connection, 5, ANNA, "users.set", "bob", {"group": None}, {"group": "g", "a": [1]})
    append_audit(connection, 4, Actor("proxy", "proxy"), "users.remove", "bob", {"group": "g"}, None)
    first, second = assert_chained(connection)
    assert first[1:8] == (5, "anna", "socket", "users.set", "bob", '{"group":null}', '{"a":[1],"group":"g"}')
    assert second[1:8] == (4, "proxy", "proxy", "users.remove", "bob", '{"group":"g"}', None)


def test_no_character_moves_between_fields_unseen() -> None:
    row = AuditRow(1, 2, "a", "b", "c", "d", None, None, NO_HASH, b"")
    others = [
        row._replace(actor="ab", source=""),
        row._replace(before=""),
        row._replace(after=""),
        row._replace(id=12, ts_ms=0),
        row._replace(previous=bytes(31) + b"\1"),
    ]
    assert len({audit_hash(each) for each in (row, *others)}) == len(others) + 1


def test_entries_of_earlier_versions_are_taken_into_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        migrate(old, path, [_script(name) for name in STEPS[:7]])
        old.executemany(
            "INSERT INTO audit (ts_ms, actor, action, subject, detail) VALUES (?, 'root', 'users.add', ?, '{}')",
            [(n, f"u{n}") for n in range(3)],
        )
    with closing(connect_owner(path, 1.0)) as connection:
        assert [row.hash for row in rows_of(connection)] == [None] * 3
        append_audit(connection, 9, ANNA, "users.add", "bob", None, {})
        rows = assert_chained(connection)
    assert [(row.ts_ms, row.source, row.subject, row.after) for row in rows] == [
        *((n, "", f"u{n}", "{}") for n in range(3)),
        (9, "socket", "bob", "{}"),
    ]


def test_damage_stops_no_change_and_is_not_mended_by_one(connection: sqlite3.Connection) -> None:
    for name in ("a", "b", "c"):
        append_audit(connection, 1, ANNA, "users.add", name, None, {})
    cut = rows_of(connection)[-1]
    connection.execute("DELETE FROM audit WHERE id = 3")
    append_audit(connection, 1, ANNA, "users.add", "d", None, {})
    assert [(row.id, row.previous == cut.hash) for row in rows_of(connection)] == [(1, False), (2, False), (4, True)]
    connection.execute(
        "INSERT INTO audit SELECT 9, 1, 'x', 'x', 'x', 'x', NULL, NULL, previous, hash FROM audit WHERE id = 1"
    )
    connection.execute("UPDATE meta SET value = 'nonsense' WHERE name = 'audit_head'")
    append_audit(connection, 1, ANNA, "users.add", "e", None, {})
    last = rows_of(connection)[-1]
    assert (last.id, last.previous) == (10, NO_HASH)


def test_every_change_of_users_and_tokens_is_told_with_what_was_before(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    ledger = OwnedLedger(connection, keys_beside(tmp_path / "ledger.db"))

    def change(operation: str, **fields: object) -> dict[str, object]:
        made: dict[str, object] = ledger.operate(operation, now_ms=7, actor=ANNA, fields=fields)
        return made

    change("users.add", name="bob", group="g")
    change("users.set", name="bob", changes={"group": None, "disabled": False})
    made = change("tokens.add", user="bob", name="laptop")
    change("tokens.rotate", id=made["id"], overlap_ms=5)
    with pytest.raises(UserError):
        change("users.add", name="bob")
    change("users.stop", name="bob")
    change("users.remove", name="bob")
    rows = assert_chained(connection)
    assert [row.action for row in rows] == [
        "users.add",
        "users.set",
        "tokens.add",
        "tokens.add",
        "tokens.set",
        "users.set",
        "users.remove",
    ]
    assert (rows[1].before, rows[1].after) == ('{"group":"g"}', '{"group":null}')
    assert (rows[4].before, rows[4].after) == ('{"expires_ms":null}', '{"expires_ms":12}')
    assert (rows[5].before, rows[5].after) == ('{"disabled":false}', '{"disabled":true}')
    assert rows[6].after is None
    assert str(made["id"]) in str(rows[6].before)
    token = str(made["token"])
    assert token_hash(token) in str(rows[2].after)
    assert token not in str(rows)
