"""A change of the file is in force within moments, whole or not at all, and requests under way do not feel it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installation import PROVIDER_KEY, token_hash_of, token_of, write_config
from tests.support.patience import eventually
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand


def edit(stand: Stand, change: Callable[[dict[str, Any]], object]) -> None:
    content = yaml.safe_load((stand.folder / "config.yaml").read_text())
    change(content)
    write_config(stand.folder, content)


async def in_force(stand: Stand, token: str, status: int) -> None:
    async def look() -> bool:
        return (await stand.ask("GET", "/v1/models", token=token)).status == status

    await eventually(look)


async def ready(stand: Stand, *, yes: bool) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        got = await stand.ask("GET", "/readyz")
        return got.json() if (got.status == 200) is yes else None

    found = await eventually(look)
    assert found is not None
    return found


async def test_users(stand: Stand) -> None:
    bo = token_of("bo")
    await in_force(stand, bo, 401)
    edit(stand, lambda content: content["users"].update(bo={"token_hash": token_hash_of("bo")}))
    await in_force(stand, bo, 200)
    edit(stand, lambda content: content["users"]["bo"].update(disabled=True))
    await in_force(stand, bo, 403)
    edit(stand, lambda content: content["users"].pop("bo"))
    await in_force(stand, bo, 401)
    assert (await stand.chat()).status == 200


async def test_presets_and_key(stand: Stand) -> None:
    edit(stand, lambda content: content.update(presets={"fast": [MODEL]}))

    async def listed() -> bool:
        return b'"fast"' in (await stand.ask("GET", "/v1/models")).body

    await eventually(listed)
    got = await stand.chat({"model": "fast"})
    assert got.json()["model"] == MODEL
    edit(stand, lambda content: content["providers"]["openrouter"].update(api_key=PROVIDER_KEY[:-1] + "1"))

    async def new_key() -> bool:
        await stand.sim.forget()
        await stand.chat()
        (request,) = await stand.sim.requests()
        return bool(dict(request["headers"])["Authorization"] != _shown(PROVIDER_KEY))

    await eventually(new_key)


def _shown(key: str) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "syntax": (lambda text: text + "\n  - [", "config.yaml"),
    "unknown name": (lambda text: text + "\nprovider: {}\n", "Did you mean"),
    "twice": (lambda text: text + "\nusers: {}\n", "users"),
    "type": (lambda text: text.replace("port: 0", "port: many"), "port"),
    "tab": (lambda text: text + "\n\tx: 1", "tab"),
    "empty key": (lambda text: text + "\npresets: {a: []}\n", "presets"),
    "missing variable": (lambda text: text + '\ntimezone: "${NO_SUCH_VARIABLE}"\n', "NO_SUCH_VARIABLE"),
    "alias bomb": (
        lambda text: (
            text
            + "\npresets:\n  a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"  {b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
                for a, b in zip("abcdefg", "bcdefgh", strict=True)
            )
        ),
        "",
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
async def test_a_broken_file_changes_nothing(stand: Stand, case: tuple[Callable[[str], str], str]) -> None:
    """The old one serves on, /readyz quotes what is wrong, and mending the file ends it."""
    spoil, text = case
    path = stand.folder / "config.yaml"
    good = path.read_text()
    half = stand.folder / "half"
    half.write_text(spoil(good.replace("anna:", "carl:")))
    half.chmod(0o600)
    half.replace(path)
    stand.app.live.reload_now()
    stale = await ready(stand, yes=False)
    assert text in stale["config"]
    assert PROVIDER_KEY not in stale["config"]
    assert (await stand.chat()).status == 200  # anna is still there
    path.write_text(good)
    stand.app.live.reload_now()
    await ready(stand, yes=True)


async def test_a_file_that_is_gone(stand: Stand) -> None:
    path = stand.folder / "config.yaml"
    away = path.rename(stand.folder / "away.yaml")
    await ready(stand, yes=False)
    assert (await stand.chat()).status == 200
    away.rename(path)
    await ready(stand, yes=True)


async def test_a_request_under_way_keeps_what_it_began_with(tmp_path: Path) -> None:
    """Its provider is taken out of the file in the middle of its stream: the stream ends whole and is settled."""
    async with run_stand(tmp_path, {"presets": {"slow": f"plain/{MODEL.partition('/')[2]}"}}) as stand:
        await stand.sim.behave(completion_tokens=40, pace_ms=50)
        async with await connect(stand.port) as client:
            body = {"model": "slow", "messages": MESSAGES, "stream": True, "max_tokens": 100}
            await client.send(request_bytes("POST", CHAT, body, token=stand.token))
            await client.read_until(b"delta")
            edit(stand, lambda content: (content["providers"].pop("plain"), content.pop("presets")))

            async def gone() -> bool:
                return "plain" not in stand.app.live.current.providers

            await eventually(gone)
            rest = await client.read_until(b"[DONE]")
        assert b'"error"' not in rest
        (row,) = await stand.settled()
        assert (row["status"], row["cost_source"], row["output_tokens"]) == (200, "price", 40)
        assert (await stand.chat()).status == 200
