"""Rotate the master key of copies of a ledger, each in a process that is killed at another write.

python rotate_child.py LEDGER FOLDER: the first is killed at the first write, in FOLDER/1; the last comes to its end.
A write is what a kill could come before or after: fsync, a rename, a commit.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.storage.admin_operations import CHANGES
from proxy.storage.audit import PROXY
from proxy.storage.master_keys import keys_beside
from proxy.storage.sqlite import sealed_values
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.stores import SqliteStores


class Kill:
    """Kills this process at the n-th write, before it or right after it."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            self._step()
            result = write(*arguments, **more)
            self._step()
            return result

        return run

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def rotate(path: Path, kill: Kill) -> None:
    """Take every step of a rotation, each in a transaction, as the operator's API does."""
    connection = connect_owner(path, 1.0)
    sealed_values.BATCH = 3  # several batches of a few values
    os.fsync, Path.replace = kill.around(os.fsync), kill.around(Path.replace)  # type: ignore[method-assign]
    commit = kill.around(lambda: connection.execute("COMMIT"))

    def change(name: str, **fields: Any) -> Any:
        connection.execute("BEGIN IMMEDIATE")
        stores = SqliteStores(connection, keys_beside(path))
        result = CHANGES[f"master_key.{name}"](stores, 1, PROXY, fields)
        commit()
        return result

    change("begin_rotation", resume=False, forget=False)
    after_id: int | None = 0
    while after_id is not None:
        after_id = change("reseal", after_id=after_id).last_id
    change("end_rotation", forget=False)
    connection.close()


def main(ledger: Path, folder: Path) -> None:
    """Fork once for each write: a process of its own that begins with all that it needs costs little."""
    for at in itertools.count(1):
        copy = folder / str(at)
        shutil.copytree(ledger.parent, copy)
        child = os.fork()
        if not child:
            rotate(copy / ledger.name, Kill(at))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
