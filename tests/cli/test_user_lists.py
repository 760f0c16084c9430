"""users and tokens: the same commands, whether a proxy runs or not."""

import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from proxy.cli.admin_client import _STARTING_S
from proxy.core.user_token import is_well_formed, token_hash
from proxy.storage.sqlite.lock import OwnerLock
from tests.cli.command_line import CommandLine, Commands, Ran
from tests.cli.conftest import write_file


def status_of(base_url: str, token: str) -> int:
    """Give the status of GET /v1/models with a token."""
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def new_token(ran: Ran) -> str:
    token = ran.stdout.strip()
    assert is_well_formed(token)
    return token


def ids(cli: CommandLine, user: str) -> list[str]:
    return [token["id"] for token in cli.read("tokens", "list", user) if token["source"] == "database"]


def test_without_a_proxy(commands: Commands) -> None:
    cli = commands
    assert [user["name"] for user in cli.read("users", "list")] == ["anna"]
    token = new_token(cli.ok("users", "add", "bob", "--group", "family"))
    bob = cli.read("users", "show", "bob")
    assert (bob["group"], bob["source"], bob["disabled"], len(bob["tokens"])) == ("family", "database", False, 1)
    cli.ok("users", "set", "bob", "--no-group")
    assert cli.read("users", "show", "bob")["group"] is None
    cli.ok("users", "disable", "bob")
    assert cli.read("users", "show", "bob")["disabled"]
    cli.ok("users", "enable", "bob")
    second = new_token(cli.ok("tokens", "add", "bob", "--name", "laptop", "--expires", "30d"))
    assert second != token
    assert len(ids(cli, "bob")) == 2
    cli.ok("users", "remove", "bob")
    assert [user["name"] for user in cli.read("users", "list")] == ["anna"]
    assert ids(cli, "bob") == []


def test_with_a_proxy_each_change_is_in_force_at_once(configured: CommandLine) -> None:
    cli = configured
    with cli.serving():
        url = cli.base_url()
        token = new_token(cli.ok("users", "add", "bob"))
        assert status_of(url, token) == 200
        cli.ok("users", "disable", "bob")
        assert status_of(url, token) == 403
        cli.ok("users", "enable", "bob")
        (token_id,) = ids(cli, "bob")
        cli.ok("tokens", "disable", token_id)
        assert status_of(url, token) == 403
        cli.ok("tokens", "enable", token_id)
        assert status_of(url, token) == 200
        fresh = new_token(cli.ok("tokens", "rotate", token_id))
        assert (status_of(url, token), status_of(url, fresh)) == (401, 200)
        kept = new_token(cli.ok("tokens", "rotate", ids(cli, "bob")[-1], "--overlap", "1h"))
        assert (status_of(url, fresh), status_of(url, kept)) == (200, 200)
        ran = cli.run("users", "add", "bob")
        assert ran.returncode == 1
        assert "exists already" in ran.stderr
        cli.ok("users", "remove", "bob")
        assert status_of(url, kept) == 401
    with sqlite3.connect(cli.folder / "tollkeeper.db") as db:
        actors = {row[0] for row in db.execute("SELECT actor FROM audit WHERE source != 'proxy'")}
    db.close()
    assert actors == {json.loads(_whoami(cli))}


def _whoami(cli: CommandLine) -> str:
    code = "import json, proxy.cli.control_client as a; print(json.dumps(a.actor()))"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=cli.environ, capture_output=True, text=True, check=True, cwd=cli.folder
    )
    return ran.stdout


def test_a_token_made_without_a_proxy_works_when_it_starts(configured: CommandLine) -> None:
    token = new_token(configured.ok("users", "add", "bob"))
    with configured.serving():
        assert status_of(configured.base_url(), token) == 200


def test_tokens_for_a_user_of_the_configuration(configured: CommandLine) -> None:
    cli = configured
    token = new_token(cli.ok("tokens", "add", "anna"))
    found = cli.read("tokens", "list", "anna")
    assert sorted(row["source"] for row in found) == ["config", "database"]
    (anna,) = cli.read("users", "list")
    assert (anna["source"], anna["group"], anna["tokens"]) == ("config", "family", 2)
    with cli.serving():
        assert status_of(cli.base_url(), token) == 200


