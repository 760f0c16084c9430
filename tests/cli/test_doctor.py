"""tollkeeper doctor: each endpoint with each key, in 80 columns, the shape of answers without a value, exit 0 or 1."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.core import build
from proxy.core.build import IS_COMPILED
from tests.cli.command_line import CommandLine, Commands
from tests.cli.test_account import KEY, MANAGEMENT_KEY, managed, post


def by_request(report: dict[str, Any]) -> dict[tuple[str, str], bool | None]:
    return {(one["key"], one["request"]): one["is_good"] for one in report["tries"]}


def test_each_endpoint_is_tried_with_each_key(configured: CommandLine) -> None:
    cli = Commands(configured.folder)
    without = cli.read("doctor")
    assert without["is_good"]
    assert by_request(without) == {
        ("main", "GET /models"): True,
        ("main", "GET /embeddings/models"): True,
        ("main", "GET /key"): True,
        ("management", "-"): None,
    }
    assert "providers.openrouter.management_key" in without["tries"][-1]["said"]
    managed(cli.folder)
    report = cli.read("doctor", "openrouter")
    paths = ("GET /credits", "GET /keys", "GET /activity", "POST /analytics/query", "GET /key")
    assert by_request(report) == {
        **{place: good for place, good in by_request(without).items() if place[0] == "main"},
        **{("management", path): True for path in paths},
    }
    shapes = {one["request"]: one["returned"] for one in report["tries"]}
    assert shapes["GET /credits"] == "{data: {total_credits, total_usage}}"
    assert shapes["GET /models"].startswith("{data: [")
    assert report["build"] == {
        "version": __version__,
        "is_compiled": IS_COMPILED,
        "changed_files": build.changed_files(),
    }
    shown = cli.ok("doctor").stdout
    assert shown.startswith(f"tollkeeper {__version__}{', compiled' if IS_COMPILED else ''}\n\nopenrouter\n")
    for secret in (KEY, MANAGEMENT_KEY):
        assert secret not in f"{report}{shown}"


def test_what_fails_says_what_to_do_and_ends_with_1(configured: CommandLine, simulator: str) -> None:
    cli = Commands(configured.folder)
    managed(cli.folder)
    for path, error in (("/credits", "management-only"), ("/embeddings/models", "no-endpoints"), ("/key", "key-limit")):
        post(f"{simulator}/_sim/behaviour", {"for": f"path:{path}", "error": error})
    post(f"{simulator}/_sim/behaviour", {"for": "path:/keys", "body": '{"data": [{"hash": 5, "usage": "much"}]}'})
    ran = cli.run("doctor")
    assert ran.returncode == 1
    assert "4 of 8 failed." in ran.stderr
    words = " ".join(ran.stdout.split())
    assert "Only a management key may: make one at https://openrouter.ai/settings/management-keys" in words
    assert "failed 403" in words
    assert "A limit of the account or of the key is reached" in words
    assert "openrouter's answer for the keys of the account cannot be read: data.0" in words
    assert "This provider has no such list." in words
    unknown = cli.run("doctor", "nobody")
    assert (unknown.returncode, "There are: openrouter" in unknown.stderr) == (1, True)
    (cli.folder / "config.yaml").write_text(
        (cli.folder / "config.yaml").read_text().replace("openrouter: {", "openrouter: {enabled: false, ")
    )
    off = cli.read("doctor")
    assert [one["is_good"] for one in off["tries"]] == [None]


def test_what_changed_since_it_was_compiled_is_told(
    configured: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "installed" / "proxy"
    package.mkdir(parents=True)
    names = ["proxy/a.py", "proxy/b.py", "proxy/c.py", "proxy/d.py"]
    for name in names:
        (package.parent / name).write_text("changed")
    (package / "compiled.json").write_text(json.dumps(dict.fromkeys(names, "")))
    monkeypatch.setattr(build, "_PACKAGE", package)
    monkeypatch.setattr(build, "IS_COMPILED", True)
    monkeypatch.setattr("proxy.web.admin.doctor.IS_COMPILED", True)
    cli = Commands(configured.folder)
    assert cli.read("doctor")["build"]["changed_files"] == names
    words = " ".join(cli.ok("doctor").stdout.split())
    assert words.startswith(f"tollkeeper {__version__}, compiled What runs was compiled from other files")
    assert "(proxy/a.py, proxy/b.py, proxy/c.py, …)" in words
    assert "scripts/setup --compiled, and start again." in words


def test_keys_of_the_wrong_kind_are_told(configured: CommandLine) -> None:
    cli = Commands(configured.folder)
    config = cli.folder / "config.yaml"
    config.write_text(config.read_text().replace("api_key: ", f"api_key: {MANAGEMENT_KEY}, management_key: "))
    ran = cli.run("doctor", "--json")
    said = {one["key"]: one["said"] for one in json.loads(ran.stdout)["tries"] if one["request"] == "GET /key"}
    assert "The key main is a management key, which no request can be made with." in said["main"]
    assert "This is an ordinary key." in said["management"]
    assert ran.returncode == 1


def test_a_provider_that_never_answers_is_told_in_time(
    configured: CommandLine, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.providers.account.examination._WAIT_S", 0.3)
    post(f"{simulator}/_sim/behaviour", {"for": "path:/key", "stop_at": "before_headers", "stop_with": "hang"})
    ran = Commands(configured.folder).run("doctor", "--json")
    assert ran.returncode == 1
    (failed,) = [one for one in json.loads(ran.stdout)["tries"] if one["is_good"] is False]
    assert (failed["request"], failed["status"]) == ("GET /key", None)
    assert "did not answer within 0 s" in failed["said"]
