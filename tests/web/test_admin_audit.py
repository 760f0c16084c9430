"""The audit trail as the operator's API shows it: runs, reloads and back-ups of the proxy are on record too."""

from pathlib import Path
from typing import Any

from proxy import __version__
from tests.support.installation import ADMIN_TOKEN, settings, write_config
from tests.support.patience import eventually
from tests.support.raw import Answer, connect_unix, request_bytes
from tests.support.stand import Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

PATH = "/admin/v1/audit"


async def ask(stand: Stand, method: str, path: str, body: Any = None) -> Answer:
    return await stand.ask(method, path, body, token=ADMIN_TOKEN)


async def listed(stand: Stand, query: str = "") -> list[dict[str, Any]]:
    answer = await ask(stand, "GET", f"{PATH}{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_run_a_reload_and_a_back_up_are_on_record(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        config = settings(stand.sim.url, {"defaults": {"limits": {"cost": "$7/day"}}})
        write_config(tmp_path, config)

        async def is_reloaded() -> bool:
            return bool(await listed(stand, "?action=configuration.*"))

        await eventually(is_reloaded)
        write_config(tmp_path, settings(stand.sim.url))
        assert (await ask(stand, "POST", "/admin/v1/reload", {})).status == 200
        async with await connect_unix(str(tmp_path / "ledger.db.sock")) as client:
            await client.send(request_bytes("POST", "/admin/v1/backup", {"path": str(tmp_path / "copy")}))
            assert (await client.read_answer()).status == 200
        first = (await listed(stand))[-1]
        assert (first["action"], first["source"], first["after"]["version"]) == ("proxy.start", "proxy", __version__)
    async with run_stand(tmp_path) as stand:
        found = [(entry["action"], entry["actor"], entry["source"]) for entry in reversed(await listed(stand))]
        reloads = await listed(stand, "?action=configuration.reload")
        assert (await ask(stand, "GET", f"{PATH}/verification")).json()["data"]["is_whole"]
    user = first["actor"]
    assert found == [
        ("proxy.start", user, "proxy"),
        ("configuration.reload", "file", "file"),
        ("configuration.reload", "admin_token", "tcp 127.0.0.1"),
        ("ledger.backup", user, "socket"),
        ("proxy.stop", "proxy", "proxy"),
        ("proxy.start", user, "proxy"),
    ]
    assert [entry["after"]["changes"] for entry in reversed(reloads)] == [
        ["defaults.limits.cost: none → $7/day"],
        ["defaults.limits.cost: $7/day → none"],
    ]
    assert reloads[0]["before"]["fingerprint"] == reloads[1]["after"]["fingerprint"]


async def test_pages_and_filters(stand: Stand) -> None:
    for name in ("bo", "cy", "di"):
        assert (await ask(stand, "POST", "/admin/v1/users/add", {"name": name})).status == 200
    assert [entry["subject"] for entry in await listed(stand, "?action=users.*")] == ["di", "cy", "bo"]
    page = (await ask(stand, "GET", f"{PATH}?limit=2&action=users.add")).json()
    rest = (await ask(stand, "GET", f"{PATH}?limit=2&action=users.add&cursor={page['next_cursor']}")).json()
    assert [entry["subject"] for entry in (*page["data"], *rest["data"])] == ["di", "cy", "bo"]
    assert rest["next_cursor"] is None
    assert [entry["id"] for entry in await listed(stand, "?subject=cy&actor=admin_token")] == [3]
    assert await listed(stand, "?since=2999-01-01T00:00:00Z") == []
    assert await listed(stand, "?actor=nobody") == []
    assert (await ask(stand, "GET", f"{PATH}?cursor=WyJ4Il0")).status == 400  # ["x"]


async def test_damage_shows(stand: Stand) -> None:
    head = (await ask(stand, "GET", f"{PATH}/verification")).json()["data"]["head"]
    assert (await ask(stand, "GET", f"{PATH}/verification?head={head}")).json()["data"]["is_whole"]
    await sqlite_ledger(stand.app).change(
        lambda connection: connection.execute("UPDATE audit SET before = 'no JSON' WHERE id = 1")
    )
    found = (await ask(stand, "GET", f"{PATH}/verification")).json()["data"]
    assert (found["is_whole"], found["fault_count"]) == (False, 1)
    assert found["faults"] == [{"id": 1, "kind": "changed", "text": "it is not what was written"}]
    assert (await listed(stand))[0]["before"] == {"unreadable": "no JSON"}
    other = (await ask(stand, "GET", f"{PATH}/verification?head=1:{'0' * 64}")).json()["data"]
    assert [fault["kind"] for fault in other["faults"]] == ["changed", "other_head"]
    assert (await ask(stand, "GET", f"{PATH}/verification?head=1:xyz")).status == 400
