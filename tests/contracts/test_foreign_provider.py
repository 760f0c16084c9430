"""A provider of another form behind the whole proxy: neither clients nor the ledger can tell it from any other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config.provider import Provider
from proxy.providers.dialect import Dialect
from proxy.providers.kinds import DIALECTS, Dialects
from proxy.wire.answer_text import AnswerText
from tests.contracts.dialect_cases import CASES, COST_PUSD, INPUT, OUTPUT, TEXT
from tests.contracts.toy import ToyDialect
from tests.contracts.toy_server import ToyServer, toy_server
from tests.support.installation import PRICES, settings, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, MODEL, Stand, app_in_loop, models_known, simulator

KEY = "toy-key-0123456789"
WHOLE, STREAM = CASES["toy"].whole, CASES["toy"].stream
ROUTES = {"toy/voice": "passed on at once", "chain": "held back until it is sure to be an answer"}


def _dialect(provider: Provider) -> Dialect:
    return ToyDialect() if str(provider.base_url).endswith("/toy") else DIALECTS["openai"](provider)


TOO: Dialects = {**DIALECTS, "openai": _dialect}


@asynccontextmanager
async def foreign(
    folder: Path, more: dict[str, Any] | None = None, presets: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Stand, ToyServer]]:
    """Run a proxy with a toy provider beside the simulator; the preset "chain" asks the one, then the other."""
    async with nothing_leaks(), simulator() as sim, toy_server() as toy:
        own = {"kind": "openai", "base_url": f"{toy.url}/toy", "api_key": KEY, "prices": PRICES, **(more or {})}
        chain = {"targets": ["toy/voice", f"openrouter/{MODEL}"]}
        base = settings(sim.url, {"providers": {"toy": own}, "presets": {"chain": chain, **(presets or {})}})
        async with app_in_loop(write_config(folder, base), dialects=TOO) as app:
            await models_known(app)
            await sim.forget()
            yield Stand(folder, app, sim), toy


def text_of(answer: Answer) -> str | None:
    """Return the text of a stream as a client reads it."""
    text = AnswerText(10_000)
    text.feed(answer.body)
    text.finish()
    return text.text


def exact(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["state"], row["cost_pusd"], row["cost_source"], row["input_tokens"], row["output_tokens"]


EXACT = ("settled", COST_PUSD, "provider", INPUT, OUTPUT)


@pytest.mark.parametrize("model", ROUTES)
async def test_an_answer_in_one_piece(tmp_path: Path, model: str) -> None:
    async with foreign(tmp_path) as (stand, toy):
        toy.pieces = [WHOLE]
        answer = await stand.chat({"model": model, "max_tokens": 50})
        assert answer.status == 200, answer.body
        told = answer.json()
        assert told["choices"][0]["message"]["content"] == TEXT
        assert told["usage"] == {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
        assert answer.header("x-tollkeeper-cost-usd") == "0.000012345678"
        request = toy.asked[0]
        assert request.path == "/toy/v0/speak"
        assert request.headers["x-toy-key"] == f"toy {KEY}"
        assert "authorization" not in request.headers
        said = [["user", MESSAGES[0]["content"]]]
        assert request.body == {"who": "voice", "say": said, "live": False, "most": 50}
        assert [exact(row) for row in await stand.settled()] == [EXACT]


@pytest.mark.parametrize("wants_usage", [False, True])
@pytest.mark.parametrize("model", ROUTES)
async def test_a_stream(tmp_path: Path, model: str, wants_usage: bool) -> None:
    """Cut in two at every seventh byte, and into single bytes: the client gets it whole, and the row is exact."""
    cuts = [[STREAM], [STREAM[i : i + 1] for i in range(len(STREAM))]]
    cuts += [[STREAM[:at], STREAM[at:]] for at in range(1, len(STREAM), 7)]
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    async with foreign(tmp_path) as (stand, toy):
        for pieces in cuts:
            toy.pieces = pieces
            answer = await stand.chat({"model": model, "stream": True, **options})
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert text_of(answer) == TEXT
            assert answer.body.endswith(b"data: [DONE]\n\n")
            assert (b'"usage"' in answer.body) == wants_usage
        rows = await stand.settled(len(cuts))
        assert [exact(row) for row in rows] == [EXACT] * len(cuts)
        assert all(not row["flags"] for row in rows), rows


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal(tmp_path: Path, stream: bool) -> None:
    """It comes in the client's form, under its own status, and costs nothing; a page has no words for the client."""
    async with foreign(tmp_path) as (stand, toy):
        toy.status, toy.pieces = 400, [b"X:odd:Cannot say this.\n"]
        answer = await stand.chat({"model": "toy/voice", "stream": stream, "max_tokens": 50})
        assert (answer.status, answer.content_type) == (400, "application/json")
        assert answer.json()["error"]["message"] == "Cannot say this."
        toy.pieces = [b"<html>gone</html>"]
        answer = await stand.chat({"model": "toy/voice", "stream": stream, "max_tokens": 50})
        assert (answer.status, answer.json()["error"]["code"]) == (400, "upstream_error")
        assert b"html" not in answer.body
        assert [(row["state"], row["cost_pusd"]) for row in await stand.settled(2)] == [("released", 0)] * 2


