"""What the ledger tells of the last hour is known again after a start: how fast and how sure each target was."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.app import App
from proxy.storage.rows import id_floor
from tests.support.installation import settings, write_config
from tests.support.leaks import nothing_leaks
from tests.support.stand import Stand, app_in_loop, models_known, simulator, sqlite_ledger

SLOW, QUICK = "openai/gpt-4o-mini", "openai/gpt-5"  # by price it would be the other way round
CONFIGURED = {"presets": {"mine": {"targets": [SLOW, QUICK], "select": "fastest"}}}


class Restarted:
    """One folder and one simulator, and proxies on them one after the other."""

    def __init__(self, folder: Path, sim: Any) -> None:
        self.folder = folder
        self.sim = sim
        self.path = write_config(folder, settings(sim.url, CONFIGURED))

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[Stand]:
        async with app_in_loop(self.path) as app:
            await models_known(app)
            yield Stand(self.folder, app, self.sim)


@asynccontextmanager
async def restartable(folder: Path) -> AsyncIterator[Restarted]:
    async with nothing_leaks(), simulator() as sim:
        yield Restarted(folder, sim)


async def explained(stand: Stand) -> list[tuple[str, str]]:
    """Give model and reason of the targets, in the order of the walk."""
    body = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}]}
    answer = await stand.ask("POST", "/v1/explain", body)
    return [(target["model"], target["reason"]) for target in answer.json()["targets"]]


def known(app: App, model: str) -> tuple[int, float, bool] | None:
    """Give the number of attempts, the error rate, and whether its speed is known."""
    found = app.health.of(app.live.current.providers["openrouter"]).known(model)
    if found is None:
        return None
    assert found.error_rate is not None
    return found.attempts, found.error_rate, found.latency_ms is not None


async def test_the_faster_one_goes_first_after_a_restart(tmp_path: Path) -> None:
    async with restartable(tmp_path) as installed:
        async with installed.proxy() as stand:
            assert [reason for _, reason in await explained(stand)] == ["its speed is not known"] * 2
            await installed.sim.behave(f"model:{SLOW}", delay_ms=1500)
            for model in (SLOW, QUICK):
                assert (await stand.chat({"model": model})).status == 200
            before = await explained(stand)
        assert [model for model, _ in before] == [QUICK, SLOW]
        async with installed.proxy() as stand:
            after = await explained(stand)
            assert [model for model, _ in after] == [QUICK, SLOW]
            assert all(reason.endswith("ms to the first content") for _, reason in after)
            assert known(stand.app, SLOW) == known(stand.app, QUICK) == (1, 0.0, True)


# what the provider does -> whether it counts as the target's failure
FAULTS: dict[str, tuple[dict[str, Any], bool]] = {
    "overloaded": ({"error": "overloaded"}, True),
    "no answer": ({"named": "rst-before-headers"}, True),
    "an error in a 200": ({"error": "provider-error", "error_in_200": True}, True),
    "a rate limit": ({"error": "upstream-rate-limit"}, True),
    "a bad request": ({"error": "bad-parameter"}, False),
    "a bad key": ({"error": "user-not-found"}, False),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_failures_count_after_a_start(tmp_path: Path, case: str) -> None:
    """What is the caller's own fault or a key's says nothing about the model."""
    behaviour, counts = FAULTS[case]
    async with restartable(tmp_path) as installed:
        async with installed.proxy() as stand:
            assert (await stand.chat({"model": SLOW})).status == 200
            await installed.sim.behave(**behaviour)
            await stand.chat({"model": SLOW})
            await stand.ended(2)
        async with installed.proxy() as stand:
            assert known(stand.app, SLOW) == ((2, 0.1, True) if counts else (1, 0.0, True))


async def test_attempts_of_another_day_count_no_more(tmp_path: Path) -> None:
    async with restartable(tmp_path) as installed:
        async with installed.proxy() as stand:
            assert (await stand.chat({"model": SLOW})).status == 200
            await stand.settled()
            day = id_floor(86_400_000)  # ids hold the time
            await sqlite_ledger(stand.app).change(lambda db: db.execute("UPDATE requests SET id = id - ?", (day,)))
        async with installed.proxy() as stand:
            assert known(stand.app, SLOW) is None
