"""tollkeeper keys: added, tested and rotated as a person does it, with and without a running proxy."""

from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, Commands

SPARE, NEW = f"sk-or-v1-{'5aa5' * 16}", f"sk-or-v1-{'7bb7' * 15}zzzz"


def test_a_key_from_a_file_is_asked_about_stored_listed_and_rotated(configured: CommandLine) -> None:
    cli = configured
    (cli.folder / "new.key").write_text(f"{SPARE}\n")
    added = cli.ok("keys", "add", "openrouter", "--key-file", "new.key", "--priority", "0", "--limit", "$5/day")
    assert added.stdout == ""
    assert "openrouter accepts the key" in added.stderr
    assert f"Key key-2 of openrouter (…{SPARE[-4:]}) was added" in added.stderr
    assert "tollkeeper.db.master-key" in added.stderr
    assert "openrouter: it accepts the key key-2; no limit of its own" in added.stderr
    assert "the key main" not in added.stderr
    (cli.folder / "management.key").write_text(f"sk-or-v1-management-{'0' * 40}\n")
    told = cli.ok("keys", "add", "openrouter", "--management", "--key-file", "management.key").stderr
    assert "openrouter: it accepts the key management" in told
    assert "openrouter: credits: $1000.00 left of $1000.00" in told
    cli.ok("keys", "remove", "openrouter", "management")
    here = Commands(cli.folder)
    with cli.serving():
        (shown,) = [each for each in here.read("keys", "list") if each["source"] == "database"]
        assert (shown["state"], shown["limits"], shown["priority"]) == ("in use", {"cost": ["$5/day"]}, 0)
        unknown = here.run("keys", "add", "sk-or-v1-typed-in-the-wrong-place")
        assert ("There are: openrouter" in unknown.stderr, "wrong-place" in unknown.stderr) == (True, False)
        refused = here.run("keys", "rotate", "openrouter", "--key-file", "-", stdin="not-a-key-of-openrouter\n")
        assert refused.returncode == 1
        assert "openrouter refuses the key with 401: User not found. Nothing was stored." in refused.stderr
        rotated = here.run("keys", "rotate", "openrouter", "--key-file", "-", stdin=f"{NEW}\n")
        assert (rotated.returncode, "The old key is used no longer" in rotated.stderr) == (0, True), rotated.stderr
        assert "accepts the key" in here.ok("keys", "test", "openrouter:key-2").stdout
        here.ok("keys", "set", "openrouter", "--no-limits", "--until", "30d")
        assert "zzzz) " not in here.ok("keys", "show", "openrouter").stdout
        assert "none of its own" in here.ok("keys", "show", "openrouter").stdout
        here.ok("keys", "disable", "openrouter", "main")
        states = {each["name"]: each["state"] for each in here.read("keys", "list")}
        assert states == {"main": "disabled", "key-2": "in use"}
    here.ok("keys", "remove", "openrouter")
    assert [each["name"] for each in here.read("keys", "list")] == ["main"]
    _no_secret_in(cli.folder, SPARE, NEW)


def test_the_master_key_is_copied_lost_brought_back_and_rotated(commands: Commands) -> None:
    cli = commands
    assert "none" in cli.ok("keys", "master", "status").stdout
    cli.ok("keys", "master", "init")
    assert cli.run("keys", "master", "init").returncode == 1
    assert cli.run("keys", "add", "openrouter", "--key-file", "-", "--no-test", stdin=SPARE).returncode == 0
    short = cli.run("keys", "master", "export", "--passphrase-file", "-", stdin="short\n")
    assert "at least 8 characters" in short.stderr
    copy = cli.run("keys", "master", "export", "--passphrase-file", "-", stdin="correct horse\n").stdout
    (cli.folder / "copy.txt").write_text(copy)
    file = cli.folder / "tollkeeper.db.master-key"
    file.unlink()
    lost = cli.run("keys", "add", "openrouter", "--key-file", "-", "--no-test", stdin=NEW)
    assert "master key is missing" in lost.stderr
    assert not file.exists()
    listed = cli.ok("keys", "list")
    assert "openrouter:key-2 cannot be opened: there is no master key" in listed.stderr
    assert cli.run("keys", "master", "status").returncode == 1
    wrong = cli.run("keys", "master", "import", "copy.txt", "--passphrase-file", "-", stdin="correct mule!\n")
    assert "The passphrase is wrong" in wrong.stderr
    back = cli.run("keys", "master", "import", "copy.txt", "--passphrase-file", "-", stdin="correct horse\n")
    assert back.returncode == 0, back.stderr
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    before = cli.read("keys", "master", "status")
    done = cli.ok("keys", "master", "rotate")
    assert "has sealed 1 values anew" in done.stderr
    after = cli.read("keys", "master", "status")
    assert (after["old"], after["archive"], after["unopened"]) == ([], [before["id"]], 0)
    assert after["values"] == [{"master_key_id": after["id"], "values": 1}]
    cli.ok("keys", "master", "rotate", "--resume", "--forget")
    assert cli.read("keys", "master", "status")["archive"] == []
    _no_secret_in(cli.folder, SPARE, NEW)


@pytest.mark.parametrize("mode", [0o644])
def test_a_master_key_that_others_can_read_keeps_nobody_from_starting(configured: CommandLine, mode: int) -> None:
    cli = configured
    Commands(cli.folder).run("keys", "add", "openrouter", "--key-file", "-", "--no-test", stdin=SPARE)
    (cli.folder / "tollkeeper.db.master-key").chmod(mode)
    with cli.serving():
        listed = Commands(cli.folder).ok("keys", "list")
        assert "chmod 600" in listed.stderr
        assert {each["name"]: each["state"] for each in Commands(cli.folder).read("keys", "list")} == {
            "main": "in use",
            "key-2": "not opened",
        }
    assert "key.unopened" in cli.said()


def _no_secret_in(folder: Path, *secrets: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "new.key":
            held = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in held], path


def test_check_asks_about_the_key_of_the_database(commands: Commands, simulator: str) -> None:
    cli = commands
    config = cli.folder / "config.yaml"
    config.write_text(f'providers: {{openrouter: {{base_url: "{simulator}/api/v1", keys: []}}}}\n')
    config.chmod(0o600)
    without = cli.run("check")
    assert (without.returncode, "tollkeeper keys add openrouter" in without.stdout) == (1, True), without.stdout
    assert cli.run("keys", "add", "openrouter", "--key-file", "-", stdin=SPARE).returncode == 0
    assert "accepts the key" in cli.ok("check").stdout
    (cli.folder / "tollkeeper.db.master-key").unlink()
    lost = cli.run("check")
    assert "key main of openrouter cannot be opened: there is no master key" in lost.stdout
