"""Others' transactions are seen, one's own reading is not, and a look leaves the times of the WAL alone."""

from pathlib import Path

from proxy.storage.sqlite.ledger_changes import LedgerChanges
from tests.storage.made_rows import ledger


def test_each_transaction_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with ledger(path) as connection:
        changes = LedgerChanges(path)
        seen = [changes.count()]
        for n in range(3):
            assert changes.count() == seen[-1]
            connection.execute("SELECT count(*) FROM requests").fetchone()
            assert changes.count() == seen[-1]
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('n', ?)", (str(n),))
            seen.append(changes.count())
        assert None not in seen
        assert len({*seen}) == 4
        changes.close()
    assert changes.count() is None


def test_a_look_does_not_wait(tmp_path: Path) -> None:
    """Nor does it come to an error: in the midst of a transaction it tells of those before it."""
    with ledger(tmp_path / "a.db") as connection:
        changes = LedgerChanges(tmp_path / "a.db")
        before = changes.count()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO meta VALUES ('n', '')")
        assert changes.count() == before
        connection.execute("COMMIT")
        assert changes.count() != before
        changes.close()


def test_what_is_no_database_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"nothing of a database " * 100)
    changes = LedgerChanges(tmp_path / "a.db")
    assert changes.count() is None
    changes.close()