CANNOT: list[tuple[tuple[str, ...], int, str]] = [
    (("users", "show", "nobody"), 1, "There is no user 'nobody'"),
    (("users", "disable", "nobody"), 1, "There is no user 'nobody'"),
    (("users", "set", "anna", "--models", "x/*"), 1, "users.anna.models is set in config.yaml:4"),
    (("users", "set", "anna", "--limit", "$9/day"), 1, "users.anna.limits.cost[0] is set in config.yaml:4"),
    (("users", "add", "anna", "--limit", "$9/day"), 1, "users.anna.limits.cost[0] is set in config.yaml:4"),
    (("users", "add", "eve", "--limit", "5"), 2, "does not say of what"),
    (("users", "add", "eve", "--limit", "$5/dya"), 2, 'Did you mean "day"?'),
    (("users", "add", "eve", "--limit", "$5/day", "--limit", "$6/day"), 2, "has two limits over day"),
    (("users", "add", "eve", "--expires", "2001-01-01"), 2, "has passed already"),
    (("users", "set", "bo", "--limit", "$5/day", "--no-limits"), 2, "--limit or --no-limits"),
    (("users", "set", "bo", "--expires", "1d", "--no-expiry"), 2, "--expires or --no-expiry"),
    (("users", "remove", "anna"), 1, "users.anna is set in config.yaml:4"),
    (("users", "add", "no blanks"), 1, "cannot be the name"),
    (("users", "set", "anna"), 2, "--group NAME or --no-group"),
    (("users", "set", "anna", "--group", "x", "--no-group"), 2, "--group NAME or --no-group"),
    (("groups", "show", "nobody"), 1, "There is no group 'nobody'"),
    (("groups", "add", "family"), 1, "exists already"),
    (("groups", "set", "family"), 2, "--limit, --no-limits"),
    (("limits", "add", "$9/day", "--user", "anna"), 1, "users.anna.limits.cost[0] is set in config.yaml:4"),
    (("limits", "add", "$5/day", "--user", "anna", "--group", "family"), 2, "Give one of --user, --group"),
    (("limits", "set", "$5/month"), 1, "There is no such limit of all"),
    (("limits", "add", "concurrency=4/day"), 2, "has no window"),
    (("tokens", "add", "nobody"), 1, "There is no user 'nobody'"),
    (("tokens", "add", "anna", "--expires", "soon"), 2, "is not a time I know"),
    (("tokens", "add", "anna", "--expires", "2001-01-01"), 2, "has passed already"),
    (("tokens", "rotate", "tok_x"), 1, "There is no token 'tok_x'"),
    (("tokens", "rotate", "tok_x", "--overlap", "long"), 2, "not a duration"),
    (("tokens", "disable", "0f0f0f0f"), 1, "is defined in the configuration"),
    (("users", "list", "-c", "missing.yaml"), 2, "there is no such file"),
]


def test_what_cannot_be_done(commands: Commands) -> None:
    write_file(commands.folder, "http://127.0.0.1:9", 'limits: {cost: $5/day}, models: ["*"]')
    for arguments, code, text in CANNOT:
        ran = commands.run(*arguments)
        assert (ran.returncode, ran.stdout) == (code, ""), (arguments, ran)
        assert text in ran.stderr, (arguments, ran)


def test_the_owner_is_named_when_it_does_not_answer(configured: CommandLine) -> None:
    """Somebody has the lock but no socket: the command waits a little, then says who it is."""
    lock = OwnerLock(configured.folder / "tollkeeper.db")
    lock.acquire("some program")
    try:
        ran = configured.run("users", "add", "bob")
    finally:
        lock.release()
    assert ran.returncode == 4
    assert f"some program, process {os.getpid()}" in ran.stderr


def test_commands_at_the_start_of_a_proxy_wait_for_it(configured: CommandLine) -> None:
    """Commands that race with a starting proxy: each change is made exactly once, by whoever has the lock."""
    cli = configured
    results: list[Ran] = []
    impatient: list[str] = []

    def add(name: str) -> None:
        for _ in range(20):
            began_s = time.monotonic()
            ran = cli.run("users", "add", name)
            if ran.returncode != 4:
                break
            # On a busy machine a proxy may start for longer than a command waits, which then has done nothing.
            if time.monotonic() - began_s < _STARTING_S:
                impatient.append(ran.stderr)
        results.append(ran)

    threads = [threading.Thread(target=add, args=(f"user{n}",)) for n in range(4)]
    for thread in threads[:2]:
        thread.start()
    # serve may meet a command that has the lock: then it says so and is started again
    for _ in range(20):
        try:
            with cli.serving():
                for thread in threads[2:]:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert [ran.returncode for ran in results] == [0] * 4, [ran.stderr for ran in results]
                assert impatient == []
                for ran in results:
                    assert status_of(cli.base_url(), new_token(ran)) == 200
        except AssertionError as error:
            if "is in use by tollkeeper users add" not in str(error):
                raise
        else:
            break
    assert len(cli.read("users", "list")) == 5


def test_no_token_is_ever_shown_again(configured: CommandLine) -> None:
    cli = configured
    tokens = [new_token(cli.ok("users", "add", "bob"))]
    said = [cli.ok("users", "add", "carl", "--no-token").stdout]
    with cli.serving():
        tokens.append(new_token(cli.ok("tokens", "add", "bob")))
        tokens.append(new_token(cli.ok("tokens", "rotate", ids(cli, "bob")[0])))
        for token in tokens:
            status_of(cli.base_url(), token)
    for arguments in (("users", "list"), ("tokens", "list"), ("users", "show", "bob"), ("check", "--offline")):
        for json_option in ((), ("--json",)):
            ran = cli.ok(*arguments, *json_option)
            said += [ran.stdout, ran.stderr]
    everything = "".join(said).encode() + b"".join(
        path.read_bytes() for path in cli.folder.rglob("*") if path.is_file() and path.name != "config.yaml"
    )
    for token in tokens:
        assert token.encode() not in everything
        assert token_hash(token).encode() in (cli.folder / "tollkeeper.db").read_bytes()
    assert b"sk-or-v1-canary-key" not in everything


