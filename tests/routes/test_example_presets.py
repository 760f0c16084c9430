"""The presets of config.example.yaml as it is shipped, through the official SDK, against the simulator."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest

from proxy.config.preset import Preset
from tests.support.installation import token_of
from tests.support.leaks import nothing_leaks
from tests.support.shipped import ENVIRONMENT, write_shipped
from tests.support.stand import Stand, app_in_loop, models_known, simulator


class Case(NamedTuple):
    """One request to a preset. prompt: what must stand in the system prompt; fields: what must reach the provider."""

    models: tuple[str, ...]
    use_case: str | None
    said: str = "Hello"
    metadata: dict[str, str] = {}  # noqa: RUF012 - never changed
    prompt: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    stream: bool = False


MINI, NANO = "openai/gpt-4o-mini", "openai/gpt-4.1-nano"
CASES: dict[str, list[Case]] = {
    "fast": [Case(("openai/gpt-5-mini",), None)],
    "house": [Case(("gpt-oss:20b",), None)],
    "chat": [Case(("openai/gpt-4o",), "chat"), Case(("openai/gpt-4o",), "chat", stream=True)],
    "summarise": [
        Case(
            ("openai/gpt-4.1-mini",),
            "summary",
            "We met on 3 May and chose the blue one.",
            prompt=("in the language of the text.", "at most 150 words.", "running text", "do not list them"),
            absent=("a list with one fact", "three to five", "negative or mixed"),
            fields={"temperature": 0.2, "max_tokens": 2000},
        ),
        Case(
            ("openai/gpt-4.1-mini",),
            "summary",
            "We met on 3 May and chose the blue one.",
            {"length": "short", "style": "bullets", "language": "Swedish", "key_points": "true", "sentiment": "true"},
            ("write in Swedish.", "at most 40 words.", "a list with one fact", "three to five", "negative or mixed"),
            ("150 words", "running text"),
        ),
        Case(
            ("openai/gpt-4.1-mini",),
            "summary",
            "We met on 3 May and chose the blue one.",
            {"length": "long", "style": "structured"},
            ("at most 600 words.", "headings in the order of the text"),
            stream=True,
        ),
    ],
    "sms-classify": [
        Case(
            (NANO,),
            "sms",
            "Can I come on Friday at 3?",
            {"business": "a dental practice"},
            ("customers send to a dental practice.",),
            fields={"temperature": 0, "max_tokens": 100},
        )
    ],
    "review-analysis": [
        Case(
            ("openai/gpt-4.1-mini",),
            "reviews",
            "Cold soup, kind waiter.",
            {"product": "a restaurant", "language": "German"},
            ("review of a restaurant and", "one sentence in German."),
        )
    ],
    "lead-enrichment": [
        Case((MINI,), "leads", "Bo, bo@acme.example", {"offer": "solar roofs"}, ("that offers solar roofs.",))
    ],
    "message-generation": [
        Case(
            ("openai/gpt-4o",),
            "messages",
            "The appointment on Monday must move.",
            {"purpose": "find another day", "channel": "sms", "tone": "formal", "sender": "Bo's garage"},
            ("that Bo's garage will send", "Purpose: find another day", "at most 160 characters", "Tone: formal"),
            ("a subject line",),
            {"temperature": 0.7},
        )
    ],
    "intent-analysis": [
        Case(
            ("openai/gpt-4.1-mini",),
            "intent",
            "A table for four tomorrow at 7?",
            {"now": "2026-11-20T14:05:00+01:00"},
            ("written at 2026-11-20T14:05:00+01:00 (ISO 8601)", "in the zone America/New_York."),
        )
    ],
    "roleplay": [
        Case(
            ("anthropic/claude-sonnet-4.5",),
            "roleplay",
            "Good evening!",
            {"character": "a lighthouse keeper", "scenario": "a storm, {and} no radio"},
            ("Character: a lighthouse keeper\n", "Scenario: a storm, {and} no radio\n"),
            stream=True,
        )
    ],
    "storytelling": [
        Case(
            ("anthropic/claude-sonnet-4.5",),
            "stories",
            "A key that opens nothing.",
            {"genre": "crime", "length": "short"},
            ("Genre: crime\n", "about 300 words", "Readers: adults\n"),
            ("about 1000 words",),
            {"temperature": 1, "max_tokens": 6000},
        )
    ],
    "prompt-enhancement": [
        Case((MINI,), "prompts", "make logo", {"kind": "image"}, ("a model that makes images;",), ("programs",))
    ],
    "phone": [
        Case(
            (MINI, "google/gemini-2.5-flash-lite"),
            "phone",
            "When do you open?",
            {"business": "Bo's garage"},
            ("telephone of Bo's garage.", "short sentences in English,"),
        )
    ],
}


class Example:
    """The shipped configuration in force, and the SDK that speaks to it."""

    def __init__(self, stand: Stand, sdk: openai.AsyncOpenAI) -> None:
        self.stand = stand
        self.sdk = sdk
        self.presets = stand.app.live.current.settings.presets
        self.use_cases = stand.app.live.current.use_cases

    async def ask(self, model: str, case: Case, **more: Any) -> tuple[str, Any]:
        """Give the text of the answer and the headers."""
        raw: Any = await self.sdk.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": case.said}],
            metadata=case.metadata or openai.omit,
            stream=case.stream,
            **more,
        )
        if not case.stream:
            return raw.parse().choices[0].message.content or "", raw.headers
        pieces = [chunk.choices[0].delta.content or "" async for chunk in raw.parse() if chunk.choices]
        return "".join(pieces), raw.headers

    async def received(self) -> list[dict[str, Any]]:
        """Give the bodies that reached the simulator since the last time."""
        bodies = [json.loads(request["json"]) for request in await self.stand.sim.requests()]
        await self.stand.sim.forget_requests()
        return bodies

    async def last_row(self) -> dict[str, Any]:
        return (await self.stand.rows())[-1]


@asynccontextmanager
async def shipped(folder: Path, *, lane: bool) -> AsyncIterator[Example]:
    async with nothing_leaks(), simulator() as sim:
        path = write_shipped(folder, sim.url)
        environ = {**ENVIRONMENT, "TOLLKEEPER_SERVER__FAST_PATH": str(lane).lower()}
        async with app_in_loop(path, environ) as app, httpx2.AsyncClient(trust_env=False) as http:
            await models_known(app)
            await sim.reset()
            stand = Stand(folder, app, sim)
            stand.database = folder / "tollkeeper.db"
            base_url = f"http://127.0.0.1:{app.port}/v1"
            yield Example(
                stand,
                openai.AsyncOpenAI(base_url=base_url, api_key=token_of("ci"), max_retries=0, http_client=http),
            )


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
async def test_all_presets_of_the_example(tmp_path: Path, lane: bool) -> None:
    async with shipped(tmp_path, lane=lane) as example:
        assert set(CASES) == set(example.presets)
        for name, cases in CASES.items():
            for case in cases:
                await _is_answered(example, name, case)
        await _client_overrules(example)
        for name, preset in example.presets.items():
            await _missing_variables_are_named(example, name, preset)
        for use_case, name in example.use_cases.items():
            await _use_case_leads_to(example, use_case, name)
        await _chain_to_its_end(example)
        await _no_dead_tone(example)
        rows = await example.stand.settled(len(await example.stand.rows()))
        books = await example.stand.sim.books()
        own_pusd = 10**9 * sum("request_price" in (row["flags"] or "") for row in rows)  # the example's $0.001 each
        assert sum(row["cost_pusd"] for row in rows) == books["total_pusd"] + own_pusd > own_pusd > 0


async def _is_answered(example: Example, name: str, case: Case) -> None:
    """One request: what reached the provider, who answered, what came back, what was booked."""
    preset = example.presets[name]
    text, headers = await example.ask(name, case)
    assert text, name
    assert headers["x-tollkeeper-model"] in case.models, name
    assert headers["x-tollkeeper-attempts"] == "1", name
    (sent,) = await example.received()
    assert sent["model"] in case.models, name
    assert "metadata" not in sent, name  # all of it was meant for the prompt
    assert {field: sent[field] for field in case.fields} == case.fields, name
    _check_prompt(name, preset, case, sent["messages"])
    _check_format(name, preset, sent.get("response_format"), text)
    row = await example.last_row()
    assert (row["requested_model"], row["use_case"], row["model"]) == (name, case.use_case, sent["model"])
    flags = "request_price" if row["provider"] == "local" else None  # the example names one for local models
    assert (row["status"], row["flags"], row["user"]) == (200, flags, "ci")


def _check_prompt(name: str, preset: Preset, case: Case, messages: list[dict[str, Any]]) -> None:
    assert messages[-1] == {"role": "user", "content": case.said}, name
    if preset.system is None:
        assert len(messages) == 1, name
        return
    prompt = messages[0]["content"]
    assert (len(messages), messages[0]["role"]) == (2, "system"), name
    for part in case.prompt:
        assert part in prompt, (name, part)
    for part in (*case.absent, *(f"{{{variable}}}" for variable in preset.variables)):
        assert part not in prompt, (name, part)


def _check_format(name: str, preset: Preset, sent: Any, text: str) -> None:
    """What the preset asks for reaches the provider as it stands, and the answer is of that shape."""
    assert sent == preset.response_format, name
    if sent is not None:
        schema = sent["json_schema"]["schema"]
        assert sent["json_schema"]["strict"] is True, name
        assert set(json.loads(text)) == set(schema["required"]) == set(schema["properties"]), name
        assert all(part["additionalProperties"] is False for part in _objects(schema)), name


def _objects(schema: Any) -> Iterable[dict[str, Any]]:
    """Give the objects of a schema: strict output wants each of them closed."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from _objects(part)