async def test_an_error_within_a_stream(tmp_path: Path) -> None:
    """It is passed on as an event; what the begun answer cost nobody has told, so that the reservation is booked."""
    async with foreign(tmp_path) as (stand, toy):
        toy.pieces = [CASES["toy"].failed_stream]
        answer = await stand.chat({"model": "toy/voice", "stream": True, "max_tokens": 50})
        assert text_of(answer) == TEXT[:5]
        event = json.loads(answer.body.rstrip().rpartition(b"data: ")[2])
        assert event["error"]["message"] == "Too busy."
        assert b"[DONE]" not in answer.body
        (row,) = await stand.settled()
        assert (row["state"], row["cost_source"], row["cost_pusd"]) == ("settled", "reservation", row["reserved_pusd"])
        assert row["cost_pusd"] > 0


@pytest.mark.parametrize("pieces", [[b"what?\n"], [WHOLE[:-1]], [b"T:1\n"]])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_translated_is_broken(tmp_path: Path, pieces: list[bytes], stream: bool) -> None:
    """The provider may have worked: what was reserved is booked."""
    async with foreign(tmp_path) as (stand, toy):
        toy.pieces = pieces
        answer = await stand.chat({"model": "toy/voice", "stream": stream, "max_tokens": 50})
        text = answer.body.decode()
        assert "upstream_broken" in text
        assert "cannot be translated" in text
        assert stream or answer.status == 502
        (row,) = await stand.settled()
        assert (row["cost_source"], row["cost_pusd"]) == ("reservation", row["reserved_pusd"])
        assert row["cost_pusd"] > 0


async def test_a_connection_that_breaks(tmp_path: Path) -> None:
    async with foreign(tmp_path) as (stand, toy):
        toy.pieces, toy.breaks = [STREAM[: STREAM.index(b"E:")]], True
        answer = await stand.chat({"model": "toy/voice", "stream": True, "max_tokens": 50})
        assert text_of(answer) == TEXT
        assert b"upstream_broken" in answer.body
        (row,) = await stand.settled()
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")


@pytest.mark.parametrize("policy", ["auto", "abort"])
@pytest.mark.parametrize("model", ROUTES)
async def test_a_client_that_hangs_up(tmp_path: Path, policy: str, model: str) -> None:
    """Read on to its end the stream tells its exact cost; cut off it is booked at what was reserved."""
    async with foreign(tmp_path, {"on_disconnect": policy}) as (stand, toy):
        at = STREAM.index(b"T:", STREAM.index(b"T:") + 1)
        toy.pieces, toy.release = [STREAM[:at], STREAM[at:]], asyncio.Event()
        client = await stand.begin_chat({"model": model, "stream": True, "max_tokens": 50})
        await client.read_until(b'"content"')
        await client.hang_up()

        async def gone() -> bool:
            return all(request.gone for request in stand.app.services.in_flight._calls)

        await eventually(gone)
        toy.release.set()
        (row,) = await stand.settled()
        assert "client_gone" in row["flags"]
        if policy == "auto":
            assert exact(row) == EXACT
        else:
            assert (row["cost_source"], row["cost_pusd"]) == ("reservation", row["reserved_pusd"])


