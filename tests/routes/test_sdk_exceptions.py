"""openai-python raises for each final failure what it raises at the provider, or what docs/concepts/routes.md says."""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
import pytest_asyncio

from tests.support.installation import PROVIDER_KEY
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST, SECOND = "openai/gpt-5-mini", "openai/gpt-4o-mini"
ALIKE, MIXED = "alike", "mixed"  # two models of one provider; one of each of two providers


class Raised(NamedTuple):
    kind: str
    status: int | None
    code: Any
    message: str
    should_retry: str | None = None


class Sides:
    """The SDK straight at the simulator, and through the proxy."""

    def __init__(self, stand: Stand, http: httpx2.AsyncClient) -> None:
        self.stand = stand
        self.direct = self._sdk(f"http://127.0.0.1:{stand.sim.port}/api/v1", PROVIDER_KEY, http)
        self.proxied = self._sdk(f"http://127.0.0.1:{stand.port}/v1", stand.token, http)

    def _sdk(self, base_url: str, key: str, http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=http)

    async def failing(self, client: openai.AsyncOpenAI, model: str, *, stream: bool, **behaviour: Any) -> Raised:
        """Give what is raised while every request fails in one way."""
        await self.stand.reset()
        await self.stand.sim.behave("all", **behaviour)
        return await raised(client, model, stream=stream)


async def raised(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> Raised:
    """Ask, read to the end, and give what was raised."""
    with pytest.raises(openai.APIError) as caught:
        await _read(client, model, stream=stream)
    error = caught.value
    kind = type(error).__name__
    if not isinstance(error, openai.APIStatusError):
        return Raised(kind, None, error.code, error.message)
    return Raised(kind, error.status_code, error.code, error.message, error.response.headers.get("x-should-retry"))


async def _read(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> None:
    if not stream:
        await client.chat.completions.create(model=model, messages=MESSAGES)
        return
    async for _ in await client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
        pass


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sides]:
    more: dict[str, Any] = {
        "server": {"fast_path": request.param},
        "presets": {ALIKE: [FIRST, SECOND], MIXED: [FIRST, "plain/gpt-4o-mini"]},
        "providers": {"openrouter": {"header_timeout_s": 0.3, "idle_timeout_s": 0.3}},
    }
    async with (
        run_stand(tmp_path_factory.mktemp("raised"), more) as stand,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        yield Sides(stand, http)


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", [MODEL, ALIKE], ids=["one target", "a chain"])
async def test_every_status_of_a_provider(sides: Sides, model: str, stream: bool) -> None:
    """All errors that the simulator knows: the same class and status, whether one target gave it or the last of two."""
    known = await sides.stand.sim.behaviours()
    names = [fields["error"] for name, fields in known.items() if name.startswith("error-") and len(fields) == 1]
    seen = set()
    for error in names:
        direct = await sides.failing(sides.direct, MODEL, stream=stream, error=error)
        proxied = await sides.failing(sides.proxied, model, stream=stream, error=error)
        if direct.status == 401:  # the operator's key was refused, not the caller's
            assert (proxied.kind, proxied.status, proxied.code) == ("InternalServerError", 502, "upstream_auth"), error
        else:
            assert proxied[:2] == direct[:2], error
        seen.add(direct.kind)
    assert seen == {
        "APIStatusError",
        "AuthenticationError",
        "BadRequestError",
        "InternalServerError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "UnprocessableEntityError",
    }


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("first", "last", "kind", "status"),
    [
        ("overloaded", "upstream-rate-limit", "RateLimitError", 429),
        ("upstream-rate-limit", "overloaded", "InternalServerError", 503),
        ("server-error", "no-endpoints", "NotFoundError", 404),
        ("no-endpoints", "key-limit", "PermissionDeniedError", 403),
        ("html-502", "bad-parameter", "BadRequestError", 400),
        ("provider-error", "credits-insufficient", "APIStatusError", 402),
        ("overloaded", "user-not-found", "InternalServerError", 502),
    ],
)
async def test_the_last_of_a_chain_decides(
    sides: Sides, first: str, last: str, kind: str, status: int, stream: bool
) -> None:
    await sides.stand.reset()
    for error in (first, last):
        await sides.stand.sim.behave(error=error)
    found = await raised(sides.proxied, MIXED, stream=stream)
    assert (found.kind, found.status, found.should_retry) == (kind, status, "false")
    assert re.search(r"\(2 attempts failed: openai/gpt-5-mini at openrouter: \d+, gpt-4o-mini at plain", found.message)


# what the provider does when it gives no answer -> the class at the provider itself, and here
SILENT: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "reset": ({"named": "rst-before-headers"}, "APIConnectionError", 502, "upstream_broken"),
    "closed": ({"named": "fin-before-headers"}, "APIConnectionError", 502, "upstream_broken"),
    "no HTTP": ({"named": "no-http"}, "APIConnectionError", 502, "upstream_broken"),
    "redirect": ({"named": "redirect"}, "APIStatusError", 502, "upstream_redirect"),
    "silence": ({"named": "hang-before-headers"}, "APITimeoutError", 504, "upstream_timeout"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", [MODEL, ALIKE], ids=["one target", "a chain"])
@pytest.mark.parametrize("case", SILENT)
async def test_no_answer_at_all(sides: Sides, case: str, model: str, stream: bool) -> None:
    """There is a proxy that tells: in place of a connection that failed a status, which SDKs try again as well."""
    behaviour, direct_kind, status, code = SILENT[case]
    impatient = sides.direct.with_options(timeout=0.3)
    assert (await sides.failing(impatient, MODEL, stream=stream, **behaviour)).kind == direct_kind
    found = await sides.failing(sides.proxied, model, stream=stream, **behaviour)
    assert (found.kind, found.status, found.code) == ("InternalServerError", status, code)
    assert found.should_retry == ("false" if model == ALIKE or case == "redirect" else None)


@pytest.mark.parametrize("model", [MODEL, ALIKE], ids=["one target", "a chain"])
async def test_an_error_after_content(sides: Sides, model: str) -> None:
    """The stream is the provider's own, so is what is raised; a chain is not walked on."""
    for named in ("midstream-error-after-3", "midstream-error-empty-choices", "midstream-error-with-usage"):
        direct = await sides.failing(sides.direct, MODEL, stream=True, named=named)
        proxied = await sides.failing(sides.proxied, model, stream=True, named=named)
        assert proxied == direct
        assert direct.kind == "APIError"
        assert len(await sides.stand.sim.requests()) == 1


async def test_a_break_after_content(sides: Sides) -> None:
    """A connection that breaks raises in the client what has no status: at the provider httpx's own, here APIError."""
    for model in (MODEL, ALIKE):
        found = await sides.failing(sides.proxied, model, stream=True, named="rst-after-3-chunks")
        assert (found.kind, found.status) == ("APIError", None)
        assert "broke in the middle" in found.message


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_nothing_can_be_asked(sides: Sides, stream: bool) -> None:
    """Every target was told to wait: 429, as the provider said; nothing is sent."""
    found = await sides.failing(sides.proxied, ALIKE, stream=stream, error="upstream-rate-limit")
    assert (found.kind, found.status) == ("RateLimitError", 429)
    sent = len(await sides.stand.sim.requests())
    again = await raised(sides.proxied, ALIKE, stream=stream)
    assert (again.kind, again.status, again.code) == ("RateLimitError", 429, "upstream_rate_limited")
    assert len(await sides.stand.sim.requests()) == sent == 2
