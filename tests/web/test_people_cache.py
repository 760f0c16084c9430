"""What is kept of all people is what the database and the file say, after each change of either."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.storage.audit import Actor
from proxy.web.admin.people import People, people_of
from tests.support.installation import token_hash_of, token_of
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

BOB = Actor("bob", "command line")
FILE = {
    "users": {
        "anna": {"group": "family", "token_hash": token_hash_of("anna")},
        "webui": {"tokens": [{"hash": token_hash_of("webui"), "name": "open-webui", "trusted": True}]},
    },
    "groups": {"family": {"limits": {"cost": "$50/month"}}},
    "end_users": {"user_header": "X-End-User", "group": "family"},
    "presets": {"texts": {"targets": ["openai/gpt-4o-mini"], "use_case": "sms", "limits": {"cost": "$9/day"}}},
}
CHANGES: list[tuple[str, Mapping[str, Any]]] = [
    ("groups.add", {"name": "guests", "settings": {"limits": {"cost": "$1/day"}}}),
    (
        "users.add",
        {"name": "bo", "group": "guests", "settings": {"limits": {"cost": "$2/day", "requests": "9/minute"}}},
    ),
    ("users.set", {"name": "bo", "changes": {"group": "family"}}),
    ("tokens.add", {"user": "bo"}),
    ("limits.add", {"scope": "user", "name": "bo", "kind": "tokens", "limit": "1M/day", "is_configured": False}),
    ("limits.add", {"scope": "all", "name": None, "kind": "cost", "limit": "$100/month", "is_configured": False}),
    ("models.set", {"name": "openai/gpt-4o", "changes": {"enabled": False}}),
    ("groups.set", {"name": "guests", "settings": {"limits": {"cost": "$3/day"}}}),
    ("groups.remove", {"name": "guests", "is_configured": False}),
    ("users.stop", {"name": "bo"}),
    ("users.remove", {"name": "bo"}),
]


def _told(people: People) -> Mapping[str, Any]:
    """Return all of it that can be compared."""
    return {
        "settings": people.overlay.settings,
        "stored": people.overlay.stored,
        "names": people.names,
        "limits": people.limits,
        "members": people.members,
        "tokens": people.token_counts,
        "rows": people.user_rows,
    }


async def _holds(stand: Stand, before: People) -> People:
    """Return what is kept now, which is what is there, and no longer what was before."""
    services = stand.app.deps.services
    overlay = services.live.current.overlay
    assert overlay is not None
    found = await stand.app.deps.people.read()
    assert _told(found) == _told(people_of(services.reports.directory(), overlay.file, services.live))
    assert found is not before
    assert await stand.app.deps.people.read() is found, "as long as nothing changes it is not read again"
    return found


async def test_what_is_kept_is_what_is_there_after_each_change(tmp_path: Path) -> None:
    async with run_stand(tmp_path, FILE) as stand:
        people = await stand.app.deps.people.read()
        for n, (name, fields) in enumerate(CHANGES):
            await stand.app.deps.change(name, now_ms=1_800_000_000_000 + n, actor=BOB, fields=fields)
            people = await _holds(stand, people)
        answer = await stand.chat(token=token_of("webui"), headers=[("X-End-User", "guest-1")])
        assert answer.status == 200, answer.body
        people = await _holds(stand, people)
        assert people.names == ["anna", "guest-1", "webui"]
        assert people.members["family"] == ["anna", "guest-1"]
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text().replace("$50/month", "$60/month"))
        await stand.app.deps.reload(BOB)
        people = await _holds(stand, people)
        assert [str(one.limit.amount) for one in people.limits if one.scope.what == "group"] == ["60000000000000"]


async def test_limits_are_found_by_whom_they_hold_and_by_their_id(tmp_path: Path) -> None:
    async with run_stand(tmp_path, FILE) as stand:
        people = await stand.app.deps.people.read()
        assert [one.scope.text for one in people.limits] == ["group:family", "use_case:sms"]
        for one in people.limits:
            assert people.limits_of[one.scope] == [one]
            assert people.limits_by_id[one.id] is one