async def _client_overrules(example: Example) -> None:
    """What the client says itself goes over the preset's; metadata of its own travels."""
    case = Case((), None, metadata={"length": "short", "run": "7"})
    await example.ask("summarise", case, temperature=0.9)
    (sent,) = await example.received()
    assert (sent["temperature"], sent["max_tokens"], sent["metadata"]) == (0.9, 2000, {"run": "7"})
    with pytest.raises(openai.BadRequestError, match=r'"summarise".*metadata\.length.*short, medium, long') as caught:
        await example.ask("summarise", Case((), None, metadata={"length": "endless"}))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "metadata.length")
    assert not await example.received()


async def _missing_variables_are_named(example: Example, name: str, preset: Preset) -> None:
    """Each variable without a default must be given, and where one is not the refusal names it."""
    given = {variable: "x" for variable, one in preset.variables.items() if one.default is None}
    for missing in given:
        metadata = {variable: value for variable, value in given.items() if variable != missing}
        booked = len(await example.stand.rows())
        with pytest.raises(openai.BadRequestError, match=rf'Preset "{name}": metadata\.{missing} is missing') as caught:
            await example.ask(name, Case((), None, metadata=metadata))
        assert (caught.value.code, caught.value.param) == ("missing_required_parameter", f"metadata.{missing}")
        assert not await example.received()
        assert len(await example.stand.rows()) == booked


