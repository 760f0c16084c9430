"""What must be as before when a test has ended: tasks of the loop and descriptors of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.patience import eventually

_DESCRIPTORS = Path("/proc/self/fd")


def descriptors() -> dict[str, str]:
    """Give number -> what it is, for every descriptor of this process; {} where the system cannot tell."""
    found = {}
    if not _DESCRIPTORS.is_dir():
        return {}
    for link in _DESCRIPTORS.iterdir():
        try:
            found[link.name] = str(link.readlink())
        except OSError:  # the one that the listing itself had open
            continue
    return found


@asynccontextmanager
async def nothing_leaks() -> AsyncIterator[None]:
    """Check that what runs inside leaves no task and no descriptor behind."""
    await asyncio.to_thread(int)  # the pool's threads and the loop's own descriptors are no leak
    tasks = asyncio.all_tasks()
    before = descriptors()
    yield

    def left() -> set["asyncio.Task[object]"]:
        return asyncio.all_tasks() - tasks - {asyncio.current_task()}  # a fixture's end runs in a task of its own

    async def clean() -> bool:
        return not left() and len(descriptors()) <= len(before)

    try:
        await eventually(clean)
    except AssertionError:
        new = {n: what for n, what in descriptors().items() if before.get(n) != what}
        raise AssertionError(f"left behind: tasks {left()}, descriptors {new}") from None
