"""A rotation of the master key, killed at every write and gone on with: no value is lost, no wrong key opens any."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.core.secret import Secret
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError
from proxy.storage.admin_operations import CHANGES
from proxy.storage.audit import PROXY
from proxy.storage.master_keys import keys_beside
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.sealed_values import count_sealed_values
from proxy.storage.sqlite.stores import SqliteStores
from proxy.storage.users import UserError

PLACES = [Place("webhooks", str(n), "address") for n in range(7)]
CHILD = Path(__file__).with_name("rotate_child.py")


@contextmanager
def opened(path: Path) -> Iterator[tuple[sqlite3.Connection, SqliteStores]]:
    with closing(connect_owner(path, 1.0)) as connection:
        yield connection, SqliteStores(connection, keys_beside(path))


def change(stores: SqliteStores, name: str, **fields: Any) -> Any:
    return CHANGES[f"master_key.{name}"](stores, 1, PROXY, fields)


def rotate(stores: SqliteStores, *, resume: bool = False, forget: bool = False) -> bool:
    resumed: bool = change(stores, "begin_rotation", resume=resume, forget=forget)
    after_id = 0
    while after_id is not None:
        after_id = change(stores, "reseal", after_id=after_id).last_id
    change(stores, "end_rotation", forget=forget)
    return resumed


def all_open(stores: SqliteStores) -> bool:
    return all(stores.sealed.open(place) == Secret(place.row) for place in PLACES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a ledger with sealed values, closed as after a clean stop."""
    (tmp_path / "made").mkdir()
    with opened(tmp_path / "made" / "ledger.db") as (_, stores):
        for place in PLACES:
            stores.sealed.put(place, Secret(place.row))
    return tmp_path / "made" / "ledger.db"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_killed_at_every_write_it_goes_on_and_nothing_is_lost(path: Path, tmp_path: Path) -> None:
    first, killed = keys_beside(path).ring(), tmp_path / "killed"
    assert first is not None
    ran = subprocess.run(
        [sys.executable, str(CHILD), str(path), str(killed)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    folders = sorted(killed.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 20  # two rings of a file each, and a commit for each step and batch, before and after
    states = []
    for folder in folders:
        with opened(folder / path.name) as (connection, stores):
            assert all_open(stores), folder
            ring = keys_beside(folder / path.name).ring()
            assert ring is not None
            states.append("before" if ring == first else "rotating" if ring.old else "after")
            if states[-1] != "after":
                assert rotate(stores) is (states[-1] == "rotating")
            assert all_open(stores), folder
            ring = keys_beside(folder / path.name).ring()
            assert ring is not None
            assert (ring.old, [key.id for key in ring.archive]) == ((), [first.active.id])
            assert [count.master_key_id for count in count_sealed_values(connection)] == [ring.active.id]
    assert sorted(states, key=["before", "rotating", "after"].index) == states
    assert len(set(states)) == 3


def test_no_key_is_retired_while_a_value_needs_it(path: Path) -> None:
    with opened(path) as (_, stores):
        change(stores, "begin_rotation", resume=False, forget=False)
        with pytest.raises(UserError, match="7 values still need"):
            change(stores, "end_rotation", forget=True)
        assert all_open(stores)
        assert rotate(stores, resume=True) is True
        assert all_open(stores)
        with pytest.raises(UserError, match="No rotation of the master key was cut"):
            change(stores, "begin_rotation", resume=True, forget=False)


def test_values_of_an_older_back_up_are_refused_by_name_and_taken_in_again(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    with opened(path) as (_, stores):
        rotate(stores)
    shutil.copy(backup, path)  # restored, with the ring of now
    with opened(path) as (_, stores):
        with pytest.raises(UnsealError, match="a rotation has retired") as caught:
            stores.sealed.open(PLACES[0])
        assert caught.value.reason == "retired_key"
        assert rotate(stores, resume=True) is True
        assert all_open(stores)
        rotate(stores, resume=True, forget=True)
        assert all_open(stores)
    shutil.copy(backup, path)
    with opened(path) as (_, stores), pytest.raises(UnsealError, match="not at hand"):
        stores.sealed.open(PLACES[0])


def test_a_value_that_does_not_open_stops_no_rotation(path: Path) -> None:
    with opened(path) as (connection, stores):
        connection.execute("UPDATE sealed_values SET version = 9 WHERE of_row = '3'")
        rotate(stores)
        assert [count.values for count in count_sealed_values(connection)] in ([1, 6], [6, 1])
        with pytest.raises(UnsealError):
            stores.sealed.open(PLACES[3])
        assert all(stores.sealed.open(place) == Secret(place.row) for place in PLACES if place.row != "3")