async def _use_case_leads_to(example: Example, use_case: str, name: str) -> None:
    """A client that only sends the header gets the preset; the name that it sent stays in the row."""
    case = CASES[name][0]
    text, headers = await example.ask("gpt-3.5-turbo", case, extra_headers={"X-Tollkeeper-Use-Case": use_case})
    assert text, use_case
    assert headers["x-tollkeeper-model"] in case.models, use_case
    (sent,) = await example.received()
    _check_prompt(name, example.presets[name], case, sent["messages"])
    row = await example.last_row()
    assert (row["requested_model"], row["use_case"]) == ("gpt-3.5-turbo", use_case)
    assert example.presets[name].use_case == use_case  # both ways are booked under the same word


async def _chain_to_its_end(example: Example) -> None:
    """Six models at OpenRouter and one at OpenAI fail; the machine under the table answers."""
    await example.stand.sim.behave(count=7, error="no-endpoints")
    text, headers = await example.ask("chat", Case((), None))
    assert text
    assert [headers[f"x-tollkeeper-{what}"] for what in ("provider", "model", "attempts")] == [
        "local",
        "gpt-oss:20b",
        "8",
    ]
    targets = [target.target.rpartition("/")[2] for target in example.presets["chat"].targets if target.target]
    assert [sent["model"].rpartition("/")[2] for sent in await example.received()] == targets


async def _no_dead_tone(example: Example) -> None:
    """When nobody answers, a text of the file does, chosen by keyword, and a header says so."""
    texts = example.presets["phone"].targets[-1].static
    await example.stand.sim.behave("all", error="no-endpoints")
    for said, keyword in (
        ("What are your OPENING HOURS, please?", "opening hours"),
        ("And the price?", "price"),
        ("Is it priceless?", "default"),
    ):
        for stream in (False, True):
            text, headers = await example.ask("phone", Case((), None, said, stream=stream))
            assert text == texts[keyword]
            assert headers["x-tollkeeper-static"] == "1"
            row = await example.last_row()
            assert (row["provider"], row["use_case"], row["attempts"], row["cost_pusd"]) == ("static", "phone", 3, 0)
    await example.stand.sim.normal()
