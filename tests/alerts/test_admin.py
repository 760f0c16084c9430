"""Alerts at run time: by the API, and by the command line, with and without a proxy that runs."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from proxy.storage.audit import Actor
from tests.alerts.receiver import GONE, OK, receiver
from tests.alerts.test_outbox import quick
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import Stand, read_rows, stand

ALERTS = "/admin/v1/alerts"
CANARY = "https://hooks.example.com/services/canary-of-the-url"
MORE = {"alerts": {"rules": {"of-the-file": {"watch": "disk_free", "at": "1B"}}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("alerts"), MORE, open_outbox=quick) as found:
        yield found


async def ask(at: Stand, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    return await at.ask(method, f"{ALERTS}{path}", body, token=ADMIN_TOKEN, **more)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rule_is_made_fires_is_silenced_changed_and_removed(at: Stand) -> None:
    made = await ask(at, "POST", "/rules", {"name": "disk", "settings": {"watch": "disk_free", "at": ["999999TB"]}})
    assert (made.status, made.header("Location")) == (201, f"{ALERTS}/rules/disk")
    assert made.json()["data"]["state"] == "at_rest"
    await at.app.alerts.check()
    shown = (await ask(at, "GET", "/rules/disk")).json()["data"]
    assert (shown["state"], shown["subjects"], shown["firing"], shown["source"]) == ("firing", 1, 1, "database")
    (state,) = (await ask(at, "GET", "/states?rule=disk&firing=true")).json()["data"]
    assert (state["subject"], state["is_firing"], state["unit"]) == ("disk", True, "bytes")
    assert state["value"] > 0

    async def delivered() -> bool:
        found = (await ask(at, "GET", "/deliveries?state=delivered")).json()["data"]
        return [(one["rule"], one["destination"]) for one in found] == [("disk", "log")]

    await eventually(delivered)
    lines = (await at.ask("GET", "/metrics")).body.decode().splitlines()
    assert 'tollkeeper_alerts_total{rule="disk",told="fired"} 1.0' in lines
    assert 'tollkeeper_alert_deliveries_total{destination="log",state="delivered"} 1.0' in lines
    until = {"until_at": "2999-01-01T00:00:00Z", "reason": "known"}
    assert (await ask(at, "PUT", "/silences/disk", until)).status == 200
    assert (await ask(at, "GET", "/rules/disk")).json()["data"]["state"] == "silenced"
    assert [one["rule"] for one in (await ask(at, "GET", "/silences")).json()["data"]] == ["disk"]
    assert (await ask(at, "DELETE", "/silences/disk")).status == 200
    changed = await ask(at, "PATCH", "/rules/disk", {"settings": {"at": ["1B"], "urgent": True}})
    assert changed.json()["data"]["settings"] == {"watch": "disk_free", "at": ["1B"], "urgent": True}
    assert changed.json()["data"]["firing"] == 0, "with other thresholds it begins at rest"
    assert (await ask(at, "DELETE", "/rules/disk")).status == 200
    assert (await ask(at, "GET", "/rules/disk")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/rules", {"name": "x", "settings": {"watch": "weather"}}, 400, "watch: must be"),
        ("POST", "/rules", {"name": "x", "settings": {"watch": "disk_free", "at": "5x"}}, 400, "at: must be"),
        ("POST", "/rules", {"name": "a b", "settings": {"watch": "disk_free"}}, 400, "cannot be the name"),
        ("POST", "/rules", {"name": "x", "settings": {"watch": "disk_free", "to": ["no"]}}, 422, "no destination"),
        ("POST", "/rules", {"name": "of-the-file", "settings": {"watch": "disk_free"}}, 409, "is set in"),
        ("PATCH", "/rules/of-the-file", {"settings": {"at": ["2GB"]}}, 409, "is set in"),
        ("DELETE", "/rules/of-the-file", None, 409, "is set in"),
        ("PATCH", "/rules/none", {"settings": {}}, 404, "no alert rule"),
        ("POST", "/destinations", {"name": "log", "settings": {"kind": "slack", "url": CANARY}}, 400, "the log"),
        ("POST", "/destinations", {"name": "x", "settings": {"kind": "slack"}}, 400, "url"),
        (
            "POST",
            "/destinations",
            {"name": "x", "settings": {"kind": "slack", "url": "https://127.0.0.1/canary"}},
            400,
            "leads to an address of this machine",
        ),
        (
            "POST",
            "/destinations",
            {"name": "x", "settings": {"kind": "command", "argv": ["/bin/true"]}},
            400,
            "for the configuration file alone",
        ),
        ("POST", "/tests", {}, 422, "either destination or rule"),
        ("POST", "/tests", {"destination": "none"}, 404, "no destination"),
        ("POST", "/deliveries/999/retry", {}, 404, "no delivery"),
        ("POST", "/deliveries/x/retry", {}, 404, "no delivery"),
        ("PUT", "/silences/of-the-file", {"until_at": "1999-01-01T00:00:00Z"}, 400, "a time ahead"),
        ("PUT", "/silences/none", {"until_at": "2999-01-01T00:00:00Z"}, 404, "no alert rule"),
        ("GET", "/deliveries?cursor=WyJhIl0", None, 400, "cursor"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_is_refused_and_changes_nothing(
    at: Stand, method: str, path: str, body: Any, status: int, text: str
) -> None:
    answer = await ask(at, method, path, body)
    assert answer.status == status, answer.body
    assert text in answer.json()["error"]["message"]
    assert "canary" not in answer.json()["error"]["message"]
    assert (await ask(at, "GET", "/destinations")).json()["data"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_destination_is_sealed_tried_out_disabled_and_taken_up_again(at: Stand) -> None:
    async with receiver(GONE, OK) as hook:
        settings = {"kind": "webhook", "url": hook.url, "allow_private": True}
        made = await ask(at, "POST", "/destinations", {"name": "hook", "settings": settings})
        assert made.json()["data"]["secrets"] == ["url"]
        assert hook.url not in made.body.decode()
        rule = {"name": "full", "settings": {"watch": "disk_free", "at": "999999TB", "to": "hook"}}
        assert (await ask(at, "POST", "/rules", rule)).status == 201
        assert (await ask(at, "DELETE", "/destinations/hook")).json()["error"]["code"] == "in_use"
        await at.app.alerts.check()

        async def disabled() -> bool:
            found = (await ask(at, "GET", "/destinations/hook")).json()["data"]
            return found["disabled"] is not None

        await eventually(disabled)
        (failed,) = (await ask(at, "GET", "/deliveries?state=failed")).json()["data"]
        result = (await ask(at, "POST", "/tests", {"rule": "full"})).json()["data"]["results"]
        assert result == [{"destination": "hook", "delivered": True, "status": 200, "problem": None}]
        assert not await disabled()
        again = await ask(at, "POST", f"/deliveries/{failed['id']}/retry", {})
        assert again.json()["data"]["state"] == "waiting"

        async def arrived() -> bool:
            return len(hook.received) == 3

        await eventually(arrived)
        told = [one.json["type"] for one in hook.received]
        assert told == ["alert.fired", "alert.test", "alert.fired"]
        changed = await ask(at, "PATCH", "/destinations/hook", {"settings": {"timeout_s": 5}})
        assert changed.json()["data"]["secrets"] == ["url"], "the address stays"
    await ask(at, "DELETE", "/rules/full")
    assert (await ask(at, "DELETE", "/destinations/hook")).status == 200
    trail = read_rows(at.database, "SELECT action, before, after FROM audit WHERE action LIKE 'alert_%'")
    actions = {row["action"] for row in trail}
    assert {"alert_rules.add", "alert_destinations.add", "alert_deliveries.retry"} <= actions
    assert hook.url not in str(trail)
    files = b"".join(path.read_bytes() for path in at.folder.iterdir() if path.is_file())
    assert hook.url.encode() not in files


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rule_may_stop_whom_it_fires_for(at: Stand) -> None:
    rule = {"watch": "repeats", "at": 3, "action": "stop", "stop_for_s": 600}
    assert (await ask(at, "POST", "/rules", {"name": "loop", "settings": rule})).status == 201
    await at.app.alerts.check()
    for _ in range(3):
        assert (await at.chat({"seed": 1})).status == 200
    await at.app.alerts.check()
    refused = await at.chat({"seed": 2})
    assert (refused.status, refused.json()["error"]["code"]) == (503, "stopped")
    assert "alert loop" in refused.json()["error"]["message"]
    await at.app.alerts.check()
    (stop,) = at.app.services.stops.in_force()
    assert stop.kind == "token"
    await ask(at, "DELETE", "/rules/loop")
    await at.app.alerts.check()
    assert at.app.services.repeated is None
    await at.app.services.stops.end(stop, Actor("root", "socket"))
    assert (await at.chat({"seed": 2})).status == 200


@pytest.fixture
def own_log() -> Iterator[None]:
    """Put the log back: a command without a proxy sets it up for its process."""
    log = logging.getLogger("tollkeeper")
    level, handlers = log.level, [*log.handlers]
    yield
    log.setLevel(level)
    log.handlers = handlers


@pytest.mark.usefixtures("own_log")
def test_the_command_line_without_a_proxy(tmp_path: Path) -> None:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(tollkeeper, ["alerts", *arguments, "-c", str(tmp_path / "config.yaml")], input=stdin)

    def ok(*arguments: str, stdin: str | None = None) -> str:
        ran = run(*arguments, stdin=stdin)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    (tmp_path / "config.yaml").write_text(
        "providers: {openrouter: {api_key: sk-or-v1-0123456789abcdef}}\n"
        "alerts: {rules: {of-the-file: {watch: disk_free}}}\n"
    )
    (tmp_path / "config.yaml").chmod(0o600)
    ok("add", "budgets", "--watch", "limit_share", "--at", "80%", "--at", "100%")
    ok("destinations", "add", "team", "--kind", "slack", "--url-file", "-", stdin=CANARY)
    ok("set", "budgets", "--to", "log", "--to", "team", "--urgent")
    ok("silence", "budgets", "--for", "2h", "--reason", "known")
    rules = json.loads(ok("list", "--json"))
    assert [(rule["name"], rule["state"], rule["source"]) for rule in rules] == [
        ("budgets", "silenced", "database"), ("of-the-file", "at_rest", "config"),
    ]  # fmt: skip
    assert rules[0]["settings"]["to"] == ["log", "team"]
    (team,) = json.loads(ok("destinations", "list", "--json"))
    assert team["secrets"] == ["url"]
    assert "canary" not in str(team)
    table = ok("list")
    assert "limit_share" in table
    assert max(map(len, table.splitlines())) <= 80
    refused = run("set", "of-the-file", "--at", "2GB")
    assert refused.exit_code == 1
    assert "config.yaml:2" in refused.stderr
    assert json.loads(ok("deliveries", "--json")) == []
    assert ok("test", "log") == "log  delivered\n"
    ok("remove", "budgets")
    ok("destinations", "remove", "team")
    assert "canary" not in "".join(path.read_text(errors="replace") for path in tmp_path.iterdir() if path.is_file())
