"""The chain of the audit trail: whatever is done to its rows shows, and nothing shows where nothing was done."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.storage.audit import NO_HASH, Actor, AuditHead, AuditRow, AuditVerification, audit_hash, read_head_text
from proxy.storage.audit import head_text as text_of
from proxy.storage.sqlite.audit_log import append_audit, read_head, verify
from proxy.storage.sqlite.connect import connect_owner

COUNT = 12
_APPENDED = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect_owner(tmp_path / "ledger.db", 1.0)) as opened:
        opened.execute("PRAGMA synchronous = OFF")
        yield opened


def fill(connection: sqlite3.Connection, dice: random.Random, count: int = COUNT) -> None:
    for _ in range(count):
        state = dice.choice([None, {"a": dice.random()}, {"b": [1, "ö"], "a": None}])
        actor = Actor(dice.choice(["anna", "root"]), dice.choice(["socket", "tcp 10.0.0.7"]))
        append_audit(connection, dice.randrange(10**6), actor, "users.set", dice.choice("xyz"), state, {"n": 1})


def rows_of(connection: sqlite3.Connection) -> list[AuditRow]:
    return [AuditRow(*row) for row in connection.execute("SELECT * FROM audit ORDER BY id")]


def rehash(connection: sqlite3.Connection, id_: int) -> None:
    """Give a row the hash that fits its content."""
    row = AuditRow(*connection.execute("SELECT * FROM audit WHERE id = ?", (id_,)).fetchone())
    connection.execute("UPDATE audit SET hash = ? WHERE id = ?", (audit_hash(row), id_))


def change_a_cell(connection: sqlite3.Connection, dice: random.Random) -> None:
    id_ = dice.randint(1, COUNT)
    cell = dice.choice(["ts_ms = ts_ms + 1", "actor = 'eve'", "source = 'file'", "action = 'users.add'"])
    cell = dice.choice([cell, "subject = 'w'", "before = '{}'", "after = NULL", "previous = zeroblob(32)"])
    was = rows_of(connection)
    connection.execute(f"UPDATE audit SET {cell} WHERE id = ?", (id_,))  # noqa: S608 - the cells stand above
    if rows_of(connection) == was:  # the first row's previous is that already
        connection.execute("UPDATE audit SET subject = 'w' WHERE id = ?", (id_,))


def change_and_rehash(connection: sqlite3.Connection, dice: random.Random) -> None:
    id_ = dice.randint(1, COUNT)
    connection.execute("UPDATE audit SET subject = 'somebody else' WHERE id = ?", (id_,))
    rehash(connection, id_)


def remove_one(connection: sqlite3.Connection, dice: random.Random) -> None:
    connection.execute("DELETE FROM audit WHERE id = ?", (dice.randint(1, COUNT),))


def remove_and_close_ranks(connection: sqlite3.Connection, dice: random.Random) -> None:
    id_ = dice.randint(1, COUNT - 1)
    connection.execute("DELETE FROM audit WHERE id = ?", (id_,))
    for n in range(id_ + 1, COUNT + 1):
        connection.execute("UPDATE audit SET id = ? WHERE id = ?", (n - 1, n))
        rehash(connection, n - 1)


def cut_the_end(connection: sqlite3.Connection, dice: random.Random) -> None:
    connection.execute("DELETE FROM audit WHERE id > ?", (dice.randint(0, COUNT - 1),))


def exchange_two(connection: sqlite3.Connection, dice: random.Random) -> None:
    one, other = dice.sample(range(1, COUNT + 1), 2)
    connection.execute("UPDATE audit SET id = -1 WHERE id = ?", (one,))
    connection.execute("UPDATE audit SET id = ? WHERE id = ?", (one, other))
    connection.execute("UPDATE audit SET id = ? WHERE id = -1", (other,))
    if dice.random() < 0.5:
        rehash(connection, one)
        rehash(connection, other)


def insert_one(connection: sqlite3.Connection, dice: random.Random) -> None:
    last = rows_of(connection)[-1]
    id_ = dice.choice([0, -5, COUNT + 1, COUNT + 7])
    previous = dice.choice([last.hash, NO_HASH])
    row = AuditRow(id_, 5, "eve", "socket", "users.add", "eve", None, "{}", previous, None)
    kept = dice.choice([audit_hash(row), None, b"x"])
    connection.execute(_APPENDED, row._replace(hash=kept, previous=None if kept is None else previous))


def forget_the_head(connection: sqlite3.Connection, _dice: random.Random) -> None:
    connection.execute("DELETE FROM meta WHERE name = 'audit_head'")


def spoil_the_head(connection: sqlite3.Connection, dice: random.Random) -> None:
    value = dice.choice(["", "nonsense", f"{COUNT} " + "00" * 32, f"{COUNT - 1} " + "00" * 32])
    connection.execute("UPDATE meta SET value = ? WHERE name = 'audit_head'", (value,))


DAMAGE: list[Callable[[sqlite3.Connection, random.Random], None]] = [
    change_a_cell,
    change_and_rehash,
    remove_one,
    remove_and_close_ranks,
    cut_the_end,
    exchange_two,
    insert_one,
    forget_the_head,
    spoil_the_head,
]


def look(connection: sqlite3.Connection, noted: AuditHead | None = None) -> AuditVerification:
    return verify(connection, noted)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_every_damage_is_found(
    connection: sqlite3.Connection, damage: Callable[[sqlite3.Connection, random.Random], None]
) -> None:
    """And it is not mended by what is written afterwards."""
    dice = random.Random(f"audit {damage.__name__}")
    fill(connection, dice)
    whole = look(connection)
    assert (whole.entries, whole.fault_count, whole.head) == (COUNT, 0, read_head(connection))
    for _ in range(20):
        connection.execute("SAVEPOINT whole")
        damage(connection, dice)
        assert look(connection).fault_count > 0, rows_of(connection)
        fill(connection, dice, 2)
        assert look(connection).fault_count > 0, rows_of(connection)
        connection.execute("ROLLBACK TO whole")
        connection.execute("RELEASE whole")
    assert look(connection) == whole


def test_an_empty_trail_is_whole(connection: sqlite3.Connection) -> None:
    assert look(connection) == AuditVerification(0, None, (), 0)


def test_a_noted_head_is_found_or_missed(connection: sqlite3.Connection) -> None:
    dice = random.Random(3)
    fill(connection, dice)
    noted = read_head(connection)
    assert noted is not None
    assert read_head_text(f" {text_of(noted)}\n") == noted
    fill(connection, dice, 3)
    assert look(connection, noted).fault_count == 0
    assert look(connection, noted._replace(hash=NO_HASH)).faults[-1].kind == "other_head"
    assert look(connection, AuditHead(99, noted.hash)).faults[-1].kind == "other_head"
    for text in ("", "5", "5:", "5:xyz", "x:" + "00" * 32, "5:" + "0g" * 32, "5:" + "00" * 31):
        assert read_head_text(text) is None


def test_a_chain_written_anew_by_its_owner_shows_only_against_a_noted_head(connection: sqlite3.Connection) -> None:
    """What docs/concepts/audit.md says of it."""
    fill(connection, random.Random(4))
    noted = read_head(connection)
    kept = [row for row in rows_of(connection) if row.id != 5]
    connection.execute("DELETE FROM audit")
    connection.execute("DELETE FROM meta WHERE name = 'audit_head'")
    for row in kept:
        append_audit(connection, row.ts_ms, Actor(row.actor, row.source), row.action, row.subject, None, None)
    assert look(connection).fault_count == 0
    assert [fault.kind for fault in look(connection, noted).faults] == ["other_head"]


def test_many_faults_are_counted_and_the_first_are_listed(connection: sqlite3.Connection) -> None:
    fill(connection, random.Random(5), 150)
    connection.execute("UPDATE audit SET actor = 'eve'")
    found = look(connection)
    assert (found.fault_count, len(found.faults), found.faults[0].kind) == (150, 100, "changed")