FAILURES = {
    "a refusal": (503, [b"X:busy:Too busy.\n"]),
    "an error before its content": (200, [b"-\nI:toy-1\nX:busy:Too busy.\n"]),
    "what cannot be translated": (200, [b"-\nwhat?\n"]),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_fallback_to_another_provider(tmp_path: Path, failure: str, stream: bool) -> None:
    async with foreign(tmp_path) as (stand, toy):
        toy.status, toy.pieces = FAILURES[failure]
        answer = await stand.chat({"model": "chain", "stream": stream, "max_tokens": 20})
        assert answer.status == 200, answer.body
        assert toy.asked
        assert b"busy" not in answer.body
        if not stream:
            assert answer.header("x-tollkeeper-provider") == "openrouter"
            assert answer.json()["choices"][0]["message"]["content"]
        (row,) = await stand.settled()
        assert (row["state"], row["provider"]) == ("settled", "openrouter")
        (generation,) = (await stand.sim.books())["generations"].values()
        assert row["cost_pusd"] >= generation["charged_pusd"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_a_check_turns_down(tmp_path: Path, stream: bool) -> None:
    """It is the translated text that is checked; in one piece another target answers, and both are paid for."""
    checks = {"min_chars": 10 * len(TEXT), "on_failure": "next_target"}
    strict = {"targets": ["toy/voice", f"openrouter/{MODEL}"], "checks": checks}
    async with foreign(tmp_path, presets={"strict": strict}) as (stand, toy):
        toy.pieces = [STREAM] if stream else [WHOLE]
        answer = await stand.chat({"model": "strict", "stream": stream, "max_tokens": 50})
        assert answer.status == 200, answer.body
        (row,) = await stand.settled()
        assert "check_too_short" in row["flags"]
        charged = [one["charged_pusd"] for one in (await stand.sim.books())["generations"].values()]
        assert (row["attempts"], len(charged)) == ((1, 0) if stream else (2, 1))
        assert row["cost_pusd"] == COST_PUSD + sum(charged)


ASKED_TOO_MUCH: dict[str, tuple[str, dict[str, Any]]] = {
    "an endpoint that it has not": ("/v1/completions", {"prompt": "Hi"}),
    "a field that it has not": (
        "/v1/chat/completions",
        {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    ),
}


@pytest.mark.parametrize("asked", ASKED_TOO_MUCH)
async def test_what_its_form_cannot_say_is_not_sent(tmp_path: Path, asked: str) -> None:
    """It costs nothing and counts against nobody; with another target on the route that one is asked."""
    path, body = ASKED_TOO_MUCH[asked]
    async with foreign(tmp_path) as (stand, toy):
        for _ in range(8):  # more than any breaker would bear
            answer = await stand.ask("POST", path, {"model": "toy/voice", "max_tokens": 5, **body})
            assert (answer.status, answer.json()["error"]["code"]) == (400, "not_offered"), answer.body
        answer = await stand.ask("POST", path, {"model": "chain", "max_tokens": 5, **body})
        assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "openrouter"), answer.body
        toy.pieces = [WHOLE]
        assert (await stand.chat({"model": "toy/voice"})).status == 200
        assert len(toy.asked) == 1
        rows = await stand.settled(10)
        assert [(row["state"], row["cost_pusd"]) for row in rows[:8]] == [("released", 0)] * 8
        assert exact(rows[-1]) == EXACT


async def test_tokens_are_not_counted_where_nobody_can(tmp_path: Path) -> None:
    async with foreign(tmp_path) as (stand, toy):
        body = {"model": "toy/voice", "messages": MESSAGES}
        answer = await stand.ask("POST", "/v1/messages/count_tokens", body)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "not_offered"), answer.body
        assert not toy.asked
