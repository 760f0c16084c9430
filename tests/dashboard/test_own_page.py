"""/me shows what is a user's own, and nothing of anybody else's."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
import pytest_asyncio

from proxy.web.dashboard.views import VIEWS
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import MODEL, Stand
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEAR = "anthropic/claude-sonnet-4.5"
PAGES = tuple(
    view.path for view in VIEWS.views if view.audience == "user" and view.method == "GET" and not view.is_open
)


class OwnPages:
    """Two users with a request each, and the first one's browser."""

    def __init__(self, stand: Stand, user: Visitor, tokens: dict[str, str]) -> None:
        self.stand, self.user, self.tokens = stand, user, tokens

    async def text(self, path: str = "/me") -> str:
        answer = await self.user.get(path)
        assert answer.status == 200, (path, answer.status, answer.body)
        return unescape(answer.body.decode())

    async def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self.stand.ask(method, f"/admin/v1{path}", body, token=ADMIN_TOKEN)
        assert answer.status < 300, answer.body
        return answer.json()["data"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnPages]:
    async with run_stand(tmp_path_factory.mktemp("own")) as stand:
        tokens = {}
        for name in ("carla", "xaver-the-other"):
            settings = {"limits": {"cost": "$5/day", "requests": "50/hour"}, "preferences": True}
            body = {"name": name, "settings": settings, "token": {"expires_at": "2999-01-01T00:00:00Z"}}
            answer = await stand.ask("POST", "/admin/v1/users", body, token=ADMIN_TOKEN)
            tokens[name] = answer.json()["data"]["token"]
            headers = [("X-Tollkeeper-Use-Case", f"case-of-{name}")]
            assert (await stand.chat(token=tokens[name], headers=headers)).status == 200
        await stand.settled(2)
        user = Visitor(stand.port, "/me")
        await user.log_in(tokens["carla"])
        yield OwnPages(stand, user, tokens)


async def test_it_shows_what_is_used_and_left(own: OwnPages) -> None:
    text = await own.text("/me?period=24h")
    assert "You: cost per day" in text
    assert "of $5.00 used" in text
    assert "You: requests per hour" in text
    assert "1 of 50 used, 49 left" in text
    assert "case-of-carla" in text
    assert MODEL in text
    assert "http://127.0.0.1/v1" in text
    spent = (await own.stand.rows("SELECT cost_pusd FROM usage WHERE user = 'carla'"))[0]["cost_pusd"]
    assert re.search(rf'title="\${spent / 10**12:.12f}'.rstrip("0"), text)
    assert (await own.user.get("/me?csv=requests")).body.decode().count("case-of-carla") == 1


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_of_others_is_shown(own: OwnPages, path: str) -> None:
    for query in (
        "",
        "?user=xaver-the-other",
        "?period=24h&user=xaver-the-other&name=xaver-the-other",
        "?csv=requests",
    ):
        answer = await own.user.get(path + query)
        shown = answer.body.replace(b"xaver-the-other", b"") if "xaver" in query else answer.body  # links keep it
        assert b"xaver" not in shown
        assert b"case-of-" not in shown.replace(b"case-of-carla", b"")
        assert ADMIN_TOKEN.encode() not in answer.body


async def test_a_user_is_offered_what_they_may_use(own: OwnPages) -> None:
    assert f'"{DEAR}"' in await own.text("/me/playground")
    body = {"name": "narrow", "settings": {"models": [MODEL]}, "token": {}}
    token = (await own.api("POST", "/users", body))["token"]
    narrow = Visitor(own.stand.port, "/me")
    await narrow.log_in(token)
    page = (await narrow.get("/me/playground")).body.decode()
    assert f'"{MODEL}"' in page
    assert f'"{DEAR}"' not in page


async def test_nobody_ends_the_login_of_another(own: OwnPages) -> None:
    other = Visitor(own.stand.port, "/me")
    await other.log_in(own.tokens["xaver-the-other"])
    ids = {one["name"]: one["id"] for one in await own.api("GET", "/sessions?audience=user")}
    assert (await own.user.post(f"/me/sessions/{ids['xaver-the-other']}/end", {})).status == 404
    assert (await other.get("/me")).status == 200
    second = Visitor(own.stand.port, "/me")
    await second.log_in(own.tokens["carla"])
    mine = [one["id"] for one in await own.api("GET", "/sessions?name=carla")]
    assert (await own.user.post(f"/me/sessions/{mine[1]}/end", {})).status == 303
    assert (await second.get("/me")).status == 303
    assert "ends <time" in (await own.user.get("/me/logins")).body.decode()


async def test_preferences_are_set_and_what_is_wrong_stays_typed(own: OwnPages) -> None:
    wrong = {
        "default_model": "openai/gpt-4o-minni",
        "parameters": '{"temperature": 0.2}',
        "use_cases": "",
        "cheapest": "yes",
    }
    answer = await own.user.post("/me/settings", wrong)
    assert answer.status == 400
    text = unescape(answer.body.decode())
    assert 'value="openai/gpt-4o-minni"' in text
    assert '{"temperature": 0.2}</textarea>' in text
    for fields in (
        {"parameters": "[1]"},
        {"parameters": "{"},
        {"use_cases": "a b c"},
        {"parameters": '{"model": "x"}'},
    ):
        assert (await own.user.post("/me/settings", fields)).status == 400, fields
    assert not await own.stand.rows("SELECT * FROM preferences")
    answer = await own.user.post("/me/settings", {**wrong, "default_model": MODEL})
    assert (answer.status, answer.header("Location")) == (303, "/me/settings")
    token = own.tokens["carla"]
    found = (await own.stand.ask("GET", "/v1/me/preferences", token=token)).json()["preferences"]
    assert found == {"default_model": MODEL, "parameters": {"temperature": 0.2}, "cheapest": True}
    entry = (await own.stand.rows("SELECT actor, source FROM audit ORDER BY id DESC LIMIT 1"))[0]
    assert entry == {"actor": "carla", "source": "own page 127.0.0.1"}
    assert "in force with your next request" in await own.text("/me/settings")
    text = await own.text("/me/settings")
    assert '"temperature": 0.2' in text
    assert f'value="{MODEL}"' in text


async def test_who_may_not_prefer_is_told(own: OwnPages) -> None:
    anna = Visitor(own.stand.port, "/me")
    await anna.log_in(own.stand.token)
    page = (await anna.get("/me/settings")).body.decode()
    assert "The operator decides this for you" in page
    assert "<textarea" not in page
    assert (await anna.post("/me/settings", {"cheapest": "yes"})).status == 403


async def test_a_stop_is_told(own: OwnPages) -> None:
    stop = await own.api("POST", "/stops", {"kind": "user", "subject": "carla", "reason": "Her laptop was stolen"})
    text = await own.text()
    assert "Her laptop was stolen" in text
    assert "tollkeeper stops" not in text
    await own.api("DELETE", f"/stops/{stop['id']}")
    assert "stolen" not in await own.text()
