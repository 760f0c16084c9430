"""Every route of the operator's API, asked with every credential and from every origin: only the right ones pass.

What the routes are is read from their table, so that a new one is covered when it comes.
"""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from msgspec.structs import force_setattr

from proxy.core.user_token import OPERATOR_PREFIX, new_token
from proxy.web.admin import credentials
from proxy.web.admin.documents import DOCUMENTS
from proxy.web.admin.resources import TABLE
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute, Role
from tests.support.installation import ADMIN_TOKEN, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, connect_unix, request_bytes
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGN = "https://elsewhere.example"
LISTED = "https://app.example"  # in server.origins: its pages are users', not operators'
PASSED = "passed"


class Case(NamedTuple):
    """A credential, what it may do, and what is answered where it may not."""

    name: str
    token: str | None
    role: Role | None
    status: int = 401
    code: str = "invalid_api_key"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stand, list[Case]]]:
    more = {"server": {"port": 0, "origins": [LISTED]}}
    async with run_stand(tmp_path_factory.mktemp("access"), more) as stand:
        tokens = {}
        for name, role in (("reader", "viewer"), ("chief", "admin"), ("late", "admin"), ("gone", "admin")):
            made = await stand.ask("POST", "/admin/v1/operators", {"name": name, "role": role}, token=ADMIN_TOKEN)
            assert made.status == 201
            tokens[name] = made.json()["data"]["token"]
        await change(stand, "late", {"expires_at": "2100-01-01T00:00:00Z"})
        await change(stand, "gone", {"disabled": True})
        yield (
            stand,
            [
                Case("none", None, None),
                Case("wrong", "wrong" * 9, None),
                Case("unknown", new_token(OPERATOR_PREFIX), None),
                Case("user", token_of("anna"), None, 403, "operator_only"),
                Case("viewer", tokens["reader"], Role.VIEWER, 403, "role_not_allowed"),
                Case("admin", tokens["chief"], Role.ADMIN),
                Case("admin_token", ADMIN_TOKEN, Role.ADMIN),
                Case("expired", tokens["late"], None, 401, "token_expired"),
                Case("disabled", tokens["gone"], None, 403, "token_disabled"),
            ],
        )


def let_expire(stand: Stand) -> None:
    """Make the token of "late" one of the past, as if the year 2100 had come: until a change reads it anew."""
    row = next(row for row in stand.app.live.current.operators.values() if row.name == "late")
    force_setattr(row, "expires_ms", 1)


async def change(stand: Stand, name: str, changes: dict[str, Any]) -> None:
    changed = await stand.ask("PATCH", f"/admin/v1/operators/{name}", changes, token=ADMIN_TOKEN)
    assert changed.status == 200


def target(route: AdminRoute) -> str:
    """Return a path of a route whose resource does not exist."""
    return "/admin/v1" + "".join(f"/{'nothing' if part.startswith('{') else part}" for part in route.segments)


def outcome(answer: Answer) -> str:
    """Return the code of a refusal; PASSED where the request went past all checks of who may ask."""
    code = answer.json()["error"]["code"] if answer.status >= 400 and answer.body else ""
    refusals = {"invalid_api_key", "operator_only", "role_not_allowed", "token_expired", "token_disabled"}
    refusals |= {"origin_not_allowed", "host_not_allowed", "socket_owner_only", "too_many_wrong_tokens"}
    return code if code in refusals else PASSED


async def _nothing(_request: AdminRequest) -> AdminAnswer:
    raise AssertionError("documents have handlers of their own")


ROUTES = [
    *TABLE.routes,
    *(AdminRoute("GET", f"/{name}", _nothing, "", AdminBody) for name in DOCUMENTS),  # viewers read them too
]
EACH = pytest.mark.parametrize("route", [pytest.param(route, id=f"{route.method} {route.path}") for route in ROUTES])


@EACH
async def test_only_the_right_ones_pass(opened: tuple[Stand, list[Case]], route: AdminRoute) -> None:
    stand, cases = opened
    wrong = app_wrong_tokens(stand)
    # a body that no route accepts: who passes is told of it, or of what does not exist, and nothing is changed
    body = None if route.method == "GET" else {"no such field": 1}
    for case in cases:
        wrong.clear()
        let_expire(stand)
        answer = await stand.ask(route.method, target(route), body, token=case.token)
        may = case.role is not None and case.role >= route.required_role
        assert outcome(answer) == (PASSED if may else case.code), (case.name, answer.body)
        assert may or answer.status == case.status
        assert answer.header("Access-Control-Allow-Origin") is None
    wrong.clear()
    for headers, host, code in (
        ([("Origin", FOREIGN)], "127.0.0.1", "origin_not_allowed"),
        ([("Origin", LISTED)], "127.0.0.1", "origin_not_allowed"),
        ([("Origin", "null")], "127.0.0.1", "origin_not_allowed"),
        ([("Origin", "http://127.0.0.1")], "127.0.0.1", PASSED),
        ([], "elsewhere.example", "host_not_allowed"),
        ([("Origin", "http://elsewhere.example")], "elsewhere.example", "host_not_allowed"),
    ):
        got = await stand.ask(route.method, target(route), body, token=ADMIN_TOKEN, headers=headers, host=host)
        assert outcome(got) == code, (headers, host, got.body)
        assert got.header("Access-Control-Allow-Origin") is None
    asked = [("Origin", LISTED), ("Access-Control-Request-Method", route.method)]
    preflight = await stand.ask("OPTIONS", target(route), token=None, headers=asked)
    assert outcome(preflight) == "origin_not_allowed"
    assert not [name for name in preflight.headers if name[0].lower().startswith("access-control-")]


