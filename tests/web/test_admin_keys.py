"""Provider keys at run time: in force at the next request, told by their last four characters alone."""

import asyncio
import hashlib
from collections.abc import Sized
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

SPARE, THIRD = f"sk-or-v1-{'5aa5' * 16}", f"sk-or-v1-{'7bb7' * 15}3333"
BAD = "no-key-of-openrouter-0000"


async def ask(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    return await stand.ask(method, f"/admin/v1/{path}", body, **{"token": ADMIN_TOKEN, **more})


async def done(stand: Stand, method: str, path: str, body: Any = None) -> Any:
    answer = await ask(stand, method, path, body)
    assert answer.status in (200, 201), answer.body
    assert not any(secret.encode() in answer.body for secret in (SPARE, THIRD, PROVIDER_KEY))
    return answer.json()["data"]


async def refused(stand: Stand, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
    answer = await ask(stand, method, path, body)
    error = answer.json()["error"]
    assert not any(secret.encode() in answer.body for secret in (SPARE, THIRD, BAD))
    return answer.status, error["code"], error["message"]


async def used(stand: Stand, count: int = 1, **more: Any) -> set[str]:
    """Return the last four characters of the keys that some requests went out with."""
    await stand.sim.forget()
    for _ in range(count):
        assert (await stand.chat(**more)).status == 200
    known = {hashlib.sha256(key.encode()).hexdigest(): key[-4:] for key in (PROVIDER_KEY, SPARE, THIRD)}
    return {
        known.get(generation["key_sha256"], "another")
        for generation in (await stand.sim.books())["generations"].values()
    }


async def state_of(stand: Stand, id_: str) -> tuple[str, str]:
    shown = await done(stand, "GET", f"keys/{id_}")
    return shown["state"], shown["hint"]


async def test_a_key_is_tried_then_used_rotated_disabled_and_removed(stand: Stand) -> None:
    """The provider is asked before anything is stored; each change holds for the next request."""
    new = {"provider": "openrouter", "secret": SPARE, "priority": 0, "limits": {"cost": ["$5/day"]}}
    status, code, text = await refused(stand, "POST", "keys", {**new, "secret": BAD})
    assert (status, code) == (422, "key_refused")
    assert "openrouter refuses the key with 401: User not found" in text
    made = await done(stand, "POST", "keys", new)
    assert (made["id"], made["hint"], made["state"]) == ("openrouter:key-2", SPARE[-4:], "in use")
    assert (made["limits"], made["check"]["accepted"]) == ({"cost": ["$5/day"]}, True)
    assert made["master_key_made"] == f"{stand.database}.master-key"
    assert await used(stand) == {SPARE[-4:]}
    status, code, text = await refused(stand, "POST", "keys/openrouter:key-2/rotate", {"secret": BAD})
    assert (status, code) == (422, "key_refused")
    assert text.endswith("Nothing was stored. To store it all the same: test: false (--no-test).")
    assert await used(stand) == {SPARE[-4:]}
    rotated = await done(stand, "POST", "keys/openrouter:key-2/rotate", {"secret": THIRD})
    assert (rotated["hint"], rotated["draining"], rotated["priority"]) == ("3333", 0, 0)
    assert await used(stand) == {"3333"}
    assert (await done(stand, "POST", "keys/openrouter:key-2/test"))["accepted"] is True
    await done(stand, "PATCH", "keys/openrouter:key-2", {"disabled": True})
    assert await state_of(stand, "openrouter:key-2") == ("disabled", "3333")
    assert await used(stand) == {PROVIDER_KEY[-4:]}
    await done(stand, "PATCH", "keys/openrouter:key-2", {"disabled": False, "priority": None, "limits": None})
    assert await used(stand, 4) == {"3333", PROVIDER_KEY[-4:]}
    await done(stand, "DELETE", "keys/openrouter:key-2")
    assert await used(stand) == {PROVIDER_KEY[-4:]}
    assert (await ask(stand, "GET", "keys/openrouter:key-2")).status == 404


async def test_keys_of_the_file_are_listed_and_can_be_stopped_only(stand: Stand) -> None:
    listed = await done(stand, "GET", "keys")
    assert [(each["id"], each["source"], each["hint"]) for each in listed] == [
        ("openrouter:main", "config", PROVIDER_KEY[-4:]),
        ("plain:main", "config", "beef"),
    ]
    for method, path, body in (
        ("POST", "keys", {"provider": "openrouter", "name": "main", "secret": SPARE}),
        ("POST", "keys/openrouter:main/rotate", {"secret": SPARE}),
        ("PATCH", "keys/openrouter:main", {"priority": 2}),
        ("DELETE", "keys/openrouter:main", None),
    ):
        status, code, text = await refused(stand, method, path, body)
        assert (status, code) == (409, "set_in_file")
        assert "providers.openrouter.api_key is set in" in text
    await done(stand, "PATCH", "keys/openrouter:main", {"disabled": True})
    answer = await stand.chat()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "upstream_resting")
    assert await stand.sim.requests() == []
    await done(stand, "POST", "keys", {"provider": "openrouter", "secret": SPARE})
    assert await used(stand) == {SPARE[-4:]}
    await done(stand, "PATCH", "keys/openrouter:main", {"disabled": False})
    assert await used(stand, 2) == {SPARE[-4:], PROVIDER_KEY[-4:]}


async def test_a_key_of_a_users_own_is_used_for_them_alone_and_by_nothing_replaced(stand: Stand) -> None:
    await done(stand, "POST", "users", {"name": "bo"})
    token = (await done(stand, "POST", "tokens", {"user": "bo"}))["token"]
    made = await done(stand, "POST", "keys", {"provider": "openrouter", "user": "bo", "secret": SPARE})
    assert (made["id"], made["user"]) == ("openrouter:own-bo", "bo")
    assert await used(stand, token=token) == {SPARE[-4:]}
    assert await used(stand, 2) == {PROVIDER_KEY[-4:]}
    await stand.settled(3)
    assert {(row["user"], row["key"]) for row in await stand.rows("SELECT user, key FROM requests")} == {
        ("bo", "own"),
        ("anna", "main"),
    }
    await done(stand, "PATCH", "keys/openrouter:own-bo", {"disabled": True})
    answer = await stand.chat(token=token)
    assert answer.status == 503
    assert "bo's own key of openrouter is disabled" in answer.json()["error"]["message"]
    await done(stand, "DELETE", "keys/openrouter:own-bo")
    assert await used(stand, token=token) == {PROVIDER_KEY[-4:]}
    group = {"provider": "openrouter", "group": "team", "secret": THIRD}
    assert (await refused(stand, "POST", "keys", group))[1] == "invalid_field"
    await done(stand, "POST", "groups", {"name": "team"})
    await done(stand, "PATCH", "users/bo", {"group": "team"})
    await done(stand, "POST", "keys", group)
    assert await used(stand, token=token) == {"3333"}
    own = {"provider": "openrouter", "user": "bo", "secret": SPARE}
    await done(stand, "POST", "keys", own)
    assert await used(stand, token=token) == {SPARE[-4:]}  # before that of the group
    await done(stand, "DELETE", "users/bo")
    await done(stand, "DELETE", "groups/team")
    assert [each["source"] for each in await done(stand, "GET", "keys")] == ["config", "config"]


async def test_a_key_that_does_not_open_is_listed_and_stops_nobody_else(stand: Stand) -> None:
    for secret in (SPARE, THIRD):
        await done(stand, "POST", "keys", {"provider": "openrouter", "secret": secret})
    await _swap(stand)
    listed = {each["name"]: each for each in await done(stand, "GET", "keys", None) if each["provider"] == "openrouter"}
    for name in ("key-2", "key-3"):
        assert listed[name]["state"] == "not opened"
        assert "sealed for another place" in listed[name]["problem"]
    await done(stand, "PATCH", "keys/openrouter:key-3", {"priority": 1})  # any change builds the keys anew
    assert await used(stand, 3) == {PROVIDER_KEY[-4:]}
    assert (await refused(stand, "POST", "keys/openrouter:key-2/test"))[:2] == (409, "key_not_opened")
    await done(stand, "POST", "keys/openrouter:key-2/rotate", {"secret": SPARE})
    assert await used(stand, 4) == {PROVIDER_KEY[-4:], SPARE[-4:]}


async def _swap(stand: Stand) -> None:

    def swap(connection: Any) -> None:
        rows = connection.execute("SELECT id, sealed FROM sealed_values ORDER BY id").fetchall()
        for (id_, _), (_, sealed) in zip(rows, reversed(rows), strict=True):
            connection.execute("UPDATE sealed_values SET sealed = ? WHERE id = ?", (sealed, id_))

    await sqlite_ledger(stand.app).change(swap)


async def test_what_cannot_be_is_refused_by_name(stand: Stand) -> None:
    good = {"provider": "openrouter", "secret": SPARE}
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({**good, "provider": "openruter"}, 422, "Did you mean openrouter?"),
        ({**good, "name": "two words"}, 400, "cannot be the name of a key"),
        ({**good, "secret": f"{SPARE}\n"}, 422, "secret"),
        ({**good, "secret": ""}, 422, "secret"),
        ({"provider": "openrouter"}, 422, "secret"),
        ({**good, "secret": 7}, 422, "secret"),
        ({**good, "weight": 0}, 422, "weight"),
        ({**good, "limits": {"cost": ["5 pounds"]}}, 400, "cost"),
        ({**good, "limits": {"tokens": ["1M/day"]}}, 400, "tokens"),
        ({**good, "user": "nobody"}, 422, "no user 'nobody'"),
        ({**good, "user": "anna", "group": "g"}, 422, "not both's"),
        ({**good, "user": "anna", "priority": 1}, 400, "own has no priority"),
        ({**good, "api_key": SPARE}, 422, "api_key"),
        ({**good, "valid_from_at": "2027-02-01T00:00:00Z", "valid_until_at": "2027-01-01T00:00:00Z"}, 400, "ends"),
    ]
    for body, status, text in cases:
        found = await refused(stand, "POST", "keys", body)
        assert found[0] == status, (body, found)
        assert text in found[2], (body, found)
    assert [each["source"] for each in await done(stand, "GET", "keys")] == ["config", "config"]
    assert not (stand.folder / "ledger.db.master-key").exists()


