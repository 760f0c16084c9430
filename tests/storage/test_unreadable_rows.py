"""Rows that this version refuses, or the file of today: the proxy starts, lists them, and each can be removed."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from proxy.cli import tollkeeper
from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import Stand, stand

CONFIG: dict[str, Any] = {
    "users": {name: {"token_hash": token_hash_of(name)} for name in ("bo", "dan")}
    | {"cleo": {"token_hash": token_hash_of("cleo"), "group": "team"}},
    "groups": {"team": {}},
    "use_cases": {"mail": "fast"},
    "presets": {"fast": "openai/gpt-4o-mini"},
}
BROKEN = json.dumps({"of_a_later_version": {"x": 1}})
GONE = json.dumps({"watch": "limit_share", "action": "downgrade: nowhere"})
ROWS: dict[str, str] = {  # what is unreadable, by how it is listed; the row
    "user bo": "INSERT INTO users (name, settings, created_ms) VALUES ('bo', ?1, 1)",
    "user stored": "INSERT INTO users (name, settings, created_ms) VALUES ('stored', ?1, 1)",
    "group team": "INSERT INTO groups VALUES ('team', ?1, 1)",
    "limits of use_case mail": "INSERT INTO limits VALUES ('use_case', 'mail', ?1)",
    "model openai/gpt-4o": "INSERT INTO models VALUES ('openai/gpt-4o', ?1, 1)",
    "preferences of dan": "INSERT INTO preferences VALUES ('dan', ?1, 1)",
    "alert rule broken": "INSERT INTO alert_rules VALUES ('broken', ?1, 1)",
    "alert rule gone": "INSERT INTO alert_rules VALUES ('gone', ?2, 1)",
}
SPENT_TO_NOWHERE = {"amount": "$5", "window": "day", "on_spent": "downgrade: nowhere"}
NAMES_NOTHING = [  # readable, but of a file that had more
    ("INSERT INTO users (name, settings, created_ms) VALUES ('eve', ?1, 1)", {"default_preset": "nowhere"}),
    ("INSERT INTO users (name, settings, group_name, created_ms) VALUES ('finn', ?1, 'nowhere', 1)", {}),
    ("INSERT INTO groups VALUES ('below', ?1, 1)", {"parent": "nowhere", "default_preset": "nowhere"}),
    (
        "INSERT INTO limits VALUES ('all', '', ?1)",
        {"cost": {"amount": "$5", "window": "day", "on_spent": "downgrade: nowhere"}},
    ),
    ("INSERT INTO providers VALUES ('nowhere', ?1, 1)", {"enabled": False}),
]
REMOVALS = [
    "/users/bo",
    "/users/stored",
    "/groups/team?force=true",
    "/models/openai%2Fgpt-4o",
    "/alerts/rules/broken",
    "/alerts/rules/gone",
]


async def admin(at: Stand, path: str, method: str = "GET") -> Answer:
    answer = await at.ask(method, f"/admin/v1{path}", token=ADMIN_TOKEN)
    assert answer.status == 200, (path, answer.body)
    return answer


async def unreadable(at: Stand) -> set[str]:
    rows = (await admin(at, "/status")).json()["data"]["unreadable"]
    return {f"{row['kind']} {row['name']}" for row in rows}


async def test_each_is_listed_stops_nobody_else_and_can_be_removed(tmp_path: Path) -> None:
    async with stand(tmp_path, CONFIG) as at:
        database = at.database
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in ROWS.values():
            connection.execute(statement, (BROKEN, GONE)[: 2 if "?2" in statement else 1])
        for statement, settings in NAMES_NOTHING:
            connection.execute(statement, (json.dumps(settings),))
    async with stand(tmp_path, CONFIG) as at:
        assert await unreadable(at) == {*ROWS}
        assert (await at.chat()).status == 200, "who is not concerned"
        assert (await at.chat(token=token_of("dan"))).status == 200, "preferences are no limit"
        assert (await at.chat(token=token_of("bo"))).json()["error"]["code"] == "token_disabled"
        assert (await at.chat(token=token_of("cleo"))).json()["error"]["scope"] == "group:team"
        assert (await at.chat(headers=[("X-Tollkeeper-Use-Case", "mail")])).status == 402
        assert (await at.chat({"model": "openai/gpt-4o"})).status in (403, 404)
        for path in REMOVALS:
            await admin(at, path, "DELETE")
        limits = (await admin(at, "/limits")).json()["data"]
        (stand_in,) = [one for one in limits if one["scope"] == "use_case:mail" or one.get("name") == "mail"]
        await admin(at, f"/limits/{stand_in['id']}", "DELETE")
        assert await unreadable(at) == {"preferences of dan"}
        for name in ("bo", "cleo"):
            assert (await at.chat(token=token_of(name))).status == 200
        config = at.folder / "config.yaml"
    ran = CliRunner().invoke(tollkeeper, ["check", "--offline", "--json", "-c", str(config)])
    (line,) = [line for line in json.loads(ran.stdout) if line["name"] == "stored"]
    assert (line["state"], line["text"][:18]) == ("warn", "preferences of dan")
