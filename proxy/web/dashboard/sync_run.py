"""A comparison with the provider's bill that somebody has started by the button: one at a time, day by day."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date

from msgspec import Struct, field

from proxy.core.errors import ApiError

SyncDay = Callable[[date], Awaitable[Sequence[str]]]
"""Compare one day; returns what could not be read, in words."""


class SyncRun(Struct):
    """How far it has come. One writer: the task that run() is."""

    days: Sequence[date]
    done: int = 0
    problems: list[str] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    @property
    def is_over(self) -> bool:
        """Return whether all days were tried."""
        return self.task is None or self.task.done()

    @classmethod
    def begin(cls, days: Sequence[date], sync_day: SyncDay) -> "SyncRun":
        """Start to compare days, the newest first: what people look for first."""
        run = cls(sorted(days, reverse=True))
        run.task = asyncio.create_task(run._run(sync_day), name="dashboard.sync")
        return run

    async def _run(self, sync_day: SyncDay) -> None:
        for day in self.days:
            try:
                self.problems += [f"{day}: {problem}" for problem in await sync_day(day)]
            except ApiError as error:
                self.problems.append(f"{day}: {error.message}")
            self.done += 1

    async def close(self) -> None:
        """End it; what was compared so far stays."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
