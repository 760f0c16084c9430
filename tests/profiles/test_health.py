"""Health over every profile: what is one caller's own fault takes a server from nobody, what is the server's does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.simulator.profiles.profile import FailureKind, Profile
from proxy.simulator.profiles.table import PROFILES
from tests.support.raw import Answer

from .known import KNOWN_HEALTH
from .stand import SPARE, SPARE_MODEL, Stand
from .stand import stand as run_stand

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CALLERS: tuple[FailureKind, ...] = (
    "context_full",
    "unknown_model",
    "no_tools",
    "no_pictures",
    "no_thinking",
    "content_refused",
)
_OFTEN = 6  # above the failures in a row that open a breaker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("health")) as found:
        yield found


async def ask(stand: Stand, profile: Profile, user: str, words: str, *, spare: bool = False) -> Answer:
    fields: dict[str, Any] = {
        "model": f"{profile.name}/{profile.models[0].id}",
        "messages": [{"role": "user", "content": words}],
    }
    if profile.api == "messages":
        fields["max_tokens"] = 20
    if spare:
        fields["models"] = [f"{SPARE}/{SPARE_MODEL}"]
    return await stand.ask(profile, fields, user)


async def begin(stand: Stand, kind: FailureKind) -> list[Profile]:
    """Have every profile that has words for it fail in this way; return those."""
    stand.app.health.forget()
    await stand.sim.normal()
    having = [profile for profile in PROFILES.values() if kind in profile.failures]
    for profile in having:
        await stand.sim.behave(f"path:{profile.path}/{profile.api}", failure=kind)
    return having


@pytest.mark.parametrize("kind", CALLERS)
async def test_one_callers_fault_takes_the_server_from_nobody(stand: Stand, kind: FailureKind) -> None:
    having = await begin(stand, kind)
    for _ in range(_OFTEN):
        await asyncio.gather(*(ask(stand, profile, having[0].name, "the same words") for profile in having))
    await stand.sim.normal()
    answers = await asyncio.gather(*(ask(stand, profile, having[1].name, "other words") for profile in having))
    shut = {profile.name for profile, answer in zip(having, answers, strict=True) if answer.status != 200}
    assert shut == set(KNOWN_HEALTH.get(kind, "").split())


@pytest.mark.parametrize("kind", ["broken", "overloaded"])
async def test_a_server_that_fails_for_all_is_left_alone(stand: Stand, kind: FailureKind) -> None:
    """After failures that several users met, the next request does not wait for one more of them."""
    having = await begin(stand, kind)
    users = [profile.name for profile in PROFILES.values()]
    for n in range(_OFTEN):
        asked = (ask(stand, profile, users[n], f"words {n}", spare=True) for profile in having)
        answers = await asyncio.gather(*asked)
        stopped = {profile.name for profile, answer in zip(having, answers, strict=True) if answer.status != 200}
        assert stopped == set(KNOWN_HEALTH.get(kind, "").split())
    answers = await asyncio.gather(*(ask(stand, profile, "groq", "the last", spare=True) for profile in having))
    asked_again = {
        profile.name
        for profile, answer in zip(having, answers, strict=True)
        if answer.status != 200 or answer.header("x-tollkeeper-attempts") not in (None, "1")
    }
    assert asked_again == set(KNOWN_HEALTH.get(kind, "").split())
