"""Keys of the database beside those of the file: which are in use, and that nothing is ever sent without one."""

from typing import Any

import pytest

from proxy.config.key_overlay import lay_keys, names_in_file
from proxy.config.provider import Provider
from proxy.config.schema import Settings
from proxy.core.secret import Secret


def providers(**blocks: Any) -> dict[str, Provider]:
    return dict(Settings.read({"providers": blocks}).providers)


def row(provider: str, name: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"provider": provider, "name": name, "user": None, "group": None, "settings": {}}
    return {**found, "disabled": False, "secret": Secret(f"sk-{name}"), "problem": None, **more}


def in_use(found: Provider) -> dict[str, str]:
    """Return name and secret of each key that may be sent."""
    main = {} if found.api_key is None else {"main": found.api_key.reveal()}
    return main | {key.name: key.api_key.reveal() for key in found.keys if key.api_key is not None}


FILE = providers(
    openrouter={"api_key": "sk-file"},
    openai={"keys": [{"name": "a", "api_key": "sk-a"}, {"name": "b", "api_key": "sk-b"}]},
    local={"base_url": "http://127.0.0.1:1/v1"},
    far={"base_url": "https://llm.example.com/v1", "keys": []},
)


def test_nothing_changes_without_rows() -> None:
    assert lay_keys(FILE, []) is FILE
    assert names_in_file(FILE["openrouter"]) == ("main",)
    assert names_in_file(FILE["openai"]) == ("a", "b")


def test_keys_stand_beside_those_of_the_file_whose_names_win() -> None:
    rows = [row("openrouter", "spare", settings={"priority": 2, "limits": {"cost": "$5/day"}}), row("openai", "a")]
    found = lay_keys(FILE, [*rows, row("elsewhere", "x")])
    assert in_use(found["openrouter"]) == {"main": "sk-file", "spare": "sk-spare"}
    assert found["openrouter"].keys[0].priority == 2
    assert in_use(found["openai"]) == {"a": "sk-a", "b": "sk-b"}
    assert found["openai"] is FILE["openai"]
    assert found["local"] is FILE["local"]


@pytest.mark.parametrize(
    ("provider", "rows"),
    [
        ("openrouter", [row("openrouter", "main", disabled=True, secret=None)]),
        ("openai", [row("openai", name, disabled=True, secret=None) for name in ("a", "b")]),
        ("local", [row("local", "x", secret=None, problem="it was changed")]),
        ("far", [row("far", "x", disabled=True)]),
    ],
)
def test_a_provider_without_a_key_in_use_gets_nothing(provider: str, rows: list[dict[str, Any]]) -> None:
    found = lay_keys(FILE, rows)[provider]
    assert in_use(found) == {}
    assert [(key.name, key.valid_until is not None) for key in found.keys] == [("none", True)]


def test_a_provider_that_answers_nobody_without_a_key_needs_none_in_the_file() -> None:
    empty = providers(openrouter={"keys": []})
    assert [key.name for key in lay_keys(empty, [])["openrouter"].keys] == ["none"]
    assert in_use(lay_keys(empty, [row("openrouter", "main")])["openrouter"]) == {"main": "sk-main"}


def test_keys_of_users_and_groups_are_nobody_elses() -> None:
    rows = [row("openrouter", "own-bo", user="bo"), row("openrouter", "own-team", group="team")]
    assert lay_keys(FILE, rows) is FILE


def test_a_management_key_is_never_sent_with_requests_and_the_files_wins() -> None:
    rows = [row("openrouter", "management", settings={"management": True})]
    found = lay_keys(FILE, rows)["openrouter"]
    assert in_use(found) == {"main": "sk-file"}
    assert found.management_key == Secret("sk-management")
    for one in (
        row("openrouter", "main", settings={"management": True}, disabled=True),
        row("openrouter", "x", settings={"management": True}, secret=None, problem="it was changed"),
    ):
        assert lay_keys(FILE, [one]) is FILE
    of_file = providers(openrouter={"api_key": "sk-file", "management_key": "sk-its-own"})
    assert lay_keys(of_file, rows) is of_file