async def test_a_provider_that_does_not_answer_is_not_believed(tmp_path: Path) -> None:
    away = {"providers": {"away": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}
    async with run_stand(tmp_path, away) as other:
        body = {"provider": "away", "secret": SPARE}
        status, code, text = await refused(other, "POST", "keys", body)
        assert (status, code) == (422, "key_not_checked")
        assert "cannot be reached" in text
        made = await done(other, "POST", "keys", {**body, "test": False})
        assert (made["check"], made["state"]) == (None, "in use")


async def test_a_rotation_under_load_fails_no_request(stand: Stand) -> None:
    await done(stand, "PATCH", "keys/openrouter:main", {"disabled": True})
    await done(stand, "POST", "keys", {"provider": "openrouter", "secret": SPARE})
    is_over, statuses = asyncio.Event(), list[int]()

    async def load() -> None:
        while not is_over.is_set():
            statuses.append((await stand.chat({"stream": len(statuses) % 2 == 0})).status)

    running = [asyncio.create_task(load()) for _ in range(8)]
    for turn in range(6):
        await done(stand, "POST", "keys/openrouter:key-2/rotate", {"secret": (THIRD, SPARE)[turn % 2]})
        enough = len(statuses) + 16
        await eventually(partial(_reached, statuses, enough))
    is_over.set()
    await asyncio.gather(*running)
    assert set(statuses) == {200}
    assert (await done(stand, "GET", "keys/openrouter:key-2"))["draining"] == 0


async def test_requests_that_began_before_are_told_as_draining(stand: Stand) -> None:
    await done(stand, "POST", "keys", {"provider": "openrouter", "secret": SPARE, "priority": 0})
    await stand.sim.behave("next", delay_ms=500)
    waiting = asyncio.create_task(stand.chat())
    await eventually(partial(_reached, stand.app.services.in_flight, 1))
    rotated = await done(stand, "POST", "keys/openrouter:key-2/rotate", {"secret": THIRD})
    assert rotated["draining"] == 1
    assert (await waiting).status == 200
    assert (await done(stand, "GET", "keys/openrouter:key-2"))["draining"] == 0


async def _reached(those: Sized, count: int) -> bool:
    return len(those) >= count


async def test_a_viewer_reads_and_a_user_may_nothing(stand: Stand) -> None:
    viewer = (await done(stand, "POST", "operators", {"name": "eva", "role": "viewer"}))["token"]
    assert (await ask(stand, "GET", "keys", token=viewer)).status == 200
    for path, body in (("keys", {"provider": "openrouter", "secret": SPARE}), ("keys/openrouter:main/test", None)):
        assert (await ask(stand, "POST", path, body, token=viewer)).status == 403
        assert (await ask(stand, "POST", path, body, token=token_of("anna"))).status in (401, 403)


async def test_the_same_key_is_not_added_twice(stand: Stand) -> None:
    body = {"provider": "openrouter", "secret": f"{SPARE}-once", "test": False}
    made = await done(stand, "POST", "keys", body)
    again = await ask(stand, "POST", "keys", {**body, "name": "other"})
    assert (again.status, again.json()["error"]["param"]) == (400, "secret")
    assert f"the key {made['name']!r} of openrouter already" in again.json()["error"]["message"]
    assert SPARE.encode() not in again.body
    other = await done(stand, "POST", "keys", {**body, "name": "other", "user": "anna"})
    assert other["user"] == "anna", "an own key may be one that all have"


async def test_a_full_disk_changes_nothing_and_is_told(stand: Stand) -> None:
    ledger = sqlite_ledger(stand.app)
    body = {"provider": "openrouter", "secret": SPARE, "test": False}
    await done(stand, "POST", "keys", {**body, "secret": f"{SPARE}0"})
    pages = await ledger.change(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await ledger.change(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    count = 1
    while True:  # as long as there is room in its pages
        answer = await ask(stand, "POST", "keys", {**body, "secret": f"{SPARE}{count}"})
        if answer.status != 201:
            break
        count += 1
    assert (answer.status, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert "nothing was changed" in answer.json()["error"]["message"]
    listed = await done(stand, "GET", "keys")
    assert [each["state"] for each in listed if each["source"] == "database"] == ["in use"] * count
    await ledger.change(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
    await done(stand, "POST", "keys", body)
    assert await used(stand, 3) == {"another", PROVIDER_KEY[-4:]}


async def test_a_disk_that_cannot_hold_the_master_key_keeps_the_key_out(stand: Stand) -> None:
    file = stand.folder / ".ledger.db.master-key.half"
    file.mkdir()  # nothing can be written there
    status, _, text = await refused(stand, "POST", "keys", {"provider": "openrouter", "secret": SPARE})
    assert (status, "Nothing was changed" in text) == (400, True)
    file.rmdir()
    assert len(await done(stand, "GET", "keys")) == 2
    await done(stand, "POST", "keys", {"provider": "openrouter", "secret": SPARE})
