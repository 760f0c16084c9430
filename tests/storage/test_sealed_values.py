"""Sealed values in the database: what moves does not open, and no key is made over values that need another."""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKey
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError
from proxy.storage.master_keys import MasterKeys, keys_beside
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.sealed_values import BATCH, SqliteSealedStore, count_sealed_values, read_sealed_values
from proxy.storage.users import MissingError, UserError

A, B = (MasterKey(sha256(name).digest()) for name in (b"A", b"B"))
ONE, TWO = Place("provider_keys", "openrouter/main/", "secret"), Place("provider_keys", "openrouter/spare/", "secret")
HOOK = Place("webhooks", "7", "address")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    found = connect_owner(path, 1.0)
    yield found
    found.close()


@pytest.fixture
def master(path: Path) -> MasterKeys:
    return keys_beside(path)


@pytest.fixture
def store(connection: sqlite3.Connection, master: MasterKeys) -> SqliteSealedStore:
    return SqliteSealedStore(connection, master)


def why(store: SqliteSealedStore, place: Place) -> str:
    with pytest.raises(UnsealError) as caught:
        store.open(place)
    return caught.value.reason


def test_the_first_value_makes_the_master_key_and_later_ones_use_it(
    store: SqliteSealedStore, master: MasterKeys, path: Path
) -> None:
    assert not master.file.exists()
    store.put(ONE, Secret("first"))
    ring = master.read()
    store.put(ONE, Secret("second"))
    store.put(HOOK, Secret("https://hooks.example.com/x"))
    assert master.read() == ring
    assert (store.open(ONE), store.open(HOOK)) == (Secret("second"), Secret("https://hooks.example.com/x"))
    assert SqliteReports(path).sealed_values("provider_keys") == {ONE: Secret("second")}
    store.remove(*HOOK[:2])
    with pytest.raises(MissingError):
        store.open(HOOK)


def test_the_fingerprint_changes_with_each_put_and_tells_nothing_of_the_value(store: SqliteSealedStore) -> None:
    assert store.fingerprint(ONE) is None
    found = set()
    for _ in range(2):
        store.put(ONE, Secret("same"))
        found.add(store.fingerprint(ONE))
    assert len(found) == 2


SWAPS = {
    "rows": "UPDATE sealed_values SET sealed = (SELECT sealed FROM sealed_values WHERE of_row = 'openrouter/spare/')"
    " WHERE of_row = 'openrouter/main/'",
    "columns": "UPDATE sealed_values SET of_column = 'other' WHERE of_row = 'openrouter/main/'",
    "tables": "UPDATE sealed_values SET of_table = 'webhooks' WHERE of_row = 'openrouter/main/'",
    "owner": "UPDATE sealed_values SET of_row = 'openrouter/main/user:bo' WHERE of_row = 'openrouter/main/'",
    "versions": "UPDATE sealed_values SET version = version + 1 WHERE of_row = 'openrouter/main/'",
    "salt": "UPDATE meta SET value = hex(randomblob(32)) WHERE name = 'seal_salt'",
    "truncated": "UPDATE sealed_values SET sealed = substr(sealed, 1, 100) WHERE of_row = 'openrouter/main/'",
    "no salt": "DELETE FROM meta WHERE name = 'seal_salt'",
    "odd salt": "UPDATE meta SET value = 'none' WHERE name = 'seal_salt'",
}


@pytest.mark.parametrize("sql", SWAPS.values(), ids=SWAPS.keys())
def test_what_was_moved_does_not_open_and_stops_nobody_else(
    store: SqliteSealedStore, connection: sqlite3.Connection, master: MasterKeys, sql: str
) -> None:
    store.put(ONE, Secret("one"))
    store.put(TWO, Secret("two"))
    connection.execute(sql)
    found = {
        place: value
        for table in ("provider_keys", "webhooks")
        for place, value in read_sealed_values(connection, table, master).items()
    }
    assert len(found) == 2
    broken = [value for place, value in found.items() if place != TWO]
    assert all(isinstance(value, UnsealError) for value in broken)
    if "salt" not in sql:
        assert found[TWO] == Secret("two")


def test_a_value_of_another_database_with_the_same_master_key_is_refused(
    store: SqliteSealedStore, connection: sqlite3.Connection, master: MasterKeys, tmp_path: Path
) -> None:
    store.put(ONE, Secret("here"))
    other = connect_owner(tmp_path / "other.db", 1.0)
    try:
        SqliteSealedStore(other, master).put(ONE, Secret("there"))
        (moved,) = other.execute("SELECT sealed FROM sealed_values").fetchone()
    finally:
        other.close()
    connection.execute("UPDATE sealed_values SET sealed = ?", (moved,))
    assert why(store, ONE) == "altered"


def test_no_master_key_is_made_while_values_need_another(store: SqliteSealedStore, master: MasterKeys) -> None:
    store.put(ONE, Secret("one"))
    kept = master.file.read_text()
    master.file.unlink()
    for place in (ONE, TWO):
        with pytest.raises(UserError, match="master key is missing"):
            store.put(place, Secret("new"))
    assert not master.file.exists()
    master.file.write_text(kept)
    master.file.chmod(0o600)
    assert store.open(ONE) == Secret("one")


def test_a_wrong_master_key_seals_nothing_new_but_sets_anew_what_it_cannot_open(
    store: SqliteSealedStore, master: MasterKeys
) -> None:
    store.put(ONE, Secret("one"))
    master.replace(MasterRing(B))
    assert why(store, ONE) == "unknown_key"
    with pytest.raises(UserError, match=f"{B.id} is not the one of this database"):
        store.put(TWO, Secret("two"))
    store.put(ONE, Secret("anew"))
    store.put(TWO, Secret("two"))
    assert (store.open(ONE), store.open(TWO)) == (Secret("anew"), Secret("two"))


def test_an_unreadable_master_key_is_told_and_no_value_is_lost(store: SqliteSealedStore, master: MasterKeys) -> None:
    store.put(ONE, Secret("one"))
    master.file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        store.put(ONE, Secret("two"))
    master.file.chmod(0o600)
    assert store.open(ONE) == Secret("one")


def test_a_ring_that_another_process_has_turned_is_read_again(
    connection: sqlite3.Connection, store: SqliteSealedStore, path: Path
) -> None:
    store.put(ONE, Secret("one"))
    other = keys_beside(path)
    ring = other.read()
    assert ring is not None
    other.replace(ring.with_new(B))
    SqliteSealedStore(connection, other).put(ONE, Secret("two"))
    assert store.open(ONE) == Secret("two")


def test_values_are_sealed_anew_in_batches_and_only_where_they_open(
    store: SqliteSealedStore, connection: sqlite3.Connection, master: MasterKeys
) -> None:
    places = [Place("webhooks", str(n), "address") for n in range(BATCH + 7)]
    for place in places:
        store.put(place, Secret(place.row))
    connection.execute("UPDATE sealed_values SET version = 9 WHERE of_row = '3'")
    ring = master.read()
    assert ring is not None
    old = ring.active.id
    master.replace(ring.with_new(B))
    first = store.reseal(0)
    assert (first.resealed, store.opens_with(old)) == (BATCH - 1, 7)
    assert first.last_id is not None
    assert store.reseal(first.last_id) == (7, None)
    assert store.opens_with(old) == 0
    counts = {count.master_key_id: count.values for count in count_sealed_values(connection)}
    assert counts == {old: 1, B.id: BATCH + 6}
    assert all(store.open(place) == Secret(place.row) for place in places if place.row != "3")
    assert why(store, places[3]) == "altered"
