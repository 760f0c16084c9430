"""What an admin does by forms: people, limits, tokens, stops, and questions to models under a user's own limits."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from proxy.web.dashboard.views import VIEWS
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = re.compile(r"tk-[0-9A-Za-z]{49}")
MODEL = "openai/gpt-4o-mini"


class Office(NamedTuple):
    """One proxy, and its operator at the dashboard."""

    stand: Stand
    admin: Visitor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with run_stand(tmp_path_factory.mktemp("office")) as stand:
        admin = Visitor(stand.port)
        assert (await admin.log_in(ADMIN_TOKEN)).status == 303
        yield Office(stand, admin)


async def _added(office: Office, name: str, **more: str) -> str:
    """Add a user by the form; return the token that the next page shows."""
    answer = await office.admin.post("/dashboard/people", {"name": name, "token": "yes", **more})
    assert answer.status == 200, answer.body
    assert b"?period=" not in answer.body  # a token is of no period, and a link away would lose it
    return TOKEN.search(answer.body.decode())[0]  # type: ignore[index]  # the assertion is that it is there


async def _api(office: Office, path: str) -> Any:
    answer = await office.stand.ask("GET", f"/admin/v1{path}", token=ADMIN_TOKEN)
    return answer.json()["data"] if answer.status == 200 else answer.status


async def test_every_page_opens_on_an_empty_ledger_and_says_what_to_do(office: Office) -> None:
    for view in VIEWS.views:
        if view.method == "GET" and "{" not in view.path and view.audience == "operator" and "events" not in view.path:
            answer = await office.admin.get(view.path)
            assert answer.status in (200, 303), (view.path, answer.body)
            assert b"style=" not in answer.body, view.path
    assert (
        b"Ledger and bill are the same" not in (await office.admin.get("/dashboard/account")).body
    )  # nothing was read


async def test_a_user_is_added_with_a_limit_and_a_token_that_works(office: Office) -> None:
    token = await _added(office, "ann", limit="$5/day")
    assert (await office.stand.chat(token=token)).status == 200
    user = await _api(office, "/users/ann")
    assert "$5/day" in [limit["limit"] for limit in user["limits"]]
    page = (await office.admin.get("/dashboard/people/ann")).body.decode()
    assert "$5.00" in page
    assert token not in page  # it was shown once


async def test_a_user_may_be_added_without_a_token(office: Office) -> None:
    answer = await office.admin.post("/dashboard/people", {"name": "jo@example.org"})
    assert (answer.status, answer.header("Location")) == (303, "/dashboard/people/jo%40example.org")
    assert b"was added, without a token" in (await office.admin.get("/dashboard/people/jo%40example.org")).body
    for name in (".", ".."):  # no browser can ask for the page of one
        assert (await office.admin.post("/dashboard/people", {"name": name})).status == 400, name


async def test_what_cannot_be_added_keeps_what_was_typed(office: Office) -> None:
    for fields, words in (
        ({"name": "no spaces here"}, "no spaces here"),
        ({"name": "bo", "limit": "five dollars"}, "does not say of what"),
        ({"name": "bo", "limit": "$5/fortnight"}, "window"),
    ):
        answer = await office.admin.post("/dashboard/people", fields)
        assert answer.status in (400, 422)
        assert words in answer.body.decode()
        assert f'value="{fields["name"]}"' in answer.body.decode()
    assert await _api(office, "/users/bo") == 404


async def test_a_form_that_failed_is_shown_on_its_page(office: Office) -> None:
    """What was typed stands there, in this form alone, and no link leads to the address of the form."""
    await _added(office, "hal")
    for address, page, fields in (
        ("/dashboard/groups", "/dashboard/people", {"group_name": "crew two", "group_limit": "$8/day"}),
        ("/dashboard/people/hal/limits", "/dashboard/people/hal", {"limit": "eight dollars"}),
        ("/dashboard/people/hal/tokens", "/dashboard/people/hal", {"token_name": "x" * 65}),
        ("/dashboard/keys/key_none", "/dashboard/keys", {"do": "test"}),
    ):
        answer = await office.admin.post(address, fields)
        text = answer.body.decode()
        assert answer.status in (400, 404, 422), address
        for name, value in fields.items():
            assert text.count(f'value="{value}"') == 1 or name == "do", (address, name)
        links = {link.partition("?")[0].partition("#")[0] for link in re.findall(r'href="([^"]+)"', text)}
        assert address not in links
        assert page in links or address.startswith("/dashboard/keys"), address
        for link in links:
            if link.startswith("/dashboard"):
                assert (await office.admin.get(link)).status in (200, 303), link


async def test_a_filter_that_is_not_understood_stays_in_its_form(office: Office) -> None:
    for name, value in (("status", "abc"), ("since", "some day"), ("user", "nobody&lt;b&gt;")):
        typed = value.replace("&lt;", "<").replace("&gt;", ">")
        answer = await office.admin.get(f"/dashboard/requests?{urlencode({name: typed})}")
        text = answer.body.decode()
        assert (answer.status, text.count(f'name="{name}" value="{value}"')) == (400, 1)
        assert 'role="alert"' in text
        assert "data-live" not in text  # nothing is read again and again that can not be answered


async def test_a_key_that_is_refused_keeps_what_it_is_for(office: Office) -> None:
    """Else a key for the account alone would be stored, at the second try, as one for requests."""
    fields = {"provider": "nowhere", "secret": "sk-typed-once", "name": "bills", "management": "yes"}
    answer = await office.admin.post("/dashboard/keys", fields)
    text = answer.body.decode()
    assert 400 <= answer.status < 500
    assert 'name="management" value="yes" checked' in text
    assert 'name="test" value="yes">' in text
    assert 'value="bills"' in text
    assert "sk-typed-once" not in text


async def test_a_refused_key_is_told_in_the_words_of_the_form(office: Office) -> None:
    fields = {"provider": "openrouter", "secret": "no-key-of-openrouter-0000", "name": "bad", "test": "yes"}
    answer = await office.admin.post("/dashboard/keys", fields)
    text = html.unescape(answer.body.decode())
    assert answer.status == 422
    assert "Nothing was stored. To store it all the same, clear “Ask the provider first”." in text
    assert "--no-test" not in text


async def test_keys_and_tokens_are_written_as_csv_without_secrets(office: Office) -> None:
    token = await _added(office, "eve")
    keys = (await office.admin.get("/dashboard/keys?csv=keys")).body.decode().splitlines()
    assert keys[0] == "provider,name,hint,state,management,user,group,source,rotated_at"
    assert len(keys) == 1 + len(await _api(office, "/keys"))
    assert keys[1].startswith("openrouter,")
    tokens = (await office.admin.get("/dashboard/people/eve?csv=tokens")).body.decode()
    assert tokens.splitlines()[0] == "id,hint,name,disabled,trusted,created_at,expires_at,source"
    assert len(tokens.splitlines()) == 2
    assert token[-4:] in tokens
    assert token not in tokens


async def test_what_was_before_and_after_a_change_can_be_opened(office: Office) -> None:
    limits = {"cost": ["$5/day", "$50/week", "$500/month"], "requests": ["60/minute", "1000/day", "20000/month"]}
    body = {"name": "max", "settings": {"limits": limits}}
    assert (await office.stand.ask("POST", "/admin/v1/users", body, token=ADMIN_TOKEN)).status == 201
    page = html.unescape((await office.admin.get("/dashboard/audit?subject=max")).body.decode())
    found = re.search(r'<details class="cut"><summary><code>(.*?)…</code></summary><code>(.*?)</code></details>', page)
    assert found is not None
    assert len(found[1]) == 80
    assert found[2].startswith(found[1])
    assert "20000/month" in found[2]


async def test_what_fails_within_is_a_page_that_names_the_log(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("planted")

    monkeypatch.setattr("proxy.web.dashboard.answer._frame", fail)
    answer = await office.admin.get("/dashboard/alerts")
    assert (answer.status, answer.header("Content-Type")) == (500, "text/html; charset=utf-8")
    assert (answer.header("X-Request-Id") or "none").encode() in answer.body
    assert b"The proxy failed" in answer.body
    assert b"planted" not in answer.body
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("planted",)
    ]


async def test_a_persons_page_has_the_limits_shared_with_others(office: Office) -> None:
    await office.admin.post("/dashboard/groups", {"group_name": "choir", "group_limit": "$77/month"})
    await _added(office, "ida", group="choir", limit="$3/day")
    users = (await office.admin.get("/dashboard/people?csv=users")).body.decode()
    assert 'ida,choir,active,"$3/day ($0.00 used, $3.00 left)",1' in users
    groups = (await office.admin.get("/dashboard/people?csv=groups")).body.decode()
    assert 'choir,,1,"$77/month ($0.00 used, $77.00 left)"' in groups
    text = (await office.admin.get("/dashboard/people/ida")).body.decode()
    assert "Shared by group choir: $77/month" in text
    assert "$3/day" in text


async def test_a_persons_page_has_the_cost_by_day_and_the_last_requests(office: Office) -> None:
    token = await _added(office, "lou")
    empty = (await office.admin.get("/dashboard/people/lou")).body.decode()
    assert "No request has come yet." in empty
    assert all([(await office.stand.chat(token=token)).status == 200 for _ in range(16)])

    async def shown() -> str | None:
        text = (await office.admin.get("/dashboard/people/lou")).body.decode()
        return text if "16" in text and "Older" in text and "running" not in text else None

    text = await eventually(shown)
    assert text is not None
    assert "Cost by day" in text
    assert len(set(re.findall(r"/dashboard/requests/req_[0-9a-f]{16}", text))) == 15
    assert 'href="/dashboard/requests?user=lou">Older' in text
    assert len(text) < 120_000
    lines = (await office.admin.get("/dashboard/people/lou?csv=requests")).body.decode().splitlines()
    assert len(lines) == 17
    assert lines[0].startswith("started_at,model,provider,status,cost_usd")


async def test_a_person_is_changed_disabled_and_given_another_token(office: Office) -> None:
    first = await _added(office, "cleo")
    assert (await office.admin.post("/dashboard/groups", {"group_name": "crew", "group_limit": "$9/day"})).status == 303
    assert (await office.admin.post("/dashboard/people/cleo", {"group": "crew"})).status == 303
    assert (await _api(office, "/users/cleo"))["group"] == "crew"
    assert (await office.admin.post("/dashboard/people/cleo/limits", {"limit": "60/minute"})).status == 303
    limits = [one for one in await _api(office, "/limits?scope=user") if one["name"] == "cleo"]
    assert [one["kind"] for one in limits] == ["requests"]
    assert (await office.admin.post("/dashboard/people/cleo/limits/remove", {"id": limits[0]["id"]})).status == 303
    answer = await office.admin.post("/dashboard/people/cleo/tokens", {"token_name": "laptop"})
    second = TOKEN.search(answer.body.decode())[0]  # type: ignore[index]
    assert (await office.stand.chat(token=second)).status == 200
    assert (await office.admin.post("/dashboard/people/cleo", {"disabled": "yes"})).status == 303
    assert {(await office.stand.chat(token=token)).status for token in (first, second)} == {403}
    assert (await office.admin.post("/dashboard/people/cleo", {"disabled": "no"})).status == 303
    assert (await office.stand.chat(token=first)).status == 200
    limit = {"limits": {"cost": "$2/day"}}
    for group, more in (("crew", limit), (None, limit)):
        body = {"group": group, "settings": more}
        assert (await office.stand.ask("PATCH", "/admin/v1/users/cleo", body, token=ADMIN_TOKEN)).status == 200
    page = (await office.admin.get("/dashboard/audit?subject=cleo&action=users.set")).body.decode()
    newest = page[page.index("<tbody>") : page.index("</tr>", page.index("<tbody>"))]
    assert newest.count("crew") == 1
    assert "$2/day" not in newest  # it is as it was before


async def test_a_stop_is_made_listed_on_every_page_and_ended(office: Office) -> None:
    token = await _added(office, "dan")
    refused = await office.admin.post("/dashboard/stop", {"kind": "user", "subject": "dam"})
    assert refused.status == 404
    assert b"so nothing was stopped" in refused.body
    unclear = await office.admin.post("/dashboard/stop", {"kind": "all", "subject": "dan", "cut": "yes"})
    assert unclear.status == 422  # a name, with Everything left chosen
    assert b"Nothing was stopped" in unclear.body
    assert b'value="dan"' in unclear.body
    assert b'value="yes" checked' in unclear.body
    assert await _api(office, "/stops") == []
    fields = {"kind": "user", "subject": "dan", "reason": "too much <b>", "lasts": "1h"}
    assert (await office.admin.post("/dashboard/stop", fields)).status == 303
    assert (await office.stand.chat(token=token)).status == 503
    page = (await office.admin.get("/dashboard/stop")).body.decode()
    assert "too much &lt;b&gt;" in page
    people = (await office.admin.get("/dashboard/people")).body.decode()
    assert "1 stopped" in people
    row = people[people.index('<td data-label="User"><a href="/dashboard/people/dan">') :]
    assert "stopped" in row[: row.index("</tr>")]
    stop_id = re.search(r"/dashboard/stop/([^/]+)/resume", page)[1]  # type: ignore[index]
    assert (await office.admin.post("/dashboard/stop", {"kind": "user", "subject": "dan"})).status == 303
    for words in ("another one, which holds on", "has ended already"):  # a second stop; then another tab was first
        assert (await office.admin.post(f"/dashboard/stop/{stop_id}/resume", {})).status == 303
        page = (await office.admin.get("/dashboard/stop")).body.decode()
        assert words in page
    assert (await office.stand.chat(token=token)).status == 503
    stop_id = re.search(r"/dashboard/stop/([^/]+)/resume", page)[1]  # type: ignore[index]
    assert (await office.admin.post(f"/dashboard/stop/{stop_id}/resume", {})).status == 303
    assert "User dan goes on." in (await office.admin.get("/dashboard/stop")).body.decode()
    assert (await office.stand.chat(token=token)).status == 200


async def test_a_question_counts_for_the_user_whose_token_it_takes(office: Office) -> None:
    await _added(office, "eva", limit="$1/day")
    fields = {"prompt": "Hello!", "model1": MODEL, "model2": "openai/gpt-4o", "user": "eva"}
    answer = await office.admin.post("/dashboard/playground", fields)
    assert answer.status == 200
    text = answer.body.decode()
    assert text.count('class="card answer"') == 2
    rows = await office.stand.rows("SELECT * FROM requests WHERE user = 'eva' ORDER BY id")
    assert [(row["requested_model"], row["use_case"], row["state"]) for row in rows] == [
        (MODEL, "playground", "settled"),
        ("openai/gpt-4o", "playground", "settled"),
    ]
    spent = (await _api(office, "/users/eva"))["limits"][0]["used_pusd"]
    assert spent == sum(row["cost_pusd"] for row in rows) > 0
    nobody = await office.admin.post("/dashboard/playground", {**fields, "user": ""})
    assert nobody.status == 422, "of several users none is asked for by chance"
    assert "Choose for whose limits it counts." in nobody.body.decode()
    assert '<option value="">Choose a user</option>' in (await office.admin.get("/dashboard/playground")).body.decode()
    assert len(await office.stand.rows("SELECT * FROM requests WHERE user = 'eva'")) == 2
    vote = {"winner": MODEL, "shown": MODEL}
    assert (
        await office.admin.post("/dashboard/playground/votes", vote)
    ).status == 422  # of one answer there is no better


async def test_a_streamed_question_has_its_row_and_errors_are_json(office: Office) -> None:
    token = await _added(office, "fay")
    me = Visitor(office.stand.port, "/me")
    assert (await me.log_in(token)).status == 303
    answer = await me.post("/me/playground/stream", {"prompt": "Hello!", "model": MODEL})
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/event-stream"
    assert b"data: [DONE]" in answer.body
    rows = await office.stand.rows("SELECT * FROM requests WHERE user = 'fay'")
    assert [(row["streamed"], row["use_case"]) for row in rows] == [(1, "playground")]
    refused = await me.post("/me/playground/stream", {"prompt": "Hello!", "model": "nobody/nothing-at-all"})
    assert refused.status >= 400
    assert refused.json()["error"]["message"]


async def test_the_amount_of_a_limit_holds_at_the_playground_too(office: Office) -> None:
    await _added(office, "gus", limit="$0.000000000001/day")
    answer = await office.admin.post("/dashboard/playground", {"prompt": "Hello!", "model1": MODEL, "user": "gus"})
    assert answer.status == 200
    assert 'class="problem"' in answer.body.decode()
    assert await office.stand.rows("SELECT * FROM requests WHERE user = 'gus'") == []


async def test_the_configuration_is_shown_without_what_thousands_of_users_have(office: Office) -> None:
    await _added(office, "zoe", limit="$7/day")
    names, all_names = [
        {one["setting"] for one in (await _api(office, f"/configuration?users={word}"))["settings"]}
        for word in ("false", "true")
    ]
    assert names < all_names
    assert {name for name in all_names - names if not name.startswith("users")} == set()
    assert not any(name.startswith("users") for name in names)
    page = (await office.admin.get("/dashboard/configuration")).body.decode()
    assert "users.zoe" not in page
    assert "users.zoe" in (await office.admin.get("/dashboard/configuration?users=yes&settings.q=zoe")).body.decode()


async def test_a_stop_that_cuts_ends_a_question_too(office: Office) -> None:
    await _added(office, "una", limit="$5/day")
    await office.stand.sim.behave("all", stop_at="before_headers", stop_with="hang")
    fields = {"prompt": "Hello!", "model1": MODEL, "user": "una"}
    key = await office.admin.form_key()
    asked = asyncio.ensure_future(office.admin.send("/dashboard/playground", {**fields, "form_key": key}))

    async def runs() -> bool:
        return len(office.stand.app.services.limiter.open_ids()) == 1

    await eventually(runs)
    stop = {"kind": "user", "subject": "una", "cut": "yes"}
    assert (await office.admin.post("/dashboard/stop", stop)).status == 303
    answer = await asked
    assert answer.status == 200
    assert "stopped by the operator" in answer.body.decode()
    rows = await office.stand.rows("SELECT status, error FROM requests WHERE user = 'una'")
    assert [(row["status"], row["error"]) for row in rows] == [(503, "stopped")]
