"""Long looks at a large ledger: what another process answers is what a thread would have, and no key goes to it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from proxy.storage import report_process
from proxy.storage.report_process import LongLooks
from proxy.web.admin import route, run_route
from tests.reconciliation.test_call_process import shown_environ
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

SUMS = ("usage?by=token,day", "usage?by=user,month", "usage?by=model&token=none")
LOOKS = (*SUMS, "models/stats?histograms=true", "report")
LISTS = ("attempts", "tokens", "adjustments", "audit?limit=2", "reconciliations/rows")
_OF_THE_MOMENT = ("made_at", "until", "request_id", "forecast", "forecast_note", "projection")
REFUSED = ("models/stats?cursor=WzFd", "report?growth=99999%25/month&revenue=$1/month", "report?month=2020-13")


async def looks(stand: Stand, paths: tuple[str, ...]) -> list[tuple[int, object]]:
    answers = [await stand.ask("GET", f"/admin/v1/{path}", token=ADMIN_TOKEN) for path in paths]
    return [(answer.status, told(answer.json())) for answer in answers]


async def etags(stand: Stand) -> list[str | None]:
    answers = [await stand.ask("GET", f"/admin/v1/{path}", token=ADMIN_TOKEN) for path in SUMS]
    return [answer.header("ETag") for answer in answers]


def told(answer: object) -> object:
    """Return an answer without what depends on the moment at which it was made."""
    if isinstance(answer, dict):
        return {name: told(one) for name, one in answer.items() if name not in _OF_THE_MOMENT}
    return [told(one) for one in answer] if isinstance(answer, list) else answer


def pids(long_looks: LongLooks) -> list[int]:
    return [child.pid for child in long_looks._pool._kept if child.pid is not None]


async def test_another_process_answers_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_stand(tmp_path) as stand:
        monkeypatch.setenv("SOME_API_KEY", "sk-or-v1-secret")
        for _ in range(3):
            assert (await stand.chat()).status == 200
        await stand.settled(3)
        long_looks = stand.app.deps.long_looks
        here = await looks(stand, (*LOOKS, *REFUSED))
        assert [status for status, _ in here] == [200] * len(LOOKS) + [400] * len(REFUSED)
        assert pids(long_looks) == []  # a small ledger is read by a thread
        lists = await looks(stand, LISTS)
        assert all(status == 200 for status, _ in lists)
        monkeypatch.setattr(route, "_FEW_ROWS", 0)
        assert await looks(stand, LISTS) == lists  # a thread writes many rows
        tags = await etags(stand)
        monkeypatch.setattr(run_route, "_LARGE_BYTES", 0)
        assert await etags(stand) == tags  # as the tag of a long answer is made
        assert tags[0] != tags[1]
        monkeypatch.setattr(long_looks, "_large_bytes", 0)
        assert await looks(stand, (*LOOKS, *REFUSED)) == here
        (pid,) = pids(long_looks)
        environ = await asyncio.to_thread(shown_environ, pid)
        assert b"sk-or-v1-secret" not in environ
        os.kill(pid, signal.SIGKILL)
        assert await looks(stand, LOOKS[:1]) == here[:1]  # a thread goes on where it was
        assert pids(long_looks) == []
        await asyncio.gather(*(looks(stand, LOOKS[:1]) for _ in range(4)))
        assert 1 <= len(pids(long_looks)) <= report_process._AT_ONCE
        given_up = asyncio.ensure_future(looks(stand, LOOKS[:1]))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await looks(stand, LOOKS) == here[: len(LOOKS)]
