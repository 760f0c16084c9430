"""What the database holds lies over the file's settings; where both decide, the file wins."""

from typing import Any

import pytest

from proxy.config.limit import written
from proxy.config.overlay import StoredSettings, destination_problem, lay_over
from proxy.config.schema import Limits, Settings
from proxy.core.secret import Secret

HASH = "sha256:" + "0f" * 32


def user(name: str, *, made_by: str | None = None, group: str | None = None, **settings: Any) -> dict[str, Any]:
    disabled = settings.pop("disabled", False)
    return {"name": name, "group": group, "settings": settings, "disabled": disabled, "made_by": made_by}


def texts(limits: Limits) -> list[str]:
    return [f"{limit.kind} {written(limit)}" for limit in limits.all]


def settings_of(**more: Any) -> Settings:
    return Settings.read(more)


def test_nothing_stored_leaves_the_very_same_settings() -> None:
    file = settings_of(users={"anna": {"token_hash": HASH}})
    overlay = lay_over(file, StoredSettings())
    assert overlay.settings is file
    assert overlay.source(("users", "anna")) == "config"


def test_a_user_of_the_database_is_a_user_like_others() -> None:
    rows = [user("bo", group="family", limits={"cost": "$5/day"}, models=["openai/*"], expires_at="2027-01-31T00:00Z")]
    overlay = lay_over(settings_of(), StoredSettings(rows))
    bo = overlay.settings.users["bo"]
    assert (bo.group, bo.models, texts(bo.limits)) == ("family", ("openai/*",), ["cost $5/day"])
    assert bo.expires_at is not None
    assert overlay.source(("users", "bo", "models")) == "database"
    assert overlay.file.users == {}


def test_a_group_that_was_never_checked_stops_nobody() -> None:
    bo = lay_over(settings_of(), StoredSettings([user("bo", group="no name")])).settings.users["bo"]
    assert bo.group == "no name"


def test_an_end_user_stays_out_of_it_unless_the_file_has_the_name() -> None:
    rows = [user("eva", made_by="tok_1"), user("anna", made_by="tok_1", models=["a/*"])]
    found = lay_over(settings_of(users={"anna": {"token_hash": HASH}}), StoredSettings(rows)).settings.users
    assert [*found] == ["anna"]
    assert found["anna"].models == ("a/*",)


@pytest.mark.parametrize(
    ("file", "row", "field", "value", "source"),
    [
        ({}, {"models": ["a/*"]}, "models", ("a/*",), "database"),
        ({"models": ["b/*"]}, {"models": ["a/*"]}, "models", ("b/*",), "config"),
        ({}, {"max_tokens": 5}, "max_tokens", 5, "database"),
        ({"max_tokens": 9}, {"max_tokens": 5}, "max_tokens", 9, "config"),
        ({}, {"group": "g"}, "group", "g", "database"),
        ({"group": "family"}, {"group": "g"}, "group", "family", "config"),
        ({}, {"disabled": True}, "disabled", True, "database"),
        ({"disabled": False}, {"disabled": True}, "disabled", True, "database"),
        ({"disabled": True}, {"disabled": False}, "disabled", True, "config"),
        ({}, {"disabled": False}, "disabled", False, "config"),
    ],
)
def test_the_file_wins_field_by_field(
    file: dict[str, Any], row: dict[str, Any], field: str, value: object, source: str
) -> None:
    given = settings_of(groups={"family": {}}, users={"anna": {"token_hash": HASH, **file}})
    overlay = lay_over(given, StoredSettings([user("anna", **row)]))
    assert getattr(overlay.settings.users["anna"], field) == value
    assert overlay.source(("users", "anna", field)) == source
    assert overlay.settings.users["anna"].token_hash == "0f" * 32


