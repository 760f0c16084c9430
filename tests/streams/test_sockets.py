"""Bytes out are bytes in, over real sockets: any stream, cut anywhere, with pauses, both transports, both ways in."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from proxy.providers import build
from proxy.providers.transport.aiohttp_transport import AiohttpTransport
from proxy.providers.transport.pool.pool import PooledTransport
from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Pause, Step, Turn
from tests.faults.told import END, chunk, stream_head
from tests.streams.drawn import ENDPOINTS, Drawn, streams
from tests.support.raw import Answer, request_bytes

EXAMPLES = 40


def _drawn(number: int) -> list[Drawn]:
    """Give some streams, always the same."""
    found: list[Drawn] = []

    def look(drawn: Drawn) -> bool:
        if drawn.stream:
            found.append(drawn)
        return False

    quiet = settings(
        max_examples=number,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(NoSuchExample):
        find(st.one_of([streams((endpoint,), most=5) for endpoint in ENDPOINTS]), look, settings=quiet)
    return found


def _steps(drawn: Drawn) -> tuple[Step, ...]:
    """Give each piece as an HTTP chunk of its own, a pause behind one in three, so that they are not read as one."""
    steps: list[Step] = [stream_head()]
    for n, piece in enumerate(drawn.pieces):
        steps.append(chunk(piece))
        if n % 3 == 0:
            steps.append(Pause(0.0))
    return (*steps, END)


async def _ask(found: Place, drawn: Drawn) -> Answer:
    turn = Turn(_steps(drawn))
    found.upstream.choose = lambda _: turn
    client = await found.begin_nothing()
    body = {**body_of("openrouter", stream=True), "prompt": "Hi", "input": "Hi", "max_output_tokens": 100}
    if drawn.endpoint == "completions":
        del body["messages"]
    await client.send(request_bytes("POST", f"/v1/{drawn.endpoint}", body, token=found.token))
    answer = await client.read_answer()
    await client.close()
    return answer


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
@pytest.mark.parametrize("transport", [PooledTransport, AiohttpTransport])
async def test_bytes_out_are_bytes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: type, lane: bool
) -> None:
    monkeypatch.setattr(build, "make_transport", lambda base_url, *_, **__: transport(base_url))
    drawn = await asyncio.to_thread(_drawn, EXAMPLES)
    async with place(tmp_path, {"server": {"fast_path": lane}}) as found:
        for each in drawn:
            answer = await _ask(found, each)
            assert (answer.status, answer.end) == (200, "complete"), answer
            assert answer.body.startswith(each.stream), (each, answer.body)
            # a stream that says neither an end nor a finish gets an event of ours behind all that came
            rest = answer.body[len(each.stream) :].lstrip(b"\r\n")
            assert not rest or b'"upstream_broken"' in rest, (each, rest)
        await found.quiet()
