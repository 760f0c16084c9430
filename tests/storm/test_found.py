"""What the storm has found so far, each case on its own."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.pipeline.settlement.settle import settle
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import PricedUsage
from proxy.providers.openrouter import OpenRouterDialect
from proxy.wire.stream_meter import StreamMeter
from proxy.wire.usage import Usage

from .draw import DEAR, Ask, HangUp, Plan
from .storm import storm

NEVER = HangUp("nowhere", 0.0, reset=False)


def chunk(delta: str = "x", finish: str | None = None, usage: str = "") -> bytes:
    reason = "null" if finish is None else f'"{finish}"'
    counted = f',"usage":{usage}' if usage else ""
    text = f'{{"id":"g","choices":[{{"index":0,"delta":{{"content":"{delta}"}},"finish_reason":{reason}}}]{counted}}}'
    return f"data: {text}\n\n".encode()


USAGE = '{"prompt_tokens":3,"completion_tokens":1,"cost":0.5}'


@pytest.mark.parametrize(
    ("stream", "last"),
    [
        (chunk() + chunk(usage=USAGE), False),
        (chunk() + chunk(usage=USAGE) + chunk(finish="stop"), False),
        (chunk() + chunk(finish="stop") + chunk("of another choice", usage=USAGE), False),
        (chunk() + chunk(finish="stop", usage=USAGE), True),
        (chunk() + chunk(finish="stop") + chunk("", usage=USAGE), True),
        (chunk() + chunk(finish="stop") + b'data: {"choices":[],"usage":' + USAGE.encode() + b"}\n\n", True),
        (chunk() + b'data: {"error":{"code":502},"choices":[]}\n\n' + chunk("", usage=USAGE), True),
        (chunk(usage=USAGE) + chunk(finish="stop", usage=USAGE), True),
    ],
)
def test_a_usage_on_the_way_is_told_from_the_last_one(stream: bytes, last: bool) -> None:
    meter = StreamMeter()
    meter.feed(stream)
    assert meter.usage is not None
    assert meter.usage_is_last is last


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("stop_with", ["rst", "fin"])
@pytest.mark.parametrize("usage_at", ["every", "first"])
def test_a_stream_that_breaks_costs_what_the_provider_says_afterwards(
    tmp_path: Path, usage_at: str, stop_with: str
) -> None:
    """The usage so far was once taken for the whole: 0.000026 USD booked of 0.39 charged."""
    broken = {
        "provider": "Groq",  # it bills the whole answer
        "usage_at": usage_at,
        "cost_random": True,
        "stop_at": "after_chunks",
        "stop_after": 5,
        "stop_with": stop_with,
        "generation_delay_ms": 100,
    }
    seen = _storm(tmp_path, broken, requests=4)
    assert all(b'"upstream_broken"' in tail for tail in seen)


@pytest.mark.parametrize("completion_tokens", [1, 16])
def test_a_stream_that_ends_without_its_last_count(tmp_path: Path, completion_tokens: int) -> None:
    """The count beside the finish reason was once taken for the last one: 0.0003 USD booked of 0.97 charged."""
    cut = {
        "completion_tokens": completion_tokens,
        "chunk_tokens": 1,
        "usage_at": "every",
        "cost_random": True,
        "stop_at": "before_usage",
        "stop_with": "fin",
        "generation_delay_ms": 100,
    }
    seen = _storm(tmp_path, cut, requests=4)
    assert not any(b"[DONE]" in tail for tail in seen)


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("form", ["choice", "empty_choices"])
@pytest.mark.parametrize("usage_at", ["every", "first"])
def test_a_stream_that_fails_costs_what_the_provider_says_afterwards(tmp_path: Path, usage_at: str, form: str) -> None:
    """The usage before the error was once taken for the whole, because [DONE] came: 0.99 USD booked, none charged."""
    failing = {
        "usage_at": usage_at,
        "cost_random": True,
        "stream_error_after": 5,
        "stream_error_form": form,
        "stream_error_done": True,
    }
    seen = _storm(tmp_path, failing, requests=4)
    assert all(b"data: [DONE]" in tail for tail in seen)


def _storm(folder: Path, behaviour: dict[str, Any], requests: int) -> list[bytes]:
    """Ask for one behaviour only; books and ledger must agree. Give the ends of the answers."""
    model = f"openai/gpt-5-mini:{DEAR}0"
    asks = tuple(
        Ask(n, f"found-{n}", "anna", model, "scripted", False, True, 1000, 1, NEVER, n % 2 == 0, False)
        for n in range(requests)
    )
    plan = Plan(1, asks, (), {model: behaviour}, {})
    run = storm(plan, folder, clients=4, lookup_timeout_s=5, say=lambda _done, _what: None, ends_with_bill=False)
    outcome = asyncio.run(run)
    assert outcome.differences == []
    assert outcome.rows == {"settled, generation": requests}
    return [one.tail for one in outcome.seen]


def test_a_usage_without_a_cost_is_flagged() -> None:
    """Once it was charged at the reservation without a word why."""
    usage = Usage(3, 5, None, None, None, True, None, False, None)
    heard = AttemptResult(dispatched=True, status=200, usage=usage, content_seen=True, complete=True)
    verdict = settle(heard, OpenRouterDialect("", ""), 700, lambda _: PricedUsage(8))
    assert (verdict.state, verdict.cost_pusd, verdict.cost_source) == ("settled", 700, "reservation")
    assert verdict.flags == {"cost_missing"}
