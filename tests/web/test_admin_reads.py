"""Whatever an operator reads is read beside the ledger's writer: a disk that hangs hides nothing."""

import asyncio
import threading
from typing import Any

from proxy.web.admin.resources import TABLE
from proxy.web.admin.route import AdminRoute
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import Stand, sqlite_ledger

_LONG_S = 30.0  # no limit: a read that waits for the writer would wait for ever


async def ask(stand: Stand, path: str) -> Any:
    async with asyncio.timeout(_LONG_S):
        return await stand.ask("GET", f"/admin/v1{path}", token=ADMIN_TOKEN)


async def paths(stand: Stand, route: AdminRoute) -> list[str]:
    """Return paths of a route: of an entry of its list, where there is one, and of nothing."""
    *above, last = route.segments
    if not last.startswith("{"):
        return [route.path]
    listed = (await ask(stand, "/" + "/".join(above))).json().get("data")
    first = listed[0] if isinstance(listed, list) and listed else {}
    names = [str(first[last[1:-1]])] if last[1:-1] in first else []
    return ["/".join(("", *above, name)) for name in (*names, "nothing")]


async def test_no_read_waits_for_the_writer(stand: Stand) -> None:
    for path, body in (("users", {"name": "bo"}), ("groups", {"name": "g"}), ("tokens", {"user": "bo"})):
        assert (await stand.ask("POST", f"/admin/v1/{path}", body, token=ADMIN_TOKEN)).status == 201
    assert (await stand.chat()).status == 200
    await stand.settled(1)
    release, is_held = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_connection: object) -> bool:
        loop.call_soon_threadsafe(is_held.set)
        return release.wait()

    held = asyncio.ensure_future(sqlite_ledger(stand.app).change(hold))
    try:
        await is_held.wait()
        read = []
        for route in TABLE.routes:
            if route.method != "GET" or any(part.startswith("{") for part in route.segments[:-1]):
                continue
            for path in await paths(stand, route):
                answer = await ask(stand, path)
                assert answer.status in (200, 400, 404), (path, answer.body)
                read += [route.path] if answer.status == 200 else []
        assert {"/users", "/users/{name}", "/tokens/{id}", "/requests", "/usage", "/configuration"} <= {*read}
    finally:
        release.set()
        await held


async def test_a_tag_changes_only_with_what_can_be_changed(stand: Stand) -> None:
    """Else nobody could change a user who is spending: each figure of use would be another state."""
    limit = {"name": "anna", "settings": {"limits": {"cost": "$5/day"}}}
    for path, body in (
        ("users", {**limit, "name": "bo", "group": "g", "token": {"name": "first"}}),
        ("groups", {**limit, "name": "h"}),
        ("operators", {"name": "eve"}),
        ("limits", {"scope": "all", "kind": "cost", "limit": "$9/day"}),
    ):
        made = await stand.ask("POST", f"/admin/v1/{path}", body, token=ADMIN_TOKEN)
        assert made.status == 201, made.body
        stand.token = (made.json()["data"].get("token") if path == "users" else None) or stand.token
    changed = [route for route in TABLE.routes if route.method in ("PATCH", "PUT", "DELETE")]
    readers = {route.path: route for route in map(TABLE.reader_of, changed) if route is not None}
    before = {path: await ask(stand, path) for reader in readers.values() for path in await paths(stand, reader)}
    assert (await stand.chat()).status == 200
    await stand.settled(1)
    assert sum(answer.status == 200 for answer in before.values()) >= 5
    for path, answer in before.items():
        if answer.status == 200:
            assert (await ask(stand, path)).header("ETag") == answer.header("ETag"), path
