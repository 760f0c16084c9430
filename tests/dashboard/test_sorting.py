"""Every list can be sorted by its columns: whole where it is short or the API sorts it, else the page that is shown."""

import html
import re
from pathlib import Path

from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

_USER = re.compile(r'data-label="User"><a href="/dashboard/people/([^"]+)">')
_COST = re.compile(r'data-label="Cost"><data class="money" value="([^"]+)"')
_HEAD = re.compile(r'<th scope="col"[^>]*><a href="([^"]+)">')
_RULES = {"near": {"watch": "limit_share"}, "errors": {"watch": "error_rate"}, "disk": {"watch": "disk_free"}}


async def _ask(stand: Stand, method: str, path: str, body: object = None) -> dict[str, object]:
    answer = await stand.ask(method, f"/admin/v1{path}", body, token=ADMIN_TOKEN)
    assert answer.status in (200, 201), answer.body
    found: dict[str, object] = answer.json()
    return found


async def _names(stand: Stand, sort: str) -> list[str]:
    """Return all users in the order of the API, page by page."""
    names: list[str] = []
    cursor = ""
    while True:
        found = await _ask(stand, "GET", f"/users?limit=2&sort={sort}{cursor}")
        names += [user["name"] for user in found["data"]]  # type: ignore[attr-defined]
        if found["next_cursor"] is None:
            return names
        cursor = f"&cursor={found['next_cursor']}"


async def test_lists_are_sorted_by_the_address(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"alerts": {"rules": _RULES}}) as stand:
        for name, group, tokens in (("bo", "lab", 2), ("cy", None, 0), ("di", "art", 1), ("el", None, 0)):
            if group is not None:
                await _ask(stand, "POST", "/groups", {"name": group, "settings": {}})
            await _ask(stand, "POST", "/users", {"name": name, "group": group})
            for _ in range(tokens):
                await _ask(stand, "POST", "/tokens", {"user": name})
        orders = {
            "name": ["anna", "bo", "cy", "di", "el"],
            "-name": ["el", "di", "cy", "bo", "anna"],
            "group": ["di", "bo", "anna", "cy", "el"],
            "-group": ["bo", "di", "el", "cy", "anna"],
            "tokens": ["cy", "el", "anna", "di", "bo"],
            "-tokens": ["bo", "di", "anna", "el", "cy"],
        }
        viewer = Visitor(stand.port)
        await viewer.log_in(ADMIN_TOKEN)
        for sort, names in orders.items():
            assert await _names(stand, sort) == names
            page = (await viewer.get(f"/dashboard/people?users.sort={sort}")).body.decode()
            assert _USER.findall(page) == names
            csv = (await viewer.get(f"/dashboard/people?users.sort={sort}&csv=users")).body.decode()
            assert [line.split(",")[0] for line in csv.splitlines()[1:]] == names
        assert (await viewer.get("/dashboard/people?users.sort=disabled")).status == 200, "passed over"
        for page_path, column in (("alerts", "rules.sort=name"), ("keys", "keys.sort=-provider")):
            page = (await viewer.get(f"/dashboard/{page_path}?{column}")).body.decode()
            assert page.count("aria-sort=") >= 1
        rules = (await viewer.get("/dashboard/alerts?csv=rules&rules.sort=-name")).body.decode().splitlines()
        assert [line.split(",")[0] for line in rules] == ["name", "near", "errors", "disk"]
        assert "Watches what is used of a limit" in rules[1]
        await _check_requests(stand, viewer)


async def _check_requests(stand: Stand, viewer: Visitor) -> None:
    """The newest requests are sorted where they are shown, and their heads lead to the page, also those of a part."""
    for words in (400, 10, 100):
        await stand.chat({"messages": [{"role": "user", "content": "word " * words}], "max_tokens": words})
    await stand.settled(3)
    address = "/dashboard/requests?requests.sort=-cost_pusd"
    page = (await viewer.get(address)).body.decode()
    costs = list(map(float, _COST.findall(page)))
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == 3
    live = html.unescape(re.search(r'data-live="([^"]+)"', page)[1])  # type: ignore[index]
    part = (await viewer.get(live)).body.decode()
    assert list(map(float, _COST.findall(part))) == costs
    for shown in (page, part):
        heads = [html.unescape(head) for head in _HEAD.findall(shown)]
        assert len(heads) == 10
        assert all(head.startswith("/dashboard/requests?") for head in heads)
        csv = html.unescape(re.search(r'href="([^"]+)" aria-label="Requests as CSV"', shown)[1])  # type: ignore[index]
        assert (await viewer.get(csv)).header("Content-Type") == "text/csv; charset=utf-8"