def app_wrong_tokens(stand: Stand) -> Any:
    """Return the addresses that have to wait, which are forgotten between the cases."""
    return stand.app.deps.wrong_tokens._of


@EACH
async def test_the_socket_answers_its_owner_and_root(
    opened: tuple[Stand, list[Case]], route: AdminRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand, _ = opened
    body = None if route.method == "GET" else {"no such field": 1}
    own = os.geteuid()
    for uid, is_let_in in ((own, True), (0, True), (own + 1234, False), (None, True)):
        monkeypatch.setattr(credentials, "peer_uid", lambda _transport, uid=uid: uid)
        async with await connect_unix(str(stand.folder / "ledger.db.sock")) as client:
            await client.send(request_bytes(route.method, target(route), body))
            answer = await client.read_answer()
        assert outcome(answer) == (PASSED if is_let_in else "socket_owner_only")
        assert is_let_in or answer.status == 403


async def test_a_browser_reads_the_page_by_a_password(opened: tuple[Stand, list[Case]]) -> None:
    stand, cases = opened
    app_wrong_tokens(stand).clear()
    asked = await stand.ask("GET", "/admin/v1/docs", token=None)
    assert (asked.status, (asked.header("WWW-Authenticate") or "")[:6]) == (401, "Basic ")
    token = next(case.token for case in cases if case.name == "viewer")
    for text, status in ((f"me:{token}", 200), (f"{token}:", 401), ("me:wrong", 401)):
        basic = [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]
        assert (await stand.ask("GET", "/admin/v1/docs", token=None, headers=basic)).status == status
        assert (await stand.ask("GET", "/admin/v1/users", token=None, headers=basic)).status == 401
    page = await stand.ask("GET", "/admin/v1/docs", token=token)
    assert b"<script" not in page.body
    assert "default-src 'none'" in (page.header("Content-Security-Policy") or "")
    for route in TABLE.routes:
        assert f"<code>{route.method} {route.path}</code>" in page.body.decode()


async def test_wrong_tokens_wait_whatever_operator_they_are_for(opened: tuple[Stand, list[Case]]) -> None:
    stand, cases = opened
    app_wrong_tokens(stand).clear()
    for n in range(4):
        token = ("wrong" * 9, new_token(OPERATOR_PREFIX))[n % 2]
        assert (await stand.ask("GET", "/admin/v1/operators", token=token)).status == 401
    right = next(case.token for case in cases if case.name == "admin")
    assert (await stand.ask("GET", "/admin/v1/operators", token=right)).status == 429

    async def is_let_in() -> bool:
        return (await stand.ask("GET", "/admin/v1/operators", token=right)).status == 200

    await eventually(is_let_in)


async def test_a_rotated_or_removed_token_opens_nothing(opened: tuple[Stand, list[Case]]) -> None:
    stand, _ = opened
    app_wrong_tokens(stand).clear()
    made = (await stand.ask("POST", "/admin/v1/operators", {"name": "short"}, token=ADMIN_TOKEN)).json()["data"]
    assert made["role"] == "viewer"
    path = "/admin/v1/operators/short"
    assert (await stand.ask("GET", path, token=made["token"])).status == 200
    rotated = (await stand.ask("POST", f"{path}/rotate", token=ADMIN_TOKEN)).json()["data"]
    assert (await stand.ask("GET", path, token=made["token"])).status == 401
    shown = (await stand.ask("GET", path, token=rotated["token"])).json()["data"]
    assert {**shown, "token": rotated["token"]} == rotated
    trail = await stand.rows("SELECT before, after FROM audit WHERE action = 'operators.rotate'")
    assert trail
    assert made["token"] not in str(trail)
    assert rotated["token"] not in str(trail)
    assert (await stand.ask("DELETE", path, token=ADMIN_TOKEN)).status == 200
    assert (await stand.ask("GET", path, token=rotated["token"])).status == 401
    files = [file.read_bytes() for file in stand.folder.iterdir() if file.is_file() and not file.is_socket()]
    assert not [file for file in files if rotated["token"].encode() in file]


async def test_an_operator_opens_what_has_no_admin_token(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin_token": None, "server": {"metrics": "token"}}) as stand:
        async with await connect_unix(str(stand.folder / "ledger.db.sock")) as client:
            await client.send(request_bytes("POST", "/admin/v1/operators", {"name": "first"}))
            token = (await client.read_answer()).json()["data"]["token"]
        assert (await stand.ask("GET", "/admin/v1/operators", token=token)).status == 200
        assert (await stand.ask("GET", "/metrics", token=token)).status == 200


async def test_every_secret_of_an_answer_is_marked() -> None:
    """What is shown once must not be kept for a repeated POST: the mark says which answers hold it."""
    words = {"token", "secret", "key", "password", "api_key"}
    for route in TABLE.routes:
        if route.method == "POST" and words & route.answer.model_fields.keys():
            assert route.shows_secret, f"{route.method} {route.path}"