def test_files_are_private(configured: CommandLine) -> None:
    configured.ok("users", "add", "bob")
    modes = {path.name: path.stat().st_mode & 0o777 for path in configured.folder.iterdir() if path.is_file()}
    assert set(modes.values()) == {0o600}, modes
    assert not Path(configured.folder / "tollkeeper.db-wal").exists()


def test_trust_is_shown_given_and_taken(commands: Commands) -> None:
    cli = commands
    cli.ok("users", "add", "webui", "--no-token")
    cli.ok("tokens", "add", "webui", "--trusted", "--name", "chat")
    cli.ok("tokens", "add", "webui", "--name", "other")

    def trusted() -> dict[str, bool]:
        return {token["name"]: token["trusted"] for token in cli.read("tokens", "list", "webui")}

    assert trusted() == {"chat": True, "other": False}
    (plain,) = [token["id"] for token in cli.read("tokens", "list", "webui") if not token["trusted"]]
    cli.ok("tokens", "trust", plain)
    assert trusted() == {"chat": True, "other": True}
    cli.ok("tokens", "distrust", plain)
    assert trusted() == {"chat": True, "other": False}
    assert "trusted" in cli.ok("tokens", "list").stdout


def test_end_users_are_listed_as_what_they_are(configured: CommandLine) -> None:
    cli = configured
    with cli.serving():
        token = new_token(cli.ok("users", "add", "webui"))
        (token_id,) = ids(cli, "webui")
        cli.ok("tokens", "trust", token_id)
        address = urlsplit(cli.base_url())
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        body = json.dumps({"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hej"}]})
        named = {"X-OpenWebUI-User-Email": "eva@example.com", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {token}", **named})
        connection.getresponse().read()
        connection.close()
    (eva,) = [user for user in cli.read("users", "list") if user["name"] == "eva@example.com"]
    assert (eva["source"], eva["made_by"], eva["tokens"]) == ("database", token_id, 0)
    assert "end user" in cli.ok("users", "list").stdout
    assert token_id in cli.ok("users", "show", "eva@example.com").stdout


def test_a_user_of_the_file_is_stopped_and_let_in_again(commands: Commands) -> None:
    """Stopping always works: a row in the database wins for that, whether a proxy runs or not."""
    cli = commands
    cli.ok("users", "disable", "anna")
    assert cli.read("users", "show", "anna")["disabled"]
    assert cli.read("users", "show", "anna")["source"] == "config"
    cli.ok("users", "enable", "anna")
    assert not cli.read("users", "show", "anna")["disabled"]
    cli.ok("users", "enable", "anna")


def test_a_stopped_user_of_the_file_is_refused_at_once(configured: CommandLine) -> None:
    cli = configured
    with cli.serving():
        token = new_token(cli.ok("tokens", "add", "anna"))
        assert status_of(cli.base_url(), token) == 200
        cli.ok("users", "disable", "anna")
        assert status_of(cli.base_url(), token) == 403
        cli.ok("users", "enable", "anna")
        assert status_of(cli.base_url(), token) == 200
    config = cli.folder / "config.yaml"
    config.write_text(config.read_text().replace("group: family}", "group: family, disabled: true}"))
    ran = cli.run("users", "enable", "anna")
    assert ran.returncode == 1
    assert "users.anna.disabled" in ran.stderr


def test_limits_of_a_user_in_the_database_hold_and_are_shown(commands: Commands) -> None:
    cli = commands
    cli.ok("users", "add", "bo", "--limit", "$5/day", "--limit", "60 requests/minute", "--limit", "concurrency=4")
    assert cli.read("users", "show", "bo")["settings"]["limits"] == {
        "cost": ["$5/day"],
        "requests": ["60/minute"],
        "concurrency": ["4"],
    }
    assert "$5/day, requests=60/minute, concurrency=4" in cli.ok("users", "show", "bo").stdout
    limits = cli.read("explain", "openai/gpt-4o-mini", "--user", "bo")["limits"]
    assert {(row["kind"], row["window"]) for row in limits} >= {("cost", "day"), ("requests", "minute")}
    cli.ok("users", "set", "bo", "--limit", "$7/day")
    assert cli.read("users", "show", "bo")["settings"]["limits"] == {"cost": ["$7/day"]}
    cli.ok("users", "set", "bo", "--no-limits")
    assert "limits" not in cli.read("users", "show", "bo")["settings"]
