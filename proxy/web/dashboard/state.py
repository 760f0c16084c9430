"""What the dashboard keeps in memory between requests."""

import asyncio
from types import ModuleType

from msgspec import Struct, field

from proxy.web.dashboard.answer_cache import AnswerCache
from proxy.web.dashboard.fragments import FragmentCache
from proxy.web.dashboard.notes import SessionNotes
from proxy.web.dashboard.sync_run import SyncRun


class DashboardState(Struct):
    """The parts that pages share; a restart forgets all of it."""

    answers: AnswerCache = field(default_factory=AnswerCache)
    fragments: FragmentCache = field(default_factory=FragmentCache)
    notes: SessionNotes = field(default_factory=SessionNotes)
    pages: ModuleType | None = None  # what answers for them, once somebody has looked
    early: "asyncio.Task[None] | None" = None  # begun by the start
    preparing: "asyncio.Task[None] | None" = None  # begun by the first look, or by the start
    streams: int = 0  # pages that are told of changes
    streams_begun: int = 0  # since the start
    sync: SyncRun | None = None  # the last one that somebody has started by the button

    async def close(self) -> None:
        """End what runs by itself."""
        for task in (self.early, self.preparing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.answers.close()
        if self.sync is not None:
            await self.sync.close()