def test_limits_of_the_file_stand_and_others_come_beside_them() -> None:
    file = settings_of(users={"anna": {"token_hash": HASH, "limits": {"cost": "$5/day"}}})
    stored = {"cost": ["$9/day", "$50/month", {"amount": "$4", "window": "day", "mode": "soft"}], "requests": "9/hour"}
    overlay = lay_over(file, StoredSettings([user("anna", limits=stored)]))
    assert texts(overlay.settings.users["anna"].limits) == [
        "cost $5/day",
        "cost $50/month",
        "cost $4/day (soft)",
        "requests 9/hour",
    ]
    at = ("users", "anna", "limits")
    assert [overlay.source((*at, "cost", number)) for number in range(3)] == ["config", "database", "database"]
    assert overlay.source((*at, "requests", 0)) == "database"


def test_groups_and_limits_of_nobody() -> None:
    file = settings_of(
        groups={"family": {"limits": {"cost": "$50/month"}}},
        limits={"cost": "$200/month"},
        use_case_limits={"sms": {"cost": "$1/day"}},
    )
    stored = StoredSettings(
        groups=[
            {"name": "family", "settings": {"models": ["a/*"], "limits": {"cost": "$9/month"}}},
            {"name": "staff", "settings": {"limits": {"requests": "5/hour"}}},
        ],
        limits=[
            {"scope": "all", "name": "", "settings": {"cost": ["$9/month", "$20/day"]}},
            {"scope": "each_user", "name": "", "settings": {"cost": "$2/day"}},
            {"scope": "use_case", "name": "sms", "settings": {"requests": "10/day"}},
            {"scope": "use_case", "name": "mail", "settings": {"cost": "$3/day"}},
        ],
    )
    overlay = lay_over(file, stored)
    found = overlay.settings
    assert (texts(found.groups["family"].limits), found.groups["family"].models) == (["cost $50/month"], ("a/*",))
    assert texts(found.groups["staff"].limits) == ["requests 5/hour"]
    assert texts(found.limits) == ["cost $200/month", "cost $20/day"]
    assert texts(found.defaults.limits) == ["cost $2/day"]
    assert {name: texts(limits) for name, limits in found.use_case_limits.items()} == {
        "sms": ["cost $1/day", "requests 10/day"],
        "mail": ["cost $3/day"],
    }
    assert overlay.source(("groups", "staff", "limits", "requests", 0)) == "database"
    assert overlay.source(("limits", "cost", 1)) == "database"
    assert file.use_case_limits.keys() == {"sms"}  # the file's settings are as they were


def test_a_row_that_no_check_has_passed_is_listed_and_lets_nothing_be_spent() -> None:
    for stored, named in (
        (StoredSettings([user("bo", models=5)]), "user bo, models"),
        (StoredSettings(groups=[{"name": "g", "settings": {"x": 1}}]), "group g, x"),
        (StoredSettings(limits=[{"scope": "all", "name": "", "settings": {"cost": "x"}}]), "limits of all, cost"),
    ):
        overlay = lay_over(settings_of(), stored)
        (row,) = overlay.unreadable
        assert row.text.replace(": ", ", ").startswith(named), row.text
        held = overlay.settings
        limits = [held.limits, *(group.limits for group in held.groups.values())]
        limits += [one.limits for name, one in held.users.items() if name == "bo" and one.disabled]
        assert any("cost $0/day" in texts(one) for one in limits)


def test_a_destination_that_passes_no_longer_stops_nobody() -> None:
    rows = [
        {"name": name, "settings": {"kind": "webhook"}, "opened": {"url": Secret(url)}, "problem": None}
        for name, url in (("old", "https://127.0.0.1/"), ("good", "https://hooks.example.com/x"))
    ]
    file = Settings.read({})
    assert list(lay_over(file, StoredSettings(alert_destinations=rows)).settings.alerts.destinations) == ["good"]
    assert "leads to an address of this machine" in str(destination_problem(rows[0]))
    assert destination_problem(rows[1]) is None


def test_a_default_of_the_file_leaves_no_room_for_the_other_kind() -> None:
    file = settings_of(users={"anna": {"token_hash": HASH, "default_model": "m"}})
    anna = lay_over(file, StoredSettings([user("anna", default_preset="p")])).settings.users["anna"]
    assert (anna.default_model, anna.default_preset) == ("m", None)
