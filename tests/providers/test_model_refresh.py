"""Lists of models: each at its own pace, a failure sooner, a clock that has stepped at once, a disabled one never."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.jobs import model_refresh
from proxy.jobs.model_refresh import refresh_models
from tests.support.patience import eventually


class Lists:
    """Counts what is asked; the lists of "failing" never come."""

    def __init__(self) -> None:
        self.asked = Counter[str]()

    async def refresh(self, provider: Any) -> None:
        self.asked[provider.name] += 1

    def listing(self, name: str) -> Any:
        return SimpleNamespace(problem="down" if name == "failing" else None)


async def test_each_list_has_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_refresh, "_LOOK_S", 0.001)
    monkeypatch.setattr(model_refresh, "_AFTER_FAILURE_S", 0.002)
    off = SimpleNamespace(off="no reason")
    rows = {"often": 0.002, "seldom": 1e9, "failing": 1e9, "disabled": 0.002}
    providers = {
        name: SimpleNamespace(
            name=name, base_url="u", rules=off if name == "disabled" else None, models_refresh_s=seconds
        )
        for name, seconds in rows.items()
    }
    live = SimpleNamespace(current=SimpleNamespace(providers=providers))
    lists, problem = Lists(), list[str]()
    clock_problem = lambda: next(iter(problem), None)  # noqa: E731
    job = asyncio.create_task(refresh_models(lists, live, clock_problem))  # type: ignore[arg-type]

    async def many() -> bool:
        return min(lists.asked["often"], lists.asked["failing"]) >= 3

    async def again() -> bool:
        return lists.asked["seldom"] == 2 and lists.asked["moved"] > 0

    await eventually(many)
    assert (lists.asked["seldom"], lists.asked["disabled"]) == (1, 0)
    providers["moved"] = SimpleNamespace(name="moved", base_url="u", rules=None, models_refresh_s=1e9)
    problem.append("the clock stepped")
    await eventually(again)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
