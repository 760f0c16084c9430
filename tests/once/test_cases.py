"""Whatever comes in whatever order under a few keys: each key is billed once at most, and each answer fits."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import CallerError
from proxy.pipeline.idempotency import hashes_of
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

_FAULTS: dict[str, dict[str, Any] | None] = {
    "fine": None,
    "refused": {"error": "no-endpoints"},  # tried once by the proxy, as the next one
    "redirected": {
        "raw_response": "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    },
    "breaks": {"stop_at": "after_bytes", "stop_after": 200, "stop_with": "rst"},
}
_FREE = {"refused": 404, "redirected": 502}  # what leaves the key free, and the status that the client gets
_STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([0, 1]), st.booleans(), st.sampled_from(sorted(_FAULTS))),
    min_size=1,
    max_size=8,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("cases")) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_each_key_is_billed_once(stand: Stand, steps: list[tuple[str, int, bool, str]]) -> None:
    """A model of one line: a key is free until something was billed, or may have been, under it."""
    await stand.clear()
    await sqlite_ledger(stand.app).change(lambda db: db.execute("DELETE FROM idempotency_keys") and None)
    bodies: dict[str, tuple[int, bool]] = {}
    over: set[str] = set()
    sent = 0
    for key, temperature, stream, fault in steps:
        behaviour = _FAULTS[fault]
        may_run = key not in over and bodies.get(key) in (None, (temperature, stream))
        if behaviour is not None and may_run:
            await stand.sim.behave("next", **behaviour)
        body = {"model": MODEL, "messages": MESSAGES, "temperature": temperature, "stream": stream}
        answer = await stand.ask("POST", CHAT, body, headers=[("Idempotency-Key", key)])
        if not may_run:
            other_body = bodies[key] != (temperature, stream)
            assert answer.status == (422 if other_body else 409), answer.body
            continue
        sent += 1
        bodies[key] = (temperature, stream)
        if fault in _FREE:
            assert answer.status == _FREE[fault]
        else:
            over.add(key)
            await stand.settled(sent)
    assert len(await stand.sim.requests()) == sent
    rows = await stand.settled(sent)
    assert sum(row["state"] == "settled" for row in rows) == len(over)


_KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=9)
_INTEGERS = st.integers(-(2**63), 2**64 - 1)  # larger ones are read as text
_VALUES = _INTEGERS | st.text(max_size=3) | st.floats(allow_nan=False)
_BODIES = st.dictionaries(st.text(max_size=3), _VALUES, max_size=4)
_ASKED = st.tuples(st.text(max_size=4), _KEYS, st.sampled_from(["chat/completions", "messages"]), _BODIES)


@given(_ASKED, _ASKED)
def test_hashes_are_equal_for_equals_only(one: Any, other: Any) -> None:
    first, second = hashes_of(*one), hashes_of(*other)
    assert (first.key == second.key) == (one[:2] == other[:2])
    same_body = orjson.dumps(one[3], option=orjson.OPT_SORT_KEYS) == orjson.dumps(other[3], option=orjson.OPT_SORT_KEYS)
    assert (first.body == second.body) == (one[:3] == other[:3] and same_body)
    turned = (*one[:3], dict(reversed(one[3].items())))
    assert hashes_of(*turned) == first


@given(st.text(max_size=300))
def test_a_key_is_visible_and_short(text: str) -> None:
    fits = 1 <= len(text) <= 255 and all("\x21" <= char <= "\x7e" for char in text)
    code = None
    try:
        hashes_of("anna", text, "messages", {})
    except CallerError as error:
        code = error.code
    assert code == (None if fits else "invalid_header")
