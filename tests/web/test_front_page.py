"""GET / for people: the base URL, snippets, the state; nothing from elsewhere, and no names for strangers."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.installation import ADMIN_TOKEN
from tests.support.raw import Answer, connect, request_bytes
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

HTML = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]


async def page(stand: Stand, **more: object) -> Answer:
    return await stand.ask("GET", "/", token=None, headers=HTML, **more)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
async def test_a_browser_gets_a_page(stand: Stand, path: str) -> None:
    answer = await stand.ask("GET", path, token=None, headers=HTML)
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    text = answer.body.decode()
    assert "http://127.0.0.1/v1" in text  # as the client reached it: by its Host header
    assert __version__ in text
    for word in ("OPENAI_BASE_URL", "curl ", "from openai import OpenAI", 'import OpenAI from "openai"'):
        assert word in text
    assert 'Provider openrouter</td><td class="ok">ready' in text


async def test_nothing_comes_from_elsewhere_and_nothing_runs(stand: Stand) -> None:
    answer = await page(stand)
    text = answer.body.decode()
    assert not re.search(r"<script|<link|<img|@import|url\(|\son\w+=|\sstyle=", text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = answer.header("Content-Security-Policy")
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "frame-ancestors 'none'" in policy
    assert answer.header("Vary") == "Accept"


async def test_programs_get_json(stand: Stand) -> None:
    for headers in ([], [("Accept", "application/json")], [("Accept", "*/*")]):
        answer = await stand.ask("GET", "/", token=None, headers=headers)
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.json()["status"] == "ready"
        assert answer.json()["base_url"] == "http://127.0.0.1/v1"
        assert "openrouter" not in answer.body.decode()


async def test_head(stand: Stand) -> None:
    async with await connect(stand.port) as client:
        await client.send(request_bytes("HEAD", "/", headers=HTML))
        answer = await client.read_answer(head_only=True)
        await client.send(request_bytes("GET", "/healthz"))
        behind = await client.read_answer()
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    assert (behind.status, behind.end) == (200, "complete")  # no byte of a body is in between


async def test_strangers_get_no_names(stand: Stand) -> None:
    """What another server passes on is for somebody elsewhere."""
    passed_on = [*HTML, ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]
    text = (await stand.ask("GET", "/", token=None, headers=passed_on)).body.decode()
    assert "openrouter" not in text.lower()
    assert "https://" in text
    own = await stand.ask("GET", "/", token=ADMIN_TOKEN, headers=passed_on)
    assert "Provider openrouter" in own.body.decode()


async def test_the_state_is_told(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        stand.app.model_lists.listing("plain").problem = "no <connection> could be made"
        text = (await page(stand)).body.decode()
        assert '<td class="bad">no &lt;connection&gt; could be made</td>' in text
        stand.app.services.draining = True
        assert "stopping" in (await page(stand)).body.decode()
        stand.app.services.draining = False
