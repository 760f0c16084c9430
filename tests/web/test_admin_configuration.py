"""/admin/v1/configuration: settings with their sources, checks of a text, reload, and what was in force before."""

from typing import Any

import yaml

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, settings, write_config
from tests.support.patience import eventually
from tests.support.stand import Stand

CANARIES = {
    "admin_token": "canary-admin-token-0123456789abcdef0123456789",
    "header": "canaryheader",
    "jwt": "canary-jwt-secret-0123456789-0123456789",
}


async def ask(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = await stand.ask(method, f"/admin/v1/configuration{path}", body, token=ADMIN_TOKEN, **more)
    assert answer.status == 200, answer.body
    return answer.json()["data"]


async def values(stand: Stand, below: str = "") -> dict[str, tuple[Any, str]]:
    shown = await ask(stand, "GET", f"?below={below}")
    return {each["setting"]: (each["value"], each["source"]) for each in shown["settings"]}


async def test_each_setting_tells_where_it_comes_from(stand: Stand) -> None:
    shown = await ask(stand, "GET", "")
    found = {each["setting"]: each for each in shown["settings"]}
    assert found["admin_token"]["value"] == "***"
    assert found["admin_token"]["source"] == "file"
    line = int(found["admin_token"]["place"].rpartition(":")[2])
    assert (stand.folder / "config.yaml").read_text().splitlines()[line - 1].startswith("admin_token:")
    assert (found["timezone"]["source"], found["timezone"]["place"]) == ("default", None)
    assert PROVIDER_KEY not in str(shown)
    body = {"name": "dora", "settings": {"max_tokens": 9}}
    assert (await stand.ask("POST", "/admin/v1/users", body, token=ADMIN_TOKEN)).status == 201
    assert (await values(stand, "users.dora"))["users.dora.max_tokens"] == (9, "database")
    only = await ask(stand, "GET", "?source=database")
    assert {each["setting"].split(".")[1] for each in only["settings"]} == {"dora"}


async def test_a_text_is_checked_and_nothing_of_it_is_in_force(stand: Stand) -> None:
    wrong = "server:\n  port: 0\nprovidrs: {}\ntimezone: Mars/North\n"
    found = await ask(stand, "POST", "/validate", {"yaml": wrong})
    assert not found["valid"]
    assert {(each["line"], each["column"], each["setting"]) for each in found["mistakes"]} >= {
        (3, 1, "providrs"),
        (4, 11, "timezone"),
    }
    broken = await ask(stand, "POST", "/validate", {"yaml": "a: [1"})
    assert [each["line"] for each in broken["mistakes"]]
    right = yaml.safe_load((stand.folder / "config.yaml").read_text())
    right["defaults"] = {"limits": {"cost": "$3/day"}}
    checked = await ask(stand, "POST", "/validate", {"yaml": yaml.safe_dump(right)})
    assert (checked["valid"], checked["mistakes"]) == (True, [])
    assert any("defaults.limits" in line for line in checked["changes"])
    assert not stand.app.live.current.settings.defaults.limits.all


async def test_what_was_in_force_is_kept_with_its_difference(stand: Stand) -> None:
    url = stand.sim.url
    for amount in (3, 4):
        more = {"defaults": {"limits": {"cost": f"${amount}/day"}}}
        write_config(stand.folder, settings(url, more))
        told = await ask(stand, "POST", "/reload")
        assert told["changed"]
    write_config(stand.folder, {"nonsense": 1})
    refused = await stand.ask("POST", "/admin/v1/configuration/reload", token=ADMIN_TOKEN)
    assert (refused.status, refused.json()["error"]["code"]) == (422, "invalid_config")
    past = await ask(stand, "GET", "/history")
    assert len(past) == 3
    assert past[0]["changes"] == ["defaults.limits.cost: $3/day → $4/day"]
    lines = [line.replace(" ", "") for line in past[0]["difference"].splitlines()]
    assert {"-cost:$3/day", "+cost:$4/day"} < {*lines}
    assert (past[0]["actor"], past[0]["source"]) == ("admin_token", "tcp 127.0.0.1")
    assert (past[-1]["actor"], past[-1]["difference"]) == ("file", "")
    one = await ask(stand, "GET", f"/history/{past[0]['id']}")
    assert "$4/day" in one["text"]
    assert PROVIDER_KEY not in str(one)
    assert ADMIN_TOKEN not in str(past)
    trail = await stand.rows("SELECT actor, action FROM audit WHERE action = 'configuration.reload' ORDER BY id")
    assert [row["actor"] for row in trail] == ["admin_token", "admin_token"]


async def test_a_file_that_is_changed_is_history_too_and_holds_no_secret(stand: Stand) -> None:
    more = {
        "providers": {"openrouter": {"headers": {"X-Own": CANARIES["header"]}}},
        "end_users": {"jwt_secret": CANARIES["jwt"]},
    }
    write_config(stand.folder, settings(stand.sim.url, more))

    async def kept() -> bool:
        return len(await ask(stand, "GET", "/history")) == 2

    await eventually(kept)
    newest = (await ask(stand, "GET", "/history"))[0]
    assert (newest["actor"], newest["source"]) == ("file", "file")
    rows = await stand.rows("SELECT * FROM configurations")
    for secret in (*CANARIES.values(), PROVIDER_KEY, ADMIN_TOKEN):
        assert secret not in str(rows)
        assert secret not in str(newest)
        assert secret not in str(await ask(stand, "GET", ""))
