"""Who gets in, and that nothing is changed by anybody who may not: every view that changes something, by every way."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

from proxy.core.user_token import new_token
from proxy.policy.change_pace import ChangePace
from proxy.web.admin.route import Role
from proxy.web.dashboard.view import View
from proxy.web.dashboard.views import VIEWS
from proxy.web.routes import ROUTES
from tests.support.installation import ADMIN_TOKEN
from tests.support.raw import Answer, ask, connect, exchange, request_bytes
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand
from tests.support.visitor import FORM, Visitor

CHANGING = tuple(view for view in VIEWS.views if view.method == "POST" and not view.is_open)
OWN_SITE = ("Sec-Fetch-Site", "same-origin")


class People(NamedTuple):
    """One proxy, with somebody of each kind logged in."""

    stand: Stand
    admin: Visitor
    viewer: Visitor
    user: Visitor
    fresh: dict[str, str]  # a key of a form of each cookie, not sent yet
    used: dict[str, str]  # and one that was

    def of(self, view: View) -> Visitor:
        """Return who may send a view's form."""
        return self.admin if view.audience == "operator" else self.user

    async def entries(self) -> int:
        """Return how many changes were ever made: each has its entry in the audit trail."""
        return int((await self.stand.rows("SELECT count(*) AS n FROM audit"))[0]["n"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[People]:
    server = {"origins": ["https://app.example.com"]}  # whose pages may call the API, and nothing here
    async with run_stand(tmp_path_factory.mktemp("doors"), {"server": server}) as stand:
        yield await _people(stand)


async def _people(stand: Stand) -> People:
    admin, viewer, user = Visitor(stand.port), Visitor(stand.port), Visitor(stand.port, "/me")
    assert (await admin.log_in(ADMIN_TOKEN)).status == 303
    made = await stand.ask("POST", "/admin/v1/operators", {"name": "vera"}, token=ADMIN_TOKEN)
    assert (await viewer.log_in(made.json()["data"]["token"])).status == 303
    assert (await user.log_in(stand.token)).status == 303
    fresh, used = {}, {}
    for visitor in (admin, viewer, user):
        fresh[visitor.cookie], used[visitor.cookie] = await visitor.form_key(), await visitor.form_key()
        await visitor.send(f"{visitor.home}/sessions/ses_none/end", {"form_key": used[visitor.cookie]})
    return People(stand, admin, viewer, user, fresh, used)


def _path(view: View) -> str:
    return re.sub(r"\{\w+\}", "nobody", view.path)


def _told(answer: Answer) -> tuple[int, str]:
    """Return the status and the code that a page of an error shows."""
    found = re.search(rf"{answer.status} <code>(\w+)</code>", answer.body.decode())
    assert found is not None, (answer.status, answer.body)
    return answer.status, found[1]


def test_no_page_hides_behind_the_api() -> None:
    assert not {(view.method, view.path) for view in VIEWS.views} & {*ROUTES}
    assert CHANGING


@pytest.mark.parametrize("view", CHANGING, ids=lambda view: view.path)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_may_not_be_changed_is_not(people: People, view: View) -> None:
    sender, path = people.of(view), _path(view)
    fields = {"name": "eve", "kind": "all", "limit": "$1/day"}
    key, other_key = people.fresh[sender.cookie], people.fresh[people.viewer.cookie]
    before = await people.entries()
    nobody = Visitor(sender.port, sender.home)
    assert _told(await nobody.send(path, {**fields, "form_key": key})) == (401, "login_needed")
    stranger = people.user if view.audience == "operator" else people.admin
    assert _told(await stranger.send(path, {**fields, "form_key": people.fresh[stranger.cookie]})) == (
        401,
        "login_needed",
    )
    if view.audience == "operator" and view.required_role > Role.VIEWER:
        assert _told(await people.viewer.send(path, {**fields, "form_key": other_key})) == (403, "role_not_allowed")
    whole = {**fields, "form_key": key}
    for name, value in (
        ("Origin", "https://elsewhere.example"),
        ("Origin", "https://app.example.com"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ):
        assert (await sender.send(path, whole, headers=[(name, value)])).status == 403, (name, value)
    assert (await sender.send(path, whole, host="evil.example")).status == 421
    assert _told(await sender.send(path, {**fields, "form_key": other_key})) == (403, "form_out_of_date")
    assert _told(await sender.send(path, fields)) == (403, "form_out_of_date")
    assert _told(await sender.send(path, {**fields, "form_key": people.used[sender.cookie]})) == (
        409,
        "form_already_sent",
    )
    gotten = await sender.get(f"{path}?kind=all&form_key={key}")
    assert gotten.status in (200, 404, 405)
    answer = await ask(sender.port, "POST", path, b"{}", headers=[("Cookie", sender.cookie)])
    assert _told(answer) == (415, "unsupported_content_type")
    assert await people.entries() == before
    answer = await sender.send(path, whole | {"form_key": key}, headers=[OWN_SITE], method="PUT")
    assert answer.status == 405


@pytest.mark.asyncio(loop_scope="module")
async def test_a_form_is_sent_once(people: People) -> None:
    key = await people.admin.form_key()
    form = {"kind": "user", "subject": "anna", "effect": "slow", "form_key": key}
    first = await people.admin.send("/dashboard/stop", form, headers=[OWN_SITE, ("Origin", "http://127.0.0.1")])
    assert (first.status, first.header("Location")) == (303, "/dashboard/stop")
    assert _told(await people.admin.send("/dashboard/stop", form)) == (409, "form_already_sent")
    stops = (await people.stand.ask("GET", "/admin/v1/stops", token=ADMIN_TOKEN)).json()["data"]
    assert len(stops) == 1
    assert (stops[0]["actor"], stops[0]["source"]) == ("admin_token", "dashboard 127.0.0.1")
    ended = await people.admin.post(f"/dashboard/stop/{stops[0]['id']}/resume", {})
    assert ended.status == 303


@pytest.mark.asyncio(loop_scope="module")
async def test_every_page_asks_for_a_login_and_says_so(people: People) -> None:
    nobody = Visitor(people.stand.port)
    for view in VIEWS.views:
        if view.method == "POST" or view.is_open:
            continue
        path = _path(view)
        answer = await nobody.get(f"{path}?period=7d")
        login = "/me/login" if view.audience == "user" else "/dashboard/login"
        assert answer.status == 303, path
        assert (answer.header("Location") or "").startswith(f"{login}?next="), path
        assert not answer.body
    for path in ("/dashboard/login", "/me/login", "/dashboard/nothing", "/dashboard/login/"):
        answer = await nobody.get(path)
        policy = answer.header("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (answer.header("Cache-Control"), answer.header("X-Frame-Options")) == ("no-store", "DENY")
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert "style=" not in answer.body.decode()
    head = await ask(people.stand.port, "GET", "/dashboard/login", headers=[("X-Forwarded-Proto", "https")])
    assert head.header("Cross-Origin-Opener-Policy") == "same-origin"


@pytest.mark.asyncio(loop_scope="module")
async def test_other_sites_embed_nothing_and_may_link_here(people: People) -> None:
    far = [("Sec-Fetch-Site", "cross-site")]
    embedded = await people.admin.get(
        "/dashboard", headers=[*far, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")]
    )
    assert _told(embedded) == (403, "origin_not_allowed")
    framed = [*far, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")]
    assert (await people.admin.get("/dashboard", headers=framed)).status == 403
    followed = [*far, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    nobody = Visitor(people.stand.port)  # as the browser holds the cookie back
    away = await nobody.get("/dashboard/stop?kind=user", headers=followed)
    assert away.status == 303
    arrived = await nobody.get(away.header("Location") or "", headers=followed)
    assert arrived.status == 200
    assert 'content="0; url=/dashboard/stop?kind=user"' in arrived.body.decode()
    assert (await nobody.get(away.header("Location") or "")).body.count(b'name="token"') == 1


@pytest.mark.parametrize(
    ("wanted", "led"),
    [
        ("/dashboard/stop?kind=user", "/dashboard/stop?kind=user"),
        ("https://elsewhere.example/dashboard", "/dashboard"),
        ("//elsewhere.example/dashboard", "/dashboard"),
        ("/dashboard/../../x", "/dashboard/../../x"),
        ("/dashboard\\@elsewhere.example", "/dashboard"),
        ("/dashboardx", "/dashboard"),
        ("/dashboard/x\nSet-Cookie: a=b", "/dashboard"),
        ("/dashboard?q=\r\nSet-Cookie: a=b", "/dashboard"),
        ("/dashboard/ü", "/dashboard"),
        ("/me", "/dashboard"),
        ("/dashboard/login?next=/dashboard/login", "/dashboard"),
        ("/dashboard/" + "x" * 5000, "/dashboard"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_login_leads_to_our_own_pages_only(people: People, wanted: str, led: str) -> None:
    people.stand.app.deps.login_pace = ChangePace()
    visitor = Visitor(people.stand.port)
    answer = await visitor.send("/dashboard/login", {"token": ADMIN_TOKEN, "next": wanted})
    assert (answer.status, answer.header("Location")) == (303, led)
    visitor.keep(answer)
    answer = await visitor.get(f"/dashboard/login?next={quote(wanted, safe='')}")  # who is logged in already
    if len(wanted) < 1000:
        assert (answer.status, answer.header("Location"), answer.header("Set-Cookie")) == (303, led, None)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_cookie_is_for_nobody_else(people: People) -> None:
    for home, token in (("/dashboard", ADMIN_TOKEN), ("/me", people.stand.token)):
        answer = await Visitor(people.stand.port, home).log_in(token)
        cookie = answer.header("Set-Cookie") or ""
        name, _, rest = cookie.partition("=")
        assert re.fullmatch(r"tk_[0-9a-f]{12}", name)
        assert rest.split("; ")[1:] == [f"Path={home}", "HttpOnly", "SameSite=Strict"]
    form = b"token=" + ADMIN_TOKEN.encode()
    tls = await ask(people.stand.port, "POST", "/dashboard/login", form, headers=[FORM, ("X-Forwarded-Proto", "https")])
    assert (tls.header("Set-Cookie") or "").endswith("; Secure")


@pytest.mark.asyncio(loop_scope="module")
async def test_odd_cookies_harm_nobody(people: People) -> None:
    name, _, value = people.admin.cookie.partition("=")
    for cookie, status in (
        (f"{name}={value}", 200),
        (f'a="b; c"; {name}={value}', 200),
        ("; ".join([*(f"{name}={'x' * 43}" for _ in range(5)), f"{name}={value}"]), 200),
        ("; ".join([*(f"{name}={'x' * 43}" for _ in range(10)), f"{name}={value}"]), 303),
        (f"{name}={value[:-1]}", 303),
        (f"{name}={value}x", 303),
        (f"{name}", 303),
        (f"{name}=", 303),
        (f"{name}=\xff\xfe", 303),
        (";;;===;;", 303),
        ("x" * 7000, 303),
    ):
        answer = await ask(people.stand.port, "GET", "/dashboard/sessions", headers=[("Cookie", cookie)])
        assert answer.status == status, cookie[:60]


@pytest.mark.asyncio(loop_scope="module")
async def test_odd_requests_get_a_page(people: People) -> None:
    port, cookie = people.stand.port, ("Cookie", people.admin.cookie)
    large = b"token=" + b"x" * (1 << 20)
    assert _told(await ask(port, "POST", "/dashboard/login", large, headers=[FORM])) == (413, "body_too_large")
    assert _told(await ask(port, "POST", "/dashboard/login", b"token=%00", headers=[FORM])) == (400, "invalid_form")
    multipart = ("Content-Type", "multipart/form-data; boundary=x")
    answer = await ask(port, "POST", "/dashboard/login", b"--x--", headers=[multipart])
    assert _told(answer) == (415, "unsupported_content_type")
    chunked = [FORM, ("Transfer-Encoding", "chunked")]
    answer = await ask(port, "POST", "/dashboard/login", b"8\r\ntoken=%0\r\n2\r\n0x\r\n0\r\n\r\n", headers=chunked)
    assert _told(answer) == (400, "invalid_form")
    assert _told(await ask(port, "GET", "/dashboard/nothing", headers=[cookie])) == (404, "unknown_url")
    assert _told(await ask(port, "GET", "/dashboard/people/%ff", headers=[cookie]))[0] == 404
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"):
        answer = await ask(port, method, "/dashboard/sessions", headers=[cookie, ("Content-Length", "0")])
        assert _told(answer) == (405, "method_not_allowed"), method
        assert answer.header("Allow") == "GET, HEAD"
    data = request_bytes("HEAD", "/dashboard/sessions", headers=[("Cookie", people.admin.cookie)])
    answer = await exchange(people.stand.port, data, head_only=True)
    assert answer.status == 200
    assert int(answer.header("Content-Length") or 0) > 1000
    data = request_bytes("HEAD", "/dashboard/events", headers=[("Cookie", people.admin.cookie)])
    async with await connect(people.stand.port) as client:  # no event follows, and the connection goes on
        await client.send(data)
        answer = await client.read_answer(head_only=True)
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        await client.send(request_bytes("GET", "/healthz"))
        assert (await client.read_answer()).status == 200


async def test_wrong_tokens_are_paced_and_say_what_is_wrong(stand: Stand) -> None:
    visitor, user = Visitor(stand.port), Visitor(stand.port, "/me")
    assert b"That is a user" in (await visitor.log_in(stand.token)).body
    made = await stand.ask("POST", "/admin/v1/operators", {"name": "olga"}, token=ADMIN_TOKEN)
    assert b"operator" in (answer := await user.log_in(made.json()["data"]["token"])).body
    assert answer.status == 403
    assert (await visitor.log_in("")).status == 400
    for token in ("sk-or-v1-x", "tk-mistyped", new_token()):
        assert (await user.log_in(token)).status == 401
    assert (await visitor.log_in("wrong" * 9)).status == 401
    assert not visitor.cookie
    assert not user.cookie
    waits = await visitor.log_in(ADMIN_TOKEN)
    assert _told(waits) == (429, "too_many_wrong_tokens")
    assert waits.header("Retry-After") == "1"
    assert (await visitor.send("/dashboard/login", {"code": "x"})).status == 429


async def test_nobody_fills_the_audit_trail_with_logins(stand: Stand) -> None:
    user = Visitor(stand.port, "/me")
    answers = [await user.log_in(stand.token) for _ in range(11)]
    assert [answer.status for answer in answers] == [303] * 10 + [429]
    assert _told(answers[-1]) == (429, "too_many_logins")
    assert int(answers[-1].header("Retry-After") or 0) > 0
    assert (await stand.rows("SELECT count(*) AS n FROM audit WHERE action = 'sessions.add'"))[0]["n"] == 10
    assert (await Visitor(stand.port).log_in(ADMIN_TOKEN)).status == 303


async def test_what_ends_a_token_ends_its_sessions(stand: Stand) -> None:
    async def api(method: str, path: str, body: dict[str, object] | None = None) -> dict[str, str]:
        answer = await stand.ask(method, f"/admin/v1{path}", body, token=ADMIN_TOKEN)
        assert answer.status < 300, answer.body
        found: dict[str, str] = answer.json()["data"]
        return found

    for change in ("disable", "rotate", "remove", "expire"):
        token = (await api("POST", "/operators", {"name": change, "role": "admin"}))["token"]
        visitor = Visitor(stand.port)
        await visitor.log_in(token)
        assert (await visitor.get("/dashboard/sessions")).status == 200
        if change == "disable":
            await api("PATCH", f"/operators/{change}", {"disabled": True})
        elif change == "rotate":
            await api("POST", f"/operators/{change}/rotate")
        elif change == "remove":
            await api("DELETE", f"/operators/{change}")
        else:
            await api("PATCH", f"/operators/{change}", {"expires_at": "2999-01-01T00:00:00Z"})
            assert (await visitor.get("/dashboard/sessions")).status == 200
            continue
        assert (await visitor.get("/dashboard/sessions")).status == 303, change
        await stand.app.sessions.tend()  # ended for good, should the token be let in again
        if change == "disable":
            await api("PATCH", f"/operators/{change}", {"disabled": False})
            assert (await visitor.get("/dashboard/sessions")).status == 303
    await api("POST", "/users", {"name": "bo"})
    token = (await api("POST", "/tokens", {"user": "bo"}))["token"]
    bo = Visitor(stand.port, "/me")
    await bo.log_in(token)
    assert len(await api("GET", "/sessions?name=bo")) == 1
    await api("PATCH", "/users/bo", {"disabled": True})
    await stand.app.sessions.tend()
    assert not await api("GET", "/sessions?name=bo")


async def test_a_role_is_that_of_now(stand: Stand) -> None:
    made = await stand.ask("POST", "/admin/v1/operators", {"name": "olga", "role": "admin"}, token=ADMIN_TOKEN)
    visitor = Visitor(stand.port)
    await visitor.log_in(made.json()["data"]["token"])
    key = await visitor.form_key()
    await stand.ask("PATCH", "/admin/v1/operators/olga", {"role": "viewer"}, token=ADMIN_TOKEN)
    assert _told(await visitor.send("/dashboard/stop", {"kind": "all", "form_key": key})) == (403, "role_not_allowed")


async def test_sessions_are_listed_and_ended(stand: Stand) -> None:
    admin, other = Visitor(stand.port), Visitor(stand.port)
    await admin.log_in(ADMIN_TOKEN)
    await other.log_in(ADMIN_TOKEN)
    sessions = (await stand.ask("GET", "/admin/v1/sessions", token=ADMIN_TOKEN)).json()["data"]
    assert [one["name"] for one in sessions] == ["admin_token"] * 2
    page = (await admin.get("/dashboard/sessions")).body.decode()
    assert page.count("/end") == 2
    assert other.cookie.partition("=")[2] not in page
    ended = await admin.post(f"/dashboard/sessions/{sessions[1]['id']}/end", {})
    assert (ended.status, ended.header("Location")) == (303, "/dashboard/sessions")
    assert (await other.get("/dashboard/sessions")).status == 303
    assert "is logged out" in (await admin.get("/dashboard/sessions")).body.decode()
    out = await admin.post("/dashboard/logout", {})
    assert "Max-Age=0" in (out.header("Set-Cookie") or "")
    assert (await admin.get("/dashboard/sessions")).status == 303
    rows = await stand.rows("SELECT action, actor, source, after FROM audit WHERE action LIKE 'sessions.%' ORDER BY id")
    assert [row["action"] for row in rows] == ["sessions.add", "sessions.add", "sessions.end", "sessions.end"]
    assert {row["source"] for row in rows} == {"dashboard 127.0.0.1"}
    assert "logged out" in rows[-1]["after"]
    assert not await stand.rows("SELECT * FROM sessions")


async def test_sessions_outlive_the_proxy_and_their_forms_do_not(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        admin, user = Visitor(stand.port), Visitor(stand.port, "/me")
        await admin.log_in(ADMIN_TOKEN)
        await user.log_in(stand.token)
        key = await admin.form_key()
        stored = await stand.rows("SELECT * FROM sessions")
        secrets = (admin.cookie.partition("=")[2], user.cookie.partition("=")[2])
        assert not any(secret in str(stored) for secret in secrets)
    async with run_stand(tmp_path) as stand:
        admin.port = user.port = stand.port
        assert (await admin.get("/dashboard/sessions")).status == 200
        form = {"kind": "all", "form_key": key}
        assert _told(await admin.send("/dashboard/stop", form)) == (403, "form_out_of_date")
    changed = {"admin_token": "another-" + "0123456789" * 4}
    async with run_stand(tmp_path, changed) as stand:
        admin.port = stand.port
        assert (await admin.get("/dashboard/sessions")).status == 303


async def test_a_code_opens_once(stand: Stand) -> None:
    codes, now_ms = stand.app.deps.codes, stand.app.services.clock.now_ms()
    answer = await stand.ask("POST", "/admin/v1/sessions/codes", {}, token=ADMIN_TOKEN)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "socket_owner_only")
    code, _ = codes.make("anna", now_ms)
    visitor = Visitor(stand.port)
    answers = await asyncio.gather(*(Visitor(stand.port).send("/dashboard/login", {"code": code}) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [303, 401, 401]
    old, _ = codes.make("anna", now_ms - 60_000)
    assert (await visitor.send("/dashboard/login", {"code": old})).status == 401
    listed = (await stand.ask("GET", "/admin/v1/sessions", token=ADMIN_TOKEN)).json()["data"]
    assert [(one["name"], one["login"]) for one in listed] == [("anna", "code")]


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"server": {"dashboard": False}}) as stand:
        for path in ("/dashboard", "/me", "/dashboard/login", "/dashboard/static/x", "/me/nothing"):
            assert _told(await ask(stand.port, "GET", path)) == (404, "dashboard_off")
        assert (await stand.ask("GET", "/me/limits")).status == 200


async def test_operators_have_their_own_listener(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin": {"listen": "127.0.0.1:0"}}) as stand:
        own = Visitor(stand.app.admin_port)
        assert (await own.log_in(ADMIN_TOKEN)).status == 303
        assert (await own.get("/dashboard/sessions")).status == 200
        assert (await own.send("/dashboard/stop", {"kind": "all"}, host="evil.example")).status == 421
        assert (await own.get("/me")).status == 404
        public = Visitor(stand.port)
        assert _told(await public.get("/dashboard")) == (404, "unknown_url")
        assert (await Visitor(stand.port, "/me").log_in(stand.token)).status == 303
        login = (await public.get("/me/login")).body.decode()
        style = re.search(r'href="(/dashboard/static/[^"]+\.css)"', login)
        assert style is not None
        assert (await public.get(style[1])).status == 200
        assert stand.app.deps.pages_at == f"http://127.0.0.1:{stand.app.admin_port}"


async def test_without_any_operator_it_says_how_to_make_one(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin_token": None}) as stand:
        page = (await Visitor(stand.port).get("/dashboard/login")).body.decode()
        assert "tollkeeper operators add" in page
        assert 'name="token"' not in page
        assert 'name="code"' in page
